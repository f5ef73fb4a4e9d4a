//! The state that a background sampler's threads, its owner, and its readers share.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicU32, AtomicU64,
            Ordering::{Acquire, Relaxed},
        },
    },
    time::Duration,
};

use crate::{
    fork_generation,
    metric::Metric,
    sampler::{Clocks, latest_values::LatestValues},
};

/// The state shared by the threads, the owner, and the readers.
pub(super) struct Shared {
    /// Number of records dropped because the ring buffer was full.
    pub dropped: AtomicU64,
    /// When the leading thread last made progress, in nanoseconds of the monotonic clock.
    pub beat: AtomicU64,
    pub ticks: AtomicU64,
    /// See [`Sampler::missed_deadlines`](crate::sampler::Sampler::missed_deadlines).
    pub missed_deadlines: AtomicU64,
    /// Number of readings of everything requested so far, and the number of the last one that was made.
    pub wanted: AtomicU64,
    pub given: AtomicU64,
    pub gpus: Vec<GpuState>,
    /// The last thread's final step, which frees the driver's memory and shuts NVML down.
    pub closing: CallInProgress,
    pub latest: LatestValues,
    /// The GPU and metric of each value in `latest`.
    pub keys: Vec<(u32, Metric)>,
    /// The selected metrics.
    pub metrics: Vec<Metric>,
    pub clocks: Clocks,
    /// The fork count at creation. A child process has a higher count, and none of the threads.
    pub forks: u32,
}

/// A driver call in progress, or several calls that read one GPU.
#[derive(Default)]
pub(super) struct CallInProgress {
    /// When it began; 0 if none is in progress.
    pub since: Arc<AtomicU64>,
    /// The kernel's ID of the thread that makes it.
    pub thread: AtomicU32,
}

impl CallInProgress {
    /// Returns the thread that is in the call and when the call began, if one is in progress.
    pub(super) fn in_progress(&self) -> Option<(u32, u64)> {
        let since = self.since.load(Acquire);
        (since > 0).then(|| (self.thread.load(Relaxed), since))
    }
}

/// The externally visible state of a GPU.
pub(super) struct GpuState {
    pub index: u16,
    pub call: CallInProgress,
    /// When the call in progress was found to hang; 0 if it is not hung.
    pub hung: Arc<AtomicU64>,
    /// The range of its values in `Shared::latest`.
    pub first_key: usize,
    pub end_key: usize,
}

impl GpuState {
    pub(super) fn hangs(&self) -> bool {
        self.hung.load(Relaxed) > 0
    }
}

impl Shared {
    pub(super) fn hangs(&self, place: usize) -> bool {
        self.gpus.get(place).is_some_and(|gpu| gpu.hangs())
    }

    /// Returns the index into `gpus` of the GPU with the oldest call in progress, and when that call began.
    pub(super) fn oldest_call(&self, of: impl Fn(&GpuState) -> bool) -> Option<(usize, u64)> {
        let calls = self.gpus.iter().enumerate().filter(|(_, gpu)| of(gpu));
        let calls = calls.filter_map(|(place, gpu)| gpu.call.in_progress().map(|(_, since)| (place, since)));
        calls.min_by_key(|(_, since)| *since)
    }

    /// Returns whether this process is a forked child of the one that runs the threads.
    pub(super) fn is_forked(&self) -> bool {
        fork_generation() != self.forks
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    pub(super) fn ticks(&self) -> u64 {
        self.ticks.load(Acquire)
    }

    pub(super) fn missed_deadlines(&self) -> u64 {
        self.missed_deadlines.load(Relaxed)
    }

    pub(super) fn time_since_heartbeat(&self) -> Duration {
        let beat = self.beat.load(Acquire);
        let call = self.oldest_call(|_| true).map_or(beat, |(_, since)| since);
        Duration::from_nanos((self.clocks.monotonic)().saturating_sub(beat.min(call)))
    }

    pub(super) fn hung_gpus(&self) -> impl Iterator<Item = u32> + '_ {
        self.gpus.iter().filter(|gpu| gpu.hangs()).map(|gpu| u32::from(gpu.index))
    }
}
