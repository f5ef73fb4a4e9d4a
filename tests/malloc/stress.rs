//! A stress scenario for a sampler that takes 500 simulated seconds. It has all metrics of the catalog, processes that
//! start and end, truncated process lists, random return codes, GPUs that are lost and recover, sample buffers that
//! overflow, expensive calls, and steps of the wall clock. The caller provides the count of allocations.

#[path = "../common/mod.rs"]
pub(crate) mod common;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use common::{SleepProcess, library, sim_from_toml, symbol};
use igpu::{
    Nvml,
    metric::Metric,
    process::clear_user_cache,
    sampler::{Clocks, Event, Flags, Record, Sampler},
};
use nvml_sim::{SharedDriver, control::Quantity};

const SECOND: u64 = 1_000_000_000;
/// The time of the sampler's monotonic clock at the start of the scenario, in nanoseconds.
const ORIGIN: u64 = 1_000 * SECOND;
/// The duration of the scenario, in seconds.
const SECONDS: u64 = 500;
/// The time at which the faults end, in seconds. A rejected metric is suspended for 30 s, and is therefore read again
/// before the scenario ends.
const FAULTS_UNTIL: u64 = 450;
/// The times at which the clock jumps forward, in seconds. A jump makes the sample buffers overflow and leaves a gap in
/// the power.
const JUMPS: [u64; 2] = [120, 260];
const JUMP_NS: u64 = 20 * SECOND;
/// The period during which the wall clock is one hour ahead, in nanoseconds.
const WALL_CLOCK_AHEAD: std::ops::Range<u64> = 180 * SECOND..220 * SECOND;
/// The period during which driver calls are expensive, in nanoseconds. In this period, each read of the clock takes 300
/// µs instead of 150 ns.
const EXPENSIVE_CALLS: std::ops::Range<u64> = 300 * SECOND..303 * SECOND;
const CAPACITY: usize = 16;
/// A process ID that does not exist: it is above the default maximum of Linux.
const NONEXISTENT_PID: u32 = 4_194_399;

static NOW: AtomicU64 = AtomicU64::new(0);

fn monotonic() -> u64 {
    let cost = if EXPENSIVE_CALLS.contains(&NOW.load(Relaxed)) { 300_000 } else { 150 };
    ORIGIN + NOW.fetch_add(cost, Relaxed)
}

fn wall_us() -> u64 {
    let now = NOW.load(Relaxed);
    let ahead = if WALL_CLOCK_AHEAD.contains(&now) { 3_600_000_000 } else { 0 };
    // The first number is the start of the simulator's stepped clock.
    1_700_000_000_000_000 + now / 1000 + ahead
}

/// Returns a pseudorandom number less than `below` (xorshift).
fn random(state: &mut u64, below: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % below
}

/// All functions that a sampler calls, except `nvmlDeviceGetHandleByIndex_v2`, which detects the recovery of a GPU.
const FUNCTIONS: [&str; 20] = [
    "nvmlDeviceGetUtilizationRates",
    "nvmlDeviceGetEncoderUtilization",
    "nvmlDeviceGetDecoderUtilization",
    "nvmlDeviceGetMemoryInfo_v2",
    "nvmlDeviceGetPowerUsage",
    "nvmlDeviceGetTemperatureV",
    "nvmlDeviceGetClockInfo",
    "nvmlDeviceGetPerformanceState",
    "nvmlDeviceGetFanSpeed",
    "nvmlDeviceGetCurrentClocksEventReasons",
    "nvmlDeviceGetCurrPcieLinkGeneration",
    "nvmlDeviceGetCurrPcieLinkWidth",
    "nvmlDeviceGetPcieReplayCounter",
    "nvmlDeviceGetFieldValues",
    "nvmlDeviceGetSamples",
    "nvmlGpmSampleGet",
    "nvmlGpmMetricsGet",
    "nvmlDeviceGetComputeRunningProcesses_v3",
    "nvmlDeviceGetGraphicsRunningProcesses_v3",
    "nvmlDeviceGetProcessUtilization",
];

