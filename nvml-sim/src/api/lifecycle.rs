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
    call::run_early(const { functions::number("nvmlInit_v2") }, |_| initialise())
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlInit() -> nvmlReturn_t {
    call::run_early(const { functions::number("nvmlInit") }, |_| initialise())
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlInitWithFlags(_flags: c_uint) -> nvmlReturn_t {
    call::run_early(const { functions::number("nvmlInitWithFlags") }, |_| initialise())
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlShutdown() -> nvmlReturn_t {
    call::run_early(const { functions::number("nvmlShutdown") }, |_| {
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
    let _in_flight = counters::InFlight::begin(const { functions::number("nvmlErrorString") });
    codes::text(result.0).as_ptr()
}

/// Puts these functions into the table, and their addresses into the list.
pub(crate) fn fill(table: &mut nvml_sys::Functions, list: &mut super::List) {
    table.nvmlInit_v2 = Some(nvmlInit_v2);
    table.nvmlInit = Some(nvmlInit);
    table.nvmlInitWithFlags = Some(nvmlInitWithFlags);
    table.nvmlShutdown = Some(nvmlShutdown);
    table.nvmlErrorString = Some(nvmlErrorString);
    list.push(("nvmlInit_v2", nvmlInit_v2 as *const _));
    list.push(("nvmlInit", nvmlInit as *const _));
    list.push(("nvmlInitWithFlags", nvmlInitWithFlags as *const _));
    list.push(("nvmlShutdown", nvmlShutdown as *const _));
    list.push(("nvmlErrorString", nvmlErrorString as *const _));
}
