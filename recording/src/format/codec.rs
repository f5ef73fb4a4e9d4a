//! The definition of a recording format.

use std::{
    fs::File,
    io::{BufRead, BufReader, Cursor, Read as _},
};

use super::encoder::Encoder;
use crate::{error::RecordingError, items::Items};

/// The maximum length of a packet, event, or line, in bytes. It bounds the memory use of readers for damaged files.
pub(super) const MAX_RECORD_BYTES: u64 = 16 << 20;

/// The definition of a format. The module of each format has a constant `CODEC` of this type.
pub(super) struct Codec {
    /// The name on the command line.
    pub(super) name: &'static str,
    /// The file extensions without the dot, most common first.
    pub(super) extensions: &'static [&'static str],
    /// Whether trace viewers can open the format.
    pub(super) is_trace: bool,
    /// Returns `true` if the first bytes of a file match this format. Formats are tried in the order of
    /// [`Format::ALL`](super::Format::ALL), and the first match is used.
    pub(super) matches: fn(&[u8]) -> bool,
    /// Creates an encoder for a new file; returns `None` if this build does not support the format.
    pub(super) new_encoder: fn() -> Option<Box<dyn Encoder>>,
    /// Returns the items of a file.
    pub(super) decode: fn(Input) -> Result<Items, RecordingError>,
}

/// An open file, and its first bytes, which were read to detect its format.
pub(crate) struct Input {
    /// The first bytes of the file.
    head: Vec<u8>,
    /// The file, positioned after the head.
    pub(super) file: File,
}

impl Input {
    pub(crate) fn new(head: Vec<u8>, file: File) -> Self {
        Self { head, file }
    }

    /// Returns a reader of the whole file. It does not seek, because pipes do not support seeking.
    pub(super) fn stream(self) -> Box<dyn BufRead> {
        Box::new(BufReader::with_capacity(1 << 16, Cursor::new(self.head).chain(self.file)))
    }
}
