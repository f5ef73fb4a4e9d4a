//! The attribution of GPU usage to the command.

use std::collections::VecDeque;

use super::model::{AttributionError, CommandSummary, ExclusiveUse};
use crate::time_weighted::{TimeWeightedSum, seconds};

/// The time after which no more changes at an earlier time are expected, in nanoseconds. The end of a process is
/// recorded several seconds after the process was last seen, with the time at which it was last seen.
pub(super) const SETTLE_DELAY_NS: u64 = 20_000_000_000;
/// The maximum number of pending changes. If it is exceeded, the oldest changes are applied early.
const MAX_PENDING_CHANGES: usize = 4096;
/// The time for which a total of device memory must hold to be included in the peak, in nanoseconds. The processes of a
/// process list are recorded sequentially. The totals between two of these items are only partial updates.
const MEMORY_SETTLE_NS: u64 = 10_000_000;

/// The cumulative sums that are attributed: power, instant power, utilization, and energy.
pub(super) type AttributedSums = [TimeWeightedSum; 4];

/// A change of the state of a GPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Change {
    /// A change in the number of the command's processes.
    OwnProcesses(i64),
    /// A change in the number of other processes.
    OtherProcesses(i64),
    /// A change in the device memory of the command's processes, in bytes.
    OwnMemory(i64),
    /// The decrease in the device memory of the command's processes, in bytes, when a process was last seen.
    OwnMemoryFreed(i64),
    /// The process list became available (`true`) or unavailable (`false`).
    ListAvailable(bool),
    /// A process list was truncated. From this time on, other processes may be on the GPU without being listed.
    ListTruncated,
}

/// The attribution of the usage of a GPU to the command.
///
/// Changes can be recorded late and out of order. Each change is held for [`SETTLE_DELAY_NS`], and changes are then applied
/// in order of time.
#[derive(Clone, Debug)]
pub(super) struct Attribution {
    /// The changes that have not been applied, sorted by time.
    pending: VecDeque<(u64, Change)>,
    /// The time up to which the state and the sums below are final.
    settled_until: u64,
    /// The cumulative sums of the GPU at `settled_until`.
    sums: AttributedSums,
    own_processes: i64,
    other_processes: i64,
    is_list_available: bool,
    is_list_truncated: bool,
    was_present: bool,
    was_shared: bool,
    present_ns: u64,
    exclusive_ns: u64,
    /// The sums over the time of exclusive use.
    exclusive: AttributedSums,
    memory: OwnMemory,
}

impl Default for Attribution {
    fn default() -> Self {
        Self {
            pending: VecDeque::new(),
            settled_until: 0,
            sums: AttributedSums::default(),
            own_processes: 0,
            other_processes: 0,
            is_list_available: true,
            is_list_truncated: false,
            was_present: false,
            was_shared: false,
            present_ns: 0,
            exclusive_ns: 0,
            exclusive: AttributedSums::default(),
            memory: OwnMemory::default(),
        }
    }
}

/// The total device memory of the command's processes, in bytes.
#[derive(Clone, Copy, Debug, Default)]
struct OwnMemory {
    total: i64,
    since: u64,
    is_known: bool,
    peak: Option<u64>,
}

impl OwnMemory {
    fn change(&mut self, at: u64, bytes: i64) {
        self.commit(at);
        self.total = self.total.saturating_add(bytes);
        self.is_known = true;
    }

    /// Includes the current total in the peak if it held for long enough.
    fn commit(&mut self, until: u64) {
        if self.is_known && until.saturating_sub(self.since) >= MEMORY_SETTLE_NS {
            self.peak = self.peak.max(u64::try_from(self.total).ok());
        }
        self.since = until;
    }
}

impl Attribution {
    /// Records a change at a time. If the time is already settled, the change takes effect at the end of the settled time.
    pub(super) fn record(&mut self, at: u64, change: Change) {
        let at = at.max(self.settled_until);
        // The process still had its memory when the list in which it was last seen was read.
        let is_freed = matches!(change, Change::OwnMemoryFreed(_));
        let at = if is_freed { at.saturating_add(2 * MEMORY_SETTLE_NS) } else { at };
        let index = self.pending.partition_point(|(other, _)| *other <= at);
        self.pending.insert(index, (at, change));
    }

    /// Returns `true` if changes are due to be applied. `now` is the time of the latest item.
    pub(super) fn is_due(&self, now: u64) -> bool {
        now > self.settled_until.saturating_add(2 * SETTLE_DELAY_NS) || self.pending.len() > MAX_PENDING_CHANGES
    }

    /// Applies the changes that are older than the settle delay. `sums_at` returns the cumulative sums at a time.
    pub(super) fn settle(&mut self, now: u64, sums_at: impl Fn(u64) -> AttributedSums) {
        while self.pending.len() > MAX_PENDING_CHANGES {
            self.apply_first(&sums_at);
        }
        self.settle_until(now.saturating_sub(SETTLE_DELAY_NS), sums_at);
    }

    /// Applies all changes at the end of the recording.
    pub(super) fn finish(&mut self, end: u64, sums_at: impl Fn(u64) -> AttributedSums) {
        self.settle_until(end, sums_at);
        self.memory.commit(end);
        // If the processes were seen only in the last reading, their total did not hold for long enough.
        self.memory.peak =
            self.memory.peak.or_else(|| u64::try_from(self.memory.total).ok().filter(|total| *total > 0));
    }

    fn settle_until(&mut self, until: u64, sums_at: impl Fn(u64) -> AttributedSums) {
        while self.pending.front().is_some_and(|(at, _)| *at <= until) {
            self.apply_first(&sums_at);
        }
        self.advance(until, &sums_at);
    }

