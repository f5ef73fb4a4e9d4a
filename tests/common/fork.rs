//! A forked child of a test.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `body` in a forked child; whether it got to its end.
pub(crate) fn in_fork(body: impl FnOnce()) -> bool {
    // SAFETY: the child does no more than to use what it has a copy of, and to end.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "no fork");
    if pid == 0 {
        // SAFETY: takes a number. Whatever hangs, ends.
        unsafe { libc::alarm(600) };
        let done = catch_unwind(AssertUnwindSafe(body)).is_ok();
        // SAFETY: ends the child at once; the harness's clean-up is the parent's.
        unsafe { libc::_exit(i32::from(!done)) };
    }
    let mut status = 0;
    // SAFETY: the child is ours, and the pointer is to a live int.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
}
