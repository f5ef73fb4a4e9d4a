//! The sampler that runs in the caller's own loop.

use super::{
    Clocks, Frame, UnsampledReason, budget::Budget, gpu_sampler::GpuSampler, poll_group::PollMethod, record::Records,
    settings::Settings, time::Stopwatch,
};
use crate::{GpuInfo, Result, metric::Metric, process::ProcessInfoCache};

/// A sampler of GPU metrics that runs in the caller's loop.
///
/// [`tick`](Self::tick) reads the metrics that are due, and [`sample`](Self::sample) reads all of them. Neither
/// allocates memory, takes a lock, or starts a thread. Both block for the duration of the driver calls. The
/// [module](super) documentation explains how metrics are scheduled. [`spawn`](Self::spawn) moves the sampler to a
/// separate thread.
///
/// ```
/// # nvml_sim::start(&nvml_sim::Scenario::from_name("hgx-h100").unwrap());
/// # // SAFETY: the simulator's functions have the signatures of nvml.h.
/// # let nvml = unsafe { igpu::Nvml::builder().resolver(nvml_sim::resolve) }.load()?;
/// use igpu::{metric::Metric, sampler::Sampler};
///
/// let mut sampler = Sampler::builder(&nvml).gpus(&[0]).metrics(&[Metric::TEMPERATURE, Metric::FAN_SPEED]).build()?;
/// for _ in 0..2 {
///     let frame = sampler.sample();
///     if let Some(record) = frame.latest(0, Metric::TEMPERATURE) {
///         println!("{} °C", record.value);
///     }
/// }
/// // Data center GPUs have no fans.
/// if let Some(reason) = sampler.reason(0, Metric::FAN_SPEED) {
///     println!("fan speed: {reason}");
/// }
/// # assert!(sampler.reason(0, Metric::FAN_SPEED).is_some());
/// # assert_eq!(sampler.reason(0, Metric::TEMPERATURE), None);
/// # Ok::<(), igpu::Error>(())
/// ```
#[derive(Debug)]
pub struct Sampler {
    pub(super) gpus: Vec<GpuSampler>,
    pub(super) metrics: Vec<Metric>,
    pub(super) records: Records,
    pub(super) budget: Budget,
    pub(super) process_infos: ProcessInfoCache,
    pub(super) gpu_infos: Vec<GpuInfo>,
    pub(super) stopwatch: Stopwatch,
    pub(super) clocks: Clocks,
    pub(super) next_due: u64,
    /// The time of the last tick, or 0 before the first tick.
    pub(super) last_tick: u64,
    pub(super) missed_deadlines: u64,
    /// The capacity of the process list of each GPU.
    pub(super) process_capacity: usize,
    /// The time after which a driver call counts as hung, in nanoseconds.
    pub(super) hang_timeout: u64,
    /// The minimum time between two wakes, in nanoseconds. Zero means no minimum.
    pub(super) min_wake_interval: u64,
}

