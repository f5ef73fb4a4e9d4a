//! Chooses what a sampler samples; all of its memory is made here.

use std::time::Duration;

use super::{Sampler, lane::Cadence, time::Clocks};
use crate::{Device, Nvml, Result, metric::Metric, plan::Plan};

/// What to sample, how often, at what cost; from [`Sampler::builder`].
#[derive(Clone, Debug)]
pub struct SamplerBuilder {
    pub(super) nvml: Nvml,
    pub(super) gpus: Option<Vec<u32>>,
    pub(super) metrics: Vec<Metric>,
    pub(super) cadences: Vec<(Metric, Cadence)>,
    pub(super) plan: Option<Plan>,
    pub(super) budget: f64,
    pub(super) processes: usize,
    pub(super) gpu_info: bool,
    pub(super) leave_asleep: bool,
    pub(super) clocks: Clocks,
    pub(super) hang_after: u64,
    pub(super) wake_each: u64,
}

/// What is sampled when nothing is chosen: what every profiler shows, without the calls that take the driver's locks.
pub const USUAL: [Metric; 12] = [
    Metric::UTILIZATION_GPU,
    Metric::UTILIZATION_MEMORY,
    Metric::MEMORY_USED,
    Metric::POWER_USAGE,
    Metric::POWER_INSTANT,
    Metric::ENERGY,
    Metric::TEMPERATURE,
    Metric::CLOCK_SM,
    Metric::CLOCK_MEMORY,
    Metric::CLOCKS_EVENT_REASONS,
    Metric::PCIE_TX,
    Metric::PCIE_RX,
];

impl SamplerBuilder {
    pub(super) fn new(nvml: &Nvml) -> Self {
        Self {
            nvml: nvml.clone(),
            gpus: None,
            metrics: USUAL.to_vec(),
            cadences: Vec::new(),
            plan: None,
            budget: 0.01,
            processes: 256,
            gpu_info: false,
            leave_asleep: false,
            clocks: Clocks::default(),
            hang_after: 50_000_000,
            wake_each: 0,
        }
    }

    /// The GPUs to sample, by index; all when this is not called.
    #[must_use]
    pub fn gpus(mut self, indices: &[u32]) -> Self {
        self.gpus = Some(indices.to_vec());
        self
    }

    /// The metrics to sample, in place of the usual ones. Metrics for each process, which take the driver's locks and
    /// disturb other programs, are sampled only when they are named here, and once a second unless another cadence is
    /// set.
    #[must_use]
    pub fn metrics(mut self, metrics: &[Metric]) -> Self {
        self.metrics.clear();
        for metric in metrics {
            if !self.metrics.contains(metric) {
                self.metrics.push(*metric);
            }
        }
        self
    }

    /// Reads a metric, and those that share its call, at this cadence, whatever its sensor does. The shortest of those
    /// that share a call holds for all of them.
    #[must_use]
    pub fn cadence(mut self, metric: Metric, cadence: Duration) -> Self {
        self.set_cadence(metric, Cadence::fixed(cadence));
        self
    }

    /// Reads a metric at every tick. The budget does not hold it back.
    #[must_use]
    pub fn as_fast_as_possible(mut self, metric: Metric) -> Self {
        self.set_cadence(metric, Cadence::EveryTick);
        self
    }

    fn set_cadence(&mut self, metric: Metric, cadence: Cadence) {
        self.cadences.retain(|(known, _)| *known != metric);
        self.cadences.push((metric, cadence));
    }

    /// The share of wall time that may be spent in driver calls, over all GPUs: 0.01 when this is not called. Calls that
    /// would take more are made less often, the dearest first.
    #[must_use]
    pub fn budget(mut self, share: f64) -> Self {
        self.budget = if share.is_finite() { share.max(0.0) } else { f64::INFINITY };
        self
    }

    /// Samples what the plan of a [probe](crate::probe) says, at its cadences and within its budget; what is set after
    /// this replaces it. Each GPU has the cadences that the plan has for it, by UUID, or by index where there is none; a
    /// GPU or metric of a GPU that was not probed has the shortest of all. Metrics that this version of igpu does not
    /// know are left out, and [`Plan::unknown`] names them. Which GPUs are sampled is not the plan's matter.
    ///
    /// # Errors
    /// [`Error::Plan`](crate::Error::Plan) for a plan of another version, or one with numbers that cannot be.
    pub fn plan(mut self, plan: &Plan) -> Result<Self> {
        plan.check()?;
        self.metrics = plan.cadences().into_iter().map(|(metric, _)| metric).collect();
        self.cadences.retain(|(metric, _)| !self.metrics.contains(metric));
        self.plan = Some(plan.clone());
        Ok(self.budget(plan.budget))
    }

