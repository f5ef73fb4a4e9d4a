//! What a table has no place for: a sentence for each thing that was lost, went wrong, or is not known.

use igpu_recording::{AttributionError, CommandSummary, Energy, EnergySource, EventCounts, GpuSummary, Summary};

use crate::units::{ratio_percent, seconds, time};

/// What there is to know of how it was recorded.
pub(super) fn warnings(summary: &Summary) -> String {
    let mut warnings = Vec::new();
    if !summary.complete && summary.start_unix_nano.is_some() {
        warnings.push("The recording has no end: it was cut off, or goes on.".to_owned());
    }
    if summary.dropped_records > 0 {
        warnings.push(format!("{} records were lost: the disk was too slow or full.", summary.dropped_records));
    }
    if summary.sampler_dropped_records > 0 {
        warnings
            .push(format!("{} records did not fit into a reading of the sampler.", summary.sampler_dropped_records));
    }
    if summary.clock_steps > 0 {
        warnings.push(format!("The wall clock was stepped {}.", times_text(summary.clock_steps)));
    }
    if summary.gpus.iter().any(lacks_metrics) {
        warnings
            .push("What is - was not recorded, or the GPU does not give it: see `igpu record --metrics`.".to_owned());
    }
    warnings.extend(gpus_warnings(summary));
    warnings.into_iter().map(|warning| warning + "\n").collect()
}

/// What there is to know of GPUs: what is the same of several is told once.
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

/// Whether something that has a column of its own is not known.
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
        return vec!["its energy is not known, as the recording has neither energy nor power".to_owned()];
    };
    let mut warnings = Vec::new();
    match energy.source {
        EnergySource::Integrated => warnings.push("its energy is integrated from power: it has no counter".to_owned()),
        EnergySource::Power | EnergySource::PowerInstant => {
            warnings.push("its energy is summed up from power: the recording has no energy".to_owned());
        }
        _ => {}
    }
    // What a sensor takes to refresh is not worth a note.
    if energy.covered_s < 0.95 * duration_s - 1.0 {
        let part = ratio_percent(energy.covered_s, duration_s);
        warnings.push(format!("its mean power is over {part} of the {}", time(duration_s)));
    }
    if energy.gap_s > 0.0 {
        warnings.push(format!("the energy of {} is missing: power was not read", seconds(energy.gap_s)));
    }
    warnings
}

/// Why the command's part, or some of it, cannot be told from others'.
fn command_warning(command: &CommandSummary) -> Option<String> {
    let why = match command.attribution_error? {
        AttributionError::NoProcess => return None,
        AttributionError::NeverExclusive => "others were there all the time",
        AttributionError::ProcessListTruncated if command.exclusive.is_some() => {
            return Some("the command's part is told until its list of processes was cut".to_owned());
        }
        AttributionError::ProcessListTruncated => "the list of processes was cut",
        AttributionError::ProcessListUnavailable => "the GPU did not answer while it was there",
        _ => "the reason is not known",
    };
    Some(format!("what the command used cannot be told: {why}"))
}

fn event_warnings(events: &EventCounts) -> Vec<String> {
    let samples_dropped = events.samples_dropped;
    let counts = [
        (events.gpu_lost, "it was lost"),
        (events.gpu_hung, "a driver call about it did not return"),
        (events.gpu_suspended, "it was asleep, and left so"),
        (events.metric_suspended, "the driver refused a metric"),
        (events.process_list_truncated, "its list of processes was cut"),
    ];
    let happened = counts.into_iter().filter(|(count, _)| *count > 0);
    let samples = (samples_dropped > 0).then(|| format!("{samples_dropped} samples of the driver's rings were lost"));
    happened.map(|(count, what)| format!("{what} {}", times_text(count))).chain(samples).collect()
}
