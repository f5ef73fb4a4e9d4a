//! A test of the background sampler for half an hour under random faults. It is run by `scripts/soak [MINUTES]`, and not
//! by `cargo test`.
//!
//! The test checks every second that all values that the driver has returned were either removed from the ring buffer
//! or counted as dropped. It also checks that the timestamps of a metric increase, that values are within the range of
//! the simulated GPUs, that counters do not decrease, and that the memory use does not grow. The last line of the
//! output is the result. `IGPU_SOAK_SEED` repeats the random numbers of a run, except for differences in the timing of
//! threads.
#![cfg(target_os = "linux")]

mod driver;

use std::{
    collections::HashMap,
    env, fs,
    sync::atomic::Ordering::Relaxed,
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

use driver::{GPUS, HANG, LOST, NAMES, STALL_US, STATES, function_of, random_below, resolve, seed};
use igpu::{
    Nvml,
    metric::{Metric, MetricKind},
    sampler::{Background, Event, LatestKey, LatestReader, Record, Sampler, StopOutcome, monotonic},
};
use nvml_sim::Scenario;

const SCENARIO: &str = "
[[gpu]]
fan_speed_percent = [40]
memory = { total_mib = 81559, reserved_mib = 551, used_mib = { ramp = { from = 0, to = 80000, period_s = 7 } } }
utilization = { gpu_percent = { square = { low = 8, high = 99, period_s = 0.3 } }, memory_percent = 33 }
temperature = { gpu_c = { sine = { mean = 58, amplitude = 20, period_s = 45 } }, memory_c = 70 }
clocks = { graphics_mhz = { ramp = { from = 210, to = 1980, period_s = 13 } }, max_graphics_mhz = 1980 }
power = { draw_w = { sine = { mean = 300, amplitude = 200, period_s = 3 } }, instant_window_ms = 25 }
throttle_fraction = { power = 0.25 }
ecc = { enabled = true, aggregate_corrected = 2 }
nvlink = { tx_kib_per_s = 1000, rx_kib_per_s = 2000 }
gpm = { sm_percent = 60, sm_occupancy_percent = 30, tensor_percent = 20, dram_bandwidth_percent = 10 }
process = [{ pid = 'self', memory_mib = 5, sm_percent = 40 }, { pid = 4_194_400, count = 20, memory_mib = 3, sm_percent = 1 }]
";

/// The capacity of the ring buffer. It is larger than the number of records in the 10 ms between two removals, and
/// smaller than the number of records in a second.
const CAPACITY: usize = 8192;
/// The maximum growth of the memory use in KiB. A thread that ends or starts changes the memory use by less.
const MAX_GROWTH_KIB: u64 = 4096;

fn background() -> Background {
    let second = SCENARIO
        .replacen("[[gpu]]", "[[gpu]]\npci = { bus = 2 }", 1)
        .replace("instant_window_ms = 25", "energy_refresh_ms = 0");
    nvml_sim::start(&Scenario::from_toml(&format!("{SCENARIO}{second}")).unwrap());
    // SAFETY: the simulator's functions and their wrappers have the signatures of nvml.h.
    let nvml = unsafe { Nvml::builder().resolver(resolve) }.load().unwrap();
    let metrics: Vec<Metric> = Metric::all().collect();
    let fast = [Metric::TEMPERATURE, Metric::CLOCK_GRAPHICS, Metric::MEMORY_USED, Metric::UTILIZATION_GPU];
    let builder = Sampler::builder(&nvml).metrics(&metrics).process_capacity(32).budget(0.5);
    let builder = builder.interval(Metric::PROCESS_MEMORY, Duration::from_millis(50));
    let builder = fast.iter().fold(builder, |builder, metric| builder.interval(*metric, Duration::from_millis(1)));
    let sampler = builder.build().unwrap();
    // Values that were returned before the start of the sampler have no records.
    STATES.iter().for_each(|state| state.returned.store(0, Relaxed));
    sampler.spawn(CAPACITY).unwrap()
}

/// Returns the smallest and the largest possible value of a metric in the scenario.
fn range(metric: Metric) -> (f64, f64) {
    match metric.info().unit {
        "%" => (0.0, 100.0),
        "W" => (99.9, 500.1),
        "Cel" => (37.0, 79.0),
        "MHz" => (210.0, 5000.0),
        "1" => (0.0, 16.0),
        "By" if metric.info().kind == MetricKind::Gauge => (0.0, 81_559.0 * 1_048_576.0),
        _ => (0.0, 1e15),
    }
}

/// The last value of a metric of a GPU or a process.
struct LastValue {
    at: u64,
    value: f64,
}

/// The records that the test has removed, and their counts.
#[derive(Default)]
struct Checker {
    /// The number of removed values of each function.
    removed: [u64; NAMES.len()],
    records: u64,
    events: [u64; 13],
    /// The number of dropped records that events have reported.
    reported_drops: u64,
    /// The last value of each GPU, metric, and process.
    series: HashMap<(u16, u16, u32), LastValue>,
    /// The number of dropped records that are not counted in `removed`: events and per-process values.
    uncounted_drops: u64,
}

impl Checker {
    /// Checks a record and counts it.
    fn check_record(&mut self, record: &Record) {
        self.records += 1;
        if let Some(event) = record.event() {
            assert!((1..=12).contains(&event.0), "{record:?}");
            self.events[event.0 as usize] += 1;
            if event == Event::RECORDS_DROPPED {
                self.reported_drops += record.value as u64;
            }
            return;
        }
        let metric = record.metric().expect("a metric");
        let (min, max) = range(metric);
        assert!((min..=max).contains(&record.value), "{record:?} of {metric} is not between {min} and {max}");
        assert!(usize::from(record.gpu) < GPUS && record.at <= monotonic() + 1_000_000, "{record:?}");
        if let Some(function) = function_of(record.gpu, metric) {
            self.removed[function] += 1;
        }
        let last = self.series.entry((record.gpu, record.metric, record.detail));
        let last = last.or_insert(LastValue { at: 0, value: f64::NEG_INFINITY });
        assert!(record.at > last.at, "{metric}: {record:?} is not later than {}", last.at);
        let is_counter = metric.info().kind == MetricKind::Counter;
        assert!(!is_counter || record.value >= last.value, "{metric}: {record:?} decreased from {}", last.value);
        *last = LastValue { at: record.at, value: record.value };
    }

    /// Removes and checks all records.
    fn drain(&mut self, background: &mut Background, buffer: &mut [Record]) {
        loop {
            let count = background.drain(buffer);
            buffer[..count].iter().for_each(|record| self.check_record(record));
            if count < buffer.len() {
                return;
            }
        }
    }

    /// Returns the number of removed values minus the number of returned values, of all functions.
    fn balance(&self, returned: &[u64; NAMES.len()]) -> i64 {
        self.removed.iter().sum::<u64>() as i64 - returned.iter().sum::<u64>() as i64
    }

    /// Checks that every value was removed or dropped. The counts agree only between two ticks, so the check waits for
    /// such a moment.
    fn check_balance(&mut self, background: &mut Background, buffer: &mut [Record], dropped_before: u64) {
        let mut best = i64::MIN;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(2) {
            self.drain(background, buffer);
            let dropped = background.dropped();
            // The returned values are counted after the removed ones, so every removed value is included.
            let returned = returned();
            let balance = self.balance(&returned) + dropped as i64;
            assert!(
                balance <= self.uncounted_drops as i64 + (dropped - dropped_before) as i64,
                "{balance} more values than the driver has returned, of which {} are explained; removed {:?}, returned {returned:?}",
                self.uncounted_drops,
                self.removed
            );
            best = best.max(balance);
            if dropped == dropped_before && best == self.uncounted_drops as i64 && self.reported_drops == dropped {
                return;
            }
            if dropped != dropped_before && start.elapsed() > Duration::from_millis(300) {
                break;
            }
            sleep(Duration::from_micros(300));
        }
        let dropped = background.dropped();
        assert!(
            dropped != dropped_before && best >= self.uncounted_drops as i64,
            "values are missing and were not counted as dropped: {} of {dropped} drops reported, {best} instead of {}; removed {:?}, returned {:?}",
            self.reported_drops,
            self.uncounted_drops,
            self.removed,
            returned()
        );
        // After drops, the difference is the number of dropped events and per-process values.
        self.uncounted_drops = best as u64;
    }
}

/// Returns the number of values that each function has returned.
fn returned() -> [u64; NAMES.len()] {
    std::array::from_fn(|function| STATES[function].returned.load(Relaxed))
}

/// Returns the resident memory of this process in KiB.
fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Selects random faults for the next second.
fn select_faults() {
    for state in &STATES {
        // Most functions do not fail, because a metric is suspended for 30 s after two failures in a row.
        state.failing.store([0, 1, 10, 50, 300, 1000].get(random_below(120) as usize).copied().unwrap_or(0), Relaxed);
        state.slow.store([0, 0, 5, 100][random_below(4) as usize], Relaxed);
    }
    for lost in &LOST {
        lost.store(random_below(15) == 0, Relaxed);
    }
    if random_below(10) == 0 {
        STALL_US.store(60_000 + random_below(200_000), Relaxed);
    }
}

fn environment(name: &str) -> Option<f64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

#[test]
#[ignore = "takes half an hour; run scripts/soak"]
fn background_survives_random_faults() {
    let minutes = environment("IGPU_SOAK_MINUTES").unwrap_or(30.0);
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let seed_number = environment("IGPU_SOAK_SEED").map_or(clock, |seed| seed as u64);
    println!("seed {seed_number}, {minutes} minutes");
    seed(seed_number);
    let mut background = background();
    let mut checker = Checker::default();
    let mut buffer = vec![Record::default(); 1024];
    let latest = background.latest_reader();
    let keys: Vec<LatestKey> = (0..GPUS as u32)
        .flat_map(|gpu| Metric::all().filter_map(|metric| latest.key(gpu, metric)).collect::<Vec<_>>())
        .collect();
    let mut timestamps = vec![0; keys.len()];
    let (start, duration) = (Instant::now(), Duration::from_secs_f64(minutes * 60.0));
    let (mut second, mut baseline_kib, mut kib, mut stalls) = (0_u64, 0, 0, 0_u64);
    while start.elapsed() < duration {
        second += 1;
        let dropped_before = background.dropped();
        select_faults();
        // In one of eight seconds, no records are removed.
        let stalled = random_below(8) == 0;
        stalls += u64::from(stalled);
        let end = start + Duration::from_secs(second);
        while Instant::now() < end {
            if !stalled {
                checker.drain(&mut background, &mut buffer);
            }
            check_latest_values(&latest, &keys, &mut timestamps);
            sleep(Duration::from_millis(10));
        }
        checker.check_balance(&mut background, &mut buffer, dropped_before);
        kib = resident_kib();
        // At this time, every poll group has been read and every buffer has been used.
        if second == 30.min(duration.as_secs() / 3) {
            baseline_kib = kib;
        }
        assert!(
            baseline_kib == 0 || kib <= baseline_kib + MAX_GROWTH_KIB,
            "memory grew from {baseline_kib} to {kib} KiB"
        );
        if second.is_multiple_of(60) {
            println!(
                "{second} s: {} records, {} dropped, {} ticks, events {:?}, {kib} KiB",
                checker.records,
                background.dropped(),
                background.ticks(),
                &checker.events[1..]
            );
        }
    }
    let (dropped, ticks) = (background.dropped(), background.ticks());
    assert!(dropped > 0 || stalls == 0 || minutes < 1.0, "no records were dropped in {stalls} stalls");
    assert!(minutes < 1.0 || checker.series.len() > 100, "only {} series", checker.series.len());
    assert!(minutes < 1.0 || checker.events[Event::GPU_HUNG.0 as usize] > 0, "no hung call was found");
    // Finally, all driver calls hang.
    HANG.store(true, Relaxed);
    sleep(Duration::from_millis(100));
    assert!(
        background.time_since_heartbeat() > Duration::from_millis(40),
        "the heartbeat is {:?} old",
        background.time_since_heartbeat()
    );
    let stopping = Instant::now();
    assert_eq!(background.stop(), StopOutcome::Abandoned);
    assert!(stopping.elapsed() < Duration::from_millis(150), "{:?}", stopping.elapsed());
    println!(
        "soak passed: {second} s, seed {seed_number}, {ticks} ticks, {} records removed and {dropped} dropped in {stalls} stalls, all reported; {} events, {} series; {baseline_kib} KiB at first, {kib} KiB at the end",
        checker.records,
        checker.events.iter().sum::<u64>(),
        checker.series.len(),
    );
}

/// Checks that the latest values are in range and do not become older.
fn check_latest_values(latest: &LatestReader, keys: &[LatestKey], timestamps: &mut [u64]) {
    for (key, timestamp) in keys.iter().zip(timestamps) {
        let Ok(Some(record)) = latest.read(*key) else { continue };
        let (min, max) = range(record.metric().expect("a metric"));
        assert!((min..=max).contains(&record.value) && record.at >= *timestamp, "{record:?} after {timestamp}");
        *timestamp = record.at;
    }
}
