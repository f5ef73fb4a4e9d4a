//! What goes wrong while a sampler runs, and what it then says and does. On the stepped clock where that is exact, on the
//! real one, with generous bounds, where time must pass in the driver.

mod common;

use std::{
    ffi::{CStr, c_uint, c_ulonglong, c_void},
    fs,
    os::unix::process::CommandExt as _,
    panic::{AssertUnwindSafe, catch_unwind},
    process::Command,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use igpu::{
    Error, Nvml, ReturnCode,
    metric::Metric,
    sampler::{Background, Clocks, Event, Flags, Record, Sampler, SamplerBuilder, Stopped, monotonic},
};
use nvml_sim::{
    Scenario, SharedDriver,
    control::{self, Quantity},
};
use nvml_sys::{
    nvmlDevice_t, nvmlProcessUtilizationSample_t, nvmlReturn_t, nvmlSample_t, nvmlSamplingType_t, nvmlValueType_t,
};

/// The in-process simulator is one for all: tests take turns. Those of a shared driver take one too, as they measure time.
static TURN: Mutex<()> = Mutex::new(());

const SECOND: u64 = 1_000_000_000;

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(|broken| broken.into_inner())
}

/// A simulated driver whose clock stands until it is stepped, and the sampler's view of that clock.
struct Stage {
    nvml: Nvml,
    _turn: MutexGuard<'static, ()>,
}

fn stage_with(toml: &str, resolve: fn(&CStr) -> *const c_void) -> Stage {
    let turn = turn();
    let scenario = Scenario::from_toml(&format!("[driver]\nclock = {{ frozen_at_s = 0 }}\n{toml}")).unwrap();
    nvml_sim::start(&scenario);
    // SAFETY: the simulator's functions, and those of this file in their place, have the signatures of nvml.h.
    let nvml = unsafe { Nvml::builder().resolver(resolve) }.load().unwrap();
    Stage { nvml, _turn: turn }
}

fn stage(toml: &str) -> Stage {
    stage_with(toml, nvml_sim::resolve)
}

/// The monotonic clock begins at 100 s, so that nothing depends on its being 0.
fn now() -> u64 {
    100 * SECOND + control::now().as_nanos() as u64
}

impl Stage {
    fn builder(&self) -> SamplerBuilder {
        Sampler::builder(&self.nvml).clocks(Clocks { monotonic: now, wall_us: control::wall_clock_us })
    }
}

/// Ticks as the sampler asks for it until `seconds` have passed, and gives all records.
fn run(sampler: &mut Sampler, seconds: f64) -> Vec<Record> {
    let end = now() + (seconds * 1e9) as u64;
    let mut records = Vec::new();
    while now() < end {
        records.extend_from_slice(sampler.tick(now()).records());
        let wait = sampler.next_due().clamp(now() + 1, end) - now();
        control::step(Duration::from_nanos(wait));
    }
    records
}

/// The same on the real clock.
fn run_really(sampler: &mut Sampler, seconds: f64) -> Vec<Record> {
    let end = monotonic() + (seconds * 1e9) as u64;
    let mut records = Vec::new();
    while monotonic() < end {
        records.extend_from_slice(sampler.tick(monotonic()).records());
        let wait = sampler.next_due().min(end).saturating_sub(monotonic());
        sleep(Duration::from_nanos(wait));
    }
    records
}

fn values(records: &[Record], metric: Metric) -> impl Iterator<Item = &Record> {
    records.iter().filter(move |record| record.metric() == Some(metric) && record.event().is_none())
}

fn events(records: &[Record], event: Event) -> Vec<Record> {
    records.iter().filter(|record| record.event() == Some(event)).copied().collect()
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < end, "{what} did not come about in 10 s");
        sleep(Duration::from_millis(1));
    }
}

fn fault(function: &str, more: &str) -> String {
    format!("[[fault]]\nfunction = \"{function}\"\n{more}\n")
}

#[test]
fn a_metric_that_is_refused_for_ever_costs_a_call_each_half_minute() {
    let stage = stage(&format!("[[gpu]]\nprocess = []\n{}", fault("nvmlDeviceGetFanSpeed", "return = \"UNKNOWN\"")));
    let mut sampler = stage.builder().metrics(&[Metric::FAN_SPEED, Metric::TEMPERATURE]).build().unwrap();
    control::reset_counters();
    let records = run(&mut sampler, 600.0);
    // Two, and then one each 30 s.
    let calls = control::calls("nvmlDeviceGetFanSpeed");
    assert!((20..=22).contains(&calls), "{calls} calls in 10 minutes");
    assert_eq!(events(&records, Event::METRIC_RESTS).len(), 1, "told once");
    // Each 500 ms, and a little more often while its sensor's period was looked for.
    assert!((1200..1260).contains(&values(&records, Metric::TEMPERATURE).count()));
    let reason = sampler.frame().reason(0, Metric::FAN_SPEED).and_then(Error::code);
    assert_eq!((reason, sampler.frame().latest(0, Metric::FAN_SPEED)), (Some(ReturnCode::UNKNOWN), None));
}

