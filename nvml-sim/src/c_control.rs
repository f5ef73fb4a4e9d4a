//! The functions of [`control`] with a C ABI, for programs that load the shared library. Times are in nanoseconds.

#![allow(unreachable_pub, reason = "public items are exported to C")]

use crate::symbol_hiding;
use nvml_sim_core::control::{self, Quantity};
use nvml_sim_core::{Scenario, ScenarioError};
use std::ffi::{CStr, c_char, c_int};
use std::panic::{UnwindSafe, catch_unwind};
use std::time::Duration;

/// Calls [`control::step`]: `void nvml_sim_step(uint64_t ns)`.
#[unsafe(no_mangle)]
pub extern "C" fn nvml_sim_step(ns: u64) {
    control::step(Duration::from_nanos(ns));
}

/// Calls [`control::set_time`]: `void nvml_sim_set_time(uint64_t ns)`.
#[unsafe(no_mangle)]
pub extern "C" fn nvml_sim_set_time(ns: u64) {
    control::set_time(Duration::from_nanos(ns));
}

/// Calls [`control::use_real_clock`]: `void nvml_sim_use_real_clock(void)`.
#[unsafe(no_mangle)]
pub extern "C" fn nvml_sim_use_real_clock() {
    control::use_real_clock();
}

/// Calls [`control::now`]: `uint64_t nvml_sim_now(void)`.
#[unsafe(no_mangle)]
pub extern "C" fn nvml_sim_now() -> u64 {
    control::now().as_nanos() as u64
}

/// Calls [`control::wall_clock_us`]: `uint64_t nvml_sim_wall_clock_us(void)`.
#[unsafe(no_mangle)]
pub extern "C" fn nvml_sim_wall_clock_us() -> u64 {
    control::wall_clock_us()
}

/// Calls [`control::calls`]: `uint64_t nvml_sim_calls(const char *function)`.
///
/// # Safety
/// `function` must be null or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvml_sim_calls(function: *const c_char) -> u64 {
    // SAFETY: the caller upholds the same requirement.
    unsafe { c_str(function) }.map_or(0, control::calls)
}

/// Calls [`control::total_calls`]: `uint64_t nvml_sim_total_calls(void)`.
#[unsafe(no_mangle)]
pub extern "C" fn nvml_sim_total_calls() -> u64 {
    control::total_calls()
}

/// Calls [`control::max_in_flight`]: `uint32_t nvml_sim_max_in_flight(void)`.
#[unsafe(no_mangle)]
pub extern "C" fn nvml_sim_max_in_flight() -> u32 {
    control::max_in_flight()
}

/// Calls [`control::calls_after_shutdown`]: `uint64_t nvml_sim_calls_after_shutdown(void)`.
#[unsafe(no_mangle)]
pub extern "C" fn nvml_sim_calls_after_shutdown() -> u64 {
    control::calls_after_shutdown()
}

/// Calls [`control::shutdowns_during_calls`]: `uint64_t nvml_sim_shutdowns_during_calls(void)`.
#[unsafe(no_mangle)]
pub extern "C" fn nvml_sim_shutdowns_during_calls() -> u64 {
    control::shutdowns_during_calls()
}

/// Calls [`control::reset_counters`]: `void nvml_sim_reset_counters(void)`.
#[unsafe(no_mangle)]
pub extern "C" fn nvml_sim_reset_counters() {
    control::reset_counters();
}

/// Starts a scenario: `int nvml_sim_start(const char *scenario, char *error, size_t length)`.
///
/// The argument is TOML if it contains a line break, and otherwise the name of a built-in scenario or the path of a
/// TOML file. Returns 0, or -1 on failure, with a message in `error` that is truncated to `length`.
///
/// # Safety
/// `scenario` must be null or a C string, and `error` must be null or writable for `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvml_sim_start(scenario: *const c_char, error: *mut c_char, length: usize) -> c_int {
    // SAFETY: the caller upholds the same requirement.
    let Some(scenario) = (unsafe { c_str(scenario) }) else { return -1 };
    let result = catch_panic(|| {
        let scenario = if scenario.contains('\n') { Scenario::from_toml(scenario) } else { Scenario::load(scenario) };
        nvml_sim_core::start(&scenario?);
        symbol_hiding::apply()
    });
    // SAFETY: the caller upholds the same requirement.
    unsafe { write_error(result, error, length) }
}

/// Adds faults: `int nvml_sim_add_faults(const char *toml, char *error, size_t length)`.
///
/// Returns 0, or -1 on failure, with a message in `error` that is truncated to `length`.
///
/// # Safety
/// `toml` must be null or a C string, and `error` must be null or writable for `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvml_sim_add_faults(toml: *const c_char, error: *mut c_char, length: usize) -> c_int {
    // SAFETY: the caller upholds the same requirement.
    let Some(toml) = (unsafe { c_str(toml) }) else { return -1 };
    let result = catch_panic(|| {
        control::add_faults(toml)?;
        symbol_hiding::apply()
    });
    // SAFETY: the caller upholds the same requirement.
    unsafe { write_error(result, error, length) }
}

/// Calls [`control::clear_faults`]: `void nvml_sim_clear_faults(void)`.
#[unsafe(no_mangle)]
pub extern "C" fn nvml_sim_clear_faults() {
    let _ = catch_panic(|| {
        control::clear_faults();
        symbol_hiding::apply()
    });
}

/// Calls [`control::truth`]: `double nvml_sim_truth(uint32_t gpu, uint32_t quantity, uint64_t at_ns)`.
///
/// The quantities have the numbers of [`Quantity`]. Returns NaN for an unknown GPU or quantity.
#[unsafe(no_mangle)]
pub extern "C" fn nvml_sim_truth(gpu: u32, quantity: u32, at_ns: u64) -> f64 {
    match Quantity::ALL.get(quantity as usize) {
        Some(quantity) => control::truth(gpu, *quantity, Duration::from_nanos(at_ns)),
        None => f64::NAN,
    }
}

/// Runs `change` and converts a panic to an error, because a panic must not cross the C ABI.
fn catch_panic(change: impl FnOnce() -> Result<(), ScenarioError> + UnwindSafe) -> Result<(), ScenarioError> {
    catch_unwind(change).unwrap_or_else(|_| Err(ScenarioError::new("the simulator panicked")))
}

/// Converts a string argument. Returns `None` if it is null or not UTF-8.
///
/// # Safety
/// `text` must be null or a C string that outlives the returned reference.
unsafe fn c_str<'a>(text: *const c_char) -> Option<&'a str> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the caller upholds the same requirement.
    unsafe { CStr::from_ptr(text) }.to_str().ok()
}

/// Writes the message of an error to the caller's buffer. Returns 0 if there is no error, and -1 otherwise.
///
/// # Safety
/// `error` must be null or writable for `length` bytes.
unsafe fn write_error(result: Result<(), ScenarioError>, error: *mut c_char, length: usize) -> c_int {
    let Err(message) = result.map_err(|error| error.to_string()) else { return 0 };
    if !error.is_null() && length > 0 {
        let length = message.len().min(length - 1);
        // SAFETY: the message was truncated so that it and the NUL fit in the buffer.
        unsafe {
            error.copy_from_nonoverlapping(message.as_ptr().cast(), length);
            error.add(length).write(0);
        }
    }
    -1
}
