//! The errors of the command, and how they are printed on stderr.

use std::{fmt, io, path::PathBuf};

use igpu::Escaped;
use igpu_recording::RecordingError;

/// A message for stderr, with advice if there is any.
///
/// Displayed as `igpu: message`, followed by a line `help: advice`.
#[derive(Clone, Debug)]
pub(crate) struct Diagnostic {
    message: String,
    help: Option<String>,
}

impl Diagnostic {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    /// Creates a diagnostic whose message ends with an error of the library, and whose advice is that of the error.
    pub(crate) fn from_library(message: impl Into<String>, error: &igpu::Error) -> Self {
        Self { message: message.into(), help: error.help().map(str::to_owned) }
    }

    pub(crate) fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "igpu: {}", self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "\nhelp: {help}"))
    }
}

pub(crate) enum CliError {
    /// The command line is invalid. Printed with the usage; the exit status is 2.
    Usage(clap::Error),
    /// No driver could be loaded.
    Load(igpu::Error),
    /// A driver call that does not concern a single GPU failed.
    Driver(igpu::Error),
    /// An argument selects no GPU, more than one GPU, or an unusable file.
    Selection(Diagnostic),
    /// An output file could not be written.
    File(PathBuf, io::Error),
    /// Another process is writing the output file.
    Locked(PathBuf),
    /// A recording could not be opened, or its first item could not be read.
    Recording(PathBuf, RecordingError),
    /// A recording could not be read to its end. The items before the error were read.
    RecordingEnd(PathBuf, RecordingError),
    /// A thread could not be started.
    Thread(io::Error),
    /// The output could not be generated, or could not be written to stdout.
    Write(io::Error),
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(error) => error.fmt(f),
            Self::Load(error) | Self::Driver(error) => error.fmt(f),
            Self::Selection(diagnostic) => f.write_str(&diagnostic.message),
            Self::File(path, error) => {
                write!(f, "{} could not be written ({error})", Escaped(&path.to_string_lossy()))
            }
            Self::Locked(path) => {
                write!(f, "{} is being written by another igpu", Escaped(&path.to_string_lossy()))
            }
            Self::Recording(path, RecordingError::File(error)) => {
                write!(f, "could not read {}: {error}", Escaped(&path.to_string_lossy()))
            }
            Self::Recording(path, RecordingError::Truncated) => {
                write!(f, "{}: the file ends before the first item", Escaped(&path.to_string_lossy()))
            }
            Self::Recording(path, error) => {
                let (path, error) = (path.to_string_lossy(), error.to_string());
                write!(f, "{}: {}", Escaped(&path), Escaped(&error))
            }
            Self::RecordingEnd(path, error) => {
                let (path, error) = (path.to_string_lossy(), error.to_string());
                write!(f, "{}: {}; the items before it were read", Escaped(&path), Escaped(&error))
            }
            Self::Thread(error) => write!(f, "a thread could not be started ({error})"),
            Self::Write(error) => write!(f, "the output could not be written ({error})"),
        }
    }
}

impl CliError {
    /// Creates a usage error of this kind. [`finish`](crate::finish) adds the usage of the subcommand.
    pub(crate) fn usage(kind: clap::error::ErrorKind, message: impl fmt::Display) -> Self {
        Self::Usage(clap::Error::raw(kind, message))
    }

    /// Returns advice on how to resolve the error.
    fn help(&self) -> Option<String> {
        let help = match self {
            Self::Usage(_) | Self::Write(_) => return None,
            Self::Selection(diagnostic) => return diagnostic.help.clone(),
            Self::Load(error) if cfg!(feature = "simulator") => {
                let help = error.help().map_or(String::new(), |help| format!("{help}\nhelp: "));
                return Some(format!("{help}try simulated GPUs with `igpu --simulate`"));
            }
            Self::Load(error) | Self::Driver(error) => error.help(),
            Self::Recording(_, RecordingError::File(_)) => Some("check the path and its permissions"),
            Self::Recording(_, RecordingError::Truncated | RecordingError::Damaged(_)) => RecordingError::Format.help(),
            Self::File(..) => Some("check the path, its permissions, and the free space"),
            Self::Locked(_) => Some("name another file with `-o FILE`"),
            Self::Recording(_, error) | Self::RecordingEnd(_, error) => error.help(),
            Self::Thread(_) => Some("raise the limit on processes and threads with `ulimit -u`"),
        };
        help.map(str::to_owned)
    }
}

impl From<&CliError> for Diagnostic {
    fn from(error: &CliError) -> Self {
        Self { message: error.to_string(), help: error.help() }
    }
}

impl From<igpu::Error> for CliError {
    fn from(error: igpu::Error) -> Self {
        Self::Driver(error)
    }
}