#[test]
fn reading_everything_leaves_out_what_rests() {
    let stage =
        stage(&format!("[[gpu]]\nprocess = []\n{}", fault("nvmlDeviceGetFanSpeed", "return = \"NOT_SUPPORTED\"")));
    let metrics = [Metric::FAN_SPEED, Metric::TEMPERATURE, Metric::TEMPERATURE_MEMORY];
    let mut sampler = stage.builder().metrics(&metrics).build().unwrap();
    control::reset_counters();
    for _ in 0..100 {
        assert_eq!(sampler.sample().latest(0, Metric::TEMPERATURE).map(|record| record.value), Some(40.0));
        control::step(Duration::from_millis(100));
    }
    // This GPU tells no memory temperature either: its batch would be empty.
    assert_eq!(
        ["nvmlDeviceGetFanSpeed", "nvmlDeviceGetFieldValues", "nvmlDeviceGetTemperatureV"].map(control::calls),
        [2, 2, 100]
    );
}

#[test]
fn a_metric_that_is_refused_every_other_time_never_rests() {
    let stage = stage(&format!(
        "[[gpu]]\nprocess = []\nclocks = {{ sm = 1400 }}\n{}",
        fault("nvmlDeviceGetClockInfo", "return = \"UNKNOWN\"\nevery = 2")
    ));
    let cadence = Duration::from_millis(100);
    let mut sampler = stage.builder().metrics(&[Metric::CLOCK_SM]).cadence(Metric::CLOCK_SM, cadence).build().unwrap();
    let records = run(&mut sampler, 20.0);
    assert_eq!(events(&records, Event::METRIC_RESTS), []);
    let got: Vec<&Record> = values(&records, Metric::CLOCK_SM).collect();
    assert_eq!(got.len(), 100);
    assert!(got.iter().all(|record| record.value == 1400.0));
    // What was got before is not called fresh again because a refusal came between.
    assert_eq!(got.iter().filter(|record| record.is_fresh()).count(), 1);
}

#[test]
fn codes_that_no_header_has_are_refusals_like_others() {
    for code in [4711_u32, 999, u32::MAX] {
        let stage = stage(&format!(
            "[[gpu]]\nprocess = []\n{}",
            fault("nvmlDeviceGet*", &format!("return = {code}\nat_s = 5\nuntil_s = 6"))
        ));
        let mut sampler = stage.builder().metrics(&[Metric::TEMPERATURE, Metric::POWER_INSTANT]).build().unwrap();
        let records = run(&mut sampler, 40.0);
        assert_eq!(events(&records, Event::GPU_LOST), [], "code {code}");
        let rests = events(&records, Event::METRIC_RESTS);
        assert_eq!(rests.len(), 2, "code {code}");
        assert!(rests.iter().all(|event| event.value == f64::from(code)), "{rests:?}");
        assert!(sampler.frame().latest(0, Metric::TEMPERATURE).is_some_and(|record| record.at > now() - SECOND));
    }
}

#[test]
fn a_reset_gpu_is_lost_until_the_reset_is_over_and_its_counters_begin_anew() {
    // From 10 to 15 s the driver asks for a reset; the energy counter, 100 J a second before, then begins at zero.
    let mut steps: Vec<String> = (0..10).map(|second| format!("[{second}, {}]", 900_000 + second * 100_000)).collect();
    steps.extend((15..30).map(|second| format!("[{second}, {}]", (second - 15) * 100_000)));
    let stage = stage(&format!(
        "[[gpu]]\ncount = 2\nprocess = []\n[[gpu.field]]\nid = 83\ntype = \"ulonglong\"\nvalue = {{ steps = [{}] }}\n\
         [[gpu_lost]]\ngpu = 0\nat_s = 10\nuntil_s = 15\nreturn = \"RESET_REQUIRED\"\n",
        steps.join(", ")
    ));
    let mut sampler = stage.builder().metrics(&[Metric::ENERGY, Metric::TEMPERATURE]).build().unwrap();
    let records = run(&mut sampler, 30.0);
    let of = |gpu: u16| records.iter().filter(move |record| record.gpu == gpu).copied().collect::<Vec<_>>();
    let lost = events(&of(0), Event::GPU_LOST);
    assert_eq!(lost.iter().map(|event| event.value).collect::<Vec<_>>(), [f64::from(ReturnCode::RESET_REQUIRED.0)]);
    let back = events(&of(0), Event::GPU_BACK);
    assert_eq!(back.len(), 1);
    let after = (back[0].at - 100 * SECOND) as f64 * 1e-9;
    assert!((15.0..=16.1).contains(&after), "back at {after} s");
    let mine = of(0);
    let joules: Vec<&Record> = values(&mine, Metric::ENERGY).collect();
    assert!(joules.windows(2).all(|pair| pair[1].value >= pair[0].value), "energy never goes back");
    assert_eq!(joules.iter().filter(|record| record.flags.contains(Flags::RESET)).count(), 1);
    // 900 J before the reset, 1400 J after it.
    assert_eq!(joules.last().map(|record| record.value), Some(2300.0));
    // Nothing of it concerns the other GPU.
    assert_eq!(events(&of(1), Event::GPU_LOST).len() + events(&of(1), Event::GPU_BACK).len(), 0);
    assert!(values(&of(1), Metric::TEMPERATURE).count() >= 60);
}

