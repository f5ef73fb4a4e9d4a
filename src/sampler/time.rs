//! The clocks that the sampler and the probe use. They are functions, so that a test can replace them with a stepped
//! clock.

use std::{
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use rustix::{
    thread::{clock_nanosleep_absolute, set_current_timer_slack},
    time::{ClockId, Timespec, clock_gettime},
};

use super::metric_state::Timestamp;

/// The clock functions of the sampler and the probe.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// Returns `CLOCK_MONOTONIC`, in nanoseconds.
    pub monotonic: fn() -> u64,
    /// Returns `CLOCK_REALTIME`, which the driver stamps samples with, in microseconds since the epoch.
    pub wall_us: fn() -> u64,
    /// Sleeps until about this time of `monotonic`.
    pub sleep_until: fn(u64),
}

impl Default for Clocks {
    fn default() -> Self {
        Self { monotonic, wall_us, sleep_until }
    }
}

/// Nanoseconds of `CLOCK_MONOTONIC`: what [`Record::at`](super::Record::at) counts in. About 20 ns, no system call.
#[must_use]
pub fn monotonic() -> u64 {
    read(ClockId::Monotonic)
}

fn wall_us() -> u64 {
    read(ClockId::Realtime) / 1000
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Sleeps until the monotonic clock shows `deadline`, or a little later.
fn sleep_until(deadline: u64) {
    let seconds = (deadline / 1_000_000_000) as i64;
    let time = Timespec { tv_sec: seconds, tv_nsec: (deadline % 1_000_000_000) as _ };
    // A signal ends the sleep early; callers check the time themselves.
    let _ = clock_nanosleep_absolute(ClockId::Monotonic, &time);
}

/// Reduces this thread's timer slack, 50 µs by default, so that the kernel wakes it on time.
pub(super) fn minimize_timer_slack() {
    // Affects only this thread; harmless if it fails.
    let _ = set_current_timer_slack(NonZeroU64::new(1));
}

/// Times driver calls: one reading of the clock between each two, because the end of one is the beginning of the next.
#[derive(Debug)]
pub(super) struct Stopwatch {
    clocks: Clocks,
    last: Arc<AtomicU64>,
    /// Nanoseconds spent in the driver.
    pub spent: u64,
    /// Set by the watchdog once it finds that the call in progress hangs and another thread reads the other GPUs;
    /// otherwise 0.
    hung: Arc<AtomicU64>,
    /// Whether a call since the start was found to hang. No further call may be made then.
    pub is_hung: bool,
}

impl Stopwatch {
    pub(super) fn new(clocks: Clocks) -> Self {
        Self { clocks, last: Arc::default(), spent: 0, hung: Arc::default(), is_hung: false }
    }

    /// Returns when the call in progress began, for other threads to observe; 0 if there is none.
    pub(super) fn call_start(&self) -> Arc<AtomicU64> {
        self.last.clone()
    }

    /// Returns the value that the watchdog sets to the time at which it found the call in progress to hang.
    pub(super) fn hang_flag(&self) -> Arc<AtomicU64> {
        self.hung.clone()
    }

    /// Reads the clock again, so that the time since the last call does not count as the driver's.
    pub(super) fn start(&mut self) {
        self.is_hung = false;
        self.last.store((self.clocks.monotonic)(), Relaxed);
    }

    /// No call is under way until it is started again.
    pub(super) fn stop(&mut self) {
        self.last.store(0, Relaxed);
    }

    /// When the clock was read last.
    pub(super) fn last(&self) -> u64 {
        self.last.load(Relaxed)
    }

    /// Makes a call and gives when it was: the middle, and half its length as uncertainty.
    #[inline]
    pub(super) fn time<T>(&mut self, call: impl FnOnce() -> T) -> (T, Timestamp) {
        let answer = call();
        (answer, self.lap())
    }

    /// When the call was that was made since the clock was read last.
    #[inline]
    pub(super) fn lap(&mut self) -> Timestamp {
        let before = self.last.load(Relaxed);
        let after = (self.clocks.monotonic)();
        self.last.store(after, Relaxed);
        let length = after.saturating_sub(before);
        self.spent += length;
        self.is_hung |= self.hung.load(Relaxed) > 0;
        let uncertainty = u32::try_from(length.div_ceil(2)).unwrap_or(u32::MAX);
        Timestamp { at: before + length / 2, uncertainty }
    }
}
