//! Tests of the sampler against the true values of the simulator. The simulator's stepped clock makes them exact and
//! independent of the machine's speed.

#[path = "common/sim.rs"]
mod sim;

use std::time::Duration;

use igpu::{
    metric::Metric,
    sampler::{Clocks, Event, Flags, Record},
};
use nvml_sim::control::{self, Quantity};
use sim::{CLOCKS, SECOND, events, now, run, sim, values};

const MS: u64 = 1_000_000;

/// Returns the simulated time of a record, in seconds.
fn seconds(record: &Record) -> f64 {
    (record.at - 100 * SECOND) as f64 * 1e-9
}

#[test]
fn estimated_period_is_polled_at_half() {
    for period in [20, 100, 500] {
        let sim = sim(&format!(
            "[[gpu]]\nprocess = []\npower = {{ draw_w = {{ sine = {{ mean = 200, amplitude = 90, period_s = 7.3 }} }}, \
             instant_refresh_ms = {period}, instant_window_ms = {period} }}\n"
        ));
        let mut sampler = sim.builder().metrics(&[Metric::POWER_INSTANT]).build().unwrap();
        run(&mut sampler, 20.0 * period as f64 / 1e3);
        let estimate = sampler.frame().refresh_period(0, Metric::POWER_INSTANT).expect("20 periods are enough");
        let error = estimate.as_secs_f64() * 1e3 / period as f64 - 1.0;
        assert!(error.abs() < 0.1, "a period of {period} ms was estimated as {estimate:?}");
        // Afterward, each refresh results in a fresh value and takes at most two polls.
        let records = run(&mut sampler, 40.0 * period as f64 / 1e3);
        let (fresh, all) =
            (values(&records, Metric::POWER_INSTANT).filter(|record| record.is_fresh()).count(), records.len());
        assert!((38..=41).contains(&fresh), "{fresh} fresh values of 40 refreshes every {period} ms");
        assert!(all <= 90, "{all} polls for 40 refreshes every {period} ms");
    }
}

#[test]
fn constant_signal_has_no_period() {
    let sim = sim("[[gpu]]\nprocess = []\ntemperature = { gpu_c = 41 }\n");
    let mut sampler = sim.builder().metrics(&[Metric::TEMPERATURE]).build().unwrap();
    let records = run(&mut sampler, 60.0);
    assert_eq!(sampler.frame().refresh_period(0, Metric::TEMPERATURE), None);
    assert_eq!(records.iter().filter(|record| record.is_fresh()).count(), 1, "only the first value is fresh");
    assert!(records.iter().all(|record| record.value == 41.0));
    assert_eq!(sampler.frame().poll_interval(0, Metric::TEMPERATURE), Some(Duration::from_millis(500)));
}

const WITH_POWER_BUFFER: &str = "[[gpu]]\nprocess = []\n\
    power = { draw_w = { sine = { mean = 200, amplitude = 90, period_s = 3.1 } } }\n";

#[test]
fn sample_buffer_drains_without_loss() {
    let sim = sim(WITH_POWER_BUFFER);
    let mut sampler = sim.builder().metrics(&[Metric::POWER_SAMPLES]).build().unwrap();
    let records = run(&mut sampler, 30.0);
    let samples: Vec<&Record> = values(&records, Metric::POWER_SAMPLES).collect();
    assert!(events(&records, Event::SAMPLES_DROPPED).is_empty());
    // There is one sample every 20 ms, except in the last second, which may not have been drained yet.
    assert!((1440..=1500).contains(&samples.len()), "{} samples", samples.len());
    for pair in samples.windows(2) {
        let step = pair[1].at - pair[0].at;
        assert!(step.abs_diff(20 * MS) <= 2000, "the distance of two samples is {step} ns");
    }
    for sample in samples {
        assert!(sample.flags.contains(Flags::DRIVER_STAMP) && sample.is_fresh());
        // A sample of the simulator is the mean power since the previous sample.
        let end = Duration::from_nanos(sample.at - 100 * SECOND);
        let joules = |at| control::truth(0, Quantity::Energy, at);
        let truth = (joules(end) - joules(end - Duration::from_millis(20))) / 0.02;
        assert!(
            (sample.value - truth).abs() < 0.01,
            "{} W at {} s instead of {truth} W",
            sample.value,
            seconds(sample)
        );
    }
}

