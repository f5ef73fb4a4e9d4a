//! The latency of one call to one GPU.

use super::{CallReport, calls::ProbedCall};
use crate::{Error, sampler::Clocks};

/// The number of failures without a success after which a call is no longer made. Some drivers reject a supported call
/// occasionally, so a single failure is not sufficient.
const MAX_FAILURES: u32 = 3;

/// The durations and failures of one call to one GPU.
#[derive(Clone, Debug, Default)]
pub(super) struct LatencyRecorder {
    /// The durations of the successful calls, in nanoseconds.
    durations_ns: Vec<u64>,
    /// The total duration of all calls, in nanoseconds.
    total_ns: u64,
    failures: u32,
    last_error: Option<Error>,
}

impl LatencyRecorder {
    /// Returns `true` if the call should be made again, within a total time of `max_total_ns`.
    pub(super) fn needs_more(&self, max_total_ns: u64) -> bool {
        let is_unsupported = self.durations_ns.is_empty() && self.failures >= MAX_FAILURES;
        !is_unsupported && (self.total_ns < max_total_ns || (self.durations_ns.is_empty() && self.failures == 0))
    }

    /// Returns `true` if the call was made once and failed.
    pub(super) fn has_only_one_failure(&self) -> bool {
        self.durations_ns.is_empty() && self.failures == 1
    }

    /// Makes the call, and records its duration.
    pub(super) fn time(&mut self, clocks: Clocks, call: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let before = (clocks.monotonic)();
        let result = call();
        self.record((clocks.monotonic)() - before, &result);
        result
    }

    fn record(&mut self, duration_ns: u64, result: &Result<(), Error>) {
        self.total_ns += duration_ns;
        match result {
            Ok(()) => self.durations_ns.push(duration_ns),
            Err(error) => {
                self.failures += 1;
                self.last_error = Some(error.clone());
            }
        }
    }

    /// Returns the report on the call.
    pub(super) fn report(mut self, call: &ProbedCall) -> CallReport {
        self.durations_ns.sort_unstable();
        let supported = !self.durations_ns.is_empty();
        CallReport {
            name: call.name,
            function: call.function,
            supported,
            error: self.last_error.take().filter(|_| !supported),
            calls: self.durations_ns.len() as u32,
            failed_calls: self.failures,
            p50_ns: quantile(&self.durations_ns, 0.5),
            p99_ns: quantile(&self.durations_ns, 0.99),
            max_ns: self.durations_ns.last().copied(),
        }
    }
}

/// Returns a quantile of the sorted values by the nearest-rank method, or `None` if there are no values.
fn quantile(sorted: &[u64], fraction: f64) -> Option<u64> {
    let rank = (sorted.len() as f64 * fraction).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
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
    fn expensive_or_rejected_call_stops_early() {
        let failure = || Err(Error::MissingSymbol { symbol: "nvmlX" });
        let mut expensive = LatencyRecorder::default();
        expensive.record(20_000_000, &Ok(()));
        assert!(!expensive.needs_more(20_000_000) && expensive.needs_more(20_000_001));
        let mut rejected = LatencyRecorder::default();
        for _ in 0..MAX_FAILURES {
            assert!(rejected.needs_more(1000));
            rejected.record(1, &failure());
        }
        assert!(!rejected.needs_more(1000));
        // A failure after a success does not stop the measurement.
        expensive.record(1, &failure());
        assert!(expensive.needs_more(30_000_000));
        let report = expensive.report(&CALLS[0]);
        assert_eq!((report.supported, report.error, report.calls, report.failed_calls), (true, None, 1, 1));
    }
}
