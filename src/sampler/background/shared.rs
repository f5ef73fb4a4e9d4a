//! The state that the threads, the owner, and the readers of a background sampler share.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicBool, AtomicU32, AtomicU64,
            Ordering::{Acquire, Relaxed},
        },
    },
    time::Duration,
};

use crate::{
    fork_generation,
    metric::Metric,
    sampler::{Clocks, UnsampledReason, latest_values::LatestValues},
};

/// The state of a background sampler. The threads write the state, and the owner and the readers read it.
pub(super) struct Shared {
    /// The number of records that were dropped because the ring buffer was full.
    pub dropped: AtomicU64,
    /// The time at which the leader last made progress, in nanoseconds of the monotonic clock.
    pub heartbeat: AtomicU64,
    /// The number of ticks in which at least one metric was due.
    pub ticks: AtomicU64,
    /// The number of missed deadlines, counted as by
    /// [`Sampler::missed_deadlines`](crate::sampler::Sampler::missed_deadlines).
    pub missed_deadlines: AtomicU64,
    /// The number of samples that [`Background::sample`](super::Background::sample) has requested.
    pub requested_samples: AtomicU64,
    /// The number of the requested samples that are complete.
    pub completed_samples: AtomicU64,
    pub gpus: Vec<GpuState>,
    /// The final step of the last thread, which frees the driver's memory and shuts NVML down.
    pub shutdown: CallInProgress,
    pub latest: LatestValues,
    /// The GPU and metric of each value in `latest`.
    pub keys: Vec<(u32, Metric)>,
    /// For each of `keys`, the reason why the metric is not sampled, or `None` if it is sampled. The sampler's threads
    /// never wait for this lock.
    pub reasons: Mutex<Vec<Option<UnsampledReason>>>,
    /// The selected metrics.
    pub metrics: Vec<Metric>,
    pub clocks: Clocks,
    /// The time after which a call counts as hung, in nanoseconds, from [`WorkerLimits`](super::worker::WorkerLimits).
    pub hang_timeout: u64,
    /// `true` if there is a watcher, which replaces the leader if a call hangs.
    pub is_watched: AtomicBool,
    /// The fork generation at creation. The generation is higher in a forked child, which has none of the threads.
    pub fork_generation: u32,
}

/// A driver call in progress, or several calls that read one GPU.
#[derive(Default)]
pub(super) struct CallInProgress {
    /// The time at which the call began, in nanoseconds, or 0 if no call is in progress.
    pub since: Arc<AtomicU64>,
    /// The kernel's ID of the thread that makes the call.
    pub thread: AtomicU32,
}

impl CallInProgress {
    /// Returns the thread that makes the call and the time at which the call began, or `None` if no call is in
    /// progress.
    pub(super) fn in_progress(&self) -> Option<(u32, u64)> {
        let since = self.since.load(Acquire);
        (since > 0).then(|| (self.thread.load(Relaxed), since))
    }
}

/// The state of a GPU that other threads can observe.
pub(super) struct GpuState {
    /// The NVML index.
    pub index: u16,
    pub call: CallInProgress,
    /// The time at which the call in progress was found to hang, in nanoseconds, or 0 if the call is not hung.
    pub hang_detected_at: Arc<AtomicU64>,
    /// The first index of the GPU's values in `Shared::latest`.
    pub first_key: usize,
    /// The index after the index of the GPU's last value.
    pub end_key: usize,
}

impl GpuState {
    /// Returns `true` if a call to the GPU hangs.
    pub(super) fn is_hung(&self) -> bool {
        self.hang_detected_at.load(Relaxed) > 0
    }
}

impl Shared {
    /// Returns `true` if a call to the GPU at this index hangs.
    pub(super) fn is_hung(&self, index: usize) -> bool {
        self.gpus.get(index).is_some_and(|gpu| gpu.is_hung())
    }

    /// Returns the index in `gpus` of the GPU with the oldest call in progress, and the time at which that call began.
    /// Only GPUs for which `filter` returns `true` are considered.
    pub(super) fn oldest_call(&self, filter: impl Fn(&GpuState) -> bool) -> Option<(usize, u64)> {
        let calls = self.gpus.iter().enumerate().filter(|(_, gpu)| filter(gpu));
        let calls = calls.filter_map(|(index, gpu)| gpu.call.in_progress().map(|(_, since)| (index, since)));
        calls.min_by_key(|(_, since)| *since)
    }

    /// Returns `true` if this process is a forked child of the process that runs the threads.
    pub(super) fn is_forked(&self) -> bool {
        fork_generation() != self.fork_generation
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
        let heartbeat = self.heartbeat.load(Acquire);
        let call = self.oldest_call(|_| true).map_or(heartbeat, |(_, since)| since);
        Duration::from_nanos((self.clocks.monotonic)().saturating_sub(heartbeat.min(call)))
    }

    pub(super) fn hung_gpus(&self) -> impl Iterator<Item = u32> + '_ {
        self.gpus.iter().filter(|gpu| gpu.is_hung()).map(|gpu| u32::from(gpu.index))
    }
}
