//! Decoding of Parquet files in batches of rows.

use std::{
    fs::File,
    iter,
    panic::{AssertUnwindSafe, catch_unwind},
};

use parquet::{
    column::reader::ColumnReaderImpl,
    data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type},
    errors::ParquetError,
    file::{
        reader::{FileReader as _, RowGroupReader},
        serialized_reader::SerializedFileReader,
    },
    schema::types::SchemaDescriptor,
};

use super::schema::schema;
use crate::{error::RecordingError, format::item_row::ItemRow, items::Items};

/// The number of rows that are in memory at a time.
const BATCH_ROWS: usize = 4096;

pub(super) fn decode(file: File) -> Result<Items, RecordingError> {
    let reader = catch_panic(|| Ok(SerializedFileReader::new(file)?))?;
    if !has_columns(reader.metadata().file_metadata().schema_descr())? {
        return Err(RecordingError::Format);
    }
    let batches = (0..reader.num_row_groups()).flat_map(move |index| batches(&reader, index));
    let rows = batches.flat_map(|batch| match batch {
        Ok(rows) => rows.into_iter().map(ItemRow::into_item).collect(),
        Err(error) => vec![Err(error)],
    });
    Ok(Items::new(rows.filter_map(Result::transpose)))
}

/// Returns the rows of a row group in batches. The iterator must not be used after an error.
fn batches(
    reader: &SerializedFileReader<File>,
    index: usize,
) -> impl Iterator<Item = Result<Vec<ItemRow>, RecordingError>> + use<> {
    let mut group = Some(catch_panic(|| RowGroupCursor::new(&*reader.get_row_group(index)?)));
    iter::from_fn(move || match group.take()? {
        Ok(mut columns) => {
            let rows = catch_panic(|| columns.read());
            group = Some(Ok(columns));
            rows.transpose()
        }
        Err(error) => Some(Err(error)),
    })
}

/// Calls a function of the `parquet` crate and converts a panic to an error, because damaged files can cause panics in
/// that crate. The state after the panic may be inconsistent, but is not used, because a decoder returns no items after
/// an error.
fn catch_panic<T>(read: impl FnOnce() -> Result<T, RecordingError>) -> Result<T, RecordingError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(RecordingError::Damaged(message.unwrap_or("the data cannot be decoded").to_owned()))
    })
}

/// Returns `true` if a file has all columns of a recording, in any order. The file may have other columns too.
fn has_columns(file_schema: &SchemaDescriptor) -> Result<bool, RecordingError> {
    let schema = schema()?;
    Ok(schema.columns().iter().all(|column| {
        file_schema.columns().iter().any(|found| {
            found.path() == column.path()
                && found.physical_type() == column.physical_type()
                && found.max_rep_level() == 0
        })
    }))
}

/// The unread rows of a row group.
struct RowGroupCursor {
    time_unix_nano: ColumnCursor<Int64Type>,
    gpu: ColumnCursor<Int32Type>,
    metric: ColumnCursor<ByteArrayType>,
    attribute: ColumnCursor<ByteArrayType>,
    value: ColumnCursor<DoubleType>,
    unit: ColumnCursor<ByteArrayType>,
    pid: ColumnCursor<Int32Type>,
    event: ColumnCursor<ByteArrayType>,
    text: ColumnCursor<ByteArrayType>,
}

impl RowGroupCursor {
    fn new(group: &dyn RowGroupReader) -> Result<Self, RecordingError> {
        Ok(Self {
            time_unix_nano: ColumnCursor::new(group, "time_unix_nano")?,
            gpu: ColumnCursor::new(group, "gpu")?,
            metric: ColumnCursor::new(group, "metric")?,
            attribute: ColumnCursor::new(group, "attribute")?,
            value: ColumnCursor::new(group, "value")?,
            unit: ColumnCursor::new(group, "unit")?,
            pid: ColumnCursor::new(group, "pid")?,
            event: ColumnCursor::new(group, "event")?,
            text: ColumnCursor::new(group, "text")?,
        })
    }

