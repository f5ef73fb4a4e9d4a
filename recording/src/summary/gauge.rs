//! The mean, maximum, and distribution of a series.

use super::{cumulative_history::CumulativeHistory, model::Distribution};
use crate::time_weighted::{SignalSpan, StepSignal, TimeWeightedSum};

/// The mean and the maximum of a series.
#[derive(Clone, Debug, Default)]
pub(super) struct Gauge {
    signal: StepSignal,
    /// The sum of all spans that have ended.
    pub sum: TimeWeightedSum,
    pub max: Option<f64>,
    history: CumulativeHistory,
}

impl Gauge {
    /// Sets the value that holds from `at` on, and returns the span of the previous value.
    pub(super) fn set(&mut self, at: u64, value: f64) -> Option<SignalSpan> {
        self.max = Some(self.max.map_or(value, |max| max.max(value)));
        let span = self.signal.set(at, value);
        self.add(at, span)
    }

    /// Ends the current value at `at`, and returns its span. The value is unknown until it is set again.
    pub(super) fn stop(&mut self, at: u64) -> Option<SignalSpan> {
        let span = self.signal.stop(at);
        self.add(at, span)
    }

    fn add(&mut self, at: u64, span: Option<SignalSpan>) -> Option<SignalSpan> {
        span.into_iter().for_each(|span| self.sum.add(span));
        self.history.push(at, self.sum);
        span
    }

    /// Returns the sum up to a time that can be up to 50 s in the past.
    pub(super) fn sum_at(&self, at: u64) -> TimeWeightedSum {
        let mut sum = self.sum;
        match self.signal.clone().flush(at) {
            Some(span) if at >= span.from => sum.add(span),
            _ => sum = self.history.sum_at(at),
        }
        sum
    }
}

/// The number of bins of a histogram: one for each multiple of 0.001 from 0 to 1.
const BIN_COUNT: usize = 1001;

/// A histogram of a ratio, with the time in each bin.
#[derive(Clone, Debug)]
pub(super) struct RatioHistogram {
    ns: Box<[u64; BIN_COUNT]>,
}

impl Default for RatioHistogram {
    fn default() -> Self {
        Self { ns: Box::new([0; BIN_COUNT]) }
    }
}

impl RatioHistogram {
    /// Adds a span. Values outside of the range from 0 to 1 are added to the first or the last bin.
    pub(super) fn add(&mut self, span: SignalSpan) {
        // The cast saturates at 0.
        let bin = ((span.value * 1000.0).round() as usize).min(BIN_COUNT - 1);
        self.ns[bin] += span.ns();
    }

    /// Returns the smallest ratio that was not exceeded for the given fraction of the time.
    fn quantile(&self, fraction: f64) -> Option<f64> {
        let total_ns: u64 = self.ns.iter().sum();
        let target_ns = (total_ns as f64 * fraction).ceil() as u64;
        let mut cumulative_ns = 0;
        let bin = self.ns.iter().position(|ns| {
            cumulative_ns += ns;
            cumulative_ns >= target_ns.max(1)
        })?;
        Some(bin as f64 / 1000.0)
    }

    /// Returns the distribution of the ratio, whose mean and maximum are those of `gauge`; `None` if no value is known.
    pub(super) fn distribution(&self, gauge: &Gauge) -> Option<Distribution> {
        Some(Distribution {
            mean: gauge.sum.mean()?,
            p5: self.quantile(0.05)?,
            p50: self.quantile(0.5)?,
            p95: self.quantile(0.95)?,
            p99: self.quantile(0.99)?,
            max: gauge.max?,
            covered_s: gauge.sum.seconds(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    #[test]
    fn quantiles_are_weighted_by_time() {
        let (mut gauge, mut histogram) = (Gauge::default(), RatioHistogram::default());
        // 10 % for 6 s, 50 % for 33 s, 98 % for 60 s, 100 % for 1 s.
        let mut at = 0;
        for (value, seconds) in [(0.1, 6), (0.5, 33), (0.98, 60), (1.0, 1)] {
            gauge.set(at, value).into_iter().for_each(|span| histogram.add(span));
            at += seconds * SECOND_NS;
        }
        gauge.stop(at).into_iter().for_each(|span| histogram.add(span));
        let ratio = histogram.distribution(&gauge).unwrap();
        assert_eq!((ratio.p5, ratio.p50, ratio.p95, ratio.p99, ratio.max), (0.1, 0.98, 0.98, 0.98, 1.0));
        assert!((ratio.mean - (0.6 + 16.5 + 58.8 + 1.0) / 100.0).abs() < 1e-12, "{}", ratio.mean);
        assert_eq!(ratio.covered_s, 100.0);
    }

    #[test]
    fn out_of_range_values_are_clamped() {
        let mut histogram = RatioHistogram::default();
        for value in [-3.0, 7.0] {
            histogram.add(SignalSpan { value, from: 0, to: SECOND_NS });
        }
        assert_eq!((histogram.quantile(0.5), histogram.quantile(1.0)), (Some(0.0), Some(1.0)));
        assert_eq!(RatioHistogram::default().quantile(0.5), None);
    }
}
