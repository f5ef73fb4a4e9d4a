//! A driver without a GPU: NVML's C ABI with scripted GPUs, a known truth, and faults.
//!
//! As a shared library it stands in for `libnvidia-ml.so.1` under any NVML client:
//!
//! ```sh
//! cargo run -p nvml-sim --example install -- /tmp/sim workstation
//! LD_LIBRARY_PATH=/tmp/sim nvitop
//! ```
//!
//! It takes its scenario, when it is loaded, from the environment variable `NVML_SIM_SCENARIO` (the name of a built-in
//! scenario, or the path of a TOML file), else from the file `nvml-sim.toml` beside itself, else it is `workstation`.
//! A scenario that cannot be had is told on stderr in one sentence, and nvmlInit* answers NVML_ERROR_UNKNOWN.
//!
//! In a test, [`SharedDriver`] is such a library with statics of its own, so that many run in one process; and without
//! any file beside it a program links the driver in: [`start`] a scenario, and give [`resolve`] to whatever asks for
//! NVML's functions by name. [`control`] steps the clock, reads the counters, adds faults and knows the truth.
//!
//! # Numbers
//! Whole numbers are rounded to the nearest, halves up, none below 0. A sensor refreshes at whole multiples of its
//! period since the start of the scenario; between, it shows what it showed. The average power sensor shows the exact
//! mean of the true power over its window before the refresh, which for the first ones reaches to before the start:
//! signals are defined there too. The energy counter shows the exact integral from the start to its last refresh.

#![allow(non_snake_case, reason = "NVML's functions keep their names")]

mod api;
mod c_control;
mod call;
mod clock;
mod codes;
pub mod control;
mod copy;
mod counters;
mod faults;
mod functions;
mod hide;
mod load;
mod proc;
mod scenario;
mod sensor;
mod shared;
mod signal;
mod state;

pub use scenario::{Scenario, ScenarioError};
pub use shared::{SharedDriver, built_library, install};
pub use signal::Signal;

use std::ffi::{CStr, c_void};
use std::sync::OnceLock;

/// Puts a scenario in force in this process: nothing initialised, counters at zero, the clock at the scenario's start,
/// no GPU lost. Handles of an earlier scenario stay harmless.
pub fn start(scenario: &Scenario) {
    state::start(scenario);
    // Only in a library of its own name: there the symbols themselves come and go.
    hide::apply();
}

/// The function of that name, to be called as `nvml.h` declares it; null for a symbol that the scenario's driver lacks
/// and for a name that NVML does not have. What `nvml_sys::Functions::from_resolver` wants.
#[must_use]
pub fn resolve(name: &CStr) -> *const c_void {
    if !state::has(name) {
        return std::ptr::null();
    }
    functions::find(name).map_or(std::ptr::null(), |number| addresses()[number] as *const c_void)
}

/// The address of every function, by number.
fn addresses() -> &'static [usize; functions::COUNT] {
    static ADDRESSES: OnceLock<[usize; functions::COUNT]> = OnceLock::new();
    ADDRESSES.get_or_init(|| {
        let (_, mut list) = api::modelled();
        api::stubs::fill(&mut list);
        std::array::from_fn(|number| {
            let name = functions::name(number);
            list.iter().find(|entry| entry.0 == name).map_or(0, |entry| entry.1 as usize)
        })
    })
}

/// The names of the functions that are modelled; the others of `nvml_sys::NAMES` answer NOT_SUPPORTED.
#[must_use]
pub fn modelled() -> Vec<&'static str> {
    api::modelled().1.into_iter().map(|entry| entry.0).collect()
}

/// The README's example is compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
