//! Items as Parquet: row groups for the body, and the open one with the footer for the tail.

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
    columns::Columns,
    schema::{GROUP_ROWS, MAGIC, schema},
};
use crate::{
    format::{encoder::Encoder, item_row::ItemRow},
    item::Item,
};

type Result<T> = std::result::Result<T, ParquetError>;

/// Keeps the rows of the open group, and what the footer has to say of the closed ones.
#[derive(Default)]
pub(super) struct ParquetEncoder {
    open: Columns,
    closed: Vec<RowGroupMetaData>,
    closed_rows: i64,
    /// How much was given for the body.
    body: usize,
}

impl Encoder for ParquetEncoder {
    fn encode(&mut self, item: &Item, out: &mut Vec<u8>) {
        self.open.push(ItemRow::of(item));
        if self.open.len() >= GROUP_ROWS {
            self.close(out);
        }
    }

    fn encode_tail(&mut self, out: &mut Vec<u8>) {
        let start = out.len();
        if self.finish(out).is_err() {
            out.truncate(start);
        }
    }
}

impl ParquetEncoder {
    /// Gives the open group to the body.
    fn close(&mut self, out: &mut Vec<u8>) {
        let rows = std::mem::take(&mut self.open);
        let start = out.len();
        // Into memory, and rows of this schema: this cannot fail.
        match self.group(&rows, out) {
            Ok(group) => {
                self.closed_rows += group.num_rows();
                self.closed.push(group);
                self.body += out.len() - start;
            }
            Err(_) => out.truncate(start),
        }
    }

    /// Appends what comes after the body: the open group, if it has rows, and the footer.
    fn finish(&self, out: &mut Vec<u8>) -> Result<()> {
        let mut groups = self.closed.clone();
        if self.open.len() > 0 {
            groups.push(self.group(&self.open, out)?);
        } else if self.body == 0 {
            out.extend_from_slice(MAGIC);
        }
        let rows = self.closed_rows + self.open.len() as i64;
        let by = format!("igpu version {}", env!("CARGO_PKG_VERSION"));
        let file = FileMetaData::new(1, rows, Some(by), None, schema()?, None);
        ParquetMetaDataWriter::new(out, &ParquetMetaData::new(file, groups)).finish()
    }

    /// Appends a group to what comes after the body so far, and gives what the footer has to say of it.
    ///
    /// The group is written as if it were the first of a file, and what says where it is is then put right.
    fn group(&self, rows: &Columns, out: &mut Vec<u8>) -> Result<RowGroupMetaData> {
        let mut writer = SerializedFileWriter::new(Vec::new(), schema()?.root_schema_ptr(), properties().into())?;
        let mut group = writer.next_row_group()?;
        rows.write(&mut group)?;
        let group = group.close()?;
        writer.flush()?;
        let written = writer.inner();
        let (begin, shift) = if self.body == 0 { (0, 0) } else { (MAGIC.len(), self.body - MAGIC.len()) };
        out.extend_from_slice(written.get(begin..).unwrap_or_default());
        moved(Arc::unwrap_or_clone(group), shift as i64, self.closed.len())
    }
}

/// What to say of a group that stands `shift` bytes further back, after `before` others.
fn moved(group: RowGroupMetaData, shift: i64, before: usize) -> Result<RowGroupMetaData> {
    let offset = group.file_offset();
    let columns = group.columns().iter().map(|column| moved_column(column, shift)).collect::<Result<_>>()?;
    let mut group = group.into_builder().set_column_metadata(columns);
    if let Some(offset) = offset {
        group = group.set_file_offset(offset + shift);
    }
    // A place after the 32767th has no number: it may be left out.
    group.set_ordinal(before.min(i16::MAX as usize) as i32).build()
}

fn moved_column(column: &ColumnChunkMetaData, shift: i64) -> Result<ColumnChunkMetaData> {
    let dictionary = column.dictionary_page_offset().map(|offset| offset + shift);
    let data = column.data_page_offset() + shift;
    column.clone().into_builder().set_data_page_offset(data).set_dictionary_page_offset(dictionary).build()
}

/// Without indices of pages: they stand in the file too, and whoever reads a recording reads all of it. Statistics tell
/// of the times alone: they are in memory as long as the recording goes on.
fn properties() -> WriterProperties {
    let column = |name: &str| ColumnPath::from(name);
    WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_offset_index_disabled(true)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_column_statistics_enabled(column("time_unix_nano"), EnabledStatistics::Chunk)
        .set_column_dictionary_enabled(column("time_unix_nano"), false)
        .set_column_encoding(column("time_unix_nano"), Encoding::DELTA_BINARY_PACKED)
        // A dictionary could take -0 for 0.
        .set_column_dictionary_enabled(column("value"), false)
        .set_column_encoding(column("value"), Encoding::BYTE_STREAM_SPLIT)
        .build()
}
