//! Makes a summary of items.

use std::collections::BTreeMap;

use super::{
    gpu::GpuAccumulator,
    model::{ExclusiveUse, GpuSummary, Summary, Total, wh},
};
use crate::time_weighted::seconds;
use crate::{
    event,
    header::{Header, RecordedCommand},
    item::{Item, ItemKind},
};

/// No machine has more GPUs: an item of another is damaged.
const MOST_GPUS: usize = 1024;

/// Makes a summary of items, as they come from a sampler or from a file. Its memory does not grow with the recording's
/// length: of each GPU at most 4096 processes are kept.
#[derive(Clone, Debug, Default)]
pub struct SummaryBuilder {
    header: Header,
    /// The times of the first item and of the latest.
    first: Option<u64>,
    latest: u64,
    complete: bool,
    command: Option<RecordedCommand>,
    command_start: u64,
    dropped_records: u64,
    sampler_dropped_records: u64,
    clock_steps: u64,
    gpus: BTreeMap<u32, GpuAccumulator>,
}

impl SummaryBuilder {
    /// Takes the next item.
    pub fn observe(&mut self, item: &Item) {
        self.first.get_or_insert(item.at);
        self.latest = self.latest.max(item.at);
        match &item.kind {
            ItemKind::Value(series) => {
                let Some(value) = item.value.filter(|value| value.is_finite()) else { return };
                if let Some(tally) = item.gpu.and_then(|gpu| self.tally(gpu)) {
                    tally.observe_value(item, *series, value);
                }
            }
            ItemKind::Event(name, _) => self.observe_event(item, name),
        }
    }

    fn tally(&mut self, index: u32) -> Option<&mut GpuAccumulator> {
        if self.gpus.len() >= MOST_GPUS && !self.gpus.contains_key(&index) {
            return None;
        }
        let tally = self.gpus.entry(index).or_default();
        tally.about.index = index;
        Some(tally)
    }

    fn observe_event(&mut self, item: &Item, name: &str) {
        let count = item.value.map_or(0, |value| value as u64);
        match name {
            event::START => self.begin(item.header().unwrap_or_default()),
            event::END => self.complete = true,
            event::HEARTBEAT => self.dropped_records = count,
            event::COMMAND_START => self.command_started(item),
            event::COMMAND_END => self.command_ended(item),
            event::RECORDS_DROPPED => self.sampler_dropped_records = self.sampler_dropped_records.saturating_add(count),
            event::CLOCK_STEPPED => self.clock_steps += 1,
            _ => {
                if let Some(tally) = item.gpu.and_then(|gpu| self.tally(gpu)) {
                    tally.observe_event(item, name);
                }
            }
        }
    }

    fn begin(&mut self, header: Header) {
        for gpu in &header.gpus {
            if let Some(tally) = self.tally(gpu.index) {
                tally.about = gpu.clone();
            }
        }
        self.command =
            header.command.clone().map(|arguments| RecordedCommand { arguments, ..RecordedCommand::default() });
        self.header = header;
    }

    fn command_started(&mut self, item: &Item) {
        let command = self.command.get_or_insert_default();
        if command.arguments.is_empty() {
            command.arguments.extend(item.text.clone());
        }
        command.pid = item.pid;
        self.command_start = item.at;
    }

    fn command_ended(&mut self, item: &Item) {
        let start = self.command_start;
        let command = self.command.get_or_insert_default();
        command.duration_s = command.pid.map(|_| seconds(item.at.saturating_sub(start)));
        command.status = item.value.map(|status| status as i32);
    }

    /// The summary of all items so far.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let header = &self.header;
        let of_gpu = |tally: &GpuAccumulator| {
            tally.summary(self.latest, self.complete, header.processes, self.command.is_some())
        };
        let gpus: Vec<GpuSummary> = self.gpus.values().map(of_gpu).collect();
        Summary {
            igpu_version: Some(header.igpu_version.clone()).filter(|version| !version.is_empty()),
            host: header.host.clone(),
            driver_version: header.driver_version.clone(),
            start_unix_nano: self.first,
            duration_s: self.first.map_or(0.0, |first| seconds(self.latest - first)),
            complete: self.complete,
            command: self.command.clone(),
            dropped_records: self.dropped_records,
            sampler_dropped_records: self.sampler_dropped_records,
            clock_steps: self.clock_steps,
            processes_recorded: header.processes || gpus.iter().any(|gpu| gpu.processes.is_some()),
            total: total(&gpus),
            gpus,
        }
    }
}

/// What is known of each, together; `None` where it is known of none.
fn total(gpus: &[GpuSummary]) -> Total {
    let energies = || gpus.iter().filter_map(|gpu| Some(gpu.energy.as_ref()?.energy_j));
    let exclusive = |gpu: &GpuSummary| {
        gpu.command.as_ref()?.exclusive.as_ref().and_then(|exclusive: &ExclusiveUse| exclusive.energy_j)
    };
    let energy_j = sum(energies());
    let command_exclusive_energy_j = sum(gpus.iter().filter_map(exclusive));
    Total {
        energy_j,
        energy_wh: energy_j.map(wh),
        power_mean_w: sum(gpus.iter().filter_map(|gpu| gpu.power_mean_w)),
        energy_gpus: energies().count() as u32,
        command_exclusive_energy_j,
        command_exclusive_energy_wh: command_exclusive_energy_j.map(wh),
        command_exclusive_gpus: gpus.iter().filter_map(exclusive).count() as u32,
    }
}

fn sum(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}
