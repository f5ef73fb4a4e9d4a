//! Step signals, which hold each value until the next value, and time-weighted sums of their values.
//!
//! Times are in nanoseconds. Their epoch is arbitrary but must be the same for all times of a signal.

/// A signal whose value holds until the next value is set or the signal stops.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepSignal {
    value: Option<f64>,
    /// The end of the last returned span.
    since: u64,
}

/// A value and the time span in which it held.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SignalSpan {
    /// The value.
    pub value: f64,
    /// The start of the span, in nanoseconds.
    pub from: u64,
    /// The end of the span, in nanoseconds; at least `from`.
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
    /// Sets the value that holds from `at` on, and returns the span of the previous value. Does nothing and returns `None`
    /// if the value is unchanged. If `at` is before the end of the last returned span, that end is used instead.
    pub fn set(&mut self, at: u64, value: f64) -> Option<SignalSpan> {
        if self.value == Some(value) {
            return None;
        }
        let span = self.flush(at);
        self.since = self.since.max(at);
        self.value = Some(value);
        span
    }

    /// Returns the span of the current value up to `at`. The value continues to hold.
    pub fn flush(&mut self, at: u64) -> Option<SignalSpan> {
        let span = SignalSpan { value: self.value?, from: self.since, to: self.since.max(at) };
        self.since = span.to;
        Some(span)
    }

    /// Stops the signal at `at` and returns the span of its last value. A stopped signal has no value.
    pub fn stop(&mut self, at: u64) -> Option<SignalSpan> {
        let span = self.flush(at);
        self.value = None;
        span
    }
}

/// A sum of values weighted by the time for which they held.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TimeWeightedSum {
    /// The sum of the products of value and time, in the value's unit times nanoseconds.
    pub sum: f64,
    /// The total time, in nanoseconds.
    pub ns: u64,
}

impl TimeWeightedSum {
    /// Adds the value of a span, weighted by its duration.
    pub fn add(&mut self, span: SignalSpan) {
        self.sum += span.value * span.ns() as f64;
        self.ns += span.ns();
    }

    /// Returns the mean over the total time; `None` if the total time is zero.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.ns > 0).then(|| self.sum / self.ns as f64)
    }

    /// Returns the integral of the value over time, in the value's unit times seconds. The integral of power in watts
    /// is energy in joules.
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

    const SECOND_NS: u64 = 1_000_000_000;

    fn span(value: f64, from: u64, to: u64) -> SignalSpan {
        SignalSpan { value, from: from * SECOND_NS, to: to * SECOND_NS }
    }

    #[test]
    fn value_holds_until_next_or_stop() {
        let mut signal = StepSignal::default();
        assert_eq!(signal.flush(SECOND_NS), None);
        assert_eq!(signal.set(SECOND_NS, 4.0), None);
        assert_eq!(signal.set(2 * SECOND_NS, 4.0), None, "unchanged value");
        assert_eq!(signal.set(3 * SECOND_NS, 6.0), Some(span(4.0, 1, 3)));
        assert_eq!(signal.flush(4 * SECOND_NS), Some(span(6.0, 3, 4)));
        assert_eq!(signal.stop(6 * SECOND_NS), Some(span(6.0, 4, 6)));
        assert_eq!(signal.flush(9 * SECOND_NS), None);
        assert_eq!(signal.set(10 * SECOND_NS, 6.0), None);
        assert_eq!(signal.flush(11 * SECOND_NS), Some(span(6.0, 10, 11)));
    }

    #[test]
    fn late_value_is_not_counted_twice() {
        let mut signal = StepSignal::default();
        signal.set(5 * SECOND_NS, 1.0);
        assert_eq!(signal.flush(7 * SECOND_NS), Some(span(1.0, 5, 7)));
        // The value is late, and the time up to 7 s has already been counted.
        assert_eq!(signal.set(6 * SECOND_NS, 2.0), Some(span(1.0, 7, 7)));
        assert_eq!(signal.flush(8 * SECOND_NS), Some(span(2.0, 7, 8)));
    }
}
