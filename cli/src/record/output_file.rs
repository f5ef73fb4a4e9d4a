//! Where items go: into the file, and into the sum. Whatever becomes of the file, the sum is made.

use std::{
    fs::File,
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use igpu::Escaped;
use igpu_recording::{Encoder, Item, SummaryBuilder, Writer};
use nix::fcntl::Flock;

use super::setup::RecordingFile;
use crate::notifier::Notifier;

/// What the recorder has done so far, for the main thread: it cannot ask while the recorder waits for a disk.
#[derive(Default)]
pub(super) struct RecordingProgress {
    summary: Mutex<SummaryBuilder>,
    pub items: AtomicU64,
    pub bytes: AtomicU64,
    /// Number of bytes written to a pipe, updated during a flush.
    pub pipe_bytes: Arc<AtomicU64>,
    pub dropped: AtomicU64,
    /// Nobody reads the standard output any more, where the recording goes.
    pub has_no_reader: AtomicBool,
}

impl RecordingProgress {
    /// Returns counts of its work, which show whether it progresses.
    pub(super) fn counts(&self) -> [u64; 3] {
        [&self.items, &self.bytes, &self.pipe_bytes].map(|count| count.load(Relaxed))
    }

    pub(super) fn summary(&self) -> MutexGuard<'_, SummaryBuilder> {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file and the sum.
pub(super) struct OutputFile<'a> {
    writer: Writer,
    /// The file once more, to see whether it is still in its directory.
    file: Option<File>,
    name: String,
    progress: &'a RecordingProgress,
    notifier: Notifier,
    /// Whether the last flush failed.
    last_write_failed: bool,
    is_removed: bool,
    is_stdout: bool,
    /// Held for as long as the file is written.
    _lock: Option<Flock<File>>,
}

impl<'a> OutputFile<'a> {
    pub(super) fn new(
        mut output: RecordingFile,
        encoder: Box<dyn Encoder>,
        progress: &'a RecordingProgress,
        notifier: Notifier,
    ) -> Self {
        let is_file = output.file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.nlink() > 0);
        let file = output.file.try_clone().ok().filter(|_| is_file);
        let (name, is_stdout, lock) = (escaped_path(&output.path), output.is_stdout(), output.lock.take());
        let new = if output.is_exclusive_file() { Writer::new } else { Writer::stream };
        let writer = new(output.file, encoder).with_byte_counter(progress.pipe_bytes.clone());
        Self {
            writer,
            file,
            name,
            progress,
            notifier,
            last_write_failed: false,
            is_removed: false,
            is_stdout,
            _lock: lock,
        }
    }

    pub(super) fn push(&mut self, item: &Item) {
        self.summarize(item);
        self.progress.items.fetch_add(u64::from(self.writer.push(item)), Relaxed);
    }

    /// Takes an item into the sum alone.
    pub(super) fn summarize(&self, item: &Item) {
        self.progress.summary().observe(item);
    }

    pub(super) fn progress(&self) -> &RecordingProgress {
        self.progress
    }

    /// Items that the file did not take, because there was no room for them to wait.
    pub(super) fn dropped(&self) -> u64 {
        self.writer.dropped()
    }

    /// Items that are not in the file yet.
    pub(super) fn waiting(&self) -> u64 {
        self.writer.pending_items()
    }

    /// Writes what is waiting. Reports the first failure, and when writing works again.
    pub(super) fn flush(&mut self) {
        let flushed = self.writer.flush();
        self.handle_result(flushed);
    }

    /// Writes what there is, if that is much and the disk takes it: what there is no room for would be lost.
    pub(super) fn flush_if_half_full(&mut self) {
        if self.writer.is_half_full() && !self.last_write_failed {
            self.flush();
        }
    }

    /// Writes what is left and what completes the file; whether all is there.
    pub(super) fn finish(&mut self) -> bool {
        let finished = self.writer.finish();
        self.handle_result(finished);
        !self.last_write_failed && !self.is_removed
    }

    fn handle_result(&mut self, result: io::Result<()>) {
        self.progress.bytes.store(self.writer.len(), Relaxed);
        let name = &self.name;
        match &result {
            // Unlike a named pipe's, this reader does not come back.
            Err(error) if self.is_stdout && error.kind() == io::ErrorKind::BrokenPipe => {
                self.progress.has_no_reader.store(true, Relaxed);
                if !self.last_write_failed {
                    self.notifier.report("nobody reads the standard output any more; the recording ends");
                }
            }
            Err(error) if !self.last_write_failed => {
                self.notifier.report(&format!("{name} could not be written ({error}); retrying every second"));
            }
            Ok(()) if self.last_write_failed => self.notifier.report(&format!("{name} is written again")),
            _ => {}
        }
        self.last_write_failed = result.is_err();
        let is_gone = |file: &File| file.metadata().is_ok_and(|metadata| metadata.nlink() == 0);
        if !self.is_removed && self.file.as_ref().is_some_and(is_gone) {
            self.is_removed = true;
            self.notifier.report(&format!("{name} was removed during the recording; the recording will be lost"));
        }
    }
}

/// A path as people may see it.
pub(super) fn escaped_path(path: &Path) -> String {
    Escaped(&path.to_string_lossy()).to_string()
}
