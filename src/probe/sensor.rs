//! The state of a sensor during a probe. Its refresh period is estimated from the times at which its polled value
//! changes.

use super::{Averaging, ChangePattern, SensorReport, averaging::SensorUpdate};
use crate::{metric::Metric, sampler::period_estimator::PeriodEstimator};

/// The minimum number of changes that are required for the estimate of a refresh period.
const MIN_CHANGES: u32 = 6;

/// The state of a sensor, which is one value of a polled call.
#[derive(Debug)]
pub(super) struct Sensor {
    pub metric: Metric,
    /// The index of the value among the values of the call or the fields of the batch.
    pub value_index: usize,
    estimator: PeriodEstimator,
    last_value: f64,
    sum: f64,
    first_poll_at: u64,
    last_poll_at: u64,
    pub polls: u32,
    changes: u32,
    /// The number of changes by more than the sensor's smallest step.
    large_changes: u32,
    /// The observed updates, if the sensor measures power.
    pub updates: Vec<SensorUpdate>,
}

impl Sensor {
    pub(super) fn new(metric: Metric, value_index: usize) -> Self {
        Self {
            metric,
            value_index,
            estimator: PeriodEstimator::new(),
            last_value: f64::NAN,
            sum: 0.0,
            first_poll_at: 0,
            last_poll_at: 0,
            polls: 0,
            changes: 0,
            large_changes: 0,
            updates: Vec::new(),
        }
    }

    /// Records the value of a poll at the time `at`.
    pub(super) fn observe(&mut self, at: u64, value: f64) {
        let is_first = self.polls == 0;
        if self.estimator.observe(at, value) && !is_first {
            self.changes += 1;
            self.large_changes += u32::from((value - self.last_value).abs() > 1.5 * smallest_step(self.metric));
            if let Some(scale) = watts_per_unit(self.metric) {
                self.updates.push(SensorUpdate { after: self.last_poll_at, until: at, watts: value * scale });
            }
        }
        if is_first {
            self.first_poll_at = at;
        }
        (self.last_value, self.last_poll_at) = (value, at);
        self.polls += 1;
        self.sum += value;
    }

    /// Returns the mean of all polled values, or `None` if there are none.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.polls > 0).then(|| self.sum / f64::from(self.polls))
    }

    /// Returns the refresh period in nanoseconds, if the data supports one.
    ///
    /// A signal that drifts by single steps or alternates between two values does not change at every refresh. The
    /// times of its changes do not determine the refresh period, even if they are regular.
    pub(super) fn period(&self) -> Option<u64> {
        let varies_freely = self.large_changes * 4 >= self.changes && !self.estimator.alternates();
        self.estimator.period().filter(|_| self.changes >= MIN_CHANGES && varies_freely)
    }

    /// Returns the report on the sensor.
    pub(super) fn report(&self, averaging: Averaging) -> SensorReport {
        let period_ns = self.period();
        let change_pattern = match self.changes {
            _ if period_ns.is_some() => ChangePattern::Periodic,
            0 => ChangePattern::Constant,
            changes if changes >= MIN_CHANGES && changes + 1 >= self.polls / 10 * 9 => ChangePattern::EveryPoll,
            _ => ChangePattern::Irregular,
        };
        let polled_for = (self.last_poll_at - self.first_poll_at) as f64;
        let interval_ns = polled_for / f64::from(self.polls.saturating_sub(1).max(1));
        SensorReport {
            metric: self.metric.name(),
            period_ms: period_ns.map(|period| (period as f64 / 1e4).round() / 1e2),
            change_pattern,
            averaging,
            polls: self.polls,
            changes: self.changes,
            poll_interval_ms: (interval_ns / 1e4).round() / 1e2,
        }
    }
}

/// Returns the factor that converts the value of a call to watts, or `None` if the metric is not a power.
fn watts_per_unit(metric: Metric) -> Option<f64> {
    match metric {
        Metric::POWER_USAGE => Some(1.0),
        Metric::POWER_AVERAGE | Metric::POWER_INSTANT => Some(1e-3),
        _ => None,
    }
}

/// Returns the smallest step between two values of a sensor. The driver returns integers; `Call::read` converts power
/// from milliwatts to watts.
fn smallest_step(metric: Metric) -> f64 {
    if metric == Metric::POWER_USAGE { 1e-3 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Returns a sensor that refreshes every `period_ms` to the value of `signal`, after polls every 4 ms for 20 s.
    fn polled_sensor(metric: Metric, period_ms: u64, signal: fn(f64) -> f64) -> Sensor {
        let mut sensor = Sensor::new(metric, 0);
        for poll in 0..5000 {
            let at_ms = poll * 4;
            let value = signal((at_ms / period_ms * period_ms) as f64 * 1e-3).round();
            sensor.observe(1_000_000 * MS + at_ms * MS, value);
        }
        sensor
    }

    #[test]
    fn varying_signal_has_period() {
        for period_ms in [20, 100, 500] {
            let sensor = polled_sensor(Metric::UTILIZATION_GPU, period_ms, |t| 50.0 + 40.0 * (t * 3.3).sin());
            let ratio = sensor.period().expect("a period") as f64 / (period_ms * MS) as f64;
            assert!((ratio - 1.0).abs() < 0.1, "{period_ms} ms: {ratio}");
            assert_eq!(sensor.report(Averaging::Unknown).change_pattern, ChangePattern::Periodic);
        }
    }

    #[test]
    fn regular_workload_has_no_period() {
        let change_pattern = |sensor: &Sensor| sensor.report(Averaging::Unknown).change_pattern;
        // One signal stays at both of its values equally long, and the other does not.
        let even = |t: f64| if t % 2.0 < 1.0 { 1755.0 } else { 1980.0 };
        let uneven = |t: f64| if t % 4.0 < 3.4 { 1755.0 } else { 1980.0 };
        for signal in [even, uneven] {
            let sensor = polled_sensor(Metric::CLOCK_SM, 100, signal);
            assert_eq!((sensor.period(), change_pattern(&sensor)), (None, ChangePattern::Irregular));
        }
        // The signal drifts by single steps.
        let sensor = polled_sensor(Metric::TEMPERATURE, 100, |t| 40.0 + 2.5 * t);
        assert_eq!((sensor.period(), change_pattern(&sensor)), (None, ChangePattern::Irregular));
        // The sensor refreshes as fast as it is polled.
        let sensor = polled_sensor(Metric::ENERGY, 4, |t| t * 2e5);
        assert_eq!((sensor.period(), change_pattern(&sensor)), (None, ChangePattern::EveryPoll));
        let sensor = polled_sensor(Metric::TEMPERATURE, 100, |_| 41.0);
        assert_eq!((sensor.period(), change_pattern(&sensor)), (None, ChangePattern::Constant));
    }
}
