//! `igpu report`: the summary of a recording, or the comparison of two recordings.

mod compare;
mod delta;
mod processes;
mod text;
mod warnings;

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, error::ErrorKind};
use igpu_recording::{RecordingError, Summary, SummaryBuilder, read};
use serde::Serialize;

use self::compare::Comparison;
pub(crate) use self::text::text;
use crate::{
    error::{CliError, Diagnostic},
    help::with_exit_status,
    options::Options,
    output::{CommandOutput, STDOUT, escape_json},
};

const EXAMPLES: &str = "\
Examples:
  igpu report igpu.perfetto-trace         Print the summary of a recording
  igpu report before.csv after.csv        Compare two recordings: B - A
  igpu report run.csv --summary-json | jq .total.energy_j
                                          Print the energy of all GPUs in joules
";

/// The section of the long help about the JSON output.
const JSON_HELP: &str = "\
JSON:
  --summary-json prints the same object as `igpu record --summary-json`. The keys end with the unit.
  Values that were not recorded are null.

  --json prints an array of these objects, one for each recording, with the additional key `file`.
  For two recordings, the second object has the additional key `comparison`:

  total          Values of all GPUs together: an array of {key, a, b, difference, percent}
                 key: the key of the value in the summary
                 difference: b - a
                 percent: the difference in percent of a; null if a is 0, and for utilization and
                 temperature
  gpus           GPUs in both recordings: an array of {index_a, index_b, name, same, values}
                 same: true if both UUIDs are equal, null if a UUID is unknown
                 values: as in total
  only_in_a,
  only_in_b      Indices of the GPUs in only one of the recordings
";

fn after_long_help() -> String {
    with_exit_status(&format!("{EXAMPLES}\n{JSON_HELP}"))
}

#[derive(Args)]
#[command(after_help = with_exit_status(EXAMPLES), after_long_help = after_long_help())]
pub(crate) struct ReportArgs {
    /// Summarize this recording; with two recordings, compare the second with the first
    #[arg(value_name = "FILE", num_args = 1..=2, required = true)]
    pub files: Vec<PathBuf>,
    /// Write the summary of one recording as a JSON object to this file, or without FILE to the standard output instead
    /// of the text
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = STDOUT, conflicts_with = "json")]
    pub summary_json: Option<PathBuf>,
}

/// An element of the array that `--json` prints.
#[derive(Serialize)]
struct ReportDocument<'a> {
    file: String,
    #[serde(flatten)]
    summary: &'a Summary,
    /// The comparison with the first recording. Only the second recording has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<&'a Comparison>,
}

pub(crate) fn run(options: &Options, args: &ReportArgs) -> Result<CommandOutput, CliError> {
    if args.files.len() > 1 && args.summary_json.is_some() {
        let message = "--summary-json accepts only one recording\nhelp: use --json to compare two recordings";
        return Err(CliError::usage(ErrorKind::ArgumentConflict, message));
    }
    let mut problems = Vec::new();
    let summaries: Result<Vec<Summary>, CliError> =
        args.files.iter().map(|path| summary(path, &mut problems)).collect();
    let mut output = match summaries?.as_slice() {
        [a, b] => report_two(options, args, a, b)?,
        [summary] => report_one(options, args, summary)?,
        _ => CommandOutput::default(),
    };
    output.problems = problems;
    Ok(output)
}

fn report_one(options: &Options, args: &ReportArgs, summary: &Summary) -> Result<CommandOutput, CliError> {
    if options.json {
        return CommandOutput::json(&[document(&args.files[0], summary, None)]);
    }
    match args.summary_json.as_deref() {
        Some(path) if path == Path::new(STDOUT) => Ok(CommandOutput::text(json(summary)?)),
        Some(path) => {
            fs::write(path, json(summary)?).map_err(|error| CliError::File(path.to_owned(), error))?;
            Ok(CommandOutput::text(text(summary)))
        }
        None => Ok(CommandOutput::text(text(summary))),
    }
}

fn report_two(options: &Options, args: &ReportArgs, a: &Summary, b: &Summary) -> Result<CommandOutput, CliError> {
    let comparison = Comparison::new(a, b);
    let [first, second] = [0, 1].map(|index: usize| &args.files[index]);
    if options.json {
        return CommandOutput::json(&[document(first, a, None), document(second, b, Some(&comparison))]);
    }
    Ok(CommandOutput::text(comparison.text([&first.to_string_lossy(), &second.to_string_lossy()])))
}

fn document<'a>(file: &Path, summary: &'a Summary, comparison: Option<&'a Comparison>) -> ReportDocument<'a> {
    ReportDocument { file: file.to_string_lossy().into_owned(), summary, comparison }
}

/// Returns the summary as one JSON object, followed by a line feed.
pub(crate) fn json(summary: &Summary) -> Result<String, CliError> {
    let text = serde_json::to_string_pretty(summary).map_err(|error| CliError::Write(error.into()))?;
    Ok(escape_json(&text) + "\n")
}

/// Reads a recording and returns its summary. If only the end of the file is invalid, summarizes the items before it,
/// and adds the error to `problems`.
fn summary(path: &Path, problems: &mut Vec<Diagnostic>) -> Result<Summary, CliError> {
    let unreadable = |error: RecordingError| CliError::Recording(path.to_owned(), error);
    let mut builder = SummaryBuilder::default();
    let mut is_empty = true;
    for item in read(path).map_err(unreadable)? {
        match item {
            Ok(item) => builder.observe(&item),
            Err(error) if is_empty => return Err(unreadable(error)),
            Err(error) => problems.push(Diagnostic::from(&CliError::RecordingEnd(path.to_owned(), error))),
        }
        is_empty = false;
    }
    if is_empty {
        return Err(unreadable(RecordingError::Format));
    }
    Ok(builder.summary())
}
