//! The sampler in a loop of your own: prints each fresh value as it comes, and at the end how often each sensor of GPU 0
//! turned out to refresh and how often it is read for that.
//!
//! `cargo run --release --example sampler_loop` with a driver, on the simulator with `-- --simulate`; 5 seconds, or as
//! many as `-- 20` says.

mod support;

use std::{thread::sleep, time::Duration};

use igpu::{
    metric::Metric,
    sampler::{Sampler, monotonic},
};

const METRICS: [Metric; 4] = [Metric::POWER_USAGE, Metric::UTILIZATION_GPU, Metric::TEMPERATURE, Metric::ENERGY];

fn main() -> support::Result {
    let (nvml, seconds) = support::arguments(5.0)?;
    // All memory is made here.
    let mut sampler = Sampler::builder(&nvml).metrics(&METRICS).build()?;
    let start = monotonic();
    let (mut ticks, mut read, mut fresh) = (0, 0, 0);
    while monotonic() - start < (seconds * 1e9) as u64 {
        for record in sampler.tick(monotonic()).records() {
            read += 1;
            let Some(metric) = record.metric().filter(|_| record.is_fresh()) else { continue };
            fresh += 1;
            let at = record.at.saturating_sub(start) as f64 * 1e-9;
            println!("{at:9.6} s  GPU {}  {metric:16} {:10.2} {}", record.gpu, record.value, metric.info().unit);
        }
        ticks += 1;
        sleep(Duration::from_nanos(sampler.next_due().saturating_sub(monotonic())));
    }
    println!("{ticks} ticks read {read} values, {fresh} of them fresh.");
    let frame = sampler.frame();
    for metric in METRICS {
        let show = |time: Option<Duration>| time.map_or("unknown".to_owned(), |time| format!("{time:.1?}"));
        let (period, cadence) = (show(frame.refresh_period(0, metric)), show(frame.poll_interval(0, metric)));
        println!("GPU 0  {metric:16} refreshes: {period}, is read each {cadence}");
    }
    Ok(())
}
