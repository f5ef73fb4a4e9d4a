//! Tests of the sampler's schedule with the simulator's stepped clock: intervals, early and late ticks, missed
//! deadlines, and the reasons for which metrics are not sampled.

#[path = "common/sim.rs"]
mod sim;

use std::time::Duration;

use igpu::{
    Error, ReturnCode,
    metric::Metric,
    sampler::{DEFAULT_METRICS, Sampler, UnsampledReason},
};
use nvml_sim::control;
use sim::{SECOND, now, run, sim, values};

const MS: u64 = 1_000_000;
const METRIC: Metric = Metric::TEMPERATURE;
const GPU: &str = "[[gpu]]\nprocess = []\ntemperature = { gpu_c = 40 }\n";

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Ticks at this time, and returns the number of values that were read.
fn tick_at(sampler: &mut Sampler, time: u64) -> usize {
    control::step(Duration::from_nanos(time - now()));
    values(sampler.tick(time).records(), METRIC).count()
}

/// Returns a sampler of the temperature at an interval of 100 ms, and the time of its first tick.
fn started(sim: &sim::InProcessSim) -> (Sampler, u64) {
    let mut sampler = sim.builder().metrics(&[METRIC]).interval(METRIC, ms(100)).build().unwrap();
    let begin = now();
    assert_eq!(tick_at(&mut sampler, begin), 1);
    (sampler, begin)
}

#[test]
fn jittered_ticks_read_every_interval() {
    // Jitter of ±1 µs, and of ±4 % of the interval, in an irregular order.
    for jitter in [1_000, 4 * MS] {
        let sim = sim(GPU);
        let (mut sampler, begin) = started(&sim);
        for tick in 1..=1_000_u64 {
            let time = begin + tick * 100 * MS + tick * tick * 7 % 11 * jitter / 5 - jitter;
            assert_eq!(tick_at(&mut sampler, time), 1, "tick {tick}, jitter {jitter} ns");
        }
        assert_eq!(sampler.missed_deadlines(), 0);
        drop(sampler);
    }
}

#[test]
fn early_ticks_keep_rate_and_phase() {
    // The time between two ticks is 99 % of the interval, so about one tick in a hundred reads nothing.
    let sim = sim(GPU);
    let (mut sampler, begin) = started(&sim);
    let ticks = 10_000_u64;
    let reads: usize = (1..=ticks).map(|tick| tick_at(&mut sampler, begin + tick * 99 * MS)).sum();
    assert!(reads.abs_diff(9_900) <= 1, "{reads} reads of 9900 deadlines");
    assert_eq!(sampler.missed_deadlines(), 0);
    // The deadlines are still multiples of the interval after the first tick.
    assert_eq!((sampler.next_due() - begin) % (100 * MS), 0);
}

#[test]
fn frequent_ticks_read_at_nearest_deadline() {
    let sim = sim(GPU);
    let (mut sampler, begin) = started(&sim);
    // Deadlines are at multiples of 100 ms, and ticks at multiples of 7 ms.
    let mut read_at = Vec::new();
    for tick in 1..=1_000 {
        let time = begin + tick * 7 * MS;
        if tick_at(&mut sampler, time) > 0 {
            read_at.push(time - begin);
        }
    }
    assert_eq!(read_at.len(), 70);
    for (deadline, time) in (1..).map(|count| count * 100 * MS).zip(read_at) {
        assert!(time.abs_diff(deadline) < 7 * MS / 2 + MS, "{time} ns for the deadline at {deadline} ns");
    }
}

#[test]
fn distant_deadline_is_not_read_early() {
    let sim = sim(GPU);
    let (mut sampler, begin) = started(&sim);
    // The next tick is assumed to follow after 85 ms, but the deadline is further away than an eighth of the interval.
    assert_eq!(tick_at(&mut sampler, begin + 85 * MS), 0);
    assert_eq!(sampler.next_due(), begin + 100 * MS);
    assert_eq!(tick_at(&mut sampler, begin + 100 * MS), 1);
    // After 88 ms, the deadline is close enough.
    assert_eq!(tick_at(&mut sampler, begin + 188 * MS), 1);
    assert_eq!(sampler.next_due(), begin + 300 * MS);
}

