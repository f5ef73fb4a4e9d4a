//! The cost of one call to one GPU, by the monotonic clock.

use super::calls::ProbedCall;
use crate::{Error, sampler::Clocks};

/// The results of making one call to one GPU repeatedly.
#[derive(Clone, Debug, Default)]
pub(super) struct LatencyRecorder {
    /// Nanoseconds of each call that was answered.
    times: Vec<u64>,
    spent: u64,
    failures: u32,
    last_error: Option<Error>,
}

/// A call that was refused this often and never answered is skipped; a single refusal proves nothing.
const MAX_REFUSALS: u32 = 3;
impl LatencyRecorder {
    /// Returns whether to make the call again, within a budget of `each` nanoseconds.
    pub(super) fn wants_more(&self, each: u64) -> bool {
        let refused = self.times.is_empty() && self.failures >= MAX_REFUSALS;
        !refused && (self.spent < each || (self.times.is_empty() && self.failures == 0))
    }

    /// Returns whether the call was made once and refused.
    pub(super) fn is_refused_once(&self) -> bool {
        self.times.is_empty() && self.failures == 1
    }

    /// Makes the call, and records its duration.
    pub(super) fn measure(&mut self, clocks: Clocks, make: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let before = (clocks.monotonic)();
        let answer = make();
        self.saw((clocks.monotonic)() - before, &answer);
        answer
    }

    fn saw(&mut self, time: u64, answer: &Result<(), Error>) {
        self.spent += time;
        match answer {
            Ok(()) => self.times.push(time),
            Err(error) => {
                self.failures += 1;
                self.last_error = Some(error.clone());
            }
        }
    }

    /// The report on it.
    pub(super) fn report(mut self, call: &ProbedCall) -> super::CallReport {
        self.times.sort_unstable();
        let supported = !self.times.is_empty();
        super::CallReport {
            name: call.name,
            function: call.function,
            supported,
            error: self.last_error.take().filter(|_| !supported),
            calls: self.times.len() as u32,
            failed_calls: self.failures,
            p50_ns: quantile(&self.times, 0.5),
            p99_ns: quantile(&self.times, 0.99),
            max_ns: self.times.last().copied(),
        }
    }
}

/// The smallest of the sorted times that so large a part of them does not exceed.
fn quantile(sorted: &[u64], part: f64) -> Option<u64> {
    let place = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::calls::CALLS;

    #[test]
    fn quantiles_are_measured_latencies() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!((quantile(&hundred, 0.5), quantile(&hundred, 0.99)), (Some(50), Some(99)));
        assert_eq!((quantile(&[7], 0.5), quantile(&[7], 0.99), quantile(&[], 0.5)), (Some(7), Some(7), None));
        assert_eq!(quantile(&[1, 9], 0.99), Some(9));
    }

    #[test]
    fn expensive_or_refused_call_stops_early() {
        let refusal = || Err(Error::MissingSymbol { symbol: "nvmlX" });
        let mut cost = LatencyRecorder::default();
        cost.saw(20_000_000, &Ok(()));
        assert!(!cost.wants_more(20_000_000) && cost.wants_more(20_000_001));
        let mut refused = LatencyRecorder::default();
        for _ in 0..MAX_REFUSALS {
            assert!(refused.wants_more(1000));
            refused.saw(1, &refusal());
        }
        assert!(!refused.wants_more(1000));
        // One refusal among answers is no end.
        cost.saw(1, &refusal());
        assert!(cost.wants_more(30_000_000));
        let report = cost.report(&CALLS[0]);
        assert_eq!((report.supported, report.error, report.calls, report.failed_calls), (true, None, 1, 1));
    }
}
