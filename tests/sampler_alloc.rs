//! A sampler allocates nothing once it is made, and frees nothing, whatever happens. A binary of its own, for the
//! counting allocator; the driver is a library with an allocator of its own, so what is counted is ours. What the C
//! library allocates is counted by `tests/malloc/`.

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

/// Held by each test that has a sampler's thread. The threads of all samplers have the same name, by which their
/// allocations are counted, so only one test at a time may have such threads.
static SAMPLER_THREADS: Mutex<()> = Mutex::new(());

/// Whether allocations are attributed by the name of the thread, which costs a system call for each allocation.
static WATCHED: AtomicBool = AtomicBool::new(false);
static BY_SAMPLERS: AtomicU64 = AtomicU64::new(0);

fn count_samplers() {
    if WATCHED.load(Relaxed) {
        let mut name = [0_u8; 16];
        // SAFETY: writes at most 16 bytes.
        unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
        if name.starts_with(b"igpu-sampler\0") {
            BY_SAMPLERS.fetch_add(1, Relaxed);
        }
    }
}

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator(count_samplers);

#[test]
fn ticks_allocate_nothing() {
    stress::ticks(1_000_000, calls);
}

#[test]
fn background_thread_allocates_nothing() {
    let _only = SAMPLER_THREADS.lock().unwrap_or_else(PoisonError::into_inner);
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
    // Too little room on purpose, less than for one reading of everything: records are lost as well.
    let mut background = sampler.spawn(50).unwrap();
    WATCHED.store(true, Relaxed);
    wait_for("20 ticks", || background.ticks() >= 20);
    let (before, from) = (BY_SAMPLERS.load(Relaxed), background.ticks());
    let mut taken = 0_u64;
    // Until all that the scenario has in store has happened.
    wait_for("5000 ticks more", || {
        taken += std::iter::from_fn(|| background.pop()).count() as u64;
        driver.now() > Duration::from_secs(2) && background.ticks() >= from + 5_000
    });
    let counted = BY_SAMPLERS.load(Relaxed) - before;
    assert_eq!(counted, 0, "in {} ticks", background.ticks() - from);
    assert!(taken > 0 && background.dropped() > 0);
    // Its end frees the sampler's memory: that the thread is counted at all.
    drop(nvml);
    assert_eq!(background.stop(), StopOutcome::Joined);
    WATCHED.store(false, Relaxed);
    assert!(BY_SAMPLERS.load(Relaxed) > before);
}

#[test]
fn sample_beside_hanging_call_allocates_nothing() {
    let _only = SAMPLER_THREADS.lock().unwrap_or_else(PoisonError::into_inner);
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
