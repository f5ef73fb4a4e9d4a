//! What a format consists of.

use std::{
    fs::File,
    io::{BufRead, BufReader, Cursor, Read as _},
};

use super::encoder::Encoder;
use crate::{error::ReadError, items::Items};

/// No packet, event or line is longer, in bytes: readers take no more memory, whatever a damaged file says.
pub(super) const LONGEST: u64 = 16 << 20;

/// All that differs from one format to the next. Each format's module has one.
pub(super) struct Codec {
    /// The name on the command line.
    pub(super) name: &'static str,
    /// The extensions of such files, the common one first.
    pub(super) extensions: &'static [&'static str],
    /// Whether viewers of traces open it.
    pub(super) is_trace: bool,
    /// Returns whether a file that begins so is of this format, if it is of none before it.
    pub(super) begins: fn(&[u8]) -> bool,
    /// Makes what writes a new file; `None` where this build lacks the format.
    pub(super) encoder: fn() -> Option<Box<dyn Encoder>>,
    /// Reads a file back.
    pub(super) items: fn(Input) -> Result<Items, ReadError>,
}

/// A file to read, of which the beginning was read to find out its format.
pub(crate) struct Input {
    head: Vec<u8>,
    /// The file, behind its head.
    pub(super) file: File,
}

impl Input {
    pub(crate) fn new(head: Vec<u8>, file: File) -> Self {
        Self { head, file }
    }

    /// Returns all bytes of the file in turn. Seeks nowhere: a pipe cannot be read again from its beginning.
    pub(super) fn stream(self) -> Box<dyn BufRead> {
        Box::new(BufReader::with_capacity(1 << 16, Cursor::new(self.head).chain(self.file)))
    }
}
