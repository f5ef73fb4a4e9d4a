//! Runs the sampler in a loop of the program, and prints each value when the sensor has refreshed it.
//!
//! For programs that have their own loop or thread. At the end, the example prints the estimated refresh period and the
//! poll interval of each metric of GPU 0. A program without a loop can use `Sampler::spawn` (see the example
//! `background`).
//!
//! ```sh
//! cargo run --release --example sampler_loop                    # on the GPUs of this host, for 5 s
//! cargo run --release --example sampler_loop -- --simulate 20   # on the simulator, for 20 s
//! ```
//!
//! The refresh period of a metric is unknown until its sensor has refreshed often enough.

mod support;

use std::{thread::sleep, time::Duration};

use igpu::{
    metric::Metric,
    sampler::{Sampler, monotonic},
};

const METRICS: [Metric; 4] = [Metric::POWER_USAGE, Metric::UTILIZATION_GPU, Metric::TEMPERATURE, Metric::ENERGY];

fn main() -> support::Result {
    let (nvml, seconds) = support::arguments(5.0)?;
    // The sampler allocates its memory here, and not in the loop.
    let mut sampler = Sampler::builder(&nvml).metrics(&METRICS).build()?;
    let start = monotonic();
    let (mut tick_count, mut value_count, mut fresh_count) = (0, 0, 0);
    while monotonic() - start < (seconds * 1e9) as u64 {
        for record in sampler.tick(monotonic()).records() {
            let Some(metric) = record.metric() else { continue };
            value_count += 1;
            if !record.is_fresh() {
                continue;
            }
            fresh_count += 1;
            let time_s = record.at.saturating_sub(start) as f64 * 1e-9;
            let unit = metric.info().unit;
            println!("{time_s:9.6} s  GPU {}  {metric:16} {:10.2} {unit}", record.gpu, record.value);
        }
        tick_count += 1;
        sleep(Duration::from_nanos(sampler.next_due().saturating_sub(monotonic())));
    }
    println!("\n{tick_count} ticks read {value_count} values, of which {fresh_count} were fresh.");
    println!("\n{:3}  {:16} {:>14} {:>13}", "GPU", "METRIC", "REFRESH PERIOD", "POLL INTERVAL");
    let frame = sampler.frame();
    for metric in METRICS {
        let format = |time: Option<Duration>| time.map_or("unknown".to_owned(), |time| format!("{time:.1?}"));
        let refresh_period = format(frame.refresh_period(0, metric));
        let poll_interval = format(frame.poll_interval(0, metric));
        println!("{:3}  {metric:16} {refresh_period:>14} {poll_interval:>13}", 0);
    }
    Ok(())
}
