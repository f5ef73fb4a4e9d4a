//! Init and shutdown, counted as the driver does, and the texts of the codes.

use crate::call::{self, Answer, code};
use crate::{codes, counters, functions, state};
use nvml_sys::{NVML_ERROR_UNINITIALIZED, NVML_ERROR_UNKNOWN, nvmlReturn_t};
use std::ffi::{c_char, c_uint};

fn initialise() -> Answer {
    // No scenario: it was bad, and that was said when it was loaded.
    let sim = state::current().ok_or(NVML_ERROR_UNKNOWN)?;
    match sim.driver.init_return {
        Some(number) if number != 0 => Err(code(number)),
        _ => {
            state::initialise();
            Ok(())
        }
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlInit_v2() -> nvmlReturn_t {
    call::run_early(functions::number!(nvmlInit_v2), |_| initialise())
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlInit() -> nvmlReturn_t {
    call::run_early(functions::number!(nvmlInit), |_| initialise())
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlInitWithFlags(_flags: c_uint) -> nvmlReturn_t {
    call::run_early(functions::number!(nvmlInitWithFlags), |_| initialise())
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlShutdown() -> nvmlReturn_t {
    call::run_early(functions::number!(nvmlShutdown), |_| {
        if state::shut_down() {
            return Ok(());
        }
        if state::was_initialised() {
            counters::after_shutdown();
        }
        Err(NVML_ERROR_UNINITIALIZED)
    })
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlErrorString(result: nvmlReturn_t) -> *const c_char {
    let _in_flight = counters::InFlight::begin(functions::number!(nvmlErrorString));
    codes::text(result.0).as_ptr()
}

/// The functions in this file.
pub(crate) static FUNCTIONS: &[functions::Function] =
    functions::list!(nvmlInit_v2 nvmlInit nvmlInitWithFlags nvmlShutdown nvmlErrorString);
