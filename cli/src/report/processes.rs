//! The tables of the processes and of the command's usage.

use igpu_recording::{AttributionError, GpuSummary, Summary};

use crate::{
    table::{NOT_AVAILABLE, truncate, with_header},
    units::{energy, memory_text, or_unknown, percent, time, watt_hours, watts},
};

/// The maximum number of processes in the table. If there are more, the table has those that used the most memory. JSON
/// has all processes.
const MAX_PROCESSES: usize = 20;

/// Returns the table of the processes on each GPU.
pub(super) fn process_table(summary: &Summary) -> String {
    if !summary.processes_recorded {
        return "Processes were not recorded. `igpu record --processes` records them.\n".to_owned();
    }
    let of_gpu = |gpu: &GpuSummary| -> Vec<_> {
        gpu.processes.iter().flatten().map(|process| (gpu.index, process.clone())).collect()
    };
    let mut all: Vec<_> = summary.gpus.iter().flat_map(of_gpu).collect();
    let omitted = summary.gpus.iter().map(|gpu| gpu.processes_omitted).sum::<u64>();
    let more = all.len().saturating_sub(MAX_PROCESSES) as u64 + omitted;
    if all.len() > MAX_PROCESSES {
        all.sort_by_key(|(_, process)| std::cmp::Reverse(process.memory_peak_bytes));
        all.truncate(MAX_PROCESSES);
        all.sort_by_key(|(gpu, _)| *gpu);
    }
    if all.is_empty() {
        return "The GPUs had no processes.\n".to_owned();
    }
    let lines = all.iter().map(|(gpu, process)| {
        vec![
            gpu.to_string(),
            process.pid.to_string(),
            process.name.as_deref().map_or(NOT_AVAILABLE.to_owned(), |name| truncate(name, 24)),
            process.user.as_deref().map_or(NOT_AVAILABLE.to_owned(), |user| truncate(user, 12)),
            process.owned_by_command.map_or("unknown", |own| if own { "yes" } else { "no" }).to_owned(),
            time(process.duration_s),
            or_unknown(process.memory_peak_bytes, memory_text),
            or_unknown(process.sm_utilization_mean, percent),
        ]
    });
    let header = ["GPU", "PID", "NAME", "USER", "OWNED", "TIME", "MEMORY PEAK", "SM MEAN"];
    let text = with_header(&header, lines);
    if more > 0 { format!("{text}and {more} more\n") } else { text }
}

/// Returns the table of the usage of each GPU by the command.
pub(super) fn command_table(summary: &Summary) -> String {
    let line = |gpu: &GpuSummary| {
        let usage = gpu.command.as_ref()?;
        let exclusive = usage.exclusive.as_ref();
        Some(vec![
            gpu.index.to_string(),
            time(usage.present_s),
            or_unknown(usage.memory_peak_bytes, memory_text),
            or_unknown(exclusive, |exclusive| time(exclusive.duration_s)),
            or_unknown(exclusive.and_then(|exclusive| exclusive.energy_j), energy),
            or_unknown(exclusive.and_then(|exclusive| exclusive.energy_wh), watt_hours),
            or_unknown(exclusive.and_then(|exclusive| exclusive.power_mean_w), watts),
            or_unknown(exclusive.and_then(|exclusive| exclusive.utilization_mean), percent),
        ])
    };
    let usages = || summary.gpus.iter().filter_map(|gpu| gpu.command.as_ref());
    if usages().next().is_some() && usages().all(|usage| usage.attribution_error == Some(AttributionError::NoProcess)) {
        return "The command had no process on the GPUs.\n".to_owned();
    }
    let mut lines: Vec<_> = summary.gpus.iter().filter_map(line).collect();
    if lines.is_empty() {
        return String::new();
    }
    let total = &summary.total;
    if let (Some(joules), Some(wh), true) =
        (total.command_exclusive_energy_j, total.command_exclusive_energy_wh, lines.len() > 1)
    {
        let unknown = String::new;
        lines.push(vec!["all".to_owned(), unknown(), unknown(), unknown(), energy(joules), watt_hours(wh)]);
    }
    let header = ["GPU", "PRESENT", "MEMORY PEAK", "EXCLUSIVE", "ENERGY", "", "MEAN POWER", "UTIL"];
    "Usage by the command. Energy, power, and utilization cover the time of exclusive use of the GPU:\n".to_owned()
        + &with_header(&header, lines.into_iter())
}
