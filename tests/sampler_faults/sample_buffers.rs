//! Tests of duplicate samples, steps of the wall clock, growing process lists, and gaps in the energy.

use super::*;

/// Resolves `nvmlDeviceGetSamples` to a function that always returns the whole buffer, and ignores the timestamp of the
/// last sample that the caller has read.
fn resolve_duplicate_samples(name: &CStr) -> *const c_void {
    unsafe extern "C" fn samples(
        device: nvmlDevice_t,
        kind: nvmlSamplingType_t,
        _last_seen: c_ulonglong,
        value_type: *mut nvmlValueType_t,
        count: *mut c_uint,
        samples: *mut nvmlSample_t,
    ) -> nvmlReturn_t {
        // SAFETY: the caller guarantees the arguments. The replaced argument is a number.
        unsafe { simulator_get_samples()(device, kind, 0, value_type, count, samples) }
    }
    if name == c"nvmlDeviceGetSamples" { samples as *const c_void } else { nvml_sim::resolve(name) }
}

#[test]
fn duplicate_samples_give_one_record() {
    let scenario = "[[gpu]]\nprocess = []\npower = { draw_w = { ramp = { from = 100, to = 400, period_s = 7 } } }\n";
    let metrics = [Metric::POWER_SAMPLES, Metric::UTILIZATION_GPU_SAMPLES];
    let run_with = |resolve| {
        let sim = sim_with_resolver(scenario, resolve);
        let mut sampler = sim.builder().metrics(&metrics).build().unwrap();
        let records = run(&mut sampler, 20.0);
        let points = |metric| values(&records, metric).map(|record| (record.at, record.value)).collect::<Vec<_>>();
        assert_eq!(events(&records, Event::SAMPLES_DROPPED), []);
        metrics.map(points)
    };
    let (expected, found) = (run_with(nvml_sim::resolve), run_with(resolve_duplicate_samples));
    assert_eq!(found, expected);
    assert!(expected[0].len() > 900 && expected[1].len() > 100);
    assert!(found[0].windows(2).all(|pair| pair[0].0 < pair[1].0));
}

/// Resolves `nvmlDeviceGetSamples` to a function that waits for 300 ms before it reads the buffer. The driver adds
/// samples in the meantime.
fn resolve_slow_samples(name: &CStr) -> *const c_void {
    unsafe extern "C" fn samples(
        device: nvmlDevice_t,
        kind: nvmlSamplingType_t,
        last_seen: c_ulonglong,
        value_type: *mut nvmlValueType_t,
        count: *mut c_uint,
        samples: *mut nvmlSample_t,
    ) -> nvmlReturn_t {
        if !samples.is_null() {
            control::step(Duration::from_millis(300));
        }
        // SAFETY: the caller guarantees the arguments.
        unsafe { simulator_get_samples()(device, kind, last_seen, value_type, count, samples) }
    }
    if name == c"nvmlDeviceGetSamples" { samples as *const c_void } else { nvml_sim::resolve(name) }
}

#[test]
fn samples_during_call_keep_timestamps() {
    let sim = sim_with_resolver("[[gpu]]\nprocess = []\npower = { draw_w = 200 }\n", resolve_slow_samples);
    let mut sampler = sim.builder().metrics(&[Metric::POWER_SAMPLES]).budget(1.0).build().unwrap();
    let records = run(&mut sampler, 20.0);
    let entries: Vec<_> = values(&records, Metric::POWER_SAMPLES).collect();
    assert!(entries.len() > 900, "{} samples in 20 s at 20 ms", entries.len());
    assert!(entries.iter().all(|record| !record.flags.contains(Flags::AMBIGUOUS) && record.uncertainty < 1_000_000));
    assert!(entries.windows(2).all(|pair| pair[1].at.abs_diff(pair[0].at + 20_000_000) < 20_000));
}

/// The time on the simulator's wall clock at which the test's wall clock is set, in microseconds since 1970, or
/// `i64::MAX` if it is not set.
static SET_AT_US: AtomicI64 = AtomicI64::new(i64::MAX);
/// The step by which the test's wall clock is set, in microseconds.
static SET_BY_US: AtomicI64 = AtomicI64::new(0);

/// Converts a time in microseconds from the simulator's wall clock to the test's wall clock.
fn stepped(us: u64) -> u64 {
    if us as i64 >= SET_AT_US.load(Relaxed) { us.wrapping_add_signed(SET_BY_US.load(Relaxed)) } else { us }
}

/// Returns the time on the test's wall clock in microseconds since 1970.
fn stepped_wall_clock() -> u64 {
    stepped(control::wall_clock_us())
}

