//! Calls that hang.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use super::*;

pub(crate) fn spawn(driver: &SharedDriver) -> Background {
    let nvml = common::load(driver.path()).unwrap();
    builder(&nvml, &[Metric::TEMPERATURE, Metric::CLOCK_SM], 2).build().unwrap().spawn(10_000).unwrap()
}

pub(crate) fn hang(gpu: u32) -> String {
    fault("nvmlDeviceGetClockInfo", &format!("gpu = {gpu}\nhang = true"))
}

pub(crate) fn drained(background: &mut Background) -> Vec<Record> {
    std::iter::from_fn(|| background.pop()).collect()
}

/// What was told of GPUs: index and event.
pub(crate) fn told(records: &[Record]) -> Vec<(u16, Event)> {
    records.iter().filter_map(|record| Some((record.gpu, record.event()?))).collect()
}

/// The values of a GPU that were handed on between the word that it hangs and that it is back.
pub(crate) fn while_hung(records: &[Record], gpu: u16, metric: Metric) -> Vec<Record> {
    let mut hangs = false;
    let mut between = Vec::new();
    for record in records.iter().filter(|record| record.gpu == gpu) {
        match record.event() {
            Some(event) => hangs = event == Event::GPU_HUNG,
            None if hangs && record.metric() == Some(metric) => between.push(*record),
            None => {}
        }
    }
    between
}

/// A builder that the budget does not hold back, of one cadence.
pub(crate) fn builder(nvml: &Nvml, metrics: &[Metric], cadence_ms: u64) -> SamplerBuilder {
    metrics.iter().fold(Sampler::builder(nvml).metrics(metrics).budget(f64::INFINITY), |builder, metric| {
        builder.interval(*metric, Duration::from_millis(cadence_ms))
    })
}

pub(crate) const TWO: &str =
    "[[gpu]]\ncount = 2\nprocess = []\ntemperature = { gpu_c = 61 }\nclocks = { sm_mhz = 1400 }\n";

/// A call that does not return until the faults change.
pub(crate) fn held(function: &str, more: &str) -> String {
    fault(function, &format!("{more}\nblock_until_faults_change = true"))
}

/// How many threads of background samplers this process has.
pub(crate) fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.starts_with("igpu-")).count()
}

