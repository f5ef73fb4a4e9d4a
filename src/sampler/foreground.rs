//! The sampler that runs in the caller's own loop.

use super::{
    Clocks, Frame, budget::Budget, gpu_sampler::GpuSampler, poll_group::PollMethod, record::Records,
    settings::Settings, time::Stopwatch,
};
use crate::{GpuInfo, Result, process::ProcessInfoCache};

/// Samples GPUs in the caller's loop. See the [module](super).
#[derive(Debug)]
pub struct Sampler {
    pub(super) gpus: Vec<GpuSampler>,
    pub(super) records: Records,
    pub(super) budget: Budget,
    pub(super) process_infos: ProcessInfoCache,
    pub(super) infos: Vec<GpuInfo>,
    pub(super) stopwatch: Stopwatch,
    pub(super) clocks: Clocks,
    pub(super) next_due: u64,
    /// Capacity of the process list of each GPU.
    pub(super) process_capacity: usize,
    pub(super) hang_timeout: u64,
    pub(super) min_wake_interval: u64,
}

impl Sampler {
    /// Opens the GPUs and allocates all memory.
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let indices = match &settings.gpus {
            Some(indices) => indices.clone(),
            None => settings.nvml.devices_index()?,
        };
        let gpus: Result<Vec<GpuSampler>> = indices.iter().map(|index| GpuSampler::open(settings, *index)).collect();
        let gpus = gpus?;
        let info = |index: &u32| GpuInfo::new(&settings.nvml, *index, settings.process_capacity);
        let infos: Result<Vec<GpuInfo>> =
            if settings.gpu_info { indices.iter().map(info).collect() } else { Ok(Vec::new()) };
        let per_process = settings.metrics.iter().any(|metric| metric.is_per_process());
        let process_infos = if per_process { settings.process_capacity * gpus.len() } else { 0 };
        let room = gpus.iter().map(|gpu| gpu.max_records(settings.process_capacity)).sum::<usize>() + 1;
        Ok(Self {
            records: Records::with_capacity(room),
            budget: Budget::new(settings.budget, &gpus),
            process_infos: ProcessInfoCache::with_capacity(process_infos),
            gpus,
            infos: infos?,
            stopwatch: Stopwatch::new(settings.clocks),
            clocks: settings.clocks,
            next_due: 0,
            process_capacity: settings.process_capacity,
            hang_timeout: settings.hang_timeout,
            min_wake_interval: settings.min_wake_interval,
        })
    }

    /// Reads everything now, due or not, and refills the [`GpuInfo`] buffers, if any. Suspended metrics and GPUs that
    /// are lost or asleep are skipped.
    pub fn sample(&mut self) -> Frame<'_> {
        for info in &mut self.infos {
            // Its error stays in it.
            let _ = info.update();
        }
        let now = (self.clocks.monotonic)();
        self.read(now, true)
    }

    /// Reads what is due at `now`, a time of [`monotonic`](super::monotonic).
    pub fn tick(&mut self, now: u64) -> Frame<'_> {
        self.read(now, false)
    }

    /// Returns when the next group is due, by [`monotonic`](super::monotonic); 0 before the first tick.
    #[must_use]
    pub fn next_due(&self) -> u64 {
        self.next_due
    }

    /// Returns the latest values, with the records of the last tick.
    #[must_use]
    pub fn frame(&self) -> Frame<'_> {
        Frame::new(self.records.as_slice(), &self.gpus, &self.process_infos, &self.infos)
    }

    /// Reads what is due, or all.
    fn read(&mut self, now: u64, all: bool) -> Frame<'_> {
        self.records.clear();
        if self.budget.is_due(now) {
            self.balance(now);
        }
        if all || now >= self.next_due {
            self.stopwatch.start();
        }
        let (mut next_due, mut lists) = (u64::MAX, false);
        for gpu in &mut self.gpus {
            lists |= gpu.read(now, all, &mut self.stopwatch, &mut self.records);
            next_due = next_due.min(gpu.next_due());
        }
        self.next_due = next_due;
        if lists {
            self.update_process_infos();
        }
        self.records.report_dropped(now);
        self.frame()
    }

    /// Distributes the budget. Lanes whose calls are expensive get a longer interval, and the change is reported.
    fn balance(&mut self, now: u64) {
        for (place, gpu) in self.gpus.iter().enumerate() {
            self.budget.see(place, gpu);
        }
        self.budget.balance(now);
        for (place, gpu) in self.gpus.iter_mut().enumerate() {
            self.budget.apply(place, gpu, now, &mut self.records);
        }
    }

    /// Looks up the process_infos of processes that are new in the lists, and forgets those of processes that are in none.
    fn update_process_infos(&mut self) {
        self.process_infos.begin_round();
        for group in self.gpus.iter().flat_map(|gpu| &gpu.groups) {
            if let PollMethod::ProcessMemory(memory) = &group.method {
                for pid in memory.pids() {
                    self.process_infos.process_info(*pid);
                }
            }
        }
        self.process_infos.end_round();
    }
}
