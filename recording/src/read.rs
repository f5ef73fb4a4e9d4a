//! Reads recordings back.

use std::{fs::File, io, path::Path};

use crate::{
    format,
    item::{Item, event},
};

/// Why a recording could not be read, or not to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
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

impl From<csv::Error> for ReadError {
    fn from(error: csv::Error) -> Self {
        let told = error.to_string();
        match error.into_kind() {
            csv::ErrorKind::Io(error) if error.kind() != io::ErrorKind::InvalidData => Self::File(error),
            _ => Self::Damaged(told),
        }
    }
}

/// The items of a recording, one after the other, as they stand in the file. After an error there is none.
pub struct Items {
    items: Box<dyn Iterator<Item = Result<Item, ReadError>>>,
    has_begun: bool,
    failed: bool,
}

impl Items {
    pub(crate) fn new(items: impl Iterator<Item = Result<Item, ReadError>> + 'static) -> Self {
        Self { items: Box::new(items), has_begun: false, failed: false }
    }

    /// Two recordings in one file, as `cat` makes them, are not one: other GPUs, and times that go back.
    fn of_one(&mut self, item: Item) -> Result<Item, ReadError> {
        let begins = item.event_name() == Some(event::START);
        if begins && self.has_begun {
            return Err(ReadError::Damaged("another recording begins in it".to_owned()));
        }
        self.has_begun |= begins;
        Ok(item)
    }
}

impl Iterator for Items {
    type Item = Result<Item, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.items.next().map(|item| item.and_then(|item| self.of_one(item)));
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}

/// Reads a recording in whatever format it is. The file is read as the items are taken, so that long recordings need no
/// more memory than short ones. Values of series that this version does not know are left out.
///
/// # Errors
/// [`ReadError`] when the file cannot be opened or is none of ours; later ones come with the items.
pub fn read(path: &Path) -> Result<Items, ReadError> {
    format::items(File::open(path)?)
}
