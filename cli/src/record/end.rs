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
    recorder::Ended,
    sink::{Progress, shown},
};
use crate::{
    error::CliError,
    options::Options,
    output::{CommandOutput, STDOUT},
    report,
};

/// How a recording went.
pub(super) struct Outcome {
    pub ended: Ended,
    pub progress: Arc<Progress>,
    /// How many records were dropped, where the recorder does not answer any more.
    pub lost: Option<Item>,
}

/// Prints the summary and where the recording is; gives whether all could be written.
pub(super) fn show(options: &Options, args: &RecordArgs, went: &Outcome) -> bool {
    let Outcome { ended, progress, lost } = went;
    if let Some(lost) = lost {
        progress.summary().see(lost);
    }
    let summary = progress.summary().summary();
    let said = write_summary(options, args, &summary);
    if let Err(fail) = &said {
        eprintln(&format!("igpu: {fail}"));
    }
    if *ended == Ended::LeftAlone {
        let name = shown(&args.output);
        eprintln(&format!("igpu: {name} was not finished, as its disk does not answer; what it had written is there"));
    } else if !args.is_to_stdout() {
        eprintln(&place(args, progress));
    }
    said.is_ok()
}

/// Where the recording is, and what to do with it.
fn place(args: &RecordArgs, progress: &Progress) -> String {
    let (bytes, items) = (HumanBytes(progress.bytes.load(Relaxed)), HumanCount(progress.items.load(Relaxed)));
    let viewer = match args.format() {
        Some(format) if format.is_trace() => "open it at ui.perfetto.dev or with `igpu report`",
        _ => "`igpu report` reads it",
    };
    format!("{}: {bytes}, {items} records; {viewer}", shown(&args.output))
}

fn write_summary(options: &Options, args: &RecordArgs, summary: &Summary) -> Result<(), CliError> {
    let json = || report::json(summary);
    match args.summary_json.as_deref() {
        Some(path) if path == Path::new(STDOUT) => stdout(&json()?),
        None if options.json => stdout(&CommandOutput::json(&[summary])?.stdout),
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
    stdout(&text)
}

fn stdout(text: &str) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(CliError::Write)
}

fn eprintln(line: &str) {
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(io::stderr(), "{line}");
}
