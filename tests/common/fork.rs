//! Code that runs in a forked child process.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `body` in a forked child process. Returns `true` if it returned without a panic.
pub(crate) fn in_fork(body: impl FnOnce()) -> bool {
    // SAFETY: the child runs `body` and exits; it does not return to the code of the parent.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork failed");
    if pid == 0 {
        // SAFETY: alarm takes a number. The signal ends a child that hangs.
        unsafe { libc::alarm(600) };
        let succeeded = catch_unwind(AssertUnwindSafe(body)).is_ok();
        // SAFETY: _exit ends the child without running the exit handlers of the test harness.
        unsafe { libc::_exit(i32::from(!succeeded)) };
    }
    let mut status = 0;
    // SAFETY: `pid` is a child of this process, and the pointer is to a live integer.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
}
