//! The signals that `igpu record` handles. They are blocked, and the main thread reads them from a file descriptor, so
//! that no signal interrupts the program at an arbitrary point.

use std::{os::fd::AsFd as _, time::Duration};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigHandler, SigSet, Signal, kill, signal},
        signalfd::{SfdFlags, SignalFd},
    },
    unistd::{Pid, getpid, getsid},
};
use procfs::process::Process;

/// The signals that end a recording if no command is run.
const STOP_SIGNALS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
/// The signals that are forwarded to the command in addition to [`STOP_SIGNALS`].
const FORWARDED_SIGNALS: [Signal; 5] =
    [Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGALRM, Signal::SIGWINCH];
/// The signals that the keyboard sends. A process ignores them if a shell without job control has started it with `&`.
const KEYBOARD_SIGNALS: [Signal; 2] = [Signal::SIGINT, Signal::SIGQUIT];

/// The blocked signals. All threads that are started later block them as well.
pub(super) struct Signals {
    signal_fd: SignalFd,
    /// The signals that were ignored at startup, one bit each.
    ignored: u64,
    /// The signal mask before this program changed it, which the command is started with.
    pub mask_before: SigSet,
}

/// A received signal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ReceivedSignal {
    pub signal: Signal,
    /// The process that sent the signal. `None` if the kernel sent it: for Ctrl-C, it sends SIGINT to all processes in
    /// the foreground of the terminal.
    pub sender: Option<u32>,
}

impl Signals {
    /// Blocks the signals. Must be called before any thread is started, because a thread that does not block the
    /// signals would receive them.
    pub(super) fn block(has_command: bool) -> Result<Self, Errno> {
        // The parent process may have ignored SIGCHLD. If this process ignored it too, it could not wait for its child.
        // SAFETY: the default disposition is set, and no handler function that would have to be async-signal-safe.
        let _ = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) };
        let ignored = ignored();
        let forwarded = FORWARDED_SIGNALS.iter().filter(|_| has_command);
        // Signals that were ignored at startup, such as SIGHUP under `nohup`, stay ignored. They must not be blocked,
        // because blocked signals are received even if they are ignored. SIGINT and SIGQUIT are exceptions: a shell
        // ignores them to protect background processes from Ctrl-C, not from `kill -INT`.
        let is_received = |signal: &&Signal| !contains(ignored, **signal) || KEYBOARD_SIGNALS.contains(signal);
        let received = STOP_SIGNALS.iter().chain(forwarded).filter(is_received);
        let mut blocked: SigSet = received.copied().collect();
        blocked.add(Signal::SIGCHLD);
        let signal_fd = SignalFd::with_flags(&blocked, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        // With SIGXFSZ blocked, a write beyond the file size limit fails with an error.
        blocked.add(Signal::SIGXFSZ);
        // With SIGTTOU blocked, writing the status line from the background does not stop this program.
        blocked.add(Signal::SIGTTOU);
        let mask_before = SigSet::thread_get_mask()?;
        blocked.thread_block()?;
        Ok(Self { signal_fd, ignored, mask_before })
    }

    /// Waits for a signal, and returns all signals that were received. Returns an empty list after the timeout.
    pub(super) fn wait(&self, timeout: Duration) -> Vec<ReceivedSignal> {
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        // After an error of `poll`, the pending signals are read as well.
        let _ = poll(&mut [PollFd::new(self.signal_fd.as_fd(), PollFlags::POLLIN)], timeout);
        let mut received = Vec::new();
        while let Ok(Some(info)) = self.signal_fd.read_signal() {
            // A code of 0 or less means that a process sent the signal.
            let sender = (info.ssi_code <= 0).then_some(info.ssi_pid);
            if let Ok(signal) = Signal::try_from(info.ssi_signo as i32)
                && (sender.is_some() || !contains(self.ignored, signal))
            {
                received.push(ReceivedSignal { signal, sender });
            }
        }
        received
    }
}

/// Returns the signals that this program ignores, one bit each: `SigIgn` of `/proc/self/status`.
fn ignored() -> u64 {
    Process::myself().and_then(|process| process.status()).map_or(0, |status| status.sigign)
}

fn contains(set: u64, signal: Signal) -> bool {
    set >> (signal as i32 - 1) & 1 == 1
}

impl ReceivedSignal {
    /// Returns `true` if the signal is a request to this program or the command, not a notification about a child.
    pub(super) fn is_request(self) -> bool {
        self.signal != Signal::SIGCHLD
    }

    /// Returns `true` if the kernel sent a hangup to this process as the leader of its session, and not to all
    /// processes in the foreground of the terminal. Without igpu, the command would be the session leader.
    pub(super) fn is_leader_hangup(self) -> bool {
        self.signal == Signal::SIGHUP && self.sender.is_none() && getsid(None) == Ok(getpid())
    }

    /// Returns the exit status that a shell reports for a process ended by this signal.
    pub(super) fn exit_status(self) -> u8 {
        128 + self.signal as i32 as u8
    }

    /// Sends the signal to another process.
    pub(super) fn forward(self, pid: u32) {
        // The process may have exited.
        let _ = kill(Pid::from_raw(pid as i32), self.signal);
    }
}
