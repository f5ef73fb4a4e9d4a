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

use igpu::sampler::{Background, Flags, Record, monotonic};
use igpu_recording::{ClockOffset, Encoder, Item, RecordConverter, event};

use super::{
    notices::Notices,
    prepare::{Prepared, first_items},
    processes::Processes,
    sink::{Progress, Sink},
};
use crate::notifier::Notifier;

/// How often records are taken from the sampler.
const DRAIN: Duration = Duration::from_millis(100);
/// How often the file is made whole.
const FLUSH: Duration = Duration::from_secs(1);
/// How long a disk may take for the end.
const PATIENCE: Duration = Duration::from_secs(5);
/// Records that are taken at once.
const BATCH: usize = 1024;

/// The recorder, seen from the main thread.
pub(super) struct Recorder {
    /// What to record besides. The recording ends when this goes.
    items: Sender<Item>,
    /// Whether all is in the file, at the end.
    ended: Receiver<bool>,
    pub progress: Arc<Progress>,
}

/// How a recording ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Ended {
    /// All is in the file.
    Whole,
    /// Not all is; why was said.
    Short,
    /// The disk does not answer, and the thread that waits for it was left alone.
    LeftAlone,
}

/// What the thread works with.
struct Work<'a> {
    background: Background,
    clock: ClockOffset,
    items: RecordConverter,
    processes: Processes,
    notices: Notices,
    sink: Sink<'a>,
    batch: Vec<Record>,
    lost: u64,
    /// The latest record's time, as the recording counts.
    latest: u64,
}

impl Recorder {
    /// Records from now on, beside a command that has started.
    pub(super) fn start(
        prepared: Prepared,
        encoder: Box<dyn Encoder>,
        command_start: Option<Item>,
        notifier: Notifier,
    ) -> std::io::Result<Self> {
        let progress: Arc<Progress> = Arc::default();
        let ((items, to_record), (tell_end, ended)) = (channel(), channel());
        let for_thread = progress.clone();
        let run = move || {
            let command = command_start.as_ref().and_then(|item| item.pid);
            let whole = Work::new(prepared, encoder, command, notifier, &for_thread).run(command_start, &to_record);
            // Nobody waits for it any more.
            let _ = tell_end.send(whole);
        };
        thread::Builder::new().name("igpu-recorder".to_owned()).spawn(run)?;
        Ok(Self { items, ended, progress })
    }

    /// Records an event.
    pub(super) fn record(&self, item: Item) {
        // The thread is there until this goes.
        let _ = self.items.send(item);
    }

    /// Ends the recording. Waits for the disk as long as it accepts data, but not indefinitely.
    pub(super) fn end(self) -> (Ended, Arc<Progress>) {
        drop(self.items);
        let ended = loop {
            let before = self.progress.done();
            match self.ended.recv_timeout(PATIENCE) {
                Ok(true) => break Ended::Whole,
                Err(RecvTimeoutError::Timeout) if self.progress.done() == before => break Ended::LeftAlone,
                Err(RecvTimeoutError::Timeout) => {}
                Ok(false) | Err(RecvTimeoutError::Disconnected) => break Ended::Short,
            }
        };
        (ended, self.progress)
    }
}

impl<'a> Work<'a> {
    fn new(
        prepared: Prepared,
        encoder: Box<dyn Encoder>,
        command: Option<u32>,
        notifier: Notifier,
        progress: &'a Progress,
    ) -> Self {
        let Prepared { background, clock, begin, header, output, list_period } = prepared;
        let mut sink = Sink::new(output, encoder, progress, notifier.clone());
        first_items(&header, begin).iter().for_each(|item| sink.push(item));
        // Where there is hardly any room, at least what the recording is of is there. A flush is written whole or not.
        sink.flush();
        let none = Record { at: 0, value: 0.0, uncertainty: 0, detail: 0, gpu: 0, metric: 0, flags: Flags::default() };
        Self {
            background,
            clock,
            items: RecordConverter::new(clock),
            processes: Processes::new(command, list_period),
            notices: Notices::new(notifier),
            sink,
            batch: vec![none; BATCH],
            lost: 0,
            latest: 0,
        }
    }

    /// Records until there is nobody left to say what; gives whether all is in the file.
    fn run(mut self, command_start: Option<Item>, to_record: &Receiver<Item>) -> bool {
        self.drain();
        // A recording that is cut off in its first second is one of a command that was started.
        command_start.iter().for_each(|item| self.sink.push(item));
        self.sink.flush();
        let mut next_flush = Instant::now() + FLUSH;
        let mut next_drain = Instant::now() + DRAIN;
        loop {
            match to_record.recv_timeout(next_drain.saturating_duration_since(Instant::now())) {
                Ok(item) => {
                    // What was so before stands before it.
                    self.drain();
                    self.sink.push(&item);
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.drain();
            let now = Instant::now();
            next_drain = now + DRAIN;
            if now >= next_flush {
                self.heartbeat(self.clock.unix_nano(monotonic()));
                self.sink.flush();
                next_flush = (next_flush + FLUSH).max(now);
            }
        }
        self.finish()
    }

    fn finish(mut self) -> bool {
        // What the counters say at the end itself, and not up to half a period before it.
        self.background.sample();
        // The recording ends with this reading: what passes until the threads have stopped is in no counter.
        let end = self.clock.unix_nano(monotonic());
        // What it has read can still be taken after.
        self.background.stop();
        self.drain();
        let end = end.max(self.latest);
        self.heartbeat(end);
        self.sink.push(&Item::event(end, event::END));
        let whole = self.sink.finish();
        let never_written = self.sink.waiting();
        if never_written > 0 {
            // Not for the file, which does not take it either.
            self.lost += never_written;
            self.sink.progress().items.fetch_sub(never_written, Relaxed);
            self.sink.sum(&self.lost_so_far(end));
        }
        whole
    }

    fn drain(&mut self) {
        let now = monotonic();
        loop {
            let taken = self.background.drain(&mut self.batch);
            for place in 0..taken {
                let record = self.batch[place];
                self.record(&record);
            }
            self.sink.flush_if_much();
            if taken < BATCH {
                break;
            }
        }
        self.notices.look(now);
        for (gpu, pid, last) in self.processes.gone(now) {
            self.items.forget(gpu, pid);
            let at = self.clock.unix_nano(last);
            self.sink.push(&Item { gpu: Some(gpu), pid: Some(pid), ..Item::event(at, event::PROCESS_END) });
        }
    }

    fn record(&mut self, record: &Record) {
        self.notices.see(record);
        let at = self.clock.unix_nano(record.at);
        self.latest = self.latest.max(at);
        if let Some(seen) = self.processes.see(record, at) {
            self.sink.push(&seen);
        }
        let sink = &mut self.sink;
        self.items.give(record, |item| sink.push(&item));
    }

    /// Tells that the recording goes on, and how many records it lacks.
    fn heartbeat(&mut self, at: u64) {
        let lost = self.background.dropped() + self.sink.lost();
        if lost > self.lost {
            self.processes.lost_sight(monotonic());
        }
        self.lost = lost;
        let item = self.lost_so_far(at);
        self.sink.push(&item);
    }

    fn lost_so_far(&self, at: u64) -> Item {
        self.sink.progress().lost.store(self.lost, Relaxed);
        Item { value: Some(self.lost as f64), ..Item::event(at, event::LOST) }
    }
}
