//! The sampler on a thread of its own: one for all GPUs.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rtrb::{Consumer, Producer, RingBuffer};

use super::{
    Event, Flags, Record, Sampler,
    latest::{Entry, Latest, Missing},
    time::{Clocks, sleep_until},
};
use crate::{Error, Result, metric::Metric};

/// The longest that the thread sleeps at once: so soon it sees that it is to stop, and beats its heart.
const LONGEST_SLEEP: u64 = 20_000_000;
/// How long `stop` waits for the thread before it gives it up.
const PATIENCE: Duration = Duration::from_millis(80);

/// What the thread and its owner share.
struct Shared {
    stop: AtomicBool,
    /// Records that found the ring full.
    lost: AtomicU64,
    /// When the thread last came by, in nanoseconds of the monotonic clock.
    beat: AtomicU64,
    ticks: AtomicU64,
    latest: Latest,
    /// Which value stands where in `latest`.
    keys: Vec<(u32, Metric)>,
}

/// A sampler on a thread of its own, from [`Sampler::spawn`].
///
/// The thread reads each lane at absolute deadlines with all signals blocked, and gives its records into a ring that was
/// made once. Whoever owns this takes them out; when that is too slow, records are lost, counted, and told, and the
/// thread never waits. The latest value of each metric can be read from any thread and from a signal handler.
///
/// Dropping it stops it.
pub struct Background {
    shared: Arc<Shared>,
    records: Consumer<Record>,
    thread: Option<JoinHandle<()>>,
    clocks: Clocks,
}

/// How a background sampler ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The thread has ended.
    Ended,
    /// The thread hangs in a driver call and was given up: it, its memory and the driver's library stay until the process
    /// ends, and NVML is not shut down.
    GivenUp,
}

/// Reads the latest values of a background sampler; cheap to clone, and usable in a signal handler.
#[derive(Clone)]
pub struct LatestReader {
    shared: Arc<Shared>,
}

/// Where the latest value of a metric of a GPU stands; from [`LatestReader::key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(usize);

impl Sampler {
    /// Goes on on a thread of its own, with room for `records` records that were not taken out yet. At 32 bytes each,
    /// 10 s of 1000 a second are 320 KB.
    ///
    /// # Errors
    /// [`Error::Thread`] when the system has no thread to give.
    pub fn spawn(self, records: usize) -> Result<Background> {
        let clocks = self.clocks;
        let keys: Vec<(u32, Metric)> =
            self.series.iter().map(|series| (u32::from(series.gpu), series.metric)).collect();
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            lost: AtomicU64::new(0),
            beat: AtomicU64::new((clocks.monotonic)()),
            ticks: AtomicU64::new(0),
            latest: Latest::new(keys.len()),
            keys,
        });
        let (producer, consumer) = RingBuffer::new(records);
        let written = vec![None; self.series.len()];
        let worker = Worker { sampler: self, shared: shared.clone(), records: producer, untold: 0, written };
        let thread = spawn_without_signals(move || worker.run())?;
        Ok(Background { shared, records: consumer, thread: Some(thread), clocks })
    }
}

/// Spawns with all signals blocked, so that the program's handlers never run on this thread, not even before its first
/// line.
#[allow(unsafe_code, reason = "std has no signal masks")]
fn spawn_without_signals(run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    // SAFETY: both sets are plain data, filled before they are read; the calls do not fail with valid arguments.
    let before = unsafe {
        let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        before
    };
    let thread = thread::Builder::new().name("igpu-sampler".into()).spawn(run);
    // SAFETY: the mask that was in force before.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut()) };
    thread.map_err(|error| Error::Thread { reason: error.to_string() })
}

/// The thread's side.
struct Worker {
    sampler: Sampler,
    shared: Arc<Shared>,
    records: Producer<Record>,
    /// Records lost that no event has told of yet.
    untold: u64,
    /// The stamp of what stands in `Shared::latest`, for each value.
    written: Vec<Option<u64>>,
}

/// The flag of an entry that stands for "there is no value any more"; no flag of [`Flags`].
const ABSENT: u32 = 1 << 31;

impl Worker {
    fn run(mut self) {
        super::time::sharpen_timers();
        let clocks = self.sampler.clocks;
        while !self.shared.stop.load(Ordering::Acquire) {
            let now = (clocks.monotonic)();
            self.shared.beat.store(now, Ordering::Release);
            if now >= self.sampler.next_due() {
                self.tick(now);
            } else {
                sleep_until(self.sampler.next_due().min(now + LONGEST_SLEEP));
            }
        }
    }

