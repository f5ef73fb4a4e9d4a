//! Tests of slow driver calls and the budget.

use super::*;

/// The functions whose calls take 200 µs to 3000 µs of the stepped clock.
const SLOW_FUNCTIONS: [&CStr; 4] = [
    c"nvmlDeviceGetPowerUsage",
    c"nvmlDeviceGetFanSpeed",
    c"nvmlDeviceGetCurrPcieLinkWidth",
    c"nvmlDeviceGetPcieReplayCounter",
];
/// The total time of the slow calls in nanoseconds.
static SPENT_NS: AtomicU64 = AtomicU64::new(0);

/// Resolves the slow functions to wrappers that step the clock.
fn resolve_slow_functions(name: &CStr) -> *const c_void {
    type GetReadingFn = unsafe extern "C" fn(nvmlDevice_t, *mut c_uint) -> nvmlReturn_t;
    unsafe extern "C" fn call<const INDEX: usize>(device: nvmlDevice_t, value: *mut c_uint) -> nvmlReturn_t {
        static RANDOM: AtomicU64 = AtomicU64::new(1);
        let last = RANDOM.load(Relaxed);
        let random = last.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        RANDOM.store(random, Relaxed);
        let latency = Duration::from_micros(200 + (random >> 33) % 2801);
        SPENT_NS.fetch_add(latency.as_nanos() as u64, Relaxed);
        control::step(latency);
        // SAFETY: the simulator's function has this signature, and the caller guarantees the arguments.
        unsafe {
            std::mem::transmute::<*const c_void, GetReadingFn>(nvml_sim::resolve(SLOW_FUNCTIONS[INDEX]))(device, value)
        }
    }
    let calls: [GetReadingFn; SLOW_FUNCTIONS.len()] = [call::<0>, call::<1>, call::<2>, call::<3>];
    match SLOW_FUNCTIONS.iter().position(|slow| *slow == name) {
        Some(index) => calls[index] as *const c_void,
        None => nvml_sim::resolve(name),
    }
}

#[test]
fn budget_is_kept_with_slow_calls() {
    let sim = sim_with_resolver("[[gpu]]\ncount = 2\nprocess = []\nfan_speed_percent = [40]\n", resolve_slow_functions);
    let metrics = [
        Metric::POWER_USAGE,
        Metric::FAN_SPEED,
        Metric::PCIE_LINK_WIDTH,
        Metric::PCIE_REPLAYS,
        Metric::UTILIZATION_GPU,
    ];
    // At these intervals, the slow calls would take about two thirds of the time.
    let builder = metrics.iter().fold(sim.builder().metrics(&metrics), |builder, metric| {
        let is_fast = *metric == Metric::UTILIZATION_GPU;
        builder.interval(*metric, Duration::from_millis(if is_fast { 100 } else { 20 }))
    });
    let mut sampler = builder.build().unwrap();
    let first = run(&mut sampler, 2.0);
    assert!(!events(&first, Event::POLL_INTERVAL_CHANGED).is_empty());
    SPENT_NS.store(0, Relaxed);
    let records = run(&mut sampler, 60.0);
    let share = SPENT_NS.load(Relaxed) as f64 * 1e-9 / 60.0;
    assert!((0.005..=0.012).contains(&share), "{:.2} % of the time in slow calls", share * 100.0);
    // All metrics are still read, and the fast call keeps its interval.
    for metric in metrics {
        assert!(values(&records, metric).count() >= 40, "{metric}");
        assert!(sampler.frame().poll_interval(0, metric).is_some_and(|interval| interval < Duration::from_secs(10)));
    }
    let count = values(&records, Metric::UTILIZATION_GPU).count();
    assert!((1196..=1202).contains(&count), "{count} values of the fast call of 2 GPUs in 60 s at 100 ms");
    assert_eq!(sampler.frame().poll_interval(0, Metric::UTILIZATION_GPU), Some(Duration::from_millis(100)));
}

