//! Derives the sampling plan from the results of a probe.

use super::{GpuReport, SampleBufferReport, poll::Poll};
use crate::{
    Device, FieldValue, GpmReport, GpmSample, Result,
    metric::Metric,
    plan::{GpuPlan, IntervalReason, Plan, PlannedMetric},
    sampler::{Clocks, schedule},
};

/// The budget of a plan, which is the default budget of a sampler.
const BUDGET: f64 = 0.01;
/// The fraction of the budget that a plan uses. The durations of calls vary, and a sampler that measures longer
/// durations than the probe must not have to stretch the planned intervals.
const BUDGET_FRACTION: f64 = 0.8;
/// The maximum ratio of the intervals of fields that are read in one call, as a fraction.
const BATCH_RATIO: (u64, u64) = (5, 4);
const MS: u64 = 1_000_000;

/// A driver call of the plan, with the metrics that it reads.
#[derive(Clone, Debug)]
pub(super) struct PlannedCall {
    metrics: Vec<Metric>,
    interval_ns: u64,
    cost_ns: u64,
    reason: IntervalReason,
}

/// Returns the calls that read all supported metrics of one GPU, with the intervals that its sensors require.
pub(super) fn planned_calls(device: &Device, report: &GpuReport, polls: &[&Poll], clocks: Clocks) -> Vec<PlannedCall> {
    let mut planned_calls: Vec<PlannedCall> =
        polls.iter().filter(|poll| poll.call().is_some()).filter_map(|poll| metric_call(poll)).collect();
    planned_calls.extend(field_batches(device, polls, clocks));
    planned_calls.extend(report.sample_buffers.iter().filter_map(sample_buffer_call));
    planned_calls.extend(gpm_call(device, report, clocks));
    planned_calls.extend(energy_integration(&planned_calls));
    planned_calls
}

/// Plans a call other than a batch of fields.
fn metric_call(poll: &Poll) -> Option<PlannedCall> {
    let read: Vec<_> = poll.sensors.iter().filter(|sensor| sensor.polls > 0).collect();
    let metrics: Vec<Metric> = read.iter().map(|sensor| sensor.metric).collect();
    let (interval_ns, reason) = interval_for(read.iter().filter_map(|sensor| sensor.period()).min(), &metrics)?;
    Some(PlannedCall { metrics, interval_ns, cost_ns: poll.cost_ns(), reason })
}

/// Returns half of the refresh period, rounded to whole milliseconds. If the period is unknown, returns the shortest
/// default interval of the metrics. Returns `None` if there are no metrics.
fn interval_for(period_ns: Option<u64>, metrics: &[Metric]) -> Option<(u64, IntervalReason)> {
    let default = metrics.iter().map(|metric| metric.info().poll_interval.as_nanos() as u64).min()?;
    Some(match period_ns {
        Some(period_ns) => (((period_ns / 2 + MS / 2) / MS).max(1) * MS, IntervalReason::Sensor),
        None => (default, IntervalReason::Default),
    })
}

/// Plans the batches of fields. Fields with similar intervals share a batch, whose cost is measured.
fn field_batches(device: &Device, polls: &[&Poll], clocks: Clocks) -> Vec<PlannedCall> {
    let sensors = polls.iter().filter(|poll| poll.call().is_none()).flat_map(|poll| &poll.sensors);
    let mut fields: Vec<(u64, IntervalReason, Metric)> = sensors
        .filter(|sensor| sensor.polls > 0)
        .filter_map(|sensor| {
            let (interval_ns, reason) = interval_for(sensor.period(), &[sensor.metric])?;
            Some((interval_ns, reason, sensor.metric))
        })
        .collect();
    fields.sort_by_key(|field| field.0);
    let mut batches: Vec<PlannedCall> = Vec::new();
    for (interval_ns, reason, metric) in fields {
        match batches.last_mut() {
            Some(batch) if interval_ns * BATCH_RATIO.1 <= batch.interval_ns * BATCH_RATIO.0 => {
                batch.metrics.push(metric);
                // A measured period takes precedence over a default interval.
                batch.reason = if reason == IntervalReason::Sensor { reason } else { batch.reason };
            }
            _ => batches.push(PlannedCall { metrics: vec![metric], interval_ns, cost_ns: 0, reason }),
        }
    }
    for batch in &mut batches {
        batch.cost_ns = measure_field_batch(device, &batch.metrics, clocks);
    }
    batches
}

/// Returns the median duration of a few calls that read these fields, in nanoseconds.
fn measure_field_batch(device: &Device, metrics: &[Metric], clocks: Clocks) -> u64 {
    let fields = metrics.iter().filter_map(|metric| metric.info().source.field());
    let mut batch: Vec<FieldValue> = fields.map(|(field, scope)| FieldValue::new(field, scope)).collect();
    let mut times = [0_u64; 5];
    for time in &mut times {
        let before = (clocks.monotonic)();
        // Only the duration is needed, and the fields are known to be supported.
        let _ = device.field_values(&mut batch);
        *time = (clocks.monotonic)() - before;
    }
    times.sort_unstable();
    times[times.len() / 2]
}

