//! The threads of a background sampler: a leader, which reads all GPUs, and a watcher, which observes the leader.
//!
//! While the leader reads a GPU, it holds the GPU's lock. If a driver call hangs, the watcher becomes the leader,
//! continues with the other GPUs, whose locks are free, and starts another watcher. The replaced thread makes no
//! further calls and ends when its call returns. The only lock that a thread waits for is that of the [`Publisher`],
//! which is never held during a driver call.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{
            AtomicBool, AtomicU32,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{publisher::Publisher, shared::Shared, task::this_thread, watchdog::Watchdog};
use crate::{
    Error, Result,
    sampler::{
        Clocks,
        gpu_sampler::GpuSampler,
        record::Records,
        time::{Stopwatch, minimize_timer_slack},
    },
};

/// The maximum time that the leader sleeps, in nanoseconds. The limit bounds the delay after which the leader handles a
/// stop request, updates its heartbeat, and notices that a hung call has returned. 50 wakes per second take a
/// negligible share of a processor.
const MAX_LEADER_SLEEP_NS: u64 = 20_000_000;
/// The minimum time that the watcher sleeps, in nanoseconds. The minimum limits the number of wakes shortly before the
/// timeout of a call.
const MIN_WATCH_SLEEP_NS: u64 = 1_000_000;

/// The sampler of one GPU, and its records that are not published yet.
pub(super) struct GpuSlot {
    pub gpu: GpuSampler,
    pub records: Records,
    pub stopwatch: Stopwatch,
}

/// The time limits of the threads, in nanoseconds.
#[derive(Clone, Copy)]
pub(super) struct WorkerLimits {
    /// The time after which a call counts as hung, as measured by [`Watchdog`].
    pub hang_timeout: u64,
    /// The minimum time between two wakes. Zero means no minimum.
    pub min_wake_interval: u64,
}

impl WorkerLimits {
    /// Returns the time at which to wake for a read that is due at `due`.
    fn wake_time(&self, due: u64) -> u64 {
        due.checked_next_multiple_of(self.min_wake_interval).unwrap_or(due)
    }
}

/// The state that the threads of a background sampler use.
pub(super) struct Worker {
    shared: Arc<Shared>,
    slots: Vec<Mutex<GpuSlot>>,
    publisher: Mutex<Publisher>,
    clocks: Clocks,
    limits: WorkerLimits,
    threads: Arc<ThreadSet>,
    /// The kernel's ID of the leader, or 0 before the first leader has started.
    leader: AtomicU32,
}

/// The identity of a leader.
#[derive(Clone, Copy)]
struct Leader {
    /// The number of the thread in this sampler. The first leader is 0, the first watcher is 1, and each later watcher
    /// has the next number.
    number: u32,
    /// The kernel's ID of the thread.
    thread: u32,
}

/// The threads and their stop flag. Only the threads own the [`Worker`], so the last thread shuts NVML down. If the
/// shutdown hangs, no other thread is affected.
#[derive(Default)]
pub(super) struct ThreadSet {
    stop: AtomicBool,
    handles: Mutex<Vec<JoinHandle<()>>>,
}

impl Worker {
    pub(super) fn new(
        slots: Vec<GpuSlot>,
        publisher: Publisher,
        shared: Arc<Shared>,
        clocks: Clocks,
        limits: WorkerLimits,
    ) -> Self {
        Self {
            shared,
            slots: slots.into_iter().map(Mutex::new).collect(),
            publisher: Mutex::new(publisher),
            clocks,
            limits,
            threads: Arc::default(),
            leader: AtomicU32::new(0),
        }
    }

    /// Starts the leader and the watcher.
    ///
    /// # Errors
    /// Returns [`Error::Thread`] if the system cannot create a thread.
    pub(super) fn start(self: &Arc<Self>) -> Result<()> {
        let worker = self.clone();
        let lead = move || {
            worker.lead(0, true);
            worker.close();
        };
        self.threads.spawn("igpu-sampler", lead)?;
        self.spawn_watcher(1)
    }

    /// Returns the threads, to stop and to join them.
    pub(super) fn threads(&self) -> Arc<ThreadSet> {
        self.threads.clone()
    }

    fn is_stop_requested(&self) -> bool {
        self.threads.stop.load(Acquire)
    }

