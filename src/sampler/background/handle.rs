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
    publisher::Publisher,
    shared::{CallInProgress, GpuState, Shared},
    watchdog::Watchdog,
    worker::{Slot, ThreadSet, Worker, WorkerLimits},
};
use crate::{
    Error, Result, fork_generation,
    metric::Metric,
    sampler::{
        Clocks, Record, Sampler, gpu_sampler::GpuSampler, latest_values::LatestValues, record::Records, time::Stopwatch,
    },
};

/// How long a driver call may take, as measured by [`Watchdog`], while `stop` or `sample` waits for its thread, ns.
const CALL_TIMEOUT_NS: u64 = 80_000_000;
/// How often `stop` and `sample` check whether they still have to wait.
const POLL_INTERVAL: Duration = Duration::from_micros(500);
/// How often they observe a call, ns. The watchdog does not count the time by which an observation is late, so frequent
/// observations would count too little.
const OBSERVATION_INTERVAL_NS: u64 = 10_000_000;

/// A sampler on a thread of its own, from [`Sampler::spawn`].
///
/// The thread reads each lane at absolute deadlines with all signals blocked, and puts its records into a ring buffer
/// that is allocated once. If the owner takes them out too slowly, records are dropped, counted, and reported; the
/// thread never waits. The latest value of each metric can be read from any thread and from a signal handler.
///
/// A second thread checks every [`hang_timeout`](crate::sampler::SamplerBuilder::hang_timeout) whether the first is in a
/// driver call that does not return. If so, it takes over the other GPUs, reports
/// [`Event::GPU_HUNG`](crate::sampler::Event::GPU_HUNG), and starts another watcher: the only time that memory is
/// allocated.
///
/// Dropping it stops it.
///
/// ```
/// # nvml_sim::start(&nvml_sim::Scenario::from_name("hgx-h100").unwrap());
/// # // SAFETY: the simulator's functions have the signatures of nvml.h.
/// # let nvml = unsafe { igpu::Nvml::builder().resolver(nvml_sim::resolve) }.load()?;
/// use igpu::{metric::Metric, sampler::{Sampler, StopOutcome}};
///
/// let sampler = Sampler::builder(&nvml).metrics(&[Metric::POWER_INSTANT, Metric::TEMPERATURE]).build()?;
/// let mut background = sampler.spawn(10_000)?;
/// // The program's work runs here.
/// background.sample()?;
/// assert_eq!(background.stop(), StopOutcome::Joined);
/// while let Some(record) = background.pop() {
///     println!("{} GPU {} {:?} = {}", record.at, record.gpu, record.metric(), record.value);
/// }
/// # Ok::<(), igpu::Error>(())
/// ```
pub struct Background {
    shared: Arc<Shared>,
    records: Consumer<Record>,
    threads: Arc<ThreadSet>,
    work: Weak<Worker>,
    stop_outcome: Option<StopOutcome>,
}

/// How a background sampler ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopOutcome {
    /// Its threads have ended.
    Joined,
    /// A thread hangs in a driver call, the shutdown included, and was abandoned: its memory and the driver's library stay
    /// until the process ends, and NVML is not shut down after.
    Abandoned,
}

// Defined here because `Sampler` must not import `Background`, which is built from its parts.
impl Sampler {
    /// Goes on on a thread of its own, with room for `records` records that were not taken out yet. At 32 bytes each,
    /// 10 s of 1000 a second are 320 KB.
    ///
    /// # Errors
    /// [`Error::Thread`](crate::Error::Thread) when the system has no thread to give.
    pub fn spawn(self, records: usize) -> Result<Background> {
        let Self { gpus, metrics, budget, clocks, process_capacity, hang_timeout, min_wake_interval, .. } = self;
        let slots: Vec<Slot> =
            gpus.into_iter().map(|gpu| slot(gpu.with_wake_grid(min_wake_interval), clocks, process_capacity)).collect();
        let shared = Arc::new(shared(&slots, metrics, self.missed_deadlines, clocks));
        let (producer, consumer) = RingBuffer::new(records);
        let output = Publisher::new(shared.clone(), producer, budget);
        let work = Arc::new(Worker::new(
            slots,
            output,
            shared.clone(),
            clocks,
            WorkerLimits { hang_timeout, min_wake_interval },
        ));
        let (threads, kept_by_threads) = (work.threads(), Arc::downgrade(&work));
        let background = Background { shared, records: consumer, threads, work: kept_by_threads, stop_outcome: None };
        work.start().map(|()| background)
    }
}

