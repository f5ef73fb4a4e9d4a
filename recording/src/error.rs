//! The errors of reading a recording.

use std::io;

/// Why a recording could not be read, or not to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// The file could not be opened or read.
    #[error("{0}; look whether it is there and may be read")]
    File(#[from] io::Error),
    /// It is none of the formats that this program writes.
    #[error("it is no recording of igpu; `igpu record -o FILE` makes one")]
    Format,
    /// It is Parquet, and this build cannot read that.
    #[error("it is Parquet, which this igpu was built without; build it with `--features parquet`")]
    NoParquet,
    /// It ends in the midst of an item: whoever wrote it was ended while it wrote. What came before was given.
    #[error("its last item is cut off; what comes before was read")]
    CutOff,
    /// It holds something that this program does not write.
    #[error("it is damaged ({0}); what comes before was read")]
    Damaged(String),
}
