//! Encoding of Parquet files. The body contains the closed row groups. The tail contains the open row group and the
//! footer.

use std::sync::Arc;

use parquet::{
    basic::{Compression, Encoding},
    errors::ParquetError,
    file::{
        metadata::{ColumnChunkMetaData, FileMetaData, ParquetMetaData, ParquetMetaDataWriter, RowGroupMetaData},
        properties::{EnabledStatistics, WriterProperties},
        writer::SerializedFileWriter,
    },
    schema::types::ColumnPath,
};

use super::{
    columns::RowGroupBuffer,
    schema::{PARQUET_MAGIC, ROW_GROUP_ROWS, schema},
};
use crate::{
    format::{encoder::Encoder, item_row::ItemRow},
    item::Item,
};

/// The encoder of Parquet files.
#[derive(Default)]
pub(super) struct ParquetEncoder {
    open: RowGroupBuffer,
    /// The footer entries of the closed row groups.
    closed: Vec<RowGroupMetaData>,
    closed_rows: i64,
    /// The length of the body, in bytes.
    body_len: usize,
}

impl Encoder for ParquetEncoder {
    fn encode(&mut self, item: &Item, out: &mut Vec<u8>) {
        self.open.push(ItemRow::from_item(item));
        if self.open.len() >= ROW_GROUP_ROWS {
            self.close_group(out);
        }
    }

    fn encode_tail(&mut self, out: &mut Vec<u8>) {
        let start = out.len();
        if self.write_tail(out).is_err() {
            out.truncate(start);
        }
    }
}

impl ParquetEncoder {
    /// Closes the open row group and appends it to the body.
    fn close_group(&mut self, out: &mut Vec<u8>) {
        let rows = std::mem::take(&mut self.open);
        let start = out.len();
        // Writing rows of a fixed schema to memory does not fail.
        match self.write_group(&rows, out) {
            Ok(group) => {
                self.closed_rows += group.num_rows();
                self.closed.push(group);
                self.body_len += out.len() - start;
            }
            Err(_) => out.truncate(start),
        }
    }

    /// Appends the open row group, if it has rows, and the footer.
    fn write_tail(&self, out: &mut Vec<u8>) -> Result<(), ParquetError> {
        let mut groups = self.closed.clone();
        if self.open.len() > 0 {
            groups.push(self.write_group(&self.open, out)?);
        } else if self.body_len == 0 {
            out.extend_from_slice(PARQUET_MAGIC);
        }
        let rows = self.closed_rows + self.open.len() as i64;
        let created_by = format!("igpu version {}", env!("CARGO_PKG_VERSION"));
        let file = FileMetaData::new(1, rows, Some(created_by), None, schema()?, None);
        ParquetMetaDataWriter::new(out, &ParquetMetaData::new(file, groups)).finish()
    }

    /// Appends a row group that directly follows the body, and returns its footer entry.
    ///
    /// The crate `parquet` can write a row group only as part of a new file. The offsets in the footer entry are therefore
    /// corrected afterwards.
    fn write_group(&self, rows: &RowGroupBuffer, out: &mut Vec<u8>) -> Result<RowGroupMetaData, ParquetError> {
        let mut writer = SerializedFileWriter::new(Vec::new(), schema()?.root_schema_ptr(), properties().into())?;
        let mut group = writer.next_row_group()?;
        rows.write(&mut group)?;
        let group = group.close()?;
        writer.flush()?;
        let written = writer.inner();
        let (begin, shift) =
            if self.body_len == 0 { (0, 0) } else { (PARQUET_MAGIC.len(), self.body_len - PARQUET_MAGIC.len()) };
        out.extend_from_slice(written.get(begin..).unwrap_or_default());
        shift_group(Arc::unwrap_or_clone(group), shift as i64, self.closed.len())
    }
}

/// Returns the footer entry of a row group at an offset that is greater by `shift` bytes, after `before` other groups.
fn shift_group(group: RowGroupMetaData, shift: i64, before: usize) -> Result<RowGroupMetaData, ParquetError> {
    let offset = group.file_offset();
    let columns = group.columns().iter().map(|column| shift_column(column, shift)).collect::<Result<_, _>>()?;
    let mut group = group.into_builder().set_column_metadata(columns);
    if let Some(offset) = offset {
        group = group.set_file_offset(offset + shift);
    }
    // The ordinal is informative and limited to 16 bits. Groups beyond the limit have the greatest ordinal.
    group.set_ordinal(before.min(i16::MAX as usize) as i32).build()
}

fn shift_column(column: &ColumnChunkMetaData, shift: i64) -> Result<ColumnChunkMetaData, ParquetError> {
    let dictionary = column.dictionary_page_offset().map(|offset| offset + shift);
    let data = column.data_page_offset() + shift;
    column.clone().into_builder().set_data_page_offset(data).set_dictionary_page_offset(dictionary).build()
}

/// Returns the properties of a row group. Page indices are disabled because they increase the size of the file, and readers
/// of a recording usually read all of it. Statistics are limited to the times because the encoder keeps the statistics of
/// all closed row groups in memory.
fn properties() -> WriterProperties {
    let column = |name: &str| ColumnPath::from(name);
    WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_offset_index_disabled(true)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_column_statistics_enabled(column("time_unix_nano"), EnabledStatistics::Chunk)
        .set_column_dictionary_enabled(column("time_unix_nano"), false)
        .set_column_encoding(column("time_unix_nano"), Encoding::DELTA_BINARY_PACKED)
        // A dictionary does not distinguish -0 from 0.
        .set_column_dictionary_enabled(column("value"), false)
        .set_column_encoding(column("value"), Encoding::BYTE_STREAM_SPLIT)
        .build()
}