fn faults(toml: &mut String) {
    let state = &mut 0x9e37_79b9_7f4a_7c15_u64;
    // The codes of failed calls and of a lost GPU, and codes that are not in nvml.h. The codes 13 and 25 are omitted:
    // they mean that the driver does not have the function, and the metric would remain unsupported.
    let codes = [1u32, 2, 3, 4, 6, 7, 9, 10, 15, 16, 17, 21, 999, 31, 4711, u32::MAX];
    for function in FUNCTIONS {
        for gpu in 0..2 {
            let (code, every) = (codes[random(state, 16) as usize], 9 + random(state, 90));
            writeln!(
                toml,
                "[[fault]]\nfunction = '{function}'\ngpu = {gpu}\nreturn = {code}\nevery_nth_call = {every}\nuntil_s = {FAULTS_UNTIL}"
            )
            .unwrap();
            // All calls fail for a few seconds, which suspends the metrics.
            let at = 20 + random(state, 350);
            writeln!(
                toml,
                "[[fault]]\nfunction = '{function}'\ngpu = {gpu}\nreturn = 3\nfrom_s = {at}\nuntil_s = {}",
                at + 3
            )
            .unwrap();
        }
    }
    for field in [185, 186, 83, 82, 74, 197, 138, 3] {
        let (code, every) = (codes[random(state, 16) as usize], 20 + random(state, 90));
        writeln!(toml, "[[fault]]\nfunction = 'nvmlDeviceGetFieldValues'\nfield_id = {field}\nreturn = {code}\nevery_nth_call = {every}\nuntil_s = {FAULTS_UNTIL}").unwrap();
    }
    for (gpu, at) in [(0, 30), (1, 70), (0, 160), (1, 160), (1, 330), (0, 420)] {
        writeln!(toml, "[[gpu_lost]]\ngpu = {gpu}\nfrom_s = {at}\nuntil_s = {}", at + 4).unwrap();
    }
}

/// Returns a scenario with two GPUs that support all metrics. The second GPU has no energy counter.
fn scenario(children: &[u32]) -> String {
    let mut toml = String::from("[driver]\nclock = { frozen_at_s = 0 }\n");
    for gpu in 0..2_u32 {
        let energy = if gpu == 0 { 100 } else { 0 };
        writeln!(
            toml,
            "[[gpu]]\narchitecture = 9\nfan_speed_percent = [{gpu}]\nclocks_event_reasons = 4\n\
             memory = {{ total_mib = 81559, reserved_mib = 551, used_mib = {{ ramp = {{ from = 0, to = 80000, period_s = 77 }} }} }}\n\
             utilization = {{ gpu_percent = {{ square = {{ low = 8, high = 99, period_s = 4.1 }} }}, memory_percent = 33 }}\n\
             temperature = {{ gpu_c = {{ sine = {{ mean = 58, amplitude = 20, period_s = 45 }} }}, memory_c = {} }}\n\
             clocks = {{ graphics_mhz = {{ ramp = {{ from = 210, to = 1980, period_s = 13 }} }}, sm_mhz = 1980, memory_mhz = 2619, video_mhz = 1545 }}\n\
             power = {{ draw_w = {{ sine = {{ mean = 300, amplitude = 200, period_s = 60 }} }}, energy_refresh_ms = {energy}, instant_window_ms = 25 }}\n\
             throttle_fraction = {{ power = 0.25 }}\necc = {{ enabled = true, aggregate_corrected = 2 }}\n\
             nvlink = {{ tx_kib_per_s = 1000, rx_kib_per_s = 2000 }}\ngpm = {{ sm_percent = 60, sm_occupancy_percent = 30, tensor_percent = 20, dram_bandwidth_percent = 10 }}",
            70 + gpu
        )
        .unwrap();
        writeln!(
            toml,
            "process = [\n{{ pid = {}, memory_mib = 64, sm_percent = 40 }},",
            children.get(gpu as usize).unwrap_or(&NONEXISTENT_PID)
        )
        .unwrap();
        for slot in 0..SECONDS - 60 {
            let kind = ["compute", "graphics", "mps"][slot as usize % 3];
            let (pid, repeat) = (4_194_400 + slot * 7 % 5000, 1 + (slot * 7 + u64::from(gpu)) % 5);
            writeln!(toml, "{{ pid = {pid}, count = {repeat}, kind = '{kind}', memory_mib = {slot}, sm_percent = 3, from_s = {slot}, until_s = {slot}.7 }},").unwrap();
        }
        // This process appears every other second, and is looked up each time.
        for from in (100..300).step_by(2) {
            writeln!(toml, "{{ pid = 'self', memory_mib = 5, from_s = {from}, until_s = {} }},", from + 1).unwrap();
        }
        // This process and its parent appear for some time, and later more processes than the list can hold.
        writeln!(
            toml,
            "{{ pid = 'self', memory_mib = 5, from_s = 40, until_s = 60 }}, {{ pid = 'parent', from_s = 50, until_s = 90 }},\n\
             {{ pid = 4_199_000, count = 60, from_s = 5, until_s = 9 }}, {{ pid = 4_199_000, count = 20, kind = 'mps', from_s = 80, until_s = 95 }} ]"
        )
        .unwrap();
    }
    faults(&mut toml);
    toml
}

