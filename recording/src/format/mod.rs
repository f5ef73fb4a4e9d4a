//! The formats: a file or folder each, with how items are written and how they are read back.

mod chrome;
mod csv;
mod jsonl;
#[cfg(feature = "parquet")]
mod parquet;
mod perfetto;
mod row;
mod spans;

use std::{
    fs::File,
    io::{BufRead, BufReader, Cursor, Read as _},
    path::Path,
};

use crate::{
    item::Item,
    read::{Items, ReadError},
};

/// A format of recordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Perfetto's protobuf: opens at ui.perfetto.dev.
    Perfetto,
    /// Chrome's trace events, as JSON.
    Chrome,
    /// A table with a line for each item.
    Csv,
    /// A JSON object in each line.
    JsonLines,
    /// A table in Apache Parquet; feature `parquet`.
    Parquet,
}

/// No packet, event or line is longer, in bytes: readers take no more memory, whatever a damaged file says.
const LONGEST: u64 = 16 << 20;

/// Turns items into bytes. What it keeps of them is bounded: recordings last for hours.
///
/// What not every format can hold is left out by all: a value that is no finite number (of an event; an item of a series
/// without a value is left out as a whole), a text that is empty or of no event, and events without a name.
pub trait Encoder: Send {
    /// Appends what stands for this item, which has to come after all that was appended before.
    fn item(&mut self, item: &Item, out: &mut Vec<u8>);

    /// Appends what makes a whole file of all that was appended by [`item`](Self::item). It is not of the file's body: the
    /// next item's bytes come in its place.
    fn tail(&mut self, _out: &mut Vec<u8>) {}
}

/// Gives an encoder only what all formats can hold.
struct Meaningful(Box<dyn Encoder>);

impl Encoder for Meaningful {
    fn item(&mut self, item: &Item, out: &mut Vec<u8>) {
        let value = item.value.filter(|value| value.is_finite());
        let text = item.text.as_ref().filter(|text| !text.is_empty() && item.event_name().is_some());
        if value.is_none() && item.event_name().is_none() || item.event_name() == Some("") {
            return;
        }
        if value == item.value && text == item.text.as_ref() {
            self.0.item(item, out);
        } else {
            self.0.item(&Item { value, text: text.cloned(), ..item.clone() }, out);
        }
    }

    fn tail(&mut self, out: &mut Vec<u8>) {
        self.0.tail(out);
    }
}

impl Format {
    /// All formats, in the order that they are offered in.
    pub const ALL: [Self; 5] = [Self::Perfetto, Self::Chrome, Self::Csv, Self::JsonLines, Self::Parquet];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Perfetto => "perfetto",
            Self::Chrome => "chrome",
            Self::Csv => "csv",
            Self::JsonLines => "jsonl",
            Self::Parquet => "parquet",
        }
    }

    /// The format of this name, or of the ending that its files have.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "perfetto" | "perfetto-trace" | "pftrace" => Self::Perfetto,
            "chrome" | "json" => Self::Chrome,
            "csv" => Self::Csv,
            "jsonl" | "ndjson" => Self::JsonLines,
            "parquet" => Self::Parquet,
            _ => return None,
        })
    }

    /// The format that a file's name asks for by its ending; `None` of an ending that says nothing.
    #[must_use]
    pub fn of_path(path: &Path) -> Option<Self> {
        Self::named(path.extension()?.to_str()?)
    }

    /// Writes this format from a recording's start on; `None` where this build has no Parquet.
    #[must_use]
    pub fn encoder(self) -> Option<Box<dyn Encoder>> {
        let encoder: Box<dyn Encoder> = match self {
            Self::Perfetto => Box::new(perfetto::PerfettoEncoder::default()),
            Self::Chrome => Box::new(chrome::ChromeEncoder::default()),
            Self::Csv => Box::new(csv::CsvEncoder::default()),
            Self::JsonLines => Box::new(jsonl::JsonLinesEncoder),
            #[cfg(feature = "parquet")]
            Self::Parquet => Box::new(parquet::ParquetEncoder::default()),
            #[cfg(not(feature = "parquet"))]
            Self::Parquet => return None,
        };
        Some(Box::new(Meaningful(encoder)))
    }

    /// The format of a file, by how it begins.
    fn of_content(head: &[u8]) -> Option<Self> {
        let text = head.trim_ascii_start();
        if head.starts_with(b"PAR1") {
            Some(Self::Parquet)
        } else if head.starts_with(csv::HEAD.as_bytes()) {
            Some(Self::Csv)
        } else if chrome::begins(head) {
            Some(Self::Chrome)
        } else if text.starts_with(b"{") {
            Some(Self::JsonLines)
        } else if head.starts_with(&[perfetto::PACKET]) {
            Some(Self::Perfetto)
        } else {
            None
        }
    }
}

/// The items of a file.
pub(crate) fn items(mut file: File) -> Result<Items, ReadError> {
    let mut head = Vec::new();
    file.by_ref().take(256).read_to_end(&mut head)?;
    let format = Format::of_content(&head).ok_or(ReadError::Format)?;
    // Not from the beginning again: a pipe has none.
    let buffered =
        |file| -> Box<dyn BufRead> { Box::new(BufReader::with_capacity(1 << 16, Cursor::new(head).chain(file))) };
    match format {
        Format::Perfetto => Ok(perfetto::items(buffered(file))),
        Format::Chrome => Ok(chrome::items(buffered(file))),
        Format::Csv => Ok(csv::items(buffered(file))),
        Format::JsonLines => Ok(jsonl::items(buffered(file))),
        #[cfg(feature = "parquet")]
        Format::Parquet => parquet::items(file),
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => Err(ReadError::NoParquet),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_has_its_name_and_is_what_its_files_endings_say() {
        for format in Format::ALL {
            assert_eq!(Format::named(format.name()), Some(format));
        }
        let of = |path: &str| Format::of_path(Path::new(path));
        assert_eq!(of("igpu.perfetto-trace"), Some(Format::Perfetto));
        assert_eq!(of("a.b/c.JSON"), Some(Format::Chrome));
        assert_eq!(of("x.ndjson"), Some(Format::JsonLines));
        assert_eq!([of("csv"), of("/dev/stdout"), of("x.txt"), of("x.")], [None; 4]);
    }
}