#[test]
fn hung_gpu_stops_only_its_groups() {
    let _lock = lock_sim();
    let (driver, nvml) = common::sim_from_toml("[[gpu]]\ncount = 3\nprocess = []\ntemperature = { gpu_c = 61 }\n");
    let patience = Duration::from_millis(30);
    let builder = builder(&nvml, &[Metric::CLOCK_SM, Metric::TEMPERATURE], 5).hang_timeout(patience);
    let mut background = builder.build().unwrap().spawn(100_000).unwrap();
    let latest = background.latest_reader();
    let keys = [0, 1, 2].map(|gpu| latest.key(gpu, Metric::TEMPERATURE).unwrap());
    let read = || keys.map(|key| latest.read(key).unwrap().map(|record| record.value));
    wait_for("5 ticks", || background.ticks() >= 5);
    // There is none for a moment where the writer was interrupted.
    wait_for("all values", || read() == [Some(61.0); 3]);
    assert_eq!(background.hung_gpus().count(), 0);
    let mut records = drained(&mut background);
    driver.add_faults(&hang(1)).unwrap();
    // Another thread sees it too.
    let watcher = latest.clone();
    let watched = std::thread::spawn(move || {
        wait_for("the hang", || watcher.hung_gpus().eq([1]));
        (watcher.time_since_heartbeat(), watcher.ticks(), watcher.dropped())
    });
    wait_for("the hang", || background.hung_gpus().eq([1]));
    let ticks = background.ticks();
    let (silence, seen, lost) = watched.join().unwrap();
    assert!(silence >= patience && seen >= 5 && lost == 0, "{silence:?} {seen} {lost}");
    wait_for("20 ticks after", || background.ticks() >= ticks + 20);
    records.extend(drained(&mut background));
    assert_eq!(told(&records), [(1, Event::GPU_HUNG)]);
    let place = records.iter().position(|record| record.event().is_some()).unwrap();
    let (before, after) = records.split_at(place);
    assert!(after[0].value >= patience.as_secs_f64(), "hung for {} s when it was told", after[0].value);
    // What was last read of it is no value any more; of the others it is.
    wait_for("the others' values", || read() == [Some(61.0), None, Some(61.0)]);
    assert!(background.time_since_heartbeat() >= silence, "the hang stays to be seen");
    // The others are read on, each metric at each tick.
    for metric in [Metric::CLOCK_SM, Metric::TEMPERATURE] {
        let count = |records, gpu| values(records, metric).filter(|record| record.gpu == gpu).count();
        assert!([0, 1, 2].iter().all(|gpu| count(before, *gpu) >= 5), "{metric}");
        assert_eq!(count(after, 1), 0, "{metric}");
        assert!(count(after, 0) >= 20 && count(after, 0).abs_diff(count(after, 2)) <= 1, "{metric}");
    }
    assert_eq!(background.dropped(), 0);
    // It does not wait for the call, which never returns.
    assert_eq!(background.stop(), StopOutcome::Abandoned);
    drop(nvml);
    assert_eq!(driver.calls("nvmlShutdown"), 0, "nothing is shut down under a call that hangs");
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
    let told = told(&drained(&mut background));
    assert_eq!(told, [0, 1, 2].map(|gpu| (gpu, Event::GPU_HUNG)));
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
    let mut silence = Duration::ZERO;
    for _ in 0..3 {
        driver.add_faults(&held("nvmlDeviceGetClockInfo", "gpu = 1\ncall_count = 1")).unwrap();
        wait_for("the hang", || background.hung_gpus().eq([1]));
        let ticks = background.ticks();
        wait_for("the other GPU's readings", || background.ticks() > ticks + 10);
        silence = background.time_since_heartbeat();
        driver.clear_faults();
        wait_for("the return", || background.hung_gpus().count() == 0);
        wait_for("a value", || latest.read(key).unwrap().is_some());
    }
    wait_for("word of the thread", || background.time_since_heartbeat() < silence);
    assert_eq!(background.stop(), StopOutcome::Joined);
    let records = drained(&mut background);
    assert_eq!(told(&records), [(1, Event::GPU_HUNG), (1, Event::GPU_RECOVERED)].repeat(3));
    // Nothing twice, nothing out of order, and what the slow calls gave is there, and says how slow they were.
    let clocks: Vec<_> = values(&records, Metric::CLOCK_SM).filter(|record| record.gpu == 1).collect();
    assert!(clocks.iter().map(|record| record.at).is_sorted_by(|a, b| a < b));
    let slow = while_hung(&records, 1, Metric::CLOCK_SM);
    assert_eq!(slow.len(), 3);
    assert!(slow.iter().all(|record| record.uncertainty >= 25_000_000), "{slow:?}");
    assert_eq!((driver.max_in_flight(), driver.calls_after_shutdown()), (2, 0));
}

/// Whether threads that sleep by [`sleep_at_gate`] may go on.
static GATE_IS_OPEN: AtomicBool = AtomicBool::new(true);
/// How many threads sleep there.
static AT_GATE: AtomicU64 = AtomicU64::new(0);

/// Sleeps until the deadline and until the gate is open: as a thread that gets no processor.
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
    let (driver, nvml) = common::sim_from_toml(TWO);
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
        // Long enough for the call to be given up; were it not, nothing is shown, and nothing fails.
        std::thread::sleep(Duration::from_millis(300));
        GATE_IS_OPEN.store(true, SeqCst);
        stop.join().unwrap()
    });
    assert_eq!((stopped, was_open), (StopOutcome::Abandoned, true));
}

