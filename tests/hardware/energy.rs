//! Comparison of the energy counter with the integral of the power sensors.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use igpu::Device;

use crate::{driver, gpu_label, gpus, watch_duration};

/// The largest accepted relative difference between the counter and the integral.
const MAX_DEVIATION: f64 = 0.05;
/// The time between two reads. It is shorter than the shortest known refresh periods (10 ms for energy, 20 ms for
/// power).
const READ_INTERVAL: Duration = Duration::from_millis(5);
/// The time within which even the slowest counter refreshes.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(3);

/// The energy of a GPU between the first and the last refresh of its counter, and the integrals of its power sensors.
struct EnergyComparison {
    gpu: Device,
    begun: Instant,
    /// The counter at the start, in millijoules.
    first_mj: u64,
    /// The counter at the last refresh, in millijoules.
    last_mj: u64,
    /// The time of the last read of power, in seconds since `begun`.
    read_at_s: f64,
    /// The power at the last read, in watts, from `nvmlDeviceGetPowerUsage` and the fields of average and instant
    /// power.
    power_w: [Option<f64>; 3],
    /// The integrals of power to the last read, in joules.
    sums_j: [f64; 3],
    refreshes: u64,
    /// The time of the last refresh, in seconds since `begun`.
    refreshed_at_s: f64,
    /// The energy that the counter reports from the start to the last refresh, in joules.
    counted_j: f64,
    /// The integrals of power to the last refresh, in joules.
    integrated_j: [Option<f64>; 3],
}

/// Reads power in watts with the three functions of `Device`.
fn power(gpu: &Device) -> [Option<f64>; 3] {
    [gpu.power_usage_mw(), gpu.power_average_mw(), gpu.power_instant_mw()]
        .map(|it| it.ok().map(|milliwatts| f64::from(milliwatts) * 1e-3))
}

/// Waits for a refresh of the counter and returns its value in millijoules, or `None` if it does not refresh.
fn wait_for_refresh(gpu: &Device) -> Option<u64> {
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
        let first_mj = wait_for_refresh(&gpu)?;
        Some(Self {
            begun: Instant::now(),
            first_mj,
            last_mj: first_mj,
            read_at_s: 0.0,
            power_w: power(&gpu),
            gpu,
            sums_j: [0.0; 3],
            refreshes: 0,
            refreshed_at_s: 0.0,
            counted_j: 0.0,
            integrated_j: [None; 3],
        })
    }

    /// Reads energy and power. Returns `true` if `time` has passed since the start.
    fn read(&mut self, time: Duration) -> bool {
        let (energy, now) = (self.gpu.total_energy_mj(), self.begun.elapsed().as_secs_f64());
        if now > time.as_secs_f64() {
            return true;
        }
        let next = power(&self.gpu);
        for (sensor, sum) in self.sums_j.iter_mut().enumerate() {
            if let (Some(old), Some(new)) = (self.power_w[sensor], next[sensor]) {
                *sum += (old + new) / 2.0 * (now - self.read_at_s);
            }
        }
        // After a failed read, the last known power is used.
        self.power_w = std::array::from_fn(|sensor| next[sensor].or(self.power_w[sensor]));
        self.read_at_s = now;
        if let Ok(energy) = energy
            && energy != self.last_mj
        {
            self.last_mj = energy;
            self.refreshes += 1;
            self.refreshed_at_s = now;
            self.counted_j = energy.saturating_sub(self.first_mj) as f64 * 1e-3;
            self.integrated_j = std::array::from_fn(|sensor| self.power_w[sensor].map(|_| self.sums_j[sensor]));
        }
        false
    }

    fn report(&self) {
        let Self { gpu, refreshed_at_s: seconds, counted_j: counted, integrated_j: integrated, refreshes, .. } = self;
        println!("{}: the counter reports {counted:.1} J in {seconds:.2} s, {refreshes} refreshes", gpu_label(gpu));
        for (name, joules) in ["power usage", "power average", "power instant"].iter().zip(integrated) {
            match joules {
                Some(joules) => println!("    {name}: {joules:.1} J, {:+.2} %", (joules / counted - 1.0) * 100.0),
                None => println!("    {name}: not available"),
            }
        }
    }
}

#[test]
#[ignore = "needs an NVIDIA driver"]
fn energy_matches_integrated_power() {
    let nvml = driver();
    let mut comparisons = Vec::new();
    for gpu in gpus(&nvml) {
        match EnergyComparison::start(gpu.clone()) {
            Some(comparison) => comparisons.push(comparison),
            None => println!("skipped: {} has no energy counter", gpu_label(&gpu)),
        }
    }
    let (time, mut finished) = (watch_duration(), 0);
    while finished < comparisons.len() {
        sleep(READ_INTERVAL);
        finished = comparisons.iter_mut().map(|comparison| comparison.read(time)).filter(|finished| *finished).count();
    }
    let mut compared = 0;
    for comparison in &comparisons {
        comparison.report();
        let Some(joules) = comparison.integrated_j[0] else {
            println!("skipped: {} does not report power", gpu_label(&comparison.gpu));
            continue;
        };
        assert!(comparison.refreshes > 2 && comparison.counted_j > 0.0, "the counter does not refresh");
        let deviation = (joules / comparison.counted_j - 1.0).abs();
        let label = gpu_label(&comparison.gpu);
        assert!(deviation <= MAX_DEVIATION, "{label}: the integral of power is off by {:.2} %", deviation * 100.0);
        compared += 1;
    }
    println!("{compared} GPUs compared");
}
