//! A summary as text for people: a table over the GPUs for each question.

use igpu::process::format_local_time;
use igpu_recording::{Distribution, GpuSummary, Summary, Throttling, ThrottlingSource};

use super::{
    notes::notes,
    people::{command, processes},
};
use crate::{
    table::{NOT_AVAILABLE, cells, table, truncate, with_header},
    units::{UNKNOWN, energy, gib, or_unknown, percent, seconds, time, watt_hours, watts},
};

/// So much of a text that may be long.
const LONGEST: usize = 28;
/// So much of a command line.
const LONGEST_COMMAND: usize = 80;
/// What throttled a GPU that was not throttled.
const NOTHING: &str = "nothing";
/// So much of the causes of throttling.
const LONGEST_CAUSES: usize = 60;

/// The bill, in at most 100 columns.
pub(crate) fn text(summary: &Summary) -> String {
    let blocks = [
        head(summary),
        names(&summary.gpus),
        used(summary),
        busy(&summary.gpus),
        throttled(&summary.gpus),
        processes(summary),
        command(summary),
        notes(summary),
    ];
    blocks.into_iter().filter(|block| !block.is_empty()).collect::<Vec<String>>().join("\n")
}

fn shown(text: Option<&str>) -> String {
    text.map_or(NOT_AVAILABLE.to_owned(), |text| truncate(text, LONGEST))
}

/// What was run, and what was recorded where.
fn head(summary: &Summary) -> String {
    let mut text = String::new();
    if let Some(command) = &summary.command {
        text += &truncate(&command.arguments.join(" "), LONGEST_COMMAND);
        text += &command.pid.map_or(String::new(), |pid| format!("  (pid {pid})"));
        text += "\n";
        text += &match (command.duration_s, command.status) {
            (Some(duration), Some(status)) => format!("ran {}, exit status {status}\n", time(duration)),
            (None, Some(status)) => format!("exit status {status}\n"),
            _ if command.pid.is_some() => "its end is not in the recording\n".to_owned(),
            _ => "its start is not in the recording\n".to_owned(),
        };
    }
    let start = summary.start_unix_nano.and_then(|ns| format_local_time(ns as f64 / 1e9));
    let start = start.map_or(String::new(), |start| format!(" from {start}"));
    text += &format!("recorded {}{start}\n", time(summary.duration_s));
    let told = |before: &str, what: &Option<String>| Some(format!("{before}{}", truncate(what.as_deref()?, LONGEST)));
    let on = [
        told("on ", &summary.host),
        told("with driver ", &summary.driver_version),
        told("by igpu ", &summary.igpu_version),
    ];
    let on: Vec<String> = on.into_iter().flatten().collect();
    if !on.is_empty() {
        text += &(on.join(", ") + "\n");
    }
    text + &bill(summary)
}

/// What it took, before all tables.
fn bill(summary: &Summary) -> String {
    let total = &summary.total;
    let both =
        |joules: Option<f64>| joules.map(|joules| format!("{} ({})", energy(joules), watt_hours(joules / 3600.0)));
    let Some(used) = both(total.energy_j) else { return String::new() };
    let mean = total.power_mean_w.map_or(String::new(), |mean| format!(", {} on average", watts(mean)));
    let text = format!("{} used {used}{mean}\n", which(total.energy_gpus as usize, summary.gpus.len()));
    let alone = both(total.command_alone_energy_j);
    text + &alone.map_or(String::new(), |used| format!("of that, {used} while only the command was on a GPU\n"))
}

fn which(some: usize, all: usize) -> String {
    match (some, all) {
        (1, 1) => "the GPU".to_owned(),
        _ if some == all => format!("the {all} GPUs"),
        _ => format!("{some} of {all} GPUs"),
    }
}

fn names(gpus: &[GpuSummary]) -> String {
    let line = |gpu: &GpuSummary| {
        let limit = gpu.power_limit_w.map_or(String::new(), |limit| format!("up to {}", watts(limit)));
        let uuid = gpu.uuid.as_deref().map_or(NOT_AVAILABLE.to_owned(), |uuid| truncate(uuid, 44));
        vec![gpu.index.to_string(), shown(gpu.name.as_deref()), uuid, limit]
    };
    if gpus.is_empty() {
        return "There is no GPU in the recording.\n".to_owned();
    }
    with_header(&["GPU", "NAME", "UUID", "POWER LIMIT"], gpus.iter().map(line))
}

