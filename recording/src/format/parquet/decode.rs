//! Parquet as items: some thousand rows at a time.

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
use crate::{error::RecordingError, format::item_row::ItemRow, item::Item, read::Items};

type Result<T> = std::result::Result<T, RecordingError>;

/// So many rows are in memory at once.
const BATCH: usize = 4096;

pub(super) fn decode(file: File) -> Result<Items> {
    let reader = guarded(|| Ok(SerializedFileReader::new(file)?))?;
    if !has_columns(reader.metadata().file_metadata().schema_descr())? {
        return Err(RecordingError::Format);
    }
    let batches = (0..reader.num_row_groups()).flat_map(move |index| batches(&reader, index));
    let rows = batches.flat_map(|batch| match batch {
        Ok(rows) => rows.into_iter().map(ItemRow::into_item).collect(),
        Err(error) => vec![Err(error)],
    });
    Ok(Items::new(rows.filter_map(Result::<Option<Item>>::transpose)))
}

/// The rows of a group, in batches. Nobody asks for more after an error.
fn batches(reader: &SerializedFileReader<File>, index: usize) -> impl Iterator<Item = Result<Vec<ItemRow>>> + use<> {
    let mut group = Some(guarded(|| Group::new(&*reader.get_row_group(index)?)));
    iter::from_fn(move || match group.take()? {
        Ok(mut columns) => {
            let rows = guarded(|| columns.read());
            group = Some(Ok(columns));
            rows.transpose()
        }
        Err(error) => Some(Err(error)),
    })
}

/// What a damaged file makes the crate `parquet` panic of is an error as any other. Nothing that was in work when it
/// panicked is used again: there are no items after an error.
fn guarded<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(RecordingError::Damaged(what.unwrap_or("it cannot be decoded").to_owned()))
    })
}

/// Whether a file has our columns, in any order and perhaps with others.
fn has_columns(its: &SchemaDescriptor) -> Result<bool> {
    let ours = schema()?;
    Ok(ours.columns().iter().all(|our| {
        its.columns().iter().any(|its| {
            its.path() == our.path() && its.physical_type() == our.physical_type() && its.max_rep_level() == 0
        })
    }))
}

/// A row group, as far as it was not read yet.
struct Group {
    time_unix_nano: Column<Int64Type>,
    gpu: Column<Int32Type>,
    metric: Column<ByteArrayType>,
    attribute: Column<ByteArrayType>,
    value: Column<DoubleType>,
    unit: Column<ByteArrayType>,
    pid: Column<Int32Type>,
    event: Column<ByteArrayType>,
    text: Column<ByteArrayType>,
}

impl Group {
    fn new(group: &dyn RowGroupReader) -> Result<Self> {
        Ok(Self {
            time_unix_nano: Column::new(group, "time_unix_nano")?,
            gpu: Column::new(group, "gpu")?,
            metric: Column::new(group, "metric")?,
            attribute: Column::new(group, "attribute")?,
            value: Column::new(group, "value")?,
            unit: Column::new(group, "unit")?,
            pid: Column::new(group, "pid")?,
            event: Column::new(group, "event")?,
            text: Column::new(group, "text")?,
        })
    }

    /// The next rows; none when all were read.
    fn read(&mut self) -> Result<Option<Vec<ItemRow>>> {
        let times = self.time_unix_nano.read()?;
        let rows = times.len();
        let mut gpu = self.gpu.read_as_many(rows)?;
        let mut metric = self.metric.read_as_many(rows)?;
        let mut attribute = self.attribute.read_as_many(rows)?;
        let mut value = self.value.read_as_many(rows)?;
        let mut unit = self.unit.read_as_many(rows)?;
        let mut pid = self.pid.read_as_many(rows)?;
        let mut event = self.event.read_as_many(rows)?;
        let mut text = self.text.read_as_many(rows)?;
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
        let rows: Vec<ItemRow> = rows.collect::<Result<_>>()?;
        Ok(Some(rows).filter(|rows| !rows.is_empty()))
    }
}

fn utf8(bytes: ByteArray) -> Result<String> {
    Ok(bytes.as_utf8()?.to_owned())
}

/// A column of a row group.
struct Column<T: DataType> {
    reader: ColumnReaderImpl<T>,
    is_optional: bool,
}

impl<T: DataType> Column<T> {
    fn new(group: &dyn RowGroupReader, name: &str) -> Result<Self> {
        let lacks = || RecordingError::Damaged(format!("it lacks the column {name}"));
        let columns = group.metadata().columns();
        let index = columns.iter().position(|column| column.column_path().string() == name).ok_or_else(lacks)?;
        let is_optional = group.metadata().column(index).column_descr().max_def_level() > 0;
        let reader = T::get_column_reader(group.get_column_reader(index)?).ok_or_else(lacks)?;
        Ok(Self { reader, is_optional })
    }

    /// The next values; none when all were read.
    fn read(&mut self) -> Result<Vec<Option<T::T>>> {
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        while levels.len() < BATCH {
            let before = levels.len();
            let most = BATCH - before;
            let levels_to = self.is_optional.then_some(&mut levels);
            let (records, ..) = self.reader.read_records(most, levels_to, None, &mut values)?;
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

    fn read_as_many(&mut self, rows: usize) -> Result<std::vec::IntoIter<Option<T::T>>> {
        let values = self.read()?;
        match values.len() == rows {
            true => Ok(values.into_iter()),
            false => Err(RecordingError::Damaged("its columns differ in length".to_owned())),
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
            ParquetError::General(what) | ParquetError::EOF(what) => Self::Damaged(what),
            error => Self::Damaged(error.to_string()),
        }
    }
}
