//! The simulated clock, which either follows the real clock or is stepped by a test.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// The stepped time in nanoseconds since the start of the scenario, or `REAL_CLOCK` if the clock follows the real one.
static STEPPED_NS: AtomicU64 = AtomicU64::new(REAL_CLOCK);
/// CLOCK_MONOTONIC at the simulated time 0, in nanoseconds. The value wraps around.
static ORIGIN_NS: AtomicU64 = AtomicU64::new(0);
/// CLOCK_REALTIME at the simulated time 0, in microseconds.
static EPOCH_US: AtomicU64 = AtomicU64::new(STEPPED_EPOCH_US);

/// Whether calls advance the stepped clock by their duration.
static ADVANCED_BY_CALLS: AtomicBool = AtomicBool::new(false);

const REAL_CLOCK: u64 = u64::MAX;
/// The simulated wall clock at the simulated time 0 while the clock is stepped. It is constant, so that every run
/// returns the same timestamps.
pub(crate) const STEPPED_EPOCH_US: u64 = 1_700_000_000_000_000;

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a live timespec. Both clocks that the callers pass exist on every Linux.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Returns the simulated time in nanoseconds since the start of the scenario.
#[inline]
pub(crate) fn now_ns() -> u64 {
    let stepped = STEPPED_NS.load(Relaxed);
    if stepped != REAL_CLOCK {
        return stepped;
    }
    read(libc::CLOCK_MONOTONIC).wrapping_sub(ORIGIN_NS.load(Relaxed))
}

/// Returns the simulated wall clock at the simulated time `ns`, in microseconds since 1970.
pub(crate) fn wall_us(ns: u64) -> u64 {
    let epoch = if STEPPED_NS.load(Relaxed) == REAL_CLOCK { EPOCH_US.load(Relaxed) } else { STEPPED_EPOCH_US };
    epoch + ns / 1000
}

/// Sets whether calls advance the stepped clock by their duration instead of waiting on the real clock.
pub(crate) fn set_advanced_by_calls(enabled: bool) {
    ADVANCED_BY_CALLS.store(enabled, Relaxed);
}

/// Advances the stepped clock by the duration of a call. Returns `false` and does nothing if calls do not advance the
/// clock.
fn advance_by_cost(ns: u64) -> bool {
    let is_advanced = ADVANCED_BY_CALLS.load(Relaxed) && STEPPED_NS.load(Relaxed) != REAL_CLOCK;
    if is_advanced {
        step(ns);
    }
    is_advanced
}

/// Sleeps for `ns` nanoseconds of real time, or advances the stepped clock if calls advance it.
pub(crate) fn sleep(ns: u64) {
    if !advance_by_cost(ns) {
        std::thread::sleep(Duration::from_nanos(ns));
    }
}

/// Busy-waits for `ns` nanoseconds of real time, or advances the stepped clock if calls advance it. A sleep would take
/// at least 50 µs and a system call.
pub(crate) fn spend(ns: u64) {
    if ns > 0 && !advance_by_cost(ns) {
        let end = read(libc::CLOCK_MONOTONIC).saturating_add(ns);
        while read(libc::CLOCK_MONOTONIC) < end {
            std::hint::spin_loop();
        }
    }
}

/// Stops the clock at the simulated time `ns`.
pub(crate) fn set(ns: u64) {
    STEPPED_NS.store(ns.min(REAL_CLOCK - 1), Relaxed);
}

/// Advances the clock by `ns` nanoseconds and stops it there.
pub(crate) fn step(ns: u64) {
    set(now_ns().saturating_add(ns));
}

/// Lets the clock follow the real clock, starting from the current simulated time.
pub(crate) fn use_real_clock() {
    let now = now_ns();
    run_from(now);
}

/// Lets the clock follow the real clock, starting from the simulated time `ns`.
pub(crate) fn run_from(ns: u64) {
    ORIGIN_NS.store(read(libc::CLOCK_MONOTONIC).wrapping_sub(ns), Relaxed);
    EPOCH_US.store((read(libc::CLOCK_REALTIME) / 1000).saturating_sub(ns / 1000), Relaxed);
    STEPPED_NS.store(REAL_CLOCK, Relaxed);
}
