//! Writing items, in any format.

use crate::item::Item;

/// Turns items into bytes. What it keeps of them is bounded: recordings last for hours.
///
/// What not every format can hold is left out by all: a value that is no finite number (of an event; an item of a series
/// without a value is left out as a whole), a text that is empty or of no event, and events without a name.
pub trait Encoder: Send {
    /// Appends what stands for this item, which has to come after all that was appended before.
    fn encode(&mut self, item: &Item, out: &mut Vec<u8>);

    /// Appends what makes a whole file of all that was appended by [`encode`](Self::encode). It is not of the file's body: the
    /// next item's bytes come in its place.
    fn encode_tail(&mut self, _out: &mut Vec<u8>) {}
}

/// Passes on only what every format can represent.
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
