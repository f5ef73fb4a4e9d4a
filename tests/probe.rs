//! What a probe finds against what the scenario declares: periods, windows, rings, costs, and the plan that a sampler
//! follows. On the stepped clock, so that what is found is the same each time.

#[path = "common/sim.rs"]
mod sim;

use std::time::Duration;

use igpu::{
    Error, ReturnCode,
    metric::Metric,
    probe::{
        Averaging, CallReport, ChangePattern, GpuReport, IntervalReason, Plan, Probe, SampleBufferReport, SensorReport,
    },
};
use nvml_sim::control;
use sim::{CLOCKS, InProcessSim, run, sim, sim_from_scenario};

/// The declared truth of the test that compares all of it.
const DECLARED: &str = r#"
missing_functions = ["nvmlDeviceGetDecoderUtilization"]

[driver.cpu_time_us]
nvmlDeviceGetPowerUsage = 100
nvmlDeviceGetFanSpeed = 50
nvmlDeviceGetComputeRunningProcesses_v3 = 5000

[[gpu]]
count = 2
phase_offset_s = 1.5
fan_speed_percent = [{ sine = { mean = 50, amplitude = 30, period_s = 9 } }]
utilization = { refresh_ms = 167, gpu_percent = { sine = { mean = 50, amplitude = 45, period_s = 1.9 } } }
temperature = { refresh_ms = 200, gpu_c = 41 }
clocks = { refresh_ms = 50, sm_mhz = { sine = { mean = 1500, amplitude = 300, period_s = 1.7 } } }

[gpu.power]
draw_w = { sum = [{ square = { low = 120, high = 300, period_s = 3 } }, { sine = { mean = 0, amplitude = 9, period_s = 0.73 } }] }
refresh_ms = 100
window_ms = 1000
instant_refresh_ms = 100
instant_window_ms = 25
energy_refresh_ms = 40

[gpu.sample_buffers]
power = { capacity = 120, period_ms = 20 }
utilization = { capacity = 72, period_ms = 167 }
clocks = { capacity = 0, period_ms = 200 }
"#;

fn probe(sim: &InProcessSim) -> Probe {
    Probe::new(&sim.nvml).clocks(CLOCKS)
}

fn call<'a>(gpu: &'a GpuReport, name: &str) -> &'a CallReport {
    gpu.calls.iter().find(|call| call.name == name).expect(name)
}

fn sensor(gpu: &GpuReport, metric: Metric) -> &SensorReport {
    gpu.sensors.iter().find(|sensor| sensor.metric == metric.name()).unwrap_or_else(|| panic!("no {metric}"))
}

fn ring<'a>(gpu: &'a GpuReport, kind: &str) -> &'a SampleBufferReport {
    gpu.sample_buffers.iter().find(|ring| ring.kind == kind).expect(kind)
}

fn cadence_us(plan: &Plan, gpu: usize, metric: Metric) -> (u64, IntervalReason) {
    let planned = plan.gpus[gpu]
        .metrics
        .iter()
        .find(|planned| planned.metric == metric.name())
        .unwrap_or_else(|| panic!("no {metric}"));
    (planned.interval_us, planned.reason)
}