fn slot(gpu: GpuSampler, clocks: Clocks, processes: usize) -> Slot {
    let records = Records::with_capacity(gpu.max_records(processes) + 1);
    Slot { gpu, records, watch: Stopwatch::new(clocks) }
}

fn shared(slots: &[Slot], metrics: Vec<Metric>, missed_deadlines: u64, clocks: Clocks) -> Shared {
    let (mut gpus, mut keys) = (Vec::new(), Vec::new());
    for Slot { gpu, watch, .. } in slots {
        let first_key = keys.len();
        keys.extend(gpu.states.iter().map(|series| (u32::from(series.gpu), series.metric)));
        let call = CallInProgress { since: watch.call_start(), thread: AtomicU32::new(0) };
        gpus.push(GpuState { index: gpu.index(), call, hung: watch.hang_flag(), first_key, end_key: keys.len() });
    }
    let [dropped, ticks, wanted, given] = [const { AtomicU64::new(0) }; 4];
    let (beat, latest) = (AtomicU64::new((clocks.monotonic)()), LatestValues::new(keys.len()));
    let (closing, forks) = (CallInProgress::default(), fork_generation());
    let missed_deadlines = AtomicU64::new(missed_deadlines);
    Shared {
        dropped,
        beat,
        ticks,
        missed_deadlines,
        wanted,
        given,
        gpus,
        closing,
        latest,
        keys,
        metrics,
        clocks,
        forks,
    }
}

impl Background {
    /// Removes the oldest record and returns it; `None` if there is none. In a forked child, all records are left to the
    /// parent: `pop`, [`drain`](Self::drain), and [`take`](Self::take) return none.
    pub fn pop(&mut self) -> Option<Record> {
        if self.shared.is_forked() { None } else { self.records.pop().ok() }
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

    /// Removes up to `max` of the records present now and returns them, oldest first. Their places in the ring buffer
    /// are freed together when the iterator is dropped, including those of records that it did not return.
    pub fn take(&mut self, max: usize) -> impl Iterator<Item = Record> + '_ {
        let count = if self.shared.is_forked() { 0 } else { self.records.slots().min(max) };
        self.records.read_chunk(count).into_iter().flatten()
    }

