//! A simulated NVML driver with scripted GPUs, known true values, and injected faults.
//!
//! The shared library replaces `libnvidia-ml.so.1` for any NVML client:
//!
//! ```sh
//! cargo run -p nvml-sim --example install -- /tmp/sim workstation
//! LD_LIBRARY_PATH=/tmp/sim nvitop
//! ```
//!
//! When the library is loaded, it starts the scenario that the environment variable `NVML_SIM_SCENARIO` selects: the
//! name of a built-in scenario, or the path of a TOML file. If the variable is not set, it starts the scenario in the
//! file `nvml-sim.toml` next to the library, or `workstation` if there is no such file. If the scenario cannot be
//! loaded, the library writes a message to stderr, and nvmlInit* returns NVML_ERROR_UNKNOWN.
//!
//! For tests, [`SharedDriver`] loads a copy of the library that has its own statics, so that a process can use several
//! drivers. The items of `nvml-sim-core` are re-exported. A program that only needs an in-process driver can depend on
//! that package instead.

mod c_control;
mod install;
mod shared_driver;
mod startup;
mod symbol_hiding;

pub use install::{built_library, install};
pub use nvml_sim_core::{Scenario, ScenarioError, Waveform, control, modeled_functions, resolve, start};
pub use shared_driver::SharedDriver;

/// The README, whose example is compiled as a documentation test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
