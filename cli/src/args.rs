//! The command line.

use clap::{Parser, Subcommand};

#[cfg(feature = "plot")]
use crate::plot::PlotArgs;
use crate::{options::Options, probe::ProbeArgs, record::RecordArgs, report::ReportArgs};

/// Returns the help text after the options: examples, the environment, and the exit status.
pub(crate) fn after_help() -> String {
    format!("{EXAMPLES}{SIMULATED}{ENVIRONMENT}")
}

const EXAMPLES: &str = "\
Examples:
  igpu                            every GPU with all its readings
  igpu show 0 GPU-d9bf            the GPU of index 0, and the one whose UUID starts so
  igpu ps                         the processes on all GPUs, and who owns them
  igpu probe --quick              what the driver's calls cost, and how often the sensors refresh
  igpu record -- python train.py  run a program, and record what it does to the GPUs
  igpu report igpu.perfetto-trace its summary once more
  igpu --json | jq '.[].power.draw'
                                  the power of each GPU, in watts
  CUDA_VISIBLE_DEVICES=1,3 igpu list --visible
                                  the GPUs that a CUDA program would see
";

#[cfg(feature = "simulator")]
const SIMULATED: &str = "  igpu --simulate                 four simulated GPUs: no driver needed
  igpu --simulate=hgx-h100 list   another simulated machine (also a path to a scenario in TOML)
";
#[cfg(not(feature = "simulator"))]
const SIMULATED: &str = "";

const ENVIRONMENT: &str = "
Environment:
  IGPU_NVML_LIBRARY      the driver library to load, like --library
  CUDA_VISIBLE_DEVICES   the GPUs that --visible selects

Exit status: 0 on success, 1 on error, 2 on wrong usage.";

/// Shows what every NVIDIA GPU on this machine is doing.
#[derive(Parser)]
#[command(name = "igpu", version = igpu::VERSION, after_help = after_help(), max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub options: Options,
    #[command(subcommand)]
    pub command: Option<CliCommand>,
}

#[derive(Subcommand)]
pub(crate) enum CliCommand {
    /// All readings of GPUs: memory, utilization, PCI, clocks, power, processes [the default]
    Show {
        /// Which GPUs: an index, or the start of a UUID; all when none is named
        #[arg(value_name = "INDEX|UUID-PREFIX")]
        gpus: Vec<String>,
    },
    /// A line for each GPU: index, UUID, name
    List,
    /// The processes on all GPUs in one table
    Ps,
    /// What calls cost, how often sensors refresh, and the sampling plan that follows
    ///
    /// Takes some 45 s, or 5 with --quick. Changes no setting and needs no privilege; a workload may feel it.
    Probe(ProbeArgs),
    /// Run a program, and record what it does to the GPUs
    ///
    /// Leaves a trace that opens in other tools, and prints a summary. Without a program it records until Ctrl-C.
    Record(RecordArgs),
    /// Print the summary of a recording, or compare two
    Report(ReportArgs),
    /// Draw a recording: power, utilization, memory and temperature over time
    #[cfg(feature = "plot")]
    Plot(PlotArgs),
    /// The versions of driver, NVML and CUDA
    Driver,
    /// Print the completions for a shell
    ///
    /// For bash: `igpu completions bash > ~/.local/share/bash-completion/completions/igpu`
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page: `igpu man | man -l -`
    Man,
}