    /// How many records were dropped since the start, because they were not taken out in time.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped()
    }

    /// How many ticks there were in which something was due.
    #[must_use]
    pub fn ticks(&self) -> u64 {
        self.shared.ticks()
    }

    /// Returns the number of deadlines at which nothing was read, because the thread was late: it had no processor, a driver
    /// call took long or hung, or [`min_wake_interval`](crate::sampler::SamplerBuilder::min_wake_interval) exceeds a
    /// metric's interval. The deadlines are counted as by [`Sampler::missed_deadlines`].
    #[must_use]
    pub fn missed_deadlines(&self) -> u64 {
        self.shared.missed_deadlines()
    }

    /// Returns the indices of the selected GPUs, as [`Sampler::gpus`] does.
    pub fn gpus(&self) -> impl Iterator<Item = u32> + '_ {
        self.shared.gpus.iter().map(|gpu| u32::from(gpu.index))
    }

    /// Returns the selected metrics, as [`Sampler::metrics`] does.
    #[must_use]
    pub fn metrics(&self) -> &[Metric] {
        &self.shared.metrics
    }

    /// How long nothing was heard: since the oldest driver call under way began, or, where there is none, since the
    /// thread last came by, which it does every 20 ms at the least. So a call that hangs shows at once, and for as long as
    /// it does.
    #[must_use]
    pub fn time_since_heartbeat(&self) -> Duration {
        self.shared.time_since_heartbeat()
    }

    /// Returns the indices of the GPUs in which a driver call hangs now.
    /// [`Event::GPU_HUNG`](crate::sampler::Event::GPU_HUNG) and [`Event::GPU_RECOVERED`](crate::sampler::Event::GPU_RECOVERED)
    /// report the same.
    pub fn hung_gpus(&self) -> impl Iterator<Item = u32> + '_ {
        self.shared.hung_gpus()
    }

    /// Reads everything now, due or not, as [`Sampler::sample`] does, and waits for it, so that counters are accurate
    /// up to the end of a measurement. This takes up to 20 ms until the thread wakes, plus the calls; longer if the
    /// thread does not get a processor. Suspended metrics and hung GPUs are skipped.
    ///
    /// Returns `true` if everything was read. Returns `false` if a driver call takes 80 ms, measured as for
    /// [`hang_timeout`](crate::sampler::SamplerBuilder::hang_timeout), and after [`stop`](Self::stop).
    ///
    /// # Errors
    /// [`Error::Forked`] in a forked child, immediately.
    pub fn sample(&self) -> Result<bool> {
        let shared = &self.shared;
        if shared.is_forked() {
            return Err(Error::Forked);
        }
        let wanted = shared.wanted.fetch_add(1, AcqRel) + 1;
        let mut watchdog = Watchdog::default();
        while shared.given.load(Acquire) < wanted {
            // The leader is in one call at most.
            let call = shared.gpus.iter().filter(|gpu| !gpu.hangs()).find_map(|gpu| gpu.call.in_progress());
            let hangs = call.is_some_and(|call| takes_too_long(&mut watchdog, call, shared.clocks));
            if hangs || self.stop_outcome.is_some() {
                return Ok(false);
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(true)
    }

    /// Returns a reader of the latest values and of the sampler's state. It can be cloned and handed to other threads
    /// and to a signal handler.
    #[must_use]
    pub fn latest_reader(&self) -> LatestReader {
        LatestReader { shared: self.shared.clone() }
    }

    /// Stops the threads. Takes at most 100 ms even when one hangs in a driver call; that thread is abandoned. A thread
    /// that only lacks a processor is waited for, also beside one that hangs. Records made so far can still be taken out
    /// afterwards, and so can those of the hung call once it returns. A second call returns the same result. In a forked
    /// child, the result is [`StopOutcome::Abandoned`], immediately: the threads run in the parent, and are not affected.
    pub fn stop(&mut self) -> StopOutcome {
        let stopped = self.stop_outcome.unwrap_or_else(|| self.join_with_timeout());
        self.stop_outcome = Some(stopped);
        stopped
    }

    fn join_with_timeout(&self) -> StopOutcome {
        let shared = &self.shared;
        if shared.is_forked() {
            // The threads do not exist in this process. Their handles, and the driver's, belong to the parent.
            return StopOutcome::Abandoned;
        }
        let calls = || shared.gpus.iter().map(|gpu| &gpu.call).chain([&shared.closing]);
        let mut watchdogs: Vec<Watchdog> = calls().map(|_| Watchdog::default()).collect();
        loop {
            let running = self.threads.stop();
            if running == Some(0) {
                break;
            }
            let hangs = |(call, watchdog): (&CallInProgress, &mut Watchdog)| {
                call.in_progress().is_some_and(|call| takes_too_long(watchdog, call, shared.clocks))
            };
            // A thread is in one call at the most.
            let hanging = calls().zip(&mut watchdogs).map(hangs).filter(|hangs| *hangs).count();
            if running.is_some_and(|running| running <= hanging) {
                // Kept for ever, and with it the driver's handle: so nothing is shut down under the call, nor after.
                std::mem::forget(self.work.upgrade());
                return StopOutcome::Abandoned;
            }
            thread::sleep(POLL_INTERVAL);
        }
        self.threads.join();
        StopOutcome::Joined
    }
}

/// Returns whether the call that the thread has been in since `since` has taken too long to wait for it.
fn takes_too_long(watchdog: &mut Watchdog, (thread, since): (u32, u64), clocks: Clocks) -> bool {
    let taken = watchdog.observe(thread, Some(since), (clocks.monotonic)());
    watchdog.schedule_next(OBSERVATION_INTERVAL_NS);
    taken >= CALL_TIMEOUT_NS
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Background")
            .field("ticks", &self.ticks())
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}
