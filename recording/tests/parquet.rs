//! Writing and reading of Parquet files, including damaged files.
#![cfg(feature = "parquet")]

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::Path,
    sync::Arc,
};

use igpu::metric::Metric;
use igpu_recording::{Format, Header, Item, RecordingError, Series, Writer, event, read};
use parquet::{
    file::{properties::WriterProperties, reader::FileReader as _, serialized_reader::SerializedFileReader},
    schema::parser::parse_message_type,
};
use tempfile::NamedTempFile;

/// The number of rows in a row group.
const ROW_GROUP_ROWS: usize = 1 << 15;
const START: u64 = 1_790_000_000_123_456_789;

/// Returns items of all kinds, for two GPUs.
fn items(count: usize) -> Vec<Item> {
    let header = Header { host: Some("here".to_owned()), ..Header::default() };
    let mut items = vec![Item::start(START, &header)];
    let all: Vec<Series> = Series::all().collect();
    for i in 1..count {
        let at = START + i as u64 * 999_983;
        let gpu = (i % 2) as u32;
        items.push(match i % 11 {
            0 => Item { value: Some(0.0), ..Item::event(at, event::HEARTBEAT) },
            1 => Item {
                pid: Some(i as u32),
                ..Item::value(at, gpu, Series::for_metric(Metric::PROCESS_MEMORY), i as f64 * 1048576.0)
            },
            _ => Item::value(at, gpu, all[i % all.len()], 1.0 / i as f64),
        });
    }
    items
}

fn writer(path: &Path) -> Writer {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path).unwrap();
    Writer::new(file, Format::Parquet.encoder().unwrap())
}

fn written(items: &[Item]) -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("recording.parquet");
    let mut writer = writer(&path);
    assert!(items.iter().all(|item| writer.push(item)));
    writer.finish().unwrap();
    (directory, path)
}

fn read_all(path: &Path) -> Vec<Item> {
    read(path).unwrap().collect::<Result<_, _>>().unwrap()
}

/// Returns the error message for a file with these bytes; `None` if the file can be read. The caller passes the file,
/// because creating thousands of files is slow.
fn read_error(file: &NamedTempFile, bytes: &[u8]) -> Option<String> {
    file.as_file().write_all_at(bytes, 0).unwrap();
    file.as_file().set_len(bytes.len() as u64).unwrap();
    match read(file.path()) {
        Ok(items) => items.filter_map(Result::err).next().map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    }
}

#[test]
fn flushed_file_is_complete_across_groups() {
    let items = items(2 * ROW_GROUP_ROWS + 3000);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("recording.parquet");
    let mut writer = writer(&path);
    let flushes = [
        0,
        1,
        2,
        1000,
        ROW_GROUP_ROWS - 1,
        ROW_GROUP_ROWS,
        ROW_GROUP_ROWS + 1,
        2 * ROW_GROUP_ROWS - 1,
        2 * ROW_GROUP_ROWS + 1,
        items.len(),
    ];
    let mut done = 0;
    for until in flushes {
        assert!(items[done..until].iter().all(|item| writer.push(item)));
        done = until;
        writer.flush().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), writer.len());
        // `assert_eq!` would print all items.
        assert!(read_all(&path) == items[..until], "after {until} items");
        let groups = SerializedFileReader::new(File::open(&path).unwrap()).unwrap().num_row_groups();
        assert_eq!(groups, until.div_ceil(ROW_GROUP_ROWS), "after {until} items");
    }
}

#[test]
fn items_round_trip_bit_for_bit() {
    let extreme_event = |text: &str, value: f64| Item {
        gpu: Some(u32::MAX),
        pid: Some(u32::MAX),
        value: Some(value),
        text: Some(text.to_owned()),
        ..Item::event(u64::MAX, event::COMMAND_START)
    };
    let power = Series::for_metric(Metric::POWER_USAGE);
    let mut items = vec![
        extreme_event(" ", 0.0),
        extreme_event("\0\n\"\u{202e}é🦀", -0.0),
        extreme_event("a", f64::MAX),
        Item::value(0, 0, power, -0.0),
    ];
    items.push(Item { gpu: None, ..Item::value(1, 0, power, 0.1) });
    items.extend([f64::MIN, f64::MIN_POSITIVE / 8.0, 9_007_199_254_740_994.0].map(|v| extreme_event("v", v)));
    let (_directory, path) = written(&items);
    let bits = |items: &[Item]| -> Vec<_> {
        items.iter().map(|item| (item.value.map(f64::to_bits), Item { value: None, ..item.clone() })).collect()
    };
    assert_eq!(bits(&read_all(&path)), bits(&items));
}

#[test]
fn empty_recording_is_valid_parquet() {
    let (_directory, path) = written(&[]);
    assert_eq!(read_all(&path), []);
    let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
    let metadata = reader.metadata().file_metadata();
    assert_eq!((metadata.num_rows(), metadata.schema_descr().num_columns()), (0, 9));
}

/// The memory use of the encoder grows at the same rate as the footer.
#[test]
fn footer_grows_slowly_with_groups() {
    let mut encoder = Format::Parquet.encoder().unwrap();
    let items = items(ROW_GROUP_ROWS);
    let mut tails = Vec::new();
    for _ in 0..4 {
        items.iter().for_each(|item| encoder.encode(item, &mut Vec::new()));
        let mut tail = Vec::new();
        encoder.encode_tail(&mut tail);
        tails.push(tail.len());
    }
    let growth: Vec<_> = tails.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(growth.iter().all(|growth| (200..=1024).contains(growth)), "{growth:?}");
}

#[test]
fn truncated_file_is_damaged() {
    let (_directory, path) = written(&items(300));
    let whole = fs::read(path).unwrap();
    let file = NamedTempFile::new().unwrap();
    assert_eq!(read_error(&file, &whole), None);
    for length in (0..whole.len()).rev() {
        let error = read_error(&file, &whole[..length])
            .unwrap_or_else(|| panic!("a file truncated to {length} bytes was read"));
        let expected = if length < 4 { "not a recording of igpu" } else { "the file is damaged (" };
        assert!(error.starts_with(expected), "{length} bytes: {error}");
    }
}

#[test]
fn damaged_file_does_not_panic() {
    let (_directory, path) = written(&items(100));
    let whole = fs::read(path).unwrap();
    let file = NamedTempFile::new().unwrap();
    let mut error_count = 0;
    for index in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[index] ^= 1 << (index % 8);
        error_count += usize::from(read_error(&file, &damaged).is_some());
    }
    // A flipped bit can result in another valid value.
    assert!(error_count > whole.len() / 3, "{error_count} of {} damaged files caused an error", whole.len());
}

#[test]
fn foreign_parquet_is_not_recording() {
    let file = NamedTempFile::new().unwrap();
    let schema = parse_message_type("message other { REQUIRED INT64 time_unix_nano; OPTIONAL DOUBLE gpu; }").unwrap();
    let properties = Arc::new(WriterProperties::builder().build());
    parquet::file::writer::SerializedFileWriter::new(file.reopen().unwrap(), Arc::new(schema), properties)
        .unwrap()
        .close()
        .unwrap();
    assert!(matches!(read(file.path()).err(), Some(RecordingError::Format)));
}