/// The simulated driver, and the function that sets its clock. The function is looked up once, because the lookup
/// allocates.
struct Sim {
    driver: SharedDriver,
    set_time: extern "C" fn(u64),
    nvml: Nvml,
}

fn sim(children: &[u32]) -> Sim {
    let (driver, nvml) = sim_from_toml(&scenario(children));
    let address = symbol(library(&driver), c"nvml_sim_set_time");
    assert!(!address.is_null());
    // SAFETY: the simulator's function has this signature.
    let set_time = unsafe { std::mem::transmute::<*const std::ffi::c_void, extern "C" fn(u64)>(address) };
    Sim { driver, set_time, nvml }
}

/// Counts of records and events, which show that the scenario exercised the sampler.
#[derive(Default)]
struct RecordCounts {
    values: u64,
    fresh: u64,
    metrics: BTreeSet<u16>,
    events: [u64; 12],
    ambiguous: u64,
    process_lookups: u64,
}

impl RecordCounts {
    fn add(&mut self, record: &Record) {
        if let Some(Event(event)) = record.event() {
            self.events[event as usize] += 1;
            return;
        }
        assert!(record.value.is_finite() && record.value >= 0.0, "{record:?}");
        self.values += 1;
        self.fresh += u64::from(record.is_fresh());
        self.ambiguous += u64::from(record.flags.contains(Flags::AMBIGUOUS));
        self.metrics.insert(record.metric);
    }
}

/// Runs the scenario in this number of ticks, and asserts that `count` does not change during a tick. Then checks the
/// latest values.
pub(crate) fn ticks(ticks: u64, count: impl Fn() -> u64) {
    let mut children: Vec<SleepProcess> = (0..2).map(|_| SleepProcess::new()).collect();
    let pids: Vec<u32> = children.iter().map(SleepProcess::pid).collect();
    let Sim { driver, set_time, nvml } = sim(&pids);
    let metrics: Vec<Metric> = Metric::all().collect();
    let before = count();
    let mut sampler = Sampler::builder(&nvml)
        .metrics(&metrics)
        .process_capacity(CAPACITY)
        .interval(Metric::PROCESS_MEMORY, Duration::from_millis(200))
        .clocks(Clocks { monotonic, wall_us, ..Clocks::default() })
        .build()
        .unwrap();
    assert!(count() > before, "allocations are not counted");
    let start = Duration::from_nanos(NOW.load(Relaxed));
    let step = (SECONDS - JUMPS.len() as u64 * 20) * SECOND / ticks;
    let mut counts = RecordCounts::default();
    let mut jumps_done = 0;
    for tick in 0..ticks {
        let mut planned = tick * step + jumps_done as u64 * JUMP_NS;
        if JUMPS.get(jumps_done).is_some_and(|jump| planned >= jump * SECOND) {
            jumps_done += 1;
            planned += JUMP_NS;
        }
        NOW.fetch_max(planned, Relaxed);
        let now = monotonic();
        set_time(now - ORIGIN);
        if tick == ticks / 2 {
            drop(children.pop());
        }
        if tick % 1000 == 0 {
            // The next lookup reads `/etc/passwd` again.
            clear_user_cache();
        }
        let before = count();
        std::hint::black_box(sampler.tick(now).records());
        let next = sampler.next_due();
        let allocated = count() - before;
        assert_eq!(allocated, 0, "in tick {tick}: {:?}", sampler.frame().records());
        assert!(next >= now);
        counts.process_lookups += u64::from(sampler.frame().process_info(std::process::id()).is_some());
        sampler.frame().records().iter().for_each(|record| counts.add(record));
    }
    assert!(NOW.load(Relaxed) >= (SECONDS - 1) * SECOND);
    check_counts(&counts, ticks);
    check_latest_values(&sampler, &driver, start, pids[0]);
}

