//! What a command found, and how it ends: all of stdout in one piece, then what went wrong on stderr.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    process::ExitCode,
};

use igpu::ReturnCode;
use serde::Serialize;

use crate::{error::CliError, options::Options};

/// What goes to stdout, and a sentence for each thing that could not be shown.
#[derive(Default)]
pub(crate) struct CommandOutput {
    pub stdout: String,
    pub problems: Vec<String>,
}

/// The name of a file that stands for the standard output.
pub(crate) const STDOUT: &str = "-";

/// What is said where there is no GPU.
pub(crate) const NO_GPU_MESSAGE: &str = "There is no NVIDIA GPU on this machine.\n";
/// What is said where there are GPUs, but none for CUDA.
pub(crate) const NO_VISIBLE_GPU_MESSAGE: &str = "CUDA_VISIBLE_DEVICES leaves no GPU visible.\n";

impl CommandOutput {
    pub(crate) fn text(stdout: String) -> Self {
        Self { stdout, ..Self::default() }
    }

    /// One JSON array.
    pub(crate) fn json<T: Serialize>(items: &[T]) -> Result<Self, CliError> {
        let mut text = serde_json::to_string_pretty(items).map_err(|error| CliError::Write(error.into()))?;
        text.push('\n');
        Ok(Self::text(escape_json(&text)))
    }

    /// Where none of `count` GPUs is to be shown: an empty array, or a sentence that says why.
    pub(crate) fn no_gpus(options: &Options, count: u32) -> Self {
        let message = if count > 0 { NO_VISIBLE_GPU_MESSAGE } else { NO_GPU_MESSAGE };
        Self::text(if options.json { "[]\n".to_owned() } else { message.to_owned() })
    }
}

/// JSON with the characters as `\u061c` that JSON allows as they are, but that can take a terminal over: outside ASCII
/// characters stand only in strings, so that it stays the same JSON.
pub(crate) fn escape_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && igpu::needs_escape(c) {
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
pub(crate) fn finish(output: Result<CommandOutput, CliError>, options: &Options) -> ExitCode {
    let output = match output {
        // The driver is there and says that it has nothing to drive.
        Err(CliError::Load(error)) if error.code() == Some(ReturnCode(GPU_NOT_FOUND)) => {
            Ok(CommandOutput::no_gpus(options, 0))
        }
        other => other,
    };
    let (stdout, problems) = match output {
        Ok(CommandOutput { stdout, problems }) => (stdout, problems),
        Err(error) => (String::new(), vec![error.to_string()]),
    };
    match write(&stdout) {
        // Whoever closed the pipe has seen enough of it; what went wrong is told all the same.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Err(error) => return print_problems(&[CliError::Write(error).to_string()]),
        Ok(()) => {}
    }
    if problems.is_empty() { ExitCode::SUCCESS } else { print_problems(&problems) }
}

/// NVML_ERROR_GPU_NOT_FOUND.
const GPU_NOT_FOUND: u32 = 28;

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

fn print_problems(problems: &[String]) -> ExitCode {
    let mut stderr = io::stderr().lock();
    for problem in problems {
        // Nobody is left to tell when stderr is closed.
        let _ = writeln!(stderr, "igpu: {problem}");
    }
    ExitCode::FAILURE
}
