//! Who owns a GPU process: name, user, parent and start, read from `/proc` without allocating.
//!
//! The driver names GPU processes by pid alone. Everything else comes from `/proc/PID/{stat,status,cmdline}`, which
//! [`ProcReader::owner`] reads with plain `open`, `read` and `close` into buffers on the stack: it runs on the sampling
//! path, where nothing may allocate, block or fail. Whatever cannot be read is `None`: the process is gone, its pid
//! belongs to another pid namespace, `/proc` is mounted with `hidepid`, or is not there at all.
//!
//! Names follow the Python package psutil, so that they compare with those of other tools: the kernel's name of the
//! process (at most 15 bytes), and where that has 15 or more characters the whole basename of `argv[0]`, if it starts
//! with the kernel's name. Four things differ from psutil on purpose: a byte that is not UTF-8 becomes U+FFFD (psutil
//! keeps it as an unprintable surrogate), a carriage return stays one (psutil reads the command line as text with
//! universal newlines), names are cut at the capacity of their field, on a character boundary, and the uid is read from
//! the line `Uid:` alone (a process that calls itself `Uid:` and three numbers has psutil believe them).
//!
//! User names are the subject of [`resolve_users`].

mod cache;
mod name;
pub mod parse;
mod read;
mod time;
mod users;

use arrayvec::ArrayString;

use self::name::{process_name, text};
use self::read::{Dir, lines};

pub use self::cache::OwnerCache;
pub use self::time::local_time_text;
pub use self::users::{forget_users, resolve_users};

/// The longest `/proc/PID/stat` there is: 52 numbers of at most 20 digits and a name of at most 64 bytes.
const STAT_BYTES: usize = 2048;
/// `Uid:` is the ninth line of `/proc/PID/status`; before it stand short numbers and the name.
const STATUS_BYTES: usize = 1024;
/// As much of a command line as is read to name a process: the kernel's limit for one argument. See [`parse::Argv0`].
const CMDLINE_BYTES: usize = 128 * 1024;

/// Who owns a process and where it came from, as far as `/proc` tells.
///
/// Plain data of fixed size. Each field is `None` by itself where it could not be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Owner {
    /// The process's name as psutil gives it, from `/proc/PID/stat` and, for names of 15 characters or more,
    /// `/proc/PID/cmdline`. Longer ones are cut to 64 bytes on a character boundary; bytes that are not UTF-8 are
    /// U+FFFD; control characters are left as they are. `None`: the process is gone or not readable.
    pub name: Option<ArrayString<64>>,
    /// Name of the real user, from `/etc/passwd` or what [`resolve_users`] found; the uid as decimal text while no
    /// name is known. Cut to 32 bytes like `name`. `None`: no uid.
    pub user: Option<ArrayString<32>>,
    /// Real user id as this process's user namespace sees it, from `/proc/PID/status`. `None`: gone or not readable.
    pub uid: Option<u32>,
    /// Pid of the parent, from `/proc/PID/stat`. `None`: gone or not readable, or no parent in this pid namespace (the
    /// kernel writes 0 for pid 1 and for a process whose parent lives outside).
    pub parent_pid: Option<u32>,
    /// The parent's name, by the same rules as `name`. `None`: no parent, or it ended in between (also where its pid
    /// has been given to a younger process).
    pub parent_name: Option<ArrayString<64>>,
    /// When the process was started, in seconds since the epoch (UTC), in steps of the kernel's clock tick (usually
    /// 10 ms): `btime` of `/proc/stat` plus `starttime` of `/proc/PID/stat`. `None`: gone or not readable.
    pub create_time: Option<f64>,
}

/// Reads owners from `/proc`. Made once; reading allocates nothing and keeps no descriptor open.
#[derive(Clone, Debug)]
pub struct ProcReader {
    dir: Dir,
    ticks_per_second: f64,
    boot_time: Option<f64>,
}

