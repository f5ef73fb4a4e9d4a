//! The name, user, parent, and start time of a process, read from `/proc` without allocating.
//!
//! The driver identifies GPU processes only by process ID. [`ProcReader::read_process`] reads all other attributes from
//! `/proc/PID/stat`, `/proc/PID/status`, and `/proc/PID/cmdline`. It uses only the system calls `openat`, `read`, and
//! `close`, and buffers on the stack, because it runs on the sampling path and must not allocate or block. A field that
//! cannot be read is `None`. This happens if the process has ended, if the process ID belongs to another PID namespace,
//! and if `/proc` is not mounted or is mounted with `hidepid`.
//!
//! # Process names
//! The name of a process is the name that the Python package psutil returns, which makes it comparable with the names
//! in other tools. It is usually the kernel's name of the process, which has at most 15 bytes. If the kernel's name has
//! 15 characters or more and the basename of `argv[0]` starts with the kernel's name, that basename is used instead.
//!
//! There are four intended differences from psutil:
//!
//! * A byte that is not UTF-8 becomes U+FFFD. psutil keeps it as an unprintable surrogate.
//! * A carriage return is kept. psutil reads the command line as text with universal newlines.
//! * A name that is longer than the capacity of its field is truncated on a character boundary.
//! * The uid is read only from the line that starts with `Uid:`. psutil also matches a process name that consists of
//!   `Uid:` and three numbers.
//!
//! # User names
//! User names come from `/etc/passwd`. The names of users in other databases (LDAP, SSSD) are available after
//! a call to [`resolve_users`].
//!
//! # Examples
//! ```
//! use igpu::process::{ProcReader, ProcessInfo};
//!
//! let mut reader = ProcReader::new();
//! let mut info = ProcessInfo::default();
//! reader.read_process(std::process::id(), &mut info);
//! println!("{:?} of user {:?}, started at {:?}", info.name, info.user, info.create_time);
//! ```

mod boot_time;
mod io;
mod local_time;
mod name;
#[doc(hidden)]
pub mod parse;
mod process_info;
mod process_info_cache;
mod reader;
mod user_cache;

#[doc(hidden)]
pub use self::local_time::format_local_time;
pub use self::process_info::ProcessInfo;
pub use self::process_info_cache::ProcessInfoCache;
pub use self::reader::ProcReader;
pub use self::user_cache::{clear_user_cache, resolve_users};
