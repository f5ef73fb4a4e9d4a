//! Chooses what a sampler samples; all of its memory is made here.

use std::time::Duration;

use super::{Clocks, Sampler, poll_group::IntervalSetting, settings::Settings};
use crate::{Nvml, Result, metric::Metric, plan::Plan};

/// What to sample, how often, at what cost; from [`Sampler::builder`].
#[derive(Clone, Debug)]
pub struct SamplerBuilder {
    settings: Settings,
}

// Defined here because `Sampler` must not import the builder, which creates it.
impl Sampler {
    /// To choose GPUs, metrics, intervals and the budget.
    #[must_use]
    pub fn builder(nvml: &Nvml) -> SamplerBuilder {
        SamplerBuilder { settings: Settings::new(nvml) }
    }
}

impl SamplerBuilder {
    /// The GPUs to sample, by index; all when this is not called.
    #[must_use]
    pub fn gpus(mut self, indices: &[u32]) -> Self {
        self.settings.gpus = Some(indices.to_vec());
        self
    }

    /// The metrics to sample, in place of the usual ones. Metrics for each process, which take the driver's locks and
    /// disturb other programs, are sampled only when they are named here, and once a second unless another cadence is
    /// set.
    #[must_use]
    pub fn metrics(mut self, metrics: &[Metric]) -> Self {
        self.settings.metrics.clear();
        for metric in metrics {
            if !self.settings.metrics.contains(metric) {
                self.settings.metrics.push(*metric);
            }
        }
        self
    }

    /// Reads a metric, and those that share its call, at this cadence, whatever its sensor does. The shortest of those
    /// that share a call holds for all of them.
    #[must_use]
    pub fn interval(mut self, metric: Metric, interval: Duration) -> Self {
        self.set_interval(metric, IntervalSetting::fixed(interval));
        self
    }

    /// Reads a metric at every tick. The budget does not hold it back.
    #[must_use]
    pub fn every_tick(mut self, metric: Metric) -> Self {
        self.set_interval(metric, IntervalSetting::EveryTick);
        self
    }

    fn set_interval(&mut self, metric: Metric, cadence: IntervalSetting) {
        self.settings.intervals.retain(|(known, _)| *known != metric);
        self.settings.intervals.push((metric, cadence));
    }

    /// The share of wall time that may be spent in driver calls, over all GPUs: 0.01 when this is not called. Calls that
    /// would take more are made less often, the dearest first.
    #[must_use]
    pub fn budget(mut self, share: f64) -> Self {
        self.settings.budget = if share.is_finite() { share.max(0.0) } else { f64::INFINITY };
        self
    }

    /// Samples what the plan of a [probe](crate::probe) says, at its intervals and within its budget; what is set after
    /// this replaces it. Each GPU has the intervals that the plan has for it, by UUID, or by index where there is none; a
    /// GPU or metric of a GPU that was not probed has the shortest of all. Metrics that this version of igpu does not
    /// know are left out, and [`Plan::unknown_metrics`] names them. Which GPUs are sampled is not the plan's matter.
    ///
    /// # Errors
    /// [`Error::Plan`](crate::Error::Plan) for a plan of another version, or one with numbers that cannot be.
    pub fn plan(mut self, plan: &Plan) -> Result<Self> {
        plan.validate()?;
        self.settings.metrics = plan.intervals().into_iter().map(|(metric, _)| metric).collect();
        self.settings.intervals.retain(|(metric, _)| !self.settings.metrics.contains(metric));
        self.settings.plan = Some(plan.clone());
        Ok(self.budget(plan.budget))
    }

    /// Room for so many processes a GPU, 256 when this is not called. What does not fit is left out and told by an event.
    #[must_use]
    pub fn process_capacity(mut self, process_capacity: usize) -> Self {
        self.settings.process_capacity = process_capacity.max(1);
        self
    }

    /// Also keeps a [`GpuInfo`](crate::GpuInfo) of each GPU, which `sample()` refills.
    #[must_use]
    pub fn gpu_info(mut self, target_interval: bool) -> Self {
        self.settings.gpu_info = target_interval;
        self
    }

    /// Leaves a GPU alone while the kernel says that it sleeps (sysfs `power/runtime_status`): laptops' GPUs do, and any
    /// driver call would wake them.
    #[must_use]
    pub fn skip_suspended(mut self, target_interval: bool) -> Self {
        self.settings.skip_suspended = target_interval;
        self
    }

    /// In the background, a driver call that takes longer than this is taken for one that hangs: that GPU is left alone
    /// until it returns, which an event tells, and the others are read on. 50 ms when this is not called, which is the
    /// shortest usual cadence, so that the others miss no deadline by it; the driver's slow calls take a few ms. In the
    /// caller's own loop it is of no effect.
    ///
    /// Only time of the call itself counts, asleep or on a processor. While its thread is ready to run but gets no
    /// processor because the machine is busy, no time is counted, and while the whole process stands still, half of this
    /// at most; so a hung call is found at about this time on an idle machine, and later on a busy one. If the kernel
    /// keeps no scheduler statistics, or `/proc/self/task/*/schedstat` cannot be opened, all of the time is counted.
    #[must_use]
    pub fn hang_timeout(mut self, patience: Duration) -> Self {
        self.settings.hang_timeout = u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX).max(1_000_000);
        self
    }

    /// In the background, wakes up no more often than this, and reads what has come due since all at once: a reading may
    /// be so much late, which its stamp tells, and later ones are not shifted by it. Metrics that are read as their
    /// sensors refresh have intervals of multiples of this, no longer than they would be without (a learnt one by 1 %),
    /// and come due together, those of all GPUs. Else each would be due at its own time, so that a sampler of many wakes a
    /// thousand times a second, and waking takes more of the processor than the calls do. Nothing is waited for when this
    /// is not called. In the caller's own loop it is of no effect.
    #[must_use]
    pub fn min_wake_interval(mut self, interval: Duration) -> Self {
        self.settings.min_wake_interval = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        self
    }

    /// Takes the time from other clocks: a test's stepped ones.
    #[doc(hidden)]
    #[must_use]
    pub fn clocks(mut self, clocks: Clocks) -> Self {
        self.settings.clocks = clocks;
        self
    }

    /// Makes the sampler. From here on nothing is allocated.
    ///
    /// # Errors
    /// [`Error::InvalidIndex`](crate::Error::InvalidIndex) when there is no such GPU; the driver's own answer when it does not
    /// tell how many there are. That a GPU is lost or cannot be opened is no error: an event tells of it, and it is tried
    /// again.
    pub fn build(self) -> Result<Sampler> {
        Sampler::new(&self.settings)
    }
}
