//! The report of a probe as text tables.

use igpu::{
    Error,
    probe::{
        Averaging, CallReport, ChangePattern, GpuPlan, GpuReport, IntervalReason, SampleBufferReport, SensorReport,
    },
};
use serde::Serialize;

use crate::{
    table::{or_na, with_header},
    units::{duration, or_unknown},
};

const CALL_COLUMNS: [&str; 7] = ["CALL", "SUPPORTED", "CALLS", "P50", "P99", "MAX", "FUNCTION"];
const SENSOR_COLUMNS: [&str; 4] = ["SENSOR", "REFRESH PERIOD", "AVERAGING WINDOW", "POLL INTERVAL"];

/// The report that `--json` prints.
#[derive(Serialize)]
pub(super) struct Document<'a> {
    pub driver_version: Option<String>,
    #[serde(flatten)]
    pub report: &'a igpu::probe::Report,
}

/// Returns the tables of all GPUs.
pub(super) fn text(document: &Document<'_>, max_calls: u32) -> String {
    let report = document.report;
    let mut text = format!(
        "Driver {}, probed for {:.1} s. Each call was timed at most {} times, under the current load.\n",
        or_na(document.driver_version.as_deref()),
        report.duration_s,
        max_calls
    );
    for (gpu, plan) in report.gpus.iter().zip(&report.plan.gpus).filter(|(gpu, _)| gpu.error.is_none()) {
        text += &gpu_tables(gpu, plan, report.plan.budget);
    }
    text
}

fn gpu_tables(gpu: &GpuReport, plan: &GpuPlan, budget: f64) -> String {
    let busy = gpu.utilization_percent.map_or(String::new(), |percent| format!(", {percent:.0} % busy"));
    format!(
        "\nGPU {}: {} ({}){busy}\n\n{}\n{}\n{}\n{}",
        gpu.index,
        or_na(gpu.name.as_deref()),
        or_na(gpu.uuid.as_deref()),
        with_header(&CALL_COLUMNS, gpu.calls.iter().map(call_cells)),
        with_header(&SENSOR_COLUMNS, gpu.sensors.iter().map(sensor_cells)),
        with_header(
            &["SAMPLE BUFFER", "ENTRIES", "INTERVAL", "SPAN"],
            gpu.sample_buffers.iter().map(sample_buffer_cells)
        ),
        plan_table(plan, budget)
    )
}

fn call_cells(call: &CallReport) -> Vec<String> {
    let supported = if call.supported { "yes".to_owned() } else { unsupported(call.error.as_ref()) };
    let time = |ns: Option<u64>| or_unknown(ns, duration);
    vec![
        call.name.to_owned(),
        supported,
        call.calls.to_string(),
        time(call.p50_ns),
        time(call.p99_ns),
        time(call.max_ns),
        call.function.to_owned(),
    ]
}

/// Returns the reason why a call returned no value, in a few words.
fn unsupported(reason: Option<&Error>) -> String {
    match reason {
        Some(Error::MissingSymbol { .. }) => "no function".to_owned(),
        Some(Error::Nvml { code, .. }) => match code.name() {
            Some(name) => name.strip_prefix("NVML_ERROR_").unwrap_or(name).to_owned(),
            None => code.to_string(),
        },
        Some(error) => error.to_string(),
        None => "not called".to_owned(),
    }
}

fn sensor_cells(sensor: &SensorReport) -> Vec<String> {
    let period = match (sensor.period_ms, sensor.change_pattern) {
        (Some(period), _) => format!("{period:.0} ms"),
        (None, ChangePattern::Constant) => "unknown: constant".to_owned(),
        (None, ChangePattern::EveryPoll) => "new at every poll".to_owned(),
        (None, _) => format!("unknown: {} changes", sensor.changes),
    };
    let averaging = match sensor.averaging {
        Averaging::Window { window_ms } => format!("{window_ms} ms"),
        Averaging::WithinPeriod => "at most the period".to_owned(),
        // The probe measures the averaging window of power sensors only.
        _ if sensor.metric.starts_with("gpu.power") => "unknown".to_owned(),
        _ => "-".to_owned(),
    };
    vec![sensor.metric.to_owned(), period, averaging, format!("{:.1} ms", sensor.poll_interval_ms)]
}

fn sample_buffer_cells(buffer: &SampleBufferReport) -> Vec<String> {
    if !buffer.supported {
        return vec![buffer.kind.to_owned(), unsupported(buffer.error.as_ref())];
    }
    let time = |ms: Option<f64>| ms.map_or("unknown".to_owned(), |ms| duration((ms * 1e6) as u64));
    vec![buffer.kind.to_owned(), buffer.entry_count.to_string(), time(buffer.period_ms), time(buffer.span_ms)]
}

fn plan_table(plan: &GpuPlan, budget: f64) -> String {
    let rows = plan.metrics.iter().map(|planned| {
        let reason = match planned.reason {
            IntervalReason::Sensor => "half the refresh period",
            IntervalReason::SampleBuffer => "before the sample buffer wraps",
            IntervalReason::Budget => "expensive call",
            _ => "default",
        };
        let times = [planned.interval_us * 1000, planned.cost_ns].map(duration);
        [planned.metric.clone()].into_iter().chain(times).chain([reason.to_owned()]).collect()
    });
    let table = with_header(&["PLANNED METRIC", "INTERVAL", "CALL TIME", "REASON"], rows);
    let share = 100.0 * plan.call_time_share;
    format!(
        "{table}With this plan, driver calls for this GPU take {share:.3} % of the time (budget for all GPUs: {} %).\n",
        100.0 * budget
    )
}

#[cfg(test)]
mod tests {
    use igpu::{Error, ReturnCode};

    use super::unsupported;

    #[test]
    fn unsupported_call_shows_code_name() {
        let unsupported_text = |code| unsupported(Some(&Error::Nvml { call: "nvmlDeviceGetFanSpeed", code }));
        assert_eq!(unsupported_text(ReturnCode::NOT_SUPPORTED), "NOT_SUPPORTED");
        assert_eq!(unsupported_text(ReturnCode(998)), "code 998");
    }
}
