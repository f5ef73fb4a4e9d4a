//! Writes recordings: whole after every flush, and never more than can be read.

use std::{
    fs::File,
    io::{self, Seek as _, SeekFrom, Write as _},
    os::unix::fs::FileExt as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use crate::{format::Encoder, item::Item};

/// So many bytes are kept while a disk is full; what comes then is not taken.
const MAX_PENDING_BYTES: usize = 4 << 20;

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
    dropped: u64,
    /// Number of bytes written to a pipe so far.
    bytes_written: Arc<AtomicU64>,
}

/// The maximum number of bytes per write to a pipe.
const MAX_PIPE_WRITE_BYTES: usize = 1 << 16;

impl Writer {
    /// Writes into this file, from its start on. What it held is gone.
    #[must_use]
    pub fn new(file: File, encoder: Box<dyn Encoder>) -> Self {
        let is_seekable = file.metadata().is_ok_and(|metadata| metadata.is_file());
        if is_seekable {
            // Whatever is wrong with the file shows at the first flush.
            let _ = file.set_len(0);
        }
        Self::with_mode(file, encoder, is_seekable)
    }

    /// Writes on where others have written before, as into a pipe: what completes the recording comes at its end only.
    #[must_use]
    pub fn stream(file: File, encoder: Box<dyn Encoder>) -> Self {
        Self::with_mode(file, encoder, false)
    }

