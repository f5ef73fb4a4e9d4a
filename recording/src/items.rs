//! An iterator over the items of a recording.

use crate::{
    error::RecordingError,
    item::{Item, event},
};

/// The items of a recording, one after the other, as they stand in the file. After an error there is none.
pub struct Items {
    items: Box<dyn Iterator<Item = Result<Item, RecordingError>>>,
    has_started: bool,
    has_failed: bool,
}

impl Items {
    pub(crate) fn new(items: impl Iterator<Item = Result<Item, RecordingError>> + 'static) -> Self {
        Self { items: Box::new(items), has_started: false, has_failed: false }
    }

    /// Two recordings in one file, as `cat` makes them, are not one: other GPUs, and times that go back.
    fn check_single_start(&mut self, item: Item) -> Result<Item, RecordingError> {
        let is_start = item.event_name() == Some(event::START);
        if is_start && self.has_started {
            return Err(RecordingError::Damaged("another recording begins in it".to_owned()));
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