type Samples = unsafe extern "C" fn(
    nvmlDevice_t,
    nvmlSamplingType_t,
    c_ulonglong,
    *mut nvmlValueType_t,
    *mut c_uint,
    *mut nvmlSample_t,
) -> nvmlReturn_t;

/// A driver that gives its whole ring again and again, whatever the caller has seen.
fn forgetful(name: &CStr) -> *const c_void {
    unsafe extern "C" fn samples(
        device: nvmlDevice_t,
        kind: nvmlSamplingType_t,
        _last_seen: c_ulonglong,
        value_type: *mut nvmlValueType_t,
        count: *mut c_uint,
        samples: *mut nvmlSample_t,
    ) -> nvmlReturn_t {
        // SAFETY: the simulator's function of this name, with the caller's arguments but one.
        unsafe {
            let own: Samples = std::mem::transmute(nvml_sim::resolve(c"nvmlDeviceGetSamples"));
            own(device, kind, 0, value_type, count, samples)
        }
    }
    if name == c"nvmlDeviceGetSamples" { samples as *const c_void } else { nvml_sim::resolve(name) }
}

#[test]
fn what_a_ring_gives_twice_is_one_record() {
    let scenario = "[[gpu]]\nprocess = []\npower = { draw_w = { ramp = { from = 100, to = 400, period_s = 7 } } }\n";
    let metrics = [Metric::POWER_SAMPLES, Metric::UTILIZATION_GPU_SAMPLES];
    let drained = |resolve| {
        let stage = stage_with(scenario, resolve);
        let mut sampler = stage.builder().metrics(&metrics).build().unwrap();
        let records = run(&mut sampler, 20.0);
        let of = |metric| values(&records, metric).map(|record| (record.at, record.value)).collect::<Vec<_>>();
        assert_eq!(events(&records, Event::SAMPLES_LOST), []);
        metrics.map(of)
    };
    let (honest, twice) = (drained(nvml_sim::resolve), drained(forgetful));
    assert_eq!(honest, twice);
    assert!(honest[0].len() > 900 && honest[1].len() > 100);
    assert!(twice[0].windows(2).all(|pair| pair[0].0 < pair[1].0));
}

/// When the wall clock was set, in its microseconds before, and by how much; `i64::MAX` before that.
static SET_AT_US: AtomicI64 = AtomicI64::new(i64::MAX);
static SET_BY_US: AtomicI64 = AtomicI64::new(0);

/// What the wall clock shows when the simulator's shows this.
fn shown(us: u64) -> u64 {
    if us as i64 >= SET_AT_US.load(Relaxed) { us.wrapping_add_signed(SET_BY_US.load(Relaxed)) } else { us }
}

fn shown_wall() -> u64 {
    shown(control::wall_clock_us())
}

/// A driver whose wall clock is set, as the sampler's is: what it sampled before keeps its stamps.
fn set(name: &CStr) -> *const c_void {
    unsafe extern "C" fn samples(
        device: nvmlDevice_t,
        kind: nvmlSamplingType_t,
        last_seen: c_ulonglong,
        value_type: *mut nvmlValueType_t,
        count: *mut c_uint,
        samples: *mut nvmlSample_t,
    ) -> nvmlReturn_t {
        // SAFETY: the simulator's function of this name, with the caller's arguments but one.
        unsafe {
            let own: Samples = std::mem::transmute(nvml_sim::resolve(c"nvmlDeviceGetSamples"));
            let code = own(device, kind, 0, value_type, count, samples);
            if samples.is_null() || code.0 != 0 {
                return code;
            }
            let all = std::slice::from_raw_parts_mut(samples, *count as usize);
            let mut kept = 0;
            for place in 0..all.len() {
                let stamp = shown(all[place].timeStamp);
                if stamp > last_seen {
                    all[kept] = all[place];
                    all[kept].timeStamp = stamp;
                    kept += 1;
                }
            }
            *count = kept as c_uint;
            if kept == 0 { nvml_sys::NVML_ERROR_NOT_FOUND } else { code }
        }
    }
    unsafe extern "C" fn usage(
        device: nvmlDevice_t,
        samples: *mut nvmlProcessUtilizationSample_t,
        count: *mut c_uint,
        last_seen: c_ulonglong,
    ) -> nvmlReturn_t {
        // SAFETY: the simulator's function of this name, with the caller's arguments but one.
        unsafe {
            let own: unsafe extern "C" fn(
                nvmlDevice_t,
                *mut nvmlProcessUtilizationSample_t,
                *mut c_uint,
                c_ulonglong,
            ) -> nvmlReturn_t = std::mem::transmute(nvml_sim::resolve(c"nvmlDeviceGetProcessUtilization"));
            let code = own(device, samples, count, 0);
            if code.0 == 0 {
                (*samples).timeStamp = shown((*samples).timeStamp);
                if (*samples).timeStamp <= last_seen {
                    return nvml_sys::NVML_ERROR_NOT_FOUND;
                }
            }
            code
        }
    }
    match name.to_bytes() {
        b"nvmlDeviceGetSamples" => samples as *const c_void,
        b"nvmlDeviceGetProcessUtilization" => usage as *const c_void,
        _ => nvml_sim::resolve(name),
    }
}

