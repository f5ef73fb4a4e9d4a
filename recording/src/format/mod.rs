//! The file formats of recordings. Each has a module with an encoder and a decoder.
//!
//! To add a format, write a module with a `CODEC`, add a variant to [`Format`], and add the variant to [`Format::ALL`] and
//! to `Format::codec`.

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
use crate::{error::RecordingError, items::Items};

pub(crate) use self::codec::Input;
pub use self::encoder::Encoder;

/// A file format of recordings.
///
/// ```
/// use igpu_recording::Format;
///
/// assert_eq!(Format::from_path("run.perfetto-trace".as_ref()), Some(Format::Perfetto));
/// assert_eq!(Format::from_name("csv"), Some(Format::Csv));
/// assert_eq!(Format::from_path("run.txt".as_ref()), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// A Perfetto trace in protobuf encoding, for <https://ui.perfetto.dev>.
    Perfetto,
    /// Chrome trace events in JSON.
    Chrome,
    /// CSV, with a line for each item.
    Csv,
    /// JSON Lines, with an object for each item.
    JsonLines,
    /// Apache Parquet, with a row for each item. Requires the feature `parquet`.
    Parquet,
}

impl Format {
    /// All formats, including those that this build does not support, in the order of help texts.
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

    /// Returns the name of the format on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.codec().name
    }

    /// Returns the file extensions without the dot, most common first.
    #[must_use]
    pub fn extensions(self) -> &'static [&'static str] {
        self.codec().extensions
    }

    /// Returns `true` if trace viewers such as <https://ui.perfetto.dev> can open the format.
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

    /// Returns the format with the file extension of this path, ignoring case; `None` if the extension is missing or
    /// unknown.
    #[must_use]
    pub fn from_path(path: &Path) -> Option<Self> {
        Self::from_name(path.extension()?.to_str()?)
    }

    /// Creates an encoder for a new recording; returns `None` for [`Format::Parquet`] without the feature `parquet`.
    #[must_use]
    pub fn encoder(self) -> Option<Box<dyn Encoder>> {
        Some(Box::new(SanitizingEncoder((self.codec().new_encoder)()?)))
    }

    /// Detects the format of a file from its first bytes.
    pub(crate) fn detect(head: &[u8]) -> Option<Self> {
        Self::ALL.iter().copied().find(|format| (format.codec().matches)(head))
    }

    /// Returns the items of a file in this format.
    pub(crate) fn decode(self, input: Input) -> Result<Items, RecordingError> {
        (self.codec().decode)(input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_found_by_name_or_extension() {
        for format in Format::ALL {
            assert_eq!(Format::from_name(format.name()), Some(*format));
            assert!(format.extensions().iter().all(|extension| Format::from_name(extension) == Some(*format)));
        }
        let detect = |path: &str| Format::from_path(Path::new(path));
        assert_eq!(detect("igpu.perfetto-trace"), Some(Format::Perfetto));
        assert_eq!(detect("a.b/c.JSON"), Some(Format::Chrome));
        assert_eq!(detect("x.ndjson"), Some(Format::JsonLines));
        assert_eq!([detect("csv"), detect("/dev/stdout"), detect("x.txt"), detect("x.")], [None; 4]);
    }
}