#[test]
fn probe_finds_scenario_values() {
    let sim = sim(DECLARED);
    let mut told = Vec::new();
    let probe = probe(&sim).duration(Duration::from_secs(7)).max_calls(200);
    let report = probe.run(|progress| told.push(progress.fraction)).unwrap();
    let took = report.duration_s;
    assert!((7.0..7.1).contains(&took), "{took} s");
    assert!(told.is_sorted() && told.iter().all(|part| (0.0..=1.0).contains(part)) && told.len() > 100);
    assert_eq!(report.gpus.len(), 2);
    for gpu in &report.gpus {
        assert_eq!((gpu.error.as_ref(), gpu.name.as_deref()), (None, Some("NVIDIA Simulated GPU")));
        for (metric, period) in [
            (Metric::POWER_USAGE, 100.0),
            (Metric::POWER_AVERAGE, 100.0),
            (Metric::POWER_INSTANT, 100.0),
            (Metric::ENERGY, 40.0),
            (Metric::UTILIZATION_GPU, 167.0),
            (Metric::CLOCK_SM, 50.0),
        ] {
            let found = sensor(gpu, metric);
            let error = found.period_ms.map_or(f64::INFINITY, |found| (found / period - 1.0).abs());
            assert!(error < 0.1, "{metric} refreshes each {period} ms: {found:?}");
            assert_eq!(found.change_pattern, ChangePattern::Periodic);
        }
        for metric in [Metric::POWER_USAGE, Metric::POWER_AVERAGE] {
            let Averaging::Window { window_ms } = sensor(gpu, metric).averaging else {
                panic!("{:?}", sensor(gpu, metric));
            };
            assert!(window_ms.abs_diff(1000) <= 100, "{window_ms} ms");
        }
        assert_eq!(sensor(gpu, Metric::POWER_INSTANT).averaging, Averaging::WithinPeriod);
        // What stands is unknown, whatever period it has; a memory that never changes too.
        let still = sensor(gpu, Metric::TEMPERATURE);
        assert_eq!((still.period_ms, still.change_pattern, still.changes), (None, ChangePattern::Constant, 0));
        assert!(gpu.utilization_percent.is_some_and(|utilization| (40.0..60.0).contains(&utilization)));

        for call in gpu.calls.iter().filter(|call| call.supported) {
            let times = [call.p50_ns, call.p99_ns, call.max_ns].map(Option::unwrap);
            assert!(times.is_sorted() && (1..=200).contains(&call.calls), "{call:?}");
        }
        let missing = call(gpu, "decoder_utilization");
        assert_eq!((missing.supported, missing.calls, missing.p50_ns), (false, 0, None));
        assert_eq!(missing.error, Some(Error::MissingSymbol { symbol: "nvmlDeviceGetDecoderUtilization" }));
        let refused = call(gpu, "total_ecc_errors");
        assert_eq!(refused.error.as_ref().and_then(Error::code), Some(ReturnCode::NOT_SUPPORTED));
        assert_eq!((refused.calls, refused.failed_calls), (0, 3), "asked three times, then left alone");

        for (kind, length, period) in
            [("TOTAL_POWER", 120, 20.0), ("GPU_UTILIZATION", 72, 167.0), ("MEMORY_UTILIZATION", 72, 167.0)]
        {
            let found = ring(gpu, kind);
            assert_eq!((found.supported, found.capacity, found.entry_count), (true, Some(length), length), "{kind}");
            assert_eq!(found.period_ms, Some(period), "{kind}");
            assert_eq!(found.span_ms, Some(period * f64::from(length)), "{kind}");
        }
        let none = ring(gpu, "PROCESSOR_CLOCK");
        assert_eq!((none.supported, none.entry_count), (false, 0));
    }
    the_plan_follows(&report.plan);
    a_sampler_takes_the_plan(&sim, &report.plan);
    assert_eq!(control::max_in_flight(), 1);
}

#[test]
fn latencies_match_scenario() {
    let sim = sim(DECLARED);
    let report = probe(&sim).duration(Duration::from_millis(500)).run(|_| ()).unwrap();
    for gpu in &report.gpus {
        let ns = |name: &str| call(gpu, name).p50_ns;
        let costs = ["power_usage", "fan_speed", "compute_processes", "uuid"].map(ns);
        assert_eq!(costs, [100_000, 50_000, 5_000_000, 0].map(Some));
        // A dear call is made less often, so that the cheap ones are made at all.
        let calls = |name: &str| call(gpu, name).calls;
        assert!(calls("compute_processes") < 10 && calls("compute_processes") < calls("uuid"));
    }
}

fn the_plan_follows(plan: &Plan) {
    for gpu in 0..2 {
        for (metric, half) in [(Metric::POWER_INSTANT, 50_000), (Metric::ENERGY, 20_000), (Metric::CLOCK_SM, 25_000)] {
            let (cadence, because) = cadence_us(plan, gpu, metric);
            assert!(cadence.abs_diff(half) <= half / 10 && because == IntervalReason::Sensor, "{metric}: {cadence} µs");
        }
        assert_eq!(cadence_us(plan, gpu, Metric::TEMPERATURE), (500_000, IntervalReason::Default));
        assert_eq!(cadence_us(plan, gpu, Metric::POWER_SAMPLES), (1_000_000, IntervalReason::Default));
        // One call of 100 µs in 50 ms is 0.2 % for each GPU.
        let planned = plan.gpus[gpu].metrics.iter().find(|planned| planned.metric == "gpu.power").unwrap();
        assert!(planned.cost_ns >= 100_000 && plan.gpus[gpu].call_time_share >= 0.001, "{planned:?}");
        assert!(!plan.gpus[gpu].metrics.iter().any(|planned| planned.metric.starts_with("gpu.process")));
        assert!(!plan.gpus[gpu].metrics.iter().any(|planned| planned.metric == "gpu.decoder.utilization"));
    }
    let share: f64 = plan.gpus.iter().map(|gpu| gpu.call_time_share).sum();
    assert!((0.001..=plan.budget).contains(&share), "{share}");
}

