//! JSON Lines: a JSON object in each line, with those columns of a row that it has.

use std::io::BufRead;

use serde_json::{Map, Value};

use super::{Encoder, row::Row};
use crate::{
    item::Item,
    read::{Items, ReadError},
};

pub(super) struct JsonLinesEncoder;

impl Encoder for JsonLinesEncoder {
    fn item(&mut self, item: &Item, out: &mut Vec<u8>) {
        let Ok(Value::Object(columns)) = serde_json::to_value(Row::of(item)) else { return };
        let columns: Map<String, Value> = columns.into_iter().filter(|(_, value)| !value.is_null()).collect();
        if serde_json::to_writer(&mut *out, &columns).is_ok() {
            out.push(b'\n');
        }
    }
}

pub(super) fn items(lines: Box<dyn BufRead>) -> Items {
    Items::new(lines.split(b'\n').filter_map(|line| item(line.map_err(ReadError::from)).transpose()))
}

fn item(line: Result<Vec<u8>, ReadError>) -> Result<Option<Item>, ReadError> {
    let line = line?;
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let row: Row = serde_json::from_slice(&line).map_err(|error| match error.is_eof() {
        true => ReadError::CutOff,
        false => ReadError::Damaged(error.to_string()),
    })?;
    row.into_item()
}
