//! The processes on the GPUs: when they were first and last listed, their owners, and whether they descend from the
//! command.

use std::collections::{HashMap, HashSet};

use igpu::{
    metric::Metric,
    process::{ProcReader, ProcessInfo, resolve_users},
    sampler::{Event, Record},
};
use igpu_recording::{Item, RecordedProcess, event};

/// The number of poll intervals after which a process that is no longer listed counts as ended. The fraction allows for
/// a late list.
const MAX_MISSED_LISTS: f64 = 2.5;
/// The maximum number of ancestors that are followed. If a process ID is reused between two reads of `/proc`, the
/// ancestors can form a cycle.
const MAX_GENERATIONS: usize = 100;

/// The processes on all GPUs.
pub(super) struct ProcessTracker {
    reader: ProcReader,
    command: Option<u32>,
    /// The time at which each process was last listed, by GPU and process ID, in nanoseconds of the sampler's clock.
    last_seen: HashMap<(u16, u32), u64>,
    /// The current poll interval of the process list by GPU, in nanoseconds, if the sampler has changed the interval.
    changed_intervals_ns: HashMap<u16, u64>,
    /// The initial poll interval of the process lists, in nanoseconds.
    interval_ns: u64,
    /// The end of the latest gap in the records, in nanoseconds of the sampler's clock. Process lists before this time
    /// may be missing.
    gap_until: u64,
    /// The uids without a known name that were looked up in the user database of the system.
    resolved_uids: HashSet<u32>,
}

impl ProcessTracker {
    /// Creates a tracker for process lists with this poll interval, and a command with this process ID.
    pub(super) fn new(command: Option<u32>, interval_ns: u64) -> Self {
        Self {
            reader: ProcReader::new(),
            command,
            last_seen: HashMap::new(),
            changed_intervals_ns: HashMap::new(),
            interval_ns,
            gap_until: 0,
            resolved_uids: HashSet::new(),
        }
    }

    /// Observes a record. Returns a start event if the record is the first of its process. `at` is the time of the
    /// record in nanoseconds since the epoch.
    pub(super) fn observe(&mut self, record: &Record, at: u64) -> Option<Item> {
        if record.event() == Some(Event::POLL_INTERVAL_CHANGED) && record.metric() == Some(Metric::PROCESS_MEMORY) {
            self.changed_intervals_ns.insert(record.gpu, (record.value * 1e9) as u64);
        }
        let pid = record.pid()?;
        let last = self.last_seen.insert((record.gpu, pid), record.at);
        // Records with the driver's time stamps can be older than records observed before them.
        if let Some(last) = last {
            self.last_seen.insert((record.gpu, pid), last.max(record.at));
            return None;
        }
        let text = serde_json::to_string(&self.process(pid)).ok();
        let (gpu, pid) = (Some(record.gpu.into()), Some(pid));
        Some(Item { gpu, pid, text, ..Item::event(at, event::PROCESS_START) })
    }

    /// Marks a gap in the records that ends at the time `now`. The dropped records may include process lists.
    pub(super) fn mark_gap(&mut self, now: u64) {
        self.gap_until = now;
    }

    /// Removes the processes that have ended. Returns the GPU index, the process ID, and the time of the last list of
    /// each process.
    pub(super) fn take_ended(&mut self, now: u64) -> Vec<(u32, u32, u64)> {
        let (changed, initial, gap_until) = (&self.changed_intervals_ns, self.interval_ns, self.gap_until);
        let has_ended = |gpu: &u16, last: u64| {
            let interval = changed.get(gpu).copied().unwrap_or(initial) as f64;
            now.saturating_sub(last.max(gap_until)) as f64 > MAX_MISSED_LISTS * interval
        };
        let ended = self.last_seen.extract_if(|(gpu, _), last| has_ended(gpu, *last));
        ended.map(|((gpu, pid), last)| (gpu.into(), pid, last)).collect()
    }

    fn process(&mut self, pid: u32) -> RecordedProcess {
        let mut info = ProcessInfo::default();
        self.reader.read_process(pid, &mut info);
        // The name of a user that is not in /etc/passwd is a number until it is looked up in the user database of the
        // system, which can be slow.
        let is_number = info.uid.is_some_and(|uid| info.user.is_some_and(|user| *user == *uid.to_string()));
        if is_number && info.uid.is_some_and(|uid| self.resolved_uids.insert(uid)) && resolve_users() {
            self.reader.read_process(pid, &mut info);
        }
        RecordedProcess {
            name: info.name.map(|name| name.to_string()),
            user: info.user.map(|user| user.to_string()),
            create_time: info.create_time,
            owned_by_command: self.command.is_some_and(|command| is_descendant(pid, command)),
        }
    }
}

/// Returns `true` if a process is the command or a descendant of the command. All other children of this program are
/// orphaned descendants of the command.
pub(super) fn is_descendant(pid: u32, command: u32) -> bool {
    let own = std::process::id();
    let mut ancestors = std::iter::successors(Some(pid), |pid| parent(*pid)).take(MAX_GENERATIONS);
    pid != own && ancestors.any(|pid| pid == command || pid == own)
}

/// Returns the process ID of the parent of a process, or `None` if the process does not exist.
fn parent(pid: u32) -> Option<u32> {
    let process = procfs::process::Process::new(i32::try_from(pid).ok()?).ok()?;
    u32::try_from(process.stat().ok()?.ppid).ok()
}
