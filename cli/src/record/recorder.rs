//! The recorder thread, which converts the sampler's records to items, and adds these to the file and the summary.

use std::{
    sync::{
        Arc,
        atomic::Ordering::Relaxed,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use igpu::sampler::{Background, Record, monotonic};
use igpu_recording::{Encoder, Item, RecordConverter, UnixTimeOffset, event};

use super::{
    notices::Notices,
    output_file::{OutputFile, RecordingProgress},
    processes::ProcessTracker,
    setup::{PreparedRecording, first_items},
};
use crate::notifier::Notifier;

/// The time between two reads of the sampler's records.
const DRAIN_INTERVAL: Duration = Duration::from_millis(100);
/// The time between two flushes. A recording that is killed loses at most the items of this time.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
/// The maximum time without progress while the end of the file is written.
const DISK_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum number of records per read.
const BATCH_RECORDS: usize = 1024;

/// The handle with which the main thread controls the recorder thread.
pub(super) struct Recorder {
    /// The sender of further items to the thread. The recording ends when the sender is dropped.
    items: Sender<Item>,
    /// The receiver of one value at the end of the recording, which is `true` if all items are in the file.
    end_receiver: Receiver<bool>,
    pub progress: Arc<RecordingProgress>,
}

/// The completeness of the file at the end of a recording.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Completion {
    /// All items are in the file.
    Complete,
    /// Items are missing. The reason was reported.
    Incomplete,
    /// The disk does not respond, and the recorder thread, which waits for it, was abandoned.
    Abandoned,
}

/// The state of the recorder thread.
struct RecorderWorker<'a> {
    background: Background,
    clock: UnixTimeOffset,
    items: RecordConverter,
    processes: ProcessTracker,
    notices: Notices,
    output_file: OutputFile<'a>,
    batch: Vec<Record>,
    dropped: u64,
    /// The time of the latest record, in nanoseconds since the epoch.
    latest_unix_nano: u64,
}

impl Recorder {
    /// Starts the thread. `command_start` is the start event of the command, if there is a command.
    pub(super) fn start(
        prepared: PreparedRecording,
        encoder: Box<dyn Encoder>,
        command_start: Option<Item>,
        notifier: Notifier,
    ) -> std::io::Result<Self> {
        let progress: Arc<RecordingProgress> = Arc::default();
        let ((items, item_receiver), (end_sender, end_receiver)) = (channel(), channel());
        let for_thread = progress.clone();
        let run = move || {
            let command = command_start.as_ref().and_then(|item| item.pid);
            let is_complete = RecorderWorker::new(prepared, encoder, command, notifier, &for_thread)
                .run(command_start, &item_receiver);
            // Sending fails if the thread was abandoned.
            let _ = end_sender.send(is_complete);
        };
        thread::Builder::new().name("igpu-recorder".to_owned()).spawn(run)?;
        Ok(Self { items, end_receiver, progress })
    }

    /// Records an item.
    pub(super) fn record(&self, item: Item) {
        // The thread receives until `items` is dropped.
        let _ = self.items.send(item);
    }

    /// Ends the recording. Waits for the disk while it accepts data, and abandons the thread after [`DISK_TIMEOUT`]
    /// without progress.
    pub(super) fn finish(self) -> (Completion, Arc<RecordingProgress>) {
        drop(self.items);
        let completion = loop {
            let before = self.progress.counts();
            match self.end_receiver.recv_timeout(DISK_TIMEOUT) {
                Ok(true) => break Completion::Complete,
                Err(RecvTimeoutError::Timeout) if self.progress.counts() == before => break Completion::Abandoned,
                Err(RecvTimeoutError::Timeout) => {}
                Ok(false) | Err(RecvTimeoutError::Disconnected) => break Completion::Incomplete,
            }
        };
        (completion, self.progress)
    }
}

impl<'a> RecorderWorker<'a> {
    fn new(
        prepared: PreparedRecording,
        encoder: Box<dyn Encoder>,
        command: Option<u32>,
        notifier: Notifier,
        progress: &'a RecordingProgress,
    ) -> Self {
        let PreparedRecording { background, clock, begin, header, output, list_interval_ns } = prepared;
        let mut output_file = OutputFile::new(output, encoder, progress, notifier.clone());
        first_items(&header, begin).iter().for_each(|item| output_file.push(item));
        // A flush writes all buffered items or none. If a disk is almost full, this flush still saves the header.
        output_file.flush();
        Self {
            background,
            clock,
            items: RecordConverter::new(clock),
            processes: ProcessTracker::new(command, list_interval_ns),
            notices: Notices::new(notifier),
            output_file,
            batch: vec![Record::default(); BATCH_RECORDS],
            dropped: 0,
            latest_unix_nano: 0,
        }
    }

