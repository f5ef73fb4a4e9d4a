//! Writes recordings: whole after every flush, and never more than can be read.

use std::{
    fs::File,
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
};

use crate::{format::Encoder, item::Item};

/// So many bytes are kept while a disk is full; what comes then is not taken.
const MOST_PENDING: usize = 4 << 20;

/// Writes items into a file as an [`Encoder`] says.
///
/// After each [`flush`](Self::flush) that succeeds the file is a whole recording of all items so far, and stays it when
/// the process is ended at any time after. One that fails leaves the file as the last one left it, and what could not be
/// written is kept for the next.
pub struct Writer {
    file: File,
    encoder: Box<dyn Encoder>,
    /// A file that can be written at any place; a pipe cannot.
    is_seekable: bool,
    /// What is in the file for good.
    body_end: u64,
    /// How long the file is.
    length: u64,
    pending: Vec<u8>,
    pending_items: u64,
    /// What completes the file now, as it stands there.
    tail: Vec<u8>,
    /// Memory for what is to complete it next.
    next_tail: Vec<u8>,
    /// Items that were not taken because too many wait.
    lost: u64,
}

impl Writer {
    /// Writes into this file, from its start on. What it held is gone.
    #[must_use]
    pub fn new(file: File, encoder: Box<dyn Encoder>) -> Self {
        let is_seekable = file.metadata().is_ok_and(|metadata| metadata.is_file());
        if is_seekable {
            // Whatever is wrong with the file shows at the first flush.
            let _ = file.set_len(0);
        }
        Self {
            file,
            encoder,
            is_seekable,
            body_end: 0,
            length: 0,
            pending: Vec::new(),
            pending_items: 0,
            tail: Vec::new(),
            next_tail: Vec::new(),
            lost: 0,
        }
    }

    /// Takes an item, which the next flush writes; gives whether there was room for it.
    pub fn push(&mut self, item: &Item) -> bool {
        if self.pending.len() >= MOST_PENDING {
            self.lost += 1;
            return false;
        }
        self.encoder.item(item, &mut self.pending);
        self.pending_items += 1;
        true
    }

    /// How many items there was no room for, because the file could not be written.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// How many items were taken and are not in the file yet.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.pending_items
    }

    /// How long the file is, in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether nothing was written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Writes all items that were taken.
    ///
    /// # Errors
    /// What the system says of the file: it is full, it is gone. The file then is as the last flush left it.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.is_seekable { self.flush_file() } else { self.flush_pipe() }
    }

    /// Writes what is left, and what completes the recording where that could not be done before.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub fn finish(&mut self) -> io::Result<()> {
        self.flush()?;
        if !self.is_seekable {
            self.complete();
            self.file.write_all(&self.next_tail)?;
        }
        Ok(())
    }

    fn complete(&mut self) {
        self.next_tail.clear();
        self.encoder.tail(&mut self.next_tail);
    }

    /// One call for all there is: whoever ends this process meets the file as it was before it, or after.
    fn flush_file(&mut self) -> io::Result<()> {
        self.complete();
        let body = self.pending.len();
        self.pending.extend_from_slice(&self.next_tail);
        let written = self.file.write_all_at(&self.pending, self.body_end);
        let length = self.body_end + self.pending.len() as u64;
        self.pending.truncate(body);
        if let Err(error) = written {
            self.restore();
            return Err(error);
        }
        if length < self.length {
            self.file.set_len(length)?;
        }
        self.length = length;
        self.body_end += body as u64;
        std::mem::swap(&mut self.tail, &mut self.next_tail);
        self.taken();
        Ok(())
    }

    /// Puts the file back as it was before a write that failed: what stood there needs no new room.
    fn restore(&mut self) {
        // The error that led here is the one to tell.
        let _ = self.file.write_all_at(&self.tail, self.body_end);
        let _ = self.file.set_len(self.length);
    }

    fn taken(&mut self) {
        self.pending.clear();
        self.pending_items = 0;
    }

    fn flush_pipe(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() {
            let written = self.file.write(&self.pending)?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.pending.drain(..written);
            self.length += written as u64;
        }
        self.taken();
        Ok(())
    }
}
