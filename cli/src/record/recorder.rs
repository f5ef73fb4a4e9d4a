//! The thread that takes the sampler's records, and makes items of them, a file of these, and a sum.

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

/// How often records are taken from the sampler.
const DRAIN_INTERVAL: Duration = Duration::from_millis(100);
/// How often the file is made whole.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
/// How long a disk may take for the end.
const DISK_TIMEOUT: Duration = Duration::from_secs(5);
/// Records that are taken at once.
const BATCH_RECORDS: usize = 1024;

/// The recorder, seen from the main thread.
pub(super) struct Recorder {
    /// What to record besides. The recording ends when this goes.
    items: Sender<Item>,
    /// Whether all is in the file, at the end.
    end_receiver: Receiver<bool>,
    pub progress: Arc<RecordingProgress>,
}

/// How a recording ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Completion {
    /// All is in the file.
    Complete,
    /// Not all is; why was said.
    Incomplete,
    /// The disk does not answer, and the thread that waits for it was left alone.
    Abandoned,
}

/// What the thread works with.
struct RecorderWorker<'a> {
    background: Background,
    clock: UnixTimeOffset,
    items: RecordConverter,
    processes: ProcessTracker,
    notices: Notices,
    output_file: OutputFile<'a>,
    batch: Vec<Record>,
    dropped: u64,
    /// The latest record's time, as the recording counts.
    latest_unix_nano: u64,
}

impl Recorder {
    /// Records from now on, beside a command that has started.
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
            // Nobody waits for it any more.
            let _ = end_sender.send(is_complete);
        };
        thread::Builder::new().name("igpu-recorder".to_owned()).spawn(run)?;
        Ok(Self { items, end_receiver, progress })
    }

    /// Records an event.
    pub(super) fn record(&self, item: Item) {
        // The thread is there until this goes.
        let _ = self.items.send(item);
    }

    /// Ends the recording. Waits for the disk as long as it accepts data, but not indefinitely.
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
        let PreparedRecording { background, clock, begin, header, output, list_period_ns } = prepared;
        let mut output_file = OutputFile::new(output, encoder, progress, notifier.clone());
        first_items(&header, begin).iter().for_each(|item| output_file.push(item));
        // Where there is hardly any room, at least what the recording is of is there. A flush is written whole or not.
        output_file.flush();
        let none = Record::default();
        Self {
            background,
            clock,
            items: RecordConverter::new(clock),
            processes: ProcessTracker::new(command, list_period_ns),
            notices: Notices::new(notifier),
            output_file,
            batch: vec![none; BATCH_RECORDS],
            dropped: 0,
            latest_unix_nano: 0,
        }
    }

    /// Records until there is nobody left to say what; gives whether all is in the file.
    fn run(mut self, command_start: Option<Item>, item_receiver: &Receiver<Item>) -> bool {
        self.drain();
        // A recording that is cut off in its first second is one of a command that was started.
        command_start.iter().for_each(|item| self.output_file.push(item));
        self.output_file.flush();
        let mut next_flush = Instant::now() + FLUSH_INTERVAL;
        let mut next_drain = Instant::now() + DRAIN_INTERVAL;
        loop {
            match item_receiver.recv_timeout(next_drain.saturating_duration_since(Instant::now())) {
                Ok(item) => {
                    // What was so before stands before it.
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
        // What the counters say at the end itself, and not up to half a period before it.
        // The last values are missing if a driver call hangs; the hang is reported elsewhere.
        let _ = self.background.sample();
        // The recording ends with this reading: what passes until the threads have stopped is in no counter.
        let end = self.clock.to_unix_nano(monotonic());
        // What it has read can still be taken after.
        self.background.stop();
        self.drain();
        let end = end.max(self.latest_unix_nano);
        self.heartbeat(end);
        self.output_file.push(&Item::event(end, event::END));
        let is_complete = self.output_file.finish();
        let unwritten = self.output_file.waiting();
        if unwritten > 0 {
            // Not for the file, which does not take it either.
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
        if let Some(seen) = self.processes.observe(record, at) {
            self.output_file.push(&seen);
        }
        let output_file = &mut self.output_file;
        self.items.convert(record, |item| output_file.push(&item));
    }

    /// Tells that the recording goes on, and how many records it lacks.
    fn heartbeat(&mut self, at: u64) {
        let dropped = self.background.dropped() + self.output_file.dropped();
        if dropped > self.dropped {
            self.processes.mark_gap(monotonic());
        }
        self.dropped = dropped;
        let item = self.dropped_item(at);
        self.output_file.push(&item);
    }

    fn dropped_item(&self, at: u64) -> Item {
        self.output_file.progress().dropped.store(self.dropped, Relaxed);
        Item { value: Some(self.dropped as f64), ..Item::event(at, event::HEARTBEAT) }
    }
}
