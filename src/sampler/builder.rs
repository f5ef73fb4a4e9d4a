//! The builder of a sampler.

use std::time::Duration;

use super::{Clocks, Sampler, poll_group::IntervalSetting, settings::Settings};
use crate::{Nvml, Result, metric::Metric, plan::Plan};

/// The builder of a [`Sampler`], created by [`Sampler::builder`]. The builder selects the GPUs, the metrics, the
/// intervals, and the budget.
///
/// ```
/// # nvml_sim::start(&nvml_sim::Scenario::from_name("hgx-h100").unwrap());
/// # // SAFETY: the simulator's functions have the signatures of nvml.h.
/// # let nvml = unsafe { igpu::Nvml::builder().resolver(nvml_sim::resolve) }.load()?;
/// use std::time::Duration;
///
/// use igpu::{metric::Metric, sampler::Sampler};
///
/// let sampler = Sampler::builder(&nvml)
///     .gpus(&[0, 1])
///     .metrics(&[Metric::POWER_INSTANT, Metric::TEMPERATURE, Metric::PROCESS_MEMORY])
///     .exact_interval(Metric::POWER_INSTANT, Duration::from_millis(20))
///     .interval(Metric::TEMPERATURE, Duration::from_secs(1))
///     .budget(0.005)
///     .build()?;
/// assert_eq!(sampler.gpus().collect::<Vec<_>>(), [0, 1]);
/// # Ok::<(), igpu::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SamplerBuilder {
    settings: Settings,
}

// Defined here because `Sampler` must not import the builder, which creates it.
impl Sampler {
    /// Returns a builder with the default settings: all GPUs, [`DEFAULT_METRICS`](super::DEFAULT_METRICS), adaptive
    /// intervals, and a budget of 1 %.
    #[must_use]
    pub fn builder(nvml: &Nvml) -> SamplerBuilder {
        SamplerBuilder { settings: Settings::new(nvml) }
    }
}

impl SamplerBuilder {
    /// Selects GPUs by their NVML indices. The default is all GPUs.
    #[must_use]
    pub fn gpus(mut self, indices: &[u32]) -> Self {
        self.settings.gpus = Some(indices.to_vec());
        self
    }

    /// Selects the metrics. The default is [`DEFAULT_METRICS`](super::DEFAULT_METRICS).
    ///
    /// Metrics that have a value for each process are not among the defaults, because their calls take the driver's
    /// locks and can delay other programs. Unless another interval is set, these metrics are read once a second.
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

    /// Reads a metric at this interval instead of an adaptive interval.
    ///
    /// The [budget](Self::budget) may stretch the interval. [`Frame::poll_interval`](super::Frame::poll_interval)
    /// returns the actual interval. Metrics that one driver call returns together are read at the shortest of their
    /// intervals.
    #[must_use]
    pub fn interval(mut self, metric: Metric, interval: Duration) -> Self {
        self.set_interval(metric, IntervalSetting::fixed(interval));
        self
    }

    /// Reads a metric at exactly this interval, which the [budget](Self::budget) does not stretch. The calls do not
    /// count toward the budget.
    ///
    /// Metrics that one driver call returns together are read at the shortest of their intervals. That interval is
    /// exact if an exact interval was set for at least one of the metrics.
    #[must_use]
    pub fn exact_interval(mut self, metric: Metric, interval: Duration) -> Self {
        self.set_interval(metric, IntervalSetting::exact(interval));
        self
    }

    /// Reads a metric at every tick. The calls do not count toward the [budget](Self::budget).
    #[must_use]
    pub fn every_tick(mut self, metric: Metric) -> Self {
        self.set_interval(metric, IntervalSetting::EveryTick);
        self
    }

    fn set_interval(&mut self, metric: Metric, interval: IntervalSetting) {
        self.settings.intervals.retain(|(known, _)| *known != metric);
        self.settings.intervals.push((metric, interval));
    }

    /// Sets the share of wall-clock time that driver calls may take, for all GPUs together. The default is 0.01, which
    /// is 1 %.
    ///
    /// If the calls would exceed the budget, the intervals of the most expensive calls are stretched, to at most one
    /// hour. With a budget of 0, every call has an interval of one hour. NaN and infinity remove the limit.
    #[must_use]
    pub fn budget(mut self, share: f64) -> Self {
        self.settings.budget = if share.is_finite() { share.max(0.0) } else { f64::INFINITY };
        self
    }

