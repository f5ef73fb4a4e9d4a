//! `igpu report`: the summary of a recording, or two compared.

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
    error::CliError,
    options::Options,
    output::{CommandOutput, STDOUT, escape_json},
};

/// What JSON holds, for the long help.
const JSON_HELP: &str = "\
JSON: --summary-json gives the object that `igpu record --summary-json` gives. Its keys end with the
unit; what was not recorded is null. --json gives an array of such objects, one for each recording,
each with its `file`. Of two, the second has a `comparison`:

  total          what is of all GPUs: an array of {key, a, b, difference, percent}
                 key: as in a summary; difference: b - a; percent: of a, null where a is 0, and
                 of utilization and temperature
  gpus           the GPUs that both have: an array of {index_a, index_b, name, same, values}
                 same: whether it is the very same GPU; values: as in total
  only_in_a,
  only_in_b      the indices of the other GPUs";

#[derive(Args)]
#[command(after_long_help = JSON_HELP)]
pub(crate) struct ReportArgs {
    /// The recording; a second one is compared with it
    #[arg(value_name = "FILE", num_args = 1..=2, required = true)]
    pub files: Vec<PathBuf>,
    /// The summary of one recording as a JSON object: in this file, or in place of the text
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = STDOUT, conflicts_with = "json")]
    pub summary_json: Option<PathBuf>,
}

/// What `--json` has of a recording.
#[derive(Serialize)]
struct ReportDocument<'a> {
    file: String,
    #[serde(flatten)]
    summary: &'a Summary,
    /// Of the second of two: how it differs from the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<&'a Comparison>,
}

pub(crate) fn run(options: &Options, args: &ReportArgs) -> Result<CommandOutput, CliError> {
    if args.files.len() > 1 && args.summary_json.is_some() {
        let message = "--summary-json is of one recording; --json has both, compared\n";
        return Err(CliError::usage(ErrorKind::ArgumentConflict, message));
    }
    let mut problems = Vec::new();
    let summaries: Result<Vec<Summary>, CliError> =
        args.files.iter().map(|path| summary(path, &mut problems)).collect();
    let mut output = match summaries?.as_slice() {
        [a, b] => report_two(options, args, a, b)?,
        [one] => report_one(options, args, one)?,
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

/// The summary as one JSON object, which ends with a line feed.
pub(crate) fn json(summary: &Summary) -> Result<String, CliError> {
    let text = serde_json::to_string_pretty(summary).map_err(|error| CliError::Write(error.into()))?;
    Ok(escape_json(&text) + "\n")
}

/// The summary of a recording. What is wrong with its end is a problem; what came before it is summed up.
fn summary(path: &Path, problems: &mut Vec<String>) -> Result<Summary, CliError> {
    let unreadable = |error: RecordingError| CliError::Recording(path.to_owned(), error);
    let mut builder = SummaryBuilder::default();
    let mut is_empty = true;
    for item in read(path).map_err(unreadable)? {
        match item {
            Ok(item) => builder.observe(&item),
            Err(error) if is_empty => return Err(unreadable(error)),
            Err(error) => problems.push(unreadable(error).to_string()),
        }
        is_empty = false;
    }
    if is_empty {
        return Err(unreadable(RecordingError::Format));
    }
    Ok(builder.summary())
}
