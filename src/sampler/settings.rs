//! The settings of a sampler.

use std::time::Duration;

use super::{poll_group::IntervalSetting, time::Clocks};
use crate::{Device, Nvml, metric::Metric, plan::Plan};

/// The settings of a sampler, collected by its builder.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) nvml: Nvml,
    /// The NVML indices of the selected GPUs, or `None` for all GPUs.
    pub(super) gpus: Option<Vec<u32>>,
    pub(super) metrics: Vec<Metric>,
    pub(super) intervals: Vec<(Metric, IntervalSetting)>,
    pub(super) plan: Option<Plan>,
    pub(super) budget: f64,
    pub(super) process_capacity: usize,
    pub(super) gpu_info: bool,
    pub(super) skip_suspended: bool,
    pub(super) clocks: Clocks,
    /// The time after which a driver call counts as hung, in nanoseconds.
    pub(super) hang_timeout: u64,
    /// The minimum time between two wakes, in nanoseconds. Zero means no minimum.
    pub(super) min_wake_interval: u64,
}

/// The metrics that are sampled by default. Metrics whose calls take the driver's locks are not included.
pub const DEFAULT_METRICS: [Metric; 12] = [
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

impl Settings {
    /// Returns the default settings.
    pub(super) fn new(nvml: &Nvml) -> Self {
        Self {
            nvml: nvml.clone(),
            gpus: None,
            metrics: DEFAULT_METRICS.to_vec(),
            intervals: Vec::new(),
            plan: None,
            budget: 0.01,
            process_capacity: 256,
            gpu_info: false,
            skip_suspended: false,
            clocks: Clocks::default(),
            hang_timeout: 50_000_000,
            min_wake_interval: 0,
        }
    }

    /// Returns the plan's intervals for a GPU, or an empty list if no plan is set.
    pub(super) fn planned(&self, device: Option<&Device>, index: u32) -> Vec<(Metric, Duration)> {
        let uuid = || device.and_then(|device| device.uuid().ok()).map(|uuid| uuid.to_string());
        self.plan.as_ref().map(|plan| plan.intervals_for(index, uuid().as_deref())).unwrap_or_default()
    }

    /// Returns the interval of a metric: the interval that was set, otherwise the planned interval, otherwise an
    /// adaptive interval.
    pub(super) fn interval_setting(&self, metric: Metric, planned: &[(Metric, Duration)]) -> IntervalSetting {
        let set = self.intervals.iter().find(|(known, _)| *known == metric).map(|(_, interval)| *interval);
        let planned = || planned.iter().find(|(known, _)| *known == metric);
        let planned = || planned().map(|(_, interval)| IntervalSetting::fixed(*interval));
        let default = u64::try_from(metric.info().poll_interval.as_nanos()).unwrap_or(u64::MAX);
        set.or_else(planned).unwrap_or(IntervalSetting::Adaptive(default))
    }
}
