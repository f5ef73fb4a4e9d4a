//! The rows of an open group, column by column.

use std::{collections::HashMap, io::Write};

use parquet::{
    data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type},
    errors::ParquetError,
    file::writer::SerializedRowGroupWriter,
};

use super::super::item_row::ItemRow;

type Result<T> = std::result::Result<T, ParquetError>;

/// A column that not every row has a value in.
struct Optional<T> {
    values: Vec<T>,
    /// 1 of a row with a value, 0 of one without.
    levels: Vec<i16>,
}

impl<T> Default for Optional<T> {
    fn default() -> Self {
        Self { values: Vec::new(), levels: Vec::new() }
    }
}

impl<T> Optional<T> {
    fn push(&mut self, value: Option<T>) {
        self.levels.push(value.is_some().into());
        self.values.extend(value);
    }
}

/// Rows, ready to be written.
#[derive(Default)]
pub(super) struct Columns {
    time_unix_nano: Vec<i64>,
    gpu: Optional<i32>,
    metric: Optional<ByteArray>,
    attribute: Optional<ByteArray>,
    value: Optional<f64>,
    unit: Optional<ByteArray>,
    pid: Optional<i32>,
    event: Optional<ByteArray>,
    text: Optional<ByteArray>,
    /// Names that stand in many rows, each in memory once.
    names: HashMap<String, ByteArray>,
}

impl Columns {
    pub(super) fn len(&self) -> usize {
        self.time_unix_nano.len()
    }

    /// Adds a row. Unsigned numbers are kept as signed ones of the same bits, as Parquet has them.
    pub(super) fn push(&mut self, row: ItemRow) {
        self.time_unix_nano.push(row.time_unix_nano.cast_signed());
        self.gpu.push(row.gpu.map(u32::cast_signed));
        let metric = self.name(row.metric);
        self.metric.push(metric);
        let attribute = self.name(row.attribute);
        self.attribute.push(attribute);
        self.value.push(row.value);
        let unit = self.name(row.unit);
        self.unit.push(unit);
        self.pid.push(row.pid.map(u32::cast_signed));
        let event = self.name(row.event);
        self.event.push(event);
        self.text.push(row.text.map(|text| text.into_bytes().into()));
    }

    fn name(&mut self, name: Option<String>) -> Option<ByteArray> {
        let name = name?;
        if let Some(known) = self.names.get(&name) {
            return Some(known.clone());
        }
        let bytes = ByteArray::from(name.clone().into_bytes());
        self.names.insert(name, bytes.clone());
        Some(bytes)
    }

    /// Writes all rows, in the order of the schema's columns.
    pub(super) fn write<W: Write + Send>(&self, to: &mut SerializedRowGroupWriter<'_, W>) -> Result<()> {
        column::<_, Int64Type>(to, &self.time_unix_nano, None)?;
        optional::<_, Int32Type>(to, &self.gpu)?;
        optional::<_, ByteArrayType>(to, &self.metric)?;
        optional::<_, ByteArrayType>(to, &self.attribute)?;
        optional::<_, DoubleType>(to, &self.value)?;
        optional::<_, ByteArrayType>(to, &self.unit)?;
        optional::<_, Int32Type>(to, &self.pid)?;
        optional::<_, ByteArrayType>(to, &self.event)?;
        optional::<_, ByteArrayType>(to, &self.text)
    }
}

fn optional<W: Write + Send, T: DataType>(
    to: &mut SerializedRowGroupWriter<'_, W>,
    column: &Optional<T::T>,
) -> Result<()> {
    self::column::<W, T>(to, &column.values, Some(&column.levels))
}

fn column<W: Write + Send, T: DataType>(
    to: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<()> {
    let mut column = to.next_column()?.ok_or_else(|| ParquetError::General("the schema lacks a column".to_owned()))?;
    column.typed::<T>().write_batch(values, levels, None)?;
    column.close()
}
