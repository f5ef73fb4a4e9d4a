//! The background sampler for half an hour under random faults: `scripts/soak [MINUTES]`. Not run by `cargo test`.
//!
//! Each second: what the driver gave is what was taken out and what was counted as lost, function by function; stamps of
//! a series rise; no value is outside of what the simulated GPUs can show; counters do not go back; memory does not grow.
//! The verdict is the last line. `IGPU_SOAK_SEED` repeats a run's dice, as far as the threads' timing lets it.
#![cfg(target_os = "linux")]

mod driver;

use std::{
    collections::HashMap,
    env, fs,
    sync::atomic::Ordering::Relaxed,
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

use driver::{GPUS, HANG, LOST, NAMES, STALL, WAYS, dice, resolve, seed, way_of};
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

/// More than the ring holds in a second in which nothing is taken out, less than in the usual 10 ms.
const ROOM: usize = 8192;
/// What one thread's ups and downs may add to the memory in use, KiB.
const GROWTH_KIB: u64 = 4096;

fn background() -> Background {
    let second = SCENARIO
        .replacen("[[gpu]]", "[[gpu]]\npci = { bus = 2 }", 1)
        .replace("instant_window_ms = 25", "energy_refresh_ms = 0");
    nvml_sim::start(&Scenario::from_toml(&format!("{SCENARIO}{second}")).unwrap());
    // SAFETY: the simulator's functions and the layers before them have the signatures of nvml.h.
    let nvml = unsafe { Nvml::builder().resolver(resolve) }.load().unwrap();
    let metrics: Vec<Metric> = Metric::all().collect();
    let fast = [Metric::TEMPERATURE, Metric::CLOCK_GRAPHICS, Metric::MEMORY_USED, Metric::UTILIZATION_GPU];
    let builder = Sampler::builder(&nvml).metrics(&metrics).process_capacity(32).budget(0.5);
    let builder = builder.interval(Metric::PROCESS_MEMORY, Duration::from_millis(50));
    let builder = fast.iter().fold(builder, |builder, metric| builder.interval(*metric, Duration::from_millis(1)));
    let sampler = builder.build().unwrap();
    // What was given before is nobody's record.
    WAYS.iter().for_each(|way| way.given.store(0, Relaxed));
    sampler.spawn(ROOM).unwrap()
}

/// The least and the most that the scenario's GPUs can show.
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

/// What is known of one series: of one metric of one GPU and, where there are several, process.
struct Last {
    at: u64,
    value: f64,
}

#[derive(Default)]
struct Watch {
    /// Values taken out, by the function that gave them.
    taken: [u64; NAMES.len()],
    records: u64,
    events: [u64; 13],
    /// How many records the sampler said were lost.
    told: u64,
    series: HashMap<(u16, u16, u32), Last>,
    /// Records lost that no driver's value stands behind: events, and those of processes.
    others: u64,
}

impl Watch {
    fn note(&mut self, record: &Record) {
        self.records += 1;
        if let Some(event) = record.event() {
            assert!((1..=12).contains(&event.0), "{record:?}");
            self.events[event.0 as usize] += 1;
            if event == Event::RECORDS_DROPPED {
                self.told += record.value as u64;
            }
            return;
        }
        let metric = record.metric().expect("a metric");
        let (least, most) = range(metric);
        assert!((least..=most).contains(&record.value), "{record:?} of {metric} is not in {least} to {most}");
        assert!(usize::from(record.gpu) < GPUS && record.at <= monotonic() + 1_000_000, "{record:?}");
        if let Some(way) = way_of(record.gpu, metric) {
            self.taken[way] += 1;
        }
        let last = self.series.entry((record.gpu, record.metric, record.detail));
        let last = last.or_insert(Last { at: 0, value: f64::NEG_INFINITY });
        assert!(record.at > last.at, "{metric}: {record:?} is not later than {}", last.at);
        let counts_up = metric.info().kind == MetricKind::Counter;
        assert!(!counts_up || record.value >= last.value, "{metric}: {record:?} went back from {}", last.value);
        *last = Last { at: record.at, value: record.value };
    }

    fn drain(&mut self, background: &mut Background, buffer: &mut [Record]) {
        loop {
            let count = background.drain(buffer);
            buffer[..count].iter().for_each(|record| self.note(record));
            if count < buffer.len() {
                return;
            }
        }
    }

    /// Values taken less values given, of all functions.
    fn balance(&self, given: &[u64; NAMES.len()]) -> i64 {
        self.taken.iter().sum::<u64>() as i64 - given.iter().sum::<u64>() as i64
    }

    /// Waits for a moment in which the books balance: between two ticks nothing is on its way.
    fn check(&mut self, background: &mut Background, buffer: &mut [Record], lost_before: u64) {
        let mut best = i64::MIN;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(2) {
            self.drain(background, buffer);
            let lost = background.dropped();
            // Read after what was taken: nobody takes what was not given.
            let given = given();
            let balance = self.balance(&given) + lost as i64;
            assert!(
                balance <= self.others as i64 + (lost - lost_before) as i64,
                "{balance} more values than the driver gave, of which {} were known; taken {:?}, given {given:?}",
                self.others,
                self.taken
            );
            best = best.max(balance);
            if lost == lost_before && best == self.others as i64 && self.told == lost {
                return;
            }
            if lost != lost_before && begun.elapsed() > Duration::from_millis(300) {
                break;
            }
            sleep(Duration::from_micros(300));
        }
        let lost = background.dropped();
        assert!(
            lost != lost_before && best >= self.others as i64,
            "values missing that were not counted as lost: {} of {lost} told, {best} instead of {}; taken {:?}, given {:?}",
            self.told,
            self.others,
            self.taken,
            given()
        );
        // After a loss the difference is what was lost of events and of processes.
        self.others = best as u64;
    }
}

fn given() -> [u64; NAMES.len()] {
    std::array::from_fn(|way| WAYS[way].given.load(Relaxed))
}

/// Memory in use, KiB.
fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Other faults than before, for a second.
fn throw_dice() {
    for way in &WAYS {
        // What is refused twice in a row rests for half a minute: often, and little would be left to look at.
        way.refused.store([0, 1, 10, 50, 300, 1000].get(dice(120) as usize).copied().unwrap_or(0), Relaxed);
        way.slow.store([0, 0, 5, 100][dice(4) as usize], Relaxed);
    }
    for lost in &LOST {
        lost.store(dice(15) == 0, Relaxed);
    }
    if dice(10) == 0 {
        STALL.store(60_000 + dice(200_000), Relaxed);
    }
}

fn environment(name: &str) -> Option<f64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

#[test]
#[ignore = "takes half an hour: scripts/soak"]
fn background_survives_random_faults() {
    let minutes = environment("IGPU_SOAK_MINUTES").unwrap_or(30.0);
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let chosen = environment("IGPU_SOAK_SEED").map_or(clock, |seed| seed as u64);
    println!("seed {chosen}, {minutes} minutes");
    seed(chosen);
    let mut background = background();
    let mut watch = Watch::default();
    let mut buffer = vec![Record::default(); 1024];
    let latest = background.latest_reader();
    let keys: Vec<LatestKey> = (0..GPUS as u32)
        .flat_map(|gpu| Metric::all().filter_map(|metric| latest.key(gpu, metric)).collect::<Vec<_>>())
        .collect();
    let mut stamps = vec![0; keys.len()];
    let (begun, length) = (Instant::now(), Duration::from_secs_f64(minutes * 60.0));
    let (mut second, mut kib_before, mut kib, mut stalls) = (0_u64, 0, 0, 0_u64);
    while begun.elapsed() < length {
        second += 1;
        let lost_before = background.dropped();
        throw_dice();
        // In one second of eight nothing is taken out.
        let stalled = dice(8) == 0;
        stalls += u64::from(stalled);
        let end = begun + Duration::from_secs(second);
        while Instant::now() < end {
            if !stalled {
                watch.drain(&mut background, &mut buffer);
            }
            read_latest(&latest, &keys, &mut stamps);
            sleep(Duration::from_millis(10));
        }
        watch.check(&mut background, &mut buffer, lost_before);
        kib = resident_kib();
        // By then every lane was read and every buffer was touched.
        if second == 30.min(length.as_secs() / 3) {
            kib_before = kib;
        }
        assert!(kib_before == 0 || kib <= kib_before + GROWTH_KIB, "memory grew from {kib_before} to {kib} KiB");
        if second.is_multiple_of(60) {
            println!(
                "{second} s: {} records, {} lost, {} ticks, events {:?}, {kib} KiB",
                watch.records,
                background.dropped(),
                background.ticks(),
                &watch.events[1..]
            );
        }
    }
    let (lost, ticks) = (background.dropped(), background.ticks());
    assert!(lost > 0 || stalls == 0 || minutes < 1.0, "no stall was long enough");
    assert!(minutes < 1.0 || watch.series.len() > 100, "only {} series", watch.series.len());
    assert!(minutes < 1.0 || watch.events[Event::GPU_HUNG.0 as usize] > 0, "no call was taken for one that hangs");
    // At last the driver hangs.
    HANG.store(true, Relaxed);
    sleep(Duration::from_millis(100));
    assert!(
        background.time_since_heartbeat() > Duration::from_millis(40),
        "a silence of {:?}",
        background.time_since_heartbeat()
    );
    let stopping = Instant::now();
    assert_eq!(background.stop(), StopOutcome::Abandoned);
    assert!(stopping.elapsed() < Duration::from_millis(150), "{:?}", stopping.elapsed());
    println!(
        "soak passed: {second} s, seed {chosen}, {ticks} ticks, {} records taken and {lost} lost in {stalls} stalls, all told; {} events, {} series; {kib_before} KiB, then {kib}",
        watch.records,
        watch.events.iter().sum::<u64>(),
        watch.series.len(),
    );
}

/// The latest values are possible ones, and do not become older.
fn read_latest(latest: &LatestReader, keys: &[LatestKey], stamps: &mut [u64]) {
    for (key, stamp) in keys.iter().zip(stamps) {
        let Ok(Some(record)) = latest.read(*key) else { continue };
        let (least, most) = range(record.metric().expect("a metric"));
        assert!((least..=most).contains(&record.value) && record.at >= *stamp, "{record:?} after {stamp}");
        *stamp = record.at;
    }
}
