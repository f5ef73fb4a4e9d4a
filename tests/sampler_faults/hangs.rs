//! Tests of driver calls that hang, and helpers for these tests.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use super::*;

pub(crate) fn spawn(driver: &SharedDriver) -> Background {
    let nvml = common::load(driver.path()).unwrap();
    builder(&nvml, &[Metric::TEMPERATURE, Metric::CLOCK_SM], 2).build().unwrap().spawn(10_000).unwrap()
}

/// Returns a fault that makes calls to this GPU hang forever.
pub(crate) fn hang(gpu: u32) -> String {
    fault("nvmlDeviceGetClockInfo", &format!("gpu = {gpu}\nhang = true"))
}

/// Removes all records from the ring buffer and returns them.
pub(crate) fn drain(background: &mut Background) -> Vec<Record> {
    std::iter::from_fn(|| background.pop()).collect()
}

/// Returns the events in these records, with the GPU indices.
pub(crate) fn gpu_events(records: &[Record]) -> Vec<(u16, Event)> {
    records.iter().filter_map(|record| Some((record.gpu, record.event()?))).collect()
}

/// Returns the records of a GPU's metric that were published between the events of its hang and its recovery.
pub(crate) fn while_hung(records: &[Record], gpu: u16, metric: Metric) -> Vec<Record> {
    let mut is_hung = false;
    let mut found = Vec::new();
    for record in records.iter().filter(|record| record.gpu == gpu) {
        match record.event() {
            Some(event) => is_hung = event == Event::GPU_HUNG,
            None if is_hung && record.metric() == Some(metric) => found.push(*record),
            None => {}
        }
    }
    found
}

/// Returns a builder that reads all metrics at this interval, with an unlimited budget.
pub(crate) fn builder(nvml: &Nvml, metrics: &[Metric], interval_ms: u64) -> SamplerBuilder {
    metrics.iter().fold(Sampler::builder(nvml).metrics(metrics).budget(f64::INFINITY), |builder, metric| {
        builder.interval(*metric, Duration::from_millis(interval_ms))
    })
}

pub(crate) const TWO_GPUS: &str =
    "[[gpu]]\ncount = 2\nprocess = []\ntemperature = { gpu_c = 61 }\nclocks = { sm_mhz = 1400 }\n";

/// Returns a fault that blocks calls of this function until the faults change.
pub(crate) fn block(function: &str, keys: &str) -> String {
    fault(function, &format!("{keys}\nblock_until_faults_change = true"))
}

/// Returns the number of threads of background samplers in this process.
pub(crate) fn thread_count() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.starts_with("igpu-")).count()
}

