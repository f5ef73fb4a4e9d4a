//! Truncated and damaged files. The items before the damage are read, and the damage is reported.

use igpu_recording::{Format, Item, RecordingError};
use proptest::{collection::vec, prelude::*};

use crate::{ScratchFile, assert_same, encode, formats, samples, streamed_formats};

/// Returns the sample recording in each format that can be read without the end of the file.
fn streamed_samples() -> impl Iterator<Item = (Format, Vec<u8>)> {
    streamed_formats().map(|(format, mut encoder)| (format, encode(encoder.as_mut(), &samples::recording())))
}

#[test]
fn truncated_file_yields_complete_items() {
    let written = samples::recording();
    let mut scratch = ScratchFile::new();
    for (format, bytes) in streamed_samples() {
        let mut previous_len = 0;
        for length in 0..bytes.len() {
            let (items, error) = scratch.read(&bytes[..length]);
            assert_same(format, &items, &written[..items.len()]);
            assert!(
                items.len() >= previous_len,
                "{} truncated at {length} bytes has fewer items than a shorter file",
                format.name()
            );
            previous_len = items.len();
            match error {
                None | Some(RecordingError::Truncated) => {}
                // The truncated file is too short for the format to be detected.
                Some(RecordingError::Format) if items.is_empty() && length < 64 => {}
                Some(error) => panic!("{} truncated at {length} bytes: {error}", format.name()),
            }
        }
        assert!(previous_len >= written.len() - 1, "{}", format.name());
    }
}

#[test]
fn truncated_number_is_not_read() {
    let mut tested = 0;
    for (format, bytes) in streamed_samples() {
        // Formats with binary numbers do not contain the text.
        let Some(offset) = bytes.windows(7).position(|text| text == b"312.456") else { continue };
        tested += 1;
        for length in offset + 1..offset + 7 {
            let (items, error) = ScratchFile::new().read(&bytes[..length]);
            assert_same(format, &items, &samples::recording()[..3]);
            assert!(matches!(error, Some(RecordingError::Truncated)), "{}: {error:?}", format.name());
        }
    }
    assert!(tested >= 3, "{tested}");
}

#[test]
fn damage_ends_iteration() {
    let written = samples::recording();
    let mut scratch = ScratchFile::new();
    for (format, mut encoder) in streamed_formats() {
        let mut bytes = Vec::new();
        written.iter().take(4).for_each(|item| encoder.encode(item, &mut bytes));
        bytes.extend_from_slice(b"\xff\xffrubbish\n\n\n{}\n");
        let (items, error) = scratch.read(&bytes);
        assert_same(format, &items, &written[..4]);
        assert!(matches!(error, Some(RecordingError::Damaged(_))), "{}: {error:?}", format.name());
    }
}

#[test]
fn wrong_length_allocates_no_memory() {
    let (_, mut bytes) = streamed_samples().find(|(format, _)| *format == Format::Perfetto).unwrap();
    bytes.extend_from_slice(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let (items, error) = ScratchFile::new().read(&bytes);
    assert_eq!(items.len(), samples::recording().len());
    assert!(matches!(&error, Some(RecordingError::Damaged(message)) if message.contains("length")), "{error:?}");
    let end = bytes.len() - 6;
    bytes.truncate(end);
    bytes.extend_from_slice(&[0x0a, 0xff, 0xff, 0xff, 0x7f]);
    assert!(
        matches!(ScratchFile::new().read(&bytes).1, Some(RecordingError::Damaged(message)) if message.contains("too long"))
    );
}

/// The number of tracks must be limited, because a track requires more memory than its descriptor of a few bytes.
#[test]
fn track_count_is_bounded() {
    let (_, mut bytes) = streamed_samples().find(|(format, _)| *format == Format::Perfetto).unwrap();
    for uuid in 0..1_100_000_u32 {
        // A packet of the sequence 71 with a track descriptor (field 60), whose UUID has three bytes.
        let [a, b, c] = [uuid, uuid >> 7, uuid >> 14].map(|bits| bits as u8 & 0x7f);
        bytes.extend_from_slice(&[0x0a, 9, 0x50, 71, 0xe2, 0x03, 4, 0x08, a | 0x80, b | 0x80, c]);
    }
    let (items, error) = ScratchFile::new().read(&bytes);
    assert_eq!(items.len(), samples::recording().len());
    assert!(
        matches!(&error, Some(RecordingError::Damaged(message)) if message.contains("too many tracks")),
        "{error:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bits_never_panic(flips in vec((any::<prop::sample::Index>(), 0..8_u32), 1..4)) {
        let mut scratch = ScratchFile::new();
        for (_, mut encoder) in formats() {
            let mut bytes = encode(encoder.as_mut(), &samples::recording());
            for (index, bit) in &flips {
                let index = index.index(bytes.len());
                bytes[index] ^= 1 << bit;
            }
            let (items, _): (Vec<Item>, _) = scratch.read(&bytes);
            prop_assert!(items.len() <= bytes.len());
        }
    }

    #[test]
    fn garbage_after_valid_items_never_panics(garbage in vec(any::<u8>(), 0..200), keep in any::<prop::sample::Index>()) {
        let mut scratch = ScratchFile::new();
        for (_, mut encoder) in formats() {
            let mut bytes = encode(encoder.as_mut(), &samples::recording());
            bytes.truncate(keep.index(bytes.len()));
            bytes.extend_from_slice(&garbage);
            let (items, _): (Vec<Item>, _) = scratch.read(&bytes);
            prop_assert!(items.len() <= bytes.len());
        }
    }
}