    /// Reads the next batch of rows. Returns `None` at the end of the row group.
    fn read(&mut self) -> Result<Option<Vec<ItemRow>>, RecordingError> {
        let times = self.time_unix_nano.read()?;
        let rows = times.len();
        let mut gpu = self.gpu.read_exact(rows)?;
        let mut metric = self.metric.read_exact(rows)?;
        let mut attribute = self.attribute.read_exact(rows)?;
        let mut value = self.value.read_exact(rows)?;
        let mut unit = self.unit.read_exact(rows)?;
        let mut pid = self.pid.read_exact(rows)?;
        let mut event = self.event.read_exact(rows)?;
        let mut text = self.text.read_exact(rows)?;
        let rows = times.into_iter().map(|time| {
            let time = time.ok_or_else(|| RecordingError::Damaged("a row has no time".to_owned()))?;
            Ok(ItemRow {
                time_unix_nano: time.cast_unsigned(),
                gpu: gpu.next().flatten().map(i32::cast_unsigned),
                metric: metric.next().flatten().map(utf8).transpose()?,
                attribute: attribute.next().flatten().map(utf8).transpose()?,
                value: value.next().flatten(),
                unit: unit.next().flatten().map(utf8).transpose()?,
                pid: pid.next().flatten().map(i32::cast_unsigned),
                event: event.next().flatten().map(utf8).transpose()?,
                text: text.next().flatten().map(utf8).transpose()?,
            })
        });
        let rows: Vec<ItemRow> = rows.collect::<Result<_, RecordingError>>()?;
        Ok(Some(rows).filter(|rows| !rows.is_empty()))
    }
}

fn utf8(bytes: ByteArray) -> Result<String, RecordingError> {
    Ok(bytes.as_utf8()?.to_owned())
}

/// The unread values of a column of a row group.
struct ColumnCursor<T: DataType> {
    reader: ColumnReaderImpl<T>,
    is_optional: bool,
}

impl<T: DataType> ColumnCursor<T> {
    fn new(group: &dyn RowGroupReader, name: &str) -> Result<Self, RecordingError> {
        let missing = || RecordingError::Damaged(format!("the column {name} is missing"));
        let columns = group.metadata().columns();
        let index = columns.iter().position(|column| column.column_path().string() == name).ok_or_else(missing)?;
        let is_optional = group.metadata().column(index).column_descr().max_def_level() > 0;
        let reader = T::get_column_reader(group.get_column_reader(index)?).ok_or_else(missing)?;
        Ok(Self { reader, is_optional })
    }

    /// Reads the next batch of values. Returns an empty vector at the end of the row group.
    fn read(&mut self) -> Result<Vec<Option<T::T>>, RecordingError> {
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        while levels.len() < BATCH_ROWS {
            let before = levels.len();
            let max_rows = BATCH_ROWS - before;
            let levels_to = self.is_optional.then_some(&mut levels);
            let (records, ..) = self.reader.read_records(max_rows, levels_to, None, &mut values)?;
            if !self.is_optional {
                levels.resize(before + records, 1);
            }
            if records == 0 {
                break;
            }
        }
        let mut values = values.into_iter();
        Ok(levels.into_iter().map(|level| if level > 0 { values.next() } else { None }).collect())
    }

    /// Reads the next batch of values, which must have as many rows as the batch of the first column.
    fn read_exact(&mut self, rows: usize) -> Result<std::vec::IntoIter<Option<T::T>>, RecordingError> {
        let values = self.read()?;
        match values.len() == rows {
            true => Ok(values.into_iter()),
            false => Err(RecordingError::Damaged("the columns differ in length".to_owned())),
        }
    }
}

impl From<ParquetError> for RecordingError {
    fn from(error: ParquetError) -> Self {
        match error {
            ParquetError::External(error) => match error.downcast::<std::io::Error>() {
                Ok(error) => Self::File(*error),
                Err(error) => Self::Damaged(error.to_string()),
            },
            ParquetError::General(message) | ParquetError::EOF(message) => Self::Damaged(message),
            error => Self::Damaged(error.to_string()),
        }
    }
}