#[test]
fn late_read_misses_whole_intervals() {
    let sim = sim(GPU);
    let (mut sampler, begin) = started(&sim);
    let mut missed_after = |time: u64| {
        assert_eq!(tick_at(&mut sampler, begin + time), 1, "at {time} ns");
        (sampler.missed_deadlines(), (sampler.next_due() - begin) / MS)
    };
    assert_eq!(missed_after(199 * MS + 999_999), (0, 200), "late by less than an interval");
    assert_eq!(missed_after(300 * MS), (1, 400), "late by one interval");
    assert_eq!(missed_after(400 * MS), (1, 500));
    assert_eq!(missed_after(850 * MS), (4, 900), "late by 3.5 intervals");
    assert_eq!(missed_after(900 * MS), (4, 1_000));
}

#[test]
fn missed_deadlines_count_shared_calls_once() {
    let sim = sim(&format!("{GPU}utilization = {{ gpu_percent = 30, memory_percent = 20 }}\n"));
    let metrics = [Metric::UTILIZATION_GPU, Metric::UTILIZATION_MEMORY];
    let builder =
        metrics.iter().fold(sim.builder().metrics(&metrics), |builder, metric| builder.interval(*metric, ms(100)));
    let mut sampler = builder.build().unwrap();
    sampler.tick(now());
    control::step(ms(250));
    sampler.tick(now());
    assert_eq!(sampler.missed_deadlines(), 1);
}

#[test]
fn unavailable_time_misses_no_deadlines() {
    let sim = sim(&format!(
        "{GPU}[[gpu_lost]]\ngpu = 0\nfrom_s = 5\nuntil_s = 9\n\
         [[fault]]\nfunction = \"nvmlDeviceGetTemperature*\"\nreturn = \"UNKNOWN\"\nfrom_s = 15\nuntil_s = 16\n"
    ));
    let (mut sampler, _) = started(&sim);
    let records = run(&mut sampler, 60.0);
    assert!(values(&records, METRIC).count() > 200);
    assert_eq!(sampler.missed_deadlines(), 0);
}

#[test]
fn sample_keeps_pending_deadlines() {
    let sim = sim(GPU);
    let (mut sampler, begin) = started(&sim);
    for _ in 0..50 {
        control::step(ms(1));
        assert_eq!(values(sampler.sample().records(), METRIC).count(), 1);
    }
    assert_eq!(sampler.next_due(), begin + 100 * MS);
    assert_eq!(tick_at(&mut sampler, begin + 100 * MS), 1);
    assert_eq!(sampler.next_due(), begin + 200 * MS);
}

#[test]
fn exact_interval_ignores_budget() {
    let sim = sim(&format!(
        "cpu_time_us = {{ \"nvmlDeviceGet*\" = 2000 }}\n{GPU}fan_speed_percent = [40]\nclocks = {{ sm_mhz = 1400 }}\n"
    ));
    let (exact, fixed, every_tick) = (Metric::TEMPERATURE, Metric::FAN_SPEED, Metric::CLOCK_SM);
    let builder = sim.builder().metrics(&[exact, fixed, every_tick]);
    let builder = builder.exact_interval(exact, ms(20)).interval(fixed, ms(20)).every_tick(every_tick);
    let mut sampler = builder.build().unwrap();
    for _ in 0..50 {
        sampler.tick(now());
        control::step(ms(20));
    }
    let interval = |metric| sampler.frame().poll_interval(0, metric).unwrap();
    // A call of 2 ms every 20 ms takes ten times the budget of 1 %. The fixed interval is stretched as if the other
    // calls took no time, with a margin of a fifth.
    assert_eq!((interval(exact), interval(fixed), interval(every_tick)), (ms(20), ms(240), ms(0)));
}

