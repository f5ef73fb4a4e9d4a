//! What a table has no place for: a sentence for each thing that was lost, went wrong, or is not known.

use igpu_recording::{AttributionError, CommandSummary, Energy, EnergySource, EventCounts, GpuSummary, Summary};

use crate::units::{ratio_percent, seconds, time};

/// What there is to know of how it was recorded.
pub(super) fn notes(summary: &Summary) -> String {
    let mut notes = Vec::new();
    if !summary.complete && summary.start_unix_nano.is_some() {
        notes.push("The recording has no end: it was cut off, or goes on.".to_owned());
    }
    if summary.lost_records > 0 {
        notes.push(format!("{} records were lost: the disk was too slow or full.", summary.lost_records));
    }
    if summary.sampler_records_lost > 0 {
        notes.push(format!("{} records did not fit into a reading of the sampler.", summary.sampler_records_lost));
    }
    if summary.clock_steps > 0 {
        notes.push(format!("The wall clock was stepped {}.", times(summary.clock_steps)));
    }
    if summary.gpus.iter().any(lacks) {
        notes.push("What is - was not recorded, or the GPU does not give it: see `igpu record --metrics`.".to_owned());
    }
    notes.extend(of_gpus(summary));
    notes.into_iter().map(|note| note + "\n").collect()
}

/// What there is to know of GPUs: what is the same of several is told once.
fn of_gpus(summary: &Summary) -> Vec<String> {
    let mut notes: Vec<(String, Vec<String>)> = Vec::new();
    for gpu in &summary.gpus {
        for note in of_gpu(gpu, summary.duration_s) {
            let index = gpu.index.to_string();
            match notes.iter_mut().find(|(same, _)| *same == note) {
                Some((_, gpus)) => gpus.push(index),
                None => notes.push((note, vec![index])),
            }
        }
    }
    let which = |gpus: Vec<String>| match gpus.len() {
        1 => format!("GPU {}", gpus[0]),
        count if count == summary.gpus.len() => "All GPUs".to_owned(),
        _ => format!("GPUs {}", gpus.join(", ")),
    };
    notes.into_iter().map(|(note, gpus)| format!("{}: {note}.", which(gpus))).collect()
}

/// Whether something that has a column of its own is not known.
fn lacks(gpu: &GpuSummary) -> bool {
    let GpuSummary { utilization, power_peak_w, memory_peak_bytes, temperature_max_cel, throttling, .. } = gpu;
    let unknown = [power_peak_w.is_none(), memory_peak_bytes.is_none(), temperature_max_cel.is_none()];
    utilization.is_none() || throttling.is_none() || unknown.contains(&true)
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

fn of_gpu(gpu: &GpuSummary, duration_s: f64) -> Vec<String> {
    let mut notes = of_energy(gpu.energy.as_ref(), duration_s);
    notes.extend(gpu.command.as_ref().and_then(of_command));
    notes.extend(of_events(&gpu.events));
    notes
}

fn of_energy(energy: Option<&Energy>, duration_s: f64) -> Vec<String> {
    let Some(energy) = energy else {
        return vec!["its energy is not known, as the recording has neither energy nor power".to_owned()];
    };
    let mut notes = Vec::new();
    match energy.source {
        EnergySource::Integrated => notes.push("its energy is integrated from power: it has no counter".to_owned()),
        EnergySource::Power | EnergySource::PowerInstant => {
            notes.push("its energy is summed up from power: the recording has no energy".to_owned());
        }
        _ => {}
    }
    // What a sensor takes to refresh is not worth a note.
    if energy.covered_s < 0.95 * duration_s - 1.0 {
        let part = ratio_percent(energy.covered_s, duration_s);
        notes.push(format!("its mean power is over {part} of the {}", time(duration_s)));
    }
    if energy.not_counted_s > 0.0 {
        notes.push(format!("the energy of {} is missing: power was not read", seconds(energy.not_counted_s)));
    }
    notes
}

/// Why the command's part, or some of it, cannot be told from others'.
fn of_command(command: &CommandSummary) -> Option<String> {
    let why = match command.not_told? {
        AttributionError::NoProcess => return None,
        AttributionError::NeverAlone => "others were there all the time",
        AttributionError::ListCut if command.alone.is_some() => {
            return Some("the command's part is told until its list of processes was cut".to_owned());
        }
        AttributionError::ListCut => "the list of processes was cut",
        AttributionError::NoAnswer => "the GPU did not answer while it was there",
        _ => "the reason is not known",
    };
    Some(format!("what the command used cannot be told: {why}"))
}

fn of_events(events: &EventCounts) -> Vec<String> {
    let samples_lost = events.samples_lost;
    let counts = [
        (events.lost, "it was lost"),
        (events.hung, "a driver call about it did not return"),
        (events.asleep, "it was asleep, and left so"),
        (events.metric_rests, "the driver refused a metric"),
        (events.list_cut, "its list of processes was cut"),
    ];
    let happened = counts.into_iter().filter(|(count, _)| *count > 0);
    let samples = (samples_lost > 0).then(|| format!("{samples_lost} samples of the driver's rings were lost"));
    happened.map(|(count, what)| format!("{what} {}", times(count))).chain(samples).collect()
}
