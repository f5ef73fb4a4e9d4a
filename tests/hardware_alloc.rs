//! Tests that `update()` and `tick()` do not allocate on a real driver.
//!
//! They are a separate binary because of the counting allocator. The driver allocates with `malloc`, so that its
//! allocations are not counted. They are run in the same way as `tests/hardware/`.

#[path = "common/counting.rs"]
mod counting;
#[path = "hardware/watch.rs"]
mod watch;

use std::{hint::black_box, time::Instant};

use counting::{CountingAllocator, calls};
use igpu::{
    GpuInfo,
    metric::Metric,
    sampler::{Sampler, monotonic},
};
use watch::{driver, watch_duration};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator(|| ());

/// The capacity of process lists. With more processes the lists are truncated, which must not allocate either.
const PROCESS_CAPACITY: usize = 64;

#[test]
#[ignore = "needs an NVIDIA driver"]
fn update_allocates_nothing() {
    let nvml = driver();
    let before = calls();
    let indices = nvml.devices().unwrap().indices().to_vec();
    let mut gpus: Vec<GpuInfo> =
        indices.iter().map(|index| GpuInfo::new(&nvml, *index, PROCESS_CAPACITY).unwrap()).collect();
    assert!(!gpus.is_empty(), "there is no GPU");
    assert!(calls() > before, "the allocator does not count");
    // A fifth of the time, 6 s of 30, is sufficient for a hundred rounds on the slowest known driver.
    let (begun, time, mut rounds, mut failed) = (Instant::now(), watch_duration() / 5, 0_u64, 0_u64);
    let before = calls();
    while begun.elapsed() < time {
        for gpu in &mut gpus {
            failed += u64::from(gpu.update().is_err());
            black_box(&gpu.power.draw);
        }
        rounds += 1;
    }
    let allocated = calls() - before;
    let update_us = begun.elapsed().as_secs_f64() * 1e6 / (rounds * gpus.len() as u64) as f64;
    println!("{rounds} rounds of {} GPUs, {update_us:.1} µs per update, {failed} failed", gpus.len());
    assert_eq!((allocated, failed), (0, 0), "allocations in {rounds} rounds, and failed updates");
}

#[test]
#[ignore = "needs an NVIDIA driver"]
fn tick_allocates_nothing() {
    let nvml = driver();
    let metrics: Vec<Metric> = Metric::all().collect();
    let before = calls();
    let mut sampler = Sampler::builder(&nvml)
        .metrics(&metrics)
        .process_capacity(PROCESS_CAPACITY)
        .every_tick(Metric::CLOCK_SM)
        .build()
        .unwrap();
    assert!(calls() > before, "the allocator does not count");
    let (begun, time) = (Instant::now(), watch_duration() / 5);
    let (mut ticks, mut records, mut values) = (0_u64, 0_u64, [0_u64; 256]);
    let before = calls();
    while begun.elapsed() < time {
        for record in sampler.tick(monotonic()).records() {
            records += 1;
            if let (None, Some(metric)) = (record.event(), record.metric()) {
                values[usize::from(metric.index())] += 1;
            }
        }
        ticks += 1;
    }
    let allocated = calls() - before;
    let tick_us = begun.elapsed().as_secs_f64() * 1e6 / ticks as f64;
    println!("{ticks} ticks, {tick_us:.2} µs per tick, {records} records");
    for metric in &metrics {
        println!("    {metric}: {} values", values[usize::from(metric.index())]);
    }
    assert!(values[usize::from(Metric::CLOCK_SM.index())] > 100 || records > 100, "too few values were read");
    assert_eq!(allocated, 0, "allocations in {ticks} ticks");
}
