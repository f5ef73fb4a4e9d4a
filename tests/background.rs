//! Tests of the background sampler on the real clock. They check which values are read, their order, and that no
//! values are lost, but not the timing.

#[path = "common/wait.rs"]
mod wait;

mod common;

use std::{
    fs,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use igpu::{
    metric::Metric,
    sampler::{Background, Event, LatestKey, LatestReader, Record, Sampler, StopOutcome, UnsampledReason},
};
use nvml_sim::SharedDriver;
use wait::wait_for;

const METRICS: [Metric; 3] = [Metric::POWER_USAGE, Metric::UTILIZATION_GPU, Metric::TEMPERATURE];

fn spawn(driver: &SharedDriver, interval: Duration, capacity: usize) -> Background {
    let nvml = common::load(driver.path()).unwrap();
    // On a busy machine, calls take so long that even a budget of 100 % would stretch the intervals.
    let builder = METRICS
        .iter()
        .fold(Sampler::builder(&nvml).metrics(&METRICS), |builder, metric| builder.exact_interval(*metric, interval));
    builder.build().unwrap().spawn(capacity).unwrap()
}

fn workstation() -> SharedDriver {
    SharedDriver::from_name("workstation").unwrap()
}

#[test]
fn due_groups_share_one_wake() {
    let driver = workstation();
    let nvml = common::load(driver.path()).unwrap();
    let intervals = [7, 11, 13].map(Duration::from_millis);
    let builder = Sampler::builder(&nvml).metrics(&METRICS).min_wake_interval(Duration::from_millis(50));
    let builder = METRICS
        .iter()
        .zip(intervals)
        .fold(builder, |builder, (metric, interval)| builder.exact_interval(*metric, interval));
    let begin = Instant::now();
    let mut background = builder.build().unwrap().spawn(100_000).unwrap();
    let (mut records, mut counts) = (Vec::new(), Vec::new());
    wait_for("reads a whole interval after the previous one", || {
        records.extend(std::iter::from_fn(|| background.pop()));
        let reads = group_by_read(&records);
        // On a busy machine, the wake after a late wake follows in less than 50 ms. Only the reads at least 40 ms after
        // the previous read are checked, because all metrics are due then. The last read may be incomplete.
        let pairs = reads.windows(2).take(reads.len().saturating_sub(2));
        counts = pairs.filter(|pair| pair[1][0].at - pair[0][0].at >= 40_000_000).map(|pair| pair[1].len()).collect();
        counts.len() >= 5
    });
    // There is at most one tick in each 50 ms.
    let ticks = background.ticks();
    let max = begin.elapsed().as_millis() as u64 / 50 + 2;
    assert!(ticks <= max, "{ticks} ticks; without a minimum, there would be about 250 in 600 ms");
    assert!(counts.iter().all(|count| *count == 12), "{counts:?} in {ticks} ticks");
}

/// Groups records by read. In one read, the GPUs are in order, and each metric of a GPU occurs
/// once.
fn group_by_read(records: &[Record]) -> Vec<Vec<Record>> {
    let mut reads: Vec<Vec<Record>> = Vec::new();
    for record in records.iter().filter(|record| record.event().is_none()) {
        let belongs = |read: &&mut Vec<Record>| {
            let last = read[read.len() - 1];
            record.gpu >= last.gpu && !read.iter().any(|other| (other.gpu, other.metric) == (record.gpu, record.metric))
        };
        match reads.last_mut().filter(belongs) {
            Some(read) => read.push(*record),
            None => reads.push(vec![*record]),
        }
    }
    reads
}

#[test]
fn background_samples_until_stopped() {
    let driver = workstation();
    const CAPACITY: usize = 200_000;
    let mut background = spawn(&driver, Duration::from_millis(2), CAPACITY);
    wait_for("50 ticks", || background.ticks() >= 50);
    let mut records = vec![Record::default(); CAPACITY];
    let count = background.drain(&mut records);
    let records = &records[..count];
    assert!(count >= 50 * 12, "{count} records in 50 ticks, for 3 metrics of 4 GPUs");
    assert_eq!(background.dropped(), 0);
    for metric in METRICS {
        for gpu in 0..4 {
            let stamps = records.iter().filter(|r| r.metric() == Some(metric) && r.gpu == gpu).map(|record| record.at);
            assert!(stamps.clone().count() >= 50);
            assert!(stamps.is_sorted_by(|a, b| a < b));
        }
    }
    // The values of GPU 0 of this scenario are constant: 122.23 W, 44 %, and 61 °C.
    let latest = background.latest_reader();
    let value = |metric| latest.read(latest.key(0, metric).unwrap()).unwrap().map(|record| record.value);
    // There is no value for a moment if the writer was interrupted during a write.
    wait_for("the latest values", || METRICS.map(value) == [122.23, 44.0, 61.0].map(Some));
    assert_eq!(latest.key(0, Metric::FAN_SPEED), None);
    let ticks = background.ticks();
    wait_for("one more tick", || background.ticks() > ticks);
    assert_eq!(background.stop(), StopOutcome::Joined);
    // Records that were made before the stop can still be removed.
    assert!(background.pop().is_some() && background.dropped() == 0);
    assert_eq!((driver.calls("nvmlShutdown"), driver.calls_after_shutdown()), (1, 0));
}

#[test]
fn slow_consumer_drops_are_counted() {
    let driver = workstation();
    let mut background = spawn(&driver, Duration::from_millis(1), 100);
    wait_for("dropped records", || background.dropped() > 1000);
    let mut removed = 0;
    let mut reported = 0.0;
    wait_for("the report of the drops", || {
        while let Some(record) = background.pop() {
            match record.event() {
                Some(Event::RECORDS_DROPPED) => reported += record.value,
                Some(_) => {}
                None => removed += 1,
            }
        }
        reported > 1000.0
    });
    assert!(removed >= 100);
    assert!(reported <= background.dropped() as f64);
}

#[test]
fn hang_does_not_delay_stop() {
    let driver = workstation();
    let mut background = spawn(&driver, Duration::from_millis(1), 1000);
    wait_for("20 ticks", || background.ticks() >= 20);
    driver.add_faults("[[fault]]\nfunction = \"nvmlDeviceGetTemperature*\"\nhang = true\n").unwrap();
    wait_for("the hang", || background.hung_gpus().count() == 4);
    // The first hang is found after 50 ms.
    assert!(background.time_since_heartbeat() >= Duration::from_millis(50), "{:?}", background.time_since_heartbeat());
    assert_eq!(background.stop(), StopOutcome::Abandoned);
    assert_eq!(driver.calls("nvmlShutdown"), 0, "NVML was shut down during a hung call");
}

#[test]
fn sample_reads_all_metrics_immediately() {
    let driver = workstation();
    let mut background = spawn(&driver, Duration::from_secs(3600), 1000);
    wait_for("the first tick", || background.ticks() == 1);
    let count = |background: &mut Background| std::iter::from_fn(|| background.pop()).count();
    assert_eq!(count(&mut background), 12);
    for _ in 0..3 {
        assert_eq!(background.sample(), Ok(true));
        assert_eq!(count(&mut background), 12, "one record for each of 3 metrics of 4 GPUs");
    }
    assert_eq!(background.ticks(), 4);
    driver.add_faults("[[fault]]\nfunction = \"nvmlDeviceGetTemperature*\"\ngpu = 1\nhang = true\n").unwrap();
    // The new leader reads the other GPUs.
    assert_eq!(background.sample(), Ok(true));
    assert_eq!(background.ticks(), 5);
    assert!(background.hung_gpus().eq([1]));
    let values: Vec<u16> = std::iter::from_fn(|| background.pop())
        .filter(|record| record.event().is_none())
        .map(|record| record.gpu)
        .collect();
    // GPU 0 was read twice, because the replaced leader had already read it.
    assert_eq!([0, 1, 2, 3].map(|gpu| values.iter().filter(|value_gpu| **value_gpu == gpu).count()), [6, 0, 3, 3]);
    assert_eq!(background.stop(), StopOutcome::Abandoned);
    assert_eq!(background.sample(), Ok(false), "the thread has ended");
}

#[test]
fn sampler_thread_blocks_signals() {
    let driver = workstation();
    let background = spawn(&driver, Duration::from_millis(5), 1000);
    wait_for("a tick", || background.ticks() > 0);
    let threads = fs::read_dir("/proc/self/task").unwrap().map(|entry| entry.unwrap().path());
    let is_sampler_thread =
        |path: &std::path::PathBuf| fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm == "igpu-sampler\n");
    let sampler_threads: Vec<_> = threads.filter(is_sampler_thread).collect();
    assert!(!sampler_threads.is_empty());
    for path in sampler_threads {
        let status = fs::read_to_string(path.join("status")).unwrap();
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap().trim().to_owned();
        let blocked = u64::from_str_radix(&blocked, 16).unwrap();
        // SIGKILL, SIGSTOP, and two signals that the C library uses internally cannot be blocked.
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGPROF, libc::SIGUSR1, libc::SIGALRM] {
            assert_ne!(blocked & 1 << (signal - 1), 0, "signal {signal} is not blocked");
        }
    }
    // The calling thread still receives signals.
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    assert!(status.lines().any(|line| line.starts_with("SigBlk:") && line.ends_with("0000000000000000")), "{status}");
}

