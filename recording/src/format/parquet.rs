//! Apache Parquet.
use std::fs::File;

use super::Encoder;
use crate::{
    Item,
    read::{Items, ReadError},
};

#[derive(Default)]
pub(super) struct ParquetEncoder {
    _begun: bool,
}

impl Encoder for ParquetEncoder {
    fn item(&mut self, _item: &Item, _out: &mut Vec<u8>) {}
}

pub(super) fn items(_file: File) -> Result<Items, ReadError> {
    Err(ReadError::NoParquet)
}
