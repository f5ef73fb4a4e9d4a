//! Estimates the averaging window of a power sensor, which is the window whose moving average of the power matches the
//! values that the sensor reported.
//!
//! The power is known from a finer signal, called the reference: the driver's power samples, or the sensor of instant
//! power. For each candidate window, the mean of the reference over the window before each refresh is compared with the
//! value of the sensor. If the power hardly varies, all windows match, and the result is unknown.

use super::Averaging;

/// The integral of the power over time, without gaps.
#[derive(Clone, Debug, Default)]
pub(super) struct PowerIntegral {
    /// The start of the first interval, followed by the ends of all intervals, in nanoseconds.
    times: Vec<u64>,
    /// The integral from the start to each of the times, in watt-nanoseconds.
    integrals: Vec<f64>,
}

/// A change of a sensor's value, as observed by polling.
#[derive(Clone, Copy, Debug)]
pub(super) struct SensorUpdate {
    /// The time of the last poll before the change, in nanoseconds. The sensor refreshed after this time.
    pub after: u64,
    /// The time of the first poll after the change, in nanoseconds. The sensor refreshed no later than this time.
    pub until: u64,
    pub watts: f64,
}

/// The shortest window that is tried.
const MIN_WINDOW_NS: f64 = 10e6;
/// The longest window that is tried.
const MAX_WINDOW_NS: f64 = 4e9;
/// The ratio of consecutive windows that are tried.
const WINDOW_RATIO: f64 = 1.04;
/// The minimum number of updates for an estimate.
const MIN_UPDATES: usize = 12;
/// The maximum root-mean-square error of the best window, relative to the standard deviation of the sensor's values.
const MAX_ERROR: f64 = 0.2;
/// Below this relative error, a window is considered as good as the best window. Otherwise, it is as good if its
/// relative error is at most twice that of the best window.
const EQUIVALENT_ERROR: f64 = 0.05;
/// The maximum ratio of the longest to the shortest window that is as good as the best window. If the ratio is larger,
/// the data does not determine the window.
const MAX_WINDOW_SPREAD: f64 = 1.5;

impl PowerIntegral {
    /// Adds an interval with constant power that ends at the time `to`. The interval starts at the end of the previous
    /// interval. The first interval starts at the time `from`.
    pub(super) fn push(&mut self, from: u64, to: u64, watts: f64) {
        if self.times.is_empty() {
            self.times.push(from);
            self.integrals.push(0.0);
        }
        if let (Some(end), Some(integral)) = (self.times.last().copied(), self.integrals.last().copied())
            && to > end
        {
            self.times.push(to);
            self.integrals.push(integral + watts * (to - end) as f64);
        }
    }

    /// Returns the integral of the values of a sensor. Each value applies to the refresh period before its update.
    pub(super) fn from_updates(updates: &[SensorUpdate], period_ns: u64) -> Self {
        let mut power = Self::default();
        for pair in updates.windows(2) {
            let [current, next] = pair else { continue };
            let refresh = next.midpoint();
            let from = current.midpoint().saturating_sub(period_ns);
            power.push(from, refresh.saturating_sub(period_ns), current.watts);
            power.push(from, refresh, next.watts);
        }
        power
    }

    /// Returns `true` if the power varies and the integral covers at least one second.
    pub(super) fn has_variation(&self) -> bool {
        let (Some(start), Some(end)) = (self.times.first(), self.times.last()) else { return false };
        let half = (end - start) / 2;
        let means = self.mean(*end, end - start).zip(self.mean(start + half, half));
        end - start >= 1_000_000_000 && means.is_some_and(|(whole, first_half)| whole != first_half)
    }

    /// Returns the integral from the start to the time `at`, or `None` if the integral does not cover this time.
    fn integral(&self, at: u64) -> Option<f64> {
        let next = self.times.partition_point(|time| *time < at);
        let (end, integral) = (*self.times.get(next)?, *self.integrals.get(next)?);
        if end == at {
            return Some(integral);
        }
        let previous = next.checked_sub(1)?;
        let (start, initial) = (*self.times.get(previous)?, *self.integrals.get(previous)?);
        Some(initial + (integral - initial) * (at - start) as f64 / (end - start) as f64)
    }

