//! A quantity as a function of time, with its exact integral: what makes the truth known.

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use std::f64::consts::TAU;
use std::fmt;

/// A deterministic function of time in seconds, defined for every time, also before the scenario's start.
///
/// In TOML a number is a constant; the others are tables of one key:
/// `{ sine = { mean, amplitude, period_s } }`, `{ square = { low, high, period_s, duty_cycle } }` (high first),
/// `{ ramp = { from, to, period_s } }` (a sawtooth), `{ steps = [[0, 10], [5.5, 80]] }` (time and value; before the
/// first time, the first value), `{ sum = [waveform, waveform] }`.
#[derive(Clone, Debug, PartialEq)]
pub enum Waveform {
    /// The same at all times.
    Constant(f64),
    /// `mean + amplitude · sin(2π t / period)`.
    Sine {
        /// The value around which it swings.
        mean: f64,
        /// How far it swings to each side.
        amplitude: f64,
        /// Seconds of one swing.
        period_s: f64,
    },
    /// `high` for the first `duty_cycle` (0 to 1) of each period, then `low`.
    Square {
        /// The value in the rest of the period.
        low: f64,
        /// The value at the beginning of the period.
        high: f64,
        /// Seconds of one period.
        period_s: f64,
        /// The part of the period, 0 to 1, that is high.
        duty_cycle: f64,
    },
    /// From `from` linearly to `to`, then at once back.
    Ramp {
        /// The value at the beginning of each period.
        from: f64,
        /// The value that the end of each period approaches.
        to: f64,
        /// Seconds of one period.
        period_s: f64,
    },
    /// Constant between points of (time in seconds, value), in rising order of time.
    Steps(Vec<(f64, f64)>),
    /// All of them together: a load with the ripple that real power has, say.
    Sum(Vec<Waveform>),
}

impl Waveform {
    /// The value at time `t` in seconds.
    #[must_use]
    pub fn value(&self, t: f64) -> f64 {
        match *self {
            Self::Constant(value) => value,
            Self::Sine { mean, amplitude, period_s } => mean + amplitude * (TAU * t / period_s).sin(),
            Self::Square { low, high, period_s, duty_cycle } => {
                if t.rem_euclid(period_s) < duty_cycle * period_s {
                    high
                } else {
                    low
                }
            }
            Self::Ramp { from, to, period_s } => from + (to - from) * t.rem_euclid(period_s) / period_s,
            Self::Steps(ref points) => {
                points.iter().take_while(|point| point.0 <= t).last().or(points.first()).map_or(0.0, |point| point.1)
            }
            Self::Sum(ref terms) => terms.iter().map(|term| term.value(t)).sum(),
        }
    }

    /// The exact integral from `a` to `b` in seconds.
    #[must_use]
    pub fn integral(&self, a: f64, b: f64) -> f64 {
        match *self {
            Self::Constant(value) => value * (b - a),
            _ => self.antiderivative(b) - self.antiderivative(a),
        }
    }

    /// The exact mean over the time from `a` to `b`; the value at `b` where that is no time at all.
    #[must_use]
    pub fn mean(&self, a: f64, b: f64) -> f64 {
        if b > a { self.integral(a, b) / (b - a) } else { self.value(b) }
    }

    /// The integral from 0 to `t`, up to a constant of the waveform's own.
    fn antiderivative(&self, t: f64) -> f64 {
        match *self {
            Self::Constant(value) => value * t,
            Self::Sine { mean, amplitude, period_s } => {
                mean * t - amplitude * period_s / TAU * (TAU * t / period_s).cos()
            }
            Self::Square { low, high, period_s, duty_cycle } => {
                let rest = t.rem_euclid(period_s);
                let up = rest.min(duty_cycle * period_s);
                let periods = ((t - rest) / period_s).round();
                periods * period_s * (duty_cycle * high + (1.0 - duty_cycle) * low) + up * high + (rest - up) * low
            }
            Self::Ramp { from, to, period_s } => {
                let rest = t.rem_euclid(period_s);
                let periods = ((t - rest) / period_s).round();
                periods * period_s * (from + to) / 2.0 + from * rest + (to - from) * rest * rest / (2.0 * period_s)
            }
            Self::Steps(ref points) => {
                let Some(&(first, value)) = points.first() else { return 0.0 };
                let mut sum = value * (t.min(first) - first);
                for (place, &(begin, value)) in points.iter().enumerate() {
                    let end = points.get(place + 1).map_or(t, |next| next.0.min(t));
                    if end > begin {
                        sum += value * (end - begin);
                    }
                }
                sum
            }
            Self::Sum(ref terms) => terms.iter().map(|term| term.antiderivative(t)).sum(),
        }
    }

