//! What the driver gives twice, or stamps by a wall clock that is set; lists that grow; energy that nobody counted.

use super::*;

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
        unsafe { own_samples()(device, kind, 0, value_type, count, samples) }
    }
    if name == c"nvmlDeviceGetSamples" { samples as *const c_void } else { nvml_sim::resolve(name) }
}

#[test]
fn duplicate_samples_give_one_record() {
    let scenario = "[[gpu]]\nprocess = []\npower = { draw_w = { ramp = { from = 100, to = 400, period_s = 7 } } }\n";
    let metrics = [Metric::POWER_SAMPLES, Metric::UTILIZATION_GPU_SAMPLES];
    let drained = |resolve| {
        let sim = sim_with_resolver(scenario, resolve);
        let mut sampler = sim.builder().metrics(&metrics).build().unwrap();
        let records = run(&mut sampler, 20.0);
        let of = |metric| values(&records, metric).map(|record| (record.at, record.value)).collect::<Vec<_>>();
        assert_eq!(events(&records, Event::SAMPLES_DROPPED), []);
        metrics.map(of)
    };
    let (honest, twice) = (drained(nvml_sim::resolve), drained(forgetful));
    assert_eq!(honest, twice);
    assert!(honest[0].len() > 900 && honest[1].len() > 100);
    assert!(twice[0].windows(2).all(|pair| pair[0].0 < pair[1].0));
}

/// A driver that takes 300 ms before it looks at its ring, which goes on meanwhile.
fn waiting(name: &CStr) -> *const c_void {
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
        // SAFETY: the simulator's function of this name, with the caller's arguments.
        unsafe { own_samples()(device, kind, last_seen, value_type, count, samples) }
    }
    if name == c"nvmlDeviceGetSamples" { samples as *const c_void } else { nvml_sim::resolve(name) }
}

