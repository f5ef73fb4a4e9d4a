//! Signals: taken one by one in the main thread, so that none ends this program at the wrong moment.

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

/// What ends a recording without a command.
const STOP_SIGNALS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
/// What is passed on to the command besides.
const FORWARDED_SIGNALS: [Signal; 5] =
    [Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGALRM, Signal::SIGWINCH];
/// What a shell without job control has ignored in all that it starts with `&`, so that Ctrl-C does not end it.
const KEYBOARD_SIGNALS: [Signal; 2] = [Signal::SIGINT, Signal::SIGQUIT];

/// The signals that are blocked in all threads from here on, and wait here.
pub(super) struct Signals {
    signal_fd: SignalFd,
    /// What was ignored at the start: a bit each.
    ignored: u64,
    /// What was blocked before: what the command is started with.
    pub mask_before: SigSet,
}

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ReceivedSignal {
    pub signal: Signal,
    /// The process that sent it; `None` of the kernel's: Ctrl-C is told to all processes of the terminal's foreground.
    pub sender: Option<u32>,
}

impl Signals {
    /// Blocks them. Threads that were started before would take them all the same, so nobody may have started one.
    pub(super) fn block(has_command: bool) -> Result<Self, Errno> {
        // Whoever started this may have ignored SIGCHLD; then no child could be waited for.
        // SAFETY: it is no handler that is set.
        let _ = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) };
        let ignored = ignored();
        let forwarded = FORWARDED_SIGNALS.iter().filter(|_| has_command);
        // What was ignored stays so, as `nohup` wants it: a blocked signal would wait here although it is ignored. But
        // `kill -INT` is meant, whatever the shell did about Ctrl-C.
        let is_wanted = |signal: &&Signal| !contains(ignored, **signal) || KEYBOARD_SIGNALS.contains(signal);
        let wanted = STOP_SIGNALS.iter().chain(forwarded).filter(is_wanted);
        let mut blocked: SigSet = wanted.copied().collect();
        blocked.add(Signal::SIGCHLD);
        let signal_fd = SignalFd::with_flags(&blocked, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        // A file that grows too large is an error of the write then.
        blocked.add(Signal::SIGXFSZ);
        // A live line in the background must not stop this program.
        blocked.add(Signal::SIGTTOU);
        let mask_before = SigSet::thread_get_mask()?;
        blocked.thread_block()?;
        Ok(Self { signal_fd, ignored, mask_before })
    }

    /// Gives the signals that came, and waits so long for the first.
    pub(super) fn wait(&self, timeout: Duration) -> Vec<ReceivedSignal> {
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        // Whether it failed or not, what there is is read.
        let _ = poll(&mut [PollFd::new(self.signal_fd.as_fd(), PollFlags::POLLIN)], timeout);
        let mut received = Vec::new();
        while let Ok(Some(info)) = self.signal_fd.read_signal() {
            // Codes of 0 and below are of signals that a process sent.
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
    /// Whether it asks to end, or is for the command to judge.
    pub(super) fn is_request(self) -> bool {
        self.signal != Signal::SIGCHLD
    }

    /// Whether this process alone was told, and not all of the terminal's foreground: that the terminal is gone is told to
    /// the leader of its session, which the command would be without this program.
    pub(super) fn is_leader_hangup(self) -> bool {
        self.signal == Signal::SIGHUP && self.sender.is_none() && getsid(None) == Ok(getpid())
    }

    /// The exit status of who is ended by it, as a shell gives it.
    pub(super) fn exit_status(self) -> u8 {
        128 + self.signal as i32 as u8
    }

    /// Sends it on.
    pub(super) fn forward(self, to: u32) {
        // It may have ended.
        let _ = kill(Pid::from_raw(to as i32), self.signal);
    }
}
