//! A sampling plan: how often to read each metric of each GPU. A probe creates it, and a sampler follows it.

use std::time::Duration;

use crate::{Error, Result, metric::Metric};

/// How often to read each metric of each GPU. [`SamplerBuilder::plan`](crate::sampler::SamplerBuilder::plan) follows it.
///
/// With the feature `serde` it is written and read as `igpu probe --plan FILE` does.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Plan {
    /// The form of the plan: [`Plan::VERSION`].
    pub version: u32,
    /// The share of time that calls of all GPUs may take together: 0.01 is 1 %.
    pub budget: f64,
    /// The GPUs that were probed.
    pub gpus: Vec<GpuPlan>,
}

/// What a [`Plan`] says of one GPU.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GpuPlan {
    /// Its index when it was probed.
    pub index: u32,
    /// Its UUID, where the driver gave one.
    pub uuid: Option<String>,
    /// The share of time that would go into driver calls for it: 0.001 is one ms in a second.
    pub call_time_share: f64,
    /// The metrics that it supports, but for those of processes. Energy too where it must be integrated.
    pub metrics: Vec<PlannedMetric>,
}

/// How often to read one metric.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PlannedMetric {
    /// Its name in the [catalog](crate::metric).
    pub metric: String,
    /// The time from one reading to the next, µs.
    pub interval_us: u64,
    /// What the call takes that reads it, with all that shares the call, ns.
    pub cost_ns: u64,
    /// Why so often.
    pub reason: IntervalReason,
}

/// Why a metric is planned to be read as often as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum IntervalReason {
    /// Half of the sensor's period, or of that of another number of the same call.
    Sensor,
    /// Before its sample buffer wraps.
    SampleBuffer,
    /// The catalog's interval: nothing better is known.
    Default,
    /// The call is too dear to be made more often within the budget.
    Budget,
}

impl Plan {
    /// The form of plan that this version of igpu writes and reads.
    pub const VERSION: u32 = 1;

    /// Whether a sampler can follow it: it has the right version, a budget, and no interval of nothing.
    ///
    /// # Errors
    /// [`Error::Plan`] with what is wrong.
    pub fn validate(&self) -> Result<()> {
        let wrong = |reason: String| Err(Error::Plan { reason });
        if self.version != Self::VERSION {
            return wrong(format!("it is of version {}, and this igpu reads version {}", self.version, Self::VERSION));
        }
        if !(self.budget.is_finite() && self.budget > 0.0) {
            return wrong(format!("its budget is {}, which is no share of time", self.budget));
        }
        match self.planned().find(|planned| planned.interval_us == 0) {
            Some(planned) => wrong(format!("{} has an interval of 0 µs", planned.metric)),
            None => Ok(()),
        }
    }

    /// Each metric with its interval for this GPU, known by its UUID, or by its index where one of them has none; then
    /// each with the shortest of all GPUs.
    pub(crate) fn intervals_for(&self, index: u32, uuid: Option<&str>) -> Vec<(Metric, Duration)> {
        let same = |gpu: &&GpuPlan| match (gpu.uuid.as_deref(), uuid) {
            (Some(one), Some(other)) => one == other,
            _ => gpu.index == index,
        };
        let own = self.gpus.iter().find(same).map(|gpu| gpu.metrics.as_slice()).unwrap_or_default();
        let own = own.iter().filter_map(PlannedMetric::interval);
        own.chain(self.intervals()).collect()
    }

    /// Each metric with its interval, the shortest of all GPUs. Metrics that this version of igpu does not know are left
    /// out; [`unknown_metrics`](Self::unknown_metrics) has them.
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

    /// The names of metrics that this version of igpu does not know: a newer one made the plan.
    pub fn unknown_metrics(&self) -> impl Iterator<Item = &str> {
        self.planned().map(|planned| planned.metric.as_str()).filter(|name| Metric::from_name(name).is_none())
    }

    fn planned(&self) -> impl Iterator<Item = &PlannedMetric> {
        self.gpus.iter().flat_map(|gpu| &gpu.metrics)
    }
}

impl PlannedMetric {
    /// The metric, where this version of igpu knows it, and its interval.
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
            &[planned("gpu.power", 50_000), planned("gpu.of.tomorrow", 1)],
            &[planned("gpu.power", 10_000), planned("gpu.energy", 50_000)],
        ]);
        let ms = Duration::from_millis;
        assert_eq!(plan.intervals(), [(Metric::POWER_USAGE, ms(10)), (Metric::ENERGY, ms(50))]);
        assert_eq!(plan.unknown_metrics().collect::<Vec<_>>(), ["gpu.of.tomorrow"]);
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
        assert!(error.contains("gpu.power has an interval of 0 µs"), "{error}");
    }

    #[cfg(feature = "serde")]
    #[test]
    fn plan_json_round_trips() {
        let plan = plan(&[&[planned("gpu.power", 50_000)]]);
        let text = serde_json::to_string(&plan).unwrap();
        assert!(text.contains(r#""interval_us":50000,"cost_ns":2500,"reason":"sensor""#), "{text}");
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
        // What a later version adds does not hinder; what is missing does.
        let more = text.replacen('{', r#"{"made_by":"igpu","#, 1);
        assert_eq!(serde_json::from_str::<Plan>(&more).unwrap(), plan);
        assert!(serde_json::from_str::<Plan>(r#"{"version":1,"gpus":[]}"#).is_err());
    }
}
