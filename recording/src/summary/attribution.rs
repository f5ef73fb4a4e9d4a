//! The command's part in what happens on a GPU.

use std::collections::VecDeque;

use super::model::{AttributionError, CommandSummary, ExclusiveUse};
use crate::time_weighted::{TimeWeightedSum, seconds};

/// That a process is gone is known when it was not seen for some time: until then nothing is summed up, ns.
const LATE: u64 = 20_000_000_000;
/// More changes are not kept waiting.
const MOST: usize = 4096;
/// Processes of one reading are told one after the other: what they hold together counts once it stood for so long, ns.
const SETTLED: u64 = 10_000_000;

/// The series of which the command's part is told: power, instant power, utilisation, energy.
pub(super) type Sums = [TimeWeightedSum; 4];

/// What can change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Change {
    /// The command has so many processes more, or fewer.
    Own(i64),
    /// Others have.
    Others(i64),
    /// The command's processes hold so many bytes more, or fewer.
    Memory(i64),
    /// One of them that held so many bytes was seen for the last time.
    Freed(i64),
    /// The GPU does not answer, so that nobody knows who is there; or it answers again.
    Silent(bool),
    /// The list of processes was cut: there may be others.
    Cut,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Attribution {
    /// What came so late that it may not be all, by time.
    waiting: VecDeque<(u64, Change)>,
    /// Until when all is summed up, and what the series were by then.
    until: u64,
    sums: Sums,
    own: i64,
    others: i64,
    is_silent: bool,
    is_cut: bool,
    was_there: bool,
    was_shared: bool,
    present_ns: u64,
    alone_ns: u64,
    exclusive: Sums,
    memory: Memory,
}

/// The memory of the command's processes together.
#[derive(Clone, Copy, Debug, Default)]
struct Memory {
    sum: i64,
    since: u64,
    is_known: bool,
    peak: Option<u64>,
}

impl Memory {
    fn change(&mut self, at: u64, by: i64) {
        self.stood(at);
        self.sum = self.sum.saturating_add(by);
        self.is_known = true;
    }

    fn stood(&mut self, until: u64) {
        if self.is_known && until.saturating_sub(self.since) >= SETTLED {
            self.peak = self.peak.max(u64::try_from(self.sum).ok());
        }
        self.since = until;
    }
}

impl Attribution {
    /// From `at` on it is otherwise. What comes too late counts from where all is summed up to.
    pub(super) fn change(&mut self, at: u64, change: Change) {
        let at = at.max(self.until);
        // Who was in a reading held what it held while that was made.
        let at = if matches!(change, Change::Freed(_)) { at.saturating_add(2 * SETTLED) } else { at };
        let place = self.waiting.partition_point(|(other, _)| *other <= at);
        self.waiting.insert(place, (at, change));
    }

    /// Whether it is time to sum up what nothing new can come of. `now`: the latest item's time.
    pub(super) fn is_due(&self, now: u64) -> bool {
        now > self.until.saturating_add(2 * LATE) || self.waiting.len() > MOST
    }

    /// Sums up what nothing new can come of.
    pub(super) fn settle(&mut self, now: u64, sums: impl Fn(u64) -> Sums) {
        while self.waiting.len() > MOST {
            self.apply_first(&sums);
        }
        self.settle_until(now.saturating_sub(LATE), sums);
    }

    /// The recording ends: sums up all.
    pub(super) fn finish(&mut self, end: u64, sums: impl Fn(u64) -> Sums) {
        self.settle_until(end, sums);
        self.memory.stood(end);
        // Its processes were there in the last reading only.
        self.memory.peak = self.memory.peak.or_else(|| u64::try_from(self.memory.sum).ok().filter(|sum| *sum > 0));
    }

    fn settle_until(&mut self, until: u64, sums: impl Fn(u64) -> Sums) {
        while self.waiting.front().is_some_and(|(at, _)| *at <= until) {
            self.apply_first(&sums);
        }
        self.advance(until, &sums);
    }

    fn apply_first(&mut self, sums: &impl Fn(u64) -> Sums) {
        let Some((at, change)) = self.waiting.pop_front() else { return };
        self.advance(at, sums);
        match change {
            Change::Own(by) => self.own += by,
            Change::Others(by) => self.others += by,
            Change::Memory(by) => self.memory.change(at, by),
            Change::Freed(bytes) => self.memory.change(at, bytes.saturating_neg()),
            Change::Silent(is_silent) => self.is_silent = is_silent,
            Change::Cut => self.is_cut = true,
        }
    }

