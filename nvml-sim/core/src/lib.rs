//! A simulated NVML driver with scripted GPUs, known true values, and injected faults.
//!
//! The driver runs in the process of the program that links this package: [`start`] a scenario, and pass [`resolve`] to
//! the code that looks up NVML's functions by name. The functions in [`control`] step the clock, read call counters,
//! add faults, and return true values. The package `nvml-sim` provides the driver as a shared library.
//!
//! ```
//! use nvml_sim_core::{Scenario, control, resolve, start};
//!
//! start(&Scenario::from_name("workstation").unwrap());
//! // SAFETY: the simulator's functions have the types of nvml.h.
//! let nvml = unsafe { nvml_sys::Functions::from_resolver(resolve) };
//! // SAFETY: nvmlInit_v2 takes no arguments.
//! assert_eq!(unsafe { nvml.nvmlInit_v2.unwrap()() }, nvml_sys::NVML_SUCCESS);
//! assert_eq!(control::calls("nvmlInit_v2"), 1);
//! ```
//!
//! # Numbers
//! Integers are rounded to the nearest, halves up; negative values become 0. A sensor refreshes at integer multiples of
//! its period since the start of the scenario, and keeps its value between refreshes. The average power sensor returns
//! the exact mean of the true power over the window that ends at its last refresh. The first windows begin before the
//! start of the scenario; waveforms are also defined there. The energy counter returns the exact integral of the true
//! power from the start of the scenario to its last refresh.

#![allow(non_snake_case, reason = "NVML's functions keep their names")]

mod api;
mod clock;
pub mod control;
mod counters;
mod dispatch;
mod faults;
mod functions;
mod procfs_lite;
mod return_codes;
mod scenario;
mod sensor;
mod simulation;
mod waveform;

pub use scenario::{Scenario, ScenarioError};
pub use simulation::start;
pub use waveform::Waveform;

use std::ffi::{CStr, c_void};

/// Returns the address of the NVML function `name`, which has the signature in `nvml.h`. Returns null if the driver of
/// the active scenario lacks the symbol, or if NVML has no function of this name.
///
/// This function can be passed to `nvml_sys::Functions::from_resolver`.
#[must_use]
pub fn resolve(name: &CStr) -> *const c_void {
    let number = functions::find(name).filter(|number| !simulation::is_missing(*number));
    number.and_then(api::address).unwrap_or(std::ptr::null())
}

/// Returns the names of the functions that the simulator models. The other functions in `nvml_sys::NAMES` return
/// NVML_ERROR_NOT_SUPPORTED.
#[must_use]
pub fn modeled_functions() -> Vec<&'static str> {
    api::MODELED.iter().copied().flatten().map(|function| functions::name(function.number)).collect()
}
