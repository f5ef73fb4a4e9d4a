//! Recordings in Parquet: whole after every flush, the same items back, and a sentence of what is damaged.
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

/// So many rows make a group.
const GROUP: usize = 1 << 15;
const START: u64 = 1_790_000_000_123_456_789;

/// Items of all kinds, as a recording of two GPUs has them.
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

/// The sentence of what is wrong with a file of these bytes; none when it can be read. The file is made once: thousands
/// of new ones would take a disk long.
fn complaint(file: &NamedTempFile, bytes: &[u8]) -> Option<String> {
    file.as_file().write_all_at(bytes, 0).unwrap();
    file.as_file().set_len(bytes.len() as u64).unwrap();
    match read(file.path()) {
        Ok(items) => items.filter_map(Result::err).next().map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    }
}

#[test]
fn every_flush_leaves_a_whole_file_of_all_items_so_far_over_the_borders_of_row_groups() {
    let items = items(2 * GROUP + 3000);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("recording.parquet");
    let mut writer = writer(&path);
    let flushes = [0, 1, 2, 1000, GROUP - 1, GROUP, GROUP + 1, 2 * GROUP - 1, 2 * GROUP + 1, items.len()];
    let mut done = 0;
    for until in flushes {
        assert!(items[done..until].iter().all(|item| writer.push(item)));
        done = until;
        writer.flush().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), writer.len());
        // Not by assert_eq: nobody could read what it would print.
        assert!(read_all(&path) == items[..until], "after {until} items");
        let groups = SerializedFileReader::new(File::open(&path).unwrap()).unwrap().num_row_groups();
        assert_eq!(groups, until.div_ceil(GROUP), "after {until} items");
    }
}

#[test]
fn an_item_comes_back_to_the_last_bit() {
    let odd = |text: &str, value: f64| Item {
        gpu: Some(u32::MAX),
        pid: Some(u32::MAX),
        value: Some(value),
        text: Some(text.to_owned()),
        ..Item::event(u64::MAX, event::COMMAND_START)
    };
    let power = Series::for_metric(Metric::POWER_USAGE);
    let mut items =
        vec![odd(" ", 0.0), odd("\0\n\"\u{202e}é🦀", -0.0), odd("a", f64::MAX), Item::value(0, 0, power, -0.0)];
    items.push(Item { gpu: None, ..Item::value(1, 0, power, 0.1) });
    items.extend([f64::MIN, f64::MIN_POSITIVE / 8.0, 9_007_199_254_740_994.0].map(|v| odd("v", v)));
    let (_directory, path) = written(&items);
    let bits = |items: &[Item]| -> Vec<_> {
        items.iter().map(|item| (item.value.map(f64::to_bits), Item { value: None, ..item.clone() })).collect()
    };
    assert_eq!(bits(&read_all(&path)), bits(&items));
}

#[test]
fn a_recording_without_items_is_a_whole_file() {
    let (_directory, path) = written(&[]);
    assert_eq!(read_all(&path), []);
    let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
    let metadata = reader.metadata().file_metadata();
    assert_eq!((metadata.num_rows(), metadata.schema_descr().num_columns()), (0, 9));
}

/// Also what is kept in memory grows by no more than this: the footer is made of it.
#[test]
fn the_footer_grows_by_a_kibibyte_with_each_closed_group() {
    let mut encoder = Format::Parquet.encoder().unwrap();
    let items = items(GROUP);
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
fn a_file_cut_off_anywhere_is_told_to_be_damaged() {
    let (_directory, path) = written(&items(300));
    let whole = fs::read(path).unwrap();
    let file = NamedTempFile::new().unwrap();
    assert_eq!(complaint(&file, &whole), None);
    for length in (0..whole.len()).rev() {
        let complaint = complaint(&file, &whole[..length]).unwrap_or_else(|| panic!("of {length} bytes it was read"));
        let expected = if length < 4 { "not a recording of igpu" } else { "the file is damaged (" };
        assert!(complaint.starts_with(expected), "{length} bytes: {complaint}");
    }
}

#[test]
fn no_damage_is_a_panic_of_whoever_reads() {
    let (_directory, path) = written(&items(100));
    let whole = fs::read(path).unwrap();
    let file = NamedTempFile::new().unwrap();
    let mut refused = 0;
    for place in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[place] ^= 1 << (place % 8);
        refused += usize::from(complaint(&file, &damaged).is_some());
    }
    // A value can be another one without being impossible: in Parquet as in CSV.
    assert!(refused > whole.len() / 3, "{refused} of {} were refused", whole.len());
}

#[test]
fn a_table_of_somebody_else_is_no_recording() {
    let file = NamedTempFile::new().unwrap();
    let schema = parse_message_type("message other { REQUIRED INT64 time_unix_nano; OPTIONAL DOUBLE gpu; }").unwrap();
    let properties = Arc::new(WriterProperties::builder().build());
    parquet::file::writer::SerializedFileWriter::new(file.reopen().unwrap(), Arc::new(schema), properties)
        .unwrap()
        .close()
        .unwrap();
    assert!(matches!(read(file.path()).err(), Some(RecordingError::Format)));
}
