//! The processes on a GPU.

use std::collections::HashMap;

use super::{
    attribution::{Attribution, Change},
    model::ProcessSummary,
};
use crate::{
    header::RecordedProcess,
    time_weighted::{StepSignal, TimeWeightedSum, seconds},
};

/// The maximum number of processes that are listed per GPU. Others are only counted.
const MAX_PROCESSES: usize = 4096;

/// A process that is on the GPU.
#[derive(Clone, Debug)]
struct PresentProcess {
    /// The position of the process in the order in which processes were first seen.
    number: u64,
    since: u64,
    process: RecordedProcess,
    /// Whether the recording contains the start event of the process.
    has_start: bool,
    memory: Option<u64>,
    memory_peak: Option<u64>,
    sm: StepSignal,
    sm_sum: TimeWeightedSum,
}

impl PresentProcess {
    fn is_own(&self) -> bool {
        self.has_start && self.process.owned_by_command
    }

    /// Returns `true` if the owner of the process is known. `/proc` has no data for a process that ended before it was read,
    /// or that is in another PID namespace.
    fn is_owner_known(&self) -> bool {
        self.has_start && (self.process.owned_by_command || self.process.create_time.is_some())
    }

    /// Returns the change for the arrival (1) or departure (-1) of the process. A process with an unknown owner is
    /// counted as another process.
    fn count_change(&self, count: i64) -> Change {
        if self.is_own() { Change::OwnProcesses(count) } else { Change::OtherProcesses(count) }
    }

    fn summary(mut self, pid: u32, at: u64) -> ProcessSummary {
        self.sm.stop(at).into_iter().for_each(|span| self.sm_sum.add(span));
        ProcessSummary {
            pid,
            owned_by_command: self.is_owner_known().then_some(self.process.owned_by_command),
            name: self.process.name,
            user: self.process.user,
            duration_s: seconds(at.saturating_sub(self.since)),
            memory_peak_bytes: self.memory_peak,
            sm_utilization_mean: self.sm_sum.mean(),
        }
    }
}

/// The processes on a GPU, and the attribution of its usage to the command.
#[derive(Clone, Debug, Default)]
pub(super) struct ProcessAccumulator {
    present: HashMap<u32, PresentProcess>,
    /// The processes that have ended, with their numbers.
    ended: Vec<(u64, ProcessSummary)>,
    /// The number of processes seen so far.
    seen: u64,
    /// The number of processes that are not listed.
    pub omitted: u64,
    is_list_unavailable: bool,
    pub attribution: Attribution,
}

impl ProcessAccumulator {
    /// Records that a process was seen. `process` is the content of its start event; `None` if the process was seen without
    /// a start event.
    pub(super) fn observe_start(&mut self, at: u64, pid: u32, process: Option<RecordedProcess>) {
        let has_start = process.is_some();
        let process = process.unwrap_or_default();
        match self.present.get_mut(&pid) {
            Some(present) if !present.has_start && has_start => {
                (present.has_start, present.process) = (true, process);
                if present.is_own() {
                    self.attribution.record(at, Change::OtherProcesses(-1));
                    self.attribution.record(at, Change::OwnProcesses(1));
                    let memory = present.memory.unwrap_or(0);
                    self.attribution.record(at, Change::OwnMemory(saturating_i64(memory)));
                }
            }
            Some(present) if !has_start || is_same_process(&present.process, &process) => {}
            Some(_) => {
                self.observe_end(at, pid);
                self.insert(at, pid, process, has_start);
            }
            None => self.insert(at, pid, process, has_start),
        }
        if self.is_list_unavailable {
            self.set_list_available(at, true);
        }
    }

    fn insert(&mut self, at: u64, pid: u32, process: RecordedProcess, has_start: bool) {
        if self.present.len() >= MAX_PROCESSES {
            self.omitted += 1;
            return self.observe_truncated_list(at);
        }
        self.seen += 1;
        let present = PresentProcess {
            number: self.seen,
            since: at,
            process,
            has_start,
            memory: None,
            memory_peak: None,
            sm: StepSignal::default(),
            sm_sum: TimeWeightedSum::default(),
        };
        self.attribution.record(at, present.count_change(1));
        self.present.insert(pid, present);
    }

    /// Records that a process was last seen at this time.
    pub(super) fn observe_end(&mut self, at: u64, pid: u32) {
        let Some(present) = self.present.remove(&pid) else { return };
        self.attribution.record(at, present.count_change(-1));
        if let Some(bytes) = present.memory.filter(|_| present.is_own()) {
            self.attribution.record(at, Change::OwnMemoryFreed(saturating_i64(bytes)));
        }
        if self.ended.len() < MAX_PROCESSES {
            self.ended.push((present.number, present.summary(pid, at)));
        } else {
            self.omitted += 1;
        }
    }

    /// Sets the device memory of a process, in bytes. The process is added if its start event is missing, because the
    /// value comes from the driver's process list.
    pub(super) fn set_memory(&mut self, at: u64, pid: u32, bytes: u64) {
        if self.is_list_unavailable || !self.present.contains_key(&pid) {
            self.observe_start(at, pid, None);
        }
        let Some(present) = self.present.get_mut(&pid) else { return };
        let previous = present.memory.replace(bytes);
        present.memory_peak = present.memory_peak.max(Some(bytes));
        if present.is_own() {
            let difference = saturating_i64(bytes).saturating_sub(saturating_i64(previous.unwrap_or(0)));
            if difference != 0 {
                self.attribution.record(at, Change::OwnMemory(difference));
            }
        }
    }

    /// Sets the SM utilization of a process, from 0 to 1. Late values of a process that has ended are ignored.
    pub(super) fn set_sm_utilization(&mut self, at: u64, pid: u32, ratio: f64) {
        if let Some(present) = self.present.get_mut(&pid)
            && let Some(span) = present.sm.set(at, ratio)
        {
            present.sm_sum.add(span);
        }
    }

    /// Records that a process list was truncated.
    pub(super) fn observe_truncated_list(&mut self, at: u64) {
        self.attribution.record(at, Change::ListTruncated);
    }

    /// Records that the process list becomes available or unavailable.
    pub(super) fn set_list_available(&mut self, at: u64, is_available: bool) {
        self.is_list_unavailable = !is_available;
        self.attribution.record(at, Change::ListAvailable(is_available));
        if !is_available {
            for present in self.present.values_mut() {
                present.sm.stop(at).into_iter().for_each(|span| present.sm_sum.add(span));
            }
        }
    }

    /// Ends all processes that are still present at the end of the recording.
    pub(super) fn finish(&mut self, at: u64) {
        let present = self.present.drain().map(|(pid, present)| (present.number, present.summary(pid, at)));
        self.ended.extend(present);
        self.ended.sort_by_key(|(number, _)| *number);
        self.omitted += self.ended.len().saturating_sub(MAX_PROCESSES) as u64;
        self.ended.truncate(MAX_PROCESSES);
    }

    /// Returns the processes in the order in which they were first seen, after [`finish`](Self::finish).
    pub(super) fn summaries(&self) -> Vec<ProcessSummary> {
        self.ended.iter().map(|(_, process)| process.clone()).collect()
    }

    /// Returns `true` if a process was seen.
    pub(super) fn has_any(&self) -> bool {
        self.seen > 0
    }
}

fn saturating_i64(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Returns `true` if two start events with the same process ID are for the same process.
fn is_same_process(a: &RecordedProcess, b: &RecordedProcess) -> bool {
    match (a.create_time, b.create_time) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}
