//! The attributes of a process.

use arrayvec::ArrayString;

/// The name, user, parent, and start time of a process, from `/proc`.
///
/// The size is fixed, and the fields need no allocation. A field is `None` if it could not be read; the other fields
/// are not affected. [`ProcReader::read_process`](super::ProcReader::read_process) fills a `ProcessInfo`.
///
/// # Examples
/// ```
/// use igpu::process::{ProcReader, ProcessInfo};
///
/// let mut info = ProcessInfo::default();
/// ProcReader::new().read_process(std::process::id(), &mut info);
/// assert_eq!(info.parent_pid, Some(std::os::unix::process::parent_id()));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ProcessInfo {
    /// The name of the process as psutil returns it, from `/proc/PID/stat`, or from `/proc/PID/cmdline` for names of 15
    /// characters or more. The name is truncated to 64 bytes on a character boundary. Bytes that are not UTF-8 are
    /// replaced by U+FFFD, and control characters are kept. `None` if the process has ended or cannot be read.
    pub name: Option<ArrayString<64>>,
    /// The name of the real user, from `/etc/passwd` or from [`resolve_users`](super::resolve_users), truncated to 32
    /// bytes on a character boundary. If no name is known, the uid as decimal text. `None` if the uid is `None`.
    pub user: Option<ArrayString<32>>,
    /// The real user ID in the caller's user namespace, from `/proc/PID/status`. `None` if the process has ended or
    /// cannot be read.
    pub uid: Option<u32>,
    /// The process ID of the parent, from `/proc/PID/stat`. `None` if the process has ended or cannot be read, and if
    /// it has no parent in this PID namespace (process ID 1, and processes whose parent is outside the namespace).
    pub parent_pid: Option<u32>,
    /// The name of the parent, with the same rules as `name`. `None` if there is no parent, or if the parent has ended
    /// in the meantime, even if its process ID already belongs to a newer process.
    pub parent_name: Option<ArrayString<64>>,
    /// The time at which the process was started, in seconds since the epoch (UTC), with the resolution of the kernel's
    /// clock tick (usually 10 ms). It is the sum of `btime` of `/proc/stat` and `starttime` of `/proc/PID/stat`. `None`
    /// if the process has ended or cannot be read.
    pub create_time: Option<f64>,
}
