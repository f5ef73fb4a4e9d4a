//! The interface of encoders.

use crate::item::Item;

/// An encoder of items in a [`Format`](super::Format), created by [`Format::encoder`](super::Format::encoder).
///
/// Its memory use does not grow with the length of the recording, except in Parquet, where the footer grows slowly.
///
/// All encoders omit data that one of the formats cannot represent:
/// - values of a series that are missing or not finite, as whole items
/// - values of an event that are not finite
/// - texts that are empty or belong to a value
/// - events whose name is empty
///
/// ```
/// use igpu_recording::{Format, Header, Item};
///
/// let mut encoder = Format::Csv.encoder().expect("a format of every build");
/// let mut file = Vec::new();
/// encoder.encode(&Item::start(1_700_000_000_000_000_000, &Header::default()), &mut file);
/// encoder.encode_tail(&mut file);
/// assert!(file.starts_with(b"time_unix_nano,gpu,metric,"));
/// ```
pub trait Encoder: Send {
    /// Encodes an item and appends the bytes to `out`. The bytes of all items, in the order of the calls, are the body of
    /// the file.
    fn encode(&mut self, item: &Item, out: &mut Vec<u8>);

    /// Appends the bytes that make a complete file of the body so far. They are not part of the body, and the bytes of the
    /// next item overwrite them.
    fn encode_tail(&mut self, _out: &mut Vec<u8>) {}
}

/// An encoder that omits data that one of the formats cannot represent, and passes all other data to another encoder.
pub(super) struct SanitizingEncoder(pub(super) Box<dyn Encoder>);

impl Encoder for SanitizingEncoder {
    fn encode(&mut self, item: &Item, out: &mut Vec<u8>) {
        let value = item.value.filter(|value| value.is_finite());
        let text = item.text.as_ref().filter(|text| !text.is_empty() && item.event_name().is_some());
        if value.is_none() && item.event_name().is_none() || item.event_name() == Some("") {
            return;
        }
        if value == item.value && text == item.text.as_ref() {
            self.0.encode(item, out);
        } else {
            self.0.encode(&Item { value, text: text.cloned(), ..item.clone() }, out);
        }
    }

    fn encode_tail(&mut self, out: &mut Vec<u8>) {
        self.0.encode_tail(out);
    }
}
