//! The processes on a GPU, and the command's among them.

use std::collections::HashMap;

use super::{
    data::{Alone, CommandSummary, NotTold, ProcessSummary, seconds},
    hold::{Hold, Mean},
};
use crate::item::Process;

/// So many processes of a GPU are kept; the others are counted.
const MOST: usize = 4096;
/// Processes of one reading are told one after the other: what they hold together counts once it stood for so long, ns.
const SETTLED: u64 = 10_000_000;

/// A process that is there.
#[derive(Clone, Debug)]
struct Present {
    number: u64,
    since: u64,
    process: Process,
    /// Whether its start was told.
    told: bool,
    memory: Option<u64>,
    memory_peak: Option<u64>,
    sm: Hold,
    sm_mean: Mean,
}

impl Present {
    fn is_own(&self) -> bool {
        self.told && self.process.of_command
    }

    fn summary(mut self, pid: u32, at: u64) -> ProcessSummary {
        self.sm.stop(at).into_iter().for_each(|span| self.sm_mean.add(span));
        ProcessSummary {
            pid,
            of_command: self.told.then_some(self.process.of_command),
            name: self.process.name,
            user: self.process.user,
            duration_s: seconds(at.saturating_sub(self.since)),
            memory_peak_bytes: self.memory_peak,
            sm_utilization_mean: self.sm_mean.mean(),
        }
    }
}

/// Time for which something was so.
#[derive(Clone, Copy, Debug, Default)]
struct Lasting {
    since: Option<u64>,
    ns: u64,
}

impl Lasting {
    fn set(&mut self, at: u64, is_so: bool) {
        match (self.since, is_so) {
            (None, true) => self.since = Some(at),
            (Some(since), false) => {
                self.ns += at.saturating_sub(since);
                self.since = None;
            }
            _ => {}
        }
    }
}

/// The memory of several processes together.
#[derive(Clone, Copy, Debug, Default)]
struct Together {
    sum: u64,
    since: u64,
    is_known: bool,
    peak: Option<u64>,
}

