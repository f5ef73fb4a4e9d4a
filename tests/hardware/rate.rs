//! A test that the background sampler drops no records at 1 kHz.

use std::{
    collections::BTreeMap,
    thread::sleep,
    time::{Duration, Instant},
};

use igpu::{
    metric::Metric,
    sampler::{Event, Record, Sampler, StopOutcome},
};

use crate::{
    driver, gpus,
    punctuality::{Lateness, Punctuality},
    watch_duration,
};

/// Metrics that are read at 1 kHz, each with a different NVML function.
const SCALAR_METRICS: [Metric; 3] = [Metric::POWER_USAGE, Metric::UTILIZATION_GPU, Metric::CLOCK_SM];
/// Metrics of sample buffers, which are read at their default intervals.
const SAMPLE_BUFFER_METRICS: [Metric; 3] =
    [Metric::POWER_SAMPLES, Metric::UTILIZATION_GPU_SAMPLES, Metric::UTILIZATION_MEMORY_SAMPLES];
/// The interval of [`SCALAR_METRICS`].
const INTERVAL: Duration = Duration::from_millis(1);
/// The capacity of the record buffer, which is much larger than the number of records in 20 ms.
const RECORD_CAPACITY: usize = 1 << 18;

#[test]
#[ignore = "needs an NVIDIA driver"]
fn sampling_at_1_khz_drops_nothing() {
    let nvml = driver();
    let count = gpus(&nvml).len();
    // If a card does not report power, lateness is measured with its clock.
    let device = nvml.device(0).unwrap();
    let gauge = if device.power_usage_mw().is_ok() { Metric::POWER_USAGE } else { Metric::CLOCK_SM };
    let metrics: Vec<Metric> = SCALAR_METRICS.into_iter().chain(SAMPLE_BUFFER_METRICS).collect();
    let builder = Sampler::builder(&nvml).metrics(&metrics).budget(1.0);
    let builder = SCALAR_METRICS.iter().fold(builder, |builder, metric| builder.interval(*metric, INTERVAL));
    let mut background = builder.build().unwrap().spawn(RECORD_CAPACITY).unwrap();
    let mut buffer = vec![Record::default(); RECORD_CAPACITY];
    let time = watch_duration();
    let mut punctuality = Punctuality::new(gauge, INTERVAL, time);
    let (mut values, mut events) = (BTreeMap::<Metric, u64>::new(), BTreeMap::<u32, u64>::new());
    let begun = Instant::now();
    while begun.elapsed() < time {
        sleep(Duration::from_millis(20));
        let count = background.drain(&mut buffer);
        for record in &buffer[..count] {
            punctuality.observe(record);
            match (record.event(), record.metric()) {
                (Some(Event(event)), _) => *events.entry(event).or_default() += 1,
                (None, Some(metric)) => *values.entry(metric).or_default() += 1,
                (None, None) => panic!("a value without a metric: {record:?}"),
            }
        }
    }
    let (dropped, ticks) = (background.dropped(), background.ticks());
    assert_eq!(background.stop(), StopOutcome::Joined, "a call of the driver hangs");
    let Lateness { ticks: seen, p50_ns, p99_ns, p999_ns, max_ns, missed_deadlines, records, dropped_by_events } =
        punctuality.lateness();
    let us = |nanoseconds: u64| nanoseconds as f64 * 1e-3;
    println!("{count} GPUs, {} s: {ticks} ticks, {records} records: {values:?}, events {events:?}", time.as_secs_f64());
    println!(
        "late by {:.1} µs p50, {:.1} µs p99, {:.1} µs p99.9, {:.1} µs at most; {missed_deadlines} missed deadlines",
        us(p50_ns),
        us(p99_ns),
        us(p999_ns),
        us(max_ns)
    );
    assert_eq!((dropped, dropped_by_events), (0, 0), "dropped records, and dropped records according to events");
    assert!(seen > 1, "{gauge} was read {seen} times");
    // Each of these ticks reads the metric of all GPUs.
    assert_eq!(values[&gauge], seen * count as u64, "{gauge} in {seen} ticks of {count} GPUs");
    assert!(ticks >= seen, "{gauge} was read in {seen} of {ticks} ticks");
}
