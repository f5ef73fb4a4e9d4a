//! Reading returns the items that were written.

use std::{
    io::{self, Write as _},
    os::fd::AsRawFd as _,
};

use igpu::metric::Metric;
use igpu_recording::{Item, Series, Writer, event, read};
use proptest::prelude::*;
use tempfile::NamedTempFile;

use crate::{ScratchFile, assert_same, encode, formats, samples, streamed_formats};

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_items_round_trip(items in samples::items()) {
        let mut scratch = ScratchFile::new();
        for (format, mut encoder) in formats() {
            let bytes = encode(encoder.as_mut(), &items);
            assert_same(format, &scratch.items(&bytes), &items);
        }
    }
}

#[test]
fn flushed_file_is_complete() {
    let items = samples::recording();
    for (format, encoder) in formats() {
        let file = NamedTempFile::new().unwrap();
        let mut writer = Writer::new(file.reopen().unwrap(), encoder);
        for count in 1..=items.len() {
            assert!(writer.push(&items[count - 1]));
            writer.flush().unwrap();
            let items_read: Vec<Item> = read(file.path()).unwrap().map(Result::unwrap).collect();
            assert_same(format, &items_read, &items[..count]);
            assert_eq!(file.as_file().metadata().unwrap().len(), writer.len(), "{}", format.name());
        }
    }
}

#[test]
fn recording_is_read_from_pipe() {
    let items = samples::recording();
    for (format, mut encoder) in streamed_formats() {
        let (reader, mut pipe) = io::pipe().unwrap();
        pipe.write_all(&encode(encoder.as_mut(), &items)).unwrap();
        drop(pipe);
        let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
        let found: Vec<Item> = read(path.as_ref()).unwrap().map(Result::unwrap).collect();
        assert_same(format, &found, &items);
    }
}

#[test]
fn empty_recording_has_no_items() {
    let mut scratch = ScratchFile::new();
    for (format, mut encoder) in formats() {
        let file = encode(encoder.as_mut(), &[]);
        let (items, error) = scratch.read(&file);
        assert!(items.is_empty() && (file.is_empty() || error.is_none()), "{}: {error:?}", format.name());
    }
}

#[test]
fn header_and_process_round_trip() {
    let items = samples::recording();
    let mut scratch = ScratchFile::new();
    for (format, mut encoder) in formats() {
        let read = scratch.items(&encode(encoder.as_mut(), &items));
        assert_eq!(read[0].header(), items[0].header(), "{}", format.name());
        assert_eq!(read[0].header().unwrap().gpus[0].name.as_deref(), Some("NVIDIA H100 80GB HBM3"));
        assert_eq!(read[5].process().unwrap().user.as_deref(), Some("ann"), "{}", format.name());
    }
}

#[test]
fn non_finite_values_are_omitted() {
    let power = Series::for_metric(Metric::POWER_USAGE);
    let start = Item::event(samples::START, event::START);
    let heartbeat = Item { value: Some(f64::NAN), ..Item::event(samples::START, event::HEARTBEAT) };
    let mut scratch = ScratchFile::new();
    for (format, mut encoder) in formats() {
        let mut items = vec![start.clone(), heartbeat.clone()];
        items.extend(
            [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.0].map(|v| Item::value(samples::START, 0, power, v)),
        );
        let read = scratch.items(&encode(encoder.as_mut(), &items));
        let expected = [start.clone(), Item { value: None, ..heartbeat.clone() }, items[5].clone()];
        assert_same(format, &read, &expected);
    }
}

#[test]
fn unrepresentable_data_is_omitted() {
    let start = Item::event(samples::START, event::START);
    let value = Item::value(samples::START, 0, Series::MEMORY_LIMIT, 1.0);
    let mut scratch = ScratchFile::new();
    for (format, mut encoder) in formats() {
        let unrepresentable = [
            Item { text: Some(String::new()), ..start.clone() },
            Item { text: Some("text of a value".to_owned()), ..value.clone() },
            Item { value: None, ..value.clone() },
            Item::event(samples::START, ""),
        ];
        assert_same(
            format,
            &scratch.items(&encode(encoder.as_mut(), &unrepresentable)),
            &[start.clone(), value.clone()],
        );
    }
}