    fn publisher(&self) -> MutexGuard<'_, Publisher> {
        self.publisher.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn_watcher(self: &Arc<Self>, number: u32) -> Result<()> {
        let worker = self.clone();
        let watch = move || {
            worker.watch(number);
            worker.close();
        };
        self.threads.spawn("igpu-watcher", watch)?;
        self.shared.is_watched.store(true, Release);
        Ok(())
    }

    /// Releases a thread's share of the worker. The last thread frees the driver's memory and shuts NVML down, which
    /// may hang like any driver call.
    fn close(self: Arc<Self>) {
        let Some(worker) = Arc::into_inner(self) else { return };
        let shared = worker.shared.clone();
        shared.shutdown.thread.store(this_thread(), Relaxed);
        shared.shutdown.since.store((shared.clocks.monotonic)(), Release);
        drop(worker);
        shared.shutdown.since.store(0, Release);
    }

    /// Runs the leader: reads the metrics that are due, until a stop is requested or another thread has become the
    /// leader. If the system could not create a thread for the watcher, the leader tries again at every wake.
    fn lead(self: &Arc<Self>, number: u32, mut is_watched: bool) {
        minimize_timer_slack();
        let leader = Leader { number, thread: this_thread() };
        self.leader.store(leader.thread, Release);
        let mut next_due = 0;
        while !self.is_stop_requested() {
            is_watched = is_watched || self.spawn_watcher(number + 1).is_ok();
            let now = (self.clocks.monotonic)();
            self.shared.heartbeat.store(now, Release);
            let requested = self.shared.requested_samples.load(Acquire);
            let all = requested != self.shared.completed_samples.load(Relaxed);
            if now < next_due && !all {
                (self.clocks.sleep_until)(next_due.min(now + MAX_LEADER_SLEEP_NS));
                continue;
            }
            match self.tick(leader, now, all) {
                Some(next) => next_due = self.limits.wake_time(next),
                None => break,
            }
            self.shared.completed_samples.store(requested, Release);
        }
        if self.is_stop_requested() {
            self.flush_pending();
        }
    }

    /// Reads the metrics that are due, or all metrics, of every GPU that is not hung. Returns the time at which the
    /// next metric is due, or `None` if a stop is requested or another thread has become the leader.
    fn tick(&self, leader: Leader, now: u64, all: bool) -> Option<u64> {
        self.balance(now);
        let (mut next_due, mut due) = (u64::MAX, false);
        for (index, slot) in self.slots.iter().enumerate() {
            if self.is_stop_requested() {
                return None;
            }
            let Some(mut slot) = try_lock(slot) else {
                next_due = next_due.min(now + MAX_LEADER_SLEEP_NS);
                continue;
            };
            let GpuSlot { gpu, records, stopwatch } = &mut *slot;
            if self.shared.is_hung(index) {
                self.publisher().publish(index, now, gpu, records);
            }
            if !all && !gpu.is_due(now) && records.as_slice().is_empty() {
                next_due = next_due.min(gpu.next_due());
                continue;
            }
            due |= all || gpu.next_due() <= now;
            self.set_calling_thread(index, leader);
            stopwatch.start();
            gpu.read(now, all, 0, stopwatch, records);
            stopwatch.stop();
            self.shared.missed_deadlines.fetch_add(gpu.take_missed_deadlines(), Relaxed);
            records.report_dropped(now);
            let mut publisher = self.publisher();
            if publisher.leader != leader.number {
                // The records stay in the slot, and the new leader publishes them. The slot is unlocked before the
                // publisher, so that the new leader finds the slot unlocked.
                drop(slot);
                return None;
            }
            publisher.publish(index, now, gpu, records);
            next_due = next_due.min(gpu.next_due());
        }
        self.shared.ticks.fetch_add(u64::from(due), Release);
        Some(next_due)
    }

    /// Records the thread that makes the calls to the GPU at this index.
    fn set_calling_thread(&self, index: usize, leader: Leader) {
        if let Some(gpu) = self.shared.gpus.get(index) {
            gpu.call.thread.store(leader.thread, Relaxed);
        }
    }

    /// Publishes the records that replaced threads have left, before the sampler ends.
    fn flush_pending(&self) {
        let now = (self.clocks.monotonic)();
        let mut publisher = self.publisher();
        for (index, slot) in self.slots.iter().enumerate() {
            if let Some(mut slot) = try_lock(slot) {
                let GpuSlot { gpu, records, .. } = &mut *slot;
                publisher.publish(index, now, gpu, records);
            }
        }
    }

