//! The errors of the command, each a message on stderr.

use std::{fmt, io, path::PathBuf};

use igpu_recording::RecordingError;

pub(crate) enum CliError {
    /// The command line is invalid. Shown with the usage; the exit status is 2.
    Usage(clap::Error),
    /// No driver could be loaded.
    Load(igpu::Error),
    /// The driver does not answer for the machine as a whole.
    Driver(igpu::Error),
    /// No GPU, or more than one, is meant by what was named.
    Selection(String),
    /// A file that was asked for could not be written.
    File(PathBuf, io::Error),
    /// A file that was asked for is another program's at present.
    Locked(PathBuf),
    /// A recording could not be read, or not to its end.
    Recording(PathBuf, RecordingError),
    /// A thread could not be started.
    Thread(io::Error),
    /// The output could not be written or made.
    Write(io::Error),
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(error) => error.fmt(f),
            Self::Load(error) if cfg!(feature = "simulator") => {
                write!(f, "{error}; or try simulated GPUs with `igpu --simulate`")
            }
            Self::Load(error) => error.fmt(f),
            Self::Driver(error) => error.fmt(f),
            Self::Selection(message) => f.write_str(message),
            Self::File(path, error) => {
                let path = path.to_string_lossy();
                write!(f, "{} could not be written ({error}); name another file", igpu::Escaped(&path))
            }
            Self::Locked(path) => {
                let path = path.to_string_lossy();
                write!(f, "{} is being written by another igpu; name another file with -o", igpu::Escaped(&path))
            }
            Self::Recording(path, error) => {
                let (path, error) = (path.to_string_lossy(), error.to_string());
                write!(f, "{}: {}", igpu::Escaped(&path), igpu::Escaped(&error))
            }
            Self::Thread(error) => {
                write!(f, "cannot start a thread ({error}); raise the limit on threads with `ulimit -u`")
            }
            Self::Write(error) => write!(f, "the output could not be written ({error}); look at where it goes"),
        }
    }
}

impl CliError {
    /// Returns a usage error of this kind. [`main`](crate) adds the usage.
    pub(crate) fn usage(kind: clap::error::ErrorKind, message: impl fmt::Display) -> Self {
        Self::Usage(clap::Error::raw(kind, message))
    }
}

impl From<igpu::Error> for CliError {
    fn from(error: igpu::Error) -> Self {
        Self::Driver(error)
    }
}
