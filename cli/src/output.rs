//! What a command found, and how it ends: all of stdout in one piece, then what went wrong on stderr.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    process::ExitCode,
};

use igpu::ReturnCode;
use serde::Serialize;

use crate::{fail::Fail, options::Options};

/// What goes to stdout, and a sentence for each thing that could not be shown.
#[derive(Default)]
pub(crate) struct Report {
    pub stdout: String,
    pub problems: Vec<String>,
}

/// The name of a file that stands for the standard output.
pub(crate) const STDOUT: &str = "-";

/// What is said where there is no GPU.
pub(crate) const NO_GPU: &str = "There is no NVIDIA GPU on this machine.\n";
/// What is said where there are GPUs, but none for CUDA.
pub(crate) const NONE_VISIBLE: &str = "CUDA_VISIBLE_DEVICES leaves no GPU visible.\n";

impl Report {
    pub(crate) fn text(stdout: String) -> Self {
        Self { stdout, ..Self::default() }
    }

    /// One JSON array.
    pub(crate) fn json<T: Serialize>(items: &[T]) -> Result<Self, Fail> {
        let mut text = serde_json::to_string_pretty(items).map_err(|error| Fail::Write(error.into()))?;
        text.push('\n');
        Ok(Self::text(harmless(&text)))
    }

    /// Where none of `count` GPUs is to be shown: an empty array, or a sentence that says why.
    pub(crate) fn nothing(options: &Options, count: u32) -> Self {
        let sentence = if count > 0 { NONE_VISIBLE } else { NO_GPU };
        Self::text(if options.json { "[]\n".to_owned() } else { sentence.to_owned() })
    }
}

/// JSON with the characters as `\u061c` that JSON allows as they are, but that can take a terminal over: outside ASCII
/// characters stand only in strings, so that it stays the same JSON.
pub(crate) fn harmless(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && igpu::is_harmful(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(c);
        }
    }
    text
}

/// Prints the report, and gives the exit status that goes with it.
pub(crate) fn finish(report: Result<Report, Fail>, options: &Options) -> ExitCode {
    let report = match report {
        // The driver is there and says that it has nothing to drive.
        Err(Fail::Load(error)) if error.code() == Some(ReturnCode(NO_GPUS_FOUND)) => Ok(Report::nothing(options, 0)),
        other => other,
    };
    let (stdout, problems) = match report {
        Ok(Report { stdout, problems }) => (stdout, problems),
        Err(fail) => (String::new(), vec![fail.to_string()]),
    };
    match write(&stdout) {
        // Whoever closed the pipe has seen enough of it; what went wrong is told all the same.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Err(error) => return fail(&[Fail::Write(error).to_string()]),
        Ok(()) => {}
    }
    if problems.is_empty() { ExitCode::SUCCESS } else { fail(&problems) }
}

/// NVML_ERROR_GPU_NOT_FOUND.
const NO_GPUS_FOUND: u32 = 28;

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

fn fail(problems: &[String]) -> ExitCode {
    let mut stderr = io::stderr().lock();
    for problem in problems {
        // Nobody is left to tell when stderr is closed.
        let _ = writeln!(stderr, "igpu: {problem}");
    }
    ExitCode::FAILURE
}
