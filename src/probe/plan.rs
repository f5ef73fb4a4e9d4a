//! The sampling plan that follows from what was probed, to be handed to a sampler.

use std::time::Duration;

use super::{GpuReport, poll::Poll};
use crate::{
    Device, Error, FieldValue, GpmReport, Result,
    metric::{Metric, Source},
    sampler::{fields::field_of, gpm::gpm_of, monotonic, schedule},
};

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
    pub share: f64,
    /// The metrics that it supports, but for those of processes. Energy too where it must be integrated.
    pub metrics: Vec<PlannedMetric>,
}

/// How often to read one metric.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PlannedMetric {
    /// Its name in the [catalogue](crate::metric).
    pub metric: String,
    /// The time from one reading to the next, µs.
    pub cadence_us: u64,
    /// What the call takes that reads it, with all that shares the call, ns.
    pub cost_ns: u64,
    /// Why so often.
    pub because: Because,
}

/// Why a metric is planned to be read as often as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Because {
    /// Half of the sensor's period, or of that of another number of the same call.
    Sensor,
    /// Before its ring wraps.
    Ring,
    /// The catalogue's cadence: nothing better is known.
    Usual,
    /// The call is too dear to be made more often within the budget.
    Budget,
}

/// The budget of a sampler for which none is set.
const BUDGET: f64 = 0.01;
/// A plan is content with so much of it: what a sampler measures swings, and beyond the budget it would leave the plan.
const PLANNED: f64 = 0.8;
/// Fields whose cadences differ by no more than this factor are read in one call.
const TOGETHER: u64 = 5;
const TOGETHER_OF: u64 = 4;
const MS: u64 = 1_000_000;

/// Metrics that are read by one call.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    metrics: Vec<Metric>,
    cadence: u64,
    cost: u64,
    because: Because,
}

impl Plan {
    /// The form of plan that this version of igpu writes and reads.
    pub const VERSION: u32 = 1;

    /// Whether a sampler can follow it: it has the right version, a budget, and no cadence of nothing.
    ///
    /// # Errors
    /// [`Error::Plan`] with what is wrong.
    pub fn check(&self) -> Result<()> {
        let wrong = |reason: String| Err(Error::Plan { reason });
        if self.version != Self::VERSION {
            return wrong(format!("it is of version {}, and this igpu reads version {}", self.version, Self::VERSION));
        }
        if !(self.budget.is_finite() && self.budget > 0.0) {
            return wrong(format!("its budget is {}, which is no share of time", self.budget));
        }
        match self.planned().find(|planned| planned.cadence_us == 0) {
            Some(planned) => wrong(format!("{} has a cadence of 0 µs", planned.metric)),
            None => Ok(()),
        }
    }

    /// Each metric with its cadence for this GPU, known by its UUID, or by its index where one of them has none; then
    /// each with the shortest of all GPUs.
    pub(crate) fn cadences_of(&self, index: u32, uuid: Option<&str>) -> Vec<(Metric, Duration)> {
        let same = |gpu: &&GpuPlan| match (gpu.uuid.as_deref(), uuid) {
            (Some(one), Some(other)) => one == other,
            _ => gpu.index == index,
        };
        let own = self.gpus.iter().find(same).map(|gpu| gpu.metrics.as_slice()).unwrap_or_default();
        let own = own.iter().filter_map(PlannedMetric::cadence);
        own.chain(self.cadences()).collect()
    }

    /// Each metric with its cadence, the shortest of all GPUs. Metrics that this version of igpu does not know are left
    /// out; [`unknown`](Self::unknown) has them.
    #[must_use]
    pub fn cadences(&self) -> Vec<(Metric, Duration)> {
        let mut cadences: Vec<(Metric, Duration)> = Vec::new();
        for (metric, cadence) in self.planned().filter_map(PlannedMetric::cadence) {
            match cadences.iter_mut().find(|(known, _)| *known == metric) {
                Some((_, shortest)) => *shortest = cadence.min(*shortest),
                None => cadences.push((metric, cadence)),
            }
        }
        cadences
    }

    /// The names of metrics that this version of igpu does not know: a newer one made the plan.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        self.planned().map(|planned| planned.metric.as_str()).filter(|name| Metric::named(name).is_none())
    }

    fn planned(&self) -> impl Iterator<Item = &PlannedMetric> {
        self.gpus.iter().flat_map(|gpu| &gpu.metrics)
    }
}

impl PlannedMetric {
    /// The metric, where this version of igpu knows it, and its cadence.
    fn cadence(&self) -> Option<(Metric, Duration)> {
        Some((Metric::named(&self.metric)?, Duration::from_micros(self.cadence_us)))
    }
}

/// The lanes of one GPU as its sensors want them.
pub(super) fn lanes(device: &Device, report: &GpuReport, polls: &[&Poll]) -> Vec<Lane> {
    let mut lanes: Vec<Lane> =
        polls.iter().filter(|poll| poll.call().is_some()).filter_map(|poll| of_call(poll)).collect();
    lanes.extend(of_fields(device, polls));
    lanes.extend(report.rings.iter().filter_map(of_ring));
    lanes.extend(of_gpm(device, report));
    lanes.extend(integrated(&lanes));
    lanes
}