    /// Room for so many processes a GPU, 256 when this is not called. What does not fit is left out and told by an event.
    #[must_use]
    pub fn process_capacity(mut self, processes: usize) -> Self {
        self.processes = processes.max(1);
        self
    }

    /// Also keeps a [`GpuInfo`](crate::GpuInfo) of each GPU, which `sample()` refills.
    #[must_use]
    pub fn gpu_info(mut self, wanted: bool) -> Self {
        self.gpu_info = wanted;
        self
    }

    /// Leaves a GPU alone while the kernel says that it sleeps (sysfs `power/runtime_status`): laptops' GPUs do, and any
    /// driver call would wake them.
    #[must_use]
    pub fn leave_asleep(mut self, wanted: bool) -> Self {
        self.leave_asleep = wanted;
        self
    }

    /// In the background, a driver call that takes longer than this is taken for one that hangs: that GPU is left alone
    /// until it returns, which an event tells, and the others are read on. 50 ms when this is not called, which is the
    /// shortest usual cadence, so that the others miss no deadline by it; the driver's slow calls take a few ms. In the
    /// caller's own loop it is of no effect.
    ///
    /// Only what the call itself takes is counted, asleep or on a processor. While its thread is ready to run and gets no
    /// processor, because the machine is busy, or while the whole process stands still, no time is counted: on an idle
    /// machine a call is found to hang at about this time, on a busy one later. Where the kernel does not account for it
    /// (`/proc/self/task/*/schedstat` is missing), all of the time is counted.
    #[must_use]
    pub fn hang_after(mut self, patience: Duration) -> Self {
        self.hang_after = u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX).max(1_000_000);
        self
    }

    /// In the background, wakes up no more often than this, and reads what has come due since all at once: a reading may
    /// be so much late, which its stamp tells, and later ones are not shifted by it. Metrics that are read as their
    /// sensors refresh have intervals of multiples of this, no longer than they would be without (a learnt one by 1 %),
    /// and come due together, those of all GPUs. Else each would be due at its own time, so that a sampler of many wakes a
    /// thousand times a second, and waking takes more of the processor than the calls do. Nothing is waited for when this
    /// is not called. In the caller's own loop it is of no effect.
    #[must_use]
    pub fn wake_each(mut self, interval: Duration) -> Self {
        self.wake_each = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        self
    }

    /// Takes the time from other clocks: a test's stepped ones.
    #[must_use]
    pub fn clocks(mut self, clocks: Clocks) -> Self {
        self.clocks = clocks;
        self
    }

    /// Makes the sampler. From here on nothing is allocated.
    ///
    /// # Errors
    /// [`Error::InvalidIndex`](crate::Error::InvalidIndex) when there is no such GPU; the driver's own answer when it does not
    /// tell how many there are. That a GPU is lost or cannot be opened is no error: an event tells of it, and it is tried
    /// again.
    pub fn build(self) -> Result<Sampler> {
        Sampler::new(self)
    }

    /// What the plan has for this GPU.
    pub(super) fn planned(&self, device: Option<&Device>, index: u32) -> Vec<(Metric, Duration)> {
        let uuid = || device.and_then(|device| device.uuid().ok()).map(|uuid| uuid.to_string());
        self.plan.as_ref().map(|plan| plan.cadences_of(index, uuid().as_deref())).unwrap_or_default()
    }

    /// At what cadence a metric is read of a GPU for which this is planned.
    pub(super) fn cadence_of(&self, metric: Metric, planned: &[(Metric, Duration)]) -> Cadence {
        let set = self.cadences.iter().find(|(known, _)| *known == metric).map(|(_, cadence)| *cadence);
        let planned = planned.iter().find(|(known, _)| *known == metric).map(|(_, cadence)| Cadence::fixed(*cadence));
        let usual = u64::try_from(metric.info().cadence.as_nanos()).unwrap_or(u64::MAX);
        set.or(planned).unwrap_or(Cadence::Learnt(usual))
    }
}
