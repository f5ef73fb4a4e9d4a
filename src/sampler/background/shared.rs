//! What the threads of a background sampler, its owner and its readers share.

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
    sampler::{Clocks, latest::Latest},
};

/// What the threads, the owner and the readers share.
pub(super) struct Shared {
    /// Records that found the ring full.
    pub lost: AtomicU64,
    /// When the thread that leads last came by, in nanoseconds of the monotonic clock.
    pub beat: AtomicU64,
    pub ticks: AtomicU64,
    /// How often a reading of everything was asked for, and which of these was the last that was made.
    pub wanted: AtomicU64,
    pub given: AtomicU64,
    pub gpus: Vec<GpuState>,
    /// The freeing of the driver's memory and the shutdown of NVML, by the last thread.
    pub closing: Call,
    pub latest: Latest,
    /// Which value stands where in `latest`.
    pub keys: Vec<(u32, Metric)>,
    pub clocks: Clocks,
    /// The count of forks when it was made: a child with another has none of the threads.
    pub forks: u32,
}

/// A driver call under way, or a reading of several of one GPU.
#[derive(Default)]
pub(super) struct Call {
    /// When it began; 0 while there is none.
    pub since: Arc<AtomicU64>,
    /// The thread that makes it.
    pub thread: AtomicU32,
}

impl Call {
    /// Which thread is in it since when, if one is.
    pub(super) fn under_way(&self) -> Option<(u32, u64)> {
        let since = self.since.load(Acquire);
        (since > 0).then(|| (self.thread.load(Relaxed), since))
    }
}

/// What can be seen of a GPU from outside.
pub(super) struct GpuState {
    pub index: u16,
    pub call: Call,
    /// When the call under way was found to hang; 0 while none is.
    pub hung: Arc<AtomicU64>,
    /// The places of its values in `Shared::latest`.
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

    /// The place of the GPU with the oldest call under way, and when that began.
    pub(super) fn oldest_call(&self, of: impl Fn(&GpuState) -> bool) -> Option<(usize, u64)> {
        let calls = self.gpus.iter().enumerate().filter(|(_, gpu)| of(gpu));
        let calls = calls.filter_map(|(place, gpu)| gpu.call.under_way().map(|(_, since)| (place, since)));
        calls.min_by_key(|(_, since)| *since)
    }

    /// Whether this process is a child of the one that has the threads.
    pub(super) fn is_forked(&self) -> bool {
        fork_generation() != self.forks
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    pub(super) fn ticks(&self) -> u64 {
        self.ticks.load(Acquire)
    }

    pub(super) fn silence(&self) -> Duration {
        let beat = self.beat.load(Acquire);
        let call = self.oldest_call(|_| true).map_or(beat, |(_, since)| since);
        Duration::from_nanos((self.clocks.monotonic)().saturating_sub(beat.min(call)))
    }

    pub(super) fn hung(&self) -> impl Iterator<Item = u32> + '_ {
        self.gpus.iter().filter(|gpu| gpu.hangs()).map(|gpu| u32::from(gpu.index))
    }
}
