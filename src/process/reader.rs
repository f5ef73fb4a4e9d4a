//! The reader of process attributes.

use std::path::Path;

use arrayvec::ArrayString;

use super::boot_time;
use super::io::ProcRoot;
use super::name::process_name;
use super::parse;
use super::process_info::ProcessInfo;
use super::user_cache::user_name;

/// The size of the buffer for `/proc/PID/stat`, which contains at most 52 numbers of 20 digits and a name of 64 bytes.
const MAX_STAT_BYTES: usize = 2048;
/// The number of bytes of `/proc/PID/status` that are read. `Uid:` is the ninth line, and only the name and short
/// numbers precede it.
const STATUS_HEAD_BYTES: usize = 1024;

/// A reader of process attributes from `/proc`. It allocates only when it is created and in
/// [`refresh_boot_time`](Self::refresh_boot_time), and keeps no file descriptor open.
///
/// # Examples
/// ```
/// use igpu::process::{ProcReader, ProcessInfo};
///
/// let mut reader = ProcReader::new();
/// let mut info = ProcessInfo::default();
/// for pid in [1, std::process::id()] {
///     reader.read_process(pid, &mut info);
///     println!("{pid}: {:?}", info.name);
/// }
/// ```
#[derive(Clone, Debug)]
pub struct ProcReader {
    root: ProcRoot,
    ticks_per_second: f64,
    /// The boot time in seconds since the epoch.
    boot_time_s: Option<f64>,
}

impl Default for ProcReader {
    fn default() -> Self {
        Self::new()
    }
}

impl ProcReader {
    /// Creates a reader for `/proc`. Only the first reader in a process reads the boot time;
    /// [`refresh_boot_time`](Self::refresh_boot_time) reads it again.
    pub fn new() -> Self {
        let mut reader = Self::without_boot_time(boot_time::PROC_ROOT.as_ref());
        reader.boot_time_s = boot_time::cached().map(|seconds| seconds as f64);
        if reader.boot_time_s.is_none() {
            reader.refresh_boot_time();
        }
        reader
    }

    /// Creates a reader for another tree with the layout of `/proc`, for example the host's tree that is mounted into a
    /// container, and reads the boot time of this tree.
    ///
    /// A missing tree is not an error. All fields that are read from it are `None`.
    pub fn with_root(root: impl AsRef<Path>) -> Self {
        let mut reader = Self::without_boot_time(root.as_ref());
        reader.refresh_boot_time();
        reader
    }

    fn without_boot_time(root: &Path) -> Self {
        let ticks_per_second = procfs::ticks_per_second() as f64;
        Self { root: ProcRoot::new(root), ticks_per_second, boot_time_s: None }
    }

    /// Reads the boot time again (`btime` of `/proc/stat`, in whole seconds since the epoch), for this reader and for
    /// readers that [`ProcReader::new`] creates later. If the file cannot be read, the last value is kept. Allocates.
    ///
    /// The kernel derives `btime` from the wall clock. If NTP or a user changes the clock, `btime` and the
    /// `create_time` of all processes change, too. The boot time is cached because the kernel can take a millisecond to
    /// generate `/proc/stat` on large machines, where it sums the interrupt counters of all CPUs. Call this method
    /// about once per minute, outside the sampling path.
    pub fn refresh_boot_time(&mut self) {
        if let Some(seconds) = boot_time::read(&mut self.root) {
            // The conversion is exact, because seconds since the epoch are far below 2^53.
            self.boot_time_s = Some(seconds as f64);
        }
    }

    /// Reads the attributes of a process into `into`. Overwrites all fields; attributes that cannot be read become
    /// `None`.
    ///
    /// Never fails and never allocates. The files are opened through one descriptor of `/proc/PID`, so the fields never
    /// belong to different processes that have used the same process ID. If the process ends during the call, the
    /// remaining fields are `None`.
    pub fn read_process(&mut self, pid: u32, into: &mut ProcessInfo) {
        *into = ProcessInfo::default();
        let Some(process) = self.root.open_process(pid) else { return };
        let mut buffer = [0; MAX_STAT_BYTES];
        if let Some(stat) = process.open(c"stat").and_then(|file| parse::stat(file.read(&mut buffer))) {
            into.name = Some(process_name(&process, stat.comm));
            into.create_time =
                self.boot_time_s.map(|boot_s| stat.start_time_ticks as f64 / self.ticks_per_second + boot_s);
            if stat.ppid != 0 {
                into.parent_pid = Some(stat.ppid);
                into.parent_name = self.parent_name(stat.ppid, stat.start_time_ticks);
            }
        }
        let mut buffer = [0; STATUS_HEAD_BYTES];
        if let Some(uid) = process.open(c"status").and_then(|file| parse::real_uid(file.read(&mut buffer))) {
            into.uid = Some(uid);
            into.user = Some(user_name(uid));
        }
    }

    /// Returns the start time of a process in clock ticks since boot (field 22 of `/proc/PID/stat`), or `None` if the
    /// process has ended or cannot be read.
    ///
    /// The process ID and the start time together identify a process, even after the process ID is reused. This method
    /// takes a third of the time of [`read_process`](Self::read_process).
    pub fn start_time_ticks(&mut self, pid: u32) -> Option<u64> {
        let process = self.root.open_process(pid)?;
        let mut buffer = [0; MAX_STAT_BYTES];
        parse::stat(process.open(c"stat")?.read(&mut buffer)).map(|stat| stat.start_time_ticks)
    }

    fn parent_name(&mut self, ppid: u32, child_start_ticks: u64) -> Option<ArrayString<64>> {
        let parent = self.root.open_process(ppid)?;
        let mut buffer = [0; MAX_STAT_BYTES];
        let stat = parse::stat(parent.open(c"stat")?.read(&mut buffer))?;
        // A process that started later than its child is not the parent, but has reused the process ID of the parent.
        (stat.start_time_ticks <= child_start_ticks).then(|| process_name(&parent, stat.comm))
    }
}
