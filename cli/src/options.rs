//! Options that all subcommands have in common.

use std::path::PathBuf;

use clap::Args;

const HEADING: &str = "Global options";

#[derive(Args, Default)]
pub(crate) struct Options {
    /// Print a JSON array; unknown values are null
    #[arg(long, global = true, help_heading = HEADING)]
    pub json: bool,
    /// Select the GPUs in CUDA_VISIBLE_DEVICES, in the order of the variable
    #[arg(long, global = true, help_heading = HEADING)]
    pub visible: bool,
    /// Load this driver library [default: libnvidia-ml.so.1]
    #[arg(long, global = true, value_name = "PATH", help_heading = HEADING)]
    #[cfg_attr(feature = "simulator", arg(conflicts_with = "simulate"))]
    pub library: Option<PathBuf>,
    /// Simulate a machine: a built-in scenario, or the path of a TOML file [default scenario: workstation]
    #[cfg_attr(feature = "simulator", arg(long, global = true, value_name = "SCENARIO", num_args = 0..=1, require_equals = true, default_missing_value = "workstation", help_heading = HEADING))]
    #[cfg_attr(not(feature = "simulator"), arg(skip))]
    pub simulate: Option<String>,
}
