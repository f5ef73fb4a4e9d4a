//! A simulated NVML driver with scripted GPUs, a known truth, and faults on demand.
//!
//! A program links it and runs it in its own process: [`start`] a scenario, and pass [`resolve`] to the code that looks
//! up NVML's functions by name. [`control`] steps the clock, reads call counters, adds faults, and knows the truth. The
//! package `nvml-sim` provides it as a shared library.
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
//! Whole numbers are rounded to the nearest, halves up, none below 0. A sensor refreshes at whole multiples of its
//! period since the start of the scenario; between, it shows what it showed. The average power sensor shows the exact
//! mean of the true power over its window before the refresh, which for the first ones reaches to before the start:
//! waveforms are defined there too. The energy counter shows the exact integral from the start to its last refresh.

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

/// The function of that name, to be called as `nvml.h` declares it; null for a symbol that the scenario's driver lacks
/// and for a name that NVML does not have. What `nvml_sys::Functions::from_resolver` wants.
#[must_use]
pub fn resolve(name: &CStr) -> *const c_void {
    let number = functions::find(name).filter(|number| !simulation::is_missing(*number));
    number.and_then(api::address).unwrap_or(std::ptr::null())
}

/// The names of the functions that are modeled; the others of `nvml_sys::NAMES` answer NOT_SUPPORTED.
#[must_use]
pub fn modeled_functions() -> Vec<&'static str> {
    api::MODELED.iter().copied().flatten().map(|function| functions::name(function.number)).collect()
}