    /// Samples the metrics of a plan, which a [probe](crate::probe) creates, at its intervals and within its budget.
    ///
    /// The plan replaces the metrics, intervals, and budget that were set before. Later settings replace those of the
    /// plan. The intervals for a GPU are found in the plan by the GPU's UUID, or by its index if the plan or the GPU
    /// has no UUID. A metric that was not probed on this GPU gets the shortest interval of all GPUs. Metrics that this
    /// version of igpu does not define are skipped, and [`Plan::unknown_metrics`] returns them. The plan does not
    /// select GPUs.
    ///
    /// # Errors
    /// Returns [`Error::Plan`](crate::Error::Plan) if the plan has another version or invalid numbers; see
    /// [`Plan::validate`].
    pub fn plan(mut self, plan: &Plan) -> Result<Self> {
        plan.validate()?;
        self.settings.metrics = plan.intervals().into_iter().map(|(metric, _)| metric).collect();
        self.settings.intervals.retain(|(metric, _)| !self.settings.metrics.contains(metric));
        self.settings.plan = Some(plan.clone());
        Ok(self.budget(plan.budget))
    }

    /// Sets the number of processes per GPU for which memory is allocated. The default is 256. Further processes are
    /// omitted, and an [`Event::PROCESS_LIST_TRUNCATED`](super::Event::PROCESS_LIST_TRUNCATED) reports their number.
    #[must_use]
    pub fn process_capacity(mut self, processes: usize) -> Self {
        self.settings.process_capacity = processes.max(1);
        self
    }

    /// Allocates a [`GpuInfo`](crate::GpuInfo) for each GPU if `enabled` is `true`. Each call of [`Sampler::sample`]
    /// updates these structs, and [`Frame::gpu_infos`](super::Frame::gpu_infos) returns them. [`Sampler::spawn`]
    /// discards them.
    #[must_use]
    pub fn gpu_info(mut self, enabled: bool) -> Self {
        self.settings.gpu_info = enabled;
        self
    }

    /// Skips GPUs that the kernel has suspended, if `enabled` is `true`. The kernel reports this state in
    /// `power/runtime_status` in sysfs. Laptops suspend idle GPUs, and any driver call would resume them.
    #[must_use]
    pub fn skip_suspended(mut self, enabled: bool) -> Self {
        self.settings.skip_suspended = enabled;
        self
    }

    /// Sets the time after which a [`Background`](super::Background) sampler considers a driver call hung. The default
    /// is 50 ms, and the minimum is 1 ms. [`Sampler::tick`] ignores this setting.
    ///
    /// A GPU with a hung call is skipped until the call returns, and the other GPUs are still read.
    /// [`Event::GPU_HUNG`](super::Event::GPU_HUNG) reports the hang, and
    /// [`Event::GPU_RECOVERED`](super::Event::GPU_RECOVERED) reports the return of the call. The default is longer than
    /// slow driver calls, which take a few milliseconds, and not longer than the common intervals, so that the other
    /// GPUs miss no deadline.
    ///
    /// Only the time of the call itself counts, whether the thread sleeps or runs. Time in which the thread waits for a
    /// processor does not count, and time in which the whole process is stopped counts by half at most. A hung call is
    /// therefore detected after about this time on an idle machine, and later on a busy machine. If the kernel keeps no
    /// scheduler statistics, or `/proc/self/task/*/schedstat` cannot be opened, all of the time counts.
    #[must_use]
    pub fn hang_timeout(mut self, timeout: Duration) -> Self {
        self.settings.hang_timeout = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX).max(1_000_000);
        self
    }

    /// Sets the shortest time between two wakes of a [`Background`](super::Background) sampler. The default is zero,
    /// which means no limit. [`Sampler::tick`] ignores this setting.
    ///
    /// At each wake, all metrics that have become due are read. A read can be late by up to this time. The timestamp of
    /// a late read is the actual time of the read, and later reads are not shifted. A metric with a set interval that
    /// is shorter than this time [misses deadlines](super::Background::missed_deadlines). Adaptive intervals are
    /// rounded down to multiples of this time (up, if they are shorter by 1 % or less), and the metrics of all GPUs are
    /// due at the same moments.
    ///
    /// Without this setting, each metric is due at its own time, so a sampler with many metrics can wake a thousand
    /// times a second, which takes more processor time than the driver calls.
    #[must_use]
    pub fn min_wake_interval(mut self, interval: Duration) -> Self {
        self.settings.min_wake_interval = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        self
    }

    /// Replaces the system's clocks, for tests with a stepped clock.
    #[doc(hidden)]
    #[must_use]
    pub fn clocks(mut self, clocks: Clocks) -> Self {
        self.settings.clocks = clocks;
        self
    }

    /// Creates the sampler and allocates all of its memory.
    ///
    /// A GPU that is lost or cannot be opened does not cause an error. An [`Event::GPU_LOST`](super::Event::GPU_LOST)
    /// reports the loss, and the sampler tries to open it again every second.
    ///
    /// # Errors
    /// Returns [`Error::InvalidIndex`](crate::Error::InvalidIndex) if no GPU has a selected index,
    /// [`Error::Forked`](crate::Error::Forked) in a forked child, and the driver's error if the number of GPUs cannot
    /// be read.
    pub fn build(self) -> Result<Sampler> {
        Sampler::new(&self.settings)
    }
}