fn a_sampler_takes_the_plan(sim: &InProcessSim, plan: &Plan) {
    let mut sampler = sim.builder().plan(plan).unwrap().build().unwrap();
    let frame = sampler.sample();
    assert_eq!(plan.gpus.len(), 2);
    for gpu in &plan.gpus {
        for planned in &gpu.metrics {
            let metric = Metric::from_name(&planned.metric).unwrap();
            let cadence = Duration::from_micros(planned.interval_us);
            assert_eq!(frame.poll_interval(gpu.index, metric), Some(cadence), "{metric} of GPU {}", gpu.index);
            assert!(
                frame.last_error(gpu.index, metric).is_none(),
                "{metric}: {:?}",
                frame.last_error(gpu.index, metric)
            );
        }
    }
    // What is set after the plan replaces it.
    let builder = sim.builder().plan(plan).unwrap().metrics(&[Metric::ENERGY]);
    let sampler = builder.interval(Metric::ENERGY, Duration::from_millis(7)).build().unwrap();
    assert_eq!(sampler.frame().poll_interval(0, Metric::ENERGY), Some(Duration::from_millis(7)));
    assert_eq!(sampler.frame().poll_interval(0, Metric::POWER_INSTANT), None);
}

#[test]
fn slow_calls_are_planned_within_budget() {
    // 20 ms for PCIe throughput as on any driver, and 5 ms for each reading of power.
    let slow = "[[fault]]\nfunction = \"nvmlDeviceGetPowerUsage\"\nlatency_us = 5000";
    let sim = sim_from_scenario("workstation", slow);
    let report = probe(&sim).duration(Duration::from_secs(2)).run(|_| ()).unwrap();
    let took = report.duration_s;
    assert!((2.0..3.5).contains(&took), "{took} s");
    for gpu in &report.gpus {
        assert!(call(gpu, "pcie_throughput(TX)").p50_ns.unwrap() >= 20_000_000);
        assert!((1..=10).contains(&call(gpu, "power_usage").calls), "{:?}", call(gpu, "power_usage"));
        assert!(call(gpu, "memory_info").calls >= 1);
    }
    let power = (0..4).map(|gpu| cadence_us(&report.plan, gpu, Metric::POWER_USAGE));
    assert!(power.clone().all(|(cadence, because)| cadence >= 1_000_000 && because == IntervalReason::Budget));
    assert!(report.plan.gpus.iter().map(|gpu| gpu.call_time_share).sum::<f64>() <= 0.011);
}

#[test]
fn lost_gpu_keeps_other_reports() {
    let sim = sim_from_scenario("workstation", "[[gpu_lost]]\ngpu = 1\nfrom_s = 0.7\n");
    let report = probe(&sim).gpus(&[1, 2]).duration(Duration::from_millis(1500)).run(|_| ()).unwrap();
    let [lost, other] = &report.gpus[..] else { panic!("two GPUs") };
    assert_eq!((lost.index, lost.error.as_ref().and_then(Error::code)), (1, Some(ReturnCode::GPU_IS_LOST)));
    assert!(lost.uuid.is_some() && call(lost, "power_usage").supported && lost.sample_buffers.is_empty());
    assert_eq!((other.index, &other.error), (2, &None));
    assert!(other.sensors.len() > 10 && ring(other, "TOTAL_POWER").entry_count == 120);
    assert!(report.plan.gpus[0].metrics.is_empty() && report.plan.gpus[1].metrics.len() > 10);
    // Gone before it could be opened.
    drop(sim);
    let sim = sim_from_scenario("workstation", "[[gpu_lost]]\ngpu = 0\n");
    let report = probe(&sim).gpus(&[0]).duration(Duration::from_millis(100)).run(|_| ()).unwrap();
    assert_eq!(report.gpus[0].error.as_ref().and_then(Error::code), Some(ReturnCode::GPU_IS_LOST));
}

/// Every third call is refused: with three GPUs asked in turn, those of one and the same GPU.
#[test]
fn intermittently_refused_metric_is_supported() {
    let refusal = "[[fault]]\nfunction = \"nvmlDeviceGetPowerUsage\"\nevery_nth_call = 3\nreturn = \"NOT_SUPPORTED\"";
    let sim = sim_from_scenario("workstation", refusal);
    let report = probe(&sim).gpus(&[0, 1, 2]).duration(Duration::from_millis(800)).run(|_| ()).unwrap();
    for gpu in &report.gpus {
        assert!(call(gpu, "power_usage").supported, "{:?}", call(gpu, "power_usage"));
        assert!(sensor(gpu, Metric::POWER_USAGE).polls > 10, "{:?}", sensor(gpu, Metric::POWER_USAGE));
    }
}

