//! The output after the end of a recording: the summary, and the location of the file.

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
    error::{CliError, Diagnostic},
    options::Options,
    output::{CommandOutput, STDOUT},
    report,
};

/// The outcome of a recording.
pub(super) struct RecordingOutcome {
    pub completion: Completion,
    pub progress: Arc<RecordingProgress>,
    /// A heartbeat with the number of dropped records, if the recorder thread was abandoned and cannot provide it.
    pub dropped: Option<Item>,
}

/// Prints the summary and the location of the recording. Returns `true` if everything could be written.
pub(super) fn show(options: &Options, args: &RecordArgs, outcome: &RecordingOutcome) -> bool {
    let RecordingOutcome { completion, progress, dropped } = outcome;
    if let Some(dropped) = dropped {
        progress.summary().observe(dropped);
    }
    let summary = progress.summary().summary();
    let has_no_reader = progress.has_no_reader.load(Relaxed);
    let result = write_summary(options, args, &summary, has_no_reader);
    if let Err(error) = &result {
        print_stderr(&Diagnostic::from(error).to_string());
    }
    if has_no_reader && summary.dropped_records > 0 {
        let count = HumanCount(summary.dropped_records);
        let message = format!("{count} records were not written, because the reader of the standard output closed it");
        print_stderr(&Diagnostic::new(message).to_string());
    }
    if *completion == Completion::Abandoned {
        let message = format!("{} is incomplete, because its disk does not respond", escaped_path(&args.output));
        let help = "`igpu report` can read what was written before";
        print_stderr(&Diagnostic::new(message).with_help(help).to_string());
    } else if !args.is_to_stdout() {
        print_stderr(&location_message(args, progress));
    }
    result.is_ok()
}

/// Returns the message with the location and size of the recording, and the programs that can open it if it has items.
fn location_message(args: &RecordArgs, progress: &RecordingProgress) -> String {
    let (bytes, items) = (HumanBytes(progress.bytes.load(Relaxed)), HumanCount(progress.items.load(Relaxed)));
    let open_hint = match args.format() {
        _ if progress.items.load(Relaxed) == 0 => "",
        Some(format) if format.is_trace() => {
            "; open it at https://ui.perfetto.dev, or with `igpu report` or `igpu plot`"
        }
        _ => "; open it with `igpu report` or `igpu plot`",
    };
    format!("{}: {bytes}, {items} records{open_hint}", escaped_path(&args.output))
}

fn write_summary(options: &Options, args: &RecordArgs, summary: &Summary, has_no_reader: bool) -> Result<(), CliError> {
    let json = || report::json(summary);
    match args.summary_json.as_deref() {
        Some(path) if path == Path::new(STDOUT) => print_stdout(&json()?),
        None if options.json => print_stdout(&CommandOutput::json(&[summary])?.stdout),
        Some(path) => {
            let text_result = show_text(summary, args, has_no_reader);
            text_result.and(fs::write(path, json()?).map_err(|error| CliError::File(path.to_owned(), error)))
        }
        None => show_text(summary, args, has_no_reader),
    }
}

/// Prints the summary as text: on stderr if the command or the recording uses stdout, and on stdout otherwise.
fn show_text(summary: &Summary, args: &RecordArgs, has_no_reader: bool) -> Result<(), CliError> {
    let mut summary = summary.clone();
    if has_no_reader {
        // Without a reader, records are dropped although no disk is slow or full. `show` reports their number.
        summary.dropped_records = 0;
    }
    let text = report::text(&summary);
    if args.has_command() || args.is_to_stdout() {
        // If stderr is closed, there is nowhere to report the error.
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
    // If stderr is closed, there is nowhere to report the error.
    let _ = writeln!(io::stderr(), "{line}");
}
