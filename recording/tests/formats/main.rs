//! Writing and reading of every format, including damaged files and files of other programs.

mod broken;
mod foreign;
mod round_trip;
mod samples;
mod size;

use std::io::{Seek as _, Write as _};

use igpu_recording::{Encoder, Format, Item, RecordingError, read};
use tempfile::NamedTempFile;

/// Returns the formats that this build supports.
fn formats() -> impl Iterator<Item = (Format, Box<dyn Encoder>)> {
    Format::ALL.iter().copied().filter_map(|format| Some((format, format.encoder()?)))
}

/// Returns the formats that can be read as a stream. Parquet cannot be streamed, because the footer describes the
/// contents.
fn streamed_formats() -> impl Iterator<Item = (Format, Box<dyn Encoder>)> {
    formats().filter(|(format, _)| *format != Format::Parquet)
}

/// Returns a complete file with these items.
fn encode(encoder: &mut dyn Encoder, items: &[Item]) -> Vec<u8> {
    let mut file = Vec::new();
    items.iter().for_each(|item| encoder.encode(item, &mut file));
    encoder.encode_tail(&mut file);
    file
}

/// A temporary file that is overwritten before every read.
struct ScratchFile(NamedTempFile);

impl ScratchFile {
    fn new() -> Self {
        Self(NamedTempFile::new().unwrap())
    }

    /// Returns the items in a file with these bytes, and the error after them.
    fn read(&mut self, bytes: &[u8]) -> (Vec<Item>, Option<RecordingError>) {
        let file = self.0.as_file_mut();
        file.set_len(0).unwrap();
        file.rewind().unwrap();
        file.write_all(bytes).unwrap();
        let mut items = Vec::new();
        let reader = match read(self.0.path()) {
            Ok(reader) => reader,
            Err(error) => return (items, Some(error)),
        };
        for item in reader {
            match item {
                Ok(item) => items.push(item),
                Err(error) => return (items, Some(error)),
            }
        }
        (items, None)
    }

    /// Returns the items in a file with these bytes. Panics if the file is not complete.
    fn items(&mut self, bytes: &[u8]) -> Vec<Item> {
        let (items, error) = self.read(bytes);
        assert!(error.is_none(), "{} after {} items", error.unwrap(), items.len());
        items
    }
}

/// Asserts that the items are equal, and that their values have the same bits, so that -0 differs from 0.
fn assert_same(format: Format, read: &[Item], written: &[Item]) {
    let bits = |items: &[Item]| items.iter().map(|item| item.value.map(f64::to_bits)).collect::<Vec<_>>();
    assert_eq!(read, written, "{}", format.name());
    assert_eq!(bits(read), bits(written), "{}", format.name());
}
