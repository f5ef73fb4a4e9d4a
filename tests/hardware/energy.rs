//! The energy counter and the power sensor tell the same story.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use igpu::Device;

use crate::{driver, gpu_label, gpus, watch_duration};

/// How far the two may differ.
const MAX_DEVIATION: f64 = 0.05;
/// Several readings in the shortest refresh that is known (10 ms for energy, 20 ms for power).
const READ_INTERVAL: Duration = Duration::from_millis(5);
/// In so many seconds even the slowest counter moves.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(3);

/// What was seen of a GPU between two refreshes of its energy counter.
struct EnergyComparison {
    gpu: Device,
    begun: Instant,
    /// The counter at the start, and when it was last seen to move; mJ.
    first: u64,
    newest: u64,
    /// When power was last read, s, and what it was.
    at: f64,
    before: [Option<f64>; 3],
    /// Power integrated to then, J: by `nvmlDeviceGetPowerUsage`, and by the fields of average and instant power.
    sums: [f64; 3],
    refreshes: u64,
    /// At the last refresh: seconds, J counted, J integrated.
    seconds: f64,
    counted: f64,
    integrated: [Option<f64>; 3],
}

/// Power by the three ways there are, W.
fn power(gpu: &Device) -> [Option<f64>; 3] {
    [gpu.power_usage_mw(), gpu.power_average_mw(), gpu.power_instant_mw()]
        .map(|it| it.ok().map(|milliwatts| f64::from(milliwatts) * 1e-3))
}

/// Waits for the counter to move, so that what was counted begins at a refresh; `None` when it does not.
fn refreshed(gpu: &Device) -> Option<u64> {
    let (begun, first) = (Instant::now(), gpu.total_energy_mj().ok()?);
    while begun.elapsed() < REFRESH_TIMEOUT {
        sleep(READ_INTERVAL);
        match gpu.total_energy_mj() {
            Ok(now) if now != first => return Some(now),
            Ok(_) => {}
            Err(error) => {
                println!("{}: {error}", gpu_label(gpu));
                return None;
            }
        }
    }
    None
}

impl EnergyComparison {
    fn start(gpu: Device) -> Option<Self> {
        let first = refreshed(&gpu)?;
        Some(Self {
            begun: Instant::now(),
            first,
            newest: first,
            at: 0.0,
            before: power(&gpu),
            gpu,
            sums: [0.0; 3],
            refreshes: 0,
            seconds: 0.0,
            counted: 0.0,
            integrated: [None; 3],
        })
    }

    /// Reads energy and power, for so long after this GPU's own start. The bool says that its time is up.
    fn look(&mut self, time: Duration) -> bool {
        let (energy, now) = (self.gpu.total_energy_mj(), self.begun.elapsed().as_secs_f64());
        if now > time.as_secs_f64() {
            return true;
        }
        let next = power(&self.gpu);
        for (place, sum) in self.sums.iter_mut().enumerate() {
            if let (Some(old), Some(new)) = (self.before[place], next[place]) {
                *sum += (old + new) / 2.0 * (now - self.at);
            }
        }
        // A power that was refused for a moment goes on as it was.
        self.before = std::array::from_fn(|place| next[place].or(self.before[place]));
        self.at = now;
        if let Ok(energy) = energy
            && energy != self.newest
        {
            self.newest = energy;
            self.refreshes += 1;
            self.seconds = now;
            self.counted = energy.saturating_sub(self.first) as f64 * 1e-3;
            self.integrated = std::array::from_fn(|place| self.before[place].map(|_| self.sums[place]));
        }
        false
    }

    fn report(&self) {
        let Self { gpu, seconds, counted, integrated, refreshes, .. } = self;
        println!("{}: {counted:.1} J in {seconds:.2} s by the counter, {refreshes} refreshes", gpu_label(gpu));
        for (name, joules) in ["power usage", "power average", "power instant"].iter().zip(integrated) {
            match joules {
                Some(joules) => println!("    {name}: {joules:.1} J, {:+.2} %", (joules / counted - 1.0) * 100.0),
                None => println!("    {name}: not given"),
            }
        }
    }
}

#[test]
#[ignore = "needs an NVIDIA driver"]
fn energy_matches_integrated_power() {
    let nvml = driver();
    let mut watched = Vec::new();
    for gpu in gpus(&nvml) {
        match EnergyComparison::start(gpu.clone()) {
            Some(started) => watched.push(started),
            None => println!("skipped: {} does not count its energy", gpu_label(&gpu)),
        }
    }
    let (time, mut done) = (watch_duration(), 0);
    while done < watched.len() {
        sleep(READ_INTERVAL);
        done = watched.iter_mut().map(|gpu| gpu.look(time)).filter(|done| *done).count();
    }
    let mut compared = 0;
    for seen in &watched {
        seen.report();
        let Some(joules) = seen.integrated[0] else {
            println!("skipped: {} does not tell its power", gpu_label(&seen.gpu));
            continue;
        };
        assert!(seen.refreshes > 2 && seen.counted > 0.0, "the counter stands");
        let off = (joules / seen.counted - 1.0).abs();
        assert!(off <= MAX_DEVIATION, "{}: power integrated is off by {:.2} %", gpu_label(&seen.gpu), off * 100.0);
        compared += 1;
    }
    println!("{compared} GPUs compared");
}