    /// Distributes the budget among the poll groups if a distribution is due.
    fn balance(&self, now: u64) {
        let budget = &mut self.publisher().budget;
        if !budget.is_due(now) {
            return;
        }
        let slots = || self.slots.iter().enumerate().filter_map(|(index, slot)| Some((index, try_lock(slot)?)));
        slots().for_each(|(index, slot)| budget.observe(index, &slot.gpu));
        budget.balance(now);
        for (index, mut slot) in slots() {
            let GpuSlot { gpu, records, .. } = &mut *slot;
            budget.apply(index, gpu, now, records);
        }
    }

    /// Runs the watcher: waits until a call of the leader hangs, and then becomes the leader.
    fn watch(self: &Arc<Self>, number: u32) {
        let mut watchdog = Watchdog::default();
        while !self.is_stop_requested() {
            let leader = self.leader.load(Acquire);
            let oldest = self.shared.oldest_call(|gpu| !gpu.is_hung());
            let now = (self.clocks.monotonic)();
            let call_duration = watchdog.observe(leader, oldest.map(|(_, since)| since), now);
            let remaining = self.limits.hang_timeout.saturating_sub(call_duration);
            if remaining == 0
                && let Some((index, since)) = oldest
                && self.take_over(number, index, since, now)
            {
                // This closes the /proc files of the hung thread.
                drop(watchdog);
                return self.lead(number, false);
            }
            // Before the leader has started, its ID is not known and its calls cannot be observed.
            let sleep = if leader == 0 { MIN_WATCH_SLEEP_NS } else { remaining.max(MIN_WATCH_SLEEP_NS) };
            watchdog.schedule_next(sleep);
            thread::park_timeout(Duration::from_nanos(sleep));
        }
    }

    /// Makes this thread the leader, if the call to the GPU at this index that began at `since` is still in progress.
    /// Returns `false` if the call has returned.
    fn take_over(&self, number: u32, index: usize, since: u64, now: u64) -> bool {
        let mut publisher = self.publisher();
        let is_in_progress = self.shared.gpus.get(index).is_some_and(|gpu| gpu.call.since.load(Relaxed) == since);
        if is_in_progress {
            publisher.leader = number;
            // No watcher exists until this thread, as the leader, has started the next watcher.
            self.shared.is_watched.store(false, Release);
            publisher.report_hang(index, now, now.saturating_sub(since));
        }
        is_in_progress
    }
}

impl ThreadSet {
    /// Requests all threads to stop. Returns the number of threads that are still running, or `None` if another thread
    /// is modifying the list.
    pub(super) fn stop(&self) -> Option<usize> {
        self.stop.store(true, Release);
        // Another thread holds the lock only while it starts a watcher. The caller tries again.
        let handles = try_lock(&self.handles)?;
        handles.iter().for_each(|thread| thread.thread().unpark());
        Some(handles.iter().filter(|thread| !thread.is_finished()).count())
    }

    /// Joins the threads, all of which have finished.
    pub(super) fn join(&self) {
        for thread in self.handles().drain(..) {
            // The threads do not panic. A panic could not be handled here.
            let _ = thread.join();
        }
    }

    fn handles(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
        let mut handles = self.handles();
        handles.retain(|thread| !thread.is_finished());
        handles.push(spawn_without_signals(name, run)?);
        Ok(())
    }
}

/// Locks a mutex without waiting. Returns `None` if another thread holds the lock, for example in a hung call.
fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(guard)) => Some(guard.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Starts a thread with all signals blocked, so that the program's signal handlers never run on it.
///
/// The signals are blocked in the calling thread while the new thread is created, because a new thread inherits the
/// mask.
///
/// # Errors
/// Returns [`Error::Thread`] if the system cannot create a thread.
#[allow(unsafe_code, reason = "std has no signal masks")]
fn spawn_without_signals(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    // SAFETY: the signal sets are plain data that is initialized before it is read, and all pointers are to live
    // variables.
    let before = unsafe {
        let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        before
    };
    let thread = thread::Builder::new().name(name.into()).spawn(run);
    // SAFETY: `before` is the initialized mask from above. The null pointer is permitted and requests no result.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut()) };
    thread.map_err(|error| Error::Thread { reason: error.to_string() })
}