static READER: std::sync::OnceLock<(LatestReader, LatestKey)> = std::sync::OnceLock::new();
static VALUE_BITS: AtomicU64 = AtomicU64::new(0);

extern "C" fn on_signal(_: libc::c_int) {
    if let Some((reader, key)) = READER.get()
        && let Ok(Some(record)) = reader.read(*key)
    {
        VALUE_BITS.store(record.value.to_bits(), Ordering::Relaxed);
    }
}

#[test]
fn signal_handler_reads_latest_value() {
    let driver = workstation();
    let background = spawn(&driver, Duration::from_millis(1), 100_000);
    wait_for("a tick", || background.ticks() > 0);
    let latest = background.latest_reader();
    let key = latest.key(0, Metric::TEMPERATURE).unwrap();
    READER.set((latest, key)).unwrap();
    // SAFETY: the handler only accesses atomics, so it is async-signal-safe.
    unsafe { libc::signal(libc::SIGUSR2, on_signal as *const () as libc::sighandler_t) };
    // The handler gets no value if it interrupts a write.
    wait_for("a value in the handler", || {
        // SAFETY: the signal has a handler, which runs on this thread.
        unsafe { libc::raise(libc::SIGUSR2) };
        VALUE_BITS.load(Ordering::Relaxed) != 0
    });
    assert_eq!(f64::from_bits(VALUE_BITS.load(Ordering::Relaxed)), 61.0);
}