#[test]
fn what_processes_use_is_read_on_when_the_wall_clock_is_set() {
    for by_s in [3600_i64, -3600] {
        SET_AT_US.store(i64::MAX, Relaxed);
        let stage = stage_with("[[gpu]]\nprocess = [{ pid = \"self\", memory = 7, sm = 40 }]\n", set);
        let clocks = Clocks { monotonic: now, wall_us: shown_wall };
        let mut sampler = stage.builder().clocks(clocks).metrics(&[Metric::PROCESS_SM]).build().unwrap();
        SET_BY_US.store(by_s * 1_000_000, Relaxed);
        SET_AT_US.store(control::wall_clock_us() as i64 + 10_300_000, Relaxed);
        let records = run(&mut sampler, 30.0);
        SET_AT_US.store(i64::MAX, Relaxed);
        let used = values(&records, Metric::PROCESS_SM).count();
        assert!((27..=31).contains(&used), "{used} values where the clock was set by {by_s} s");
    }
}

#[test]
fn a_ring_is_drained_on_when_the_wall_clock_is_set() {
    for by_s in [3600_i64, 5, -1, -5, -3600] {
        let scenario =
            "[[gpu]]\nprocess = []\npower = { draw_w = { ramp = { from = 100, to = 400, period_s = 7 } } }\n";
        SET_AT_US.store(i64::MAX, Relaxed);
        let stage = stage_with(scenario, set);
        let clocks = Clocks { monotonic: now, wall_us: shown_wall };
        let mut sampler = stage.builder().clocks(clocks).metrics(&[Metric::POWER_SAMPLES]).build().unwrap();
        SET_BY_US.store(by_s * 1_000_000, Relaxed);
        SET_AT_US.store(control::wall_clock_us() as i64 + 10_300_000, Relaxed);
        let records = run(&mut sampler, 30.0);
        SET_AT_US.store(i64::MAX, Relaxed);
        assert_eq!(events(&records, Event::CLOCK_STEPPED).len(), 1);
        let samples: Vec<&Record> = values(&records, Metric::POWER_SAMPLES).collect();
        let lost: f64 = events(&records, Event::SAMPLES_LOST).iter().map(|event| event.value).sum();
        // 50 a second, but for those since the last drain; none twice. After a step back that is shorter than the ring
        // the driver gives the same stamps again: that is told.
        let got = samples.len() as f64 + lost;
        assert!((1420.0..=1502.0).contains(&got), "{got} samples where the clock was set by {by_s} s, {lost} lost");
        assert_eq!(lost, if by_s == -1 { 50.0 } else { 0.0 });
        // What is not called ambiguous is where it was, to the record's own word.
        let clear = samples.iter().filter(|sample| !sample.flags.contains(Flags::AMBIGUOUS)).count();
        let off = |sample: &&&Record| {
            let phase = (sample.at - 100 * SECOND) % 20_000_000;
            !sample.flags.contains(Flags::AMBIGUOUS)
                && phase.min(20_000_000 - phase) > u64::from(sample.uncertainty).max(2_000)
        };
        assert_eq!(samples.iter().filter(off).count(), 0, "set by {by_s} s");
        // Those 5 s came twice, give or take the second in which the clock was set.
        assert!(clear > 1100, "{clear} stamps are clear where the clock was set by {by_s} s");
    }
}

