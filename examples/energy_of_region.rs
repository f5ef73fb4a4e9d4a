//! How much energy the GPUs used while a region of code ran.
//!
//! The energy is that of the driver's counter, read before and after the region; its error is at most what a GPU uses
//! in one refresh of its sensor (20 to 100 ms), so that regions of a second and more are told well. Where a GPU counts
//! no energy, the power samples that the driver kept are integrated: they reach back some seconds, and what is older is
//! told as lost. For longer regions on such a GPU, tick within the region, or spawn the sampler.
//!
//! `cargo run --release --example energy_of_region` with a driver, on the simulator with `-- --simulate=hgx-h100`, which
//! also tells what the simulated GPUs truly used. The region takes 2 seconds, or as many as `-- 10` says.

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
    // Until each GPU has taken two power samples: where energy is integrated, it begins there.
    energies(&mut sampler, &gpus);
    sleep(Duration::from_millis(250));

    let before = energies(&mut sampler, &gpus);
    let began = control::now();
    let found = work(Duration::from_secs_f64(seconds));
    let after = energies(&mut sampler, &gpus);
    let ended = control::now();

    println!("The region found {found} primes in {seconds} s. In that time were used:");
    let frame = sampler.frame();
    for ((gpu, before), after) in gpus.into_iter().zip(before).zip(after) {
        let Some((before, after)) = before.zip(after) else {
            println!("GPU {gpu}: not known, {:?}", frame.last_error(gpu, Metric::ENERGY));
            continue;
        };
        let how = if after.flags.contains(Flags::INTEGRATED) { "integrated from power" } else { "counted" };
        print!("GPU {gpu}: {:.1} J, {how}", after.value - before.value);
        let lost = |record: &&Record| matches!(record.event(), Some(Event::SAMPLES_DROPPED | Event::ENERGY_GAP));
        if frame.records().iter().filter(lost).any(|record| u32::from(record.gpu) == gpu) {
            print!(", and more that nobody saw");
        }
        // Not a number unless the driver is simulated.
        let truth = |at| control::truth(gpu, Quantity::Energy, at);
        let true_joules = truth(ended) - truth(began);
        if true_joules.is_finite() {
            print!("; in truth {true_joules:.1} J");
        }
        println!();
    }
    Ok(())
}

/// The energy of each GPU up to now.
fn energies(sampler: &mut Sampler, gpus: &[u32]) -> Vec<Option<Record>> {
    let frame = sampler.sample();
    gpus.iter().map(|gpu| frame.latest(*gpu, Metric::ENERGY).copied()).collect()
}

/// The region: put what you want to measure here.
fn work(time: Duration) -> u64 {
    let (start, mut number, mut found) = (Instant::now(), 2_u64, 0);
    while start.elapsed() < time {
        found += u64::from((2..).take_while(|factor| factor * factor <= number).all(|factor| number % factor != 0));
        number += 1;
    }
    found
}
