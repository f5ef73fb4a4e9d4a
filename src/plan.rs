//! The sampling plan: the interval of each metric of each GPU. A probe creates it, and a sampler follows it.

use std::time::Duration;

use crate::{Error, Result, metric::Metric};

/// The interval of each metric of each GPU, and the budget.
///
/// A [probe](crate::probe) creates a plan, and
/// [`SamplerBuilder::plan`](crate::sampler::SamplerBuilder::plan) takes it.
///
/// With the feature `serde`, a plan is serialized and deserialized in the format of `igpu probe --plan FILE`.
///
/// ```
/// # nvml_sim::start(&nvml_sim::Scenario::from_name("hgx-h100").unwrap());
/// # // SAFETY: the simulator's functions have the signatures of nvml.h.
/// # let nvml = unsafe { igpu::Nvml::builder().resolver(nvml_sim::resolve) }.load()?;
/// use std::time::Duration;
///
/// use igpu::{metric::Metric, probe::{GpuPlan, IntervalReason, Plan, PlannedMetric}, sampler::Sampler};
///
/// let power = PlannedMetric {
///     metric: Metric::POWER_INSTANT.name().to_owned(),
///     interval_us: 50_000,
///     cost_ns: 20_000,
///     reason: IntervalReason::Sensor,
/// };
/// let gpu = GpuPlan { index: 0, uuid: None, call_time_share: 0.0004, metrics: vec![power] };
/// let plan = Plan { version: Plan::VERSION, budget: 0.01, gpus: vec![gpu] };
/// assert_eq!(plan.intervals(), [(Metric::POWER_INSTANT, Duration::from_millis(50))]);
///
/// let sampler = Sampler::builder(&nvml).plan(&plan)?.build()?;
/// assert_eq!(sampler.metrics(), [Metric::POWER_INSTANT]);
/// # Ok::<(), igpu::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Plan {
    /// The version of the format, which is [`Plan::VERSION`].
    pub version: u32,
    /// The share of time that driver calls may take, for all GPUs together: 0.01 is 1 %.
    pub budget: f64,
    /// The GPUs that were probed.
    pub gpus: Vec<GpuPlan>,
}

/// The part of a [`Plan`] for one GPU.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GpuPlan {
    /// The NVML index of the GPU when it was probed.
    pub index: u32,
    /// The UUID of the GPU, if the driver returned one.
    pub uuid: Option<String>,
    /// The share of time that the planned driver calls for this GPU take: 0.001 is 1 ms in each second.
    pub call_time_share: f64,
    /// The metrics that the GPU supports, except those that have a value for each process. Energy is included even if
    /// it must be integrated from power.
    pub metrics: Vec<PlannedMetric>,
}

/// The planned interval of one metric.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PlannedMetric {
    /// The name of the metric in the [catalog](crate::metric).
    pub metric: String,
    /// The time between two reads, in microseconds.
    pub interval_us: u64,
    /// The duration of the driver call that reads the metric, in nanoseconds. Metrics that share a call have the same
    /// cost.
    pub cost_ns: u64,
    /// The reason for the interval.
    pub reason: IntervalReason,
}

/// The reason for the planned interval of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum IntervalReason {
    /// The interval is half of the refresh period of the sensor, or of another sensor that the same call reads.
    Sensor,
    /// The interval is short enough to drain the sample buffer before it overflows.
    SampleBuffer,
    /// The interval is the default interval of the catalog, because the refresh period is unknown.
    Default,
    /// The call is too expensive for a shorter interval within the budget.
    Budget,
}

impl Plan {
    /// The version of the plan format that this version of igpu writes and reads.
    pub const VERSION: u32 = 1;

    /// Checks that a sampler can follow the plan.
    ///
    /// # Errors
    /// Returns [`Error::Plan`] if the plan has another version, a budget that is not a positive number, or an interval
    /// of 0.
    pub fn validate(&self) -> Result<()> {
        let invalid = |reason: String| Err(Error::Plan { reason });
        if self.version != Self::VERSION {
            return invalid(format!(
                "its version is {}, and this igpu supports version {}",
                self.version,
                Self::VERSION
            ));
        }
        if !(self.budget.is_finite() && self.budget > 0.0) {
            return invalid(format!("the budget is {}, which is not a positive share of time", self.budget));
        }
        match self.planned().find(|planned| planned.interval_us == 0) {
            Some(planned) => invalid(format!("the interval of {} is 0 µs", planned.metric)),
            None => Ok(()),
        }
    }

