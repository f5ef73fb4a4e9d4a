//! How often a sensor refreshes, from when its polled value changes.

use super::{ChangePattern, SensorReport, averaging::SensorUpdate};
use crate::{metric::Metric, sampler::period_estimator::PeriodEstimator};

/// Fewer changes than this are no proof of a period.
const ENOUGH: u32 = 6;

/// One number of a poll.
#[derive(Debug)]
pub(super) struct Sensor {
    pub metric: Metric,
    /// Where it stands among the numbers of the call or the batch.
    pub place: usize,
    estimator: PeriodEstimator,
    value: f64,
    sum: f64,
    polled: u64,
    since: u64,
    pub polls: u32,
    changes: u32,
    /// Changes by more than the sensor's smallest step.
    larger: u32,
    /// Of power: what it showed after each refresh that was seen.
    pub shown: Vec<SensorUpdate>,
}

impl Sensor {
    pub(super) fn new(metric: Metric, place: usize) -> Self {
        Self {
            metric,
            place,
            estimator: PeriodEstimator::new(),
            value: f64::NAN,
            sum: 0.0,
            polled: 0,
            since: 0,
            polls: 0,
            changes: 0,
            larger: 0,
            shown: Vec::new(),
        }
    }

    /// A poll at `at` gave this number.
    pub(super) fn saw(&mut self, at: u64, number: f64) {
        let first = self.polls == 0;
        if self.estimator.observe(at, number) && !first {
            self.changes += 1;
            self.larger += u32::from((number - self.value).abs() > 1.5 * smallest_step(self.metric));
            if let Some(scale) = watts(self.metric) {
                self.shown.push(SensorUpdate { after: self.polled, at, watts: number * scale });
            }
        }
        if first {
            self.since = at;
        }
        (self.value, self.polled) = (number, at);
        self.polls += 1;
        self.sum += number;
    }

    /// The mean of all polls.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.polls > 0).then(|| self.sum / f64::from(self.polls))
    }

    /// The refresh period, ns, where the values show it.
    ///
    /// A signal that creeps from one number to the next, or goes to and fro between two, changes at times of its own,
    /// however regular: where most changes are by the smallest step there is, or back to where it was, no period is
    /// believed.
    pub(super) fn period(&self) -> Option<u64> {
        let moves_freely = self.larger * 4 >= self.changes && !self.estimator.alternates();
        self.estimator.period().filter(|_| self.changes >= ENOUGH && moves_freely)
    }

    pub(super) fn report(&self, averaging: super::Averaging) -> SensorReport {
        let period = self.period();
        let change_pattern = match self.changes {
            _ if period.is_some() => ChangePattern::Periodic,
            0 => ChangePattern::Constant,
            changes if changes >= ENOUGH && changes + 1 >= self.polls / 10 * 9 => ChangePattern::EveryPoll,
            _ => ChangePattern::Irregular,
        };
        let interval = (self.polled - self.since) as f64 / f64::from(self.polls.saturating_sub(1).max(1));
        SensorReport {
            metric: self.metric.name(),
            period_ms: period.map(|period| (period as f64 / 1e4).round() / 1e2),
            change_pattern,
            averaging,
            polls: self.polls,
            changes: self.changes,
            poll_interval_ms: (interval / 1e4).round() / 1e2,
        }
    }
}

/// By what the driver's number is multiplied to be watts; `None` for what is no power.
fn watts(metric: Metric) -> Option<f64> {
    match metric {
        Metric::POWER_USAGE => Some(1.0),
        Metric::POWER_AVERAGE | Metric::POWER_INSTANT => Some(1e-3),
        _ => None,
    }
}

/// Returns the smallest step between two numbers of a sensor. The driver returns whole numbers; `Call::read` converts
/// power to W.
fn smallest_step(metric: Metric) -> f64 {
    if metric == Metric::POWER_USAGE { 1e-3 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// A sensor that refreshes each `period` ms to what `signal` is then, polled each 4 ms for 20 s.
    fn watched(metric: Metric, period: u64, signal: fn(f64) -> f64) -> Sensor {
        let mut sensor = Sensor::new(metric, 0);
        for poll in 0..5000 {
            let at = poll * 4;
            sensor.saw(1_000_000 * MS + at * MS, signal((at / period * period) as f64 * 1e-3).round());
        }
        sensor
    }

    #[test]
    fn varying_signal_has_period() {
        for period in [20, 100, 500] {
            let sensor = watched(Metric::UTILIZATION_GPU, period, |t| 50.0 + 40.0 * (t * 3.3).sin());
            let found = sensor.period().expect("a period") as f64 / (period * MS) as f64;
            assert!((found - 1.0).abs() < 0.1, "{period} ms: {found}");
            assert_eq!(sensor.report(super::super::Averaging::Unknown).change_pattern, ChangePattern::Periodic);
        }
    }

    #[test]
    fn regular_workload_has_no_period() {
        let change_pattern = |sensor: &Sensor| sensor.report(super::super::Averaging::Unknown).change_pattern;
        // To and fro between two values, evenly and not.
        let even = |t: f64| if t % 2.0 < 1.0 { 1755.0 } else { 1980.0 };
        let uneven = |t: f64| if t % 4.0 < 3.4 { 1755.0 } else { 1980.0 };
        for signal in [even, uneven] {
            let sensor = watched(Metric::CLOCK_SM, 100, signal);
            assert_eq!((sensor.period(), change_pattern(&sensor)), (None, ChangePattern::Irregular));
        }
        // Creeping by ones.
        let sensor = watched(Metric::TEMPERATURE, 100, |t| 40.0 + 2.5 * t);
        assert_eq!((sensor.period(), change_pattern(&sensor)), (None, ChangePattern::Irregular));
        // Quicker than the polls; constant.
        let sensor = watched(Metric::ENERGY, 4, |t| t * 2e5);
        assert_eq!((sensor.period(), change_pattern(&sensor)), (None, ChangePattern::EveryPoll));
        let sensor = watched(Metric::TEMPERATURE, 100, |_| 41.0);
        assert_eq!((sensor.period(), change_pattern(&sensor)), (None, ChangePattern::Constant));
    }
}
