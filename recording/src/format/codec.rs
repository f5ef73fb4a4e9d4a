//! The parts of a recording format.

use std::{
    fs::File,
    io::{BufRead, BufReader, Cursor, Read as _},
};

use super::encoder::Encoder;
use crate::{error::RecordingError, read::Items};

/// The maximum length of a packet, event or line, in bytes: it bounds the memory of readers, even for a damaged file.
pub(super) const MAX_RECORD_BYTES: u64 = 16 << 20;

/// The definition of a format. Each format's module has one.
pub(super) struct Codec {
    /// The name on the command line.
    pub(super) name: &'static str,
    /// The file extensions, most common first.
    pub(super) extensions: &'static [&'static str],
    /// Whether trace viewers open it.
    pub(super) is_trace: bool,
    /// Returns whether a file that begins with these bytes is of this format. Earlier formats of the list are tried
    /// first.
    pub(super) matches: fn(&[u8]) -> bool,
    /// Creates an encoder for a new file; `None` if this build lacks the format.
    pub(super) new_encoder: fn() -> Option<Box<dyn Encoder>>,
    /// Reads a file back.
    pub(super) decode: fn(Input) -> Result<Items, RecordingError>,
}

/// A file to read, of which the beginning was read to detect its format.
pub(crate) struct Input {
    head: Vec<u8>,
    /// The file, positioned after the head.
    pub(super) file: File,
}

impl Input {
    pub(crate) fn new(head: Vec<u8>, file: File) -> Self {
        Self { head, file }
    }

    /// Returns all bytes of the file in order. Does not seek, because a pipe cannot be read again from its beginning.
    pub(super) fn stream(self) -> Box<dyn BufRead> {
        Box::new(BufReader::with_capacity(1 << 16, Cursor::new(self.head).chain(self.file)))
    }
}
