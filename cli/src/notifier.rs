//! Lines on stderr that keep clear of a progress bar.

use std::{
    io::{self, Write as _},
    os::fd::AsFd as _,
};

use indicatif::ProgressBar;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Reports on stderr while the program goes on.
#[derive(Clone)]
pub(crate) struct Notifier(ProgressBar);

impl Notifier {
    /// Reports beside this bar.
    pub(crate) fn new(bar: ProgressBar) -> Self {
        Self(bar)
    }

    /// Reports where there is no bar.
    pub(crate) fn without_bar() -> Self {
        Self(ProgressBar::hidden())
    }

    /// Writes a line. Where stderr takes none, the line is dropped: nothing here waits for a reader.
    pub(crate) fn report(&self, sentence: &str) {
        if can_be_written() {
            // A stderr that is closed cannot report its own error.
            let _ = self.0.suspend(|| writeln!(io::stderr(), "igpu: {sentence}"));
        }
    }
}

/// Whether stderr takes a line now: not so of a pipe that is full, nor of a terminal that Ctrl-S has stopped.
pub(crate) fn can_be_written() -> bool {
    let stderr = io::stderr();
    poll(&mut [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)], PollTimeout::ZERO) != Ok(0)
}
