//! Tests that compare the results of a probe with the simulated scenario: refresh periods, averaging windows, sample
//! buffers, latencies, and the plan. A stepped clock makes the results reproducible.

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

/// A scenario with known latencies, refresh periods, averaging windows, and sample buffers.
const FULL_SCENARIO: &str = r#"
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

fn sample_buffer<'a>(gpu: &'a GpuReport, kind: &str) -> &'a SampleBufferReport {
    gpu.sample_buffers.iter().find(|buffer| buffer.kind == kind).expect(kind)
}

fn interval_and_reason(plan: &Plan, gpu: usize, metric: Metric) -> (u64, IntervalReason) {
    let planned = plan.gpus[gpu]
        .metrics
        .iter()
        .find(|planned| planned.metric == metric.name())
        .unwrap_or_else(|| panic!("no {metric}"));
    (planned.interval_us, planned.reason)
}

#[test]
fn probe_finds_scenario_values() {
    let sim = sim(FULL_SCENARIO);
    let mut fractions = Vec::new();
    let probe = probe(&sim).duration(Duration::from_secs(7)).max_calls(200);
    let report = probe.run(|progress| fractions.push(progress.fraction)).unwrap();
    let duration_s = report.duration_s;
    assert!((7.0..7.1).contains(&duration_s), "{duration_s} s");
    assert!(
        fractions.is_sorted()
            && fractions.len() > 100
            && fractions.iter().all(|fraction| (0.0..=1.0).contains(fraction))
    );
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
            assert!(error < 0.1, "{metric} refreshes every {period} ms: {found:?}");
            assert_eq!(found.change_pattern, ChangePattern::Periodic);
        }
        for metric in [Metric::POWER_USAGE, Metric::POWER_AVERAGE] {
            let Averaging::Window { window_ms } = sensor(gpu, metric).averaging else {
                panic!("{:?}", sensor(gpu, metric));
            };
            assert!(window_ms.abs_diff(1000) <= 100, "{window_ms} ms");
        }
        assert_eq!(sensor(gpu, Metric::POWER_INSTANT).averaging, Averaging::WithinPeriod);
        // The period of a constant value is unknown.
        let constant = sensor(gpu, Metric::TEMPERATURE);
        assert_eq!((constant.period_ms, constant.change_pattern, constant.changes), (None, ChangePattern::Constant, 0));
        assert!(gpu.utilization_percent.is_some_and(|utilization| (40.0..60.0).contains(&utilization)));

        for call in gpu.calls.iter().filter(|call| call.supported) {
            let latencies = [call.p50_ns, call.p99_ns, call.max_ns].map(Option::unwrap);
            assert!(latencies.is_sorted() && (1..=200).contains(&call.calls), "{call:?}");
        }
        let missing = call(gpu, "decoder_utilization");
        assert_eq!((missing.supported, missing.calls, missing.p50_ns), (false, 0, None));
        assert_eq!(missing.error, Some(Error::MissingSymbol { symbol: "nvmlDeviceGetDecoderUtilization" }));
        let rejected = call(gpu, "total_ecc_errors");
        assert_eq!(rejected.error.as_ref().and_then(Error::code), Some(ReturnCode::NOT_SUPPORTED));
        assert_eq!((rejected.calls, rejected.failed_calls), (0, 3), "an unsupported call is tried three times");

        for (kind, entry_count, period) in
            [("TOTAL_POWER", 120, 20.0), ("GPU_UTILIZATION", 72, 167.0), ("MEMORY_UTILIZATION", 72, 167.0)]
        {
            let found = sample_buffer(gpu, kind);
            assert_eq!(
                (found.supported, found.capacity, found.entry_count),
                (true, Some(entry_count), entry_count),
                "{kind}"
            );
            assert_eq!(found.period_ms, Some(period), "{kind}");
            assert_eq!(found.span_ms, Some(period * f64::from(entry_count)), "{kind}");
        }
        let unsupported = sample_buffer(gpu, "PROCESSOR_CLOCK");
        assert_eq!((unsupported.supported, unsupported.entry_count), (false, 0));
    }
    check_plan(&report.plan);
    check_sampler_follows_plan(&sim, &report.plan);
    assert_eq!(control::max_in_flight(), 1);
}

#[test]
fn latencies_match_scenario() {
    let sim = sim(FULL_SCENARIO);
    let report = probe(&sim).duration(Duration::from_millis(500)).run(|_| ()).unwrap();
    for gpu in &report.gpus {
        let ns = |name: &str| call(gpu, name).p50_ns;
        let latencies = ["power_usage_mw", "fan_speed", "compute_processes", "uuid"].map(ns);
        assert_eq!(latencies, [100_000, 50_000, 5_000_000, 0].map(Some));
        // The expensive call is made less often, which leaves time for the cheap calls.
        let calls = |name: &str| call(gpu, name).calls;
        assert!(calls("compute_processes") < 10 && calls("compute_processes") < calls("uuid"));
    }
}

