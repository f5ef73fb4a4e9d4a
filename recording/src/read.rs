//! Opens recordings and reads their items.

use std::{fs::File, io::Read as _, path::Path};

use crate::{
    error::RecordingError,
    event,
    format::{Format, Input},
    item::Item,
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

/// An iterator over the items of a recording, in file order. It ends after the first error.
pub struct Items {
    items: Box<dyn Iterator<Item = Result<Item, RecordingError>>>,
    has_started: bool,
    has_failed: bool,
}

impl Items {
    pub(crate) fn new(items: impl Iterator<Item = Result<Item, RecordingError>> + 'static) -> Self {
        Self { items: Box::new(items), has_started: false, has_failed: false }
    }

    /// Returns an error for a second start event. Concatenated recordings can differ in their GPUs, and their times are
    /// not in order.
    fn check_single_start(&mut self, item: Item) -> Result<Item, RecordingError> {
        let is_start = item.event_name() == Some(event::START);
        if is_start && self.has_started {
            return Err(RecordingError::Damaged("the file contains a second recording".to_owned()));
        }
        self.has_started |= is_start;
        Ok(item)
    }
}

impl Iterator for Items {
    type Item = Result<Item, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        let next = self.items.next().map(|item| item.and_then(|item| self.check_single_start(item)));
        self.has_failed = matches!(next, Some(Err(_)));
        next
    }
}