/// Plans the reads of a sample buffer. The interval is the default interval, or half of the time that the buffer spans
/// if that is shorter.
fn sample_buffer_call(buffer: &SampleBufferReport) -> Option<PlannedCall> {
    let metric = buffer.metric.and_then(Metric::from_name).filter(|_| buffer.supported)?;
    let default = metric.info().poll_interval.as_nanos() as u64;
    let half_span = buffer.span_ms.map_or(default, |span_ms| ((span_ms / 2.0) as u64).max(1) * MS);
    let reason = if half_span < default { IntervalReason::SampleBuffer } else { IntervalReason::Default };
    Some(PlannedCall {
        metrics: vec![metric],
        interval_ns: half_span.min(default),
        cost_ns: buffer.read_duration_ns.unwrap_or(0),
        reason,
    })
}

/// Plans the energy of a GPU without an energy counter, which a sampler integrates from the power samples or from
/// polled power.
fn energy_integration(planned_calls: &[PlannedCall]) -> Option<PlannedCall> {
    let call_of = |metric: Metric| planned_calls.iter().find(|call| call.metrics.contains(&metric));
    let power = call_of(Metric::POWER_SAMPLES).or_else(|| call_of(Metric::POWER_USAGE))?;
    let has_counter = call_of(Metric::ENERGY).is_some();
    (!has_counter).then(|| PlannedCall { metrics: vec![Metric::ENERGY], ..power.clone() })
}

/// Plans the reads of GPM metrics, if the GPU supports them.
fn gpm_call(device: &Device, report: &GpuReport, clocks: Clocks) -> Option<PlannedCall> {
    let sample = report.calls.iter().find(|call| call.name == super::calls::GPM_SAMPLE_GET && call.supported)?;
    let metrics: Vec<Metric> = Metric::all().filter(|metric| metric.info().source.gpm().is_some()).collect();
    let (interval_ns, reason) = interval_for(None, &metrics)?;
    let cost_ns = sample.p50_ns.unwrap_or(0) + measure_gpm_report(device, &metrics, clocks).unwrap_or(0);
    Some(PlannedCall { metrics, interval_ns, cost_ns, reason })
}

/// Returns the duration of computing GPM metrics from two samples, in nanoseconds. The samples are too close together
/// for valid values, which are not needed here.
fn measure_gpm_report(device: &Device, metrics: &[Metric], clocks: Clocks) -> Result<u64> {
    let gpm: Vec<_> = metrics.iter().filter_map(|metric| metric.info().source.gpm()).map(|(gpm, _)| gpm).collect();
    let (mut earlier, mut later) = (GpmSample::new(device.nvml())?, GpmSample::new(device.nvml())?);
    device.gpm_sample_get(&mut earlier)?;
    device.gpm_sample_get(&mut later)?;
    let before = (clocks.monotonic)();
    let _ = GpmReport::new(&gpm).between(&earlier, &later);
    Ok((clocks.monotonic)() - before)
}

/// Stretches the calls of all GPUs to the budget, and returns the plan.
pub(super) fn plan(reports: &[GpuReport], planned_calls: &mut [Vec<PlannedCall>]) -> Plan {
    let load = |call: &PlannedCall| schedule::CallLoad {
        target_interval: call.interval_ns,
        cost: call.cost_ns,
        interval: call.interval_ns,
    };
    let mut loads: Vec<schedule::CallLoad> = planned_calls.iter().flatten().map(load).collect();
    schedule::balance(&mut loads, BUDGET_FRACTION * BUDGET);
    for (call, load) in planned_calls.iter_mut().flatten().zip(&loads) {
        if load.is_stretched() {
            (call.interval_ns, call.reason) = (load.interval.div_ceil(MS) * MS, IntervalReason::Budget);
        }
    }
    let gpu = |(report, calls): (&GpuReport, &Vec<PlannedCall>)| GpuPlan {
        index: report.index,
        uuid: report.uuid.clone(),
        call_time_share: calls.iter().fold(0.0, |share, call| share + call.cost_ns as f64 / call.interval_ns as f64),
        metrics: calls.iter().flat_map(PlannedCall::planned_metrics).collect(),
    };
    Plan { version: Plan::VERSION, budget: BUDGET, gpus: reports.iter().zip(&*planned_calls).map(gpu).collect() }
}

impl PlannedCall {
    fn planned_metrics(&self) -> impl Iterator<Item = PlannedMetric> {
        self.metrics.iter().map(|metric| PlannedMetric {
            metric: metric.name().to_owned(),
            interval_us: self.interval_ns / 1000,
            cost_ns: self.cost_ns,
            reason: self.reason,
        })
    }
}