    /// Returns the metrics with their intervals for a GPU, followed by all metrics with their shortest intervals of all
    /// GPUs. The GPU's part of the plan is found by its UUID, or by its index if the plan or the GPU has no UUID.
    pub(crate) fn intervals_for(&self, index: u32, uuid: Option<&str>) -> Vec<(Metric, Duration)> {
        let is_same = |gpu: &&GpuPlan| match (gpu.uuid.as_deref(), uuid) {
            (Some(planned), Some(actual)) => planned == actual,
            _ => gpu.index == index,
        };
        let own = self.gpus.iter().find(is_same).map(|gpu| gpu.metrics.as_slice()).unwrap_or_default();
        let own = own.iter().filter_map(PlannedMetric::interval);
        own.chain(self.intervals()).collect()
    }

    /// Returns the metrics with their shortest intervals of all GPUs. Metrics that this version of igpu does not define
    /// are left out; [`unknown_metrics`](Self::unknown_metrics) returns them.
    #[must_use]
    pub fn intervals(&self) -> Vec<(Metric, Duration)> {
        let mut intervals: Vec<(Metric, Duration)> = Vec::new();
        for (metric, interval) in self.planned().filter_map(PlannedMetric::interval) {
            match intervals.iter_mut().find(|(known, _)| *known == metric) {
                Some((_, shortest)) => *shortest = interval.min(*shortest),
                None => intervals.push((metric, interval)),
            }
        }
        intervals
    }

    /// Returns the names of the metrics that this version of igpu does not define. A plan that a newer version created
    /// can have them. A name occurs once for each GPU.
    pub fn unknown_metrics(&self) -> impl Iterator<Item = &str> {
        self.planned().map(|planned| planned.metric.as_str()).filter(|name| Metric::from_name(name).is_none())
    }

    fn planned(&self) -> impl Iterator<Item = &PlannedMetric> {
        self.gpus.iter().flat_map(|gpu| &gpu.metrics)
    }
}

impl PlannedMetric {
    /// Returns the metric and its interval, or `None` if this version of igpu does not define the metric.
    fn interval(&self) -> Option<(Metric, Duration)> {
        Some((Metric::from_name(&self.metric)?, Duration::from_micros(self.interval_us)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(metric: &str, interval_us: u64) -> PlannedMetric {
        PlannedMetric { metric: metric.into(), interval_us, cost_ns: 2500, reason: IntervalReason::Sensor }
    }

    fn plan(gpus: &[&[PlannedMetric]]) -> Plan {
        let gpu = |(index, metrics): (usize, &&[PlannedMetric])| GpuPlan {
            index: index as u32,
            uuid: None,
            call_time_share: 0.001,
            metrics: metrics.to_vec(),
        };
        Plan { version: Plan::VERSION, budget: 0.01, gpus: gpus.iter().enumerate().map(gpu).collect() }
    }

    #[test]
    fn shortest_interval_of_gpus_is_used() {
        let plan = plan(&[
            &[planned("gpu.power", 50_000), planned("gpu.undefined", 1)],
            &[planned("gpu.power", 10_000), planned("gpu.energy", 50_000)],
        ]);
        let ms = Duration::from_millis;
        assert_eq!(plan.intervals(), [(Metric::POWER_USAGE, ms(10)), (Metric::ENERGY, ms(50))]);
        assert_eq!(plan.unknown_metrics().collect::<Vec<_>>(), ["gpu.undefined"]);
        assert_eq!(plan.validate(), Ok(()));
    }

    #[test]
    fn gpu_is_matched_by_uuid() {
        let mut plan = plan(&[&[planned("gpu.power", 50_000)], &[planned("gpu.power", 10_000)]]);
        plan.gpus[0].uuid = Some("GPU-a".into());
        for (index, uuid, ms) in [
            (0, Some("GPU-a"), 50),
            (7, Some("GPU-a"), 50),
            (0, None, 50),
            (1, Some("GPU-b"), 10),
            (0, Some("GPU-c"), 10),
        ] {
            let first = plan.intervals_for(index, uuid)[0];
            assert_eq!(first, (Metric::POWER_USAGE, Duration::from_millis(ms)), "{index} {uuid:?}");
        }
    }

    #[test]
    fn zero_interval_is_rejected() {
        let error = plan(&[&[planned("gpu.power", 0)]]).validate().unwrap_err().to_string();
        assert!(error.contains("the interval of gpu.power is 0 µs"), "{error}");
    }

    #[cfg(feature = "serde")]
    #[test]
    fn plan_json_round_trips() {
        let plan = plan(&[&[planned("gpu.power", 50_000)]]);
        let text = serde_json::to_string(&plan).unwrap();
        assert!(text.contains(r#""interval_us":50000,"cost_ns":2500,"reason":"sensor""#), "{text}");
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
        // Unknown keys of a later version are ignored, but missing keys are errors.
        let extended = text.replacen('{', r#"{"made_by":"igpu","#, 1);
        assert_eq!(serde_json::from_str::<Plan>(&extended).unwrap(), plan);
        assert!(serde_json::from_str::<Plan>(r#"{"version":1,"gpus":[]}"#).is_err());
    }
}
