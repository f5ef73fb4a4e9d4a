//! The handle of a background sampler.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{
            AtomicBool, AtomicU32, AtomicU64,
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
    worker::{GpuSlot, ThreadSet, Worker, WorkerLimits},
};
use crate::{
    Error, Result, fork_generation,
    metric::Metric,
    sampler::{
        Clocks, Record, Sampler, UnsampledReason, gpu_sampler::GpuSampler, latest_values::LatestValues,
        record::Records, time::Stopwatch,
    },
};

/// The time after which `stop` and `sample` do not wait any longer for a thread in a driver call, in nanoseconds, as
/// measured by [`Watchdog`]. Together with the sleep of the leader, `stop` takes at most 100 ms.
const CALL_TIMEOUT_NS: u64 = 80_000_000;
/// The time between two checks of the condition that `stop` or `sample` waits for.
const POLL_INTERVAL: Duration = Duration::from_micros(500);
/// The time between two observations of a call by `stop` or `sample`, in nanoseconds. The watchdog does not count the
/// delay of an observation. If observations were as frequent as the checks, the watchdog would count too little time.
const OBSERVATION_INTERVAL_NS: u64 = 10_000_000;

/// A sampler that runs on a background thread, created by [`Sampler::spawn`].
///
/// The thread reads each poll group at absolute deadlines and puts the records into a ring buffer of fixed size. All
/// signals are blocked in the thread. If the owner removes records too slowly, new records are dropped, counted, and
/// reported, but the thread never waits. The latest value of each metric can be read from any thread and from a signal
/// handler through [`latest_reader`](Self::latest_reader).
///
/// A second thread watches the first thread. If a driver call has not returned after the
/// [`hang_timeout`](crate::sampler::SamplerBuilder::hang_timeout), the second thread reports
/// [`Event::GPU_HUNG`](crate::sampler::Event::GPU_HUNG), continues with the other GPUs, and starts another thread,
/// which watches the second thread. Memory is allocated only in this case.
///
/// Dropping a `Background` stops its threads.
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
    worker: Weak<Worker>,
    stop_outcome: Option<StopOutcome>,
}

/// The result of stopping a background sampler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopOutcome {
    /// All threads have ended.
    Joined,
    /// A thread hangs in a driver call, which may be the shutdown of NVML, and was abandoned. Its memory and the
    /// driver's library remain until the process ends, and NVML is not shut down.
    Abandoned,
}

// Defined here because the module of `Sampler` must not depend on `Background`, which is built from a `Sampler`.
impl Sampler {
    /// Continues sampling on a background thread.
    ///
    /// `capacity` is the maximum number of records that the ring buffer holds until they are removed. A record takes 32
    /// bytes, so 10 s at 1000 records per second take 320 KB.
    ///
    /// # Errors
    /// Returns [`Error::Thread`] if the system cannot create a thread.
    pub fn spawn(self, capacity: usize) -> Result<Background> {
        let Self { gpus, metrics, budget, clocks, process_capacity, hang_timeout, min_wake_interval, .. } = self;
        let slots: Vec<GpuSlot> =
            gpus.into_iter().map(|gpu| slot(gpu.with_wake_grid(min_wake_interval), clocks, process_capacity)).collect();
        let limits = WorkerLimits { hang_timeout, min_wake_interval };
        let shared = Arc::new(shared(&slots, metrics, self.missed_deadlines, clocks, limits));
        let (producer, consumer) = RingBuffer::new(capacity);
        let publisher = Publisher::new(shared.clone(), producer, budget);
        let worker = Arc::new(Worker::new(slots, publisher, shared.clone(), clocks, limits));
        let (threads, weak_worker) = (worker.threads(), Arc::downgrade(&worker));
        let background = Background { shared, records: consumer, threads, worker: weak_worker, stop_outcome: None };
        worker.start().map(|()| background)
    }
}

fn slot(gpu: GpuSampler, clocks: Clocks, processes: usize) -> GpuSlot {
    let records = Records::with_capacity(gpu.max_records(processes) + 1);
    GpuSlot { gpu, records, stopwatch: Stopwatch::new(clocks) }
}