#[test]
fn samples_during_call_keep_timestamps() {
    let sim = sim_with_resolver("[[gpu]]\nprocess = []\npower = { draw_w = 200 }\n", waiting);
    let mut sampler = sim.builder().metrics(&[Metric::POWER_SAMPLES]).budget(1.0).build().unwrap();
    let records = run(&mut sampler, 20.0);
    let entries: Vec<_> = values(&records, Metric::POWER_SAMPLES).collect();
    assert!(entries.len() > 900, "{} entries of 20 s at 20 ms", entries.len());
    assert!(entries.iter().all(|record| !record.flags.contains(Flags::AMBIGUOUS) && record.uncertainty < 1_000_000));
    assert!(entries.windows(2).all(|pair| pair[1].at.abs_diff(pair[0].at + 20_000_000) < 20_000));
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
            let code = own_samples()(device, kind, 0, value_type, count, samples);
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
fn process_utilization_survives_clock_step() {
    for by_s in [3600_i64, -3600] {
        let sim = sim_with_resolver("[[gpu]]\nprocess = [{ pid = \"self\", memory_mib = 7, sm_percent = 40 }]\n", set);
        // After the simulator's lock is taken, because the clock is shared with other tests.
        SET_AT_US.store(i64::MAX, Relaxed);
        let clocks = Clocks { wall_us: shown_wall, ..CLOCKS };
        let mut sampler = sim.builder().clocks(clocks).metrics(&[Metric::PROCESS_SM]).build().unwrap();
        SET_BY_US.store(by_s * 1_000_000, Relaxed);
        SET_AT_US.store(control::wall_clock_us() as i64 + 10_300_000, Relaxed);
        let records = run(&mut sampler, 30.0);
        SET_AT_US.store(i64::MAX, Relaxed);
        let used = values(&records, Metric::PROCESS_SM).count();
        assert!((27..=31).contains(&used), "{used} values where the clock was set by {by_s} s");
    }
}

#[test]
fn samples_continue_after_clock_step() {
    for by_s in [3600_i64, 5, -1, -5, -3600] {
        let scenario =
            "[[gpu]]\nprocess = []\npower = { draw_w = { ramp = { from = 100, to = 400, period_s = 7 } } }\n";
        let sim = sim_with_resolver(scenario, set);
        // After the simulator's lock is taken, because the clock is shared with other tests.
        SET_AT_US.store(i64::MAX, Relaxed);
        let clocks = Clocks { wall_us: shown_wall, ..CLOCKS };
        let mut sampler = sim.builder().clocks(clocks).metrics(&[Metric::POWER_SAMPLES]).build().unwrap();
        SET_BY_US.store(by_s * 1_000_000, Relaxed);
        SET_AT_US.store(control::wall_clock_us() as i64 + 10_300_000, Relaxed);
        let records = run(&mut sampler, 30.0);
        SET_AT_US.store(i64::MAX, Relaxed);
        assert_eq!(events(&records, Event::CLOCK_STEPPED).len(), 1);
        let samples: Vec<&Record> = values(&records, Metric::POWER_SAMPLES).collect();
        let lost: f64 = events(&records, Event::SAMPLES_DROPPED).iter().map(|event| event.value).sum();
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
fn growing_process_list_is_reported() {
    let sim = sim(&format!(
        "[[gpu]]\nprocess = [{{ pid = \"self\", memory_mib = 7 }}]\n{}",
        fault("nvmlDeviceGetComputeRunningProcesses*", "extra_processes_per_call = 1")
    ));
    let metrics = [Metric::PROCESS_MEMORY, Metric::TEMPERATURE];
    let mut sampler = sim.builder().metrics(&metrics).process_capacity(8).build().unwrap();
    let records = run(&mut sampler, 60.0);
    let me = values(&records, Metric::PROCESS_MEMORY).filter(|record| record.pid() == Some(std::process::id()));
    assert!(me.count() >= 3, "read while there was room");
    let cut = events(&records, Event::PROCESS_LIST_TRUNCATED);
    assert!(cut.len() >= 40, "told {} times", cut.len());
    assert!(cut.windows(2).all(|pair| pair[0].value < pair[1].value), "the list only grows");
    assert!(values(&records, Metric::TEMPERATURE).count() >= 120, "it holds nobody else up");
}

#[test]
fn process_utilization_overflow_is_retried() {
    let sim = sim(
        "[[gpu]]\nprocess = [{ pid = 4_194_400, count = 8, sm_percent = 1 }, { pid = 4_194_500, count = 4, sm_percent = 1, until_s = 30 }]\n",
    );
    let mut sampler = sim.builder().metrics(&[Metric::PROCESS_SM]).process_capacity(8).build().unwrap();
    let records = run(&mut sampler, 29.0);
    let cut = events(&records, Event::PROCESS_LIST_TRUNCATED);
    assert!(cut.len() >= 25 && cut.iter().all(|event| event.value == 12.0), "{cut:?}");
    assert_eq!((values(&records, Metric::PROCESS_SM).count(), events(&records, Event::METRIC_SUSPENDED).len()), (0, 0));
    // Once there are no more than there is room for, all are read, within seconds.
    let later = run(&mut sampler, 10.0);
    let mut pids: Vec<u32> = values(&later, Metric::PROCESS_SM).filter_map(Record::pid).collect();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids, (4_194_400..4_194_408).collect::<Vec<_>>());
}

#[test]
fn energy_while_lost_is_gap() {
    for ring in ["", "sample_buffers = { power = { capacity = 0, period_ms = 20 } }\n"] {
        let sim = sim(&format!(
            "[[gpu]]\nprocess = []\npower = {{ draw_w = 250, energy_refresh_ms = 0 }}\n{ring}\
             [[gpu_lost]]\ngpu = 0\nfrom_s = 10\nuntil_s = 40\n"
        ));
        let mut sampler = sim.builder().metrics(&[Metric::ENERGY]).build().unwrap();
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
