//! The processes on a GPU, and the command's among them.

use std::collections::HashMap;

use super::{
    attribution::{Attribution, Change},
    model::ProcessSummary,
};
use crate::header::RecordedProcess;
use crate::time_weighted::{StepSignal, TimeWeightedSum, seconds};

/// So many processes of a GPU are kept; the others are counted.
const MOST: usize = 4096;

/// A process that is there.
#[derive(Clone, Debug)]
struct Present {
    number: u64,
    since: u64,
    process: RecordedProcess,
    /// Whether its start was told.
    told: bool,
    memory: Option<u64>,
    memory_peak: Option<u64>,
    sm: StepSignal,
    sm_mean: TimeWeightedSum,
}

impl Present {
    fn is_own(&self) -> bool {
        self.told && self.process.owned_by_command
    }

    /// Whether it is known whose it is: of one that ended before it was looked at, or of another pid namespace, `/proc`
    /// tells nothing.
    fn is_known(&self) -> bool {
        self.told && (self.process.owned_by_command || self.process.create_time.is_some())
    }

    /// That it comes (1) or goes (-1). What is not known to be the command's is somebody else's.
    fn change(&self, by: i64) -> Change {
        if self.is_own() { Change::Own(by) } else { Change::Others(by) }
    }

    fn summary(mut self, pid: u32, at: u64) -> ProcessSummary {
        self.sm.stop(at).into_iter().for_each(|span| self.sm_mean.add(span));
        ProcessSummary {
            pid,
            owned_by_command: self.is_known().then_some(self.process.owned_by_command),
            name: self.process.name,
            user: self.process.user,
            duration_s: seconds(at.saturating_sub(self.since)),
            memory_peak_bytes: self.memory_peak,
            sm_utilization_mean: self.sm_mean.mean(),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Processes {
    present: HashMap<u32, Present>,
    gone: Vec<(u64, ProcessSummary)>,
    seen: u64,
    pub left_out: u64,
    is_silent: bool,
    pub part: Attribution,
}

impl Processes {
    /// A process was seen; `None` of one that nothing was told of.
    pub(super) fn start(&mut self, at: u64, pid: u32, process: Option<RecordedProcess>) {
        let told = process.is_some();
        let process = process.unwrap_or_default();
        match self.present.get_mut(&pid) {
            Some(present) if !present.told && told => {
                (present.told, present.process) = (true, process);
                if present.is_own() {
                    self.part.change(at, Change::Others(-1));
                    self.part.change(at, Change::Own(1));
                    let memory = present.memory.unwrap_or(0);
                    self.part.change(at, Change::Memory(signed(memory)));
                }
            }
            Some(present) if !told || is_same(&present.process, &process) => {}
            Some(_) => {
                self.end(at, pid);
                self.insert(at, pid, process, told);
            }
            None => self.insert(at, pid, process, told),
        }
        if self.is_silent {
            self.silent(at, false);
        }
    }

    fn insert(&mut self, at: u64, pid: u32, process: RecordedProcess, told: bool) {
        if self.present.len() >= MOST {
            self.left_out += 1;
            return self.cut(at);
        }
        self.seen += 1;
        let (sm, sm_mean) = (StepSignal::default(), TimeWeightedSum::default());
        let number = self.seen;
        let present = Present { number, since: at, process, told, memory: None, memory_peak: None, sm, sm_mean };
        self.part.change(at, present.change(1));
        self.present.insert(pid, present);
    }

    /// A process is there no longer.
    pub(super) fn end(&mut self, at: u64, pid: u32) {
        let Some(present) = self.present.remove(&pid) else { return };
        self.part.change(at, present.change(-1));
        if let Some(bytes) = present.memory.filter(|_| present.is_own()) {
            self.part.change(at, Change::Freed(signed(bytes)));
        }
        if self.gone.len() < MOST {
            self.gone.push((present.number, present.summary(pid, at)));
        } else {
            self.left_out += 1;
        }
    }

    /// A process holds so many bytes. The driver's lists tell it, so that it is there, whether its start was told or not.
    pub(super) fn memory(&mut self, at: u64, pid: u32, bytes: u64) {
        if self.is_silent || !self.present.contains_key(&pid) {
            self.start(at, pid, None);
        }
        let Some(present) = self.present.get_mut(&pid) else { return };
        let before = present.memory.replace(bytes);
        present.memory_peak = present.memory_peak.max(Some(bytes));
        if present.is_own() {
            self.own_memory(at, before, bytes);
        }
    }

    fn own_memory(&mut self, at: u64, before: Option<u64>, now: u64) {
        let by = signed(now).saturating_sub(signed(before.unwrap_or(0)));
        if by != 0 {
            self.part.change(at, Change::Memory(by));
        }
    }

    /// A process uses this part of the SMs. What comes late, of one that is gone, is left out.
    pub(super) fn sm(&mut self, at: u64, pid: u32, ratio: f64) {
        if let Some(present) = self.present.get_mut(&pid)
            && let Some(span) = present.sm.set(at, ratio)
        {
            present.sm_mean.add(span);
        }
    }

    /// The list of processes was cut.
    pub(super) fn cut(&mut self, at: u64) {
        self.part.change(at, Change::Cut);
    }

    /// The GPU does not answer, or answers again.
    pub(super) fn silent(&mut self, at: u64, is_silent: bool) {
        self.is_silent = is_silent;
        self.part.change(at, Change::Silent(is_silent));
        if is_silent {
            for present in self.present.values_mut() {
                present.sm.stop(at).into_iter().for_each(|span| present.sm_mean.add(span));
            }
        }
    }

    /// The recording ends: those that are still there were there until then.
    pub(super) fn finish(&mut self, at: u64) {
        let gone = self.present.drain().map(|(pid, present)| (present.number, present.summary(pid, at)));
        self.gone.extend(gone);
        self.gone.sort_by_key(|(number, _)| *number);
        self.left_out += self.gone.len().saturating_sub(MOST) as u64;
        self.gone.truncate(MOST);
    }

    /// All that were seen, once the recording ended.
    pub(super) fn summaries(&self) -> Vec<ProcessSummary> {
        self.gone.iter().map(|(_, process)| process.clone()).collect()
    }

    pub(super) fn has_any(&self) -> bool {
        self.seen > 0
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Whether what is told of a pid that is there already is about the same process.
fn is_same(one: &RecordedProcess, other: &RecordedProcess) -> bool {
    match (one.create_time, other.create_time) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}
