//! The formats, each a file or folder with its writer and its reader.
//!
//! To add a format, write a module with a `CODEC`, add a variant of [`Format`], and add its lines in `ALL` and `codec`.

mod chrome;
mod codec;
mod csv;
mod encoder;
mod item_row;
mod jsonl;
mod parquet;
mod perfetto;
mod trace_spans;

use std::path::Path;

use self::{codec::Codec, encoder::SanitizingEncoder};
use crate::{error::RecordingError, read::Items};

pub(crate) use self::codec::Input;
pub use self::encoder::Encoder;

/// A format of recordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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

impl Format {
    /// All formats, in the order in which they are listed to users.
    pub const ALL: &[Self] = &[Self::Perfetto, Self::Chrome, Self::Csv, Self::JsonLines, Self::Parquet];

    const fn codec(self) -> &'static Codec {
        match self {
            Self::Perfetto => &perfetto::CODEC,
            Self::Chrome => &chrome::CODEC,
            Self::Csv => &csv::CODEC,
            Self::JsonLines => &jsonl::CODEC,
            Self::Parquet => &parquet::CODEC,
        }
    }

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.codec().name
    }

    /// Returns the file extensions without the dot, most common first.
    #[must_use]
    pub fn extensions(self) -> &'static [&'static str] {
        self.codec().extensions
    }

    /// Returns whether trace viewers, such as ui.perfetto.dev, open its files.
    #[must_use]
    pub fn is_trace(self) -> bool {
        self.codec().is_trace
    }

    /// Returns the format with this name or file extension, ignoring case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let is_named = |format: &Self| {
            std::iter::once(&format.name()).chain(format.extensions()).any(|known| name.eq_ignore_ascii_case(known))
        };
        Self::ALL.iter().copied().find(is_named)
    }

    /// The format that a file's name asks for by its ending; `None` of an ending that says nothing.
    #[must_use]
    pub fn from_path(path: &Path) -> Option<Self> {
        Self::from_name(path.extension()?.to_str()?)
    }

    /// Writes this format from a recording's start on; `None` where this build has no Parquet.
    #[must_use]
    pub fn encoder(self) -> Option<Box<dyn Encoder>> {
        Some(Box::new(SanitizingEncoder((self.codec().new_encoder)()?)))
    }

    /// Detects the format of a file from its beginning.
    pub(crate) fn detect(head: &[u8]) -> Option<Self> {
        Self::ALL.iter().copied().find(|format| (format.codec().matches)(head))
    }

    /// Reads a file of this format.
    pub(crate) fn decode(self, input: Input) -> Result<Items, RecordingError> {
        (self.codec().decode)(input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_has_its_name_and_is_what_its_files_endings_say() {
        for format in Format::ALL {
            assert_eq!(Format::from_name(format.name()), Some(*format));
            assert!(format.extensions().iter().all(|extension| Format::from_name(extension) == Some(*format)));
        }
        let of = |path: &str| Format::from_path(Path::new(path));
        assert_eq!(of("igpu.perfetto-trace"), Some(Format::Perfetto));
        assert_eq!(of("a.b/c.JSON"), Some(Format::Chrome));
        assert_eq!(of("x.ndjson"), Some(Format::JsonLines));
        assert_eq!([of("csv"), of("/dev/stdout"), of("x.txt"), of("x.")], [None; 4]);
    }
}
