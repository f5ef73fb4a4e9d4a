//! The processes on the GPUs: when each was first and last seen, whose it is, and whether it is of the command.

use std::collections::{HashMap, HashSet};

use igpu::{
    metric::Metric,
    process::{ProcReader, ProcessInfo, resolve_users},
    sampler::{Event, Record},
};
use igpu_recording::{Item, RecordedProcess, event};

/// A process that is in none of so many readings of the list is gone.
const MAX_MISSED_LISTS: f64 = 2.5;
/// Generations to look back at the most, should `/proc` go round in a circle.
const MAX_GENERATIONS: usize = 100;

/// The processes on all GPUs.
pub(super) struct ProcessTracker {
    reader: ProcReader,
    command: Option<u32>,
    /// For each GPU and pid, when it was last seen, by the sampler's clock.
    last_seen: HashMap<(u16, u32), u64>,
    /// How often the lists of a GPU are read, in nanoseconds, where it is not as they were to be read.
    periods: HashMap<u16, u64>,
    period: u64,
    /// Until then, lists may have been lost: who is missing in them is not gone for that.
    gap_until: u64,
    /// Users without a name, that were asked for.
    resolved_uids: HashSet<u32>,
}

impl ProcessTracker {
    /// With lists that are read each `period` ns, beside a command of this pid.
    pub(super) fn new(command: Option<u32>, period: u64) -> Self {
        let (last_seen, periods, resolved_uids) = (HashMap::new(), HashMap::new(), HashSet::new());
        Self { reader: ProcReader::new(), command, last_seen, periods, period, gap_until: 0, resolved_uids }
    }

    /// Takes note of a record; gives an event of a process that was not there before. `at` is the record's in the
    /// recording.
    pub(super) fn observe(&mut self, record: &Record, at: u64) -> Option<Item> {
        if record.event() == Some(Event::POLL_INTERVAL_CHANGED) && record.metric() == Some(Metric::PROCESS_MEMORY) {
            self.periods.insert(record.gpu, (record.value * 1e9) as u64);
        }
        let pid = record.pid()?;
        let last = self.last_seen.insert((record.gpu, pid), record.at);
        // What the driver stamps itself may be older than what was seen already.
        if let Some(last) = last {
            self.last_seen.insert((record.gpu, pid), last.max(record.at));
            return None;
        }
        let text = serde_json::to_string(&self.process(pid)).ok();
        let (gpu, pid) = (Some(record.gpu.into()), Some(pid));
        Some(Item { gpu, pid, text, ..Item::event(at, event::PROCESS_START) })
    }

    /// Records were lost before now, lists of processes perhaps among them.
    pub(super) fn mark_gap(&mut self, now: u64) {
        self.gap_until = now;
    }

    /// Gives those that are gone by now, each with its GPU, its pid and when it was last seen.
    pub(super) fn take_ended(&mut self, now: u64) -> Vec<(u32, u32, u64)> {
        let (periods, period, gap_until) = (&self.periods, self.period, self.gap_until);
        let has_ended = |gpu: &u16, last: u64| {
            let period = periods.get(gpu).copied().unwrap_or(period) as f64;
            now.saturating_sub(last.max(gap_until)) as f64 > MAX_MISSED_LISTS * period
        };
        let ended = self.last_seen.extract_if(|(gpu, _), last| has_ended(gpu, *last));
        ended.map(|((gpu, pid), last)| (gpu.into(), pid, last)).collect()
    }

    fn process(&mut self, pid: u32) -> RecordedProcess {
        let mut owner = ProcessInfo::default();
        self.reader.read_process(pid, &mut owner);
        // A user that is not in /etc/passwd is a number until the system's database is asked, which may take its time.
        let is_number = owner.uid.is_some_and(|uid| owner.user.is_some_and(|user| *user == *uid.to_string()));
        if is_number && owner.uid.is_some_and(|uid| self.resolved_uids.insert(uid)) && resolve_users() {
            self.reader.read_process(pid, &mut owner);
        }
        RecordedProcess {
            name: owner.name.map(|name| name.to_string()),
            user: owner.user.map(|user| user.to_string()),
            create_time: owner.create_time,
            owned_by_command: self.command.is_some_and(|command| is_descendant(pid, command)),
        }
    }
}

/// Returns whether a process is this command or one of its descendants. Orphans of the command become children of this
/// program, which has no other children.
pub(super) fn is_descendant(pid: u32, command: u32) -> bool {
    let own = std::process::id();
    let mut ancestors = std::iter::successors(Some(pid), |pid| parent(*pid)).take(MAX_GENERATIONS);
    pid != own && ancestors.any(|pid| pid == command || pid == own)
}

/// Returns the pid of the parent while the process exists.
fn parent(pid: u32) -> Option<u32> {
    let process = procfs::process::Process::new(i32::try_from(pid).ok()?).ok()?;
    u32::try_from(process.stat().ok()?.ppid).ok()
}