fn of_call(poll: &Poll) -> Option<Lane> {
    let answered: Vec<_> = poll.sensors.iter().filter(|sensor| sensor.polls > 0).collect();
    let metrics: Vec<Metric> = answered.iter().map(|sensor| sensor.metric).collect();
    let (cadence, because) = wanted(answered.iter().filter_map(|sensor| sensor.period()).min(), &metrics)?;
    Some(Lane { metrics, cadence, cost: poll.cost(), because })
}

/// Half of the period in whole ms, or the catalogue's cadence.
fn wanted(period: Option<u64>, metrics: &[Metric]) -> Option<(u64, Because)> {
    let usual = metrics.iter().map(|metric| metric.info().cadence.as_nanos() as u64).min()?;
    Some(match period {
        Some(period) => (((period / 2 + MS / 2) / MS).max(1) * MS, Because::Sensor),
        None => (usual, Because::Usual),
    })
}

/// Fields with nearly the same cadence make one batch, whose cost is measured.
fn of_fields(device: &Device, polls: &[&Poll]) -> Vec<Lane> {
    let sensors = polls.iter().filter(|poll| poll.call().is_none()).flat_map(|poll| &poll.sensors);
    let mut wants: Vec<(u64, Because, Metric)> = sensors
        .filter(|sensor| sensor.polls > 0)
        .filter_map(|sensor| {
            let (cadence, because) = wanted(sensor.period(), &[sensor.metric])?;
            Some((cadence, because, sensor.metric))
        })
        .collect();
    wants.sort_by_key(|want| want.0);
    let mut lanes: Vec<Lane> = Vec::new();
    for (cadence, because, metric) in wants {
        match lanes.last_mut() {
            Some(lane) if cadence * TOGETHER_OF <= lane.cadence * TOGETHER => {
                lane.metrics.push(metric);
                // What a sensor showed says more than what is usual.
                lane.because = if because == Because::Sensor { because } else { lane.because };
            }
            _ => lanes.push(Lane { metrics: vec![metric], cadence, cost: 0, because }),
        }
    }
    for lane in &mut lanes {
        lane.cost = cost_of_fields(device, &lane.metrics);
    }
    lanes
}

/// The median of a few calls, ns.
fn cost_of_fields(device: &Device, metrics: &[Metric]) -> u64 {
    let fields = metrics.iter().filter_map(|metric| field_of(*metric));
    let mut batch: Vec<FieldValue> = fields.map(|(field, scope)| FieldValue::new(field, scope)).collect();
    let mut times = [0_u64; 5];
    for time in &mut times {
        let before = monotonic();
        // Each of them was answered before; what counts here is the time.
        let _ = device.field_values(&mut batch);
        *time = monotonic() - before;
    }
    times.sort_unstable();
    times[times.len() / 2]
}

/// A ring is drained twice before it wraps, and no less often than usual.
fn of_ring(ring: &super::RingReport) -> Option<Lane> {
    let metric = ring.metric.and_then(Metric::named).filter(|_| ring.supported)?;
    let usual = metric.info().cadence.as_nanos() as u64;
    let half = ring.span_ms.map_or(usual, |span| ((span / 2.0) as u64).max(1) * MS);
    let because = if half < usual { Because::Ring } else { Because::Usual };
    Some(Lane { metrics: vec![metric], cadence: half.min(usual), cost: ring.read_ns.unwrap_or(0), because })
}

/// A GPU that does not count its energy: a sampler integrates the entries of its power ring, or polls of its power.
fn integrated(lanes: &[Lane]) -> Option<Lane> {
    let reads = |metric: Metric| lanes.iter().find(|lane| lane.metrics.contains(&metric));
    let power = reads(Metric::POWER_SAMPLES).or_else(|| reads(Metric::POWER_USAGE))?;
    let counted = reads(Metric::ENERGY).is_some();
    (!counted).then(|| Lane { metrics: vec![Metric::ENERGY], ..power.clone() })
}

fn of_gpm(device: &Device, report: &GpuReport) -> Option<Lane> {
    let sample = report.calls.iter().find(|call| call.name == super::calls::GPM && call.supported)?;
    let metrics: Vec<Metric> = Metric::all().filter(|metric| matches!(metric.info().source, Source::Gpm(..))).collect();
    let (cadence, because) = wanted(None, &metrics)?;
    let cost = sample.p50_ns.unwrap_or(0) + cost_of_gpm_report(device, &metrics).unwrap_or(0);
    Some(Lane { metrics, cadence, cost, because })
}