    /// Records until the sender of items is dropped. Returns `true` if all items are in the file.
    fn run(mut self, command_start: Option<Item>, item_receiver: &Receiver<Item>) -> bool {
        self.drain();
        // The start is flushed immediately. Even a recording that is killed in its first second then has the start of
        // the command.
        command_start.iter().for_each(|item| self.output_file.push(item));
        self.output_file.flush();
        let mut next_flush = Instant::now() + FLUSH_INTERVAL;
        let mut next_drain = Instant::now() + DRAIN_INTERVAL;
        loop {
            match item_receiver.recv_timeout(next_drain.saturating_duration_since(Instant::now())) {
                Ok(item) => {
                    // Records that are older than the item are written before it.
                    self.drain();
                    self.output_file.push(&item);
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.drain();
            let now = Instant::now();
            next_drain = now + DRAIN_INTERVAL;
            if now >= next_flush {
                self.heartbeat(self.clock.to_unix_nano(monotonic()));
                self.output_file.flush();
                next_flush = (next_flush + FLUSH_INTERVAL).max(now);
            }
        }
        self.finish()
    }

    fn finish(mut self) -> bool {
        // All metrics are read one last time, because the counters were last read up to one poll interval ago. If a
        // driver call hangs, the last values are missing, and `Notices` reports the hang.
        let _ = self.background.sample();
        // The recording ends with these values, because no counter covers the time until the threads have stopped.
        let end = self.clock.to_unix_nano(monotonic());
        // Records remain available after the sampler has stopped.
        self.background.stop();
        self.drain();
        let end = end.max(self.latest_unix_nano);
        self.heartbeat(end);
        self.output_file.push(&Item::event(end, event::END));
        let is_complete = self.output_file.finish();
        let unwritten = self.output_file.pending_items();
        if unwritten > 0 {
            // The number of unwritten items is added to the summary only, because the file cannot be written.
            self.dropped += unwritten;
            self.output_file.progress().items.fetch_sub(unwritten, Relaxed);
            self.output_file.summarize(&self.dropped_item(end));
        }
        is_complete
    }

    fn drain(&mut self) {
        let now = monotonic();
        loop {
            let count = self.background.drain(&mut self.batch);
            for index in 0..count {
                let record = self.batch[index];
                self.record(&record);
            }
            self.output_file.flush_if_half_full();
            if count < BATCH_RECORDS {
                break;
            }
        }
        self.notices.check_overdue(now);
        for (gpu, pid, last) in self.processes.take_ended(now) {
            self.items.forget_process(gpu, pid);
            let at = self.clock.to_unix_nano(last);
            self.output_file.push(&Item { gpu: Some(gpu), pid: Some(pid), ..Item::event(at, event::PROCESS_END) });
        }
    }

    fn record(&mut self, record: &Record) {
        self.notices.observe(record);
        let at = self.clock.to_unix_nano(record.at);
        self.latest_unix_nano = self.latest_unix_nano.max(at);
        if let Some(process_start) = self.processes.observe(record, at) {
            self.output_file.push(&process_start);
        }
        let output_file = &mut self.output_file;
        self.items.convert(record, |item| output_file.push(&item));
    }

    /// Records a heartbeat with the number of dropped records.
    fn heartbeat(&mut self, at: u64) {
        let dropped = self.background.dropped() + self.output_file.dropped();
        if dropped > self.dropped {
            self.processes.mark_gap(monotonic());
        }
        self.dropped = dropped;
        let item = self.dropped_item(at);
        self.output_file.push(&item);
    }

    /// Publishes the number of dropped records, and returns a heartbeat with this number.
    fn dropped_item(&self, at: u64) -> Item {
        self.output_file.progress().dropped.store(self.dropped, Relaxed);
        Item { value: Some(self.dropped as f64), ..Item::event(at, event::HEARTBEAT) }
    }
}
