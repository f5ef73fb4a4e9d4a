//! A writer whose file is a complete recording after every flush.

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

/// The size of the buffer from which further items are dropped, in bytes. While a disk is full, 4 MiB hold the items of
/// eight GPUs with default settings for more than a minute in every format.
const MAX_PENDING_BYTES: usize = 4 << 20;
/// The maximum number of bytes per write to a pipe, which is the default capacity of a pipe on Linux.
const MAX_PIPE_WRITE_BYTES: usize = 1 << 16;

/// A buffered writer of items to a file, in the format of an [`Encoder`].
///
/// After every successful [`flush`](Self::flush), a regular file is a complete recording of all items so far, even if
/// the process is killed later. A failed flush leaves the file as it was after the last successful flush, and keeps the
/// items for the next flush. In a pipe, the recording is complete only after [`finish`](Self::finish).
///
/// ```
/// use std::fs::File;
///
/// use igpu_recording::{Format, Header, Item, Writer, event};
///
/// # let path = std::env::temp_dir().join(format!("igpu-recording-writer-{}", std::process::id()));
/// let encoder = Format::JsonLines.encoder().expect("a format of every build");
/// let mut writer = Writer::new(File::create(&path)?, encoder);
/// writer.push(&Item::start(1_700_000_000_000_000_000, &Header::default()));
/// writer.push(&Item::event(1_700_000_060_000_000_000, event::END));
/// writer.finish()?;
/// assert_eq!(writer.dropped(), 0);
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Writer {
    file: File,
    encoder: Box<dyn Encoder>,
    /// Whether the file is a regular file, whose tail can be overwritten; `false` for a pipe.
    is_seekable: bool,
    /// The length of the part of the file that later writes do not change, in bytes.
    body_end: u64,
    /// The length of the file, in bytes.
    length: u64,
    /// The encoded items that have not been written.
    pending: Vec<u8>,
    /// The number of items in `pending`.
    pending_items: u64,
    /// The tail at the end of the file, which is written again to undo a failed write.
    tail: Vec<u8>,
    /// The tail for the next write.
    next_tail: Vec<u8>,
    /// The number of items dropped because `pending` was full.
    dropped: u64,
    /// The number of bytes written to a pipe so far.
    bytes_written: Arc<AtomicU64>,
}

impl Writer {
    /// Creates a writer for a file. A regular file is truncated. Another type of file, such as a pipe, is written as by
    /// [`stream`](Self::stream).
    #[must_use]
    pub fn new(file: File, encoder: Box<dyn Encoder>) -> Self {
        let is_seekable = file.metadata().is_ok_and(|metadata| metadata.is_file());
        if is_seekable {
            // If this fails, the first flush fails and reports the error.
            let _ = file.set_len(0);
        }
        Self::with_mode(file, encoder, is_seekable)
    }

    /// Creates a writer that appends at the file's current position and never seeks. The recording is complete only after
    /// [`finish`](Self::finish), because the tail of the format is written once, at the end.
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

    /// Sets a counter of the bytes written to a pipe. The counter is updated during a flush. With it, another thread
    /// can distinguish a pipe that is read slowly from a pipe that is not read.
    #[must_use]
    pub fn with_byte_counter(self, bytes_written: Arc<AtomicU64>) -> Self {
        Self { bytes_written, ..self }
    }

    /// Buffers an item for the next flush. Returns `false` and drops the item if the buffer is full. The buffer fills up if
    /// flushes fail or are too infrequent.
    pub fn push(&mut self, item: &Item) -> bool {
        if self.pending.len() >= MAX_PENDING_BYTES {
            self.dropped += 1;
            return false;
        }
        self.encoder.encode(item, &mut self.pending);
        self.pending_items += 1;
        true
    }

    /// Returns `true` if the buffer is at least half full. A flush is then advisable.
    #[must_use]
    pub fn is_half_full(&self) -> bool {
        self.pending.len() >= MAX_PENDING_BYTES / 2
    }