impl Together {
    fn change(&mut self, at: u64, by: impl FnOnce(u64) -> u64) {
        if self.is_known && at.saturating_sub(self.since) >= SETTLED {
            self.peak = self.peak.max(Some(self.sum));
        }
        self.since = self.since.max(at);
        self.sum = by(self.sum);
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Processes {
    present: HashMap<u32, Present>,
    own: usize,
    gone: Vec<(u64, ProcessSummary)>,
    seen: u64,
    pub left_out: u64,
    command_present: Lasting,
    alone: Lasting,
    memory: Together,
    /// The list was cut once: there may be others on the GPU.
    is_cut: bool,
    /// The GPU does not answer, so that nobody knows who is there.
    is_silent: bool,
    was_shared: bool,
}

impl Processes {
    /// A process was seen; `None` of one that nothing was told of.
    pub fn start(&mut self, at: u64, pid: u32, process: Option<Process>) {
        self.is_silent = false;
        let told = process.is_some();
        let process = process.unwrap_or_default();
        match self.present.get_mut(&pid) {
            Some(present) if !present.told && told => {
                (present.told, present.process) = (true, process);
                if present.is_own() {
                    self.own += 1;
                    let memory = present.memory;
                    self.own_memory(at, None, memory);
                }
            }
            Some(present) if !told || is_same(&present.process, &process) => {}
            Some(_) => {
                self.end(at, pid);
                self.insert(at, pid, process, told);
            }
            None => self.insert(at, pid, process, told),
        }
        self.follow(at);
    }

    fn insert(&mut self, at: u64, pid: u32, process: Process, told: bool) {
        if self.present.len() >= MOST {
            self.left_out += 1;
            self.is_cut = true;
            return;
        }
        self.seen += 1;
        self.own += usize::from(told && process.of_command);
        let (sm, sm_mean) = (Hold::default(), Mean::default());
        let number = self.seen;
        let present = Present { number, since: at, process, told, memory: None, memory_peak: None, sm, sm_mean };
        self.present.insert(pid, present);
    }

    /// A process is there no longer.
    pub fn end(&mut self, at: u64, pid: u32) {
        let Some(present) = self.present.remove(&pid) else { return };
        if present.is_own() {
            self.own -= 1;
            self.own_memory(at, present.memory, None);
        }
        if self.gone.len() < MOST {
            self.gone.push((present.number, present.summary(pid, at)));
        } else {
            self.left_out += 1;
        }
        self.follow(at);
    }

    /// A process holds so many bytes. The driver's lists tell it, so that it is there, whether its start was told or not.
    pub fn memory(&mut self, at: u64, pid: u32, bytes: u64) {
        if self.is_silent || !self.present.contains_key(&pid) {
            self.start(at, pid, None);
        }
        let Some(present) = self.present.get_mut(&pid) else { return };
        let before = present.memory.replace(bytes);
        present.memory_peak = present.memory_peak.max(Some(bytes));
        if present.is_own() && before != Some(bytes) {
            self.own_memory(at, before, Some(bytes));
        }
    }

    /// A process uses this part of the SMs. What comes late, of one that is gone, is left out.
    pub fn sm(&mut self, at: u64, pid: u32, ratio: f64) {
        if let Some(present) = self.present.get_mut(&pid)
            && let Some(span) = present.sm.set(at, ratio)
        {
            present.sm_mean.add(span);
        }
    }

    fn own_memory(&mut self, at: u64, before: Option<u64>, now: Option<u64>) {
        self.memory.change(at, |sum| sum.saturating_sub(before.unwrap_or(0)).saturating_add(now.unwrap_or(0)));
        self.memory.is_known |= now.is_some();
    }

    /// The list of processes was cut.
    pub fn cut(&mut self, at: u64) {
        self.is_cut = true;
        self.follow(at);
    }

    /// The GPU does not answer, or answers again.
    pub fn silent(&mut self, at: u64, is_silent: bool) {
        self.is_silent = is_silent;
        if is_silent {
            for present in self.present.values_mut() {
                present.sm.stop(at).into_iter().for_each(|span| present.sm_mean.add(span));
            }
        }
        self.follow(at);
    }

    /// Whether only the command's processes are on the GPU.
    pub fn is_alone(&self) -> bool {
        self.own > 0 && self.own == self.present.len() && !self.is_cut && !self.is_silent
    }

    fn follow(&mut self, at: u64) {
        self.command_present.set(at, self.own > 0);
        self.alone.set(at, self.is_alone());
        self.was_shared |= self.own > 0 && self.present.len() > self.own;
    }

    /// The recording ends: all that are still there, and how long what is was so.
    pub fn finish(&mut self, at: u64) {
        self.command_present.set(at, false);
        self.alone.set(at, false);
        let together = self.memory;
        self.memory.change(at, |sum| sum);
        self.memory.peak = self.memory.peak.or(together.is_known.then_some(together.sum));
        let gone = self.present.drain().map(|(pid, present)| (present.number, present.summary(pid, at)));
        self.gone.extend(gone);
        self.gone.sort_by_key(|(number, _)| *number);
        self.left_out += self.gone.len().saturating_sub(MOST) as u64;
        self.gone.truncate(MOST);
    }

    /// All that were seen, once the recording ended.
    pub fn summaries(&self) -> Vec<ProcessSummary> {
        self.gone.iter().map(|(_, process)| process.clone()).collect()
    }

    pub fn has_any(&self) -> bool {
        self.seen > 0
    }

    /// The command's part, but for the energy while it was alone, once the recording ended.
    pub fn command(&self) -> CommandSummary {
        let was_there = self.command_present.ns > 0;
        let not_told = match () {
            () if !was_there => Some(NotTold::NoProcess),
            () if self.is_cut => Some(NotTold::ListCut),
            () if self.alone.ns > 0 => None,
            () if self.was_shared => Some(NotTold::NeverAlone),
            () => Some(NotTold::NoAnswer),
        };
        let alone = (self.alone.ns > 0).then(|| Alone { duration_s: seconds(self.alone.ns), ..Alone::default() });
        let memory_peak_bytes = self.memory.peak;
        CommandSummary { present_s: seconds(self.command_present.ns), memory_peak_bytes, alone, not_told }
    }
}

/// Whether what is told of a pid that is there already is about the same process.
fn is_same(one: &Process, other: &Process) -> bool {
    match (one.create_time, other.create_time) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}
