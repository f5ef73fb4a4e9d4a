//! The reader of process infos.

use std::path::Path;

use arrayvec::ArrayString;

use super::boot_time;
use super::io::ProcRoot;
use super::name::process_name;
use super::parse;
use super::process_info::ProcessInfo;
use super::user_cache::user_name;

/// The longest `/proc/PID/stat` there is: 52 numbers of at most 20 digits and a name of at most 64 bytes.
const MAX_STAT_BYTES: usize = 2048;
/// `Uid:` is the ninth line of `/proc/PID/status`; before it stand short numbers and the name.
const STATUS_HEAD_BYTES: usize = 1024;

/// Reads process infos from `/proc`. Allocates only when created, and keeps no descriptor open.
#[derive(Clone, Debug)]
pub struct ProcReader {
    root: ProcRoot,
    ticks_per_second: f64,
    boot_time: Option<f64>,
}

impl Default for ProcReader {
    fn default() -> Self {
        Self::new()
    }
}

impl ProcReader {
    /// Creates a reader of `/proc`. The boot time is read once per process; [`ProcReader::refresh_boot_time`] reads it again.
    pub fn new() -> Self {
        let mut reader = Self::without_boot_time(boot_time::PROC_ROOT.as_ref());
        reader.boot_time = boot_time::cached().map(|seconds| seconds as f64);
        if reader.boot_time.is_none() {
            reader.refresh_boot_time();
        }
        reader
    }

    /// Creates a reader of another tree with the layout of `/proc`: the host's, mounted into a container, or a test's.
    /// Reads its boot time, as [`ProcReader::refresh_boot_time`] does.
    ///
    /// A tree that does not exist is no error: every field read from it is `None`.
    pub fn with_root(root: impl AsRef<Path>) -> Self {
        let mut reader = Self::without_boot_time(root.as_ref());
        reader.refresh_boot_time();
        reader
    }

    fn without_boot_time(root: &Path) -> Self {
        let ticks_per_second = procfs::ticks_per_second() as f64;
        Self { root: ProcRoot::new(root), ticks_per_second, boot_time: None }
    }

    /// Reads the boot time (`btime` of `/proc/stat`, whole seconds since the epoch) again, for this reader and for
    /// those that [`ProcReader::new`] creates later. If the file cannot be read, the last known value stays. Allocates.
    ///
    /// The kernel derives `btime` from the wall clock, so it shifts when that is stepped or slewed by NTP, and with it
    /// every `create_time`. It is cached because `/proc/stat` is slow to generate on large machines (it sums all
    /// interrupt counters of all CPUs, which can take a millisecond). Call this every minute or so, off the sampling
    /// path.
    pub fn refresh_boot_time(&mut self) {
        if let Some(seconds) = boot_time::read(&mut self.root) {
            // Exact: seconds since the epoch stay far below 2^53.
            self.boot_time = Some(seconds as f64);
        }
    }

    /// Fills `into` with what `/proc` tells about `pid`; every field is set anew, to `None` where it is not known.
    ///
    /// Never fails, never allocates. All files are opened under one descriptor of `/proc/PID`, so the fields cannot mix
    /// two processes that had the same pid one after the other; a process that ends in between leaves later fields
    /// `None`.
    pub fn read_process(&mut self, pid: u32, into: &mut ProcessInfo) {
        *into = ProcessInfo::default();
        let Some(process) = self.root.open_process(pid) else { return };
        let mut buffer = [0; MAX_STAT_BYTES];
        if let Some(stat) = process.open(c"stat").and_then(|file| parse::stat(file.read(&mut buffer))) {
            into.name = Some(process_name(&process, stat.comm));
            into.create_time = self.boot_time.map(|boot| stat.start_time as f64 / self.ticks_per_second + boot);
            if stat.ppid != 0 {
                into.parent_pid = Some(stat.ppid);
                into.parent_name = self.parent_name(stat.ppid, stat.start_time);
            }
        }
        let mut buffer = [0; STATUS_HEAD_BYTES];
        if let Some(uid) = process.open(c"status").and_then(|file| parse::real_uid(file.read(&mut buffer))) {
            into.uid = Some(uid);
            into.user = Some(user_name(uid));
        }
    }

    /// When the process was started, in clock ticks since boot (field 22 of `/proc/PID/stat`); `None` where it is gone
    /// or not readable.
    ///
    /// The pid and this number together name a process: a pid alone is given again to later ones. Costs a third of
    /// [`ProcReader::read_process`].
    pub fn start_time_ticks(&mut self, pid: u32) -> Option<u64> {
        let process = self.root.open_process(pid)?;
        let mut buffer = [0; MAX_STAT_BYTES];
        parse::stat(process.open(c"stat")?.read(&mut buffer)).map(|stat| stat.start_time)
    }

    fn parent_name(&mut self, ppid: u32, child_start: u64) -> Option<ArrayString<64>> {
        let parent = self.root.open_process(ppid)?;
        let mut buffer = [0; MAX_STAT_BYTES];
        let stat = parse::stat(parent.open(c"stat")?.read(&mut buffer))?;
        // No parent is younger than its child: this one got the pid after the parent had ended.
        (stat.start_time <= child_start).then(|| process_name(&parent, stat.comm))
    }
}
