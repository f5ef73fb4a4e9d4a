//! A summary as text: a heading, and tables with one line for each GPU.

use igpu::process::format_local_time;
use igpu_recording::{Distribution, GpuSummary, Summary, Throttling, ThrottlingSource};

use super::{
    processes::{command_table, process_table},
    warnings::warnings,
};
use crate::{
    table::{NOT_AVAILABLE, cells, shell_line, table, truncate, with_header},
    units::{UNKNOWN, energy, memory_text, or_unknown, percent, seconds, time, watt_hours, watts},
};

/// The maximum lengths of names, command lines, and lists of throttling causes. With these limits, the text fits into
/// 100 columns.
const MAX_NAME_CHARS: usize = 28;
const MAX_COMMAND_CHARS: usize = 80;
const MAX_CAUSES_CHARS: usize = 60;
/// Printed in place of the causes of throttling if there were none.
const NOT_THROTTLED: &str = "nothing";

/// Returns a summary as text, in at most 100 columns.
pub(crate) fn text(summary: &Summary) -> String {
    let blocks = [
        heading(summary),
        gpu_table(&summary.gpus),
        energy_table(summary),
        utilization_table(&summary.gpus),
        throttling_table(&summary.gpus),
        process_table(summary),
        command_table(summary),
        warnings(summary),
    ];
    blocks.into_iter().filter(|block| !block.is_empty()).collect::<Vec<String>>().join("\n")
}

fn name_or_na(text: Option<&str>) -> String {
    text.map_or(NOT_AVAILABLE.to_owned(), |text| truncate(text, MAX_NAME_CHARS))
}

/// Returns the heading: the command, the time of the recording, the machine, and the energy.
fn heading(summary: &Summary) -> String {
    let mut text = String::new();
    if let Some(command) = &summary.command {
        text += &truncate(&shell_line(&command.arguments), MAX_COMMAND_CHARS);
        text += &command.pid.map_or(String::new(), |pid| format!("  (pid {pid})"));
        text += "\n";
        text += &match (command.duration_s, command.status) {
            (Some(duration), Some(status)) => format!("ran {}, exit status {status}\n", time(duration)),
            (None, Some(status)) => format!("exit status {status}\n"),
            _ if command.pid.is_some() => "the recording ends before the command\n".to_owned(),
            _ => "the start of the command was not recorded\n".to_owned(),
        };
    }
    let start = summary.start_unix_nano.and_then(|ns| format_local_time(ns as f64 / 1e9));
    let start = start.map_or(String::new(), |start| format!(" from {start}"));
    text += &format!("recorded {}{start}\n", time(summary.duration_s));
    let with_prefix =
        |prefix: &str, value: &Option<String>| Some(format!("{prefix}{}", truncate(value.as_deref()?, MAX_NAME_CHARS)));
    let origin = [
        with_prefix("on ", &summary.host),
        with_prefix("with driver ", &summary.driver_version),
        with_prefix("by igpu ", &summary.igpu_version),
    ];
    let origin: Vec<String> = origin.into_iter().flatten().collect();
    if !origin.is_empty() {
        text += &(origin.join(", ") + "\n");
    }
    text + &energy_summary(summary)
}

/// Returns the energy of all GPUs, and of the command if it is known.
fn energy_summary(summary: &Summary) -> String {
    let total = &summary.total;
    let both =
        |joules: Option<f64>| joules.map(|joules| format!("{} ({})", energy(joules), watt_hours(joules / 3600.0)));
    let Some(used) = both(total.energy_j) else { return String::new() };
    let mean = total.power_mean_w.map_or(String::new(), |mean| format!(", {} on average", watts(mean)));
    let text = format!("{} used {used}{mean}\n", gpu_count_text(total.energy_gpu_count as usize, summary.gpus.len()));
    let exclusive = both(total.command_exclusive_energy_j);
    text + &exclusive.map_or(String::new(), |used| format!("of that, {used} while only the command used a GPU\n"))
}

fn gpu_count_text(some: usize, all: usize) -> String {
    match (some, all) {
        (1, 1) => "the GPU".to_owned(),
        _ if some == all => format!("the {all} GPUs"),
        _ => format!("{some} of {all} GPUs"),
    }
}

fn gpu_table(gpus: &[GpuSummary]) -> String {
    let line = |gpu: &GpuSummary| {
        let limit = gpu.power_limit_w.map_or(String::new(), |limit| format!("up to {}", watts(limit)));
        let uuid = gpu.uuid.as_deref().map_or(NOT_AVAILABLE.to_owned(), |uuid| truncate(uuid, 44));
        vec![gpu.index.to_string(), name_or_na(gpu.name.as_deref()), uuid, limit]
    };
    if gpus.is_empty() {
        return "The recording has no GPU.\n".to_owned();
    }
    with_header(&["GPU", "NAME", "UUID", "POWER LIMIT"], gpus.iter().map(line))
}

/// Formats a table without the columns whose values are unknown for all GPUs. Columns before `from` are always shown.
fn without_unknown_columns(header: Vec<String>, lines: impl Iterator<Item = Vec<String>>, from: usize) -> String {
    let mut lines: Vec<Vec<String>> = std::iter::once(header).chain(lines).collect();
    for column in (from..lines[0].len()).rev() {
        if lines[1..].iter().filter_map(|line| line.get(column)).all(|cell| cell == UNKNOWN) {
            lines.iter_mut().filter(|line| line.len() > column).for_each(|line| drop(line.remove(column)));
        }
    }
    table(&lines)
}

