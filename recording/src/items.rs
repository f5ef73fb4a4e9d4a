//! The items of an open recording.

use crate::{error::RecordingError, event, item::Item};

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