    fn with_mode(file: File, encoder: Box<dyn Encoder>, is_seekable: bool) -> Self {
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
            dropped: 0,
            bytes_written: Arc::default(),
        }
    }

    /// Sets a counter of the bytes written to a pipe. It is updated during a flush, so that another thread can
    /// distinguish a pipe with a slow reader from one without.
    #[must_use]
    pub fn with_byte_counter(self, bytes_written: Arc<AtomicU64>) -> Self {
        Self { bytes_written, ..self }
    }

    /// Takes an item, which the next flush writes; gives whether there was room for it.
    pub fn push(&mut self, item: &Item) -> bool {
        if self.pending.len() >= MAX_PENDING_BYTES {
            self.dropped += 1;
            return false;
        }
        self.encoder.encode(item, &mut self.pending);
        self.pending_items += 1;
        true
    }

    /// Whether more than half of the room for items that wait is taken, so that a flush is due.
    #[must_use]
    pub fn is_half_full(&self) -> bool {
        self.pending.len() >= MAX_PENDING_BYTES / 2
    }

    /// How many items there was no room for, because the file could not be written.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// How many items were taken and are not in the file yet.
    #[must_use]
    pub fn pending_items(&self) -> u64 {
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

    /// Writes what is left, and what completes the recording where that could not be done before. Who has the same open
    /// file goes on behind it.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub fn finish(&mut self) -> io::Result<()> {
        self.flush()?;
        if !self.is_seekable {
            self.build_tail();
            self.file.write_all(&self.next_tail)?;
        } else {
            self.file.seek(SeekFrom::Start(self.length))?;
        }
        Ok(())
    }

    fn build_tail(&mut self) {
        self.next_tail.clear();
        self.encoder.encode_tail(&mut self.next_tail);
    }

    /// One call for all there is: whoever ends this process meets the file as it was before it, or after.
    fn flush_file(&mut self) -> io::Result<()> {
        self.build_tail();
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
        self.clear_pending();
        Ok(())
    }

    /// Puts the file back as it was before a write that failed: what stood there needs no new room.
    fn restore(&mut self) {
        // The error that led here is the one to tell.
        let _ = self.file.write_all_at(&self.tail, self.body_end);
        let _ = self.file.set_len(self.length);
    }

    fn clear_pending(&mut self) {
        self.pending.clear();
        self.pending_items = 0;
    }

    fn flush_pipe(&mut self) -> io::Result<()> {
        let mut done = 0;
        let result = loop {
            let Some(rest) = self.pending.get(done..).filter(|rest| !rest.is_empty()) else { break Ok(()) };
            match self.file.write(&rest[..rest.len().min(MAX_PIPE_WRITE_BYTES)]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    done += written;
                    self.bytes_written.fetch_add(written as u64, Relaxed);
                }
                Err(error) => break Err(error),
            }
        };
        self.pending.drain(..done);
        self.length += done as u64;
        result.map(|()| self.clear_pending())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read as _};

    use nix::{
        fcntl::{FcntlArg, SealFlag, fcntl},
        sys::memfd::{MFdFlags, memfd_create},
    };

    use super::*;
    use crate::event;

    /// A line with the time of each item, and a last line that completes the file and grows with their number.
    #[derive(Default)]
    struct LineEncoder(usize);

    impl Encoder for LineEncoder {
        fn encode(&mut self, item: &Item, out: &mut Vec<u8>) {
            out.extend_from_slice(format!("{}\n", item.at).as_bytes());
            self.0 += 1;
        }

        fn encode_tail(&mut self, out: &mut Vec<u8>) {
            out.extend_from_slice(format!("all {}\n", "x".repeat(self.0 % 4)).as_bytes());
        }
    }

    fn item(at: u64) -> Item {
        Item::event(at, event::HEARTBEAT)
    }

    fn content(file: &mut File) -> String {
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn the_file_is_whole_after_each_flush_also_when_what_completes_it_gets_shorter() {
        let mut file = tempfile::tempfile().unwrap();
        let mut writer = Writer::new(file.try_clone().unwrap(), Box::new(LineEncoder::default()));
        assert!(writer.is_empty());
        for (at, whole) in
            [(1, "1\nall x\n"), (2, "1\n2\nall xx\n"), (3, "1\n2\n3\nall xxx\n"), (4, "1\n2\n3\n4\nall \n")]
        {
            assert!(writer.push(&item(at)));
            writer.flush().unwrap();
            assert_eq!(content(&mut file), whole);
            assert_eq!((writer.len(), writer.pending_items()), (whole.len() as u64, 0));
        }
        writer.finish().unwrap();
        assert_eq!(content(&mut file), "1\n2\n3\n4\nall \n");
    }

    #[test]
    fn what_the_file_held_before_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("recording");
        fs::write(&path, "something much longer than what comes").unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        Writer::new(file, Box::new(LineEncoder::default())).finish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "all \n");
    }

    /// A file in memory that cannot grow stands for a disk that is full: some of a write fits, the rest does not.
    #[test]
    fn a_write_that_fails_half_way_leaves_the_file_as_it_was_and_is_made_good_later() {
        let mut full = File::from(memfd_create(c"full", MFdFlags::MFD_ALLOW_SEALING).unwrap());
        let mut writer = Writer::new(full.try_clone().unwrap(), Box::new(LineEncoder::default()));
        writer.push(&item(1));
        writer.flush().unwrap();
        full.set_len(9000).unwrap();
        fcntl(&full, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_GROW)).unwrap();
        for at in 0..5000 {
            writer.push(&item(at));
        }
        writer.flush().unwrap_err();
        assert_eq!(content(&mut full), "1\nall x\n");
        assert_eq!(writer.pending_items(), 5000);
        writer.flush().unwrap_err();
        assert_eq!(content(&mut full), "1\nall x\n");
        // There is room again.
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, b"1\nall x\n").unwrap();
        writer.file = file.try_clone().unwrap();
        writer.flush().unwrap();
        let all: String = (0..5000).map(|at| format!("{at}\n")).collect();
        assert_eq!(content(&mut file), format!("1\n{all}all x\n"));
        assert_eq!(writer.pending_items(), 0);
    }

    #[test]
    fn what_waits_for_a_full_disk_is_bounded_and_the_rest_is_counted() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut writer = Writer::new(full, Box::new(LineEncoder::default()));
        let (mut accepted, mut refused) = (0, 0);
        for at in 0..4_000_000 {
            if writer.push(&item(at)) { accepted += 1 } else { refused += 1 }
        }
        assert_eq!(writer.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(accepted > 400_000, "{accepted}");
        assert_eq!((writer.pending_items(), writer.dropped()), (accepted, refused));
        assert!(writer.pending.len() < MAX_PENDING_BYTES + 100);
    }

    #[test]
    fn what_stood_before_a_stream_and_what_comes_after_a_recording_stay() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"before\n").unwrap();
        let mut writer = Writer::stream(file.try_clone().unwrap(), Box::new(LineEncoder::default()));
        for at in [1, 2] {
            writer.push(&item(at));
            writer.flush().unwrap();
        }
        writer.finish().unwrap();
        assert_eq!(content(&mut file), "before\n1\n2\nall xx\n");
        let mut file = tempfile::tempfile().unwrap();
        let mut writer = Writer::new(file.try_clone().unwrap(), Box::new(LineEncoder::default()));
        writer.push(&item(1));
        writer.finish().unwrap();
        file.write_all(b"after\n").unwrap();
        assert_eq!(content(&mut file), "1\nall x\nafter\n");
    }

    #[test]
    fn into_a_pipe_goes_the_body_and_what_completes_it_at_the_end_only() {
        let (mut reader, pipe) = io::pipe().unwrap();
        let mut writer = Writer::new(File::from(std::os::fd::OwnedFd::from(pipe)), Box::new(LineEncoder::default()));
        for at in [1, 2] {
            writer.push(&item(at));
            writer.flush().unwrap();
        }
        writer.finish().unwrap();
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "1\n2\nall xx\n");
    }
}