    /// Returns the mean power in the window before the time `at`.
    fn mean(&self, at: u64, window_ns: u64) -> Option<f64> {
        Some((self.integral(at)? - self.integral(at.checked_sub(window_ns)?)?) / window_ns as f64)
    }
}

impl SensorUpdate {
    /// Returns the middle of the time in which the sensor refreshed, which is the best estimate of the refresh.
    fn midpoint(&self) -> u64 {
        self.after + (self.until - self.after) / 2
    }
}

/// Estimates the averaging of a sensor with each reference, starting with the finest, and returns the best estimate. A
/// reference that is itself an average makes the window appear shorter. A window longer than the refresh period
/// therefore takes precedence, regardless of the reference.
pub(super) fn estimate(updates: &[SensorUpdate], period_ns: u64, references: &[&PowerIntegral]) -> Averaging {
    let estimates: Vec<Averaging> =
        references.iter().map(|reference| estimate_with(updates, period_ns, reference)).collect();
    let window = estimates.iter().find(|estimate| matches!(estimate, Averaging::Window { .. }));
    let within_period = estimates.iter().find(|estimate| **estimate == Averaging::WithinPeriod);
    window.or(within_period).copied().unwrap_or(Averaging::Unknown)
}

/// Estimates the averaging of a sensor with one reference.
fn estimate_with(updates: &[SensorUpdate], period_ns: u64, reference: &PowerIntegral) -> Averaging {
    let covered = reference.times.last().zip(reference.times.first()).map_or(0, |(end, start)| end - start);
    // With a longer window, too few updates would have a window that the reference covers completely.
    let longest = MAX_WINDOW_NS.min(covered as f64 / 3.0);
    // All windows are compared at the same updates: those for which the reference covers the longest window.
    let compared: Vec<&SensorUpdate> =
        updates.iter().filter(|update| reference.mean(update.midpoint(), longest as u64).is_some()).collect();
    let deviation = standard_deviation(compared.iter().map(|update| update.watts));
    if compared.len() < MIN_UPDATES || deviation <= 0.0 {
        return Averaging::Unknown;
    }
    let mut candidates = Vec::new();
    let mut window = MIN_WINDOW_NS;
    while window <= longest {
        let errors =
            compared.iter().filter_map(|update| Some(update.watts - reference.mean(update.midpoint(), window as u64)?));
        let (count, squares) = errors.fold((0_u32, 0.0), |(count, sum), error| (count + 1, sum + error * error));
        candidates.push((window, (squares / f64::from(count.max(1))).sqrt() / deviation));
        window *= WINDOW_RATIO;
    }
    let Some(best) = candidates.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1)) else {
        return Averaging::Unknown;
    };
    let is_equivalent = |candidate: &&(f64, f64)| candidate.1 <= (2.0 * best.1).max(EQUIVALENT_ERROR);
    let shortest = candidates.iter().find(is_equivalent).map_or(best.0, |candidate| candidate.0);
    let last = candidates.iter().rev().find(is_equivalent).map_or(best.0, |candidate| candidate.0);
    // Windows of up to one period cannot be distinguished from the sensor's delay, which is unknown.
    match best.1 <= MAX_ERROR {
        true if last <= 1.5 * period_ns as f64 => Averaging::WithinPeriod,
        true if last / shortest <= MAX_WINDOW_SPREAD && last * WINDOW_RATIO < longest => {
            Averaging::Window { window_ms: ((shortest * last).sqrt() / 1e6).round() as u64 }
        }
        _ => Averaging::Unknown,
    }
}