#[test]
fn sample_buffer_overrun_is_reported() {
    let sim = sim(WITH_POWER_BUFFER);
    let metrics = [Metric::POWER_SAMPLES];
    let interval = Duration::from_secs(5);
    let mut sampler = sim.builder().metrics(&metrics).interval(metrics[0], interval).build().unwrap();
    let records = run(&mut sampler, 31.0);
    let dropped: f64 = events(&records, Event::SAMPLES_DROPPED).iter().map(|event| event.value).sum();
    let recorded = values(&records, metrics[0]).count() as f64;
    // Each of the 50 samples per second is either recorded or counted as dropped.
    let last = values(&records, metrics[0]).last().map(seconds).unwrap();
    assert!(dropped > 0.0);
    assert!((last * 50.0 - recorded - dropped).abs() < 0.5, "{recorded} recorded, {dropped} dropped, until {last} s");
}

#[test]
fn energy_uses_hardware_counter() {
    let sim = sim(
        "[[gpu]]\nprocess = []\npower = { draw_w = { square = { low = 100, high = 400, period_s = 3, duty_cycle = 0.4 } }, \
         energy_refresh_ms = 100 }\n",
    );
    control::step(Duration::from_secs(10));
    let mut sampler = sim.builder().metrics(&[Metric::ENERGY]).build().unwrap();
    let start = control::now();
    let records = run(&mut sampler, 20.0);
    let last = values(&records, Metric::ENERGY).last().unwrap();
    let at = Duration::from_nanos(last.at - 100 * SECOND);
    let truth = control::truth(0, Quantity::Energy, at) - control::truth(0, Quantity::Energy, start);
    // The difference is at most one refresh: 100 ms at 400 W.
    assert!((last.value - truth).abs() <= 40.0 + 0.01, "{} J instead of {truth} J", last.value);
    assert!(!last.flags.contains(Flags::INTEGRATED));
    assert!(values(&records, Metric::ENERGY).all(|record| record.value >= 0.0));
}

#[test]
fn energy_without_counter_is_integrated() {
    // The sampler integrates the entries of the power buffer or, if the driver has no buffer, polled values.
    for (buffer, max_lag) in [("", 0.05), ("sample_buffers = { power = { capacity = 0, period_ms = 20 } }\n", 0.1)] {
        let power = "power = { draw_w = 250, refresh_ms = 100, window_ms = 100, energy_refresh_ms = 0 }\n";
        let sim = sim(&format!("[[gpu]]\nprocess = []\n{power}{buffer}"));
        let mut sampler = sim.builder().metrics(&[Metric::ENERGY]).build().unwrap();
        let records = run(&mut sampler, 20.0);
        let all = || values(&records, Metric::ENERGY);
        let (first, last) = (all().next().unwrap(), all().last().unwrap());
        let truth = 250.0 * (seconds(last) - seconds(first)) + first.value;
        assert!((last.value - truth).abs() <= 250.0 * max_lag, "{} J instead of {truth} J", last.value);
        assert!(seconds(last) > 19.8 && last.flags.contains(Flags::INTEGRATED));
    }
}

#[test]
fn integrated_energy_gap_is_reported() {
    let sim = sim("[[gpu]]\nprocess = []\npower = { draw_w = 250, energy_refresh_ms = 0 }\n");
    let mut sampler = sim.builder().metrics(&[Metric::ENERGY]).build().unwrap();
    run(&mut sampler, 2.0);
    control::step(Duration::from_secs(20));
    let records = run(&mut sampler, 2.0);
    let gap: f64 = events(&records, Event::ENERGY_GAP).iter().map(|event| event.value).sum();
    assert!((17.0..=20.1).contains(&gap), "{gap} s");
}

#[test]
fn energy_counter_reset_is_bridged() {
    // The counter increases by 100 J per second, and restarts at zero at 5 s.
    let sim = sim("[[gpu]]\nprocess = []\n[[gpu.field]]\nid = 83\ntype = \"ulonglong\"\nvalue = { steps = [\
         [0, 900000], [1, 1000000], [2, 1100000], [3, 1200000], [4, 1300000], [5, 0], [6, 100000], [7, 200000]] }\n");
    let mut sampler = sim.builder().metrics(&[Metric::ENERGY]).build().unwrap();
    let records = run(&mut sampler, 8.0);
    let joules: Vec<f64> = values(&records, Metric::ENERGY).map(|record| record.value).collect();
    assert!(joules.is_sorted(), "the energy decreased");
    assert_eq!(joules.last(), Some(&600.0), "4 s before the reset and 2 s after it");
    assert_eq!(values(&records, Metric::ENERGY).filter(|record| record.flags.contains(Flags::RESET)).count(), 1);
}

