//! Files that were cut off or damaged: what is whole is read, and what is wrong is said.

use igpu_recording::{Format, Item, RecordingError};
use proptest::{collection::vec, prelude::*};

use crate::{Disk, assert_same, encode, formats, samples, streamed_formats};

/// Returns the sample in each format that can be read without the end of the file.
fn cut_samples() -> impl Iterator<Item = (Format, Vec<u8>)> {
    streamed_formats().map(|(format, mut encoder)| (format, encode(encoder.as_mut(), &samples::recording())))
}

#[test]
fn a_file_cut_anywhere_gives_what_is_whole() {
    let written = samples::recording();
    let mut disk = Disk::new();
    for (format, bytes) in cut_samples() {
        let mut most = 0;
        for length in 0..bytes.len() {
            let (items, error) = disk.read(&bytes[..length]);
            assert_same(format, &items, &written[..items.len()]);
            assert!(items.len() >= most, "{} cut at {length} gives fewer than before", format.name());
            most = items.len();
            match error {
                None | Some(RecordingError::Truncated) => {}
                // So little is left that it could be anything.
                Some(RecordingError::Format) if items.is_empty() && length < 64 => {}
                Some(error) => panic!("{} cut at {length}: {error}", format.name()),
            }
        }
        assert!(most >= written.len() - 1, "{}", format.name());
    }
}

#[test]
fn half_a_number_is_none() {
    let mut tested = 0;
    for (format, bytes) in cut_samples() {
        // Formats with binary numbers do not contain the text.
        let Some(at) = bytes.windows(7).position(|text| text == b"312.456") else { continue };
        tested += 1;
        for length in at + 1..at + 7 {
            let (items, error) = Disk::new().read(&bytes[..length]);
            assert_same(format, &items, &samples::recording()[..3]);
            assert!(matches!(error, Some(RecordingError::Truncated)), "{}: {error:?}", format.name());
        }
    }
    assert!(tested >= 3, "{tested}");
}

#[test]
fn damage_is_said_and_ends_the_reading() {
    let written = samples::recording();
    let mut disk = Disk::new();
    for (format, mut encoder) in streamed_formats() {
        let mut bytes = Vec::new();
        written.iter().take(4).for_each(|item| encoder.encode(item, &mut bytes));
        bytes.extend_from_slice(b"\xff\xffrubbish\n\n\n{}\n");
        let (items, error) = disk.read(&bytes);
        assert_same(format, &items, &written[..4]);
        assert!(matches!(error, Some(RecordingError::Damaged(_))), "{}: {error:?}", format.name());
    }
}

#[test]
fn a_wrong_length_costs_no_memory() {
    let (_, mut bytes) = cut_samples().find(|(format, _)| *format == Format::Perfetto).unwrap();
    bytes.extend_from_slice(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let (items, error) = Disk::new().read(&bytes);
    assert_eq!(items.len(), samples::recording().len());
    assert!(matches!(&error, Some(RecordingError::Damaged(told)) if told.contains("length")), "{error:?}");
    let end = bytes.len() - 6;
    bytes.truncate(end);
    bytes.extend_from_slice(&[0x0a, 0xff, 0xff, 0xff, 0x7f]);
    assert!(matches!(Disk::new().read(&bytes).1, Some(RecordingError::Damaged(told)) if told.contains("too long")));
}

/// A track takes more memory than the few bytes that describe it.
#[test]
fn tracks_without_end_are_damage() {
    let (_, mut bytes) = cut_samples().find(|(format, _)| *format == Format::Perfetto).unwrap();
    for uuid in 0..1_100_000_u32 {
        // A packet of our sequence, 71, with a descriptor of the field 60, whose number is the uuid in three bytes.
        let [a, b, c] = [uuid, uuid >> 7, uuid >> 14].map(|bits| bits as u8 & 0x7f);
        bytes.extend_from_slice(&[0x0a, 9, 0x50, 71, 0xe2, 0x03, 4, 0x08, a | 0x80, b | 0x80, c]);
    }
    let (items, error) = Disk::new().read(&bytes);
    assert_eq!(items.len(), samples::recording().len());
    assert!(matches!(&error, Some(RecordingError::Damaged(told)) if told.contains("too many tracks")), "{error:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bits_never_panic(flips in vec((any::<prop::sample::Index>(), 0..8_u32), 1..4)) {
        let mut disk = Disk::new();
        for (_, mut encoder) in formats() {
            let mut bytes = encode(encoder.as_mut(), &samples::recording());
            for (place, bit) in &flips {
                let place = place.index(bytes.len());
                bytes[place] ^= 1 << bit;
            }
            let (items, _): (Vec<Item>, _) = disk.read(&bytes);
            prop_assert!(items.len() <= bytes.len());
        }
    }

    #[test]
    fn garbage_after_a_good_beginning_never_panics(garbage in vec(any::<u8>(), 0..200), keep in any::<prop::sample::Index>()) {
        let mut disk = Disk::new();
        for (_, mut encoder) in formats() {
            let mut bytes = encode(encoder.as_mut(), &samples::recording());
            bytes.truncate(keep.index(bytes.len()));
            bytes.extend_from_slice(&garbage);
            let (items, _): (Vec<Item>, _) = disk.read(&bytes);
            prop_assert!(items.len() <= bytes.len());
        }
    }
}
