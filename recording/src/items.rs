//! An iterator over the items of a recording.

use crate::{
    error::RecordingError,
    item::{Item, event},
};

/// The items of a recording, one after the other, as they stand in the file. After an error there is none.
pub struct Items {
    items: Box<dyn Iterator<Item = Result<Item, RecordingError>>>,
    has_begun: bool,
    failed: bool,
}

impl Items {
    pub(crate) fn new(items: impl Iterator<Item = Result<Item, RecordingError>> + 'static) -> Self {
        Self { items: Box::new(items), has_begun: false, failed: false }
    }

    /// Two recordings in one file, as `cat` makes them, are not one: other GPUs, and times that go back.
    fn of_one(&mut self, item: Item) -> Result<Item, RecordingError> {
        let begins = item.event_name() == Some(event::START);
        if begins && self.has_begun {
            return Err(RecordingError::Damaged("another recording begins in it".to_owned()));
        }
        self.has_begun |= begins;
        Ok(item)
    }
}

impl Iterator for Items {
    type Item = Result<Item, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.items.next().map(|item| item.and_then(|item| self.of_one(item)));
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}