    fn apply_first(&mut self, sums_at: &impl Fn(u64) -> AttributedSums) {
        let Some((at, change)) = self.pending.pop_front() else { return };
        self.advance(at, sums_at);
        match change {
            Change::OwnProcesses(count) => self.own_processes += count,
            Change::OtherProcesses(count) => self.other_processes += count,
            Change::OwnMemory(bytes) => self.memory.change(at, bytes),
            Change::OwnMemoryFreed(bytes) => self.memory.change(at, bytes.saturating_neg()),
            Change::ListAvailable(is_available) => self.is_list_available = is_available,
            Change::ListTruncated => self.is_list_truncated = true,
        }
    }

    fn is_exclusive(&self) -> bool {
        self.own_processes > 0 && self.other_processes == 0 && !self.is_list_truncated && self.is_list_available
    }

    /// Attributes the time up to `to`, in which the current state held.
    fn advance(&mut self, to: u64, sums_at: &impl Fn(u64) -> AttributedSums) {
        let Some(ns) = to.checked_sub(self.settled_until).filter(|ns| *ns > 0) else { return };
        let sums = sums_at(to);
        if self.own_processes > 0 {
            self.was_present = true;
            self.present_ns += ns;
            self.was_shared |= self.other_processes > 0;
        }
        if self.is_exclusive() {
            self.exclusive_ns += ns;
            for (exclusive, (now, before)) in self.exclusive.iter_mut().zip(sums.iter().zip(&self.sums)) {
                exclusive.sum += now.sum - before.sum;
                exclusive.ns += now.ns.saturating_sub(before.ns);
            }
        }
        (self.settled_until, self.sums) = (to, sums);
    }

    /// Returns the sums over the time of exclusive use.
    pub(super) fn exclusive(&self) -> &AttributedSums {
        &self.exclusive
    }

    /// Returns the usage by the command after [`finish`](Self::finish). The caller adds the values that are computed
    /// from the sums.
    pub(super) fn summary(&self) -> CommandSummary {
        let attribution_error = match () {
            // The processes of the command may be among those that were omitted from the list.
            () if self.is_list_truncated => Some(AttributionError::ProcessListTruncated),
            () if !self.was_present => Some(AttributionError::NoProcess),
            () if self.exclusive_ns > 0 => None,
            () if self.was_shared => Some(AttributionError::NeverExclusive),
            () => Some(AttributionError::ProcessListUnavailable),
        };
        let exclusive = (self.exclusive_ns > 0)
            .then(|| ExclusiveUse { duration_s: seconds(self.exclusive_ns), ..ExclusiveUse::default() });
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

    const SECOND_NS: u64 = 1_000_000_000;

    /// Returns the sums of series that are always 100.
    fn constant_sums(at: u64) -> AttributedSums {
        [TimeWeightedSum { sum: 100.0 * at as f64, ns: at }; 4]
    }

    #[test]
    fn late_process_ends_are_attributed() {
        let mut attribution = Attribution::default();
        for (seconds, change) in
            [(1, Change::OtherProcesses(1)), (5, Change::OwnProcesses(1)), (9, Change::OwnProcesses(1))]
        {
            attribution.record(seconds * SECOND_NS, change);
        }
        attribution.settle(10 * SECOND_NS, constant_sums);
        // The other process ended before the command started, and the command's first process before its second started.
        for (seconds, change) in [(3, Change::OtherProcesses(-1)), (6, Change::OwnProcesses(-1))] {
            attribution.record(seconds * SECOND_NS, change);
        }
        attribution.finish(12 * SECOND_NS, constant_sums);
        assert_eq!((attribution.present_ns, attribution.exclusive_ns), (4 * SECOND_NS, 4 * SECOND_NS));
        let power = attribution.exclusive[0];
        assert_eq!((power.mean(), power.ns), (Some(100.0), 4 * SECOND_NS));
    }

    #[test]
    fn settled_time_is_not_revised() {
        let mut attribution = Attribution::default();
        attribution.record(SECOND_NS, Change::OwnProcesses(1));
        assert!(!attribution.is_due(2 * SETTLE_DELAY_NS));
        assert!(attribution.is_due(100 * SECOND_NS));
        attribution.settle(100 * SECOND_NS, constant_sums);
        assert!(!attribution.is_due(100 * SECOND_NS));
        // Recorded one minute late.
        attribution.record(40 * SECOND_NS, Change::OwnProcesses(-1));
        attribution.finish(100 * SECOND_NS, constant_sums);
        assert_eq!(attribution.exclusive_ns, 79 * SECOND_NS);
    }

    #[test]
    fn truncated_list_overrides_no_process() {
        let mut attribution = Attribution::default();
        attribution.finish(SECOND_NS, constant_sums);
        assert_eq!(attribution.summary().attribution_error, Some(AttributionError::NoProcess));
        attribution.record(SECOND_NS, Change::ListTruncated);
        attribution.finish(2 * SECOND_NS, constant_sums);
        assert_eq!(attribution.summary().attribution_error, Some(AttributionError::ProcessListTruncated));
    }

    #[test]
    fn pending_changes_are_bounded() {
        let mut attribution = Attribution::default();
        for at in 0..10_000 {
            attribution.record(at, Change::OwnProcesses(if at % 2 == 0 { 1 } else { -1 }));
            if attribution.is_due(at) {
                attribution.settle(at, constant_sums);
            }
        }
        assert!(attribution.pending.len() <= MAX_PENDING_CHANGES);
        attribution.finish(10_000, constant_sums);
        assert_eq!(attribution.present_ns, 5_000);
    }
}