fn standard_deviation(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let count = values.clone().count().max(1) as f64;
    let mean = values.clone().sum::<f64>() / count;
    (values.map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Returns the power at a time, in watts.
    fn load(ns: u64) -> f64 {
        let t = ns as f64 * 1e-9;
        let square = if t.rem_euclid(4.0) < 2.6 { 300.0 } else { 120.0 };
        square + 12.0 * (t * 8.3).sin() + 6.0 * (t * 21.0).sin()
    }

    /// Returns the integral of 20 s of power, in steps of 20 ms.
    fn power(load: fn(u64) -> f64) -> PowerIntegral {
        let mut power = PowerIntegral::default();
        (0..1000).for_each(|step| power.push(0, (step + 1) * 20 * MS, load(step * 20 * MS + 10 * MS)));
        power
    }

    /// Returns the updates of a sensor with this averaging window that refreshes every 100 ms and is polled every 4 ms.
    fn updates(window_ms: u64, load: fn(u64) -> f64) -> Vec<SensorUpdate> {
        let power = power(load);
        let refresh = |number: u64| Some((number * 100 * MS, power.mean(number * 100 * MS, window_ms * MS)?));
        let update =
            |(at, watts)| SensorUpdate { after: at - at % (4 * MS), until: at - at % (4 * MS) + 4 * MS, watts };
        (1..200).filter_map(refresh).map(update).collect()
    }

    fn estimated_window(updates: &[SensorUpdate], references: &[&PowerIntegral]) -> u64 {
        match estimate(updates, 100 * MS, references) {
            Averaging::Window { window_ms } => window_ms,
            other => panic!("{other:?} instead of a window"),
        }
    }

    #[test]
    fn averaging_window_is_found() {
        for window_ms in [250, 500, 1000, 2000] {
            let estimated = estimated_window(&updates(window_ms, load), &[&power(load)]);
            assert!(estimated.abs_diff(window_ms) <= window_ms / 10, "{estimated} ms instead of {window_ms} ms");
        }
    }

    #[test]
    fn window_within_period_is_reported() {
        for window_ms in [25, 50, 100] {
            let averaging = estimate(&updates(window_ms, load), 100 * MS, &[&power(load)]);
            assert_eq!(averaging, Averaging::WithinPeriod, "{window_ms} ms");
        }
    }

    #[test]
    fn constant_or_unrelated_power_is_unknown() {
        let constant = |_: u64| 200.0;
        assert_eq!(estimate(&updates(1000, constant), 100 * MS, &[&power(constant)]), Averaging::Unknown);
        let unrelated = |ns: u64| if ns % (700 * MS) < 300 * MS { 250.0 } else { 90.0 };
        assert_eq!(estimate(&updates(500, unrelated), 100 * MS, &[&power(load)]), Averaging::Unknown);
        assert_eq!(estimate(&[], 100 * MS, &[&PowerIntegral::default()]), Averaging::Unknown);
    }

    #[test]
    fn instant_power_replaces_sample_buffer() {
        let instant = PowerIntegral::from_updates(&updates(100, load), 100 * MS);
        let estimated = estimated_window(&updates(1000, load), &[&instant]);
        assert!(estimated.abs_diff(1000) <= 100, "{estimated} ms");
    }

    #[test]
    fn faster_sensor_reveals_averaged_samples() {
        // The samples are averages over one second, like the values of the sensor.
        let actual = power(load);
        let mut samples = PowerIntegral::default();
        for sample in 51..1000 {
            let at = sample * 20 * MS;
            samples.push(at - 20 * MS, at, actual.mean(at, 1000 * MS).unwrap());
        }
        let (average, instant) = (updates(1000, load), PowerIntegral::from_updates(&updates(100, load), 100 * MS));
        assert_eq!(estimate(&average, 100 * MS, &[&samples]), Averaging::WithinPeriod);
        let estimated = estimated_window(&average, &[&samples, &instant]);
        assert!(estimated.abs_diff(1000) <= 100, "{estimated} ms");
        // No average of the samples matches the faster sensor.
        assert_eq!(estimate(&updates(100, load), 100 * MS, &[&samples]), Averaging::Unknown);
    }
}