#[test]
fn single_failure_does_not_suspend() {
    let sim = sim("[[gpu]]\nprocess = []\npower = { draw_w = 100, energy_refresh_ms = 100 }\n");
    let mut sampler = sim.builder().metrics(&[Metric::ENERGY]).build().unwrap();
    let before = run(&mut sampler, 5.0);
    let fault = "[[fault]]\nfunction = \"nvmlDeviceGetFieldValues\"\nfield_id = 83\nreturn = \"NOT_SUPPORTED\"\ncall_count = 1\n";
    control::add_faults(fault).unwrap();
    let after = run(&mut sampler, 5.0);
    assert!(events(&after, Event::METRIC_SUSPENDED).is_empty());
    let (first, last) =
        (values(&before, Metric::ENERGY).next().unwrap(), values(&after, Metric::ENERGY).last().unwrap());
    let truth = 100.0 * (seconds(last) - seconds(first));
    assert!((last.value - truth).abs() <= 10.0, "{} J instead of {truth} J", last.value);
}

#[test]
fn lost_gpu_stops_only_its_groups() {
    let sim = sim(
        "[[gpu]]\ncount = 2\nprocess = []\ntemperature = { gpu_c = 50 }\n[[gpu_lost]]\ngpu = 1\nfrom_s = 5\nuntil_s = 9\n",
    );
    let metrics = [Metric::TEMPERATURE, Metric::CLOCK_SM];
    let interval = Duration::from_millis(100);
    let mut sampler =
        sim.builder().metrics(&metrics).interval(metrics[0], interval).interval(metrics[1], interval).build().unwrap();
    let records = run(&mut sampler, 7.0);
    assert_eq!(sampler.frame().latest(1, Metric::TEMPERATURE), None, "a lost GPU has no latest value");
    assert_eq!(
        sampler.frame().last_error(1, Metric::CLOCK_SM).and_then(igpu::Error::code),
        Some(igpu::ReturnCode::GPU_IS_LOST)
    );
    let lost = events(&records, Event::GPU_LOST);
    assert_eq!(lost.iter().map(|event| (event.gpu, event.value)).collect::<Vec<_>>(), [(1, 15.0)]);
    let later = run(&mut sampler, 5.0);
    assert_eq!(events(&later, Event::GPU_RECOVERED).iter().map(|event| event.gpu).collect::<Vec<_>>(), [1]);
    assert_eq!(sampler.frame().latest(1, Metric::TEMPERATURE).map(|record| record.value), Some(50.0));
    // The other GPU has missed no deadline and has a value every 100 ms.
    let all: Vec<Record> = records.into_iter().chain(later).collect();
    let other: Vec<&Record> = values(&all, Metric::TEMPERATURE).filter(|record| record.gpu == 0).collect();
    assert_eq!(other.len(), 120);
    assert!(other.windows(2).all(|pair| pair[1].at - pair[0].at == 100 * MS));
    // The lost GPU was tried about once per second, not at every deadline.
    let count = values(&all, Metric::TEMPERATURE).filter(|record| record.gpu == 1).count();
    assert!((70..=85).contains(&count), "{count} values of the GPU that was lost for 4 s");
}

#[test]
fn unsupported_metric_is_suspended_and_retried() {
    let sim = sim("[[gpu]]\nprocess = []\nfan_speed_percent = [40]\n\
         [[fault]]\nfunction = \"nvmlDeviceGetFanSpeed\"\nreturn = \"NOT_SUPPORTED\"\nuntil_s = 20\n");
    let mut sampler = sim.builder().metrics(&[Metric::FAN_SPEED, Metric::TEMPERATURE]).build().unwrap();
    control::reset_counters();
    let records = run(&mut sampler, 29.0);
    assert_eq!(control::calls("nvmlDeviceGetFanSpeed"), 2);
    let suspensions = events(&records, Event::METRIC_SUSPENDED);
    assert_eq!(
        suspensions.iter().map(|event| (event.metric(), event.value)).collect::<Vec<_>>(),
        [(Some(Metric::FAN_SPEED), 3.0)]
    );
    assert!(sampler.frame().last_error(0, Metric::FAN_SPEED).is_some());
    let records = run(&mut sampler, 5.0);
    assert!(values(&records, Metric::FAN_SPEED).next().is_some_and(|record| record.value == 40.0));
    assert!(sampler.frame().last_error(0, Metric::FAN_SPEED).is_none());
}

