//! The handle of a background sampler.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{
            AtomicU32, AtomicU64,
            Ordering::{AcqRel, Acquire},
        },
    },
    thread,
    time::Duration,
};

use rtrb::{Consumer, RingBuffer};

use super::{
    LatestReader,
    output::Output,
    shared::{Call, GpuState, Shared},
    watchdog::Watchdog,
    work::{Limits, Slot, Threads, Work},
};
use crate::{
    Result, fork_generation,
    sampler::{Clocks, Record, Sampler, gpu_sampler::GpuSampler, latest::Latest, record::Records, time::Stopwatch},
};

/// How long a driver call may take, as the [`Watchdog`] counts, while `stop` or `sample` waits for its thread.
const PATIENCE: u64 = 80_000_000;
/// How often `stop` and `sample` look whether they still have to wait.
const POLL_INTERVAL: Duration = Duration::from_micros(500);
/// How often they look at a call, ns. What a look is late by is not counted, so that many looks would see little.
const LOOK_INTERVAL: u64 = 10_000_000;

/// A sampler on a thread of its own, from [`Sampler::spawn`].
///
/// The thread reads each lane at absolute deadlines with all signals blocked, and gives its records into a ring that was
/// made once. Whoever owns this takes them out; when that is too slow, records are lost, counted, and told, and the
/// thread never waits. The latest value of each metric can be read from any thread and from a signal handler.
///
/// A second thread sleeps, and looks every [`hang_after`](crate::sampler::SamplerBuilder::hang_after) whether the first is in a
/// driver call that does not return. Then it goes on with the other GPUs in its place, which
/// [`Event::GPU_HUNG`](crate::sampler::Event::GPU_HUNG) tells, and starts a watcher anew: the only time that memory is allocated.
///
/// Dropping it stops it.
pub struct Background {
    shared: Arc<Shared>,
    records: Consumer<Record>,
    threads: Arc<Threads>,
    work: Weak<Work>,
    stopped: Option<Stopped>,
}

/// How a background sampler ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Its threads have ended.
    Ended,
    /// A thread hangs in a driver call, the shutdown included, and was given up: its memory and the driver's library stay
    /// until the process ends, and NVML is not shut down after.
    GivenUp,
}

// Here and not beside `Sampler`, of whose parts a `Background` is made.
impl Sampler {
    /// Goes on on a thread of its own, with room for `records` records that were not taken out yet. At 32 bytes each,
    /// 10 s of 1000 a second are 320 KB.
    ///
    /// # Errors
    /// [`Error::Thread`](crate::Error::Thread) when the system has no thread to give.
    pub fn spawn(self, records: usize) -> Result<Background> {
        let Self { gpus, budget, clocks, processes, hang_after, wake_each, .. } = self;
        let slots: Vec<Slot> = gpus.into_iter().map(|gpu| slot(gpu.on_grid(wake_each), clocks, processes)).collect();
        let shared = Arc::new(shared(&slots, clocks));
        let (producer, consumer) = RingBuffer::new(records);
        let output = Output::new(shared.clone(), producer, budget);
        let work = Arc::new(Work::new(slots, output, shared.clone(), clocks, Limits { hang_after, wake_each }));
        let (threads, kept_by_threads) = (work.threads(), Arc::downgrade(&work));
        let background = Background { shared, records: consumer, threads, work: kept_by_threads, stopped: None };
        work.start().map(|()| background)
    }
}

fn slot(gpu: GpuSampler, clocks: Clocks, processes: usize) -> Slot {
    let records = Records::with_capacity(gpu.room(processes) + 1);
    Slot { gpu, records, watch: Stopwatch::new(clocks) }
}

fn shared(slots: &[Slot], clocks: Clocks) -> Shared {
    let (mut gpus, mut keys) = (Vec::new(), Vec::new());
    for Slot { gpu, watch, .. } in slots {
        let first_key = keys.len();
        keys.extend(gpu.series.iter().map(|series| (u32::from(series.gpu), series.metric)));
        let call = Call { since: watch.call(), thread: AtomicU32::new(0) };
        gpus.push(GpuState { index: gpu.index(), call, hung: watch.hung(), first_key, end_key: keys.len() });
    }
    let [lost, ticks, wanted, given] = [const { AtomicU64::new(0) }; 4];
    let (beat, latest) = (AtomicU64::new((clocks.monotonic)()), Latest::new(keys.len()));
    let (closing, forks) = (Call::default(), fork_generation());
    Shared { lost, beat, ticks, wanted, given, gpus, closing, latest, keys, clocks, forks }
}

impl Background {
    /// Takes the oldest record out.
    pub fn pop(&mut self) -> Option<Record> {
        self.records.pop().ok()
    }