#[test]
fn sampler_lists_gpus_and_metrics() {
    let sim = sim("[[gpu]]\ncount = 3\nprocess = []\n");
    let sampler = sim.builder().build().unwrap();
    assert_eq!(sampler.gpus().collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(sampler.metrics(), DEFAULT_METRICS);
    let sampler = sim.builder().gpus(&[2, 0]).metrics(&[Metric::CLOCK_SM, METRIC, METRIC]).build().unwrap();
    assert_eq!(sampler.gpus().collect::<Vec<_>>(), [2, 0]);
    assert_eq!(sampler.metrics(), [Metric::CLOCK_SM, METRIC]);
}

#[test]
fn unsampled_metric_has_reason() {
    let fault = |function, code| format!("[[fault]]\nfunction = \"{function}\"\nreturn = \"{code}\"\n");
    let sim = sim(&format!(
        "[[gpu]]\ncount = 2\nprocess = []\n{}{}[[gpu_lost]]\ngpu = 1\nfrom_s = 2\n",
        fault("nvmlDeviceGetFanSpeed*", "NOT_SUPPORTED"),
        fault("nvmlDeviceGetUtilizationRates", "UNKNOWN"),
    ));
    let metrics = [METRIC, Metric::FAN_SPEED, Metric::UTILIZATION_GPU, Metric::SM_ACTIVITY];
    let mut sampler = sim.builder().metrics(&metrics).build().unwrap();
    run(&mut sampler, 1.5);
    assert_eq!(sampler.reason(0, METRIC), None);
    assert_eq!(sampler.reason(0, Metric::CLOCK_SM), Some(UnsampledReason::NotSelected));
    assert_eq!(sampler.reason(2, METRIC), Some(UnsampledReason::NotSelected));
    let code = |reason: Option<UnsampledReason>| match reason {
        Some(UnsampledReason::NotSupported(error)) => ("not supported", error.code()),
        Some(UnsampledReason::Suspended(error)) => ("suspended", error.code()),
        Some(UnsampledReason::GpuLost(error)) => ("lost", error.code()),
        other => panic!("{other:?}"),
    };
    assert_eq!(code(sampler.reason(0, Metric::FAN_SPEED)), ("not supported", Some(ReturnCode::NOT_SUPPORTED)));
    assert_eq!(code(sampler.reason(0, Metric::SM_ACTIVITY)).0, "not supported");
    assert_eq!(code(sampler.reason(1, Metric::UTILIZATION_GPU)), ("suspended", Some(ReturnCode::UNKNOWN)));
    run(&mut sampler, 1.5);
    for metric in [METRIC, Metric::FAN_SPEED] {
        assert_eq!(code(sampler.reason(1, metric)), ("lost", Some(ReturnCode::GPU_IS_LOST)));
        assert_ne!(sampler.reason(0, metric).map(code_name), Some("lost"));
    }
    let text = sampler.reason(0, Metric::FAN_SPEED).unwrap().to_string();
    assert!(text.starts_with("not supported: nvmlDeviceGetFanSpeed"), "{text}");
    assert!(sampler.reason(1, METRIC).as_ref().and_then(UnsampledReason::error).and_then(Error::code).is_some());
}

fn code_name(reason: UnsampledReason) -> &'static str {
    if matches!(reason, UnsampledReason::GpuLost(_)) { "lost" } else { "other" }
}

#[test]
fn single_error_keeps_metric_sampled() {
    let sim = sim(GPU);
    let (mut sampler, begin) = started(&sim);
    control::add_faults("[[fault]]\nfunction = \"nvmlDeviceGetTemperature*\"\nreturn = \"UNKNOWN\"\ncall_count = 1\n")
        .unwrap();
    assert_eq!(tick_at(&mut sampler, begin + 100 * MS), 0);
    assert_eq!(sampler.reason(0, METRIC), None);
    assert!(sampler.frame().last_error(0, METRIC).is_some());
    assert!(sampler.frame().latest(0, METRIC).is_some_and(|record| record.at < begin + SECOND));
}
