//! Initialization and shutdown, which are counted as in a real driver, and the texts of return codes.

use crate::dispatch::{self, CallContext, NvmlResult, return_code};
use crate::{counters, functions, return_codes, simulation};
use nvml_sys::{NVML_ERROR_UNINITIALIZED, NVML_ERROR_UNKNOWN, nvmlReturn_t};
use std::ffi::{c_char, c_uint};

fn initialize() -> NvmlResult {
    // There is no active scenario if loading it failed. The error was reported at that time.
    let simulation = simulation::active().ok_or(NVML_ERROR_UNKNOWN)?;
    match simulation.driver.init_return {
        Some(number) if number != 0 => Err(return_code(number)),
        _ => {
            simulation::initialize();
            Ok(())
        }
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlInit_v2() -> nvmlReturn_t {
    dispatch::run_before_init(functions::number!(nvmlInit_v2), |_| initialize())
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlInit() -> nvmlReturn_t {
    dispatch::run_before_init(functions::number!(nvmlInit), |_| initialize())
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlInitWithFlags(_flags: c_uint) -> nvmlReturn_t {
    dispatch::run_before_init(functions::number!(nvmlInitWithFlags), |_| initialize())
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlShutdown() -> nvmlReturn_t {
    // The real libraries return success even if NVML is not initialized.
    dispatch::run_before_init(functions::number!(nvmlShutdown), |_| {
        if !simulation::shut_down() && simulation::was_initialized() {
            counters::after_shutdown();
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlErrorString(result: nvmlReturn_t) -> *const c_char {
    let _in_flight = counters::InFlight::begin(functions::number!(nvmlErrorString));
    return_codes::description(result.0).as_ptr()
}

/// Writes the NVML version of the scenario.
///
/// # Safety
/// `version` must be null or writable for `length` bytes.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlSystemGetNVMLVersion(version: *mut c_char, length: c_uint) -> nvmlReturn_t {
    /// The first driver branch whose library returns its version even before initialization.
    const FIRST_BEFORE_INIT: u32 = 535;
    dispatch::run_before_init(functions::number!(nvmlSystemGetNVMLVersion), |call| {
        let is_available = |call: &CallContext| {
            simulation::is_initialized() || call.simulation.driver.major_version() >= FIRST_BEFORE_INIT
        };
        let Some(call) = call.filter(is_available) else { return Err(NVML_ERROR_UNINITIALIZED) };
        // SAFETY: as the caller guarantees.
        unsafe { call.put_text(version, length, &call.simulation.driver.nvml_version) }
    })
}

/// The functions in this module.
pub(crate) static FUNCTIONS: &[functions::Function] =
    functions::list!(nvmlInit_v2 nvmlInit nvmlInitWithFlags nvmlShutdown nvmlErrorString nvmlSystemGetNVMLVersion);
