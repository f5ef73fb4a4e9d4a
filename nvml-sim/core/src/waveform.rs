//! Waveforms: functions of time whose integrals are known exactly.

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use std::f64::consts::TAU;
use std::fmt;

/// A deterministic function of time in seconds. It is defined at all times, including times before the scenario starts.
///
/// In TOML a number is a constant. Every other waveform is a table with one key:
/// `{ sine = { mean, amplitude, period_s } }`, `{ square = { low, high, period_s, duty_cycle } }` (starts high),
/// `{ ramp = { from, to, period_s } }` (a sawtooth), `{ steps = [[0, 10], [5.5, 80]] }` (pairs of time and value; the
/// first value also holds before the first time), `{ sum = [waveform, waveform] }`.
#[derive(Clone, Debug, PartialEq)]
pub enum Waveform {
    /// The same value at all times.
    Constant(f64),
    /// `mean + amplitude · sin(2π t / period)`.
    Sine {
        /// The mean value.
        mean: f64,
        /// The largest deviation from the mean.
        amplitude: f64,
        /// The length of a period in seconds.
        period_s: f64,
    },
    /// `high` during the first part of each period, then `low`.
    Square {
        /// The value during the second part of the period.
        low: f64,
        /// The value during the first part of the period.
        high: f64,
        /// The length of a period in seconds.
        period_s: f64,
        /// The fraction of the period, 0 to 1, during which the value is `high`.
        duty_cycle: f64,
    },
    /// A linear change from `from` to `to` in each period.
    Ramp {
        /// The value at the beginning of each period.
        from: f64,
        /// The value that the end of each period approaches.
        to: f64,
        /// The length of a period in seconds.
        period_s: f64,
    },
    /// A step function, as pairs of a time in seconds and the value from that time on. The times increase.
    Steps(Vec<(f64, f64)>),
    /// The sum of waveforms, such as a load and the ripple of a real power supply.
    Sum(Vec<Waveform>),
}

impl Waveform {
    /// Returns the value at the time `t` in seconds.
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

    /// Returns the exact integral from `a` to `b`, both in seconds.
    #[must_use]
    pub fn integral(&self, a: f64, b: f64) -> f64 {
        match *self {
            Self::Constant(value) => value * (b - a),
            _ => self.antiderivative(b) - self.antiderivative(a),
        }
    }

    /// Returns the exact mean from `a` to `b`, both in seconds, or the value at `b` if the interval is empty.
    #[must_use]
    pub fn mean(&self, a: f64, b: f64) -> f64 {
        if b > a { self.integral(a, b) / (b - a) } else { self.value(b) }
    }

    /// Returns an antiderivative at `t`: the integral from 0 to `t` plus a constant that depends only on the waveform.
    fn antiderivative(&self, t: f64) -> f64 {
        match *self {
            Self::Constant(value) => value * t,
            Self::Sine { mean, amplitude, period_s } => {
                mean * t - amplitude * period_s / TAU * (TAU * t / period_s).cos()
            }
            Self::Square { low, high, period_s, duty_cycle } => {
                let phase_s = t.rem_euclid(period_s);
                let high_s = phase_s.min(duty_cycle * period_s);
                let periods = ((t - phase_s) / period_s).round();
                periods * period_s * (duty_cycle * high + (1.0 - duty_cycle) * low)
                    + high_s * high
                    + (phase_s - high_s) * low
            }
            Self::Ramp { from, to, period_s } => {
                let phase_s = t.rem_euclid(period_s);
                let periods = ((t - phase_s) / period_s).round();
                periods * period_s * (from + to) / 2.0
                    + from * phase_s
                    + (to - from) * phase_s * phase_s / (2.0 * period_s)
            }
            Self::Steps(ref points) => {
                let Some(&(first, value)) = points.first() else { return 0.0 };
                let mut sum = value * (t.min(first) - first);
                for (index, &(begin, value)) in points.iter().enumerate() {
                    let end = points.get(index + 1).map_or(t, |next| next.0.min(t));
                    if end > begin {
                        sum += value * (end - begin);
                    }
                }
                sum
            }
            Self::Sum(ref terms) => terms.iter().map(|term| term.antiderivative(t)).sum(),
        }
    }

    /// Returns the reason why the waveform is invalid, or `None` if it is valid.
    fn problem(&self) -> Option<&'static str> {
        match *self {
            Self::Sine { period_s, .. } | Self::Square { period_s, .. } | Self::Ramp { period_s, .. }
                if period_s.is_nan() || period_s <= 0.0 =>
            {
                Some("period_s must be greater than 0")
            }
            Self::Square { duty_cycle, .. } if !(0.0..=1.0).contains(&duty_cycle) => {
                Some("duty_cycle must be between 0 and 1")
            }
            Self::Steps(ref points) if points.is_empty() => Some("steps needs at least one [time, value]"),
            Self::Steps(ref points) if points.windows(2).any(|pair| pair[0].0 >= pair[1].0) => {
                Some("the times of steps must increase")
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

/// Rounds to the nearest integer, halves up. Negative values become 0.
pub(crate) fn round_u64(value: f64) -> u64 {
    // `as` saturates, and converts NaN to 0.
    (value + 0.5) as u64
}

/// Rounds as [`round_u64`] does, to 32 bits.
pub(crate) fn round_u32(value: f64) -> u32 {
    (value + 0.5) as u32
}

/// The tables of TOML as an externally tagged enum, for which serde derives the deserializer.
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