#[test]
fn a_process_list_that_grows_is_read_or_told() {
    let stage = stage(&format!(
        "[[gpu]]\nprocess = [{{ pid = \"self\", memory = 7 }}]\n{}",
        fault("nvmlDeviceGetComputeRunningProcesses*", "grow_by = 1")
    ));
    let metrics = [Metric::PROCESS_MEMORY, Metric::TEMPERATURE];
    let mut sampler = stage.builder().metrics(&metrics).process_capacity(8).build().unwrap();
    let records = run(&mut sampler, 60.0);
    let me = values(&records, Metric::PROCESS_MEMORY).filter(|record| record.pid() == Some(std::process::id()));
    assert!(me.count() >= 3, "read while there was room");
    let cut = events(&records, Event::LIST_CUT);
    assert!(cut.len() >= 40, "told {} times", cut.len());
    assert!(cut.windows(2).all(|pair| pair[0].value < pair[1].value), "the list only grows");
    assert!(values(&records, Metric::TEMPERATURE).count() >= 120, "it holds nobody else up");
}

#[test]
fn energy_that_nobody_counted_is_not_made_up() {
    for ring in ["", "samples = { power = { length = 0, period_ms = 20 } }\n"] {
        let stage = stage(&format!(
            "[[gpu]]\nprocess = []\npower = {{ draw_w = 250, energy_refresh_ms = 0 }}\n{ring}\
             [[gpu_lost]]\ngpu = 0\nat_s = 10\nuntil_s = 40\n"
        ));
        let mut sampler = stage.builder().metrics(&[Metric::ENERGY]).build().unwrap();
        let records = run(&mut sampler, 60.0);
        let gap: f64 = events(&records, Event::ENERGY_GAP).iter().map(|event| event.value).sum();
        let joules = values(&records, Metric::ENERGY).last().unwrap().value;
        let known = 250.0 * (60.0 - gap);
        assert!((25.0..=32.0).contains(&gap), "a gap of {gap} s");
        assert!((joules - known).abs() < 250.0 * 1.2, "{joules} J, where {known} J were seen; {ring}");
        let truth = control::truth(0, Quantity::Energy, control::now());
        assert!(joules < truth - 250.0 * 25.0);
    }
}

/// Seconds that the driver spent in drawn latencies of this mean, by its own count of calls.
fn in_driver(driver: &SharedDriver, functions: &[&str], mean_us: f64) -> f64 {
    functions.iter().map(|function| driver.calls(function) as f64 * mean_us * 1e-6).sum()
}

#[test]
fn the_budget_is_kept_when_calls_are_slow() {
    let _turn = turn();
    let functions = [
        "nvmlDeviceGetClockInfo",
        "nvmlDeviceGetTemperatureV",
        "nvmlDeviceGetMemoryInfo_v2",
        "nvmlDeviceGetFieldValues",
    ];
    let mut text = String::from("[[gpu]]\ncount = 2\nprocess = []\n");
    for (seed, function) in functions.iter().enumerate() {
        text += &fault(function, &format!("latency_us = {{ min = 200, max = 3000, seed = {seed} }}"));
    }
    let (driver, nvml) = common::toml(&text);
    let metrics =
        [Metric::CLOCK_SM, Metric::TEMPERATURE, Metric::MEMORY_USED, Metric::POWER_INSTANT, Metric::UTILIZATION_GPU];
    // At these cadences the slow calls would take about two thirds of the time.
    let builder = metrics.iter().fold(Sampler::builder(&nvml).metrics(&metrics), |builder, metric| {
        // An equal share of the budget is 0.1 % here: the one call that is quick keeps within it by far.
        let cheap = *metric == Metric::UTILIZATION_GPU;
        builder.cadence(*metric, Duration::from_millis(if cheap { 100 } else { 20 }))
    });
    let mut sampler = builder.build().unwrap();
    let first = run_really(&mut sampler, 2.0);
    assert!(!events(&first, Event::CADENCE_CHANGED).is_empty());
    driver.reset_counters();
    let records = run_really(&mut sampler, 6.0);
    let share = in_driver(&driver, &functions, 1600.0) / 6.0;
    assert!(share <= 0.02, "{:.2} % of the time in slow calls", share * 100.0);
    // Nothing died of it, and what is cheap keeps its cadence.
    for metric in metrics {
        assert!(values(&records, metric).count() >= 4, "{metric}");
        assert!(sampler.frame().cadence(0, metric).is_some_and(|cadence| cadence < Duration::from_secs(10)));
    }
    // 120 were asked for; how many of them come late is up to how busy the machine is.
    let cheap = values(&records, Metric::UTILIZATION_GPU).count();
    assert!((80..=124).contains(&cheap), "{cheap} values of the cheap call");
    assert_eq!(sampler.frame().cadence(0, Metric::UTILIZATION_GPU), Some(Duration::from_millis(100)));
}

