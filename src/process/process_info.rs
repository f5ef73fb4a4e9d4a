//! The owner of a process.

use arrayvec::ArrayString;

/// The owner and origin of a process, as far as `/proc` shows them.
///
/// Plain data of fixed size. Each field is `None` on its own if it could not be read.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ProcessInfo {
    /// The process's name as psutil gives it, from `/proc/PID/stat` and, for names of 15 characters or more,
    /// `/proc/PID/cmdline`. Longer ones are cut to 64 bytes on a character boundary; bytes that are not UTF-8 are
    /// U+FFFD; control characters are left as they are. `None`: the process is gone or not readable.
    pub name: Option<ArrayString<64>>,
    /// Name of the real user, from `/etc/passwd` or found by [`resolve_users`](super::resolve_users); the uid as
    /// decimal text while no name is known. Truncated to 32 bytes like `name`. `None`: no uid.
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