#[test]
fn suspended_field_leaves_batch() {
    let sim = sim("[[gpu]]\nprocess = []\npower = { draw_w = 100, instant_refresh_ms = 0 }\n");
    let metrics = [Metric::POWER_AVERAGE, Metric::POWER_INSTANT];
    let mut sampler = sim.builder().metrics(&metrics).build().unwrap();
    let records = run(&mut sampler, 5.0);
    assert_eq!(events(&records, Event::METRIC_SUSPENDED).len(), 1);
    assert!(values(&records, Metric::POWER_INSTANT).next().is_none());
    assert!(values(&records, Metric::POWER_AVERAGE).count() > 20);
    assert!(values(&records, Metric::POWER_AVERAGE).all(|record| record.value == 100.0));
}

#[test]
fn metrics_of_one_call_are_shared() {
    let sim = sim("[[gpu]]\nprocess = []\nutilization = { gpu_percent = 30, memory_percent = 20 }\n");
    let metrics = [Metric::UTILIZATION_GPU, Metric::UTILIZATION_MEMORY, Metric::MEMORY_USED, Metric::MEMORY_FREE];
    let mut sampler = sim.builder().metrics(&metrics).build().unwrap();
    control::reset_counters();
    let frame = sampler.sample();
    assert_eq!(frame.latest(0, Metric::UTILIZATION_GPU).map(|record| record.value), Some(30.0));
    assert_eq!(frame.latest(0, Metric::UTILIZATION_MEMORY).map(|record| record.value), Some(20.0));
    assert_eq!(frame.records().len(), 4);
    assert_eq!(control::total_calls(), 2);
}

#[test]
fn processes_have_memory_and_info() {
    let sim = sim(
        "[[gpu]]\n[[gpu.process]]\npid = \"self\"\nmemory_mib = 100\nsm_percent = 40\n[[gpu.process]]\npid = \"parent\"\nmemory_mib = 7\nfrom_s = 5\n",
    );
    let metrics = [Metric::PROCESS_MEMORY, Metric::PROCESS_SM];
    let mut sampler = sim.builder().metrics(&metrics).build().unwrap();
    let records = run(&mut sampler, 4.0);
    let own_pid = std::process::id();
    assert!(
        values(&records, Metric::PROCESS_MEMORY)
            .all(|record| (record.pid(), record.value) == (Some(own_pid), 100.0 * 1048576.0))
    );
    assert_eq!(values(&records, Metric::PROCESS_MEMORY).count(), 4, "one record per second");
    assert!(values(&records, Metric::PROCESS_SM).all(|record| record.pid() == Some(own_pid) && record.value == 40.0));
    assert!(values(&records, Metric::PROCESS_SM).count() >= 2);
    let info = sampler.frame().process_info(own_pid).unwrap().clone();
    assert!(
        info.name.is_some_and(|name| name.starts_with("sampler"))
            && info.parent_pid == Some(std::os::unix::process::parent_id())
    );
    assert_eq!(sampler.frame().process_info(std::os::unix::process::parent_id()), None);
    run(&mut sampler, 3.0);
    assert!(sampler.frame().process_info(std::os::unix::process::parent_id()).is_some());
}

#[test]
fn gpm_reports_activity_between_samples() {
    let sim = sim(
        "[[gpu]]\nprocess = []\ngpm = { sm_percent = 60, sm_occupancy_percent = 30, tensor_percent = 20, dram_bandwidth_percent = 10 }\n",
    );
    let metrics = [Metric::SM_ACTIVITY, Metric::TENSOR_ACTIVITY, Metric::DRAM_ACTIVITY];
    let mut sampler = sim.builder().metrics(&metrics).build().unwrap();
    let records = run(&mut sampler, 2.0);
    for (metric, value) in metrics.into_iter().zip([60.0, 20.0, 10.0]) {
        let count = values(&records, metric).count();
        assert!((16..=18).contains(&count), "{count} values of {metric}");
        let is_correct = |record: &Record| (record.value - value).abs() < 1e-9 && record.is_fresh();
        assert!(values(&records, metric).all(is_correct), "{metric}");
    }
}