#[test]
fn a_call_that_was_slow_for_a_while_gets_its_cadence_back() {
    let _turn = turn();
    let (driver, nvml) = common::toml("[[gpu]]\nprocess = []\nfans = [40]\n");
    let metrics = [Metric::FAN_SPEED, Metric::TEMPERATURE];
    let cadence = Duration::from_millis(10);
    let builder =
        metrics.iter().fold(Sampler::builder(&nvml).metrics(&metrics), |it, metric| it.cadence(*metric, cadence));
    let mut sampler = builder.build().unwrap();
    run_really(&mut sampler, 0.5);
    assert_eq!(metrics.map(|metric| sampler.frame().cadence(0, metric)), [Some(cadence); 2]);
    driver.add_faults(&fault("nvmlDeviceGetFanSpeed", "latency_us = 1500")).unwrap();
    let slow = run_really(&mut sampler, 1.0);
    let held = sampler.frame().cadence(0, Metric::FAN_SPEED).unwrap();
    assert!(held > Duration::from_millis(80), "{held:?}");
    assert_eq!(sampler.frame().cadence(0, Metric::TEMPERATURE), Some(cadence), "the other lane is not touched");
    assert!(events(&slow, Event::CADENCE_CHANGED).iter().all(|event| event.metric() == Some(Metric::FAN_SPEED)));
    driver.clear_faults();
    let mut after = Vec::new();
    wait_for("the cadence of before", || {
        after.extend(run_really(&mut sampler, 0.1));
        sampler.frame().cadence(0, Metric::FAN_SPEED) == Some(cadence)
    });
    let told = events(&after, Event::CADENCE_CHANGED);
    assert!(told.last().is_some_and(|event| event.value == 0.01), "{told:?}");
}

#[test]
fn looking_for_a_lost_gpu_is_not_held_against_another() {
    let _turn = turn();
    // To be told that GPU 0 is still lost takes 20 ms, once a second.
    let slow = fault("nvmlDeviceGetHandleByIndex_v2", "gpu = 0\nlatency_us = 20_000\nat_s = 0.4");
    let (_driver, nvml) =
        common::toml(&format!("[[gpu]]\ncount = 2\nprocess = []\n[[gpu_lost]]\ngpu = 0\nat_s = 0.5\n{slow}"));
    let metric = Metric::TEMPERATURE;
    let cadence = Duration::from_millis(100);
    let mut sampler = Sampler::builder(&nvml).metrics(&[metric]).cadence(metric, cadence).build().unwrap();
    let records = run_really(&mut sampler, 6.0);
    assert_eq!(events(&records, Event::GPU_LOST).len(), 1);
    assert_eq!(events(&records, Event::CADENCE_CHANGED).iter().filter(|event| event.gpu == 1).count(), 0);
    let other = || values(&records, metric).filter(|record| record.gpu == 1);
    let vague = other().filter(|record| record.uncertainty > 9_000_000).count();
    assert!(vague <= 1 && other().count() >= 50, "{vague} of {} stamps are vague", other().count());
}

fn spawn(driver: &SharedDriver) -> Background {
    let nvml = Nvml::builder().library(driver.path()).load().unwrap();
    let metrics = [Metric::TEMPERATURE, Metric::CLOCK_SM];
    let builder = metrics.iter().fold(Sampler::builder(&nvml).metrics(&metrics).budget(1.0), |builder, metric| {
        builder.cadence(*metric, Duration::from_millis(2))
    });
    builder.build().unwrap().spawn(10_000).unwrap()
}

#[test]
fn a_gpu_that_hangs_shows_in_the_heartbeat_and_takes_nothing_that_was_read() {
    let _turn = turn();
    let (driver, _nvml) = common::toml("[[gpu]]\ncount = 2\nprocess = []\ntemperature = { gpu = 61 }\n");
    let mut background = spawn(&driver);
    wait_for("20 ticks", || background.ticks() >= 20);
    assert!(background.silence() < Duration::from_millis(500));
    driver.add_faults(&fault("nvmlDeviceGetClockInfo", "gpu = 1\nhang = true")).unwrap();
    let begun = Instant::now();
    wait_for("the silence", || background.silence() > Duration::from_millis(40));
    assert!(begun.elapsed() < Duration::from_secs(2), "seen after {:?}", begun.elapsed());
    // One thread for all GPUs: the others stand still too. What was read before is there.
    let ticks = background.ticks();
    let latest = background.latest();
    for gpu in 0..2 {
        let record = latest.read(latest.key(gpu, Metric::TEMPERATURE).unwrap()).unwrap();
        assert!(record.value == 61.0 && record.at < monotonic());
    }
    let mut taken = 0;
    while background.pop().is_some() {
        taken += 1;
    }
    assert!(taken >= 40, "{taken} records");
    assert_eq!((background.ticks(), background.lost()), (ticks, 0));
    let before = Instant::now();
    assert_eq!(background.stop(), Stopped::GivenUp);
    assert!(before.elapsed() < Duration::from_millis(150), "{:?}", before.elapsed());
    // The library's own handle went, but the thread that hangs has one: nothing is shut down under it.
    assert_eq!(driver.shutdowns_in_calls(), 0);
}