    fn tick(&mut self, now: u64) {
        let Self { sampler, shared, records, untold, written } = self;
        let frame = sampler.tick(now);
        if *untold > 0 && !records.is_full() {
            let event = Record::of_event(now, 0, None, Event::RECORDS_LOST, *untold as f64);
            if records.push(event).is_ok() {
                *untold = 0;
            }
        }
        for record in frame.records() {
            if records.push(*record).is_err() {
                *untold += 1;
                shared.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
        for (place, (series, written)) in sampler.series.iter().zip(written).enumerate() {
            let at = series.latest.map(|latest| latest.at);
            if at != *written {
                *written = at;
                shared.latest.write(place, entry(series.latest));
            }
        }
        shared.ticks.fetch_add(1, Ordering::Release);
    }
}

/// What is written for a value, or for one that is none any more because its GPU was lost.
fn entry(latest: Option<Record>) -> Entry {
    match latest {
        Some(Record { at, value, flags: Flags(flags), uncertainty, .. }) => Entry { at, value, flags, uncertainty },
        None => Entry { flags: ABSENT, ..Entry::default() },
    }
}

impl Background {
    /// Takes the oldest record out.
    pub fn pop(&mut self) -> Option<Record> {
        self.records.pop().ok()
    }

    /// Takes out as many records as there are, up to the length of `into`, oldest first, and gives how many.
    pub fn drain(&mut self, into: &mut [Record]) -> usize {
        let count = self.records.slots().min(into.len());
        let Ok(chunk) = self.records.read_chunk(count) else { return 0 };
        for (place, record) in into.iter_mut().zip(chunk) {
            *place = record;
        }
        count
    }

    /// How many records were lost since the start, because they were not taken out in time.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// How many ticks there were.
    #[must_use]
    pub fn ticks(&self) -> u64 {
        self.shared.ticks.load(Ordering::Acquire)
    }

    /// How long ago the thread last came by. More than twice the 20 ms that it sleeps at the most says that it is in a
    /// driver call: slow, or one that hangs.
    #[must_use]
    pub fn silence(&self) -> Duration {
        let beat = self.shared.beat.load(Ordering::Acquire);
        Duration::from_nanos((self.clocks.monotonic)().saturating_sub(beat))
    }

    /// Reads the latest values; can be cloned and handed to other threads and to a signal handler.
    #[must_use]
    pub fn latest(&self) -> LatestReader {
        LatestReader { shared: self.shared.clone() }
    }

    /// Stops the thread, within 100 ms also when it hangs in a driver call: then it is given up. What it recorded can
    /// still be taken out after.
    pub fn stop(&mut self) -> Stopped {
        let Some(thread) = self.thread.take() else { return Stopped::Ended };
        self.shared.stop.store(true, Ordering::Release);
        let deadline = std::time::Instant::now() + PATIENCE;
        while !thread.is_finished() {
            if std::time::Instant::now() >= deadline {
                // The thread keeps the sampler, and with it the driver's handle, so that nothing is shut down under it.
                return Stopped::GivenUp;
            }
            thread::sleep(Duration::from_micros(200));
        }
        // It does not panic; if it did, there is nothing left to do about it here.
        let _ = thread.join();
        Stopped::Ended
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Background").field("ticks", &self.ticks()).field("lost", &self.lost()).finish_non_exhaustive()
    }
}

impl fmt::Debug for LatestReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LatestReader").field("keys", &self.shared.keys).finish()
    }
}

impl LatestReader {
    /// Where the value of a metric of a GPU stands: look it up once, outside the signal handler.
    #[must_use]
    pub fn key(&self, gpu: u32, metric: Metric) -> Option<Key> {
        self.shared.keys.iter().position(|key| *key == (gpu, metric)).map(Key)
    }

    /// The latest value. Takes no lock, does not allocate, and may be called in a signal handler; `None` while nothing
    /// was read, while the GPU is lost, and in the rare case that each of a few tries met a write.
    #[must_use]
    pub fn read(&self, key: Key) -> Option<Record> {
        let (gpu, metric) = *self.shared.keys.get(key.0)?;
        match self.shared.latest.read(key.0) {
            Ok(Entry { flags: ABSENT, .. }) => None,
            Ok(Entry { at, value, flags, uncertainty }) => Some(Record {
                at,
                value,
                uncertainty,
                detail: 0,
                gpu: gpu as u16,
                metric: metric.index(),
                flags: Flags(flags),
            }),
            Err(Missing::NeverWritten | Missing::Busy | Missing::NoSuchIndex) => None,
        }
    }
}