fn check_plan(plan: &Plan) {
    for gpu in 0..2 {
        for (metric, half) in [(Metric::POWER_INSTANT, 50_000), (Metric::ENERGY, 20_000), (Metric::CLOCK_SM, 25_000)] {
            let (interval_us, reason) = interval_and_reason(plan, gpu, metric);
            assert!(interval_us.abs_diff(half) <= half / 10, "{metric}: {interval_us} µs");
            assert_eq!(reason, IntervalReason::Sensor, "{metric}");
        }
        assert_eq!(interval_and_reason(plan, gpu, Metric::TEMPERATURE), (500_000, IntervalReason::Default));
        assert_eq!(interval_and_reason(plan, gpu, Metric::POWER_SAMPLES), (1_000_000, IntervalReason::Default));
        // A call of 100 µs every 50 ms takes 0.2 % of the time for each GPU.
        let planned = plan.gpus[gpu].metrics.iter().find(|planned| planned.metric == "gpu.power").unwrap();
        assert!(planned.cost_ns >= 100_000 && plan.gpus[gpu].call_time_share >= 0.001, "{planned:?}");
        assert!(!plan.gpus[gpu].metrics.iter().any(|planned| planned.metric.starts_with("gpu.process")));
        assert!(!plan.gpus[gpu].metrics.iter().any(|planned| planned.metric == "gpu.decoder.utilization"));
    }
    let share: f64 = plan.gpus.iter().map(|gpu| gpu.call_time_share).sum();
    assert!((0.001..=plan.budget).contains(&share), "{share}");
}

fn check_sampler_follows_plan(sim: &InProcessSim, plan: &Plan) {
    let mut sampler = sim.builder().plan(plan).unwrap().build().unwrap();
    let frame = sampler.sample();
    assert_eq!(plan.gpus.len(), 2);
    for gpu in &plan.gpus {
        for planned in &gpu.metrics {
            let metric = Metric::from_name(&planned.metric).unwrap();
            let interval = Duration::from_micros(planned.interval_us);
            assert_eq!(frame.poll_interval(gpu.index, metric), Some(interval), "{metric} of GPU {}", gpu.index);
            assert!(
                frame.last_error(gpu.index, metric).is_none(),
                "{metric}: {:?}",
                frame.last_error(gpu.index, metric)
            );
        }
    }
    // Settings that follow the plan replace the settings of the plan.
    let builder = sim.builder().plan(plan).unwrap().metrics(&[Metric::ENERGY]);
    let sampler = builder.interval(Metric::ENERGY, Duration::from_millis(7)).build().unwrap();
    assert_eq!(sampler.frame().poll_interval(0, Metric::ENERGY), Some(Duration::from_millis(7)));
    assert_eq!(sampler.frame().poll_interval(0, Metric::POWER_INSTANT), None);
}

#[test]
fn slow_calls_are_planned_within_budget() {
    // As with real drivers, a read of the PCIe throughput takes 20 ms. A read of the power takes 5 ms.
    let slow = "[[fault]]\nfunction = \"nvmlDeviceGetPowerUsage\"\nlatency_us = 5000";
    let sim = sim_from_scenario("workstation", slow);
    let report = probe(&sim).duration(Duration::from_secs(2)).run(|_| ()).unwrap();
    let duration_s = report.duration_s;
    assert!((2.0..3.5).contains(&duration_s), "{duration_s} s");
    for gpu in &report.gpus {
        assert!(call(gpu, "pcie_throughput_kb_per_s(TX)").p50_ns.unwrap() >= 20_000_000);
        assert!((1..=10).contains(&call(gpu, "power_usage_mw").calls), "{:?}", call(gpu, "power_usage_mw"));
        assert!(call(gpu, "memory_info").calls >= 1);
    }
    let power = (0..4).map(|gpu| interval_and_reason(&report.plan, gpu, Metric::POWER_USAGE));
    assert!(power.clone().all(|(interval_us, reason)| interval_us >= 1_000_000 && reason == IntervalReason::Budget));
    assert!(report.plan.gpus.iter().map(|gpu| gpu.call_time_share).sum::<f64>() <= 0.011);
}

#[test]
fn lost_gpu_keeps_other_reports() {
    let sim = sim_from_scenario("workstation", "[[gpu_lost]]\ngpu = 1\nfrom_s = 0.7\n");
    let report = probe(&sim).gpus(&[1, 2]).duration(Duration::from_millis(1500)).run(|_| ()).unwrap();
    let [lost, other] = &report.gpus[..] else { panic!("two GPUs") };
    assert_eq!((lost.index, lost.error.as_ref().and_then(Error::code)), (1, Some(ReturnCode::GPU_IS_LOST)));
    assert!(lost.uuid.is_some() && call(lost, "power_usage_mw").supported && lost.sample_buffers.is_empty());
    assert_eq!((other.index, &other.error), (2, &None));
    assert!(other.sensors.len() > 10 && sample_buffer(other, "TOTAL_POWER").entry_count == 120);
    assert!(report.plan.gpus[0].metrics.is_empty() && report.plan.gpus[1].metrics.len() > 10);
    // The GPU is lost before the probe opens it.
    drop(sim);
    let sim = sim_from_scenario("workstation", "[[gpu_lost]]\ngpu = 0\n");
    let report = probe(&sim).gpus(&[0]).duration(Duration::from_millis(100)).run(|_| ()).unwrap();
    assert_eq!(report.gpus[0].error.as_ref().and_then(Error::code), Some(ReturnCode::GPU_IS_LOST));
}