#[test]
fn lost_gpu_has_no_latest_value() {
    let driver = workstation();
    let background = spawn(&driver, Duration::from_millis(1), 100_000);
    let latest = background.latest_reader();
    let [lost, other] = [1, 0].map(|gpu| latest.key(gpu, Metric::TEMPERATURE).unwrap());
    wait_for("a value", || latest.read(lost).unwrap().is_some());
    driver.add_faults("[[fault]]\ngpu = 1\nreturn = 'GPU_IS_LOST'\n").unwrap();
    wait_for("the loss", || latest.read(lost).unwrap().is_none());
    wait_for("a value of the other GPU", || latest.read(other).unwrap().is_some_and(|record| record.value == 61.0));
    driver.clear_faults();
    wait_for("the recovery", || latest.read(lost).unwrap().is_some());
}

#[test]
fn background_counts_missed_deadlines() {
    let driver = workstation();
    let nvml = common::load(driver.path()).unwrap();
    let (metric, interval) = (Metric::TEMPERATURE, Duration::from_millis(5));
    let builder = Sampler::builder(&nvml).metrics(&[metric]).gpus(&[1, 3]).exact_interval(metric, interval);
    // Between two wakes, nine of ten deadlines are missed.
    let background = builder.min_wake_interval(Duration::from_millis(50)).build().unwrap().spawn(10_000).unwrap();
    assert_eq!(background.gpus().collect::<Vec<_>>(), [1, 3]);
    assert_eq!(background.metrics(), [metric]);
    let reader = background.latest_reader();
    wait_for("missed deadlines", || reader.missed_deadlines() >= 50);
    assert!(background.missed_deadlines() >= 50);
}

#[test]
fn background_reports_unsampled_reasons() {
    let driver = workstation();
    driver.add_faults("[[fault]]\nfunction = \"nvmlDeviceGetUtilizationRates\"\nreturn = \"NOT_SUPPORTED\"\n").unwrap();
    let background = spawn(&driver, Duration::from_millis(1), 100_000);
    assert_eq!(background.reason(0, Metric::CLOCK_SM), Some(UnsampledReason::NotSelected));
    assert_eq!(background.reason(4, Metric::TEMPERATURE), Some(UnsampledReason::NotSelected));
    let metric = Metric::UTILIZATION_GPU;
    wait_for("the reason", || matches!(background.reason(3, metric), Some(UnsampledReason::NotSupported(_))));
    assert_eq!(background.reason(3, Metric::TEMPERATURE), None);
    driver.add_faults("[[fault]]\ngpu = 1\nreturn = 'GPU_IS_LOST'\n").unwrap();
    wait_for("the loss", || matches!(background.reason(1, metric), Some(UnsampledReason::GpuLost(_))));
    driver.clear_faults();
    wait_for("the recovery", || background.reason(1, Metric::TEMPERATURE).is_none());
    driver.add_faults("[[fault]]\ngpu = 2\nfunction = \"nvmlDeviceGetTemperature*\"\nhang = true\n").unwrap();
    wait_for("the hang", || background.reason(2, metric) == Some(UnsampledReason::GpuHung));
    assert_eq!(background.reason(0, Metric::TEMPERATURE), None);
}
