//! The error type of functions that read recordings.

use std::io;

/// An error that occurs while a recording is read. Items before the error have been returned and are valid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// The file cannot be opened or read.
    #[error(transparent)]
    File(#[from] io::Error),
    /// The file is not in one of the [formats](crate::Format) of recordings, or was written by another program.
    #[error("not a recording of igpu")]
    Format,
    /// The file is in Parquet format, and the crate was built without the feature `parquet`.
    #[error("Parquet is not supported by this build of igpu")]
    ParquetUnsupported,
    /// The file ends within an item, because its writer was killed or is still writing.
    #[error("the last item is truncated")]
    Truncated,
    /// The file contains data that no version of igpu writes. The text describes the damage.
    #[error("the file is damaged ({0})")]
    Damaged(String),
}

impl RecordingError {
    /// Returns advice on how to resolve the error.
    #[must_use]
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::Format => Some("make a recording with `igpu record -o FILE`"),
            Self::ParquetUnsupported => Some("build igpu with `--features parquet`"),
            Self::File(_) | Self::Truncated | Self::Damaged(_) => None,
        }
    }
}
