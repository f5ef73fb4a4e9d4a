//! The column buffers of an open row group.

use std::{collections::HashMap, io::Write};

use parquet::{
    data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type},
    errors::ParquetError,
    file::writer::SerializedRowGroupWriter,
};

use super::super::item_row::ItemRow;

/// A column of optional values, in the representation of Parquet.
struct OptionalColumn<T> {
    values: Vec<T>,
    /// The definition level of each row: 1 if the row has a value, 0 if the value is null.
    levels: Vec<i16>,
}

impl<T> Default for OptionalColumn<T> {
    fn default() -> Self {
        Self { values: Vec::new(), levels: Vec::new() }
    }
}

impl<T> OptionalColumn<T> {
    fn push(&mut self, value: Option<T>) {
        self.levels.push(value.is_some().into());
        self.values.extend(value);
    }
}

/// The rows of an open row group, by column.
#[derive(Default)]
pub(super) struct RowGroupBuffer {
    time_unix_nano: Vec<i64>,
    gpu: OptionalColumn<i32>,
    metric: OptionalColumn<ByteArray>,
    attribute: OptionalColumn<ByteArray>,
    value: OptionalColumn<f64>,
    unit: OptionalColumn<ByteArray>,
    pid: OptionalColumn<i32>,
    event: OptionalColumn<ByteArray>,
    text: OptionalColumn<ByteArray>,
    /// The distinct names in `metric`, `attribute`, `unit`, and `event`, whose bytes are shared by all rows.
    interned_names: HashMap<String, ByteArray>,
}

impl RowGroupBuffer {
    /// Returns the number of rows.
    pub(super) fn len(&self) -> usize {
        self.time_unix_nano.len()
    }

    /// Appends a row. Unsigned numbers are stored as signed numbers with the same bits, as Parquet requires.
    pub(super) fn push(&mut self, row: ItemRow) {
        self.time_unix_nano.push(row.time_unix_nano.cast_signed());
        self.gpu.push(row.gpu.map(u32::cast_signed));
        let metric = self.intern(row.metric);
        self.metric.push(metric);
        let attribute = self.intern(row.attribute);
        self.attribute.push(attribute);
        self.value.push(row.value);
        let unit = self.intern(row.unit);
        self.unit.push(unit);
        self.pid.push(row.pid.map(u32::cast_signed));
        let event = self.intern(row.event);
        self.event.push(event);
        self.text.push(row.text.map(|text| text.into_bytes().into()));
    }

    fn intern(&mut self, name: Option<String>) -> Option<ByteArray> {
        let name = name?;
        if let Some(known) = self.interned_names.get(&name) {
            return Some(known.clone());
        }
        let bytes = ByteArray::from(name.clone().into_bytes());
        self.interned_names.insert(name, bytes.clone());
        Some(bytes)
    }

    /// Writes all rows to a row group, column by column in the order of the schema.
    pub(super) fn write<W: Write + Send>(&self, to: &mut SerializedRowGroupWriter<'_, W>) -> Result<(), ParquetError> {
        write_column::<_, Int64Type>(to, &self.time_unix_nano, None)?;
        write_optional::<_, Int32Type>(to, &self.gpu)?;
        write_optional::<_, ByteArrayType>(to, &self.metric)?;
        write_optional::<_, ByteArrayType>(to, &self.attribute)?;
        write_optional::<_, DoubleType>(to, &self.value)?;
        write_optional::<_, ByteArrayType>(to, &self.unit)?;
        write_optional::<_, Int32Type>(to, &self.pid)?;
        write_optional::<_, ByteArrayType>(to, &self.event)?;
        write_optional::<_, ByteArrayType>(to, &self.text)
    }
}

fn write_optional<W: Write + Send, T: DataType>(
    to: &mut SerializedRowGroupWriter<'_, W>,
    column: &OptionalColumn<T::T>,
) -> Result<(), ParquetError> {
    write_column::<W, T>(to, &column.values, Some(&column.levels))
}

fn write_column<W: Write + Send, T: DataType>(
    to: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let mut column = to.next_column()?.ok_or_else(|| ParquetError::General("the schema lacks a column".to_owned()))?;
    column.typed::<T>().write_batch(values, levels, None)?;
    column.close()
}
