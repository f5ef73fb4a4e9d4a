//! Derives the sampling plan from the results of a probe.

use super::{GpuReport, poll::Poll};
use crate::{
    Device, FieldValue, GpmReport, GpmSample, Result,
    metric::Metric,
    plan::{GpuPlan, IntervalReason, Plan, PlannedMetric},
    sampler::{Clocks, schedule},
};

/// The budget of a sampler for which none is set.
const BUDGET: f64 = 0.01;
/// A plan is content with so much of it: what a sampler measures swings, and beyond the budget it would leave the plan.
const PLANNED: f64 = 0.8;
/// Fields whose cadences differ by no more than this factor are read in one call.
const TOGETHER: u64 = 5;
const TOGETHER_OF: u64 = 4;
const MS: u64 = 1_000_000;

/// Metrics read by one call.
#[derive(Clone, Debug)]
pub(super) struct PlannedCall {
    metrics: Vec<Metric>,
    cadence: u64,
    cost: u64,
    because: IntervalReason,
}

/// Returns the planned_calls that the sensors of one GPU call for.
pub(super) fn planned_calls(device: &Device, report: &GpuReport, polls: &[&Poll], clocks: Clocks) -> Vec<PlannedCall> {
    let mut planned_calls: Vec<PlannedCall> =
        polls.iter().filter(|poll| poll.call().is_some()).filter_map(|poll| of_call(poll)).collect();
    planned_calls.extend(of_fields(device, polls, clocks));
    planned_calls.extend(report.sample_buffers.iter().filter_map(of_ring));
    planned_calls.extend(of_gpm(device, report, clocks));
    planned_calls.extend(integrated(&planned_calls));
    planned_calls
}

fn of_call(poll: &Poll) -> Option<PlannedCall> {
    let answered: Vec<_> = poll.sensors.iter().filter(|sensor| sensor.polls > 0).collect();
    let metrics: Vec<Metric> = answered.iter().map(|sensor| sensor.metric).collect();
    let (cadence, because) = wanted(answered.iter().filter_map(|sensor| sensor.period()).min(), &metrics)?;
    Some(PlannedCall { metrics, cadence, cost: poll.cost(), because })
}

/// Half of the period in whole ms, or the catalog's cadence.
fn wanted(period: Option<u64>, metrics: &[Metric]) -> Option<(u64, IntervalReason)> {
    let usual = metrics.iter().map(|metric| metric.info().poll_interval.as_nanos() as u64).min()?;
    Some(match period {
        Some(period) => (((period / 2 + MS / 2) / MS).max(1) * MS, IntervalReason::Sensor),
        None => (usual, IntervalReason::Default),
    })
}

/// Fields with nearly the same cadence make one batch, whose cost is measured.
fn of_fields(device: &Device, polls: &[&Poll], clocks: Clocks) -> Vec<PlannedCall> {
    let sensors = polls.iter().filter(|poll| poll.call().is_none()).flat_map(|poll| &poll.sensors);
    let mut wants: Vec<(u64, IntervalReason, Metric)> = sensors
        .filter(|sensor| sensor.polls > 0)
        .filter_map(|sensor| {
            let (cadence, because) = wanted(sensor.period(), &[sensor.metric])?;
            Some((cadence, because, sensor.metric))
        })
        .collect();
    wants.sort_by_key(|want| want.0);
    let mut planned_calls: Vec<PlannedCall> = Vec::new();
    for (cadence, because, metric) in wants {
        match planned_calls.last_mut() {
            Some(call) if cadence * TOGETHER_OF <= call.cadence * TOGETHER => {
                call.metrics.push(metric);
                // PolledCall a sensor showed says more than what is usual.
                call.because = if because == IntervalReason::Sensor { because } else { call.because };
            }
            _ => planned_calls.push(PlannedCall { metrics: vec![metric], cadence, cost: 0, because }),
        }
    }
    for call in &mut planned_calls {
        call.cost = cost_of_fields(device, &call.metrics, clocks);
    }
    planned_calls
}

/// Returns the median duration of a few calls, ns.
fn cost_of_fields(device: &Device, metrics: &[Metric], clocks: Clocks) -> u64 {
    let fields = metrics.iter().filter_map(|metric| metric.info().source.field());
    let mut batch: Vec<FieldValue> = fields.map(|(field, scope)| FieldValue::new(field, scope)).collect();
    let mut times = [0_u64; 5];
    for time in &mut times {
        let before = (clocks.monotonic)();
        // Each of them was answered before; what counts here is the time.
        let _ = device.field_values(&mut batch);
        *time = (clocks.monotonic)() - before;
    }
    times.sort_unstable();
    times[times.len() / 2]
}