#[test]
fn a_hang_that_ends_is_a_slow_call() {
    let _turn = turn();
    let (driver, _nvml) = common::toml("[[gpu]]\nprocess = []\n");
    let mut background = spawn(&driver);
    wait_for("20 ticks", || background.ticks() >= 20);
    driver.add_faults(&fault("nvmlDeviceGetClockInfo", "count = 1\nlatency_us = 400_000")).unwrap();
    wait_for("the silence", || background.silence() > Duration::from_millis(100));
    let ticks = background.ticks();
    wait_for("ticks again", || background.ticks() > ticks + 20);
    // A tick ends within milliseconds again.
    wait_for("a quick heart", || background.silence() < Duration::from_millis(20));
    assert_eq!(background.stop(), Stopped::Ended);
    assert_eq!(driver.calls_after_shutdown(), 0);
}

/// Runs `body` in a forked child; whether it got to its end.
fn in_fork(body: impl FnOnce()) -> bool {
    // SAFETY: the child does no more than to use what it has a copy of, and to end.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "no fork");
    if pid == 0 {
        // SAFETY: takes a number. Whatever hangs, ends.
        unsafe { libc::alarm(20) };
        let done = catch_unwind(AssertUnwindSafe(body)).is_ok();
        // SAFETY: ends the child at once; the harness's clean-up is the parent's.
        unsafe { libc::_exit(i32::from(!done)) };
    }
    let mut status = 0;
    // SAFETY: the child is ours, and the pointer is to a live int.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
}

#[test]
fn a_forked_childs_sampler_answers_errors_and_the_parents_goes_on() {
    let _turn = turn();
    let (driver, nvml) = common::with("hgx-h100", "");
    let metrics: Vec<Metric> = Metric::all().collect();
    let mut sampler = Sampler::builder(&nvml).metrics(&metrics).gpus(&[0, 1]).gpu_info(true).build().unwrap();
    assert!(sampler.sample().latest(1, Metric::TEMPERATURE).is_some());
    let mut background = spawn(&driver);
    wait_for("20 ticks", || background.ticks() >= 20);
    let calls = AtomicU64::new(0);
    let child = in_fork(|| {
        // Its sampler says why there is nothing, and asks the driver nothing. The parent's calls are its own.
        calls.store(driver.total_calls(), Relaxed);
        let frame = sampler.sample();
        let lost = events(frame.records(), Event::GPU_LOST);
        assert_eq!(lost.iter().map(|event| event.gpu).collect::<Vec<_>>(), [0, 1]);
        assert!(lost.iter().all(|event| event.value.is_nan()));
        for gpu in 0..2 {
            assert_eq!(frame.latest(gpu, Metric::TEMPERATURE), None);
            assert_eq!(frame.reason(gpu, Metric::TEMPERATURE), Some(&Error::Forked));
        }
        assert!(frame.infos().iter().all(|info| info.error() == Some(&Error::Forked)));
        for _ in 0..3 {
            sleep(Duration::from_millis(600));
            assert!(values(sampler.tick(monotonic()).records(), Metric::TEMPERATURE).next().is_none());
        }
        // The thread stayed with the parent.
        let ticks = background.ticks();
        assert!(background.silence() > Duration::from_secs(1));
        // What it had put into the ring before can be taken out.
        while background.pop().is_some() {}
        let latest = background.latest();
        assert!(latest.read(latest.key(0, Metric::TEMPERATURE).unwrap()).is_some());
        assert_eq!(background.ticks(), ticks);
        assert_eq!(driver.total_calls(), calls.load(Relaxed), "the child's driver was called");
        // One of the child's own works.
        let own = common::load(driver.path()).unwrap();
        let mut fresh = Sampler::builder(&own).metrics(&[Metric::TEMPERATURE]).build().unwrap();
        assert!(fresh.sample().latest(0, Metric::TEMPERATURE).is_some());
    });
    assert!(child);
    // The parent never noticed.
    let ticks = background.ticks();
    wait_for("20 more ticks", || background.ticks() > ticks + 20);
    while background.pop().is_some_and(|record| record.event().is_none()) {}
    assert_eq!(background.stop(), Stopped::Ended);
    let frame = sampler.sample();
    assert_eq!(events(frame.records(), Event::GPU_LOST), []);
    assert!(frame.latest(1, Metric::TEMPERATURE).is_some() && frame.infos().iter().all(|info| info.error().is_none()));
}