#[test]
fn hung_gpu_stops_only_its_groups() {
    let _lock = lock_sim();
    let (driver, nvml) = common::sim_from_toml("[[gpu]]\ncount = 3\nprocess = []\ntemperature = { gpu_c = 61 }\n");
    let timeout = Duration::from_millis(30);
    let builder = builder(&nvml, &[Metric::CLOCK_SM, Metric::TEMPERATURE], 5).hang_timeout(timeout);
    let mut background = builder.build().unwrap().spawn(100_000).unwrap();
    let latest = background.latest_reader();
    let keys = [0, 1, 2].map(|gpu| latest.key(gpu, Metric::TEMPERATURE).unwrap());
    let read = || keys.map(|key| latest.read(key).unwrap().map(|record| record.value));
    wait_for("5 ticks", || background.ticks() >= 5);
    // There is no value for a moment if the writer was interrupted during a write.
    wait_for("all values", || read() == [Some(61.0); 3]);
    assert_eq!(background.hung_gpus().count(), 0);
    let mut records = drain(&mut background);
    driver.add_faults(&hang(1)).unwrap();
    // Another thread also detects the hang.
    let reader = latest.clone();
    let thread = std::thread::spawn(move || {
        wait_for("the hang", || reader.hung_gpus().eq([1]));
        (reader.time_since_heartbeat(), reader.ticks(), reader.dropped())
    });
    wait_for("the hang", || background.hung_gpus().eq([1]));
    let ticks = background.ticks();
    let (heartbeat_age, reader_ticks, dropped) = thread.join().unwrap();
    assert!(
        heartbeat_age >= timeout && reader_ticks >= 5 && dropped == 0,
        "{heartbeat_age:?} {reader_ticks} {dropped}"
    );
    wait_for("20 ticks after", || background.ticks() >= ticks + 20);
    records.extend(drain(&mut background));
    assert_eq!(gpu_events(&records), [(1, Event::GPU_HUNG)]);
    let index = records.iter().position(|record| record.event().is_some()).unwrap();
    let (before, after) = records.split_at(index);
    assert!(after[0].value >= timeout.as_secs_f64(), "reported after {} s", after[0].value);
    // The hung GPU has no latest value, but the other GPUs have latest values.
    wait_for("the values of the other GPUs", || read() == [Some(61.0), None, Some(61.0)]);
    assert!(background.time_since_heartbeat() >= heartbeat_age, "the hang is still visible");
    // The other GPUs are still read, all metrics at every tick.
    for metric in [Metric::CLOCK_SM, Metric::TEMPERATURE] {
        let count = |records, gpu| values(records, metric).filter(|record| record.gpu == gpu).count();
        assert!([0, 1, 2].iter().all(|gpu| count(before, *gpu) >= 5), "{metric}");
        assert_eq!(count(after, 1), 0, "{metric}");
        assert!(count(after, 0) >= 20 && count(after, 0).abs_diff(count(after, 2)) <= 1, "{metric}");
    }
    assert_eq!(background.dropped(), 0);
    // `stop` does not wait for the call, which never returns.
    assert_eq!(background.stop(), StopOutcome::Abandoned);
    drop(nvml);
    assert_eq!(driver.calls("nvmlShutdown"), 0, "NVML was shut down during a hung call");
}

#[test]
fn gpus_hang_one_after_another() {
    let _lock = lock_sim();
    let (driver, _nvml) = common::sim_from_toml("[[gpu]]\ncount = 3\nprocess = []\ntemperature = { gpu_c = 61 }\n");
    let mut background = spawn(&driver);
    for gpu in 0..3 {
        let ticks = background.ticks();
        wait_for("20 more ticks", || background.ticks() >= ticks + 20);
        driver.add_faults(&hang(gpu)).unwrap();
        wait_for("the hang", || background.hung_gpus().eq(0..=gpu));
    }
    assert_eq!(gpu_events(&drain(&mut background)), [0, 1, 2].map(|gpu| (gpu, Event::GPU_HUNG)));
    assert_eq!(background.stop(), StopOutcome::Abandoned);
    assert_eq!(driver.shutdowns_during_calls(), 0);
}

#[test]
fn gpu_recovers_when_hung_call_returns() {
    let _lock = lock_sim();
    let (driver, _nvml) = common::sim_from_toml("[[gpu]]\ncount = 2\nprocess = []\ntemperature = { gpu_c = 61 }\n");
    let mut background = spawn(&driver);
    let latest = background.latest_reader();
    let key = latest.key(1, Metric::TEMPERATURE).unwrap();
    wait_for("20 ticks", || background.ticks() >= 20);
    let mut heartbeat_age = Duration::ZERO;
    for _ in 0..3 {
        driver.add_faults(&block("nvmlDeviceGetClockInfo", "gpu = 1\ncall_count = 1")).unwrap();
        wait_for("the hang", || background.hung_gpus().eq([1]));
        let ticks = background.ticks();
        wait_for("reads of the other GPU", || background.ticks() > ticks + 10);
        heartbeat_age = background.time_since_heartbeat();
        driver.clear_faults();
        wait_for("the call to return", || background.hung_gpus().count() == 0);
        wait_for("a value", || latest.read(key).unwrap().is_some());
    }
    wait_for("a heartbeat", || background.time_since_heartbeat() < heartbeat_age);
    assert_eq!(background.stop(), StopOutcome::Joined);
    let records = drain(&mut background);
    assert_eq!(gpu_events(&records), [(1, Event::GPU_HUNG), (1, Event::GPU_RECOVERED)].repeat(3));
    // Records are unique and in order. The values of the slow calls are included, with a large uncertainty.
    let clocks: Vec<_> = values(&records, Metric::CLOCK_SM).filter(|record| record.gpu == 1).collect();
    assert!(clocks.iter().map(|record| record.at).is_sorted_by(|a, b| a < b));
    let slow = while_hung(&records, 1, Metric::CLOCK_SM);
    assert_eq!(slow.len(), 3);
    assert!(slow.iter().all(|record| record.uncertainty >= 25_000_000), "{slow:?}");
    assert_eq!((driver.max_in_flight(), driver.calls_after_shutdown()), (2, 0));
}