    /// Returns the number of items dropped because the buffer was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Returns the number of buffered items that have not been written.
    #[must_use]
    pub fn pending_items(&self) -> u64 {
        self.pending_items
    }

    /// Returns the length of the file, in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Returns `true` if nothing has been written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Writes all buffered items.
    ///
    /// # Errors
    /// Returns the error of the write, for example if the disk is full. A regular file then remains in the state of the
    /// last successful flush. A pipe may have received part of the items. The other items remain in the buffer.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.is_seekable { self.flush_file() } else { self.flush_pipe() }
    }

    /// Writes all buffered items and completes the recording. Leaves the position of the file at its end, for other
    /// writers with the same open file description.
    ///
    /// # Errors
    /// Returns the same errors as [`flush`](Self::flush).
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

    /// Writes the pending items and the tail with one system call, because the process can be killed between two calls.
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

    /// Undoes a failed write by overwriting it with the old tail, which occupies disk space that is already allocated.
    fn restore(&mut self) {
        // Errors are ignored because the caller returns the error of the failed write.
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
            let Some(bytes) = self.pending.get(done..).filter(|bytes| !bytes.is_empty()) else { break Ok(()) };
            match self.file.write(&bytes[..bytes.len().min(MAX_PIPE_WRITE_BYTES)]) {
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

    /// An encoder that writes a line with the time of each item, and a tail whose length varies with the number of items.
    #[derive(Default)]
    struct LineEncoder(usize);

    impl Encoder for LineEncoder {
        fn encode(&mut self, item: &Item, out: &mut Vec<u8>) {
            out.extend_from_slice(format!("{}\n", item.time_unix_nano).as_bytes());
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
    fn shorter_tail_leaves_complete_file() {
        let mut file = tempfile::tempfile().unwrap();
        let mut writer = Writer::new(file.try_clone().unwrap(), Box::new(LineEncoder::default()));
        assert!(writer.is_empty());
        for (at, expected) in
            [(1, "1\nall x\n"), (2, "1\n2\nall xx\n"), (3, "1\n2\n3\nall xxx\n"), (4, "1\n2\n3\n4\nall \n")]
        {
            assert!(writer.push(&item(at)));
            writer.flush().unwrap();
            assert_eq!(content(&mut file), expected);
            assert_eq!((writer.len(), writer.pending_items()), (expected.len() as u64, 0));
        }
        writer.finish().unwrap();
        assert_eq!(content(&mut file), "1\n2\n3\n4\nall \n");
    }

    #[test]
    fn new_writer_truncates_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("recording");
        fs::write(&path, "content that is longer than the recording").unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        Writer::new(file, Box::new(LineEncoder::default())).finish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "all \n");
    }

    /// Simulates a full disk with a sealed memory file that cannot grow, which causes a partial write.
    #[test]
    fn partial_write_is_undone_and_retried() {
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
        // The disk has space again.
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, b"1\nall x\n").unwrap();
        writer.file = file.try_clone().unwrap();
        writer.flush().unwrap();
        let all: String = (0..5000).map(|at| format!("{at}\n")).collect();
        assert_eq!(content(&mut file), format!("1\n{all}all x\n"));
        assert_eq!(writer.pending_items(), 0);
    }

    #[test]
    fn full_disk_drops_and_counts_items() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut writer = Writer::new(full, Box::new(LineEncoder::default()));
        let (mut accepted, mut dropped) = (0, 0);
        for at in 0..4_000_000 {
            if writer.push(&item(at)) { accepted += 1 } else { dropped += 1 }
        }
        assert_eq!(writer.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(accepted > 400_000, "{accepted}");
        assert_eq!((writer.pending_items(), writer.dropped()), (accepted, dropped));
        assert!(writer.pending.len() < MAX_PENDING_BYTES + 100);
    }

    #[test]
    fn surrounding_content_is_preserved() {
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
    fn pipe_receives_tail_once_at_end() {
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
