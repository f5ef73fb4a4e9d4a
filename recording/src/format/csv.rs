//! CSV, with a header line and a line for each item.

use std::{
    cell::Cell,
    io::{self, BufRead, Read},
    rc::Rc,
};

use super::{
    codec::{Codec, MAX_RECORD_BYTES},
    encoder::Encoder,
    item_row::ItemRow,
};
use crate::{error::RecordingError, item::Item, items::Items};

pub(super) const CODEC: Codec = Codec {
    name: "csv",
    extensions: &["csv"],
    is_trace: false,
    matches: |head| head.starts_with(HEADER_LINE.as_bytes()),
    new_encoder: || Some(Box::new(CsvEncoder::default())),
    decode: |input| Ok(decode(input.stream())),
};

/// The names of the columns, which are the first line of a file.
const HEADER_LINE: &str = "time_unix_nano,gpu,metric,attribute,value,unit,pid,event,text";

/// The encoder of CSV files.
#[derive(Default)]
struct CsvEncoder {
    /// Whether the header line has been written.
    has_header: bool,
}

impl Encoder for CsvEncoder {
    fn encode(&mut self, item: &Item, out: &mut Vec<u8>) {
        if !self.has_header {
            self.encode_tail(out);
            self.has_header = true;
        }
        let mut writer = csv::WriterBuilder::new().has_headers(false).buffer_capacity(1 << 9).from_writer(out);
        // Serializing a flat tuple to memory cannot fail.
        let _ = writer.serialize(ItemRow::from_item(item).cells());
        let _ = writer.flush();
    }

    fn encode_tail(&mut self, out: &mut Vec<u8>) {
        if !self.has_header {
            out.extend_from_slice(HEADER_LINE.as_bytes());
            out.push(b'\n');
        }
    }
}

fn decode(lines: Box<dyn BufRead>) -> Items {
    let complete_end = Rc::new(Cell::new(0));
    let lines = LineTracker { inner: lines, bytes_read: 0, in_quotes: false, complete_end: complete_end.clone() };
    let mut rows = csv::Reader::from_reader(lines).into_deserialize::<ItemRow>();
    Items::new(std::iter::from_fn(move || {
        loop {
            let row = rows.next()?;
            let is_complete = rows.reader().position().byte() <= complete_end.get();
            let item = match row {
                Err(error) if is_complete || matches!(error.kind(), csv::ErrorKind::Io(_)) => Err(error.into()),
                Ok(row) if is_complete => row.into_item(),
                // A line without a line feed can end within a number, and is rejected even if it can be parsed.
                _ => Err(RecordingError::Truncated),
            };
            if let Some(item) = item.transpose() {
                return Some(item);
            }
        }
    }))
}

/// A reader that tracks the end of the last complete line. A line feed in quotes does not end a line.
struct LineTracker {
    inner: Box<dyn BufRead>,
    /// The number of bytes read.
    bytes_read: u64,
    in_quotes: bool,
    /// The offset of the end of the last complete line, in bytes.
    complete_end: Rc<Cell<u64>>,
}

impl Read for LineTracker {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        for (position, byte) in (self.bytes_read + 1..).zip(&buffer[..read]) {
            match byte {
                b'"' => self.in_quotes = !self.in_quotes,
                b'\n' if !self.in_quotes => self.complete_end.set(position),
                _ => {}
            }
        }
        self.bytes_read += read as u64;
        match self.bytes_read - self.complete_end.get() > MAX_RECORD_BYTES {
            true => Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long")),
            false => Ok(read),
        }
    }
}

impl From<csv::Error> for RecordingError {
    fn from(error: csv::Error) -> Self {
        let message = error.to_string();
        match error.into_kind() {
            csv::ErrorKind::Io(error) if error.kind() != io::ErrorKind::InvalidData => Self::File(error),
            _ => Self::Damaged(message),
        }
    }
}
