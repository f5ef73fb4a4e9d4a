//! Values that hold until the next one.

use super::{
    data::{Spread, seconds},
    track::Track,
};

/// A value, and since when it counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hold {
    value: Option<f64>,
    since: u64,
}

/// A value, and for how many nanoseconds it was so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    pub value: f64,
    pub ns: u64,
}

impl Hold {
    /// From `at` on it is `value`: gives how long it was what it was before. Nothing new when it is that already.
    pub fn set(&mut self, at: u64, value: f64) -> Option<Span> {
        if self.value == Some(value) {
            return None;
        }
        let span = self.cut(at);
        self.since = self.since.max(at);
        self.value = Some(value);
        span
    }

    /// Gives how long it was what it is, which goes on.
    pub fn cut(&mut self, at: u64) -> Option<Span> {
        let span = Span { value: self.value?, ns: at.saturating_sub(self.since) };
        self.since = self.since.max(at);
        Some(span)
    }

    /// From `at` on nobody knows it.
    pub fn stop(&mut self, at: u64) -> Option<Span> {
        let span = self.cut(at);
        self.value = None;
        span
    }
}

/// A mean over time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Mean {
    /// The sum of value times nanoseconds.
    pub sum: f64,
    pub ns: u64,
}

impl Mean {
    pub fn add(&mut self, span: Span) {
        self.sum += span.value * span.ns as f64;
        self.ns += span.ns;
    }

    pub fn mean(&self) -> Option<f64> {
        (self.ns > 0).then(|| self.sum / self.ns as f64)
    }

    /// The sum of value times seconds: of watts, joules.
    pub fn integral(&self) -> f64 {
        self.sum / 1e9
    }

    pub fn seconds(&self) -> f64 {
        seconds(self.ns)
    }
}

/// A series' mean and its greatest value.
#[derive(Clone, Debug, Default)]
pub(super) struct Gauge {
    hold: Hold,
    pub all: Mean,
    pub max: Option<f64>,
    track: Track,
}

impl Gauge {
    /// From `at` on it is `value`. Gives how long it was what it was before.
    pub fn set(&mut self, at: u64, value: f64) -> Option<Span> {
        self.max = Some(self.max.map_or(value, |max| max.max(value)));
        let span = self.hold.set(at, value);
        self.add(at, span)
    }

    /// From `at` on nobody knows it.
    pub fn stop(&mut self, at: u64) -> Option<Span> {
        let span = self.hold.stop(at);
        self.add(at, span)
    }

    fn add(&mut self, at: u64, span: Option<Span>) -> Option<Span> {
        span.into_iter().for_each(|span| self.all.add(span));
        self.track.mark(at, self.all);
        span
    }

    /// What it summed up to until `at`, which may be some time ago.
    pub fn until(&self, at: u64) -> Mean {
        let mut all = self.all;
        match self.hold.clone().cut(at) {
            Some(span) if at >= self.hold.since => all.add(span),
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
    pub fn add(&mut self, span: Span) {
        // A cast saturates: what is below 0 counts as 0.
        let bin = ((span.value * 1000.0).round() as usize).min(BINS - 1);
        self.ns[bin] += span.ns;
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

    pub fn spread(&self, gauge: &Gauge) -> Option<Spread> {
        Some(Spread {
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
    fn a_value_holds_until_the_next_or_until_nobody_knows_it() {
        let mut hold = Hold::default();
        assert_eq!(hold.cut(S), None);
        assert_eq!(hold.set(S, 4.0), None);
        assert_eq!(hold.set(2 * S, 4.0), None, "nothing new");
        assert_eq!(hold.set(3 * S, 6.0), Some(Span { value: 4.0, ns: 2 * S }));
        assert_eq!(hold.cut(4 * S), Some(Span { value: 6.0, ns: S }));
        assert_eq!(hold.stop(6 * S), Some(Span { value: 6.0, ns: 2 * S }));
        assert_eq!(hold.cut(9 * S), None);
        assert_eq!(hold.set(10 * S, 6.0), None);
        assert_eq!(hold.cut(11 * S), Some(Span { value: 6.0, ns: S }));
    }

    #[test]
    fn time_never_runs_backwards() {
        let mut hold = Hold::default();
        hold.set(5 * S, 1.0);
        assert_eq!(hold.cut(7 * S), Some(Span { value: 1.0, ns: 2 * S }));
        // An item that is late: the time up to 7 s is counted already.
        assert_eq!(hold.set(6 * S, 2.0), Some(Span { value: 1.0, ns: 0 }));
        assert_eq!(hold.cut(8 * S), Some(Span { value: 2.0, ns: S }));
    }

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
            histogram.add(Span { value, ns: S });
        }
        assert_eq!((histogram.quantile(0.5), histogram.quantile(1.0)), (Some(0.0), Some(1.0)));
        assert_eq!(Histogram::default().quantile(0.5), None);
    }
}
