//! JSON Lines, with a JSON object for each item. Its keys are the columns of [`ItemRow`] that are not empty.

use std::io::{BufRead, Read as _};

use super::{
    codec::{Codec, MAX_RECORD_BYTES},
    encoder::Encoder,
    item_row::ItemRow,
};
use crate::{error::RecordingError, item::Item, items::Items};

pub(super) const CODEC: Codec = Codec {
    name: "jsonl",
    extensions: &["jsonl", "ndjson"],
    is_trace: false,
    matches: |head| head.trim_ascii_start().starts_with(b"{"),
    new_encoder: || Some(Box::new(JsonLinesEncoder)),
    decode: |input| Ok(decode(input.stream())),
};

struct JsonLinesEncoder;

impl Encoder for JsonLinesEncoder {
    fn encode(&mut self, item: &Item, out: &mut Vec<u8>) {
        // Serializing a struct to memory cannot fail.
        let _ = serde_json::to_writer(&mut *out, &ItemRow::from_item(item));
        out.push(b'\n');
    }
}

fn decode(mut lines: Box<dyn BufRead>) -> Items {
    let mut line = Vec::new();
    Items::new(std::iter::from_fn(move || {
        loop {
            let item = match read_line(&mut lines, &mut line) {
                Ok(true) => decode_line(&line),
                Ok(false) => return None,
                Err(error) => Err(error),
            };
            if let Some(item) = item.transpose() {
                return Some(item);
            }
        }
    }))
}

/// Reads the next line, including its line feed, if any. Returns `false` at the end of the file.
fn read_line(lines: &mut Box<dyn BufRead>, line: &mut Vec<u8>) -> Result<bool, RecordingError> {
    line.clear();
    if lines.take(MAX_RECORD_BYTES).read_until(b'\n', line)? as u64 == MAX_RECORD_BYTES {
        return Err(RecordingError::Damaged("a line is too long".to_owned()));
    }
    Ok(!line.is_empty())
}

fn decode_line(line: &[u8]) -> Result<Option<Item>, RecordingError> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let row: ItemRow =
        serde_json::from_slice(line).map_err(|error| match error.is_eof() && !line.ends_with(b"\n") {
            true => RecordingError::Truncated,
            false => RecordingError::Damaged(error.to_string()),
        })?;
    row.into_item()
}
