//! The sampler's threads: a leader, which reads all GPUs, and a watcher, which observes it.
//!
//! The leader holds the lock of the GPU that it reads. When a driver call does not return, the watcher takes the lead,
//! goes on with the other GPUs, whose locks are free, and starts another watcher. The overtaken thread ends once its
//! call returns, and makes no further call. The only lock that a thread waits for is that of [`Publisher`], which is never
//! held during a driver call.

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

/// The longest that the leader sleeps at a time, ns: how soon it sees a stop request, updates its heartbeat, and finds
/// that a hung call has returned.
const MAX_LEADER_SLEEP_NS: u64 = 20_000_000;
/// The shortest that the watcher sleeps, ns, when the timeout of a call is about to end.
const MIN_WATCH_SLEEP_NS: u64 = 1_000_000;

/// One GPU, and its records that are not delivered yet.
pub(super) struct Slot {
    pub gpu: GpuSampler,
    pub records: Records,
    pub watch: Stopwatch,
}

/// The requested limits, in nanoseconds.
#[derive(Clone, Copy)]
pub(super) struct WorkerLimits {
    /// A call that takes longer, as measured by [`Watchdog`], is hung.
    pub hang_timeout: u64,
    /// The minimum time between two wakes; 0 for no minimum.
    pub min_wake_interval: u64,
}

impl WorkerLimits {
    /// When to wake for what is due then.
    fn wake(&self, due: u64) -> u64 {
        due.checked_next_multiple_of(self.min_wake_interval).unwrap_or(due)
    }
}

/// What the threads work on.
pub(super) struct Worker {
    shared: Arc<Shared>,
    slots: Vec<Mutex<Slot>>,
    output: Mutex<Publisher>,
    clocks: Clocks,
    limits: WorkerLimits,
    threads: Arc<ThreadSet>,
    /// The leading thread's kernel ID; 0 before the first leads.
    leader: AtomicU32,
}

/// The leading thread: its number in this sampler, and its kernel ID.
#[derive(Clone, Copy)]
struct Leader {
    number: u32,
    thread: u32,
}

/// The threads and their stop flag. Only the threads own [`Worker`], so the last of them shuts the driver down, and
/// nothing else waits if the shutdown hangs.
#[derive(Default)]
pub(super) struct ThreadSet {
    stop: AtomicBool,
    handles: Mutex<Vec<JoinHandle<()>>>,
}

impl Worker {
    pub(super) fn new(
        slots: Vec<Slot>,
        output: Publisher,
        shared: Arc<Shared>,
        clocks: Clocks,
        limits: WorkerLimits,
    ) -> Self {
        Self {
            shared,
            slots: slots.into_iter().map(Mutex::new).collect(),
            output: Mutex::new(output),
            clocks,
            limits,
            threads: Arc::default(),
            leader: AtomicU32::new(0),
        }
    }

    /// Starts the leader and the watcher.
    pub(super) fn start(self: &Arc<Self>) -> Result<()> {
        let work = self.clone();
        let lead = move || {
            work.lead(0, true);
            work.close();
        };
        self.threads.spawn("igpu-sampler", lead)?;
        self.spawn_watcher(1)
    }

    pub(super) fn threads(&self) -> Arc<ThreadSet> {
        self.threads.clone()
    }

    fn is_to_stop(&self) -> bool {
        self.threads.stop.load(Acquire)
    }