    fn is_alone(&self) -> bool {
        self.own > 0 && self.others == 0 && !self.is_cut && !self.is_silent
    }

    fn advance(&mut self, to: u64, sums: &impl Fn(u64) -> Sums) {
        let Some(ns) = to.checked_sub(self.until).filter(|ns| *ns > 0) else { return };
        let now = sums(to);
        if self.own > 0 {
            self.was_there = true;
            self.present_ns += ns;
            self.was_shared |= self.others > 0;
        }
        if self.is_alone() {
            self.alone_ns += ns;
            for (exclusive, (now, before)) in self.exclusive.iter_mut().zip(now.iter().zip(&self.sums)) {
                exclusive.sum += now.sum - before.sum;
                exclusive.ns += now.ns.saturating_sub(before.ns);
            }
        }
        (self.until, self.sums) = (to, now);
    }

    /// The sums over the time in which only the command's processes were on the GPU.
    pub(super) fn exclusive(&self) -> &Sums {
        &self.exclusive
    }

    /// The command's part but for what the GPU did, once the recording ended.
    pub(super) fn summary(&self) -> CommandSummary {
        let attribution_error = match () {
            // It may have been among those that were cut off.
            () if self.is_cut => Some(AttributionError::ProcessListTruncated),
            () if !self.was_there => Some(AttributionError::NoProcess),
            () if self.alone_ns > 0 => None,
            () if self.was_shared => Some(AttributionError::NeverExclusive),
            () => Some(AttributionError::GpuUnresponsive),
        };
        let exclusive =
            (self.alone_ns > 0).then(|| ExclusiveUse { duration_s: seconds(self.alone_ns), ..ExclusiveUse::default() });
        CommandSummary {
            present_s: seconds(self.present_ns),
            memory_peak_bytes: self.memory.peak,
            exclusive,
            attribution_error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    /// A series that is always 100.
    fn steady(at: u64) -> Sums {
        [TimeWeightedSum { sum: 100.0 * at as f64, ns: at }; 4]
    }

    #[test]
    fn who_was_gone_is_told_late() {
        let mut part = Attribution::default();
        for (at, change) in [(S, Change::Others(1)), (5 * S, Change::Own(1)), (9 * S, Change::Own(1))] {
            part.change(at, change);
        }
        part.settle(10 * S, steady);
        // The other was gone before the command came, and the command's first process was too before the second came.
        for (at, change) in [(3 * S, Change::Others(-1)), (6 * S, Change::Own(-1))] {
            part.change(at, change);
        }
        part.finish(12 * S, steady);
        assert_eq!((part.present_ns, part.alone_ns), (4 * S, 4 * S));
        assert_eq!((part.exclusive[0].mean(), part.exclusive[0].ns), (Some(100.0), 4 * S));
    }

    #[test]
    fn what_is_summed_up_stays() {
        let mut part = Attribution::default();
        part.change(S, Change::Own(1));
        assert!(!part.is_due(2 * LATE));
        assert!(part.is_due(100 * S));
        part.settle(100 * S, steady);
        assert!(!part.is_due(100 * S));
        // By a minute too late.
        part.change(40 * S, Change::Own(-1));
        part.finish(100 * S, steady);
        assert_eq!(part.alone_ns, 79 * S);
    }

    #[test]
    fn who_is_not_in_a_list_that_was_cut_may_have_been_there() {
        let mut part = Attribution::default();
        part.finish(S, steady);
        assert_eq!(part.summary().attribution_error, Some(AttributionError::NoProcess));
        part.change(S, Change::Cut);
        part.finish(2 * S, steady);
        assert_eq!(part.summary().attribution_error, Some(AttributionError::ProcessListTruncated));
    }

    #[test]
    fn few_changes_wait() {
        let mut part = Attribution::default();
        for at in 0..10_000 {
            part.change(at, Change::Own(if at % 2 == 0 { 1 } else { -1 }));
            if part.is_due(at) {
                part.settle(at, steady);
            }
        }
        assert!(part.waiting.len() <= MOST);
        part.finish(10_000, steady);
        assert_eq!(part.present_ns, 5_000);
    }
}