/// Resolves the functions that return timestamps to functions that use the test's wall clock. Samples from before the
/// step keep their timestamps.
fn resolve_stepped_clock(name: &CStr) -> *const c_void {
    unsafe extern "C" fn samples(
        device: nvmlDevice_t,
        kind: nvmlSamplingType_t,
        last_seen: c_ulonglong,
        value_type: *mut nvmlValueType_t,
        count: *mut c_uint,
        samples: *mut nvmlSample_t,
    ) -> nvmlReturn_t {
        // SAFETY: the caller guarantees the arguments. The replaced argument is a number.
        unsafe {
            let code = simulator_get_samples()(device, kind, 0, value_type, count, samples);
            if samples.is_null() || code.0 != 0 {
                return code;
            }
            let all = std::slice::from_raw_parts_mut(samples, *count as usize);
            let mut kept = 0;
            for index in 0..all.len() {
                let timestamp = stepped(all[index].timeStamp);
                if timestamp > last_seen {
                    all[kept] = all[index];
                    all[kept].timeStamp = timestamp;
                    kept += 1;
                }
            }
            *count = kept as c_uint;
            if kept == 0 { nvml_sys::NVML_ERROR_NOT_FOUND } else { code }
        }
    }
    unsafe extern "C" fn process_utilization(
        device: nvmlDevice_t,
        samples: *mut nvmlProcessUtilizationSample_t,
        count: *mut c_uint,
        last_seen: c_ulonglong,
    ) -> nvmlReturn_t {
        // SAFETY: the caller guarantees the arguments. The replaced argument is a number.
        unsafe {
            let function: unsafe extern "C" fn(
                nvmlDevice_t,
                *mut nvmlProcessUtilizationSample_t,
                *mut c_uint,
                c_ulonglong,
            ) -> nvmlReturn_t = std::mem::transmute(nvml_sim::resolve(c"nvmlDeviceGetProcessUtilization"));
            let code = function(device, samples, count, 0);
            if code.0 == 0 {
                (*samples).timeStamp = stepped((*samples).timeStamp);
                if (*samples).timeStamp <= last_seen {
                    return nvml_sys::NVML_ERROR_NOT_FOUND;
                }
            }
            code
        }
    }
    match name.to_bytes() {
        b"nvmlDeviceGetSamples" => samples as *const c_void,
        b"nvmlDeviceGetProcessUtilization" => process_utilization as *const c_void,
        _ => nvml_sim::resolve(name),
    }
}

#[test]
fn process_utilization_survives_clock_step() {
    for by_s in [3600_i64, -3600] {
        let sim = sim_with_resolver(
            "[[gpu]]\nprocess = [{ pid = \"self\", memory_mib = 7, sm_percent = 40 }]\n",
            resolve_stepped_clock,
        );
        // The clock is shared with other tests, so it is set only while this test holds the simulator's lock.
        SET_AT_US.store(i64::MAX, Relaxed);
        let clocks = Clocks { wall_us: stepped_wall_clock, ..CLOCKS };
        let mut sampler = sim.builder().clocks(clocks).metrics(&[Metric::PROCESS_SM]).build().unwrap();
        SET_BY_US.store(by_s * 1_000_000, Relaxed);
        SET_AT_US.store(control::wall_clock_us() as i64 + 10_300_000, Relaxed);
        let records = run(&mut sampler, 30.0);
        SET_AT_US.store(i64::MAX, Relaxed);
        let count = values(&records, Metric::PROCESS_SM).count();
        assert!((27..=31).contains(&count), "{count} values with a clock step of {by_s} s");
    }
}

