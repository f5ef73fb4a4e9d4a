//! Options common to all subcommands.

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Default)]
pub(crate) struct Options {
    /// Print one JSON array; readings that a GPU lacks are null
    #[arg(long, global = true)]
    pub json: bool,
    /// Show only the GPUs that CUDA_VISIBLE_DEVICES leaves visible
    #[arg(long, global = true)]
    pub visible: bool,
    /// Load this driver library instead of libnvidia-ml.so.1
    #[arg(long, global = true, value_name = "PATH")]
    #[cfg_attr(feature = "simulator", arg(conflicts_with = "simulate"))]
    pub library: Option<PathBuf>,
    /// Show a simulated machine: the name of a scenario, or the path of one in TOML [without a value: workstation]
    #[cfg_attr(feature = "simulator", arg(long, global = true, value_name = "SCENARIO", num_args = 0..=1, require_equals = true, default_missing_value = "workstation"))]
    #[cfg_attr(not(feature = "simulator"), arg(skip))]
    pub simulate: Option<String>,
}
