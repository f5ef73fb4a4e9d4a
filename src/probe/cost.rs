//! What each call costs, by the real monotonic clock.

use super::{
    Target,
    calls::{CALLS, ProbedCall, Room},
};
use crate::{Error, sampler::monotonic};

/// What making one call of one GPU over and over has shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Cost {
    /// Nanoseconds of each call that was answered.
    times: Vec<u64>,
    spent: u64,
    refused: u32,
    why: Option<Error>,
}

/// A call refused so often and never answered is left alone: one refusal is no proof.
const PATIENCE: u32 = 3;
/// One call of one GPU gets so much of the time that its GPU has: a dear one must not eat the others'.
const PART: u64 = 8;
/// … and no more than this, ns: dear calls hold the driver's locks, which the GPU's users wait for.
const LONGEST: u64 = 300_000_000;

/// How much may be measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The most calls of each.
    pub calls: u32,
    /// When to end, by the monotonic clock; each call is made once also when that is over.
    pub until: u64,
}

/// Makes all calls of all GPUs in turn, round after round, so that each meets whatever load there is in all of the time.
/// `told` is called before each call, with its GPU and function.
pub(super) fn measure(targets: &mut [Target], limits: Limits, mut told: impl FnMut(u32, &'static str)) {
    let begin = monotonic();
    let whole = limits.until.saturating_sub(begin).max(1);
    let each = (whole / PART / targets.len().max(1) as u64).min(LONGEST);
    let mut rooms: Vec<Room> = targets.iter().filter_map(Target::device).map(|gpu| Room::new(gpu.nvml())).collect();
    for round in 0..limits.calls {
        let mut made = 0;
        for (target, room) in targets.iter_mut().filter(|target| target.device.is_some()).zip(&mut rooms) {
            for (place, call) in CALLS.iter().enumerate() {
                let over = round > 0 && monotonic() >= limits.until;
                if !over && target.costs.get(place).is_some_and(|cost| cost.wants_more(each)) {
                    told(target.index, call.function);
                    made += u32::from(target.make(place, call, room));
                }
            }
        }
        if made == 0 || monotonic() >= limits.until {
            return;
        }
    }
}

impl Target {
    /// Makes one call and keeps what it took; false when the GPU is gone. The first refusal is questioned at once:
    /// a driver that refuses each nth call may refuse the same one in each round.
    fn make(&mut self, place: usize, call: &ProbedCall, room: &mut Room) -> bool {
        let (Some(device), Some(cost), None) = (&self.device, self.costs.get_mut(place), &self.error) else {
            return false;
        };
        let mut answer = cost.ask(|| call.make(device, room));
        if cost.times.is_empty() && cost.refused == 1 {
            answer = cost.ask(|| call.make(device, room));
        }
        if let Err(error) = answer
            && error.is_gpu_gone()
        {
            self.error = Some(error);
        }
        true
    }
}

impl Cost {
    fn wants_more(&self, each: u64) -> bool {
        let refused = self.times.is_empty() && self.refused >= PATIENCE;
        !refused && (self.spent < each || (self.times.is_empty() && self.refused == 0))
    }

    fn ask(&mut self, make: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let before = monotonic();
        let answer = make();
        self.saw(monotonic() - before, &answer);
        answer
    }

    fn saw(&mut self, time: u64, answer: &Result<(), Error>) {
        self.spent += time;
        match answer {
            Ok(()) => self.times.push(time),
            Err(error) => {
                self.refused += 1;
                self.why = Some(error.clone());
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
            reason: self.why.take().filter(|_| !supported),
            calls: self.times.len() as u32,
            refused: self.refused,
            p50_ns: quantile(&self.times, 0.5),
            p99_ns: quantile(&self.times, 0.99),
            max_ns: self.times.last().copied(),
            system_calls: None,
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

    #[test]
    fn quantiles_are_times_that_were_measured() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!((quantile(&hundred, 0.5), quantile(&hundred, 0.99)), (Some(50), Some(99)));
        assert_eq!((quantile(&[7], 0.5), quantile(&[7], 0.99), quantile(&[], 0.5)), (Some(7), Some(7), None));
        assert_eq!(quantile(&[1, 9], 0.99), Some(9));
    }

    #[test]
    fn a_dear_call_stops_and_a_refused_one_is_asked_three_times() {
        let refusal = || Err(Error::MissingSymbol { symbol: "nvmlX" });
        let mut cost = Cost::default();
        cost.saw(20_000_000, &Ok(()));
        assert!(!cost.wants_more(20_000_000) && cost.wants_more(20_000_001));
        let mut refused = Cost::default();
        for _ in 0..PATIENCE {
            assert!(refused.wants_more(1000));
            refused.saw(1, &refusal());
        }
        assert!(!refused.wants_more(1000));
        // One refusal among answers is no end.
        cost.saw(1, &refusal());
        assert!(cost.wants_more(30_000_000));
        let report = cost.report(&CALLS[0]);
        assert_eq!((report.supported, report.reason, report.calls, report.refused), (true, None, 1, 1));
    }
}