    fn output(&self) -> MutexGuard<'_, Publisher> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn_watcher(self: &Arc<Self>, number: u32) -> Result<()> {
        let work = self.clone();
        let watch = move || {
            work.watch(number);
            work.close();
        };
        self.threads.spawn("igpu-watcher", watch)
    }

    /// Ends a thread. The last one frees the driver's memory and shuts NVML down, which may hang like any driver call.
    fn close(self: Arc<Self>) {
        let Some(work) = Arc::into_inner(self) else { return };
        let shared = work.shared.clone();
        shared.closing.thread.store(this_thread(), Relaxed);
        shared.closing.since.store((shared.clocks.monotonic)(), Release);
        drop(work);
        shared.closing.since.store(0, Release);
    }

    /// Reads what is due, until it is to stop or was overtaken. While it is not watched, because there was no thread to
    /// be had, it tries to have a watcher.
    fn lead(self: &Arc<Self>, number: u32, mut is_watched: bool) {
        minimize_timer_slack();
        let leader = Leader { number, thread: this_thread() };
        self.leader.store(leader.thread, Release);
        let mut next_due = 0;
        while !self.is_to_stop() {
            is_watched = is_watched || self.spawn_watcher(number + 1).is_ok();
            let now = (self.clocks.monotonic)();
            self.shared.beat.store(now, Release);
            let wanted = self.shared.wanted.load(Acquire);
            let all = wanted != self.shared.given.load(Relaxed);
            if now < next_due && !all {
                (self.clocks.sleep_until)(next_due.min(now + MAX_LEADER_SLEEP_NS));
                continue;
            }
            match self.tick(leader, now, all) {
                Some(next) => next_due = self.limits.wake(next),
                None => break,
            }
            self.shared.given.store(wanted, Release);
        }
        if self.is_to_stop() {
            self.flush_pending();
        }
    }

    /// Reads what is due, or all, of each GPU that no call hangs in, and gives when the next is due; `None` to who was
    /// overtaken or is to stop.
    fn tick(&self, leader: Leader, now: u64, all: bool) -> Option<u64> {
        self.balance(now);
        let (mut next_due, mut due) = (u64::MAX, false);
        for (place, slot) in self.slots.iter().enumerate() {
            if self.is_to_stop() {
                return None;
            }
            let Some(mut slot) = try_lock(slot) else {
                next_due = next_due.min(now + MAX_LEADER_SLEEP_NS);
                continue;
            };
            let Slot { gpu, records, watch } = &mut *slot;
            if self.shared.hangs(place) {
                self.output().deliver(place, now, gpu, records);
            }
            if !all && !gpu.is_due(now) && records.as_slice().is_empty() {
                next_due = next_due.min(gpu.next_due());
                continue;
            }
            due |= all || gpu.next_due() <= now;
            self.mark(place, leader);
            watch.start();
            gpu.read(now, all, 0, watch, records);
            watch.stop();
            self.shared.missed_deadlines.fetch_add(gpu.take_missed_deadlines(), Relaxed);
            records.report_dropped(now);
            let mut output = self.output();
            if output.leader != leader.number {
                // What was read stays where it is, and whoever has the output next finds it: its lock goes first.
                drop(slot);
                return None;
            }
            output.deliver(place, now, gpu, records);
            next_due = next_due.min(gpu.next_due());
        }
        self.shared.ticks.fetch_add(u64::from(due), Release);
        Some(next_due)
    }

    /// Records which thread makes the calls to the GPU at this index from now on.
    fn mark(&self, place: usize, leader: Leader) {
        if let Some(gpu) = self.shared.gpus.get(place) {
            gpu.call.thread.store(leader.thread, Relaxed);
        }
    }

    /// Hands on what overtaken threads have left: the last thing that is done.
    fn flush_pending(&self) {
        let now = (self.clocks.monotonic)();
        let mut output = self.output();
        for (place, slot) in self.slots.iter().enumerate() {
            if let Some(mut slot) = try_lock(slot) {
                let Slot { gpu, records, .. } = &mut *slot;
                output.deliver(place, now, gpu, records);
            }
        }
    }

    /// Shares the budget out, as often as is of use.
    fn balance(&self, now: u64) {
        let budget = &mut self.output().budget;
        if !budget.is_due(now) {
            return;
        }
        let slots = || self.slots.iter().enumerate().filter_map(|(place, slot)| Some((place, try_lock(slot)?)));
        slots().for_each(|(place, slot)| budget.observe(place, &slot.gpu));
        budget.balance(now);
        for (place, mut slot) in slots() {
            let Slot { gpu, records, .. } = &mut *slot;
            budget.apply(place, gpu, now, records);
        }
    }

    /// Sleeps until the leader's call hangs, then takes the lead.
    fn watch(self: &Arc<Self>, number: u32) {
        let mut watchdog = Watchdog::default();
        while !self.is_to_stop() {
            let leader = self.leader.load(Acquire);
            let oldest = self.shared.oldest_call(|gpu| !gpu.hangs());
            let now = (self.clocks.monotonic)();
            let taken = watchdog.observe(leader, oldest.map(|(_, since)| since), now);
            let left = self.limits.hang_timeout.saturating_sub(taken);
            if left == 0
                && let Some((place, since)) = oldest
                && self.overtake(number, place, since, now)
            {
                // Closes the files of the thread that hangs.
                drop(watchdog);
                return self.lead(number, false);
            }
            // The leader may not have started yet.
            let sleep = if leader == 0 { MIN_WATCH_SLEEP_NS } else { left.max(MIN_WATCH_SLEEP_NS) };
            watchdog.schedule_next(sleep);
            thread::park_timeout(Duration::from_nanos(sleep));
        }
    }

    /// Takes the lead from the thread that is in this call, if it still is.
    fn overtake(&self, number: u32, place: usize, since: u64, now: u64) -> bool {
        let mut output = self.output();
        let still = self.shared.gpus.get(place).is_some_and(|gpu| gpu.call.since.load(Relaxed) == since);
        if still {
            output.leader = number;
            output.hangs(place, now, now.saturating_sub(since));
        }
        still
    }
}

impl ThreadSet {
    /// Has the threads end: those that are not in a call do so soon. Returns how many have not yet; `None` where another
    /// thread is changing their list.
    pub(super) fn stop(&self) -> Option<usize> {
        self.stop.store(true, Release);
        // Not waited for: in a forked child it may be locked by a thread that is not there.
        let handles = try_lock(&self.handles)?;
        handles.iter().for_each(|thread| thread.thread().unpark());
        Some(handles.iter().filter(|thread| !thread.is_finished()).count())
    }

    /// Waits for the threads' last steps, once all have ended.
    pub(super) fn join(&self) {
        for thread in self.handles().drain(..) {
            // It does not panic; if it did, there is nothing left to do about it here.
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

/// What is locked, unless another has it: a GPU that a call hangs in.
fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(guard)) => Some(guard.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Spawns with all signals blocked, so that the program's handlers never run on this thread, not even before its first
/// line.
#[allow(unsafe_code, reason = "std has no signal masks")]
fn spawn_without_signals(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    // SAFETY: both sets are plain data, filled before they are read; the calls do not fail with valid arguments.
    let before = unsafe {
        let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        before
    };
    let thread = thread::Builder::new().name(name.into()).spawn(run);
    // SAFETY: the mask that was in force before.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut()) };
    thread.map_err(|error| Error::Thread { reason: error.to_string() })
}
