//! The command that is run: as if igpu were not there.

use std::{
    ffi::{CString, OsStr, OsString},
    os::unix::{ffi::OsStrExt as _, process::ExitStatusExt as _},
    process::ExitStatus,
};

use igpu::{Escaped, sampler::monotonic};
use nix::{
    errno::Errno,
    libc,
    spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawnp},
    sys::signal::{SigSet, Signal},
};

/// Why a command was not started, and the status that a shell gives for that.
pub(super) struct SpawnError {
    pub message: String,
    pub status: u8,
}

/// A command that runs.
#[derive(Clone, Copy)]
pub(super) struct ChildProcess {
    pub pid: u32,
    /// When it was started, by the sampler's clock.
    pub started_ns: u64,
}

/// Starts it with the signals blocked that were so before; with the rest of its surroundings as they are.
///
/// Not by the standard library, whose child would have this thread's signals blocked.
pub(super) fn start(command: &[OsString], mask: &SigSet) -> Result<ChildProcess, SpawnError> {
    let not_started = |error| SpawnError::new(&command[0], error);
    // Orphans of its come to this process and not to init: so it stays known whose they are.
    let _ = nix::sys::prctl::set_child_subreaper(true);
    let arguments =
        command.iter().map(|argument| c_string(argument)).collect::<Result<Vec<_>, _>>().map_err(not_started)?;
    let variables: Vec<CString> = std::env::vars_os().filter_map(environment_entry).collect();
    let attributes = attributes(mask).map_err(not_started)?;
    let no_actions = PosixSpawnFileActions::init().map_err(not_started)?;
    let started_ns = monotonic();
    let pid = posix_spawnp(&arguments[0], &no_actions, &attributes, &arguments, &variables).map_err(not_started)?;
    Ok(ChildProcess { pid: pid.as_raw() as u32, started_ns })
}

fn attributes(mask: &SigSet) -> Result<PosixSpawnAttr, Errno> {
    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF)?;
    attributes.set_sigmask(mask)?;
    // Rust's start-up ignores it, which is nothing for the command to inherit.
    attributes.set_sigdefault(&SigSet::from(Signal::SIGPIPE))?;
    Ok(attributes)
}

fn c_string(argument: &OsStr) -> Result<CString, Errno> {
    CString::new(argument.as_bytes()).map_err(|_| Errno::EINVAL)
}

fn environment_entry((name, value): (OsString, OsString)) -> Option<CString> {
    CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
}

impl SpawnError {
    fn new(program: &OsStr, error: Errno) -> Self {
        let shown = program.to_string_lossy();
        let program = Escaped(&shown);
        let (message, status) = match error {
            Errno::ENOENT if program.0.contains('/') => {
                (format!("there is no program {program}; look at its path, and at that of its interpreter"), 127)
            }
            Errno::ENOENT => (format!("there is no program {program} in PATH; give its path"), 127),
            Errno::EACCES => (format!("{program} may not be executed; `chmod +x` allows it to"), 126),
            Errno::ENOEXEC => (format!("{program} is no program for this machine; run it by its interpreter"), 126),
            error => (format!("{program} could not be started ({}); try it without igpu", error.desc()), 126),
        };
        Self { message, status }
    }
}

/// Takes note of all children that have ended, the orphans of the command's too; gives the command's status where it is
/// among them.
pub(super) fn reap(child: ChildProcess) -> Option<ExitStatus> {
    let mut ended = None;
    loop {
        let mut status = 0;
        // SAFETY: the pointer is to a live number. Not by `nix`, which loses those ended by a real-time signal.
        let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
        if pid == child.pid as i32 {
            ended = Some(ExitStatus::from_raw(status));
        } else if pid == 0 || pid < 0 && Errno::last() != Errno::EINTR {
            return ended;
        }
    }
}

/// The status as a shell gives it.
pub(super) fn shell_status(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.unwrap_or(1) as u8
}