fn shared(
    slots: &[GpuSlot],
    metrics: Vec<Metric>,
    missed_deadlines: u64,
    clocks: Clocks,
    limits: WorkerLimits,
) -> Shared {
    let (mut gpus, mut keys, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
    for GpuSlot { gpu, stopwatch, .. } in slots {
        let first_key = keys.len();
        keys.extend(gpu.states.iter().map(|state| (u32::from(state.gpu), state.metric)));
        reasons.extend(gpu.states.iter().map(|state| gpu.state_reason(state)));
        let call = CallInProgress { since: stopwatch.call_start(), thread: AtomicU32::new(0) };
        let hang_detected_at = stopwatch.hang_flag();
        gpus.push(GpuState { index: gpu.index(), call, hang_detected_at, first_key, end_key: keys.len() });
    }
    Shared {
        dropped: AtomicU64::new(0),
        heartbeat: AtomicU64::new((clocks.monotonic)()),
        ticks: AtomicU64::new(0),
        missed_deadlines: AtomicU64::new(missed_deadlines),
        requested_samples: AtomicU64::new(0),
        completed_samples: AtomicU64::new(0),
        gpus,
        shutdown: CallInProgress::default(),
        latest: LatestValues::new(keys.len()),
        keys,
        reasons: Mutex::new(reasons),
        metrics,
        clocks,
        hang_timeout: limits.hang_timeout,
        is_watched: AtomicBool::new(false),
        fork_generation: fork_generation(),
    }
}

impl Background {
    /// Removes the oldest record and returns it, or returns `None` if the ring buffer is empty.
    ///
    /// In a forked child, the records belong to the parent, so `pop`, [`drain`](Self::drain), and [`take`](Self::take)
    /// return no records.
    pub fn pop(&mut self) -> Option<Record> {
        if self.shared.is_forked() { None } else { self.records.pop().ok() }
    }

    /// Moves records into `into`, oldest first, until `into` is full or no records remain. Returns the number of
    /// records that were moved.
    pub fn drain(&mut self, into: &mut [Record]) -> usize {
        let (max, mut count) = (into.len(), 0);
        for (slot, record) in into.iter_mut().zip(self.take(max)) {
            *slot = record;
            count += 1;
        }
        count
    }

    /// Removes up to `max` of the records that exist now, and returns an iterator over them, oldest first. Dropping the
    /// iterator frees the space of all these records in the ring buffer, including those that it has not returned.
    pub fn take(&mut self, max: usize) -> impl Iterator<Item = Record> + '_ {
        let count = if self.shared.is_forked() { 0 } else { self.records.slots().min(max) };
        self.records.read_chunk(count).into_iter().flatten()
    }

    /// Returns the number of records that were dropped since the start because the ring buffer was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped()
    }

    /// Returns the number of ticks in which at least one metric was due.
    #[must_use]
    pub fn ticks(&self) -> u64 {
        self.shared.ticks()
    }

    /// Returns the number of deadlines at which nothing was read because the thread was late. The thread is late if it
    /// had no processor, if a driver call took long or hung, or if
    /// [`min_wake_interval`](crate::sampler::SamplerBuilder::min_wake_interval) is longer than a metric's interval.
    /// [`Sampler::missed_deadlines`] describes how deadlines are counted.
    #[must_use]
    pub fn missed_deadlines(&self) -> u64 {
        self.shared.missed_deadlines()
    }

    /// Returns the NVML indices of the selected GPUs, as [`Sampler::gpus`] does.
    pub fn gpus(&self) -> impl Iterator<Item = u32> + '_ {
        self.shared.gpus.iter().map(|gpu| u32::from(gpu.index))
    }

    /// Returns the selected metrics, as [`Sampler::metrics`] does.
    #[must_use]
    pub fn metrics(&self) -> &[Metric] {
        &self.shared.metrics
    }

    /// Returns the reason why a metric of a GPU is not sampled, or `None` if it is sampled, as [`Sampler::reason`]
    /// does.
    ///
    /// The error of a suspended metric or a lost GPU is the first error that caused this state. In a forked child,
    /// nothing is sampled, and the reason is [`UnsampledReason::GpuLost`] with [`Error::Forked`].
    #[must_use]
    pub fn reason(&self, gpu: u32, metric: Metric) -> Option<UnsampledReason> {
        let shared = &self.shared;
        if shared.is_forked() {
            return Some(UnsampledReason::GpuLost(Error::Forked));
        }
        let Some(key) = shared.keys.iter().position(|key| *key == (gpu, metric)) else {
            return Some(UnsampledReason::NotSelected);
        };
        if self.hung_gpus().any(|hung| hung == gpu) {
            return Some(UnsampledReason::GpuHung);
        }
        let reasons = shared.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        reasons.get(key).cloned().flatten()
    }

    /// Returns the time since the sampling thread last made progress.
    ///
    /// If a driver call is in progress, this is the time since the oldest call began. Otherwise, it is the time since
    /// the thread last woke up. The thread wakes up at least every 20 ms. The result therefore shows a hung call
    /// immediately and for as long as the call hangs.
    #[must_use]
    pub fn time_since_heartbeat(&self) -> Duration {
        self.shared.time_since_heartbeat()
    }

    /// Returns the NVML indices of the GPUs for which a driver call hangs at the moment. The events
    /// [`GPU_HUNG`](crate::sampler::Event::GPU_HUNG) and [`GPU_RECOVERED`](crate::sampler::Event::GPU_RECOVERED) report
    /// the changes.
    pub fn hung_gpus(&self) -> impl Iterator<Item = u32> + '_ {
        self.shared.hung_gpus()
    }

    /// Reads all metrics now, whether they are due or not, as [`Sampler::sample`] does, and waits for the result. At
    /// the end of a measurement, this call brings counters up to date.
    ///
    /// The thread wakes within 20 ms and then makes its driver calls. This takes longer if the thread does not get a
    /// processor. Suspended metrics and hung GPUs are skipped.
    ///
    /// Returns `true` if everything was read. Returns `false` after [`stop`](Self::stop), and if a driver call takes
    /// longer than 80 ms and does not count as hung yet, because
    /// [`hang_timeout`](crate::sampler::SamplerBuilder::hang_timeout) is longer. The time is measured as for
    /// `hang_timeout`.
    ///
    /// # Errors
    /// Returns [`Error::Forked`] immediately in a forked child.
    pub fn sample(&self) -> Result<bool> {
        let shared = &self.shared;
        if shared.is_forked() {
            return Err(Error::Forked);
        }
        let request = shared.requested_samples.fetch_add(1, AcqRel) + 1;
        let mut watchdog = Watchdog::default();
        while shared.completed_samples.load(Acquire) < request {
            // The watcher replaces a leader whose call hangs. The watcher may have to wait for a processor, so this
            // function waits for the replacement without a timeout.
            let is_replaced = shared.hang_timeout < CALL_TIMEOUT_NS && shared.is_watched.load(Acquire);
            // The leader makes one call at a time.
            let call = shared.gpus.iter().filter(|gpu| !gpu.is_hung()).find_map(|gpu| gpu.call.in_progress());
            let is_hung = !is_replaced && call.is_some_and(|call| takes_too_long(&mut watchdog, call, shared.clocks));
            if is_hung || self.stop_outcome.is_some() {
                return Ok(false);
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(true)
    }

    /// Returns a reader of the latest values and of the sampler's state, which other threads and signal handlers can
    /// use.
    #[must_use]
    pub fn latest_reader(&self) -> LatestReader {
        LatestReader { shared: self.shared.clone() }
    }

    /// Stops the threads. A second call returns the same result.
    ///
    /// If a thread hangs in a driver call, the thread is abandoned and this function returns within 100 ms. If a thread
    /// only lacks a processor, this function waits for the thread, even if another thread hangs. After the stop, the
    /// remaining records can still be removed. They include the records of the hung call after the call has returned.
    ///
    /// In a forked child, this function returns [`StopOutcome::Abandoned`] immediately. The threads run in the parent
    /// and are not affected.
    pub fn stop(&mut self) -> StopOutcome {
        let outcome = self.stop_outcome.unwrap_or_else(|| self.join_with_timeout());
        self.stop_outcome = Some(outcome);
        outcome
    }

    fn join_with_timeout(&self) -> StopOutcome {
        let shared = &self.shared;
        if shared.is_forked() {
            // The threads do not exist in this process. Their handles and those of the driver belong to the parent.
            return StopOutcome::Abandoned;
        }
        let calls = || shared.gpus.iter().map(|gpu| &gpu.call).chain([&shared.shutdown]);
        let mut watchdogs: Vec<Watchdog> = calls().map(|_| Watchdog::default()).collect();
        loop {
            let running = self.threads.stop();
            if running == Some(0) {
                break;
            }
            let is_hung = |(call, watchdog): (&CallInProgress, &mut Watchdog)| {
                call.in_progress().is_some_and(|call| takes_too_long(watchdog, call, shared.clocks))
            };
            // Each thread makes one call at a time, so the number of hung calls is the number of hung threads.
            let hung = calls().zip(&mut watchdogs).map(is_hung).filter(|is_hung| *is_hung).count();
            if running.is_some_and(|running| running <= hung) {
                // The worker is leaked together with its NVML handle, so that NVML is not shut down during the call or
                // later.
                std::mem::forget(self.worker.upgrade());
                return StopOutcome::Abandoned;
            }
            thread::sleep(POLL_INTERVAL);
        }
        self.threads.join();
        StopOutcome::Joined
    }
}

/// Returns `true` if the thread's call that began at `since` has taken too long to be waited for.
fn takes_too_long(watchdog: &mut Watchdog, (thread, since): (u32, u64), clocks: Clocks) -> bool {
    let call_duration = watchdog.observe(thread, Some(since), (clocks.monotonic)());
    watchdog.schedule_next(OBSERVATION_INTERVAL_NS);
    call_duration >= CALL_TIMEOUT_NS
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
