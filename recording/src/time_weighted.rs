//! Step signals, whose values hold until the next one, and time-weighted sums of them.
//!
//! Times are in nanoseconds of any one clock.

/// A signal whose value holds until the next one, or until the signal stops.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepSignal {
    value: Option<f64>,
    /// The start of the span that is not flushed yet.
    since: u64,
}

/// A value and the time span in which it held.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SignalSpan {
    /// The value.
    pub value: f64,
    /// The start.
    pub from: u64,
    /// The end, no earlier than the beginning.
    pub to: u64,
}

impl SignalSpan {
    /// Returns the duration in nanoseconds.
    #[must_use]
    pub fn ns(self) -> u64 {
        self.to.saturating_sub(self.from)
    }
}

impl StepSignal {
    /// Sets the value from `at` on, and returns the span of the previous value. Does nothing if the value is unchanged.
    /// A time before the previous one counts as the previous one.
    pub fn set(&mut self, at: u64, value: f64) -> Option<SignalSpan> {
        if self.value == Some(value) {
            return None;
        }
        let span = self.flush(at);
        self.since = self.since.max(at);
        self.value = Some(value);
        span
    }

    /// Returns the span up to `at` of a value that continues to hold.
    pub fn flush(&mut self, at: u64) -> Option<SignalSpan> {
        let span = SignalSpan { value: self.value?, from: self.since, to: self.since.max(at) };
        self.since = span.to;
        Some(span)
    }

    /// Stops the signal, which has no value from `at` on, and returns its last span.
    pub fn stop(&mut self, at: u64) -> Option<SignalSpan> {
        let span = self.flush(at);
        self.value = None;
        span
    }
}

/// A sum of values, each weighted by the time for which it held.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TimeWeightedSum {
    /// The sum of value times nanoseconds.
    pub sum: f64,
    /// The total time, in nanoseconds.
    pub ns: u64,
}

impl TimeWeightedSum {
    /// Adds a span.
    pub fn add(&mut self, span: SignalSpan) {
        self.sum += span.value * span.ns() as f64;
        self.ns += span.ns();
    }

    /// Returns the mean over the total time; `None` if that is zero.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.ns > 0).then(|| self.sum / self.ns as f64)
    }

    /// Returns the integral of the value over seconds, such as joules for watts.
    #[must_use]
    pub fn integral(&self) -> f64 {
        self.sum / 1e9
    }

    /// Returns the total time in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        seconds(self.ns)
    }
}

/// Converts nanoseconds to seconds.
#[must_use]
pub fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn span(value: f64, from: u64, to: u64) -> SignalSpan {
        SignalSpan { value, from: from * S, to: to * S }
    }

    #[test]
    fn value_holds_until_next_or_stop() {
        let mut signal = StepSignal::default();
        assert_eq!(signal.flush(S), None);
        assert_eq!(signal.set(S, 4.0), None);
        assert_eq!(signal.set(2 * S, 4.0), None, "unchanged value");
        assert_eq!(signal.set(3 * S, 6.0), Some(span(4.0, 1, 3)));
        assert_eq!(signal.flush(4 * S), Some(span(6.0, 3, 4)));
        assert_eq!(signal.stop(6 * S), Some(span(6.0, 4, 6)));
        assert_eq!(signal.flush(9 * S), None);
        assert_eq!(signal.set(10 * S, 6.0), None);
        assert_eq!(signal.flush(11 * S), Some(span(6.0, 10, 11)));
    }

    #[test]
    fn late_value_does_not_count_time_twice() {
        let mut signal = StepSignal::default();
        signal.set(5 * S, 1.0);
        assert_eq!(signal.flush(7 * S), Some(span(1.0, 5, 7)));
        // A late item: the time up to 7 s is counted already.
        assert_eq!(signal.set(6 * S, 2.0), Some(span(1.0, 7, 7)));
        assert_eq!(signal.flush(8 * S), Some(span(2.0, 7, 8)));
    }
}