impl Sampler {
    /// Creates a sampler: opens the GPUs and allocates all memory.
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let indices = match &settings.gpus {
            Some(indices) => indices.clone(),
            None => (0..settings.nvml.device_count()?).collect(),
        };
        let gpus: Result<Vec<GpuSampler>> = indices.iter().map(|index| GpuSampler::open(settings, *index)).collect();
        let gpus = gpus?;
        let gpu_info = |index: &u32| GpuInfo::new(&settings.nvml, *index, settings.process_capacity);
        let gpu_infos: Result<Vec<GpuInfo>> =
            if settings.gpu_info { indices.iter().map(gpu_info).collect() } else { Ok(Vec::new()) };
        let has_process_metrics = settings.metrics.iter().any(|metric| metric.is_per_process());
        let process_infos = if has_process_metrics { settings.process_capacity * gpus.len() } else { 0 };
        let max_records = gpus.iter().map(|gpu| gpu.max_records(settings.process_capacity)).sum::<usize>() + 1;
        Ok(Self {
            metrics: settings.metrics.clone(),
            records: Records::with_capacity(max_records),
            budget: Budget::new(settings.budget, &gpus),
            process_infos: ProcessInfoCache::with_capacity(process_infos),
            gpus,
            gpu_infos: gpu_infos?,
            stopwatch: Stopwatch::new(settings.clocks),
            clocks: settings.clocks,
            next_due: 0,
            last_tick: 0,
            missed_deadlines: 0,
            process_capacity: settings.process_capacity,
            hang_timeout: settings.hang_timeout,
            min_wake_interval: settings.min_wake_interval,
        })
    }

    /// Returns the indices of the selected GPUs, in the order of selection.
    pub fn gpus(&self) -> impl Iterator<Item = u32> + '_ {
        self.gpus.iter().map(|gpu| u32::from(gpu.index()))
    }

    /// Returns the selected metrics, in the order of selection. Use [`reason`](Self::reason) to find out whether a GPU
    /// supports them.
    #[must_use]
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// Returns the reason why a metric of a GPU is not sampled, or `None` if it is sampled.
    ///
    /// A metric counts as sampled until two consecutive reads fail, so the result is meaningful after a few ticks.
    /// [`Frame::last_error`] returns the error of the last read, even after a single failure.
    #[must_use]
    pub fn reason(&self, gpu: u32, metric: Metric) -> Option<UnsampledReason> {
        match self.gpus.iter().find(|sampler| u32::from(sampler.index()) == gpu) {
            Some(sampler) => sampler.reason(metric),
            None => Some(UnsampledReason::NotSelected),
        }
    }

    /// Reads all metrics now, whether they are due or not, and updates the [`GpuInfo`] structs if
    /// [`SamplerBuilder::gpu_info`](super::SamplerBuilder::gpu_info) is enabled.
    ///
    /// Suspended metrics and GPUs that are lost or suspended are skipped. The deadlines of metrics that are not due do
    /// not change.
    pub fn sample(&mut self) -> Frame<'_> {
        for info in &mut self.gpu_infos {
            // `GpuInfo` stores the error, see `GpuInfo::error`.
            let _ = info.update();
        }
        let now = (self.clocks.monotonic)();
        self.read(now, true, 0)
    }

    /// Reads the metrics that are due at `now`, a time of [`monotonic`](super::monotonic).
    ///
    /// Call this function at the times that [`next_due`](Self::next_due) returns, or at a fixed rate. A metric that is
    /// not due yet is read if its deadline is closer to this tick than to the next tick, and if the deadline is at most
    /// an eighth of the metric's interval away. The time until the next tick is assumed to equal the time since the
    /// last tick. A caller whose ticks are sometimes slightly early and sometimes slightly late therefore misses no
    /// read. An early or late read does not shift later deadlines, and for each deadline, a metric is read at most
    /// once.
    pub fn tick(&mut self, now: u64) -> Frame<'_> {
        let gap = if self.last_tick == 0 { 0 } else { now.saturating_sub(self.last_tick) };
        self.last_tick = now;
        self.read(now, false, gap)
    }

    /// Returns the time at which the next metric is due, as a time of [`monotonic`](super::monotonic), or 0 before the
    /// first tick.
    #[must_use]
    pub fn next_due(&self) -> u64 {
        self.next_due
    }

    /// Returns the number of deadlines at which nothing was read, because ticks were late.
    ///
    /// A read that takes place *n* whole intervals after its own deadline misses *n* deadlines, which are skipped. A
    /// read that is late by less than one interval misses none. Metrics that share a driver call are counted once.
    /// Deadlines that pass while a GPU is lost or suspended, or while a metric is suspended, are not counted.
    #[must_use]
    pub fn missed_deadlines(&self) -> u64 {
        self.missed_deadlines
    }

    /// Returns the latest values, with the records of the last tick.
    #[must_use]
    pub fn frame(&self) -> Frame<'_> {
        Frame::new(self.records.as_slice(), &self.gpus, &self.process_infos, &self.gpu_infos)
    }

    /// Reads the metrics that are due, or all of them.
    fn read(&mut self, now: u64, all: bool, tick_gap: u64) -> Frame<'_> {
        self.records.clear();
        if self.budget.is_due(now) {
            self.balance(now);
        }
        if all || now.saturating_add(tick_gap / 2) >= self.next_due {
            self.stopwatch.start();
        }
        let (mut next_due, mut has_lists) = (u64::MAX, false);
        for gpu in &mut self.gpus {
            has_lists |= gpu.read(now, all, tick_gap, &mut self.stopwatch, &mut self.records);
            next_due = next_due.min(gpu.next_due());
            self.missed_deadlines += gpu.take_missed_deadlines();
        }
        self.next_due = next_due;
        if has_lists {
            self.update_process_infos();
        }
        self.records.report_dropped(now);
        self.frame()
    }

    /// Distributes the budget. Poll groups with expensive calls get longer intervals, and each change is reported.
    fn balance(&mut self, now: u64) {
        for (index, gpu) in self.gpus.iter().enumerate() {
            self.budget.observe(index, gpu);
        }
        self.budget.balance(now);
        for (index, gpu) in self.gpus.iter_mut().enumerate() {
            self.budget.apply(index, gpu, now, &mut self.records);
        }
    }

    /// Reads the `/proc` information of processes that are new in the process lists, and removes processes that are in
    /// none of the lists.
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
