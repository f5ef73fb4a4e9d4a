//! The output file and the summary of a recording. An error of the file does not affect the summary.

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
use crate::{error::Diagnostic, notifier::Notifier};

/// The progress of the recorder thread. The main thread can read it while the recorder thread waits for a disk.
#[derive(Default)]
pub(super) struct RecordingProgress {
    summary: Mutex<SummaryBuilder>,
    pub items: AtomicU64,
    pub bytes: AtomicU64,
    /// The number of bytes written to a pipe, updated during a flush.
    pub pipe_bytes: Arc<AtomicU64>,
    pub dropped: AtomicU64,
    /// `true` if the recording is written to the standard output, and the reader of the standard output has closed it.
    pub has_no_reader: AtomicBool,
}

impl RecordingProgress {
    /// Returns the counts of items, bytes, and bytes written to a pipe. While the recorder thread makes progress, at
    /// least one count increases.
    pub(super) fn counts(&self) -> [u64; 3] {
        [&self.items, &self.bytes, &self.pipe_bytes].map(|count| count.load(Relaxed))
    }

    pub(super) fn summary(&self) -> MutexGuard<'_, SummaryBuilder> {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file and the summary of a recording.
pub(super) struct OutputFile<'a> {
    writer: Writer,
    /// A second handle of the file, with which the removal of the file is detected. `None` if the output is not a
    /// regular file.
    file: Option<File>,
    name: String,
    progress: &'a RecordingProgress,
    notifier: Notifier,
    last_write_failed: bool,
    is_removed: bool,
    is_stdout: bool,
    /// The lock on the file, held until the end of the recording.
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

    /// Adds an item to the summary, but not to the file.
    pub(super) fn summarize(&self, item: &Item) {
        self.progress.summary().observe(item);
    }

    pub(super) fn progress(&self) -> &RecordingProgress {
        self.progress
    }

    /// Returns the number of items that were dropped because the buffer was full.
    pub(super) fn dropped(&self) -> u64 {
        self.writer.dropped()
    }

    /// Returns the number of items that are not in the file yet.
    pub(super) fn pending_items(&self) -> u64 {
        self.writer.pending_items()
    }

    /// Writes the buffered items. Reports the first failure, and the first success after a failure.
    pub(super) fn flush(&mut self) {
        let result = self.writer.flush();
        self.handle_result(result);
    }

    /// Writes the buffered items if the buffer is half full, because a full buffer drops items. Does nothing if the
    /// last write has failed.
    pub(super) fn flush_if_half_full(&mut self) {
        if self.writer.is_half_full() && !self.last_write_failed {
            self.flush();
        }
    }

    /// Writes the remaining items and the end of the file. Returns `true` if the file is complete.
    pub(super) fn finish(&mut self) -> bool {
        let result = self.writer.finish();
        self.handle_result(result);
        !self.last_write_failed && !self.is_removed
    }

    fn handle_result(&mut self, result: io::Result<()>) {
        self.progress.bytes.store(self.writer.len(), Relaxed);
        let name = &self.name;
        match &result {
            // Unlike a named pipe, a closed standard output cannot be opened by another reader.
            Err(error) if self.is_stdout && error.kind() == io::ErrorKind::BrokenPipe => {
                self.progress.has_no_reader.store(true, Relaxed);
                if !self.last_write_failed {
                    self.notifier.report_text("the reader of the standard output closed it; the recording ends");
                }
            }
            Err(error) if !self.last_write_failed => {
                let message = format!("{name} could not be written ({error}); retrying every second");
                let help = "free space or restore the disk; meanwhile, items that do not fit into memory are dropped";
                self.notifier.report(&Diagnostic::new(message).with_help(help));
            }
            Ok(()) if self.last_write_failed => self.notifier.report_text(format!("{name} can be written again")),
            _ => {}
        }
        self.last_write_failed = result.is_err();
        let is_gone = |file: &File| file.metadata().is_ok_and(|metadata| metadata.nlink() == 0);
        if !self.is_removed && self.file.as_ref().is_some_and(is_gone) {
            self.is_removed = true;
            let message = format!("{name} was removed during the recording; the recording will be lost");
            self.notifier.report_text(message);
        }
    }
}

/// Returns a path with escaped control characters.
pub(super) fn escaped_path(path: &Path) -> String {
    Escaped(&path.to_string_lossy()).to_string()
}
