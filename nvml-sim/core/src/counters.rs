//! Counters of calls. All are atomics, so that calls never wait for each other.

use crate::functions;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

static CALL_COUNTS: [AtomicU64; functions::COUNT] = [const { AtomicU64::new(0) }; functions::COUNT];
static IN_FLIGHT: AtomicU32 = AtomicU32::new(0);
static MAX_IN_FLIGHT: AtomicU32 = AtomicU32::new(0);
static CALLS_AFTER_SHUTDOWN: AtomicU64 = AtomicU64::new(0);
static SHUTDOWNS_DURING_CALLS: AtomicU64 = AtomicU64::new(0);

/// A call in flight, which ends when this value is dropped.
pub(crate) struct InFlight(());

impl InFlight {
    #[inline]
    pub(crate) fn begin(function: usize) -> Self {
        CALL_COUNTS[function].fetch_add(1, Relaxed);
        let now = IN_FLIGHT.fetch_add(1, Relaxed) + 1;
        if now > MAX_IN_FLIGHT.load(Relaxed) {
            MAX_IN_FLIGHT.fetch_max(now, Relaxed);
        }
        Self(())
    }
}

impl Drop for InFlight {
    #[inline]
    fn drop(&mut self) {
        IN_FLIGHT.fetch_sub(1, Relaxed);
    }
}

pub(crate) fn after_shutdown() {
    CALLS_AFTER_SHUTDOWN.fetch_add(1, Relaxed);
}

/// Counts the final shutdown if another call is in flight. The shutdown itself is one call in flight.
pub(crate) fn shutdown() {
    if IN_FLIGHT.load(Relaxed) > 1 {
        SHUTDOWNS_DURING_CALLS.fetch_add(1, Relaxed);
    }
}

pub(crate) fn calls(function: usize) -> u64 {
    CALL_COUNTS[function].load(Relaxed)
}

pub(crate) fn total() -> u64 {
    CALL_COUNTS.iter().map(|calls| calls.load(Relaxed)).sum()
}

pub(crate) fn max_in_flight() -> u32 {
    MAX_IN_FLIGHT.load(Relaxed)
}

pub(crate) fn calls_after_shutdown() -> u64 {
    CALLS_AFTER_SHUTDOWN.load(Relaxed)
}

pub(crate) fn shutdowns_during_calls() -> u64 {
    SHUTDOWNS_DURING_CALLS.load(Relaxed)
}

/// Sets all counters to zero, except the number of calls in flight, which decreases as they return.
pub(crate) fn reset() {
    CALL_COUNTS.iter().for_each(|calls| calls.store(0, Relaxed));
    MAX_IN_FLIGHT.store(IN_FLIGHT.load(Relaxed), Relaxed);
    CALLS_AFTER_SHUTDOWN.store(0, Relaxed);
    SHUTDOWNS_DURING_CALLS.store(0, Relaxed);
}
