//! Slow calls, and the budget.

use super::*;

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
    assert!((40..=124).contains(&cheap), "{cheap} values of the cheap call");
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
    assert!(vague <= other().count() / 10 && other().count() >= 30, "{vague} of {} stamps are vague", other().count());
}

/// Each look for a GPU takes 1.5 s of the stepped clock.
fn slow_to_look(name: &CStr) -> *const c_void {
    unsafe extern "C" fn look(index: c_uint, device: *mut nvmlDevice_t) -> nvmlReturn_t {
        control::step(Duration::from_millis(1500));
        // SAFETY: the simulator's function has this signature; the arguments are the caller's.
        unsafe {
            let own: unsafe extern "C" fn(c_uint, *mut nvmlDevice_t) -> nvmlReturn_t =
                std::mem::transmute(nvml_sim::resolve(c"nvmlDeviceGetHandleByIndex_v2"));
            own(index, device)
        }
    }
    if name == c"nvmlDeviceGetHandleByIndex_v2" { look as *const c_void } else { nvml_sim::resolve(name) }
}

#[test]
fn a_lost_gpu_is_left_alone_for_a_second_also_when_looking_for_it_takes_longer() {
    let stage = stage_with("[[gpu]]\nprocess = []\n[[gpu_lost]]\ngpu = 0\nat_s = 3\n", slow_to_look);
    let mut sampler = stage.builder().metrics(&[Metric::TEMPERATURE]).build().unwrap();
    control::reset_counters();
    let (mut lost, end) = (0, now() + 52 * SECOND);
    while now() < end {
        lost += events(sampler.tick(now()).records(), Event::GPU_LOST).len();
        control::step(Duration::from_nanos(sampler.next_due().saturating_sub(now()).max(1)));
    }
    assert_eq!(lost, 1);
    // A look each 2.5 s.
    let looks = control::calls("nvmlDeviceGetHandleByIndex_v2");
    assert!((18..=20).contains(&looks), "{looks} looks");
}