/// A ring is drained twice before it wraps, and no less often than usual.
fn of_ring(ring: &super::SampleBufferReport) -> Option<PlannedCall> {
    let metric = ring.metric.and_then(Metric::from_name).filter(|_| ring.supported)?;
    let usual = metric.info().poll_interval.as_nanos() as u64;
    let half = ring.span_ms.map_or(usual, |span| ((span / 2.0) as u64).max(1) * MS);
    let because = if half < usual { IntervalReason::SampleBuffer } else { IntervalReason::Default };
    Some(PlannedCall {
        metrics: vec![metric],
        cadence: half.min(usual),
        cost: ring.read_duration_ns.unwrap_or(0),
        because,
    })
}

/// A GPU that does not count its energy: a sampler integrates the entries of its power ring, or polls of its power.
fn integrated(planned_calls: &[PlannedCall]) -> Option<PlannedCall> {
    let reads = |metric: Metric| planned_calls.iter().find(|call| call.metrics.contains(&metric));
    let power = reads(Metric::POWER_SAMPLES).or_else(|| reads(Metric::POWER_USAGE))?;
    let counted = reads(Metric::ENERGY).is_some();
    (!counted).then(|| PlannedCall { metrics: vec![Metric::ENERGY], ..power.clone() })
}

fn of_gpm(device: &Device, report: &GpuReport, clocks: Clocks) -> Option<PlannedCall> {
    let sample = report.calls.iter().find(|call| call.name == super::calls::GPM && call.supported)?;
    let metrics: Vec<Metric> = Metric::all().filter(|metric| metric.info().source.gpm().is_some()).collect();
    let (cadence, because) = wanted(None, &metrics)?;
    let cost = sample.p50_ns.unwrap_or(0) + cost_of_gpm_report(device, &metrics, clocks).unwrap_or(0);
    Some(PlannedCall { metrics, cadence, cost, because })
}

/// Returns the time that comparing two samples takes, ns. The samples are too close together for valid numbers.
fn cost_of_gpm_report(device: &Device, metrics: &[Metric], clocks: Clocks) -> Result<u64> {
    let asked: Vec<_> = metrics.iter().filter_map(|metric| metric.info().source.gpm()).map(|(gpm, _)| gpm).collect();
    let (mut earlier, mut later) = (GpmSample::new(device.nvml())?, GpmSample::new(device.nvml())?);
    device.gpm_sample_get(&mut earlier)?;
    device.gpm_sample_get(&mut later)?;
    let before = (clocks.monotonic)();
    let _ = GpmReport::new(&asked).between(&earlier, &later);
    Ok((clocks.monotonic)() - before)
}

/// Puts the planned_calls of all GPUs within the budget, and makes the plan of them.
pub(super) fn plan(reports: &[GpuReport], planned_calls: &mut [Vec<PlannedCall>]) -> Plan {
    let call = |call: &PlannedCall| schedule::CallLoad {
        target_interval: call.cadence,
        cost: call.cost,
        interval: call.cadence,
    };
    let mut shares: Vec<schedule::CallLoad> = planned_calls.iter().flatten().map(call).collect();
    schedule::balance(&mut shares, PLANNED * BUDGET);
    for (call, share) in planned_calls.iter_mut().flatten().zip(&shares) {
        if share.is_stretched() {
            (call.cadence, call.because) = (share.interval.div_ceil(MS) * MS, IntervalReason::Budget);
        }
    }
    let gpu = |(report, planned_calls): (&GpuReport, &Vec<PlannedCall>)| GpuPlan {
        index: report.index,
        uuid: report.uuid.clone(),
        call_time_share: planned_calls.iter().fold(0.0, |share, call| share + call.cost as f64 / call.cadence as f64),
        metrics: planned_calls.iter().flat_map(PlannedCall::planned).collect(),
    };
    Plan { version: Plan::VERSION, budget: BUDGET, gpus: reports.iter().zip(&*planned_calls).map(gpu).collect() }
}

impl PlannedCall {
    fn planned(&self) -> impl Iterator<Item = PlannedMetric> {
        self.metrics.iter().map(|metric| PlannedMetric {
            metric: metric.name().to_owned(),
            interval_us: self.cadence / 1000,
            cost_ns: self.cost,
            reason: self.because,
        })
    }
}