#[test]
fn slow_call_regains_its_interval() {
    let sim = sim("cpu_time_us = { 'nvmlDeviceGet*' = 20 }\n[[gpu]]\nprocess = []\nfan_speed_percent = [40]\n");
    let metrics = [Metric::FAN_SPEED, Metric::TEMPERATURE];
    let interval = Duration::from_millis(10);
    let builder =
        metrics.iter().fold(sim.builder().metrics(&metrics), |builder, metric| builder.interval(*metric, interval));
    let mut sampler = builder.build().unwrap();
    run(&mut sampler, 0.5);
    assert_eq!(metrics.map(|metric| sampler.frame().poll_interval(0, metric)), [Some(interval); 2]);
    control::add_faults(&fault("nvmlDeviceGetFanSpeed", "latency_us = 1500")).unwrap();
    let slow = run(&mut sampler, 1.0);
    // The other poll group leaves 0.8 % of the time to this call of 1.52 ms, less a margin of a fifth.
    let stretched = sampler.frame().poll_interval(0, Metric::FAN_SPEED).unwrap();
    assert_eq!(stretched.as_millis(), 228);
    assert_eq!(
        sampler.frame().poll_interval(0, Metric::TEMPERATURE),
        Some(interval),
        "the other poll group keeps its interval"
    );
    assert!(events(&slow, Event::POLL_INTERVAL_CHANGED).iter().all(|event| event.metric() == Some(Metric::FAN_SPEED)));
    control::clear_faults();
    // Three consecutive fast calls restore the interval.
    let after = run(&mut sampler, 1.0);
    assert_eq!(sampler.frame().poll_interval(0, Metric::FAN_SPEED), Some(interval));
    let changes = events(&after, Event::POLL_INTERVAL_CHANGED);
    assert!(changes.last().is_some_and(|event| event.value == 0.01), "{changes:?}");
}

/// The time in milliseconds that a lookup of GPU 0 takes on the stepped clock.
static LOOKUP_MS: AtomicU64 = AtomicU64::new(0);

/// Resolves the lookup of a GPU to a wrapper that steps the clock for GPU 0.
fn resolve_slow_lookup(name: &CStr) -> *const c_void {
    unsafe extern "C" fn look_up(index: c_uint, device: *mut nvmlDevice_t) -> nvmlReturn_t {
        if index == 0 {
            control::step(Duration::from_millis(LOOKUP_MS.load(Relaxed)));
        }
        // SAFETY: the simulator's function has this signature, and the caller guarantees the arguments.
        unsafe {
            let function: unsafe extern "C" fn(c_uint, *mut nvmlDevice_t) -> nvmlReturn_t =
                std::mem::transmute(nvml_sim::resolve(c"nvmlDeviceGetHandleByIndex_v2"));
            function(index, device)
        }
    }
    if name == c"nvmlDeviceGetHandleByIndex_v2" { look_up as *const c_void } else { nvml_sim::resolve(name) }
}

#[test]
fn lost_gpu_lookup_delays_no_other() {
    let sim = sim_with_resolver(
        "[[gpu]]\ncount = 2\nprocess = []\n[[gpu_lost]]\ngpu = 0\nfrom_s = 0.5\n",
        resolve_slow_lookup,
    );
    let metric = Metric::TEMPERATURE;
    let interval = Duration::from_millis(100);
    LOOKUP_MS.store(0, Relaxed);
    let mut sampler = sim.builder().metrics(&[metric]).interval(metric, interval).build().unwrap();
    // The lookup of the lost GPU 0 takes 20 ms, once per second.
    LOOKUP_MS.store(20, Relaxed);
    let records = run(&mut sampler, 60.0);
    assert_eq!(events(&records, Event::GPU_LOST).len(), 1);
    assert_eq!(events(&records, Event::POLL_INTERVAL_CHANGED).iter().filter(|event| event.gpu == 1).count(), 0);
    let other = || values(&records, metric).filter(|record| record.gpu == 1);
    assert_eq!(other().filter(|record| record.uncertainty > 0).count(), 0, "the timestamps include the lookup");
    assert!((599..=601).contains(&other().count()), "{} values in 60 s at 100 ms", other().count());
}

#[test]
fn slow_lost_gpu_lookup_is_rare() {
    let sim = sim_with_resolver("[[gpu]]\nprocess = []\n[[gpu_lost]]\ngpu = 0\nfrom_s = 3\n", resolve_slow_lookup);
    LOOKUP_MS.store(1500, Relaxed);
    let mut sampler = sim.builder().metrics(&[Metric::TEMPERATURE]).build().unwrap();
    control::reset_counters();
    let (mut lost, end) = (0, now() + 52 * SECOND);
    while now() < end {
        lost += events(sampler.tick(now()).records(), Event::GPU_LOST).len();
        control::step(Duration::from_nanos(sampler.next_due().saturating_sub(now()).max(1)));
    }
    assert_eq!(lost, 1);
    // There is one lookup every 2.5 s.
    let lookups = control::calls("nvmlDeviceGetHandleByIndex_v2");
    assert!((18..=20).contains(&lookups), "{lookups} lookups");
}
