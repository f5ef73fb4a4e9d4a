//! The function that opens recordings.

use std::{fs::File, io::Read as _, path::Path};

use crate::{
    error::RecordingError,
    format::{Format, Input},
    items::Items,
};

/// The number of bytes that are read to detect the format of a file.
const HEAD_BYTES: u64 = 256;

/// Opens a recording and returns an iterator over its items. The format is detected from the contents of the file.
///
/// The file is read during iteration, and memory use does not depend on its length. Values of series that are unknown to
/// this version are skipped. Formats other than Parquet can be read from a pipe.
///
/// # Errors
/// Returns a [`RecordingError`] if the file cannot be opened or its format is not recognized. The iterator returns an
/// error if the file is truncated or damaged.
///
/// ```no_run
/// for item in igpu_recording::read("run.perfetto-trace".as_ref())? {
///     let item = item?;
///     if let (Some(gpu), Some(series), Some(value)) = (item.gpu, item.series(), item.value) {
///         println!("{} GPU {gpu} {} = {value} {}", item.time_unix_nano, series.key(), series.info().unit);
///     }
/// }
/// # Ok::<(), igpu_recording::RecordingError>(())
/// ```
pub fn read(path: &Path) -> Result<Items, RecordingError> {
    let mut file = File::open(path)?;
    let mut head = Vec::new();
    file.by_ref().take(HEAD_BYTES).read_to_end(&mut head)?;
    let format = Format::detect(&head).ok_or(RecordingError::Format)?;
    format.decode(Input::new(head, file))
}
