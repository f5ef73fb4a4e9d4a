//! The hardest life that a sampler can have, in a few hundred simulated seconds: all metrics of the catalog, processes
//! that come and go, lists longer than the memory for them, codes drawn at random, GPUs that are lost and come back,
//! rings that wrap, dear calls, and a wall clock that is set. Whoever counts allocations says how.

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
/// The sampler's monotonic clock at the scenario's start.
const ORIGIN: u64 = 1_000 * SECOND;
/// How long the scenario is; faults end before, by more than the 30 s for which a refused metric rests.
const SECONDS: u64 = 500;
const CALM_FROM: u64 = 450;
/// Where the clock leaps ahead, in seconds, and how far: rings wrap, and power is not known for too long.
const LEAPS: [u64; 2] = [120, 260];
const LEAP: u64 = 20 * SECOND;
/// The wall clock is set an hour ahead, and later back.
const WALL_AHEAD: std::ops::Range<u64> = 180 * SECOND..220 * SECOND;
/// Each reading of the clock takes this long, so that driver calls do: usually nothing to speak of, then too much.
const DEAR: std::ops::Range<u64> = 300 * SECOND..303 * SECOND;
const CAPACITY: usize = 16;
/// No Linux gives out such pids by default.
const FOREIGN: u32 = 4_194_399;

static NOW: AtomicU64 = AtomicU64::new(0);

fn monotonic() -> u64 {
    let cost = if DEAR.contains(&NOW.load(Relaxed)) { 300_000 } else { 150 };
    ORIGIN + NOW.fetch_add(cost, Relaxed)
}

fn wall_us() -> u64 {
    let now = NOW.load(Relaxed);
    let ahead = if WALL_AHEAD.contains(&now) { 3_600_000_000 } else { 0 };
    // The simulator's stepped clock begins there.
    1_700_000_000_000_000 + now / 1000 + ahead
}

fn draw(state: &mut u64, below: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % below
}

/// Every call that a sampler makes, but for `nvmlDeviceGetHandleByIndex_v2`, by which a GPU comes back.
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
    // Known codes that are about this call alone, those that say that the GPU is gone, and codes that no header has. Not
    // 13 and 25, which say that the driver lacks the function: that is settled for good.
    let codes = [1u32, 2, 3, 4, 6, 7, 9, 10, 15, 16, 17, 21, 999, 31, 4711, u32::MAX];
    for function in FUNCTIONS {
        for gpu in 0..2 {
            let (code, every) = (codes[draw(state, 16) as usize], 9 + draw(state, 90));
            writeln!(
                toml,
                "[[fault]]\nfunction = '{function}'\ngpu = {gpu}\nreturn = {code}\nevery_nth_call = {every}\nuntil_s = {CALM_FROM}"
            )
            .unwrap();
            // And a few seconds in which the call is always refused, so that its metrics rest.
            let at = 20 + draw(state, 350);
            writeln!(
                toml,
                "[[fault]]\nfunction = '{function}'\ngpu = {gpu}\nreturn = 3\nfrom_s = {at}\nuntil_s = {}",
                at + 3
            )
            .unwrap();
        }
    }
    for field in [185, 186, 83, 82, 74, 197, 138, 3] {
        let (code, every) = (codes[draw(state, 16) as usize], 20 + draw(state, 90));
        writeln!(toml, "[[fault]]\nfunction = 'nvmlDeviceGetFieldValues'\nfield_id = {field}\nreturn = {code}\nevery_nth_call = {every}\nuntil_s = {CALM_FROM}").unwrap();
    }
    for (gpu, at) in [(0, 30), (1, 70), (0, 160), (1, 160), (1, 330), (0, 420)] {
        writeln!(toml, "[[gpu_lost]]\ngpu = {gpu}\nfrom_s = {at}\nuntil_s = {}", at + 4).unwrap();
    }
}

/// Two GPUs that have everything that a metric asks for; the second one does not count its energy.
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
            children.get(gpu as usize).unwrap_or(&FOREIGN)
        )
        .unwrap();
        for slot in 0..SECONDS - 60 {
            let kind = ["compute", "graphics", "mps"][slot as usize % 3];
            let (pid, repeat) = (4_194_400 + slot * 7 % 5000, 1 + (slot * 7 + u64::from(gpu)) % 5);
            writeln!(toml, "{{ pid = {pid}, count = {repeat}, kind = '{kind}', memory_mib = {slot}, sm_percent = 3, from_s = {slot}, until_s = {slot}.7 }},").unwrap();
        }
        // Now there, now not, so that its owner is looked up again and again.
        for from in (100..300).step_by(2) {
            writeln!(toml, "{{ pid = 'self', memory_mib = 5, from_s = {from}, until_s = {} }},", from + 1).unwrap();
        }
        // This process and its parent, for a while; and more than there is memory for.
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

/// The driver, and the function that sets its clock, which is looked up once as that allocates.
struct Sim {
    driver: SharedDriver,
    set_time: extern "C" fn(u64),
    nvml: Nvml,
}

fn sim(children: &[u32]) -> Sim {
    let (driver, nvml) = sim_from_toml(&scenario(children));
    let address = symbol(library(&driver), c"nvml_sim_set_time");
    assert!(!address.is_null());
    // SAFETY: the simulator declares it so.
    let set_time = unsafe { std::mem::transmute::<*const std::ffi::c_void, extern "C" fn(u64)>(address) };
    Sim { driver, set_time, nvml }
}

/// What was seen, so that the life is known to have been hard.
#[derive(Default)]
struct Seen {
    values: u64,
    fresh: u64,
    metrics: BTreeSet<u16>,
    events: [u64; 12],
    ambiguous: u64,
    owners: u64,
}

