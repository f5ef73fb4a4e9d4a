//! Functions with which a test controls and observes the driver: clock, call counters, faults, and true values.

use crate::scenario::{self, ScenarioError};
use crate::{clock, counters, faults, functions, simulation};
use std::ffi::CString;
use std::time::Duration;

/// Advances the clock by `by` and stops it there.
pub fn step(by: Duration) {
    clock::step(nanoseconds(by));
}

/// Stops the clock at a time since the start of the scenario. The time may be earlier than the current one.
pub fn set_time(since_start: Duration) {
    clock::set(nanoseconds(since_start));
}

/// Lets the clock follow the real clock, starting from the current simulated time.
pub fn use_real_clock() {
    clock::use_real_clock();
}

/// Returns the simulated time since the start of the scenario.
#[must_use]
pub fn now() -> Duration {
    Duration::from_nanos(clock::now_ns())
}

/// Returns the simulated wall clock in microseconds since 1970, on which samples and field values are timestamped.
///
/// While the clock is stepped, the wall clock starts at 1,700,000,000 s. Otherwise it is the real wall clock.
#[must_use]
pub fn wall_clock_us() -> u64 {
    clock::wall_us(clock::now_ns())
}

/// Returns the number of calls of the NVML function `name`, or 0 if NVML has no function of this name.
#[must_use]
pub fn calls(name: &str) -> u64 {
    CString::new(name).ok().and_then(|name| functions::find(&name)).map_or(0, counters::calls)
}

/// Returns the number of calls of all NVML functions.
#[must_use]
pub fn total_calls() -> u64 {
    counters::total()
}

/// Returns the largest number of calls that were in flight at the same time. A call that never returns remains in
/// flight.
#[must_use]
pub fn max_in_flight() -> u32 {
    counters::max_in_flight()
}

/// Returns the number of calls made after the final shutdown to functions that require initialization.
#[must_use]
pub fn calls_after_shutdown() -> u64 {
    counters::calls_after_shutdown()
}

/// Returns the number of final shutdowns during which another call was in flight. A real driver crashes in this case.
#[must_use]
pub fn shutdowns_during_calls() -> u64 {
    counters::shutdowns_during_calls()
}

/// Sets all call counters to zero.
pub fn reset_counters() {
    counters::reset();
}

/// Adds faults to the active faults.
///
/// `toml` contains `[[fault]]` and `[[gpu_lost]]` tables. Each new fault starts counting its calls at 1.
///
/// # Errors
/// Fails if the text is not TOML, contains other tables, or describes an invalid fault.
pub fn add_faults(toml: &str) -> Result<(), ScenarioError> {
    faults::install(scenario::faults(toml)?, true);
    Ok(())
}

/// Removes all faults, including those of the scenario. Symbols that the scenario removes stay missing.
pub fn clear_faults() {
    faults::install([], false);
}

/// A quantity whose true value is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Quantity {
    /// The GPU utilization in percent.
    UtilizationGpu = 0,
    /// The memory utilization in percent.
    UtilizationMemory = 1,
    /// The used memory in bytes, without reserved memory.
    MemoryUsed = 2,
    /// The power draw in watts, before a sensor averages it.
    Power = 3,
    /// The exact integral of the power draw since the start of the scenario, in joules.
    Energy = 4,
    /// The GPU temperature in degrees Celsius.
    Temperature = 5,
    /// The graphics clock in MHz.
    ClockGraphics = 6,
    /// The SM clock in MHz.
    ClockSm = 7,
    /// The memory clock in MHz.
    ClockMemory = 8,
}

impl Quantity {
    /// All quantities, in the order of their numbers in C.
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

/// Returns the true, unrounded value of a quantity at a time since the start of the scenario, or NaN if there is no GPU
/// of this index.
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
