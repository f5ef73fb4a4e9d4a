//! What is said when a recording has ended.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
    sync::atomic::Ordering::Relaxed,
};

use igpu_recording::Summary;
use indicatif::{HumanBytes, HumanCount};

use super::{
    Went,
    args::{RecordArgs, STDOUT},
    recorder::Ended,
    sink::{Progress, shown},
};
use crate::{args::Options, fail::Fail};

/// Prints the summary and where the recording is; gives whether all could be written.
pub fn show(options: &Options, args: &RecordArgs, went: &Went) -> bool {
    let Went { ended, progress, lost } = went;
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
    format!("{}: {bytes}, {items} records", shown(&args.output))
}

fn write_summary(options: &Options, args: &RecordArgs, summary: &Summary) -> Result<(), Fail> {
    let json = || {
        let text = serde_json::to_string_pretty(summary).map_err(|error| Fail::Write(error.into()));
        text.map(|text| text + "\n")
    };
    match args.summary_json.as_deref() {
        Some(path) if path == Path::new(STDOUT) => stdout(&json()?),
        Some(path) => {
            let text = text(summary, args);
            text.and(fs::write(path, json()?).map_err(|error| Fail::File(path.to_owned(), error)))
        }
        None if options.json => stdout(&json()?),
        None => text(summary, args),
    }
}

fn text(_summary: &Summary, _args: &RecordArgs) -> Result<(), Fail> {
    Ok(())
}

fn stdout(text: &str) -> Result<(), Fail> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Fail::Write)
}

fn eprintln(line: &str) {
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(io::stderr(), "{line}");
}