impl Default for ProcReader {
    fn default() -> Self {
        Self::new()
    }
}

impl ProcReader {
    /// A reader of `/proc`. Reads the boot time, as [`ProcReader::refresh`] does.
    pub fn new() -> Self {
        Self::with_root("/proc")
    }

    /// A reader of another tree of the shape of `/proc`: the host's, mounted into a container, or a test's.
    ///
    /// A tree that does not exist is no error: every field it is asked for is `None`.
    pub fn with_root(root: impl AsRef<std::path::Path>) -> Self {
        let mut reader = Self { dir: Dir::new(root.as_ref()), ticks_per_second: read::clock_ticks(), boot_time: None };
        reader.refresh();
        reader
    }

    /// Reads the boot time (`btime` of `/proc/stat`, whole seconds since the epoch) again.
    ///
    /// The kernel derives it from the wall clock, so it shifts when that is stepped or slewed by NTP, and with it every
    /// `create_time`. It is kept from one call to the next because `/proc/stat` is slow to make on large machines (it
    /// sums all interrupt counters of all CPUs, which can take a millisecond): call this every minute or so, off the
    /// sampling path. It allocates nothing either. Where the file cannot be read the last known value stays.
    pub fn refresh(&mut self) {
        let mut found = None;
        if let Some(file) = self.dir.open(None, c"stat") {
            lines(&file, |line| {
                found = parse::btime(line);
                found.is_some()
            });
        }
        if let Some(seconds) = found {
            // Exact: seconds since the epoch stay far below 2^53.
            self.boot_time = Some(seconds as f64);
        }
    }

    /// Fills `into` with what `/proc` tells about `pid`; every field is set anew, to `None` where it is not known.
    ///
    /// Never fails, never allocates. All files are opened under one descriptor of `/proc/PID`, so the fields cannot mix
    /// two processes that had the same pid one after the other; a process that ends in between leaves later fields
    /// `None`.
    pub fn owner(&mut self, pid: u32, into: &mut Owner) {
        *into = Owner::default();
        let Some(process) = self.dir.process(pid) else { return };
        let mut buffer = [0; STAT_BYTES];
        if let Some(stat) = process.open(c"stat").and_then(|file| parse::stat(file.read(&mut buffer))) {
            into.name = Some(process_name(&process, stat.comm));
            into.create_time = self.boot_time.map(|boot| stat.start_time as f64 / self.ticks_per_second + boot);
            if stat.ppid != 0 {
                into.parent_pid = Some(stat.ppid);
                into.parent_name = self.parent_name(stat.ppid, stat.start_time);
            }
        }
        let mut buffer = [0; STATUS_BYTES];
        if let Some(uid) = process.open(c"status").and_then(|file| parse::real_uid(file.read(&mut buffer))) {
            into.uid = Some(uid);
            into.user = Some(users::user_name(uid));
        }
    }

    /// When the process was started, in clock ticks since boot (field 22 of `/proc/PID/stat`); `None` where it is gone
    /// or not readable.
    ///
    /// The pid and this number together name a process: a pid alone is given again to later ones. Costs a third of
    /// [`ProcReader::owner`].
    pub fn start_time_ticks(&mut self, pid: u32) -> Option<u64> {
        let process = self.dir.process(pid)?;
        let mut buffer = [0; STAT_BYTES];
        parse::stat(process.open(c"stat")?.read(&mut buffer)).map(|stat| stat.start_time)
    }

    fn parent_name(&mut self, ppid: u32, child_start: u64) -> Option<ArrayString<64>> {
        let parent = self.dir.process(ppid)?;
        let mut buffer = [0; STAT_BYTES];
        let stat = parse::stat(parent.open(c"stat")?.read(&mut buffer))?;
        // No parent is younger than its child: this one got the pid after the parent had ended.
        (stat.start_time <= child_start).then(|| process_name(&parent, stat.comm))
    }
}
