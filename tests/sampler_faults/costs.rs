//! Slow calls, and the budget.

use super::*;

/// Calls that take from 200 to 3000 µs of the stepped clock, and what they took in all, ns.
const DEAR: [&CStr; 4] = [
    c"nvmlDeviceGetPowerUsage",
    c"nvmlDeviceGetFanSpeed",
    c"nvmlDeviceGetCurrPcieLinkWidth",
    c"nvmlDeviceGetPcieReplayCounter",
];
static SPENT: AtomicU64 = AtomicU64::new(0);

fn dear(name: &CStr) -> *const c_void {
    type Call = unsafe extern "C" fn(nvmlDevice_t, *mut c_uint) -> nvmlReturn_t;
    unsafe extern "C" fn call<const PLACE: usize>(device: nvmlDevice_t, value: *mut c_uint) -> nvmlReturn_t {
        static DRAWN: AtomicU64 = AtomicU64::new(1);
        let before = DRAWN.load(Relaxed);
        let drawn = before.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        DRAWN.store(drawn, Relaxed);
        let took = Duration::from_micros(200 + (drawn >> 33) % 2801);
        SPENT.fetch_add(took.as_nanos() as u64, Relaxed);
        control::step(took);
        // SAFETY: the simulator's function of this name has this signature; the arguments are the caller's.
        unsafe { std::mem::transmute::<*const c_void, Call>(nvml_sim::resolve(DEAR[PLACE]))(device, value) }
    }
    let calls: [Call; DEAR.len()] = [call::<0>, call::<1>, call::<2>, call::<3>];
    match DEAR.iter().position(|dear| *dear == name) {
        Some(place) => calls[place] as *const c_void,
        None => nvml_sim::resolve(name),
    }
}

#[test]
fn budget_is_kept_with_slow_calls() {
    let sim = sim_with_resolver("[[gpu]]\ncount = 2\nprocess = []\nfan_speed_percent = [40]\n", dear);
    let metrics = [
        Metric::POWER_USAGE,
        Metric::FAN_SPEED,
        Metric::PCIE_LINK_WIDTH,
        Metric::PCIE_REPLAYS,
        Metric::UTILIZATION_GPU,
    ];
    // At these cadences the slow calls would take about two thirds of the time.
    let builder = metrics.iter().fold(sim.builder().metrics(&metrics), |builder, metric| {
        let cheap = *metric == Metric::UTILIZATION_GPU;
        builder.interval(*metric, Duration::from_millis(if cheap { 100 } else { 20 }))
    });
    let mut sampler = builder.build().unwrap();
    let first = run(&mut sampler, 2.0);
    assert!(!events(&first, Event::POLL_INTERVAL_CHANGED).is_empty());
    SPENT.store(0, Relaxed);
    let records = run(&mut sampler, 60.0);
    let share = SPENT.load(Relaxed) as f64 * 1e-9 / 60.0;
    assert!((0.005..=0.012).contains(&share), "{:.2} % of the time in slow calls", share * 100.0);
    // Nothing died of it, and what is cheap keeps its cadence.
    for metric in metrics {
        assert!(values(&records, metric).count() >= 40, "{metric}");
        assert!(sampler.frame().poll_interval(0, metric).is_some_and(|cadence| cadence < Duration::from_secs(10)));
    }
    let cheap = values(&records, Metric::UTILIZATION_GPU).count();
    assert!((1196..=1202).contains(&cheap), "{cheap} values of the cheap call in 60 s at 100 ms of 2 GPUs");
    assert_eq!(sampler.frame().poll_interval(0, Metric::UTILIZATION_GPU), Some(Duration::from_millis(100)));
}

#[test]
fn slow_call_regains_its_interval() {
    let sim = sim("cpu_time_us = { 'nvmlDeviceGet*' = 20 }\n[[gpu]]\nprocess = []\nfan_speed_percent = [40]\n");
    let metrics = [Metric::FAN_SPEED, Metric::TEMPERATURE];
    let cadence = Duration::from_millis(10);
    let builder = metrics.iter().fold(sim.builder().metrics(&metrics), |it, metric| it.interval(*metric, cadence));
    let mut sampler = builder.build().unwrap();
    run(&mut sampler, 0.5);
    assert_eq!(metrics.map(|metric| sampler.frame().poll_interval(0, metric)), [Some(cadence); 2]);
    control::add_faults(&fault("nvmlDeviceGetFanSpeed", "latency_us = 1500")).unwrap();
    let slow = run(&mut sampler, 1.0);
    // 1.52 ms of the 0.8 % that the other lane leaves of the budget, and a fifth of room.
    let held = sampler.frame().poll_interval(0, Metric::FAN_SPEED).unwrap();
    assert_eq!(held.as_millis(), 228);
    assert_eq!(sampler.frame().poll_interval(0, Metric::TEMPERATURE), Some(cadence), "the other lane is not touched");
    assert!(events(&slow, Event::POLL_INTERVAL_CHANGED).iter().all(|event| event.metric() == Some(Metric::FAN_SPEED)));
    control::clear_faults();
    // Three quick calls are believed.
    let after = run(&mut sampler, 1.0);
    assert_eq!(sampler.frame().poll_interval(0, Metric::FAN_SPEED), Some(cadence));
    let told = events(&after, Event::POLL_INTERVAL_CHANGED);
    assert!(told.last().is_some_and(|event| event.value == 0.01), "{told:?}");
}

/// How long a look for GPU 0 takes of the stepped clock, ms.
static LOOK_MS: AtomicU64 = AtomicU64::new(0);

fn slow_to_look(name: &CStr) -> *const c_void {
    unsafe extern "C" fn look(index: c_uint, device: *mut nvmlDevice_t) -> nvmlReturn_t {
        if index == 0 {
            control::step(Duration::from_millis(LOOK_MS.load(Relaxed)));
        }
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
fn lost_gpu_lookup_delays_no_other() {
    let sim =
        sim_with_resolver("[[gpu]]\ncount = 2\nprocess = []\n[[gpu_lost]]\ngpu = 0\nfrom_s = 0.5\n", slow_to_look);
    let metric = Metric::TEMPERATURE;
    let cadence = Duration::from_millis(100);
    LOOK_MS.store(0, Relaxed);
    let mut sampler = sim.builder().metrics(&[metric]).interval(metric, cadence).build().unwrap();
    // To be told that GPU 0 is still lost takes 20 ms, once a second.
    LOOK_MS.store(20, Relaxed);
    let records = run(&mut sampler, 60.0);
    assert_eq!(events(&records, Event::GPU_LOST).len(), 1);
    assert_eq!(events(&records, Event::POLL_INTERVAL_CHANGED).iter().filter(|event| event.gpu == 1).count(), 0);
    let other = || values(&records, metric).filter(|record| record.gpu == 1);
    assert_eq!(other().filter(|record| record.uncertainty > 0).count(), 0, "stamps are vague");
    assert!((599..=601).contains(&other().count()), "{} values in 60 s at 100 ms", other().count());
}

#[test]
fn slow_lost_gpu_lookup_is_rare() {
    let sim = sim_with_resolver("[[gpu]]\nprocess = []\n[[gpu_lost]]\ngpu = 0\nfrom_s = 3\n", slow_to_look);
    LOOK_MS.store(1500, Relaxed);
    let mut sampler = sim.builder().metrics(&[Metric::TEMPERATURE]).build().unwrap();
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
