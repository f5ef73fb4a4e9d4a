//! The output of a subcommand. All text for stdout is printed first, followed by the diagnostics on stderr.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    process::ExitCode,
};

use igpu::ReturnCode;
use serde::Serialize;

use crate::{
    error::{CliError, Diagnostic},
    options::Options,
};

/// The text for stdout, and a diagnostic for each value that could not be shown.
#[derive(Default)]
pub(crate) struct CommandOutput {
    pub stdout: String,
    pub problems: Vec<Diagnostic>,
}

/// The argument that selects the standard output instead of a file.
pub(crate) const STDOUT: &str = "-";

/// Printed if the machine has no GPU.
pub(crate) const NO_GPU_MESSAGE: &str = "There is no NVIDIA GPU on this machine.\n";
/// Printed if the machine has GPUs, but CUDA would see none.
pub(crate) const NO_VISIBLE_GPU_MESSAGE: &str = "CUDA_VISIBLE_DEVICES leaves no GPU visible.\n";

impl CommandOutput {
    pub(crate) fn text(stdout: String) -> Self {
        Self { stdout, ..Self::default() }
    }

    /// Creates output that consists of a JSON array of these items.
    pub(crate) fn json<T: Serialize>(items: &[T]) -> Result<Self, CliError> {
        let mut text = serde_json::to_string_pretty(items).map_err(|error| CliError::Write(error.into()))?;
        text.push('\n');
        Ok(Self::text(escape_json(&text)))
    }

    /// Creates the output for an empty selection of the `count` GPUs of the machine: an empty JSON array, or a sentence
    /// that states the reason.
    pub(crate) fn no_gpus(options: &Options, count: u32) -> Self {
        let message = if count > 0 { NO_VISIBLE_GPU_MESSAGE } else { NO_GPU_MESSAGE };
        Self::text(if options.json { "[]\n".to_owned() } else { message.to_owned() })
    }
}

/// Escapes the characters in JSON text that a terminal could interpret. For example, U+061C becomes `\u061c`.
///
/// The escaped text represents the same JSON, because outside of strings, JSON has only characters that need no escape.
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

/// Prints the output and returns the exit status.
pub(crate) fn finish(output: Result<CommandOutput, CliError>, options: &Options) -> ExitCode {
    let output = match output {
        // A machine with a driver but without a GPU is not an error of this command.
        Err(CliError::Load(error) | CliError::Driver(error)) if error.code() == Some(ReturnCode::GPU_NOT_FOUND) => {
            Ok(CommandOutput::no_gpus(options, 0))
        }
        other => other,
    };
    let (stdout, problems) = match output {
        Ok(CommandOutput { stdout, problems }) => (stdout, problems),
        Err(error) => (String::new(), vec![Diagnostic::from(&error)]),
    };
    match write(&stdout) {
        // The reader of a closed pipe needs no more output, but the diagnostics are still printed.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Err(error) => return print_problems(&[Diagnostic::from(&CliError::Write(error))]),
        Ok(()) => {}
    }
    if problems.is_empty() { ExitCode::SUCCESS } else { print_problems(&problems) }
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

fn print_problems(problems: &[Diagnostic]) -> ExitCode {
    let mut stderr = io::stderr().lock();
    for problem in problems {
        // If stderr is closed, there is nowhere to report the error.
        let _ = writeln!(stderr, "{problem}");
    }
    ExitCode::FAILURE
}
