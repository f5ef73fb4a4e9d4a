//! Counts this process's forks, so that a handle can tell that it is used in a child.

use std::sync::{
    Once,
    atomic::{AtomicU32, Ordering},
};

static GENERATION: AtomicU32 = AtomicU32::new(0);
static REGISTER_ONCE: Once = Once::new();

extern "C" fn on_fork() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// Returns how many forks lie between this process and the one in which the first [`Nvml`](crate::Nvml) was loaded.
#[inline]
pub fn fork_generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Has the C library count forks from now on. A child made by a bare `clone` or `vfork` is not counted; such a
/// child may do little but `exec`, which drops the handle anyway.
pub(super) fn register_fork_handler() {
    REGISTER_ONCE.call_once(|| {
        // SAFETY: the handler only adds to an atomic, which is allowed between fork and exec. On failure (no
        // memory) forks go unnoticed, which is what every other client of NVML has.
        unsafe { libc::pthread_atfork(None, None, Some(on_fork)) };
    });
}