fn check_counts(counts: &RecordCounts, ticks: u64) {
    let unread: Vec<Metric> = Metric::all().filter(|metric| !counts.metrics.contains(&metric.index())).collect();
    assert!(unread.is_empty(), "metrics without a value: {unread:?}");
    assert!(counts.values > 200_000 && counts.fresh > 50_000, "{} values, {} fresh", counts.values, counts.fresh);
    let events = |event: Event| counts.events[event.0 as usize];
    assert!(events(Event::GPU_LOST) >= 6 && events(Event::GPU_RECOVERED) >= 6, "lost {:?}", counts.events);
    assert!(events(Event::METRIC_SUSPENDED) >= 20, "suspended {:?}", counts.events);
    assert!(events(Event::POLL_INTERVAL_CHANGED) >= 2, "poll intervals {:?}", counts.events);
    assert!(events(Event::SAMPLES_DROPPED) >= 4, "dropped samples {:?}", counts.events);
    assert!(events(Event::PROCESS_LIST_TRUNCATED) >= 10, "truncated lists {:?}", counts.events);
    assert!(events(Event::CLOCK_STEPPED) >= 4, "clock steps {:?}", counts.events);
    assert!(events(Event::ENERGY_GAP) >= 2, "energy gaps {:?}", counts.events);
    assert_eq!(events(Event::RECORDS_DROPPED), 0, "the frame has capacity for all records");
    assert!(
        counts.ambiguous > 0 && counts.process_lookups > ticks / 50,
        "{} ambiguous, {} process lookups",
        counts.ambiguous,
        counts.process_lookups
    );
}

/// Compares the latest values with the simulator's true values at the time of each record.
fn check_latest_values(sampler: &Sampler, driver: &SharedDriver, start: Duration, child: u32) {
    let frame = sampler.frame();
    for gpu in 0..2 {
        let latest = |metric: Metric| {
            let reason = || format!("{metric} of GPU {gpu}: {:?}", frame.last_error(gpu, metric));
            let record = frame.latest(gpu, metric).unwrap_or_else(|| panic!("{}", reason()));
            let age = NOW.load(Relaxed) + ORIGIN - record.at;
            assert!(age < 15 * SECOND, "{metric} is {age} ns old");
            (record.value, Duration::from_nanos(record.at - ORIGIN))
        };
        let check_near = |metric: Metric, quantity: Quantity, tolerance: f64| {
            let (value, at) = latest(metric);
            let truth = driver.truth(gpu, quantity, at);
            assert!(
                (value - truth).abs() <= tolerance,
                "{metric} of GPU {gpu} is {value} at {at:?} instead of {truth}"
            );
        };
        check_near(Metric::UTILIZATION_GPU, Quantity::UtilizationGpu, 0.51);
        check_near(Metric::MEMORY_USED, Quantity::MemoryUsed, 1_048_576.0);
        check_near(Metric::TEMPERATURE, Quantity::Temperature, 0.51);
        check_near(Metric::CLOCK_GRAPHICS, Quantity::ClockGraphics, 0.51);
        // The values are means over the window before the last refresh, and the power changes by at most 21 W/s.
        check_near(Metric::POWER_INSTANT, Quantity::Power, 3.0);
        check_near(Metric::POWER_AVERAGE, Quantity::Power, 24.0);
        check_near(Metric::POWER_SAMPLES, Quantity::Power, 1.0);
        let constant = [
            (Metric::UTILIZATION_MEMORY, 33.0),
            (Metric::UTILIZATION_MEMORY_SAMPLES, 33.0),
            (Metric::MEMORY_RESERVED, 551.0 * 1_048_576.0),
            (Metric::TEMPERATURE_MEMORY, f64::from(70 + gpu)),
            (Metric::CLOCK_SM, 1980.0),
            (Metric::CLOCK_MEMORY, 2619.0),
            (Metric::CLOCK_VIDEO, 1545.0),
            (Metric::FAN_SPEED, f64::from(gpu)),
            (Metric::CLOCKS_EVENT_REASONS, 4.0),
            (Metric::ECC_CORRECTED_LIFETIME, 2.0),
            (Metric::PCIE_LINK_WIDTH, 16.0),
            (Metric::SM_ACTIVITY, 60.0),
            (Metric::DRAM_ACTIVITY, 10.0),
        ];
        for (metric, value) in constant {
            assert!((latest(metric).0 - value).abs() < 1e-9, "{metric} of GPU {gpu}: {:?}", latest(metric));
        }
        let (joules, at) = latest(Metric::ENERGY);
        let truth = driver.truth(gpu, Quantity::Energy, at) - driver.truth(gpu, Quantity::Energy, start);
        if gpu == 0 {
            // The difference of a counter is exact, except for a refresh period of 100 ms at each end.
            assert!((joules - truth).abs() <= 100.0, "{joules} J instead of {truth} J");
        } else {
            // Gaps in the power are not integrated.
            assert!(joules > 0.5 * truth && joules < 1.01 * truth, "{joules} J instead of {truth} J");
        }
    }
    let process = frame.process_info(child).expect("the child that is still running");
    assert_eq!(process.name.as_deref(), Some("sleep"));
    assert_eq!(process.uid.is_some(), process.user.is_some());
    assert_eq!(process.parent_pid, Some(std::process::id()));
}