impl Seen {
    fn note(&mut self, record: &Record) {
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

/// Runs a sampler through it all in so many ticks, and asserts that `count` says the same before and after each of them.
/// At the end the values must be right.
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
    assert!(count() > before, "nothing is counted");
    let start = Duration::from_nanos(NOW.load(Relaxed));
    let step = (SECONDS - LEAPS.len() as u64 * 20) * SECOND / ticks;
    let mut seen = Seen::default();
    let mut leapt = 0;
    for tick in 0..ticks {
        let mut planned = tick * step + leapt as u64 * LEAP;
        if LEAPS.get(leapt).is_some_and(|leap| planned >= leap * SECOND) {
            leapt += 1;
            planned += LEAP;
        }
        NOW.fetch_max(planned, Relaxed);
        let now = monotonic();
        set_time(now - ORIGIN);
        if tick == ticks / 2 {
            drop(children.pop());
        }
        if tick % 1000 == 0 {
            // The next owner has `/etc/passwd` read again.
            clear_user_cache();
        }
        let before = count();
        std::hint::black_box(sampler.tick(now).records());
        let next = sampler.next_due();
        let allocated = count() - before;
        assert_eq!(allocated, 0, "in tick {tick}: {:?}", sampler.frame().records());
        assert!(next >= now);
        seen.owners += u64::from(sampler.frame().process_info(std::process::id()).is_some());
        sampler.frame().records().iter().for_each(|record| seen.note(record));
    }
    assert!(NOW.load(Relaxed) >= (SECONDS - 1) * SECOND);
    was_hard(&seen, ticks);
    ends_right(&sampler, &driver, start, pids[0]);
}

fn was_hard(seen: &Seen, ticks: u64) {
    let unread: Vec<Metric> = Metric::all().filter(|metric| !seen.metrics.contains(&metric.index())).collect();
    assert!(unread.is_empty(), "never read: {unread:?}");
    assert!(seen.values > 200_000 && seen.fresh > 50_000, "{} values, {} fresh", seen.values, seen.fresh);
    let events = |event: Event| seen.events[event.0 as usize];
    assert!(events(Event::GPU_LOST) >= 6 && events(Event::GPU_RECOVERED) >= 6, "lost {:?}", seen.events);
    assert!(events(Event::METRIC_SUSPENDED) >= 20, "rests {:?}", seen.events);
    assert!(events(Event::POLL_INTERVAL_CHANGED) >= 2, "cadences {:?}", seen.events);
    assert!(events(Event::SAMPLES_DROPPED) >= 4, "overruns {:?}", seen.events);
    assert!(events(Event::PROCESS_LIST_TRUNCATED) >= 10, "long lists {:?}", seen.events);
    assert!(events(Event::CLOCK_STEPPED) >= 4, "wall clock {:?}", seen.events);
    assert!(events(Event::ENERGY_GAP) >= 2, "gaps {:?}", seen.events);
    assert_eq!(events(Event::RECORDS_DROPPED), 0, "the frame has room for everything");
    assert!(seen.ambiguous > 0 && seen.owners > ticks / 50, "{} ambiguous, {} owners", seen.ambiguous, seen.owners);
}

/// The last values against the simulator's truth, at the time of each record.
fn ends_right(sampler: &Sampler, driver: &SharedDriver, start: Duration, child: u32) {
    let frame = sampler.frame();
    for gpu in 0..2 {
        let latest = |metric: Metric| {
            let reason = || format!("{metric} of GPU {gpu}: {:?}", frame.last_error(gpu, metric));
            let record = frame.latest(gpu, metric).unwrap_or_else(|| panic!("{}", reason()));
            let age = NOW.load(Relaxed) + ORIGIN - record.at;
            assert!(age < 15 * SECOND, "{metric} is {age} ns old");
            (record.value, Duration::from_nanos(record.at - ORIGIN))
        };
        let near = |metric: Metric, quantity: Quantity, slack: f64| {
            let (value, at) = latest(metric);
            let truth = driver.truth(gpu, quantity, at);
            assert!((value - truth).abs() <= slack, "{metric} of GPU {gpu} is {value} at {at:?}, truly {truth}");
        };
        near(Metric::UTILIZATION_GPU, Quantity::UtilizationGpu, 0.51);
        near(Metric::MEMORY_USED, Quantity::MemoryUsed, 1_048_576.0);
        near(Metric::TEMPERATURE, Quantity::Temperature, 0.51);
        near(Metric::CLOCK_GRAPHICS, Quantity::ClockGraphics, 0.51);
        // A mean over the sensor's window before its last refresh, of a power that changes by 21 W/s at the most.
        near(Metric::POWER_INSTANT, Quantity::Power, 3.0);
        near(Metric::POWER_AVERAGE, Quantity::Power, 24.0);
        near(Metric::POWER_SAMPLES, Quantity::Power, 1.0);
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
            // Whatever happened between, a counter's difference is right, to a refresh of 100 ms at each end.
            assert!((joules - truth).abs() <= 100.0, "{joules} J, truly {truth} J");
        } else {
            // Gaps are left out.
            assert!(joules > 0.5 * truth && joules < 1.01 * truth, "{joules} J, truly {truth} J");
        }
    }
    let owner = frame.process_info(child).expect("the child that still runs");
    assert_eq!(owner.name.as_deref(), Some("sleep"));
    assert_eq!(owner.uid.is_some(), owner.user.is_some());
    assert_eq!(owner.parent_pid, Some(std::process::id()));
}