/// How many files this process has open.
fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn hangs_keep_no_open_files() {
    if !common::is_child() {
        assert_eq!(common::run_in_child("hangs::hangs_keep_no_open_files", &[]), ["as many as before"]);
        return;
    }
    let (driver, nvml) = common::sim_from_toml(TWO);
    let builder = builder(&nvml, &[Metric::CLOCK_SM], 5).hang_timeout(Duration::from_millis(1));
    let before = open_files();
    let mut background = builder.build().unwrap().spawn(10_000).unwrap();
    wait_for("5 ticks", || background.ticks() >= 5);
    for _ in 0..20 {
        driver.add_faults(&held("nvmlDeviceGetClockInfo", "gpu = 1")).unwrap();
        wait_for("the hang", || background.hung_gpus().any(|gpu| gpu == 1));
        driver.clear_faults();
        wait_for("the return", || background.hung_gpus().count() == 0 && threads() == 2);
        // Those of the thread that is watched now.
        wait_for("two files at the most", || open_files() <= before + 2);
    }
    assert_eq!(background.stop(), StopOutcome::Joined);
    assert_eq!(open_files(), before);
    println!("child: as many as before");
}

#[test]
fn hung_gpm_sample_blocks_no_other() {
    let _lock = lock_sim();
    let (driver, nvml) = common::sim_from_toml(
        "[[gpu]]\ncount = 2\nprocess = []\ngpm = { sm_percent = 5 }\ntemperature = { gpu_c = 61 }\n",
    );
    let builder = Sampler::builder(&nvml).metrics(&[Metric::SM_ACTIVITY, Metric::TEMPERATURE]).budget(1.0);
    let builder = builder.interval(Metric::TEMPERATURE, Duration::from_millis(5));
    let mut background = builder.build().unwrap().spawn(10_000).unwrap();
    wait_for("5 ticks", || background.ticks() >= 5);
    driver.add_faults(&fault("nvmlGpmSampleGet", "gpu = 0\nhang = true")).unwrap();
    wait_for("the hang", || background.hung_gpus().eq([0]));
    let ticks = background.ticks();
    wait_for("100 ticks", || background.ticks() >= ticks + 100);
    assert!(background.hung_gpus().eq([0]));
    let records = drained(&mut background);
    // Some drivers crash when two samples are taken at a time: the other GPU's GPM rests while one hangs.
    assert_eq!(told(&records), [(0, Event::GPU_HUNG), (1, Event::METRIC_SUSPENDED)]);
    let last = values(&records, Metric::TEMPERATURE).last().unwrap();
    assert_eq!((last.gpu, last.value), (1, 61.0));
    assert_eq!(background.stop(), StopOutcome::Abandoned);
}

/// No user but root can have more threads than they have: the child of `again` becomes such a user.
fn without_more_threads() {
    // SAFETY: takes numbers.
    if unsafe { libc::geteuid() } == 0 {
        // SAFETY: takes numbers.
        assert_eq!(unsafe { libc::setuid(65534) }, 0);
    }
    limit_threads(1);
}

fn limit_threads(most: libc::rlim_t) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live struct.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NPROC, &mut limit) }, 0);
    limit.rlim_cur = most.min(limit.rlim_max);
    // SAFETY: likewise.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &limit) }, 0);
}

#[test]
fn thread_creation_failure_is_handled() {
    if !common::is_child() {
        assert_eq!(common::run_in_child("hangs::thread_creation_failure_is_handled", &[]), ["watched again"]);
        return;
    }
    let (driver, nvml) = common::sim_from_toml("[[gpu]]\ncount = 3\nprocess = []\n");
    let sampler = || builder(&nvml, &[Metric::CLOCK_SM], 5).build().unwrap();
    let (mut background, refused) = (sampler().spawn(10_000).unwrap(), sampler());
    wait_for("20 ticks", || background.ticks() >= 20);
    without_more_threads();
    let error = refused.spawn(10_000).map(|_| ()).unwrap_err();
    assert!(matches!(&error, Error::Thread { .. }), "{error}");
    driver.add_faults(&hang(0)).unwrap();
    wait_for("a hang without another watcher", || background.hung_gpus().eq([0]));
    let ticks = background.ticks();
    wait_for("20 ticks after", || background.ticks() >= ticks + 20);
    let without = threads();
    limit_threads(libc::RLIM_INFINITY);
    wait_for("another watcher", || threads() > without);
    driver.add_faults(&hang(1)).unwrap();
    wait_for("another hang", || background.hung_gpus().eq([0, 1]));
    let ticks = background.ticks();
    wait_for("20 ticks after", || background.ticks() >= ticks + 20);
    assert_eq!(background.stop(), StopOutcome::Abandoned);
    println!("child: watched again");
}
