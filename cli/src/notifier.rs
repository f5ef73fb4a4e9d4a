//! Messages on stderr that do not disturb a progress bar.

use std::{
    io::{self, Write as _},
    os::fd::AsFd as _,
};

use indicatif::ProgressBar;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::Diagnostic;

/// A writer of messages to stderr.
#[derive(Clone)]
pub(crate) struct Notifier(ProgressBar);

impl Notifier {
    /// Creates a notifier that writes messages above this bar.
    pub(crate) fn new(bar: ProgressBar) -> Self {
        Self(bar)
    }

    /// Creates a notifier for a program that shows no bar.
    pub(crate) fn without_bar() -> Self {
        Self(ProgressBar::hidden())
    }

    /// Writes a message. If stderr would block, drops the message instead of waiting for a reader.
    pub(crate) fn report(&self, message: &Diagnostic) {
        if stderr_is_writable() {
            // If stderr is closed, there is nowhere to report the error.
            let _ = self.0.suspend(|| writeln!(io::stderr(), "{message}"));
        }
    }

    /// Writes a message without advice.
    pub(crate) fn report_text(&self, message: impl Into<String>) {
        self.report(&Diagnostic::new(message));
    }
}

/// Returns `true` if stderr accepts a line without blocking. Returns `false` for a full pipe, and for a terminal that
/// was stopped with Ctrl-S.
pub(crate) fn stderr_is_writable() -> bool {
    let stderr = io::stderr();
    poll(&mut [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)], PollTimeout::ZERO) != Ok(0)
}
