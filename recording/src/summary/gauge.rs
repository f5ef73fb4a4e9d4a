//! The mean, greatest value and distribution of a series.

use super::{cumulative_history::CumulativeHistory, model::Distribution};
use crate::time_weighted::{SignalSpan, StepSignal, TimeWeightedSum};

/// A series' mean and its greatest value.
#[derive(Clone, Debug, Default)]
pub(super) struct Gauge {
    signal: StepSignal,
    pub all: TimeWeightedSum,
    pub max: Option<f64>,
    track: CumulativeHistory,
}

impl Gauge {
    /// From `at` on it is `value`. Gives how long it was what it was before.
    pub(super) fn set(&mut self, at: u64, value: f64) -> Option<SignalSpan> {
        self.max = Some(self.max.map_or(value, |max| max.max(value)));
        let span = self.signal.set(at, value);
        self.add(at, span)
    }

    /// From `at` on nobody knows it.
    pub(super) fn stop(&mut self, at: u64) -> Option<SignalSpan> {
        let span = self.signal.stop(at);
        self.add(at, span)
    }

    fn add(&mut self, at: u64, span: Option<SignalSpan>) -> Option<SignalSpan> {
        span.into_iter().for_each(|span| self.all.add(span));
        self.track.mark(at, self.all);
        span
    }

    /// What it summed up to until `at`, which may be some time ago.
    pub(super) fn until(&self, at: u64) -> TimeWeightedSum {
        let mut all = self.all;
        match self.signal.clone().flush(at) {
            Some(span) if at >= span.from => all.add(span),
            _ => all = self.track.until(at),
        }
        all
    }
}

/// A thousand bins of a ratio, and one for 1.
const BINS: usize = 1001;

/// For how long a ratio was what: to a thousandth.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    ns: Box<[u64; BINS]>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { ns: Box::new([0; BINS]) }
    }
}

impl Histogram {
    pub(super) fn add(&mut self, span: SignalSpan) {
        // A cast saturates: what is below 0 counts as 0.
        let bin = ((span.value * 1000.0).round() as usize).min(BINS - 1);
        self.ns[bin] += span.ns();
    }

    /// The least value that is not exceeded for this part of the time.
    fn quantile(&self, part: f64) -> Option<f64> {
        let all: u64 = self.ns.iter().sum();
        let wanted = (all as f64 * part).ceil() as u64;
        let mut below = 0;
        let bin = self.ns.iter().position(|ns| {
            below += ns;
            below >= wanted.max(1)
        })?;
        Some(bin as f64 / 1000.0)
    }

    pub(super) fn spread(&self, gauge: &Gauge) -> Option<Distribution> {
        Some(Distribution {
            mean: gauge.all.mean()?,
            p5: self.quantile(0.05)?,
            p50: self.quantile(0.5)?,
            p95: self.quantile(0.95)?,
            p99: self.quantile(0.99)?,
            max: gauge.max?,
            covered_s: gauge.all.seconds(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn quantiles_are_of_time_not_of_items() {
        let (mut gauge, mut histogram) = (Gauge::default(), Histogram::default());
        // 6 s of 10 %, 33 s of 50 %, 60 s of 98 %, 1 s of 100 %.
        let mut at = 0;
        for (value, seconds) in [(0.1, 6), (0.5, 33), (0.98, 60), (1.0, 1)] {
            gauge.set(at, value).into_iter().for_each(|span| histogram.add(span));
            at += seconds * S;
        }
        gauge.stop(at).into_iter().for_each(|span| histogram.add(span));
        let spread = histogram.spread(&gauge).unwrap();
        assert_eq!((spread.p5, spread.p50, spread.p95, spread.p99, spread.max), (0.1, 0.98, 0.98, 0.98, 1.0));
        assert!((spread.mean - (0.6 + 16.5 + 58.8 + 1.0) / 100.0).abs() < 1e-12, "{}", spread.mean);
        assert_eq!(spread.covered_s, 100.0);
    }

    #[test]
    fn what_is_no_ratio_stays_within_the_bins() {
        let mut histogram = Histogram::default();
        for value in [-3.0, 7.0] {
            histogram.add(SignalSpan { value, from: 0, to: S });
        }
        assert_eq!((histogram.quantile(0.5), histogram.quantile(1.0)), (Some(0.0), Some(1.0)));
        assert_eq!(Histogram::default().quantile(0.5), None);
    }
}
