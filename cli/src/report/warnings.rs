//! The warnings below the tables: a sentence for each problem of the recording and each reason for unknown values.

use std::collections::BTreeMap;

use igpu::ReturnCode;
use igpu_recording::{AttributionError, CommandSummary, Energy, EnergySource, EventCounts, GpuSummary, Summary};

use crate::units::{ratio_percent, seconds, time};

/// Returns the warnings about the recording and its GPUs, one per line.
pub(super) fn warnings(summary: &Summary) -> String {
    let mut warnings = Vec::new();
    if !summary.complete && summary.start_unix_nano.is_some() {
        warnings.push("The recording has no end. It was interrupted, or is still in progress.".to_owned());
    }
    if summary.dropped_records > 0 {
        warnings.push(format!("{} records were dropped: the disk was slow or full.", summary.dropped_records));
    }
    if summary.sampler_dropped_records > 0 {
        warnings.push(format!(
            "{} records were dropped: a tick of the sampler had more records than its buffer.",
            summary.sampler_dropped_records
        ));
    }
    if summary.clock_steps > 0 {
        warnings.push(format!("The wall clock was stepped {}.", times_text(summary.clock_steps)));
    }
    if summary.gpus.iter().any(lacks_metrics) {
        warnings.push(
            "Values shown as - were not recorded (see `igpu record --metrics`), are not supported by the GPU, or could not \
             be read."
                .to_owned(),
        );
    }
    warnings.extend(gpus_warnings(summary));
    warnings.into_iter().map(|warning| warning + "\n").collect()
}

/// Returns the warnings about GPUs. A warning that applies to several GPUs is returned once.
fn gpus_warnings(summary: &Summary) -> Vec<String> {
    let mut warnings: Vec<(String, Vec<String>)> = Vec::new();
    for gpu in &summary.gpus {
        for warning in gpu_warnings(gpu, summary.duration_s) {
            let index = gpu.index.to_string();
            match warnings.iter_mut().find(|(same, _)| *same == warning) {
                Some((_, gpus)) => gpus.push(index),
                None => warnings.push((warning, vec![index])),
            }
        }
    }
    let which = |gpus: Vec<String>| match gpus.len() {
        1 => format!("GPU {}", gpus[0]),
        count if count == summary.gpus.len() => "All GPUs".to_owned(),
        _ => format!("GPUs {}", gpus.join(", ")),
    };
    warnings.into_iter().map(|(warning, gpus)| format!("{}: {warning}.", which(gpus))).collect()
}

/// Returns `true` if the GPU lacks a value that has its own column in a table.
fn lacks_metrics(gpu: &GpuSummary) -> bool {
    let GpuSummary { utilization, power_peak_w, memory_peak_bytes, temperature_max_cel, throttling, .. } = gpu;
    let unknown = [power_peak_w.is_none(), memory_peak_bytes.is_none(), temperature_max_cel.is_none()];
    utilization.is_none() || throttling.is_none() || unknown.contains(&true)
}

fn times_text(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

fn gpu_warnings(gpu: &GpuSummary, duration_s: f64) -> Vec<String> {
    let mut warnings = energy_warnings(gpu.energy.as_ref(), duration_s);
    warnings.extend(gpu.command.as_ref().and_then(command_warning));
    warnings.extend(event_warnings(&gpu.events));
    warnings
}

fn energy_warnings(energy: Option<&Energy>, duration_s: f64) -> Vec<String> {
    let Some(energy) = energy else {
        return vec!["the energy is unknown, because neither energy nor power was recorded".to_owned()];
    };
    let mut warnings = Vec::new();
    match energy.source {
        EnergySource::Integrated => {
            warnings.push("the energy is integrated from power, because the GPU has no energy counter".to_owned());
        }
        EnergySource::Power | EnergySource::PowerInstant => {
            let reason = match energy.is_energy_recorded {
                true => "the energy counter did not refresh during the recording",
                false => "the energy counter was not recorded",
            };
            warnings.push(format!("the energy is integrated from power, because {reason}"));
        }
        _ => {}
    }
    // A difference of 1 s plus 5 % is tolerated, because the first and last refresh of a sensor are not at the ends of
    // the recording.
    if energy.covered_s < 0.95 * duration_s - 1.0 {
        let part = ratio_percent(energy.covered_s, duration_s);
        warnings.push(format!("the mean power covers only {part} of the {}", time(duration_s)));
    }
    if energy.gap_s > 0.0 {
        warnings.push(format!("the energy lacks {}, in which power was not read", seconds(energy.gap_s)));
    }
    warnings
}

/// Returns the reason why the usage of the command, or part of it, is unknown.
fn command_warning(command: &CommandSummary) -> Option<String> {
    let reason = match command.attribution_error? {
        AttributionError::NoProcess => return None,
        AttributionError::NeverExclusive => "other processes used the GPU the whole time",
        AttributionError::ProcessListTruncated if command.exclusive.is_some() => {
            return Some("the command's usage is known only until the process list was truncated".to_owned());
        }
        AttributionError::ProcessListTruncated => "the process list was truncated",
        AttributionError::ProcessListUnavailable => "the process list was unavailable while the command used the GPU",
        _ => "no reason is known",
    };
    Some(format!("the command's usage is unknown: {reason}"))
}

fn event_warnings(events: &EventCounts) -> Vec<String> {
    let samples_dropped = events.samples_dropped;
    // Metrics with the same return code are listed together.
    let mut suspended: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for (metric, code) in &events.suspended_metrics {
        suspended.entry(*code).or_default().push(metric.name());
    }
    let suspended = suspended
        .into_iter()
        .map(|(code, names)| format!("{} could not be read for a time ({})", names.join(", "), ReturnCode(code)));
    let unnamed_suspensions = if events.suspended_metrics.is_empty() { events.metric_suspended } else { 0 };
    let counts = [
        (events.gpu_lost, "the GPU was lost"),
        (events.gpu_hung, "a driver call hung"),
        (events.gpu_suspended, "the GPU was suspended and not read"),
        (unnamed_suspensions, "a metric was suspended"),
        (events.process_list_truncated, "the process list was truncated"),
    ];
    let occurred = counts.into_iter().filter(|(count, _)| *count > 0);
    let samples =
        (samples_dropped > 0).then(|| format!("{samples_dropped} samples of the driver's sample buffers were dropped"));
    occurred.map(|(count, what)| format!("{what} {}", times_text(count))).chain(suspended).chain(samples).collect()
}