#[test]
fn intermittently_rejected_metric_is_supported() {
    // The driver rejects every third call. If three GPUs were polled in a fixed order, all rejected calls would be to
    // the same GPU.
    let rejection = "[[fault]]\nfunction = \"nvmlDeviceGetPowerUsage\"\nevery_nth_call = 3\nreturn = \"NOT_SUPPORTED\"";
    let sim = sim_from_scenario("workstation", rejection);
    let report = probe(&sim).gpus(&[0, 1, 2]).duration(Duration::from_millis(800)).run(|_| ()).unwrap();
    for gpu in &report.gpus {
        assert!(call(gpu, "power_usage_mw").supported, "{:?}", call(gpu, "power_usage_mw"));
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
    assert!(call(gpu, "power_usage_mw").supported && !call(gpu, "power_instant_mw").supported);
    assert!(!gpu.sensors.iter().any(|sensor| sensor.metric == "gpu.power.instant"));
    assert!(sim.builder().gpus(&[0]).plan(&report.plan).unwrap().build().is_ok());
}

#[test]
fn invalid_plans_are_rejected() {
    let sim = sim_from_scenario("workstation", "");
    let plan = Plan { version: 1, budget: 0.02, gpus: Vec::new() };
    assert!(sim.builder().plan(&plan).is_ok());
    for (invalid, expected) in [
        (Plan { version: 2, ..plan.clone() }, "its version is 2, and this igpu supports version 1"),
        (Plan { budget: f64::NAN, ..plan.clone() }, "the budget is NaN"),
        (Plan { budget: 0.0, ..plan.clone() }, "the budget is 0"),
    ] {
        let error = sim.builder().plan(&invalid).unwrap_err().to_string();
        assert!(error.starts_with("the plan is invalid: ") && error.contains(expected), "{error}");
    }
}

/// A GPU whose sensors of power and utilization refresh every `MS` milliseconds.
const SENSORS: &str = "
utilization = { refresh_ms = MS, gpu_percent = { sine = { mean = 50, amplitude = 45, period_s = 1.9 } } }
[gpu.power]
draw_w = { sine = { mean = 200, amplitude = 90, period_s = 1.7 } }
refresh_ms = MS
window_ms = MS
instant_refresh_ms = MS
instant_window_ms = MS
";

/// Returns a scenario with two different GPUs. The first GPU has fast sensors and no energy counter. The second GPU has
/// slow sensors and supports GPM.
fn different_gpus() -> String {
    let fast = "cpu_time_us = { 'nvmlDevice*' = 15, nvmlDeviceGetHandleByIndex_v2 = 0, 'nvmlGpm*' = 15 }
        [[gpu]]
        fan_speed_percent = [40]
        temperature = { refresh_ms = 30, gpu_c = { sine = { mean = 55, amplitude = 30, period_s = 1.1 } } }";
    let slow = "energy_refresh_ms = 0
        [[gpu]]
        gpm = { sm_percent = 50 }";
    [fast, &SENSORS.replace("MS", "60"), slow, &SENSORS.replace("MS", "400")].concat()
}

#[test]
fn sampler_takes_planned_time_share() {
    let sim = sim(&different_gpus());
    let report = probe(&sim).duration(Duration::from_secs(5)).run(|_| ()).unwrap();
    // The sensor refreshes faster than the default interval of its metric, which is half a second.
    let period_ms = sensor(&report.gpus[0], Metric::TEMPERATURE).period_ms;
    assert!(period_ms.is_some_and(|period| (27.0..33.0).contains(&period)), "{period_ms:?}");
    let mut sampler = sim.builder().plan(&report.plan).unwrap().build().unwrap();
    control::reset_counters();
    run(&mut sampler, 60.0);
    let actual = control::total_calls() as f64 * 15e-6 / 60.0;
    let planned: f64 = report.plan.gpus.iter().map(|gpu| gpu.call_time_share).sum();
    for (gpu, half) in [(0, 30), (1, 200)] {
        // Each GPU has its own intervals.
        for metric in [Metric::POWER_USAGE, Metric::POWER_INSTANT, Metric::UTILIZATION_GPU] {
            let interval_ms = sampler.frame().poll_interval(gpu, metric).unwrap().as_millis();
            assert!(interval_ms.abs_diff(half) <= half / 10, "{metric} of GPU {gpu}: {interval_ms} ms");
        }
        // The energy of the first GPU is integrated from power samples. The energy of the second GPU is that of its
        // counter.
        assert!(sampler.frame().latest(gpu, Metric::ENERGY).is_some());
    }
    assert!((actual / planned - 1.0).abs() < 0.02, "a time share of {actual} instead of {planned}");
}