    /// Takes out as many records as there are, up to the length of `into`, oldest first, and gives how many.
    pub fn drain(&mut self, into: &mut [Record]) -> usize {
        let (most, mut taken) = (into.len(), 0);
        for (place, record) in into.iter_mut().zip(self.take(most)) {
            *place = record;
            taken += 1;
        }
        taken
    }

    /// Removes the records that there are now, at most `most`, and returns them, oldest first. They free their places in the
    /// ring together when the iterator is dropped, also those that it did not return.
    pub fn take(&mut self, most: usize) -> impl Iterator<Item = Record> + '_ {
        let count = self.records.slots().min(most);
        self.records.read_chunk(count).into_iter().flatten()
    }

    /// How many records were lost since the start, because they were not taken out in time.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared.lost()
    }

    /// How many ticks there were in which something was due.
    #[must_use]
    pub fn ticks(&self) -> u64 {
        self.shared.ticks()
    }

    /// How long nothing was heard: since the oldest driver call under way began, or, where there is none, since the
    /// thread last came by, which it does every 20 ms at the least. So a call that hangs shows at once, and for as long as
    /// it does.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.shared.silence()
    }

    /// The GPUs that a driver call hangs in now, by index, as [`Event::GPU_HUNG`](crate::sampler::Event::GPU_HUNG) and
    /// [`Event::GPU_BACK`](crate::sampler::Event::GPU_BACK) tell too.
    pub fn hung(&self) -> impl Iterator<Item = u32> + '_ {
        self.shared.hung()
    }

    /// Has everything read now, whatever is due, as [`Sampler::sample`] does, and waits for it: so that counters are right
    /// to the end of what is measured. It takes up to 20 ms until the thread comes by, and the calls; longer where the
    /// thread does not get a processor. What rests is left out, and so is a GPU that hangs.
    ///
    /// Returns whether the reading was made: not when a driver call takes 80 ms, counted as
    /// [`hang_after`](crate::sampler::SamplerBuilder::hang_after) counts, when this was stopped, or in a forked child.
    pub fn sample(&self) -> bool {
        let shared = &self.shared;
        let wanted = shared.wanted.fetch_add(1, AcqRel) + 1;
        let mut watchdog = Watchdog::default();
        while shared.given.load(Acquire) < wanted {
            // Whoever leads is in one call at the most.
            let call = shared.gpus.iter().filter(|gpu| !gpu.hangs()).find_map(|gpu| gpu.call.under_way());
            let hangs = call.is_some_and(|call| takes_too_long(&mut watchdog, call, shared.clocks));
            if hangs || self.stopped.is_some() || shared.is_forked() {
                return false;
            }
            thread::sleep(POLL_INTERVAL);
        }
        true
    }

    /// Reads the latest values, and how the sampler does; can be cloned and handed to other threads and to a signal handler.
    #[must_use]
    pub fn latest(&self) -> LatestReader {
        LatestReader { shared: self.shared.clone() }
    }

    /// Stops the threads, within 100 ms also when one hangs in a driver call: then it is given up. A thread that only does
    /// not get a processor is waited for. What they recorded can still be taken out after, and what the call gives when it
    /// returns too. A second time it only tells how it ended.
    pub fn stop(&mut self) -> Stopped {
        let stopped = self.stopped.unwrap_or_else(|| self.wait_for_the_end());
        self.stopped = Some(stopped);
        stopped
    }

    fn wait_for_the_end(&self) -> Stopped {
        let shared = &self.shared;
        let calls = || shared.gpus.iter().map(|gpu| &gpu.call).chain([&shared.closing]);
        let mut watchdogs: Vec<Watchdog> = calls().map(|_| Watchdog::default()).collect();
        while !self.threads.stop() {
            let hangs = calls().zip(&mut watchdogs).any(|(call, watchdog)| {
                call.under_way().is_some_and(|call| takes_too_long(watchdog, call, shared.clocks))
            });
            if hangs || shared.is_forked() {
                // Kept for ever, and with it the driver's handle: so nothing is shut down under the call, nor after.
                std::mem::forget(self.work.upgrade());
                return Stopped::GivenUp;
            }
            thread::sleep(POLL_INTERVAL);
        }
        self.threads.join();
        Stopped::Ended
    }
}

/// Whether the call that a thread is in since then has taken too long to be waited for.
fn takes_too_long(watchdog: &mut Watchdog, (thread, since): (u32, u64), clocks: Clocks) -> bool {
    let taken = watchdog.look(thread, Some(since), (clocks.monotonic)());
    watchdog.plan(LOOK_INTERVAL);
    taken >= PATIENCE
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
