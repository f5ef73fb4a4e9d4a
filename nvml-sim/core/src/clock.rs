//! The simulated time: the real one since the start, or one that a test steps.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Nanoseconds since the start, while stepped; `REAL_CLOCK` while the real clock runs.
static STEPPED_NS: AtomicU64 = AtomicU64::new(REAL_CLOCK);
/// CLOCK_MONOTONIC at the simulated time 0, in wrapping nanoseconds.
static ORIGIN_NS: AtomicU64 = AtomicU64::new(0);
/// CLOCK_REALTIME at the simulated time 0, in microseconds.
static EPOCH_US: AtomicU64 = AtomicU64::new(STEPPED_EPOCH_US);

/// Whether calls advance the stepped clock by their cost.
static ADVANCED_BY_CALLS: AtomicBool = AtomicBool::new(false);

const REAL_CLOCK: u64 = u64::MAX;
/// What the wall clock shows at the simulated time 0 while the clock is stepped: the same in every run.
pub(crate) const STEPPED_EPOCH_US: u64 = 1_700_000_000_000_000;

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec of ours; the two clocks in use exist on every Linux.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Nanoseconds since the scenario's start.
#[inline]
pub(crate) fn now_ns() -> u64 {
    let stepped = STEPPED_NS.load(Relaxed);
    if stepped != REAL_CLOCK {
        return stepped;
    }
    read(libc::CLOCK_MONOTONIC).wrapping_sub(ORIGIN_NS.load(Relaxed))
}

/// The wall clock at the simulated time `ns`, in microseconds.
pub(crate) fn wall_us(ns: u64) -> u64 {
    let epoch = if STEPPED_NS.load(Relaxed) == REAL_CLOCK { EPOCH_US.load(Relaxed) } else { STEPPED_EPOCH_US };
    epoch + ns / 1000
}

/// Sets whether calls advance the stepped clock by their cost instead of waiting on the real one.
pub(crate) fn set_advanced_by_calls(wanted: bool) {
    ADVANCED_BY_CALLS.store(wanted, Relaxed);
}

/// Advances the clock by the cost of a call, if enabled. Returns whether it did.
fn advance_by_cost(ns: u64) -> bool {
    let steps = ADVANCED_BY_CALLS.load(Relaxed) && STEPPED_NS.load(Relaxed) != REAL_CLOCK;
    if steps {
        step(ns);
    }
    steps
}

/// Sleeps on the real clock, unless calls advance the simulated one.
pub(crate) fn sleep(ns: u64) {
    if !advance_by_cost(ns) {
        std::thread::sleep(Duration::from_nanos(ns));
    }
}

/// Busy-waits on the real clock, unless calls advance the simulated one. A sleep would last 50 µs or more, and make a
/// system call.
pub(crate) fn spend(ns: u64) {
    if ns > 0 && !advance_by_cost(ns) {
        let end = read(libc::CLOCK_MONOTONIC).saturating_add(ns);
        while read(libc::CLOCK_MONOTONIC) < end {
            std::hint::spin_loop();
        }
    }
}

/// Stands still at `ns` from now on.
pub(crate) fn set(ns: u64) {
    STEPPED_NS.store(ns.min(REAL_CLOCK - 1), Relaxed);
}

/// Stands still, `ns` later than now.
pub(crate) fn step(ns: u64) {
    set(now_ns().saturating_add(ns));
}

/// Runs with the real clock on from the time it shows.
pub(crate) fn real() {
    let now = now_ns();
    run_from(now);
}

/// Runs with the real clock, from `ns` on.
pub(crate) fn run_from(ns: u64) {
    ORIGIN_NS.store(read(libc::CLOCK_MONOTONIC).wrapping_sub(ns), Relaxed);
    EPOCH_US.store((read(libc::CLOCK_REALTIME) / 1000).saturating_sub(ns / 1000), Relaxed);
    STEPPED_NS.store(REAL_CLOCK, Relaxed);
}
