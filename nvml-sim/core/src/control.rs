//! What a test does to the driver, and knows of it: the clock, the counters, faults, the truth.

use crate::scenario::{self, ScenarioError};
use crate::{clock, counters, faults, functions, simulation};
use std::ffi::CString;
use std::time::Duration;

/// Stops the clock, so much later than it showed.
pub fn step(by: Duration) {
    clock::step(nanoseconds(by));
}

/// Stops the clock at this time since the scenario's start.
pub fn set_time(since_start: Duration) {
    clock::set(nanoseconds(since_start));
}

/// Lets the clock run on with the real one from where it stands.
pub fn use_real_clock() {
    clock::real();
}

/// The simulated time since the scenario's start.
#[must_use]
pub fn now() -> Duration {
    Duration::from_nanos(clock::now_ns())
}

/// The simulated wall clock in microseconds since 1970, as the stamps of samples and field values have it: while the
/// clock is stepped, 1,700,000,000 s at the scenario's start; else the real one.
#[must_use]
pub fn wall_clock_us() -> u64 {
    clock::wall_us(clock::now_ns())
}

/// How often the function was called; 0 for a name that NVML does not have.
#[must_use]
pub fn calls(name: &str) -> u64 {
    CString::new(name).ok().and_then(|name| functions::find(&name)).map_or(0, counters::calls)
}

/// How often any function was called.
#[must_use]
pub fn total_calls() -> u64 {
    counters::total()
}

/// The most calls that were under way at once. A call that never returns stays under way.
#[must_use]
pub fn max_in_flight() -> u32 {
    counters::max_in_flight()
}

/// Calls after the last shutdown that need an init before them.
#[must_use]
pub fn calls_after_shutdown() -> u64 {
    counters::calls_after_shutdown()
}

/// How often the last shutdown came while another call was under way: a real driver crashes on that.
#[must_use]
pub fn shutdowns_during_calls() -> u64 {
    counters::shutdowns_during_calls()
}

/// All counters to zero.
pub fn reset_counters() {
    counters::reset();
}

/// Adds faults to those in force: TOML with `[[fault]]` and `[[gpu_lost]]` tables. Each counts its calls from now.
///
/// # Errors
/// The text is no such TOML.
pub fn add_faults(toml: &str) -> Result<(), ScenarioError> {
    faults::install(scenario::faults(toml)?, true);
    Ok(())
}

/// Takes every fault away, also the scenario's own; a missing symbol of the scenario stays missing.
pub fn clear_faults() {
    faults::install([], false);
}

/// What the truth is known of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Quantity {
    /// Utilisation of the GPU in percent.
    UtilizationGpu = 0,
    /// Utilisation of its memory in percent.
    UtilizationMemory = 1,
    /// Memory used in bytes, without what is reserved.
    MemoryUsed = 2,
    /// The true power in W, before any sensor.
    Power = 3,
    /// The exact integral of the true power since the start in J.
    Energy = 4,
    /// Temperature of the GPU in °C.
    Temperature = 5,
    /// Graphics clock in MHz.
    ClockGraphics = 6,
    /// SM clock in MHz.
    ClockSm = 7,
    /// Memory clock in MHz.
    ClockMemory = 8,
}

impl Quantity {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::UtilizationGpu,
        Self::UtilizationMemory,
        Self::MemoryUsed,
        Self::Power,
        Self::Energy,
        Self::Temperature,
        Self::ClockGraphics,
        Self::ClockSm,
        Self::ClockMemory,
    ];
}

/// The true, unrounded value of a quantity at a time since the start; not a number for a GPU that there is not.
#[must_use]
pub fn truth(gpu: u32, quantity: Quantity, at: Duration) -> f64 {
    let Some(device) = simulation::active().and_then(|simulation| simulation.gpus.get(gpu as usize)) else {
        return f64::NAN;
    };
    let ns = nanoseconds(at);
    let t = device.waveform_time_s(ns);
    let model = &device.model;
    match quantity {
        Quantity::UtilizationGpu => model.utilization.gpu_percent.value(t),
        Quantity::UtilizationMemory => model.utilization.memory_percent.value(t),
        Quantity::MemoryUsed => model.memory.used_mib.value(t) * 1_048_576.0,
        Quantity::Power => model.power.draw_w.value(t),
        Quantity::Energy => device.energy_j(ns),
        Quantity::Temperature => model.temperature.gpu_c.value(t),
        Quantity::ClockGraphics => model.clocks.graphics_mhz.value(t),
        Quantity::ClockSm => model.clocks.sm_mhz.value(t),
        Quantity::ClockMemory => model.clocks.memory_mhz.value(t),
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
