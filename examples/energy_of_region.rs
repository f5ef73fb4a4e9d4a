//! Measures the energy that the GPUs use while a region of code runs.
//!
//! For users who want to know the energy of a computation, such as a training step, from inside the program.
//!
//! ```sh
//! cargo run --release --example energy_of_region                            # on the GPUs of this host
//! cargo run --release --example energy_of_region -- --simulate=hgx-h100 5   # on the simulator; the region takes 5 s
//! ```
//!
//! The energy is the difference of the driver's energy counter before and after the region. The error is at most the
//! energy of one refresh interval of the counter (20 to 100 ms), which is small for regions of one second or more. On a
//! GPU without an energy counter, the sampler integrates the power samples in the driver's sample buffer, which spans a
//! few seconds. Earlier samples are reported as dropped. For longer regions on such a GPU, call `Sampler::tick` during
//! the region, or use `Sampler::spawn`.
//!
//! On the simulator, the example also prints the exact energy of the simulated GPUs.

mod support;

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use igpu::{
    metric::Metric,
    sampler::{Event, Flags, Record, Sampler},
};
use nvml_sim::control::{self, Quantity};

fn main() -> support::Result {
    let (nvml, seconds) = support::arguments(2.0)?;
    let gpus = nvml.devices()?.indices().to_vec();
    let mut sampler = Sampler::builder(&nvml).metrics(&[Metric::ENERGY]).build()?;
    // Integration of power begins with the first two power samples of a GPU.
    read_energy(&mut sampler, &gpus);
    sleep(Duration::from_millis(250));

    let before = read_energy(&mut sampler, &gpus);
    let start = control::now();
    let primes = compute(Duration::from_secs_f64(seconds));
    let after = read_energy(&mut sampler, &gpus);
    let end = control::now();

    println!("The region found {primes} prime numbers in {seconds} s. Energy in this time:");
    let frame = sampler.frame();
    for ((gpu, before), after) in gpus.into_iter().zip(before).zip(after) {
        let Some((before, after)) = before.zip(after) else {
            match frame.last_error(gpu, Metric::ENERGY) {
                Some(error) => println!("GPU {gpu}: unknown: {error}"),
                None => println!("GPU {gpu}: unknown"),
            }
            continue;
        };
        let source = if after.flags.contains(Flags::INTEGRATED) { "integrated from power samples" } else { "counter" };
        print!("GPU {gpu}: {:7.1} J ({source})", after.value - before.value);
        let is_gap = |record: &&Record| matches!(record.event(), Some(Event::SAMPLES_DROPPED | Event::ENERGY_GAP));
        if frame.records().iter().filter(is_gap).any(|record| u32::from(record.gpu) == gpu) {
            print!(", incomplete: power samples were dropped");
        }
        // `truth` returns NaN for a real driver.
        let energy_at = |time| control::truth(gpu, Quantity::Energy, time);
        let exact_joules = energy_at(end) - energy_at(start);
        if exact_joules.is_finite() {
            print!(", exactly {exact_joules:.1} J");
        }
        println!();
    }
    Ok(())
}

/// Returns the cumulative energy of each GPU; `None` for a GPU whose energy is unknown.
fn read_energy(sampler: &mut Sampler, gpus: &[u32]) -> Vec<Option<Record>> {
    let frame = sampler.sample();
    gpus.iter().map(|gpu| frame.latest(*gpu, Metric::ENERGY).copied()).collect()
}

/// The region of code whose energy is measured. Replace it with your own computation.
fn compute(duration: Duration) -> u64 {
    let (start, mut number, mut primes) = (Instant::now(), 2_u64, 0);
    while start.elapsed() < duration {
        primes += u64::from((2..).take_while(|factor| factor * factor <= number).all(|factor| number % factor != 0));
        number += 1;
    }
    primes
}