/// What comparing two samples takes, ns. These are too near to each other for their numbers to be right.
fn cost_of_gpm_report(device: &Device, metrics: &[Metric]) -> Result<u64> {
    let asked: Vec<_> = metrics.iter().filter_map(|metric| gpm_of(*metric)).map(|(gpm, _)| gpm).collect();
    let (mut earlier, mut later) = (device.nvml().gpm_sample()?, device.nvml().gpm_sample()?);
    device.gpm_sample_get(&mut earlier)?;
    device.gpm_sample_get(&mut later)?;
    let before = monotonic();
    let _ = GpmReport::new(&asked).between(&earlier, &later);
    Ok(monotonic() - before)
}

/// Puts the lanes of all GPUs within the budget, and makes the plan of them.
pub(super) fn plan(reports: &[GpuReport], lanes: &mut [Vec<Lane>]) -> Plan {
    let lane = |lane: &Lane| schedule::Lane { wanted: lane.cadence, cost: lane.cost, cadence: lane.cadence };
    let mut shares: Vec<schedule::Lane> = lanes.iter().flatten().map(lane).collect();
    schedule::balance(&mut shares, PLANNED * BUDGET);
    for (lane, share) in lanes.iter_mut().flatten().zip(&shares) {
        if share.is_stretched() {
            (lane.cadence, lane.because) = (share.cadence.div_ceil(MS) * MS, Because::Budget);
        }
    }
    let gpu = |(report, lanes): (&GpuReport, &Vec<Lane>)| GpuPlan {
        index: report.index,
        uuid: report.uuid.clone(),
        share: lanes.iter().fold(0.0, |share, lane| share + lane.cost as f64 / lane.cadence as f64),
        metrics: lanes.iter().flat_map(Lane::planned).collect(),
    };
    Plan { version: Plan::VERSION, budget: BUDGET, gpus: reports.iter().zip(&*lanes).map(gpu).collect() }
}

impl Lane {
    fn planned(&self) -> impl Iterator<Item = PlannedMetric> {
        self.metrics.iter().map(|metric| PlannedMetric {
            metric: metric.name().to_owned(),
            cadence_us: self.cadence / 1000,
            cost_ns: self.cost,
            because: self.because,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(metric: &str, cadence_us: u64) -> PlannedMetric {
        PlannedMetric { metric: metric.into(), cadence_us, cost_ns: 2500, because: Because::Sensor }
    }

    fn plan(gpus: &[&[PlannedMetric]]) -> Plan {
        let gpu = |(index, metrics): (usize, &&[PlannedMetric])| GpuPlan {
            index: index as u32,
            uuid: None,
            share: 0.001,
            metrics: metrics.to_vec(),
        };
        Plan { version: Plan::VERSION, budget: 0.01, gpus: gpus.iter().enumerate().map(gpu).collect() }
    }

    #[test]
    fn the_shortest_cadence_of_all_gpus_counts_and_unknown_metrics_are_named() {
        let plan = plan(&[
            &[planned("gpu.power", 50_000), planned("gpu.of.tomorrow", 1)],
            &[planned("gpu.power", 10_000), planned("gpu.energy", 50_000)],
        ]);
        let ms = Duration::from_millis;
        assert_eq!(plan.cadences(), [(Metric::POWER_USAGE, ms(10)), (Metric::ENERGY, ms(50))]);
        assert_eq!(plan.unknown().collect::<Vec<_>>(), ["gpu.of.tomorrow"]);
        assert_eq!(plan.check(), Ok(()));
    }

    #[test]
    fn a_gpu_is_known_by_its_uuid_else_by_its_index_and_a_stranger_has_the_shortest_cadence() {
        let mut plan = plan(&[&[planned("gpu.power", 50_000)], &[planned("gpu.power", 10_000)]]);
        plan.gpus[0].uuid = Some("GPU-a".into());
        for (index, uuid, ms) in [
            (0, Some("GPU-a"), 50),
            (7, Some("GPU-a"), 50),
            (0, None, 50),
            (1, Some("GPU-b"), 10),
            (0, Some("GPU-c"), 10),
        ] {
            let first = plan.cadences_of(index, uuid)[0];
            assert_eq!(first, (Metric::POWER_USAGE, Duration::from_millis(ms)), "{index} {uuid:?}");
        }
    }

    #[test]
    fn a_cadence_of_nothing_is_wrong() {
        let error = plan(&[&[planned("gpu.power", 0)]]).check().unwrap_err().to_string();
        assert!(error.contains("gpu.power has a cadence of 0 µs"), "{error}");
    }

    #[cfg(feature = "serde")]
    #[test]
    fn a_plan_survives_json() {
        let plan = plan(&[&[planned("gpu.power", 50_000)]]);
        let text = serde_json::to_string(&plan).unwrap();
        assert!(text.contains(r#""cadence_us":50000,"cost_ns":2500,"because":"sensor""#), "{text}");
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
        // What a later version adds does not hinder; what is missing does.
        let more = text.replacen('{', r#"{"made_by":"igpu","#, 1);
        assert_eq!(serde_json::from_str::<Plan>(&more).unwrap(), plan);
        assert!(serde_json::from_str::<Plan>(r#"{"version":1,"gpus":[]}"#).is_err());
    }
}
