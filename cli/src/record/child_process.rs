//! The recorded command, which runs as it would without igpu.

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

use crate::error::Diagnostic;

/// The reason why the command was not started, and the exit status that a shell returns for it.
pub(super) struct SpawnError {
    pub diagnostic: Diagnostic,
    pub status: u8,
}

/// The running command.
#[derive(Clone, Copy)]
pub(super) struct ChildProcess {
    pub pid: u32,
    /// The time at which the command was started, in nanoseconds of the sampler's clock.
    pub started_ns: u64,
}

/// Starts the command with this signal mask. The command inherits everything else from this process.
///
/// [`std::process::Command`] cannot be used: its child would inherit the signal mask of this thread, which blocks
/// signals.
pub(super) fn start(command: &[OsString], mask: &SigSet) -> Result<ChildProcess, SpawnError> {
    let not_started = |error| SpawnError::new(&command[0], error);
    // Orphaned descendants of the command become children of this process instead of init, which keeps them
    // identifiable as descendants.
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
    // Rust's runtime ignores SIGPIPE at startup, which the command must not inherit.
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
        let (message, help, status) = match error {
            Errno::ENOENT if program.0.contains('/') => (
                format!("the program {program} or its interpreter does not exist"),
                "check its path, and the interpreter in its first line",
                127,
            ),
            Errno::ENOENT => {
                (format!("no program {program} was found in PATH"), "check the spelling, or pass a path", 127)
            }
            Errno::EACCES => (
                format!("permission to execute {program} was denied"),
                "pass an executable file; `chmod +x` makes a file executable",
                126,
            ),
            Errno::ENOEXEC => (
                format!("{program} is not a program for this machine"),
                "if the file is a script, pass it to its interpreter",
                126,
            ),
            error => {
                let message = format!("{program} could not be started ({})", error.desc());
                (message, "check that the program starts without `igpu record`", 126)
            }
        };
        Self { diagnostic: Diagnostic::new(message).with_help(help), status }
    }
}

/// Reaps all children that have exited, including adopted orphans. Returns the status of the command if it was among
/// them.
pub(super) fn reap(child: ChildProcess) -> Option<ExitStatus> {
    let mut command_status = None;
    loop {
        let mut status = 0;
        // `nix::sys::wait::waitpid` is not used, because it returns an error for children ended by a real-time signal.
        // SAFETY: the pointer is valid for writes, because it points to a local variable.
        let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
        if pid == child.pid as i32 {
            command_status = Some(ExitStatus::from_raw(status));
        } else if pid == 0 || pid < 0 && Errno::last() != Errno::EINTR {
            return command_status;
        }
    }
}

/// Returns the exit status as a shell reports it: 128 + N after signal N.
pub(super) fn shell_status(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.unwrap_or(1) as u8
}
