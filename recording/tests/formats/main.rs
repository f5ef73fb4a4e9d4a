//! Every format gives back what was written, whatever that is and however the file was broken.

mod broken;
mod foreign;
mod round_trip;
mod samples;
mod size;

use std::io::{Seek as _, Write as _};

use igpu_recording::{Encoder, Format, Item, RecordingError, read};
use tempfile::NamedTempFile;

/// The formats that this build writes.
fn formats() -> impl Iterator<Item = (Format, Box<dyn Encoder>)> {
    Format::ALL.iter().copied().filter_map(|format| Some((format, format.encoder()?)))
}

/// Returns the formats that can be read as a stream. Parquet is not one, because its footer describes its contents.
fn streamed_formats() -> impl Iterator<Item = (Format, Box<dyn Encoder>)> {
    formats().filter(|(format, _)| *format != Format::Parquet)
}

/// The whole file of these items.
fn encode(encoder: &mut dyn Encoder, items: &[Item]) -> Vec<u8> {
    let mut file = Vec::new();
    items.iter().for_each(|item| encoder.encode(item, &mut file));
    encoder.encode_tail(&mut file);
    file
}

/// A file that is written anew again and again.
struct Disk(NamedTempFile);

impl Disk {
    fn new() -> Self {
        Self(NamedTempFile::new().unwrap())
    }

    /// What is read of these bytes: items, and the error after them.
    fn read(&mut self, bytes: &[u8]) -> (Vec<Item>, Option<RecordingError>) {
        let file = self.0.as_file_mut();
        file.set_len(0).unwrap();
        file.rewind().unwrap();
        file.write_all(bytes).unwrap();
        let mut items = Vec::new();
        let all = match read(self.0.path()) {
            Ok(all) => all,
            Err(error) => return (items, Some(error)),
        };
        for item in all {
            match item {
                Ok(item) => items.push(item),
                Err(error) => return (items, Some(error)),
            }
        }
        (items, None)
    }

    /// The items of a file that has to be whole.
    fn items(&mut self, bytes: &[u8]) -> Vec<Item> {
        let (items, error) = self.read(bytes);
        assert!(error.is_none(), "{} after {} items", error.unwrap(), items.len());
        items
    }
}

/// Equal to the last bit: -0 is not 0.
fn assert_same(format: Format, read: &[Item], written: &[Item]) {
    let bits = |items: &[Item]| items.iter().map(|item| item.value.map(f64::to_bits)).collect::<Vec<_>>();
    assert_eq!(read, written, "{}", format.name());
    assert_eq!(bits(read), bits(written), "{}", format.name());
}
