//! How many system calls each call makes: a second process of this program makes them, traced by this one. A process may
//! trace its own children, so that it needs no privilege.
//!
//! The child makes every call once before, as the first may open files or load code. Then it sends itself a signal
//! before and after each call; the tracer sees each signal, and each system call between two of them.

use std::{
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use igpu::{
    Nvml,
    probe::{CALLS, Room},
};
use nix::{
    sys::{
        ptrace,
        signal::{Signal, raise},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use crate::options::Options;

/// What stands between two calls.
const MARK: Signal = Signal::SIGUSR1;
/// The child's exit status when it may not be traced.
const REFUSED: u8 = 3;
/// How long to wait for the child's next stop before looking again.
const PAUSE: Duration = Duration::from_micros(30);

/// What the calls of one process showed: for each call of each GPU in turn its number of system calls, as far as it is
/// known; and why it is not, where it is not.
type Counts = (Vec<Option<u32>>, Option<String>);

/// Counts the system calls of all calls of these GPUs, until a time.
pub fn count(options: &Options, gpus: &[u32], until: Instant) -> Counts {
    let wanted = gpus.len() * CALLS.len();
    let (stops, why) = match start(options, gpus) {
        Ok(child) => follow(child, until),
        Err(why) => (Vec::new(), Some(why)),
    };
    // Between the first two marks nothing is called: so many stops the marks themselves make.
    let marks = stops.first().copied().unwrap_or(0);
    let counts = stops.iter().skip(1).map(|stops| Some(stops.saturating_sub(marks) / 2));
    let counts: Vec<Option<u32>> = counts.chain(std::iter::repeat(None)).take(wanted).collect();
    let short = counts.iter().any(Option::is_none);
    (counts, why.filter(|_| short))
}

fn start(options: &Options, gpus: &[u32]) -> Result<Pid, String> {
    let cannot = |error: &dyn std::fmt::Display| format!("no process could be started to be traced ({error})");
    let program = std::env::current_exe().map_err(|error| cannot(&error))?;
    let mut command = Command::new(program);
    let own = std::process::id().to_string();
    command.args(["probe", "--be-traced", &own]).args(gpus.iter().map(u32::to_string));
    if let Some(scenario) = &options.simulate {
        command.arg(format!("--simulate={scenario}"));
    }
    if let Some(library) = &options.library {
        command.arg("--library").arg(library);
    }
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    Ok(Pid::from_raw(child.map_err(|error| cannot(&error))?.id() as i32))
}

/// Follows the child from stop to stop: for each pair of marks, the stops between them. A system call makes two.
fn follow(child: Pid, until: Instant) -> (Vec<u32>, Option<String>) {
    let (mut counts, mut stops, mut begun) = (Vec::new(), 0, false);
    let why = loop {
        let pass_on = match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) if Instant::now() < until => {
                std::thread::sleep(PAUSE);
                continue;
            }
            Ok(WaitStatus::StillAlive) => break end(child, "there was no time to count all"),
            Ok(WaitStatus::Stopped(_, MARK)) => {
                if begun {
                    counts.push(stops);
                } else if let Err(error) = ptrace::setoptions(child, options()) {
                    break end(child, &format!("the system does not allow tracing ({error})"));
                }
                (begun, stops) = (true, 0);
                None
            }
            Ok(WaitStatus::Stopped(_, signal)) => Some(signal),
            Ok(WaitStatus::PtraceSyscall(_)) => {
                stops += 1;
                None
            }
            Ok(WaitStatus::Exited(_, 0)) => break None,
            Ok(WaitStatus::Exited(_, code)) if code == i32::from(REFUSED) => {
                break Some("the system does not allow tracing".to_owned());
            }
            Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) => {
                break Some("the process that was traced ended early".to_owned());
            }
            Ok(_) => None,
            Err(error) => break end(child, &format!("the process that was traced was lost ({error})")),
        };
        if let Err(error) = ptrace::syscall(child, pass_on) {
            break end(child, &format!("the process that was traced was lost ({error})"));
        }
    };
    (counts, why)
}

fn options() -> ptrace::Options {
    // The child ends with this process, however that ends.
    ptrace::Options::PTRACE_O_TRACESYSGOOD | ptrace::Options::PTRACE_O_EXITKILL
}

/// Ends the child, and gives the reason.
fn end(child: Pid, why: &str) -> Option<String> {
    // It may be gone already.
    let _ = nix::sys::signal::kill(child, Signal::SIGKILL);
    // A call that hangs in the kernel cannot be ended; the child is not waited for.
    let _ = waitpid(child, Some(WaitPidFlag::WNOHANG));
    Some(why.to_owned())
}

/// The child: makes each call of each GPU between two marks.
pub fn be_traced<E>(load: impl FnOnce() -> Result<Nvml, E>, parent: u32, gpus: &[String]) -> ExitCode {
    // It ends with its parent, also while it is not traced yet, and when the parent is gone already.
    let bound = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).is_ok();
    if !bound || nix::unistd::getppid().as_raw() != parent as i32 {
        return ExitCode::FAILURE;
    }
    let Ok(nvml) = load() else { return ExitCode::FAILURE };
    let index = |gpu: &String| gpu.parse().ok();
    let devices: Vec<_> = gpus.iter().filter_map(index).filter_map(|index| nvml.device(index).ok()).collect();
    let mut rooms: Vec<Room> = devices.iter().map(|_| Room::new(&nvml)).collect();
    for (device, room) in devices.iter().zip(&mut rooms) {
        CALLS.iter().for_each(|call| drop(call.make(device, room)));
    }
    // A GPU that is not there would put the counts of the others in the wrong places.
    if devices.len() != gpus.len() {
        return ExitCode::FAILURE;
    }
    if ptrace::traceme().is_err() {
        return ExitCode::from(REFUSED);
    }
    let mark = || raise(MARK).is_ok();
    let mut marked = mark() && mark();
    for (device, room) in devices.iter().zip(&mut rooms) {
        for call in CALLS {
            // The answer does not matter here.
            let _ = call.make(device, room);
            marked &= mark();
        }
    }
    if marked { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows a shell that runs this, for half a second.
    fn followed(script: &str) -> (Vec<u32>, String) {
        let mut shell = Command::new("sh").args(["-c", script]).spawn().expect("a shell");
        let begin = Instant::now();
        let (counts, why) = follow(Pid::from_raw(shell.id() as i32), begin + Duration::from_millis(500));
        // Where it was killed, it is not waited for.
        let _ = shell.wait();
        assert!(begin.elapsed() < Duration::from_secs(5));
        (counts, why.unwrap_or_default())
    }

    #[test]
    fn a_child_that_cannot_be_traced_is_a_reason_and_no_count() {
        assert_eq!(followed("exit 3"), (Vec::new(), "the system does not allow tracing".into()));
        assert_eq!(followed("exit 1"), (Vec::new(), "the process that was traced ended early".into()));
        assert_eq!(followed("kill -9 $$"), (Vec::new(), "the process that was traced ended early".into()));
        assert_eq!(followed("exec sleep 100"), (Vec::new(), "there was no time to count all".into()));
    }
}
