//! CSV: a line for each item, under a line with the names of the columns.

use std::{
    cell::Cell,
    io::{self, BufRead, Read},
    rc::Rc,
};

use super::{
    codec::{Codec, MAX_RECORD_BYTES},
    encoder::Encoder,
    row::Row,
};
use crate::{error::RecordingError, item::Item, items::Items};

pub(super) const CODEC: Codec = Codec {
    name: "csv",
    extensions: &["csv"],
    is_trace: false,
    begins: |head| head.starts_with(HEAD.as_bytes()),
    encoder: || Some(Box::new(CsvEncoder::default())),
    items: |input| Ok(items(input.stream())),
};

/// How such a file begins.
const HEAD: &str = "time_unix_nano,gpu,metric,attribute,value,unit,pid,event,text";

/// Writes the head before the first line.
#[derive(Default)]
struct CsvEncoder {
    has_head: bool,
}

impl Encoder for CsvEncoder {
    fn item(&mut self, item: &Item, out: &mut Vec<u8>) {
        if !self.has_head {
            self.tail(out);
            self.has_head = true;
        }
        let mut writer = csv::WriterBuilder::new().has_headers(false).buffer_capacity(1 << 9).from_writer(out);
        // Into memory, and flat: this cannot fail.
        let _ = writer.serialize(Row::of(item).cells());
        let _ = writer.flush();
    }

    fn tail(&mut self, out: &mut Vec<u8>) {
        if !self.has_head {
            out.extend_from_slice(HEAD.as_bytes());
            out.push(b'\n');
        }
    }
}

fn items(lines: Box<dyn BufRead>) -> Items {
    let whole = Rc::new(Cell::new(0));
    let lines = Lines { inner: lines, length: 0, in_quotes: false, whole: whole.clone() };
    let mut rows = csv::Reader::from_reader(lines).into_deserialize::<Row>();
    Items::new(std::iter::from_fn(move || {
        loop {
            let row = rows.next()?;
            let is_whole = rows.reader().position().byte() <= whole.get();
            let item = match row {
                Err(error) if is_whole || matches!(error.kind(), csv::ErrorKind::Io(_)) => Err(error.into()),
                Ok(row) if is_whole => row.into_item(),
                // The last line, without its end: what it says may be half of a number.
                _ => Err(RecordingError::CutOff),
            };
            if let Some(item) = item.transpose() {
                return Some(item);
            }
        }
    }))
}

/// Knows up to where the text consists of whole lines. In quotes, the end of a line is text.
struct Lines {
    inner: Box<dyn BufRead>,
    /// How much was read.
    length: u64,
    in_quotes: bool,
    /// Where the last whole line ended.
    whole: Rc<Cell<u64>>,
}

impl Read for Lines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        for (place, byte) in (self.length + 1..).zip(&buffer[..read]) {
            match byte {
                b'"' => self.in_quotes = !self.in_quotes,
                b'\n' if !self.in_quotes => self.whole.set(place),
                _ => {}
            }
        }
        self.length += read as u64;
        match self.length - self.whole.get() > MAX_RECORD_BYTES {
            true => Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long")),
            false => Ok(read),
        }
    }
}

impl From<csv::Error> for RecordingError {
    fn from(error: csv::Error) -> Self {
        let told = error.to_string();
        match error.into_kind() {
            csv::ErrorKind::Io(error) if error.kind() != io::ErrorKind::InvalidData => Self::File(error),
            _ => Self::Damaged(told),
        }
    }
}