    /// What makes the waveform unusable, if anything does.
    fn problem(&self) -> Option<&'static str> {
        match *self {
            Self::Sine { period_s, .. } | Self::Square { period_s, .. } | Self::Ramp { period_s, .. }
                if period_s.is_nan() || period_s <= 0.0 =>
            {
                Some("period_s must be above 0")
            }
            Self::Square { duty_cycle, .. } if !(0.0..=1.0).contains(&duty_cycle) => {
                Some("duty_cycle must be between 0 and 1")
            }
            Self::Steps(ref points) if points.is_empty() => Some("steps needs at least one [time, value]"),
            Self::Steps(ref points) if points.windows(2).any(|pair| pair[0].0 >= pair[1].0) => {
                Some("the times of steps must rise")
            }
            Self::Sum(ref terms) => terms.iter().find_map(Self::problem),
            _ => None,
        }
    }
}

impl Default for Waveform {
    fn default() -> Self {
        Self::Constant(0.0)
    }
}

/// How the answers round: to the nearest whole number, halves up, nothing below zero.
pub(crate) fn round_u64(value: f64) -> u64 {
    // `as` saturates, and takes what is not a number for 0.
    (value + 0.5) as u64
}

/// As [`round_u64`], in 32 bits.
pub(crate) fn round_u32(value: f64) -> u32 {
    (value + 0.5) as u32
}

/// The tables of TOML, as serde's externally tagged enum.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum WaveformTable {
    Constant(f64),
    Sine {
        mean: f64,
        amplitude: f64,
        period_s: f64,
    },
    Square {
        low: f64,
        high: f64,
        period_s: f64,
        #[serde(default = "default_duty_cycle")]
        duty_cycle: f64,
    },
    Ramp {
        from: f64,
        to: f64,
        period_s: f64,
    },
    Steps(Vec<(f64, f64)>),
    Sum(Vec<Waveform>),
}

fn default_duty_cycle() -> f64 {
    0.5
}

impl From<WaveformTable> for Waveform {
    fn from(table: WaveformTable) -> Self {
        match table {
            WaveformTable::Constant(value) => Self::Constant(value),
            WaveformTable::Sine { mean, amplitude, period_s } => Self::Sine { mean, amplitude, period_s },
            WaveformTable::Square { low, high, period_s, duty_cycle } => {
                Self::Square { low, high, period_s, duty_cycle }
            }
            WaveformTable::Ramp { from, to, period_s } => Self::Ramp { from, to, period_s },
            WaveformTable::Steps(points) => Self::Steps(points),
            WaveformTable::Sum(terms) => Self::Sum(terms),
        }
    }
}

impl<'de> Deserialize<'de> for Waveform {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WaveformVisitor;
        impl<'de> Visitor<'de> for WaveformVisitor {
            type Value = Waveform;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or { sine | square | ramp | steps | sum = … }")
            }

            fn visit_i64<E>(self, value: i64) -> Result<Waveform, E> {
                Ok(Waveform::Constant(value as f64))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Waveform, E> {
                Ok(Waveform::Constant(value))
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Waveform, M::Error> {
                let waveform = Waveform::from(WaveformTable::deserialize(MapAccessDeserializer::new(map))?);
                match waveform.problem() {
                    Some(problem) => Err(serde::de::Error::custom(problem)),
                    None => Ok(waveform),
                }
            }
        }
        deserializer.deserialize_any(WaveformVisitor)
    }
}
