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
const ENDING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
/// What is passed on to the command besides.
const PASSED_ON: [Signal; 5] = [Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGALRM, Signal::SIGWINCH];
/// What a shell without job control has ignored in all that it starts with `&`, so that Ctrl-C does not end it.
const OF_THE_KEYBOARD: [Signal; 2] = [Signal::SIGINT, Signal::SIGQUIT];

/// The signals that are blocked in all threads from here on, and wait here.
pub(super) struct Signals {
    waiting: SignalFd,
    /// What was ignored at the start: a bit each.
    ignored: u64,
    /// What was blocked before: what the command is started with.
    pub mask_before: SigSet,
}

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Came {
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
        let passed_on = PASSED_ON.iter().filter(|_| has_command);
        // What was ignored stays so, as `nohup` wants it: a blocked signal would wait here although it is ignored. But
        // `kill -INT` is meant, whatever the shell did about Ctrl-C.
        let is_wanted = |signal: &&Signal| !contains(ignored, **signal) || OF_THE_KEYBOARD.contains(signal);
        let wanted = ENDING.iter().chain(passed_on).filter(is_wanted);
        let mut taken: SigSet = wanted.copied().collect();
        taken.add(Signal::SIGCHLD);
        let waiting = SignalFd::with_flags(&taken, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        // A file that grows too large is an error of the write then.
        taken.add(Signal::SIGXFSZ);
        // A live line in the background must not stop this program.
        taken.add(Signal::SIGTTOU);
        let mask_before = SigSet::thread_get_mask()?;
        taken.thread_block()?;
        Ok(Self { waiting, ignored, mask_before })
    }

    /// Gives the signals that came, and waits so long for the first.
    pub(super) fn wait(&self, at_most: Duration) -> Vec<Came> {
        let timeout = PollTimeout::try_from(at_most).unwrap_or(PollTimeout::MAX);
        // Whether it failed or not, what there is is read.
        let _ = poll(&mut [PollFd::new(self.waiting.as_fd(), PollFlags::POLLIN)], timeout);
        let mut came = Vec::new();
        while let Ok(Some(info)) = self.waiting.read_signal() {
            // Codes of 0 and below are of signals that a process sent.
            let sender = (info.ssi_code <= 0).then_some(info.ssi_pid);
            if let Ok(signal) = Signal::try_from(info.ssi_signo as i32)
                && (sender.is_some() || !contains(self.ignored, signal))
            {
                came.push(Came { signal, sender });
            }
        }
        came
    }
}

/// Returns the signals that this program ignores, one bit each: `SigIgn` of `/proc/self/status`.
fn ignored() -> u64 {
    Process::myself().and_then(|process| process.status()).map_or(0, |status| status.sigign)
}

fn contains(set: u64, signal: Signal) -> bool {
    set >> (signal as i32 - 1) & 1 == 1
}

impl Came {
    /// Whether it asks to end, or is for the command to judge.
    pub(super) fn is_request(self) -> bool {
        self.signal != Signal::SIGCHLD
    }

    /// Whether this process alone was told, and not all of the terminal's foreground: that the terminal is gone is told to
    /// the leader of its session, which the command would be without this program.
    pub(super) fn is_for_leader(self) -> bool {
        self.signal == Signal::SIGHUP && self.sender.is_none() && getsid(None) == Ok(getpid())
    }

    /// The exit status of who is ended by it, as a shell gives it.
    pub(super) fn status(self) -> u8 {
        128 + self.signal as i32 as u8
    }

    /// Sends it on.
    pub(super) fn pass_on(self, to: u32) {
        // It may have ended.
        let _ = kill(Pid::from_raw(to as i32), self.signal);
    }
}