/// Whether threads in [`sleep_at_gate`] may continue.
static GATE_IS_OPEN: AtomicBool = AtomicBool::new(true);
/// The number of threads that wait at the gate.
static AT_GATE: AtomicU64 = AtomicU64::new(0);

/// Sleeps until the deadline has passed and the gate is open. This simulates a thread that does not get a processor.
fn sleep_at_gate(deadline: u64) {
    (Clocks::default().sleep_until)(deadline);
    AT_GATE.fetch_add(1, SeqCst);
    while !GATE_IS_OPEN.load(SeqCst) {
        std::thread::yield_now();
    }
    AT_GATE.fetch_sub(1, SeqCst);
}

#[test]
fn stop_waits_for_responsive_threads() {
    let _lock = lock_sim();
    let (driver, nvml) = common::sim_from_toml(TWO_GPUS);
    let clocks = Clocks { sleep_until: sleep_at_gate, ..Clocks::default() };
    let builder = builder(&nvml, &[Metric::CLOCK_SM], 5).clocks(clocks).hang_timeout(Duration::from_millis(20));
    let mut background = builder.build().unwrap().spawn(10_000).unwrap();
    wait_for("5 ticks", || background.ticks() >= 5);
    driver.add_faults(&hang(0)).unwrap();
    wait_for("the hang", || background.hung_gpus().eq([0]));
    GATE_IS_OPEN.store(false, SeqCst);
    wait_for("the leader's sleep", || AT_GATE.load(SeqCst) == 1);
    let (stopped, was_open) = std::thread::scope(|scope| {
        let stop = scope.spawn(|| (background.stop(), GATE_IS_OPEN.load(SeqCst)));
        // The call is abandoned during this sleep. The test also passes if a busy machine delays this.
        std::thread::sleep(Duration::from_millis(300));
        GATE_IS_OPEN.store(true, SeqCst);
        stop.join().unwrap()
    });
    assert_eq!((stopped, was_open), (StopOutcome::Abandoned, true));
}

/// Returns the number of open files of this process.
fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn hangs_keep_no_open_files() {
    if !common::is_child() {
        assert_eq!(common::run_in_child("hangs::hangs_keep_no_open_files", &[]), ["passed"]);
        return;
    }
    let (driver, nvml) = common::sim_from_toml(TWO_GPUS);
    let builder = builder(&nvml, &[Metric::CLOCK_SM], 5).hang_timeout(Duration::from_millis(1));
    let before = open_files();
    let mut background = builder.build().unwrap().spawn(10_000).unwrap();
    wait_for("5 ticks", || background.ticks() >= 5);
    for _ in 0..20 {
        driver.add_faults(&block("nvmlDeviceGetClockInfo", "gpu = 1")).unwrap();
        wait_for("the hang", || background.hung_gpus().any(|gpu| gpu == 1));
        driver.clear_faults();
        wait_for("the call to return", || background.hung_gpus().count() == 0 && thread_count() == 2);
        // The watcher has two files of the current leader open.
        wait_for("at most two files", || open_files() <= before + 2);
    }
    assert_eq!(background.stop(), StopOutcome::Joined);
    assert_eq!(open_files(), before);
    println!("child: passed");
}

