//! What a tick hands back.

use std::time::Duration;

use super::{Record, gpu_sampler::GpuSampler, metric_state::MetricState};
use crate::{
    Error, GpuInfo,
    metric::Metric,
    process::{ProcessInfo, ProcessInfoCache},
};

/// What a sampler knows after a tick: borrowed from it until the next.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    records: &'a [Record],
    gpus: &'a [GpuSampler],
    process_infos: &'a ProcessInfoCache,
    infos: &'a [GpuInfo],
}

impl<'a> Frame<'a> {
    pub(super) fn new(
        records: &'a [Record],
        gpus: &'a [GpuSampler],
        process_infos: &'a ProcessInfoCache,
        infos: &'a [GpuInfo],
    ) -> Self {
        Self { records, gpus, process_infos, infos }
    }

    /// The records of this tick: a value for each metric that was read, each entry of a ring, and events.
    #[must_use]
    pub fn records(&self) -> &'a [Record] {
        self.records
    }

    /// The latest value of a metric of a GPU, by the GPU's index; `None` while there is none, and
    /// [`last_error`](Self::last_error) tells why.
    #[must_use]
    pub fn latest(&self, gpu: u32, metric: Metric) -> Option<&'a Record> {
        self.state(gpu, metric)?.latest.as_ref()
    }

    /// Why a metric of a GPU was not read when it was last tried; `None` when it was.
    #[must_use]
    pub fn last_error(&self, gpu: u32, metric: Metric) -> Option<&'a Error> {
        self.state(gpu, metric)?.last_error.as_ref()
    }

    /// How often the sensor behind a metric refreshes, as far as its values have shown; `None` while that is unknown, as
    /// it stays for a signal that does not change.
    #[must_use]
    pub fn refresh_period(&self, gpu: u32, metric: Metric) -> Option<Duration> {
        self.state(gpu, metric)?.estimator.period().map(Duration::from_nanos)
    }

    /// How often a metric is read now: as its sensor and the budget want it.
    #[must_use]
    pub fn poll_interval(&self, gpu: u32, metric: Metric) -> Option<Duration> {
        let sampler = self.gpu(gpu)?;
        let group = sampler.group(metric)?;
        let series = sampler.states.get(group.states.clone())?;
        Some(Duration::from_nanos(group.target_interval(series).max(group.budget_interval)))
    }

    /// Who owns a process of the process lists, looked up when it first appeared.
    #[must_use]
    pub fn process_info(&self, pid: u32) -> Option<&'a ProcessInfo> {
        self.process_infos.get(pid)
    }

    /// Returns the [`GpuInfo`] buffers as last filled by [`Sampler::sample`](super::Sampler::sample); empty unless
    /// requested from the builder.
    #[must_use]
    pub fn gpu_infos(&self) -> &'a [GpuInfo] {
        self.infos
    }

    fn state(&self, gpu: u32, metric: Metric) -> Option<&'a MetricState> {
        self.gpu(gpu)?.state(metric)
    }

    fn gpu(&self, index: u32) -> Option<&'a GpuSampler> {
        self.gpus.iter().find(|gpu| u32::from(gpu.index()) == index)
    }
}