/// Returns the table of energy, power, memory, and temperature.
fn energy_table(summary: &Summary) -> String {
    let line = |gpu: &GpuSummary| {
        let memory = match (gpu.memory_peak_bytes, gpu.memory_limit_bytes) {
            (Some(peak), Some(limit)) => format!("{} of {}", memory_text(peak), memory_text(limit)),
            (peak, _) => or_unknown(peak, memory_text),
        };
        let degrees = |celsius: Option<f64>| or_unknown(celsius, |celsius| format!("{celsius:.0} °C"));
        vec![
            gpu.index.to_string(),
            or_unknown(gpu.energy.as_ref(), |used| energy(used.energy_j)),
            or_unknown(gpu.energy.as_ref(), |used| watt_hours(used.energy_wh)),
            or_unknown(gpu.power_mean_w, watts),
            or_unknown(gpu.power_peak_w, watts),
            memory,
            degrees(gpu.temperature_max_cel),
            degrees(gpu.memory_temperature_max_cel),
        ]
    };
    let total = &summary.total;
    let all = (summary.gpus.len() > 1).then(|| {
        let joules = or_unknown(total.energy_j, energy);
        vec!["all".to_owned(), joules, or_unknown(total.energy_wh, watt_hours), or_unknown(total.power_mean_w, watts)]
    });
    if summary.gpus.is_empty() {
        return String::new();
    }
    let header = ["GPU", "ENERGY", "", "MEAN POWER", "PEAK", "MEMORY PEAK", "MAX TEMP", "MEMORY MAX TEMP"];
    without_unknown_columns(cells(&header), summary.gpus.iter().map(line).chain(all), 7)
}

fn utilization_table(gpus: &[GpuSummary]) -> String {
    let line = |gpu: &GpuSummary| {
        let cell = |value: fn(&Distribution) -> f64| or_unknown(gpu.utilization.as_ref().map(value), percent);
        let means = [gpu.memory_utilization_mean, gpu.encoder_utilization_mean, gpu.decoder_utilization_mean];
        let distribution = [
            cell(|utilization| utilization.mean),
            cell(|utilization| utilization.p5),
            cell(|utilization| utilization.p50),
            cell(|utilization| utilization.p95),
            cell(|utilization| utilization.p99),
            cell(|utilization| utilization.max),
        ];
        let means = means.map(|mean| or_unknown(mean, percent));
        [gpu.index.to_string()].into_iter().chain(distribution).chain(means).collect()
    };
    let has_values = |gpu: &GpuSummary| {
        let others = [gpu.memory_utilization_mean, gpu.encoder_utilization_mean, gpu.decoder_utilization_mean];
        gpu.utilization.is_some() || others.iter().any(Option::is_some)
    };
    if !gpus.iter().any(has_values) {
        return String::new();
    }
    let header = ["GPU", "UTIL MEAN", "P5", "P50", "P95", "P99", "MAX", "MEMORY UTIL", "ENCODER", "DECODER"];
    without_unknown_columns(cells(&header), gpus.iter().map(line), 7)
}

fn throttling_table(gpus: &[GpuSummary]) -> String {
    let line = |gpu: &GpuSummary| {
        let text = or_unknown(gpu.throttling.as_ref(), causes_text);
        let source = gpu.throttling.as_ref().map_or("", |throttling| match throttling.source {
            ThrottlingSource::Counters => "the driver's counters",
            ThrottlingSource::Reasons => "the driver's event reasons",
            _ => "the driver",
        });
        vec![gpu.index.to_string(), text, source.to_owned()]
    };
    if gpus.iter().all(|gpu| gpu.throttling.is_none()) {
        return String::new();
    }
    let lines: Vec<_> = gpus.iter().map(line).collect();
    // If no GPU was throttled, one sentence replaces the table.
    match lines.first() {
        None => String::new(),
        Some(first) if lines.iter().all(|line| line[1] == NOT_THROTTLED && line[2] == first[2]) => {
            format!("Nothing throttled {}, as reported by {}.\n", gpu_count_text(gpus.len(), gpus.len()), first[2])
        }
        Some(_) => with_header(&["GPU", "THROTTLED BY", "REPORTED BY"], lines.into_iter()),
    }
}

/// Returns the causes of throttling with their times, starting with the longest time.
fn causes_text(throttling: &Throttling) -> String {
    let mut causes: Vec<_> = throttling.causes_s.iter().filter(|(_, seconds)| **seconds > 0.0).collect();
    causes.sort_by(|a, b| b.1.total_cmp(a.1));
    if causes.is_empty() {
        return NOT_THROTTLED.to_owned();
    }
    let (mut text, mut omitted) = (String::new(), 0);
    for (cause, time) in causes {
        let cause_text = format!("{} {}", cause.replace('_', " "), seconds(*time));
        match text.len() + cause_text.len() {
            ..MAX_CAUSES_CHARS if text.is_empty() => text = cause_text,
            ..MAX_CAUSES_CHARS => text += &format!(", {cause_text}"),
            _ => omitted += 1,
        }
    }
    if omitted > 0 { format!("{text}, {omitted} more") } else { text }
}
