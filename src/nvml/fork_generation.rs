//! A counter of forks. It shows whether a handle is used in a process that was forked after the handle was created.

use std::sync::{
    Once,
    atomic::{AtomicU32, Ordering},
};

static GENERATION: AtomicU32 = AtomicU32::new(0);
static REGISTER_ONCE: Once = Once::new();

extern "C" fn on_fork() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// Returns the number of forks between the process that loaded the first [`Nvml`](crate::Nvml) and this process.
#[inline]
pub fn fork_generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Registers a handler with the C library that counts forks. The C library does not call the handler for a child that
/// is created by a direct `clone` system call or by `vfork`. After `vfork`, a child may only call `exec`, which
/// discards the handles.
pub(super) fn register_fork_handler() {
    REGISTER_ONCE.call_once(|| {
        // SAFETY: the handler only increments an atomic, which is async-signal-safe. If the registration fails because
        // there is no memory, forks are not detected, as in other clients of NVML.
        unsafe { libc::pthread_atfork(None, None, Some(on_fork)) };
    });
}
