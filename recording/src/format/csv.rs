//! CSV: a line for each item, under a line with the names of the columns.

use std::io::BufRead;

use super::{Encoder, row::Row};
use crate::read::{Items, ReadError};

/// How such a file begins.
pub(super) const HEAD: &str = "time_unix_nano,gpu,metric,attribute,value,unit,pid,event,text";

/// Writes the head before the first line.
#[derive(Default)]
pub(super) struct CsvEncoder {
    has_head: bool,
}

impl Encoder for CsvEncoder {
    fn item(&mut self, item: &crate::Item, out: &mut Vec<u8>) {
        if !self.has_head {
            out.extend_from_slice(HEAD.as_bytes());
            out.push(b'\n');
            self.has_head = true;
        }
        let mut writer = csv::WriterBuilder::new().has_headers(false).buffer_capacity(1 << 9).from_writer(out);
        // Into memory, and flat: this cannot fail.
        let _ = writer.serialize(Row::of(item));
        let _ = writer.flush();
    }
}

pub(super) fn items(lines: Box<dyn BufRead>) -> Items {
    let rows = csv::ReaderBuilder::new().flexible(true).from_reader(lines).into_deserialize::<Row>();
    Items::new(rows.filter_map(|row| match row {
        Ok(row) => row.into_item().transpose(),
        Err(error) => Some(Err(ReadError::from(error))),
    }))
}
