//! Who owns a GPU process: name, user, parent and start, read from `/proc` without allocating.
//!
//! The driver identifies GPU processes only by pid. Everything else comes from `/proc/PID/{stat,status,cmdline}`, which
//! [`ProcReader::read_process`] reads with plain `openat`, `read` and `close` into buffers on the stack: it runs on the
//! sampling path, where nothing may allocate, block, or fail. A field that cannot be read is `None`: the process is
//! gone, its pid belongs to another pid namespace, or `/proc` is mounted with `hidepid` or is absent.
//!
//! Names follow the Python package psutil, so that they compare with those of other tools: the kernel's name of the
//! process (at most 15 bytes), and where that has 15 or more characters the whole basename of `argv[0]`, if it starts
//! with the kernel's name. Four things differ from psutil on purpose: a byte that is not UTF-8 becomes U+FFFD (psutil
//! keeps it as an unprintable surrogate), a carriage return stays one (psutil reads the command line as text with
//! universal newlines), names are cut at the capacity of their field, on a character boundary, and the uid is read from
//! the line `Uid:` alone (a process that calls itself `Uid:` and three numbers has psutil believe them).
//!
//! User names are the subject of [`resolve_users`].

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