#[test]
fn a_forked_child_can_stop_and_drop_the_parents_background_sampler() {
    let _turn = turn();
    let (driver, nvml) = common::toml("[[gpu]]\nprocess = []\ngpm = { sm = 5 }\n");
    let mut holder = Some(spawn(&driver));
    wait_for("20 ticks", || holder.as_ref().is_some_and(|background| background.ticks() >= 20));
    let mut gpm = Some(Sampler::builder(&nvml).metrics(&[Metric::SM_ACTIVITY]).build().unwrap());
    assert!(in_fork(|| {
        let before = Instant::now();
        assert_eq!(holder.take().map(|mut background| background.stop()), Some(Stopped::GivenUp));
        assert!(before.elapsed() < Duration::from_millis(150), "{:?}", before.elapsed());
        drop(gpm.take());
        assert_eq!((driver.calls("nvmlShutdown"), driver.calls("nvmlGpmSampleFree")), (0, 0));
    }));
    let mut background = holder.take().unwrap();
    let ticks = background.ticks();
    wait_for("20 more ticks", || background.ticks() > ticks + 20);
    assert_eq!(background.stop(), Stopped::Ended);
    drop(gpm);
    assert_eq!(driver.calls("nvmlGpmSampleFree"), 2);
}

/// Where the kernel says whether a GPU sleeps: the simulator's first GPU is at 0000:01:00.0.
const STATUS: &str = "/sys/bus/pci/devices/0000:01:00.0/power/runtime_status";

/// In a child before its program: a `/sys` of its own, in a mount namespace of its own. With rights it needs no user
/// namespace.
fn own_sysfs() -> std::io::Result<()> {
    // SAFETY: these calls take numbers and C strings, and the child has one thread.
    unsafe {
        if libc::unshare(libc::CLONE_NEWNS) != 0 {
            let uid = libc::getuid();
            if libc::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWUSER) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
        }
        let none = std::ptr::null();
        let private = libc::MS_REC | libc::MS_PRIVATE;
        if libc::mount(none, c"/".as_ptr(), none, private, none.cast()) != 0
            || libc::mount(c"tmpfs".as_ptr(), c"/sys".as_ptr(), c"tmpfs".as_ptr(), 0, none.cast()) != 0
        {
            return Err(std::io::Error::last_os_error());
        }
    }
    fs::create_dir_all(STATUS.trim_end_matches("/runtime_status"))?;
    fs::write(STATUS, "active\n")
}

#[test]
fn a_gpu_that_sleeps_is_left_asleep() {
    const TEST: &str = "a_gpu_that_sleeps_is_left_asleep";
    if !common::is_child() {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", TEST, "--nocapture", "--test-threads=1"]).env("IGPU_TEST_CHILD", "1");
        // SAFETY: the child has the one thread that runs this.
        unsafe { command.pre_exec(own_sysfs) };
        match command.output() {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                let error = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success() && said.contains("child: slept and woke"), "{said}\n{error}");
            }
            Err(error) => eprintln!("{TEST} is left out: no mount namespace here ({error})"),
        }
        return;
    }
    let stage = stage("[[gpu]]\nprocess = []\n[[gpu]]\nprocess = []\npci = { bus = 2 }\n");
    let cadence = Duration::from_millis(100);
    let build = |asleep: bool| {
        let builder = stage.builder().metrics(&[Metric::TEMPERATURE]).cadence(Metric::TEMPERATURE, cadence);
        builder.leave_asleep(asleep).build().unwrap()
    };
    let (mut polite, mut rude) = (build(true), build(false));
    let count = |records: &[Record], gpu: u16| values(records, Metric::TEMPERATURE).filter(|it| it.gpu == gpu).count();
    let records = run(&mut polite, 2.0);
    assert_eq!((count(&records, 0), count(&records, 1)), (20, 20), "awake, and one that sysfs does not know");
    fs::write(STATUS, "suspended\n").unwrap();
    control::reset_counters();
    let records = run(&mut polite, 5.0);
    let asleep = events(&records, Event::GPU_ASLEEP);
    assert_eq!(asleep.iter().map(|event| event.gpu).collect::<Vec<_>>(), [0]);
    // The kernel is asked ten times a second, so that a call may come too late.
    assert!(count(&records, 0) <= 1, "{} values of a GPU that sleeps", count(&records, 0));
    assert!((49..=51).contains(&count(&records, 1)));
    assert!(control::calls("nvmlDeviceGetTemperatureV") <= 52);
    assert!(polite.sample().records().iter().all(|record| record.gpu == 1), "all, but what sleeps");
    // Waking up is no call, and no loss.
    for status in ["resuming\n", "active\n"] {
        fs::write(STATUS, status).unwrap();
    }
    let records = run(&mut polite, 2.0);
    assert_eq!(events(&records, Event::GPU_AWAKE).iter().map(|event| event.gpu).collect::<Vec<_>>(), [0]);
    assert!(count(&records, 0) >= 18);
    // Who did not ask for it is told nothing.
    fs::write(STATUS, "suspended\n").unwrap();
    let records = run(&mut rude, 2.0);
    assert_eq!((count(&records, 0), events(&records, Event::GPU_ASLEEP)), (20, Vec::new()));
    println!("child: slept and woke");
}
