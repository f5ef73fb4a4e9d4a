//! The processes, and the command's part, as text for people.

use igpu_recording::{AttributionError, GpuSummary, Summary};

use crate::{
    table::{NOT_AVAILABLE, truncate, with_header},
    units::{energy, gib, or_unknown, percent, time, watt_hours, watts},
};

/// So many processes are shown, those with the most memory first; JSON has all.
const PROCESSES: usize = 20;

/// Who was there, on which GPU.
pub(super) fn processes(summary: &Summary) -> String {
    if !summary.processes_recorded {
        return "Processes were not recorded: `igpu record --processes` does.\n".to_owned();
    }
    let of_gpu = |gpu: &GpuSummary| -> Vec<_> {
        gpu.processes.iter().flatten().map(|process| (gpu.index, process.clone())).collect()
    };
    let mut all: Vec<_> = summary.gpus.iter().flat_map(of_gpu).collect();
    let left_out = summary.gpus.iter().map(|gpu| gpu.processes_left_out).sum::<u64>();
    let more = all.len().saturating_sub(PROCESSES) as u64 + left_out;
    if all.len() > PROCESSES {
        all.sort_by_key(|(_, process)| std::cmp::Reverse(process.memory_peak_bytes));
        all.truncate(PROCESSES);
        all.sort_by_key(|(gpu, _)| *gpu);
    }
    if all.is_empty() {
        return "No process was seen on the GPUs.\n".to_owned();
    }
    let lines = all.iter().map(|(gpu, process)| {
        vec![
            gpu.to_string(),
            process.pid.to_string(),
            process.name.as_deref().map_or(NOT_AVAILABLE.to_owned(), |name| truncate(name, 24)),
            process.user.as_deref().map_or(NOT_AVAILABLE.to_owned(), |user| truncate(user, 12)),
            process.of_command.map_or("unknown", |own| if own { "yes" } else { "no" }).to_owned(),
            time(process.duration_s),
            or_unknown(process.memory_peak_bytes, gib),
            or_unknown(process.sm_utilization_mean, percent),
        ]
    });
    let head = ["GPU", "PID", "NAME", "USER", "OF COMMAND", "TIME", "MEMORY PEAK", "SM MEAN"];
    let text = with_header(&head, lines);
    if more > 0 { format!("{text}and {more} more\n") } else { text }
}

/// The command's part in each GPU.
pub(super) fn command(summary: &Summary) -> String {
    let line = |gpu: &GpuSummary| {
        let part = gpu.command.as_ref()?;
        let alone = part.alone.as_ref();
        Some(vec![
            gpu.index.to_string(),
            time(part.present_s),
            or_unknown(part.memory_peak_bytes, gib),
            or_unknown(alone, |alone| time(alone.duration_s)),
            or_unknown(alone.and_then(|alone| alone.energy_j), energy),
            or_unknown(alone.and_then(|alone| alone.energy_wh), watt_hours),
            or_unknown(alone.and_then(|alone| alone.power_mean_w), watts),
            or_unknown(alone.and_then(|alone| alone.utilization_mean), percent),
        ])
    };
    let parts = || summary.gpus.iter().filter_map(|gpu| gpu.command.as_ref());
    if parts().next().is_some() && parts().all(|part| part.not_told == Some(AttributionError::NoProcess)) {
        return "The command had no process on the GPUs.\n".to_owned();
    }
    let mut lines: Vec<_> = summary.gpus.iter().filter_map(line).collect();
    if lines.is_empty() {
        return String::new();
    }
    let total = &summary.total;
    if let (Some(joules), Some(wh), true) =
        (total.command_alone_energy_j, total.command_alone_energy_wh, lines.len() > 1)
    {
        let unknown = String::new;
        lines.push(vec!["all".to_owned(), unknown(), unknown(), unknown(), energy(joules), watt_hours(wh)]);
    }
    let head = ["GPU", "PRESENT", "MEMORY PEAK", "ALONE", "ENERGY", "", "MEAN POWER", "BUSY"];
    "The command's part; energy, power and busy are of the time in which it was alone on the GPU:\n".to_owned()
        + &with_header(&head, lines.into_iter())
}
