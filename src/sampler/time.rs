//! The clocks of the sampler and the probe. The clocks are function pointers, so that tests can replace them with a
//! stepped clock.

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
    /// The function that returns the time of `CLOCK_MONOTONIC`, in nanoseconds.
    pub monotonic: fn() -> u64,
    /// The function that returns the time of `CLOCK_REALTIME`, in microseconds since the Unix epoch. The driver's
    /// timestamps use this clock.
    pub wall_us: fn() -> u64,
    /// The function that sleeps until `monotonic` returns about this time, in nanoseconds.
    pub sleep_until: fn(u64),
}

impl Default for Clocks {
    fn default() -> Self {
        Self { monotonic, wall_us, sleep_until }
    }
}

/// Returns the time of `CLOCK_MONOTONIC` in nanoseconds, the time base of [`Record::at`](super::Record::at).
///
/// The call takes about 20 ns and makes no system call.
///
/// ```
/// use igpu::sampler::monotonic;
///
/// let begin = monotonic();
/// assert!(monotonic() >= begin);
/// ```
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

/// Sleeps until the monotonic clock has reached `deadline`, in nanoseconds. A signal ends the sleep early, so callers
/// check the time themselves.
fn sleep_until(deadline: u64) {
    let seconds = (deadline / 1_000_000_000) as i64;
    let time = Timespec { tv_sec: seconds, tv_nsec: (deadline % 1_000_000_000) as _ };
    let _ = clock_nanosleep_absolute(ClockId::Monotonic, &time);
}

/// Reduces the calling thread's timer slack from the default of 50 µs to 1 ns, so that the kernel wakes the thread on
/// time.
pub(super) fn minimize_timer_slack() {
    // A failure only makes the thread wake later.
    let _ = set_current_timer_slack(NonZeroU64::new(1));
}

/// A stopwatch for driver calls. Consecutive calls share a clock read: the end of one call is the beginning of the next
/// call.
#[derive(Debug)]
pub(super) struct Stopwatch {
    clocks: Clocks,
    /// The time of the last clock read, at which the call in progress began, or 0 if no call is in progress.
    last: Arc<AtomicU64>,
    /// The total time spent in the driver, in nanoseconds.
    pub spent: u64,
    /// The time at which the watchdog found the call in progress to hang, or 0 if the call is not hung. After a hang,
    /// another thread reads the other GPUs.
    hang_detected_at: Arc<AtomicU64>,
    /// `true` if a call since [`start`](Self::start) was found to hang. No further call may be made in this case.
    pub is_hung: bool,
}

impl Stopwatch {
    pub(super) fn new(clocks: Clocks) -> Self {
        Self { clocks, last: Arc::default(), spent: 0, hang_detected_at: Arc::default(), is_hung: false }
    }

    /// Returns the shared variable that contains the time at which the call in progress began, or 0 if no call is in
    /// progress. Other threads observe the variable.
    pub(super) fn call_start(&self) -> Arc<AtomicU64> {
        self.last.clone()
    }

    /// Returns the variable that the watchdog sets to the time at which it found the call in progress to hang.
    pub(super) fn hang_flag(&self) -> Arc<AtomicU64> {
        self.hang_detected_at.clone()
    }

    /// Starts measuring now, so that the time since the last call is not counted.
    pub(super) fn start(&mut self) {
        self.is_hung = false;
        self.last.store((self.clocks.monotonic)(), Relaxed);
    }

    /// Records that no call is in progress.
    pub(super) fn stop(&mut self) {
        self.last.store(0, Relaxed);
    }

    /// Returns the time of the last clock read.
    pub(super) fn last(&self) -> u64 {
        self.last.load(Relaxed)
    }

    /// Makes a call, and returns its result and its time.
    #[inline]
    pub(super) fn time<T>(&mut self, call: impl FnOnce() -> T) -> (T, Timestamp) {
        let result = call();
        (result, self.lap())
    }

    /// Returns the time of the call that was made since the last clock read: its middle, with half of its duration as
    /// the uncertainty.
    #[inline]
    pub(super) fn lap(&mut self) -> Timestamp {
        let before = self.last.load(Relaxed);
        let after = (self.clocks.monotonic)();
        self.last.store(after, Relaxed);
        let duration = after.saturating_sub(before);
        self.spent += duration;
        self.is_hung |= self.hang_detected_at.load(Relaxed) > 0;
        let uncertainty = u32::try_from(duration.div_ceil(2)).unwrap_or(u32::MAX);
        Timestamp { at: before + duration / 2, uncertainty }
    }
}