#[test]
fn samples_continue_after_clock_step() {
    for by_s in [3600_i64, 5, -1, -5, -3600] {
        let scenario =
            "[[gpu]]\nprocess = []\npower = { draw_w = { ramp = { from = 100, to = 400, period_s = 7 } } }\n";
        let sim = sim_with_resolver(scenario, resolve_stepped_clock);
        // The clock is shared with other tests, so it is set only while this test holds the simulator's lock.
        SET_AT_US.store(i64::MAX, Relaxed);
        let clocks = Clocks { wall_us: stepped_wall_clock, ..CLOCKS };
        let mut sampler = sim.builder().clocks(clocks).metrics(&[Metric::POWER_SAMPLES]).build().unwrap();
        SET_BY_US.store(by_s * 1_000_000, Relaxed);
        SET_AT_US.store(control::wall_clock_us() as i64 + 10_300_000, Relaxed);
        let records = run(&mut sampler, 30.0);
        SET_AT_US.store(i64::MAX, Relaxed);
        assert_eq!(events(&records, Event::CLOCK_STEPPED).len(), 1);
        let samples: Vec<&Record> = values(&records, Metric::POWER_SAMPLES).collect();
        let dropped: f64 = events(&records, Event::SAMPLES_DROPPED).iter().map(|event| event.value).sum();
        // There are 50 samples per second, except since the last drain, and no duplicates. After a backward step that
        // is shorter than the span of the buffer, the driver returns the same timestamps again. These samples are
        // dropped, and the drop is reported.
        let total = samples.len() as f64 + dropped;
        assert!((1420.0..=1502.0).contains(&total), "{total} samples with a clock step of {by_s} s, {dropped} dropped");
        assert_eq!(dropped, if by_s == -1 { 50.0 } else { 0.0 });
        // The time of a sample that is not ambiguous is correct within its uncertainty.
        let unambiguous = samples.iter().filter(|sample| !sample.flags.contains(Flags::AMBIGUOUS)).count();
        let is_wrong = |sample: &&&Record| {
            let phase = (sample.at - 100 * SECOND) % 20_000_000;
            !sample.flags.contains(Flags::AMBIGUOUS)
                && phase.min(20_000_000 - phase) > u64::from(sample.uncertainty).max(2_000)
        };
        assert_eq!(samples.iter().filter(is_wrong).count(), 0, "step of {by_s} s");
        // At most 5 s occurred twice, plus or minus the second in which the clock was set.
        assert!(unambiguous > 1100, "{unambiguous} unambiguous samples with a clock step of {by_s} s");
    }
}

#[test]
fn growing_process_list_is_reported() {
    let sim = sim(&format!(
        "[[gpu]]\nprocess = [{{ pid = \"self\", memory_mib = 7 }}]\n{}",
        fault("nvmlDeviceGetComputeRunningProcesses*", "extra_processes_per_call = 1")
    ));
    let metrics = [Metric::PROCESS_MEMORY, Metric::TEMPERATURE];
    let mut sampler = sim.builder().metrics(&metrics).process_capacity(8).build().unwrap();
    let records = run(&mut sampler, 60.0);
    let own = values(&records, Metric::PROCESS_MEMORY).filter(|record| record.pid() == Some(std::process::id()));
    assert!(own.count() >= 3, "the list is read while it fits");
    let truncated = events(&records, Event::PROCESS_LIST_TRUNCATED);
    assert!(truncated.len() >= 40, "reported {} times", truncated.len());
    assert!(truncated.windows(2).all(|pair| pair[0].value < pair[1].value), "the list grows");
    assert!(values(&records, Metric::TEMPERATURE).count() >= 120, "the other metric is read as often as before");
}

#[test]
fn process_utilization_overflow_is_retried() {
    let sim = sim(
        "[[gpu]]\nprocess = [{ pid = 4_194_400, count = 8, sm_percent = 1 }, { pid = 4_194_500, count = 4, sm_percent = 1, until_s = 30 }]\n",
    );
    let mut sampler = sim.builder().metrics(&[Metric::PROCESS_SM]).process_capacity(8).build().unwrap();
    let records = run(&mut sampler, 29.0);
    let truncated = events(&records, Event::PROCESS_LIST_TRUNCATED);
    assert!(truncated.len() >= 25 && truncated.iter().all(|event| event.value == 12.0), "{truncated:?}");
    assert_eq!((values(&records, Metric::PROCESS_SM).count(), events(&records, Event::METRIC_SUSPENDED).len()), (0, 0));
    // As soon as all processes fit, they are read within seconds.
    let later = run(&mut sampler, 10.0);
    let mut pids: Vec<u32> = values(&later, Metric::PROCESS_SM).filter_map(Record::pid).collect();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids, (4_194_400..4_194_408).collect::<Vec<_>>());
}

#[test]
fn energy_while_lost_is_gap() {
    for buffer in ["", "sample_buffers = { power = { capacity = 0, period_ms = 20 } }\n"] {
        let sim = sim(&format!(
            "[[gpu]]\nprocess = []\npower = {{ draw_w = 250, energy_refresh_ms = 0 }}\n{buffer}\
             [[gpu_lost]]\ngpu = 0\nfrom_s = 10\nuntil_s = 40\n"
        ));
        let mut sampler = sim.builder().metrics(&[Metric::ENERGY]).build().unwrap();
        let records = run(&mut sampler, 60.0);
        let gap: f64 = events(&records, Event::ENERGY_GAP).iter().map(|event| event.value).sum();
        let joules = values(&records, Metric::ENERGY).last().unwrap().value;
        let known = 250.0 * (60.0 - gap);
        assert!((25.0..=32.0).contains(&gap), "a gap of {gap} s");
        assert!((joules - known).abs() < 250.0 * 1.2, "{joules} J instead of {known} J; {buffer}");
        let truth = control::truth(0, Quantity::Energy, control::now());
        assert!(joules < truth - 250.0 * 25.0);
    }
}
