//! What is said when a recording has ended.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use igpu_recording::{Item, Summary};
use indicatif::{HumanBytes, HumanCount};

use super::{
    args::RecordArgs,
    output_file::{RecordingProgress, escaped_path},
    recorder::Completion,
};
use crate::{
    error::CliError,
    options::Options,
    output::{CommandOutput, STDOUT},
    report,
};

/// How a recording went.
pub(super) struct RecordingOutcome {
    pub completion: Completion,
    pub progress: Arc<RecordingProgress>,
    /// How many records were dropped, where the recorder does not answer any more.
    pub dropped: Option<Item>,
}

/// Prints the summary and where the recording is; gives whether all could be written.
pub(super) fn show(options: &Options, args: &RecordArgs, outcome: &RecordingOutcome) -> bool {
    let RecordingOutcome { completion, progress, dropped } = outcome;
    if let Some(dropped) = dropped {
        progress.summary().observe(dropped);
    }
    let summary = progress.summary().summary();
    let result = write_summary(options, args, &summary);
    if let Err(error) = &result {
        print_stderr(&format!("igpu: {error}"));
    }
    if *completion == Completion::Abandoned {
        let name = escaped_path(&args.output);
        print_stderr(&format!(
            "igpu: {name} was not finished, as its disk does not answer; what it had written is there"
        ));
    } else if !args.is_to_stdout() {
        print_stderr(&location_message(args, progress));
    }
    result.is_ok()
}

/// Where the recording is, and what to do with it.
fn location_message(args: &RecordArgs, progress: &RecordingProgress) -> String {
    let (bytes, items) = (HumanBytes(progress.bytes.load(Relaxed)), HumanCount(progress.items.load(Relaxed)));
    let viewer = match args.format() {
        Some(format) if format.is_trace() => "open it at ui.perfetto.dev or with `igpu report`",
        _ => "`igpu report` reads it",
    };
    format!("{}: {bytes}, {items} records; {viewer}", escaped_path(&args.output))
}

fn write_summary(options: &Options, args: &RecordArgs, summary: &Summary) -> Result<(), CliError> {
    let json = || report::json(summary);
    match args.summary_json.as_deref() {
        Some(path) if path == Path::new(STDOUT) => print_stdout(&json()?),
        None if options.json => print_stdout(&CommandOutput::json(&[summary])?.stdout),
        Some(path) => {
            let shown = show_text(summary, args);
            shown.and(fs::write(path, json()?).map_err(|error| CliError::File(path.to_owned(), error)))
        }
        None => show_text(summary, args),
    }
}

/// Shows people the summary. The standard output is the command's, or the recording's.
fn show_text(summary: &Summary, args: &RecordArgs) -> Result<(), CliError> {
    let text = report::text(summary);
    if args.has_command() || args.is_to_stdout() {
        // Nobody is left to tell when stderr is closed.
        let _ = io::stderr().write_all(text.as_bytes());
        return Ok(());
    }
    print_stdout(&text)
}

fn print_stdout(text: &str) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(CliError::Write)
}

fn print_stderr(line: &str) {
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(io::stderr(), "{line}");
}
