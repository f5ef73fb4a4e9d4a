//! The command line.

use clap::{Parser, Subcommand};

#[cfg(feature = "plot")]
use crate::plot::PlotArgs;
use crate::{
    help::{EXIT_STATUS, with_exit_status},
    man_page::ManArgs,
    options::Options,
    probe::ProbeArgs,
    record::RecordArgs,
    report::ReportArgs,
};

/// Returns the sections of the main help that follow the options.
fn after_help() -> String {
    format!("{EXAMPLES}{SIMULATOR_EXAMPLES}\n{ENVIRONMENT}\n{EXIT_STATUS}")
}

const EXAMPLES: &str = "\
Examples:
  igpu                                    Show all values of all GPUs
  igpu show 0 GPU-d9bf                    Show GPU 0 and the GPU whose UUID starts with GPU-d9bf
  igpu ps                                 List the processes on all GPUs
  igpu probe --quick                      Measure driver calls and sensors for 5 s
  igpu record -- python train.py          Record all GPUs while a program runs
  igpu report igpu.perfetto-trace         Print the summary of that recording again
  igpu --json | jq '.[].power.draw'       Print the power draw of each GPU in watts
  CUDA_VISIBLE_DEVICES=1,3 igpu list --visible
                                          List the GPUs that a CUDA program sees
";

#[cfg(feature = "simulator")]
const SIMULATOR_EXAMPLES: &str =
    "  igpu --simulate                         Show four simulated GPUs; no driver is needed
  igpu --simulate=hgx-h100 list           List the GPUs of another simulated machine
";
#[cfg(not(feature = "simulator"))]
const SIMULATOR_EXAMPLES: &str = "";

const ENVIRONMENT: &str = "\
Environment:
  IGPU_NVML_LIBRARY     The driver library to load; --library takes precedence
  CUDA_VISIBLE_DEVICES  The GPUs that --visible selects
";

const SHOW_EXAMPLES: &str = "\
Examples:
  igpu show                       Show all GPUs
  igpu show 0 GPU-d9bf            Show GPU 0 and the GPU whose UUID starts with GPU-d9bf
  igpu show 0 --json              Print the same values as JSON; unknown values are null
";

const LIST_EXAMPLES: &str = "\
Examples:
  igpu list                       List all GPUs
  igpu list --visible             List the GPUs that a CUDA program sees, in that order
  igpu list --json                Print an array of objects with index, uuid, and name
";

const PS_EXAMPLES: &str = "\
Examples:
  igpu ps                         List compute, graphics, and MPS processes
  igpu ps --json                  Print an array with one object for each process
";

const DRIVER_EXAMPLES: &str = "\
Examples:
  igpu driver                     Show the versions and the path of the loaded library
  igpu driver --library PATH      Show the versions of another driver library
";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  igpu completions bash > ~/.local/share/bash-completion/completions/igpu
  igpu completions zsh > ~/.zfunc/_igpu
  igpu completions fish > ~/.config/fish/completions/igpu.fish
";

/// Show the state of NVIDIA GPUs, and record how a program uses them
///
/// Without a subcommand, igpu shows all values of all GPUs. It reads the driver through NVML, needs no privileges, and
/// changes no setting of a GPU.
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
    /// Show all values of GPUs: memory, utilization, PCI, clocks, power, processes [default]
    ///
    /// Values that a GPU does not support are shown as N/A. Memory is in MiB, power in watts, temperature in degrees
    /// Celsius, clocks in MHz, and utilization and fan speed in percent.
    #[command(after_help = with_exit_status(SHOW_EXAMPLES))]
    Show {
        /// Show the GPUs with these indices or UUID prefixes [default: all GPUs]
        #[arg(value_name = "INDEX|UUID-PREFIX")]
        gpus: Vec<String>,
    },
    /// List GPUs: index, UUID, name
    #[command(after_help = with_exit_status(LIST_EXAMPLES))]
    List,
    /// List the processes on all GPUs
    ///
    /// With MIG, the GPU column also has the GPU instance and the compute instance, such as 0/3/0. The driver reports
    /// the memory of a process; /proc provides its name, user, parent, and creation time.
    #[command(after_help = with_exit_status(PS_EXAMPLES))]
    Ps,
    /// Measure driver calls and sensors, and derive a sampling plan
    ///
    /// Measures how long the driver calls take, how often the sensors refresh, over which window they average, and how
    /// many entries the sample buffers of the driver hold. From that it derives a sampling plan: how often to read each
    /// metric. Takes 45 s, or 5 s with --quick, for all GPUs together. Changes no setting and needs no privileges, but
    /// its driver calls can slow down a running workload.
    Probe(ProbeArgs),
    /// Record GPUs while a program runs
    ///
    /// Writes a trace or table of all metrics, and prints a summary: energy, power, utilization, memory, temperature,
    /// and throttling of each GPU. With --json, the summary is a JSON array with one object, which --summary-json prints
    /// without the array. Without a program, records until Ctrl-C or for --duration.
    Record(RecordArgs),
    /// Summarize a recording, or compare two recordings
    Report(ReportArgs),
    /// Plot a recording as SVG or PNG
    ///
    /// Draws power, utilization, memory, and temperature of each GPU over time, and marks the start and end of the
    /// recorded program.
    #[cfg(feature = "plot")]
    Plot(PlotArgs),
    /// Show the versions of the driver, NVML, and CUDA
    #[command(after_help = with_exit_status(DRIVER_EXAMPLES))]
    Driver,
    /// Generate a completion script for a shell
    #[command(after_help = with_exit_status(COMPLETIONS_EXAMPLES))]
    Completions {
        /// Generate the script for this shell
        shell: clap_complete::Shell,
    },
    /// Print a manual page, or write all of them
    Man(ManArgs),
}

impl CliCommand {
    /// Returns `true` if the output can be printed as JSON.
    pub(crate) fn supports_json(&self) -> bool {
        #[cfg(feature = "plot")]
        if matches!(self, Self::Plot(_)) {
            return false;
        }
        !matches!(self, Self::Completions { .. } | Self::Man(_))
    }

    /// Returns the name of the subcommand on the command line.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Show { .. } => "show",
            Self::List => "list",
            Self::Ps => "ps",
            Self::Probe(_) => "probe",
            Self::Record(_) => "record",
            Self::Report(_) => "report",
            #[cfg(feature = "plot")]
            Self::Plot(_) => "plot",
            Self::Driver => "driver",
            Self::Completions { .. } => "completions",
            Self::Man(_) => "man",
        }
    }
}
