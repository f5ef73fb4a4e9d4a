//! The result of a tick.

use std::time::Duration;

use super::{Record, gpu_sampler::GpuSampler, metric_state::MetricState};
use crate::{
    Error, GpuInfo,
    metric::Metric,
    process::{ProcessInfo, ProcessInfoCache},
};

/// The records of the last tick and the latest values. A frame borrows the sampler and must be dropped before the next
/// tick.
///
/// ```
/// # nvml_sim::start(&nvml_sim::Scenario::from_name("hgx-h100").unwrap());
/// # // SAFETY: the simulator's functions have the signatures of nvml.h.
/// # let nvml = unsafe { igpu::Nvml::builder().resolver(nvml_sim::resolve) }.load()?;
/// use igpu::{metric::Metric, sampler::Sampler};
///
/// let metrics = [Metric::POWER_INSTANT, Metric::PROCESS_MEMORY];
/// let mut sampler = Sampler::builder(&nvml).metrics(&metrics).build()?;
/// let frame = sampler.sample();
/// match (frame.latest(0, Metric::POWER_INSTANT), frame.last_error(0, Metric::POWER_INSTANT)) {
///     (Some(record), _) => println!("{} W", record.value),
///     (None, Some(error)) => println!("{error}"),
///     (None, None) => println!("not read yet"),
/// }
/// for record in frame.records() {
///     let process = record.pid().and_then(|pid| frame.process_info(pid));
///     if let Some(name) = process.and_then(|process| process.name.as_deref()) {
///         println!("{name} uses {} bytes", record.value);
///     }
/// }
/// # Ok::<(), igpu::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    records: &'a [Record],
    gpus: &'a [GpuSampler],
    process_infos: &'a ProcessInfoCache,
    gpu_infos: &'a [GpuInfo],
}

impl<'a> Frame<'a> {
    pub(super) fn new(
        records: &'a [Record],
        gpus: &'a [GpuSampler],
        process_infos: &'a ProcessInfoCache,
        gpu_infos: &'a [GpuInfo],
    ) -> Self {
        Self { records, gpus, process_infos, gpu_infos }
    }

    /// Returns the records of this tick: one for each value that was read, for each sample of a drained sample buffer,
    /// and for each event.
    #[must_use]
    pub fn records(&self) -> &'a [Record] {
        self.records
    }

    /// Returns the latest value of a metric of the GPU with this index, or `None` before the first successful read and
    /// while the GPU is lost.
    #[must_use]
    pub fn latest(&self, gpu: u32, metric: Metric) -> Option<&'a Record> {
        self.state(gpu, metric)?.latest.as_ref()
    }

    /// Returns the error of the last attempt to read a metric of the GPU with this index, or `None` if the attempt
    /// succeeded.
    #[must_use]
    pub fn last_error(&self, gpu: u32, metric: Metric) -> Option<&'a Error> {
        self.state(gpu, metric)?.last_error.as_ref()
    }

    /// Returns the estimated refresh period of the sensor behind a metric, or `None` while the period is unknown. The
    /// period of a constant signal, and of a metric with a set interval, remains unknown.
    #[must_use]
    pub fn refresh_period(&self, gpu: u32, metric: Metric) -> Option<Duration> {
        self.state(gpu, metric)?.estimator.period().map(Duration::from_nanos)
    }

    /// Returns the interval at which a metric is read now, which depends on its setting, its sensor, and the budget.
    /// Returns zero for a metric that is read at every tick, and `None` if the metric is not selected or can never be
    /// read from this GPU.
    #[must_use]
    pub fn poll_interval(&self, gpu: u32, metric: Metric) -> Option<Duration> {
        let sampler = self.gpu(gpu)?;
        let group = sampler.group(metric)?;
        let states = sampler.states.get(group.states.clone())?;
        Some(Duration::from_nanos(group.poll_interval(states)))
    }

    /// Returns the `/proc` information of a process in the process lists, which was read when the process first
    /// appeared there. Returns `None` if the process is in none of the lists. The lists are read only if
    /// [`Metric::PROCESS_MEMORY`] is sampled.
    #[must_use]
    pub fn process_info(&self, pid: u32) -> Option<&'a ProcessInfo> {
        self.process_infos.get(pid)
    }

    /// Returns the [`GpuInfo`] structs as [`Sampler::sample`](super::Sampler::sample) last updated them. The slice is
    /// empty unless [`SamplerBuilder::gpu_info`](super::SamplerBuilder::gpu_info) is enabled.
    #[must_use]
    pub fn gpu_infos(&self) -> &'a [GpuInfo] {
        self.gpu_infos
    }

    fn state(&self, gpu: u32, metric: Metric) -> Option<&'a MetricState> {
        self.gpu(gpu)?.state(metric)
    }

    fn gpu(&self, index: u32) -> Option<&'a GpuSampler> {
        self.gpus.iter().find(|gpu| u32::from(gpu.index()) == index)
    }
}