#[test]
fn hung_gpm_sample_blocks_no_other() {
    let _lock = lock_sim();
    let (driver, nvml) = common::sim_from_toml(
        "[[gpu]]\ncount = 2\nprocess = []\ngpm = { sm_percent = 5 }\ntemperature = { gpu_c = 61 }\n",
    );
    let builder = Sampler::builder(&nvml).metrics(&[Metric::SM_ACTIVITY, Metric::TEMPERATURE]).budget(1.0);
    let builder = builder.exact_interval(Metric::TEMPERATURE, Duration::from_millis(5));
    let mut background = builder.build().unwrap().spawn(10_000).unwrap();
    wait_for("5 ticks", || background.ticks() >= 5);
    driver.add_faults(&fault("nvmlGpmSampleGet", "gpu = 0\nhang = true")).unwrap();
    wait_for("the hang", || background.hung_gpus().eq([0]));
    let ticks = background.ticks();
    wait_for("100 ticks", || background.ticks() >= ticks + 100);
    assert!(background.hung_gpus().eq([0]));
    let records = drain(&mut background);
    // Some drivers crash if two samples are taken simultaneously. While a sample hangs, no other sample is taken, and
    // the GPM metrics of the other GPU are suspended.
    assert_eq!(gpu_events(&records), [(0, Event::GPU_HUNG), (1, Event::METRIC_SUSPENDED)]);
    let last = values(&records, Metric::TEMPERATURE).last().unwrap();
    assert_eq!((last.gpu, last.value), (1, 61.0));
    assert_eq!(background.stop(), StopOutcome::Abandoned);
}

/// Prevents this process from creating threads. The limit does not apply to root, so root changes to another user.
fn forbid_new_threads() {
    // SAFETY: the call has no arguments.
    if unsafe { libc::geteuid() } == 0 {
        // SAFETY: the call takes a number.
        assert_eq!(unsafe { libc::setuid(65534) }, 0);
    }
    limit_threads(1);
}

/// Limits the number of threads of this user.
fn limit_threads(max: libc::rlim_t) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live struct.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NPROC, &mut limit) }, 0);
    limit.rlim_cur = max.min(limit.rlim_max);
    // SAFETY: as above.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &limit) }, 0);
}

#[test]
fn thread_creation_failure_is_handled() {
    if !common::is_child() {
        assert_eq!(common::run_in_child("hangs::thread_creation_failure_is_handled", &[]), ["passed"]);
        return;
    }
    let (driver, nvml) = common::sim_from_toml("[[gpu]]\ncount = 3\nprocess = []\n");
    let sampler = || builder(&nvml, &[Metric::CLOCK_SM], 5).build().unwrap();
    let (mut background, second) = (sampler().spawn(10_000).unwrap(), sampler());
    wait_for("20 ticks", || background.ticks() >= 20);
    forbid_new_threads();
    let error = second.spawn(10_000).map(|_| ()).unwrap_err();
    assert!(matches!(&error, Error::Thread { .. }), "{error}");
    driver.add_faults(&hang(0)).unwrap();
    wait_for("a hang without another watcher", || background.hung_gpus().eq([0]));
    let ticks = background.ticks();
    wait_for("20 ticks after", || background.ticks() >= ticks + 20);
    let without = thread_count();
    limit_threads(libc::RLIM_INFINITY);
    wait_for("another watcher", || thread_count() > without);
    driver.add_faults(&hang(1)).unwrap();
    wait_for("another hang", || background.hung_gpus().eq([0, 1]));
    let ticks = background.ticks();
    wait_for("20 ticks after", || background.ticks() >= ticks + 20);
    assert_eq!(background.stop(), StopOutcome::Abandoned);
    println!("child: passed");
}
