//! The computation of a summary from items.

use std::collections::BTreeMap;

use super::{
    gpu::GpuAccumulator,
    model::{ExclusiveUse, GpuSummary, Summary, Total, watt_hours},
};
use crate::{
    event,
    header::{Header, RecordedCommand},
    item::{Item, ItemKind},
    time_weighted::seconds,
};

/// The maximum number of GPUs, which bounds the memory use for damaged files. No machine has as many GPUs.
const MAX_GPUS: usize = 1024;

/// Computes a [`Summary`] from the items of a recording, in order.
///
/// Memory use does not grow with the length of the recording. At most 4096 processes are listed per GPU.
///
/// ```
/// use igpu::metric::Metric;
/// use igpu_recording::{Item, Series, SummaryBuilder, event};
///
/// const SECOND: u64 = 1_000_000_000;
/// let power = Series::for_metric(Metric::POWER_USAGE);
/// let mut builder = SummaryBuilder::default();
/// builder.observe(&Item::value(0, 0, power, 100.0));
/// builder.observe(&Item::value(6 * SECOND, 0, power, 400.0));
/// builder.observe(&Item::event(10 * SECOND, event::END));
/// let summary = builder.summary();
/// assert_eq!(summary.total.energy_j, Some(6.0 * 100.0 + 4.0 * 400.0));
/// assert_eq!(summary.gpus[0].power_mean_w, Some(220.0));
/// ```
#[derive(Clone, Debug, Default)]
pub struct SummaryBuilder {
    header: Header,
    /// The time of the first item.
    first: Option<u64>,
    /// The greatest time of an item.
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
    /// Adds the next item of the recording.
    pub fn observe(&mut self, item: &Item) {
        self.first.get_or_insert(item.time_unix_nano);
        self.latest = self.latest.max(item.time_unix_nano);
        match &item.kind {
            ItemKind::Value(series) => {
                let Some(value) = item.value.filter(|value| value.is_finite()) else { return };
                if let Some(accumulator) = item.gpu.and_then(|gpu| self.accumulator(gpu)) {
                    accumulator.observe_value(item, *series, value);
                }
            }
            ItemKind::Event(name, _) => self.observe_event(item, name),
        }
    }

    /// Returns the accumulator of a GPU; `None` if the number of GPUs would exceed [`MAX_GPUS`].
    fn accumulator(&mut self, index: u32) -> Option<&mut GpuAccumulator> {
        if self.gpus.len() >= MAX_GPUS && !self.gpus.contains_key(&index) {
            return None;
        }
        let accumulator = self.gpus.entry(index).or_default();
        accumulator.gpu.index = index;
        Some(accumulator)
    }

    fn observe_event(&mut self, item: &Item, name: &str) {
        let count = item.value.map_or(0, |value| value as u64);
        match name {
            event::START => self.observe_header(item.header().unwrap_or_default()),
            event::END => self.complete = true,
            event::HEARTBEAT => self.dropped_records = count,
            event::COMMAND_START => self.observe_command_start(item),
            event::COMMAND_END => self.observe_command_end(item),
            event::RECORDS_DROPPED => {
                self.sampler_dropped_records = self.sampler_dropped_records.saturating_add(count);
            }
            event::CLOCK_STEPPED => self.clock_steps += 1,
            _ => {
                if let Some(accumulator) = item.gpu.and_then(|gpu| self.accumulator(gpu)) {
                    accumulator.observe_event(item, name);
                }
            }
        }
    }

    fn observe_header(&mut self, header: Header) {
        for gpu in &header.gpus {
            if let Some(accumulator) = self.accumulator(gpu.index) {
                accumulator.gpu = gpu.clone();
            }
        }
        self.command =
            header.command.clone().map(|arguments| RecordedCommand { arguments, ..RecordedCommand::default() });
        self.header = header;
    }

    fn observe_command_start(&mut self, item: &Item) {
        let command = self.command.get_or_insert_default();
        if command.arguments.is_empty() {
            command.arguments.extend(item.text.clone());
        }
        command.pid = item.pid;
        self.command_start = item.time_unix_nano;
    }

    fn observe_command_end(&mut self, item: &Item) {
        let start = self.command_start;
        let command = self.command.get_or_insert_default();
        command.duration_s = command.pid.map(|_| seconds(item.time_unix_nano.saturating_sub(start)));
        command.status = item.value.map(|status| status as i32);
    }

    /// Returns the summary of all items so far. It can be called repeatedly, and between calls of
    /// [`observe`](Self::observe).
    #[must_use]
    pub fn summary(&self) -> Summary {
        let header = &self.header;
        let summarize = |gpu: &GpuAccumulator| {
            gpu.summary(self.latest, self.complete, header.processes_recorded, self.command.is_some())
        };
        let gpus: Vec<GpuSummary> = self.gpus.values().map(summarize).collect();
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
            processes_recorded: header.processes_recorded || gpus.iter().any(|gpu| gpu.processes.is_some()),
            total: total(&gpus),
            gpus,
        }
    }
}

/// Returns the totals. A total is `None` if the figure is unknown for all GPUs.
fn total(gpus: &[GpuSummary]) -> Total {
    let energies = || gpus.iter().filter_map(|gpu| Some(gpu.energy.as_ref()?.energy_j));
    let exclusive_energy = |gpu: &GpuSummary| {
        gpu.command.as_ref()?.exclusive.as_ref().and_then(|exclusive: &ExclusiveUse| exclusive.energy_j)
    };
    let energy_j = sum(energies());
    let command_exclusive_energy_j = sum(gpus.iter().filter_map(exclusive_energy));
    Total {
        energy_j,
        energy_wh: energy_j.map(watt_hours),
        power_mean_w: sum(gpus.iter().filter_map(|gpu| gpu.power_mean_w)),
        energy_gpu_count: energies().count() as u32,
        command_exclusive_energy_j,
        command_exclusive_energy_wh: command_exclusive_energy_j.map(watt_hours),
        command_exclusive_gpu_count: gpus.iter().filter_map(exclusive_energy).count() as u32,
    }
}

/// Returns the sum of the values; `None` for an empty iterator.
fn sum(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}