/// A table without those of the last columns, from this one on, that are known of no GPU.
fn with_known(head: Vec<String>, lines: impl Iterator<Item = Vec<String>>, from: usize) -> String {
    let mut lines: Vec<Vec<String>> = std::iter::once(head).chain(lines).collect();
    for column in (from..lines[0].len()).rev() {
        if lines[1..].iter().filter_map(|line| line.get(column)).all(|cell| cell == UNKNOWN) {
            lines.iter_mut().filter(|line| line.len() > column).for_each(|line| drop(line.remove(column)));
        }
    }
    table(&lines)
}

/// Energy, power, memory, heat.
fn used(summary: &Summary) -> String {
    let line = |gpu: &GpuSummary| {
        let memory = match (gpu.memory_peak_bytes, gpu.memory_limit_bytes) {
            (Some(peak), Some(limit)) => format!("{} of {}", gib(peak), gib(limit)),
            (peak, _) => or_unknown(peak, gib),
        };
        let degrees = |hottest: Option<f64>| or_unknown(hottest, |hottest| format!("{hottest:.0} °C"));
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
    let head = ["GPU", "ENERGY", "", "MEAN POWER", "PEAK", "MEMORY PEAK", "HOTTEST", "MEMORY HOTTEST"];
    with_known(cells(&head), summary.gpus.iter().map(line).chain(all), 7)
}

fn busy(gpus: &[GpuSummary]) -> String {
    let line = |gpu: &GpuSummary| {
        let of = |part: fn(&Distribution) -> f64| or_unknown(gpu.utilization.as_ref().map(part), percent);
        let means = [gpu.memory_utilization_mean, gpu.encoder_utilization_mean, gpu.decoder_utilization_mean];
        let spread = [
            of(|busy| busy.mean),
            of(|busy| busy.p5),
            of(|busy| busy.p50),
            of(|busy| busy.p95),
            of(|busy| busy.p99),
            of(|busy| busy.max),
        ];
        let means = means.map(|mean| or_unknown(mean, percent));
        [gpu.index.to_string()].into_iter().chain(spread).chain(means).collect()
    };
    let knows = |gpu: &GpuSummary| {
        let others = [gpu.memory_utilization_mean, gpu.encoder_utilization_mean, gpu.decoder_utilization_mean];
        gpu.utilization.is_some() || others.iter().any(Option::is_some)
    };
    if !gpus.iter().any(knows) {
        return String::new();
    }
    let head = ["GPU", "BUSY MEAN", "P5", "P50", "P95", "P99", "MAX", "MEMORY BUSY", "ENCODER", "DECODER"];
    with_known(cells(&head), gpus.iter().map(line), 7)
}

fn throttled(gpus: &[GpuSummary]) -> String {
    let line = |gpu: &GpuSummary| {
        let told = or_unknown(gpu.throttling.as_ref(), causes);
        let source = gpu.throttling.as_ref().map_or("", |throttling| match throttling.source {
            ThrottlingSource::Counters => "the driver's counters",
            ThrottlingSource::Reasons => "the driver's reasons",
            _ => "the driver",
        });
        vec![gpu.index.to_string(), told, source.to_owned()]
    };
    if gpus.iter().all(|gpu| gpu.throttling.is_none()) {
        return String::new();
    }
    let lines: Vec<_> = gpus.iter().map(line).collect();
    // The same line for each GPU that was never slowed down is not worth a table.
    match lines.first() {
        None => String::new(),
        Some(first) if lines.iter().all(|line| line[1] == NOTHING && line[2] == first[2]) => {
            format!("Nothing throttled {}, as told by {}.\n", which(gpus.len(), gpus.len()), first[2])
        }
        Some(_) => with_header(&["GPU", "THROTTLED BY", "AS TOLD BY"], lines.into_iter()),
    }
}

/// Those causes that there were, the longest first.
fn causes(throttling: &Throttling) -> String {
    let mut causes: Vec<_> = throttling.causes_s.iter().filter(|(_, seconds)| **seconds > 0.0).collect();
    causes.sort_by(|a, b| b.1.total_cmp(a.1));
    if causes.is_empty() {
        return NOTHING.to_owned();
    }
    let (mut text, mut left_out) = (String::new(), 0);
    for (cause, time) in causes {
        let told = format!("{} {}", cause.replace('_', " "), seconds(*time));
        match text.len() + told.len() {
            ..LONGEST_CAUSES if text.is_empty() => text = told,
            ..LONGEST_CAUSES => text += &format!(", {told}"),
            _ => left_out += 1,
        }
    }
    if left_out > 0 { format!("{text}, {left_out} more") } else { text }
}
