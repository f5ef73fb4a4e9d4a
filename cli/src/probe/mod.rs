//! `igpu probe`: measures the driver calls and the sensors of GPUs, and derives a sampling plan.

mod text;

use std::{
    fs::{File, OpenOptions},
    io::{Seek as _, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;
use igpu::{
    Nvml,
    probe::{DEFAULT_MAX_CALLS, Plan, Probe},
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    error::{CliError, Diagnostic},
    gpu_selection,
    help::with_exit_status,
    notifier::Notifier,
    options::Options,
    output::CommandOutput,
    watchdog::CallWatchdog,
};

/// The duration of a probe with and without `--quick`. With `--quick`, the command promises to take 5 s, and the
/// remaining 0.3 s are for loading the driver and printing the report.
const QUICK_DURATION: Duration = Duration::from_millis(4700);
const FULL_DURATION: Duration = Duration::from_secs(45);
/// The maximum number of timed calls of each function with `--quick`.
const QUICK_MAX_CALLS: u32 = 200;
/// The number of steps of the progress bar.
const PROGRESS_STEPS: u64 = 1000;

const EXAMPLES: &str = "\
Examples:
  igpu probe                      Probe all GPUs for 45 s
  igpu probe 0 --quick            Probe GPU 0 for 5 s
  igpu probe --plan plan.json     Write the sampling plan to a file as well
";

#[derive(Args)]
#[command(after_help = with_exit_status(EXAMPLES))]
pub(crate) struct ProbeArgs {
    /// Probe the GPUs with these indices or UUID prefixes [default: all GPUs]
    #[arg(value_name = "INDEX|UUID-PREFIX")]
    gpus: Vec<String>,
    /// Take 5 s instead of 45 s; the refresh periods of slow sensors may remain unknown
    #[arg(long)]
    quick: bool,
    /// Write the sampling plan as JSON to this file, for `igpu record --plan` or the igpu library
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
}

pub(crate) fn run(nvml: &Nvml, options: &Options, args: &ProbeArgs) -> Result<CommandOutput, CliError> {
    let (begin, time) = (Instant::now(), if args.quick { QUICK_DURATION } else { FULL_DURATION });
    let bar = bar(time);
    let watchdog = CallWatchdog::start(Notifier::new(bar.clone()));
    watchdog.begin("a driver call", None);
    let indices = gpu_selection::indices(nvml, options, &args.gpus)?;
    if indices.is_empty() {
        return Ok(CommandOutput::no_gpus(options, nvml.device_count()?));
    }
    // The file is opened before the measurement, so that a wrong path is reported immediately.
    let file = args.plan.as_deref().map(open).transpose()?;
    watchdog.end();
    let probe = Probe::new(nvml).gpus(&indices).max_calls(max_calls(args.quick));
    let mut phase = "";
    let result = probe.duration(time.saturating_sub(begin.elapsed())).run(|progress| {
        watchdog.begin(progress.function, Some(progress.gpu));
        if phase != progress.phase {
            phase = progress.phase;
            bar.set_message(phase);
        }
        bar.set_position((progress.fraction * PROGRESS_STEPS as f64) as u64);
    });
    watchdog.end();
    bar.finish_and_clear();
    let report = result?;
    let write_result = file.map_or(Ok(()), |file| write(file, &report.plan));
    let driver_version = nvml.driver_version().ok().map(|version| version.to_string());
    let document = text::Document { driver_version, report: &report };
    let mut output = if options.json {
        CommandOutput::json(&[document])?
    } else {
        CommandOutput::text(text::text(&document, max_calls(args.quick)))
    };
    let unreadable = report.gpus.iter().filter_map(|gpu| Some((gpu, gpu.error.as_ref()?)));
    output.problems =
        unreadable.map(|(gpu, error)| gpu_selection::read_error(gpu.index, gpu.uuid.as_deref(), error)).collect();
    // If the plan could not be written, the report is still printed.
    if let (Err(error), Some(path)) = (write_result, &args.plan) {
        output.problems.push(Diagnostic::from(&CliError::File(path.clone(), error)));
    }
    Ok(output)
}

/// Creates a progress bar on stderr, which is hidden if stderr is not a terminal.
fn bar(time: Duration) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(PROGRESS_STEPS), ProgressDrawTarget::stderr_with_hz(10));
    match ProgressStyle::with_template("probing {msg:12} [{bar:30}] {percent:>3} %, {elapsed} of {prefix}") {
        Ok(style) => bar.with_style(style).with_prefix(format!("{:.0}s", time.as_secs_f64())),
        Err(_) => bar,
    }
}

/// Opens the file for the plan. The old content of the file is kept until the plan is written.
fn open(path: &Path) -> Result<File, CliError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).open(path).map_err(|error| CliError::File(path.to_owned(), error))
}

fn write(mut file: File, plan: &Plan) -> std::io::Result<()> {
    let mut text = serde_json::to_string_pretty(plan)?;
    text.push('\n');
    // Both calls fail for a device or a pipe, which has no length and no position.
    let _ = file.set_len(0);
    let _ = file.rewind();
    file.write_all(text.as_bytes())?;
    file.flush()
}

fn max_calls(quick: bool) -> u32 {
    if quick { QUICK_MAX_CALLS } else { DEFAULT_MAX_CALLS }
}
