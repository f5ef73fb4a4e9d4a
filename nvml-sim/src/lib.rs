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
//! For tests, [`SharedDriver`] is a copy of that library with statics of its own, so that many run in one process. The
//! items of `nvml-sim-core` are reexported; a program that only needs an in-process driver depends on that package
//! instead.

mod c_control;
mod install;
mod shared_driver;
mod startup;
mod symbol_hiding;

pub use install::{built_library, install};
pub use nvml_sim_core::{Scenario, ScenarioError, Waveform, control, modeled_functions, resolve, start};
pub use shared_driver::SharedDriver;

/// The README's example is compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
