//! Tests that a sampler neither allocates nor frees memory after it was built, even under faults.
//!
//! These tests need a counting global allocator, so they are a separate binary. The simulator is a library with its own
//! allocator, so its allocations are not counted. `tests/malloc/` counts the allocations of the C library.

#[path = "common/counting.rs"]
mod counting;
#[path = "malloc/stress.rs"]
mod stress;
#[path = "common/wait.rs"]
mod wait;

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use counting::{CountingAllocator, calls};
use igpu::{
    metric::Metric,
    sampler::{Sampler, StopOutcome},
};
use nvml_sim::SharedDriver;
use stress::common::{SleepProcess, load};
use wait::wait_for;

/// A lock that a test holds while it has sampler threads. Sampler threads are recognized by their name, which is the
/// same for all samplers. Only one test at a time may therefore have sampler threads.
static SAMPLER_THREADS: Mutex<()> = Mutex::new(());

/// Whether the allocations of sampler threads are counted. This takes one system call per allocation.
static IS_COUNTING: AtomicBool = AtomicBool::new(false);
/// The number of calls to the allocator by sampler threads.
static SAMPLER_CALLS: AtomicU64 = AtomicU64::new(0);

/// Counts a call to the allocator if the current thread is a sampler thread.
fn count_sampler_call() {
    if IS_COUNTING.load(Relaxed) {
        let mut name = [0_u8; 16];
        // SAFETY: the kernel writes at most 16 bytes, which is the length of the buffer.
        unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
        if name.starts_with(b"igpu-sampler\0") {
            SAMPLER_CALLS.fetch_add(1, Relaxed);
        }
    }
}

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator(count_sampler_call);

#[test]
fn ticks_allocate_nothing() {
    stress::ticks(1_000_000, calls);
}

#[test]
fn background_thread_allocates_nothing() {
    let _lock = SAMPLER_THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    let child = SleepProcess::new();
    let text = format!(
        "[[gpu]]\ncount = 2\nfan_speed_percent = [40]\ngpm = {{ sm_percent = 50 }}\nprocess = [{{ pid = {}, memory_mib = 3 }}, {{ pid = 'self' }}, \
         {{ pid = 4_194_400, count = 40, from_s = 0.5, until_s = 1.5 }}]\n\
         [[fault]]\nfunction = 'nvmlDeviceGetClockInfo'\nreturn = 999\nevery_nth_call = 7\n\
         [[fault]]\nfunction = 'nvmlDeviceGetFieldValues'\nfield_id = 186\nreturn = 3\nevery_nth_call = 3\n\
         [[gpu_lost]]\ngpu = 1\nfrom_s = 0.4\nuntil_s = 0.8\n",
        child.pid()
    );
    let driver = SharedDriver::from_toml(&text).unwrap();
    let nvml = load(driver.path()).unwrap();
    let metrics: Vec<Metric> = Metric::all().collect();
    let sampler = Sampler::builder(&nvml)
        .metrics(&metrics)
        .process_capacity(16)
        .every_tick(Metric::TEMPERATURE)
        .interval(Metric::CLOCK_SM, Duration::from_millis(1))
        .interval(Metric::PROCESS_MEMORY, Duration::from_millis(20))
        .interval(Metric::PROCESS_SM, Duration::from_millis(20))
        .build()
        .unwrap();
    // The capacity is too small for all records of one tick, so that records are dropped too.
    let mut background = sampler.spawn(50).unwrap();
    IS_COUNTING.store(true, Relaxed);
    wait_for("20 ticks", || background.ticks() >= 20);
    let (calls_before, ticks_before) = (SAMPLER_CALLS.load(Relaxed), background.ticks());
    let mut removed = 0_u64;
    // After 2 s, all faults of the scenario have occurred.
    wait_for("5000 more ticks", || {
        removed += std::iter::from_fn(|| background.pop()).count() as u64;
        driver.now() > Duration::from_secs(2) && background.ticks() >= ticks_before + 5_000
    });
    let count = SAMPLER_CALLS.load(Relaxed) - calls_before;
    assert_eq!(count, 0, "in {} ticks", background.ticks() - ticks_before);
    assert!(removed > 0 && background.dropped() > 0);
    // The last thread frees the sampler's memory. This verifies that the calls of the threads are counted.
    drop(nvml);
    assert_eq!(background.stop(), StopOutcome::Joined);
    IS_COUNTING.store(false, Relaxed);
    assert!(SAMPLER_CALLS.load(Relaxed) > calls_before);
}

#[test]
fn sample_during_hang_allocates_nothing() {
    let _lock = SAMPLER_THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    let driver = SharedDriver::from_toml("[[gpu]]\nprocess = []\n").unwrap();
    let nvml = load(driver.path()).unwrap();
    let builder = Sampler::builder(&nvml).metrics(&[Metric::CLOCK_SM]).hang_timeout(Duration::from_secs(3600));
    let mut background = builder.build().unwrap().spawn(1_000).unwrap();
    assert_eq!(background.sample(), Ok(true));
    driver.add_faults("[[fault]]\nfunction = 'nvmlDeviceGetClockInfo'\nblock_until_faults_change = true\n").unwrap();
    let before = calls();
    assert_eq!(background.sample(), Ok(false));
    assert_eq!(calls() - before, 0);
    driver.clear_faults();
    assert_eq!(background.stop(), StopOutcome::Joined);
}