#[test]
fn machine_without_gpus_is_probed() {
    let sim = sim_from_scenario("empty", "");
    let report = probe(&sim).duration(Duration::from_secs(60)).run(|_| ()).unwrap();
    assert!(report.gpus.is_empty() && report.plan.gpus.is_empty());
    assert_eq!(probe(&sim).gpus(&[3]).run(|_| ()).unwrap_err(), Error::InvalidIndex { index: 3, count: 0 });
}

#[test]
fn old_driver_is_probed() {
    let sim = sim_from_scenario("old-driver", "");
    let report = probe(&sim).gpus(&[0]).duration(Duration::from_millis(500)).run(|_| ()).unwrap();
    let gpu = &report.gpus[0];
    assert!(call(gpu, "power_usage").supported && !call(gpu, "power_instant").supported);
    assert!(!gpu.sensors.iter().any(|sensor| sensor.metric == "gpu.power.instant"));
    assert!(sim.builder().gpus(&[0]).plan(&report.plan).unwrap().build().is_ok());
}

#[test]
fn invalid_plans_are_refused() {
    let sim = sim_from_scenario("workstation", "");
    let plan = Plan { version: 1, budget: 0.02, gpus: Vec::new() };
    assert!(sim.builder().plan(&plan).is_ok());
    for (wrong, said) in [
        (Plan { version: 2, ..plan.clone() }, "its version is 2, and this igpu supports version 1"),
        (Plan { budget: f64::NAN, ..plan.clone() }, "the budget is NaN"),
        (Plan { budget: 0.0, ..plan.clone() }, "the budget is 0"),
    ] {
        let error = sim.builder().plan(&wrong).unwrap_err().to_string();
        assert!(error.starts_with("the plan is invalid: ") && error.contains(said), "{error}");
    }
}

/// Sensors of a GPU that all follow their waves every `MS` milliseconds.
const SENSORS: &str = "
utilization = { refresh_ms = MS, gpu_percent = { sine = { mean = 50, amplitude = 45, period_s = 1.9 } } }
[gpu.power]
draw_w = { sine = { mean = 200, amplitude = 90, period_s = 1.7 } }
refresh_ms = MS
window_ms = MS
instant_refresh_ms = MS
instant_window_ms = MS
";

/// Two GPUs that have little in common: one quick sensors and no counter of energy, the other slow ones and GPM.
fn unlike() -> String {
    let quick = "cpu_time_us = { 'nvmlDevice*' = 15, nvmlDeviceGetHandleByIndex_v2 = 0, 'nvmlGpm*' = 15 }
        [[gpu]]
        fan_speed_percent = [40]
        temperature = { refresh_ms = 30, gpu_c = { sine = { mean = 55, amplitude = 30, period_s = 1.1 } } }";
    let slow = "energy_refresh_ms = 0
        [[gpu]]
        gpm = { sm_percent = 50 }";
    [quick, &SENSORS.replace("MS", "60"), slow, &SENSORS.replace("MS", "400")].concat()
}

#[test]
fn sampler_takes_planned_time_share() {
    let sim = sim(&unlike());
    let report = probe(&sim).duration(Duration::from_secs(5)).run(|_| ()).unwrap();
    // What is read each half second where nothing is known can be quick all the same.
    let quick = sensor(&report.gpus[0], Metric::TEMPERATURE).period_ms;
    assert!(quick.is_some_and(|period| (27.0..33.0).contains(&period)), "{quick:?}");
    let mut sampler = sim.builder().plan(&report.plan).unwrap().build().unwrap();
    control::reset_counters();
    run(&mut sampler, 60.0);
    let real = control::total_calls() as f64 * 15e-6 / 60.0;
    let stated: f64 = report.plan.gpus.iter().map(|gpu| gpu.call_time_share).sum();
    for (gpu, half) in [(0, 30), (1, 200)] {
        // Each GPU has its own cadences, whatever the other's sensors do.
        for metric in [Metric::POWER_USAGE, Metric::POWER_INSTANT, Metric::UTILIZATION_GPU] {
            let cadence = sampler.frame().poll_interval(gpu, metric).unwrap().as_millis();
            assert!(cadence.abs_diff(half) <= half / 10, "{metric} of GPU {gpu}: {cadence} ms");
        }
        // Counted, or integrated from the ring of power.
        assert!(sampler.frame().latest(gpu, Metric::ENERGY).is_some());
    }
    assert!((real / stated - 1.0).abs() < 0.02, "{real} of the time, where the plan says {stated}");
}