#[test]
fn wall_clock_step_is_reported() {
    // The wall clock of a running simulator cannot be stepped, so only the sampler's view of the wall clock is.
    static OFFSET_US: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    fn wall() -> u64 {
        control::wall_clock_us() + OFFSET_US.load(std::sync::atomic::Ordering::Relaxed)
    }
    let sim = sim(WITH_POWER_BUFFER);
    let clocks = Clocks { wall_us: wall, ..CLOCKS };
    let mut sampler = sim.builder().clocks(clocks).metrics(&[Metric::TEMPERATURE]).build().unwrap();
    run(&mut sampler, 3.0);
    OFFSET_US.store(3_600_000_000, std::sync::atomic::Ordering::Relaxed);
    let records = run(&mut sampler, 3.0);
    let steps = events(&records, Event::CLOCK_STEPPED);
    assert_eq!(steps.len(), 1);
    assert!((steps[0].value - 3600.0).abs() < 0.01, "{} s", steps[0].value);
}

/// Reads the fan speed and the temperature of one GPU every 20 ms for this time. Returns the records and the resulting
/// poll intervals of both metrics.
fn fan_and_temperature(fault: &str, seconds: f64) -> (Vec<Record>, [Option<Duration>; 2]) {
    let sim = sim(&format!(
        "cpu_time_us = {{ \"nvmlDeviceGet*\" = 50 }}\n[[gpu]]\nprocess = []\nfan_speed_percent = [40]\n\
         [[fault]]\nfunction = \"nvmlDeviceGetFanSpeed\"\n{fault}\n"
    ));
    let metrics = [Metric::FAN_SPEED, Metric::TEMPERATURE];
    let interval = Duration::from_millis(20);
    let builder =
        metrics.iter().fold(sim.builder().metrics(&metrics), |builder, metric| builder.interval(*metric, interval));
    let mut sampler = builder.build().unwrap();
    let records = run(&mut sampler, seconds);
    (records, metrics.map(|metric| sampler.frame().poll_interval(0, metric)))
}

#[test]
fn expensive_call_is_made_less_often() {
    let (records, intervals) = fan_and_temperature("latency_us = 2000", 0.5);
    // The call may take the part of the 1 % budget that the other call leaves, less a margin of a fifth.
    assert_eq!(intervals.map(|interval| interval.unwrap().as_millis()), [328, 20]);
    let changes = events(&records, Event::POLL_INTERVAL_CHANGED);
    assert_eq!(changes.iter().map(Record::metric).collect::<Vec<_>>(), [Some(Metric::FAN_SPEED)]);
    assert!((changes[0].value - 0.328).abs() < 1e-6, "{changes:?}");
    assert_eq!(values(&records, Metric::TEMPERATURE).count(), 25);
}

#[test]
fn single_slow_call_changes_no_interval() {
    // A busy machine may preempt the first call or a later one.
    for fault in ["call_count = 1\nlatency_us = 50_000", "every_nth_call = 20\nlatency_us = 50_000"] {
        let (records, intervals) = fan_and_temperature(fault, 10.0);
        assert_eq!(intervals, [Some(Duration::from_millis(20)); 2], "{fault}");
        assert_eq!(events(&records, Event::POLL_INTERVAL_CHANGED), [], "{fault}");
    }
}

#[test]
fn interval_begins_with_first_read() {
    let sim = sim("[[gpu]]\nprocess = []\n");
    let (metric, hour) = (Metric::TEMPERATURE, 3600 * SECOND);
    // The deadline must not depend on the uptime, which is a multiple of the interval after 3 s.
    control::set_time(Duration::from_secs(3497));
    let builder = sim.builder().metrics(&[metric]).interval(metric, Duration::from_nanos(hour));
    let mut sampler = builder.build().unwrap();
    let begin = now();
    assert_eq!(run(&mut sampler, 3599.0).len(), 1);
    assert_eq!(sampler.next_due(), begin + hour);
    assert_eq!(run(&mut sampler, 2.0).len(), 1);
}
