//! The first pass over a recording: its time range, GPUs, series, and events.

use std::collections::{BTreeMap, HashSet};

use igpu_recording::{Header, Item, ItemKind, Series, event};

use super::panel::Panel;

/// The maximum number of GPUs in a plot, which bounds the required memory. No known machine has more GPUs.
pub(super) const MAX_GPUS: usize = 64;
/// The maximum number of markers in a plot. More markers would hide the curves.
const MAX_MARKERS: usize = 200;

/// The properties of a recording, apart from its values.
#[derive(Default)]
pub(super) struct RecordingScan {
    pub header: Header,
    /// The first and last time in nanoseconds since the epoch. `None` if the recording has no items.
    pub range: Option<(u64, u64)>,
    /// The names of the GPUs by index.
    pub gpus: BTreeMap<u32, Option<String>>,
    /// The pairs of a GPU index and a series for which the recording has values.
    recorded_series: HashSet<(u32, Series)>,
    pub markers: Vec<Marker>,
    /// The number of events that have no marker because [`MAX_MARKERS`] was reached.
    pub omitted_markers: usize,
    /// The number of records that were dropped during the recording.
    pub dropped: u64,
}

/// An event that is shown in the plot.
pub(super) struct Marker {
    pub at: u64,
    pub gpu: Option<u32>,
    pub kind: MarkerKind,
    pub label: String,
}

/// The kind of an event, which determines its color.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum MarkerKind {
    Command,
    Lost,
    Hung,
    Recovered,
}

impl RecordingScan {
    pub(super) fn observe(&mut self, item: &Item) {
        let (first, last) = self.range.unwrap_or((item.time_unix_nano, item.time_unix_nano));
        self.range = Some((first.min(item.time_unix_nano), last.max(item.time_unix_nano)));
        match &item.kind {
            ItemKind::Value(series) => self.observe_value(item, *series),
            ItemKind::Event(name, _) => self.observe_event(item, name),
        }
    }

    fn observe_value(&mut self, item: &Item, series: Series) {
        let Some(gpu) = item.gpu else { return };
        if self.add_gpu(gpu, None) && item.pid.is_none() {
            self.recorded_series.insert((gpu, series));
        }
    }

    fn observe_event(&mut self, item: &Item, name: &str) {
        match name {
            event::HEARTBEAT => self.dropped = item.value.unwrap_or(0.0) as u64,
            event::START => {
                self.header = item.header().unwrap_or_default();
                for gpu in self.header.gpus.clone() {
                    self.add_gpu(gpu.index, gpu.name);
                }
            }
            _ => self.add_marker(item, name),
        }
    }

    /// Adds a GPU. Returns `false` if there are already [`MAX_GPUS`] other GPUs.
    fn add_gpu(&mut self, index: u32, name: Option<String>) -> bool {
        let has_capacity = self.gpus.len() < MAX_GPUS || self.gpus.contains_key(&index);
        if has_capacity {
            let known = self.gpus.entry(index).or_default();
            *known = name.or(known.take());
        }
        has_capacity
    }

    fn add_marker(&mut self, item: &Item, name: &str) {
        let gpu = item.gpu.map_or(String::new(), |gpu| format!("GPU {gpu} "));
        let (kind, label) = match name {
            event::COMMAND_START => (MarkerKind::Command, "start".to_owned()),
            event::COMMAND_END => (MarkerKind::Command, end_label(item.value)),
            event::GPU_LOST => (MarkerKind::Lost, format!("{gpu}lost")),
            event::GPU_HUNG => (MarkerKind::Hung, format!("{gpu}hung")),
            event::GPU_RECOVERED => (MarkerKind::Recovered, format!("{gpu}recovered")),
            _ => return,
        };
        if self.markers.len() < MAX_MARKERS {
            self.markers.push(Marker { at: item.time_unix_nano, gpu: item.gpu, kind, label });
        } else {
            self.omitted_markers += 1;
        }
    }

    /// Returns the series of the GPU that a panel shows. Returns `None` if the recording has no such series.
    pub(super) fn series(&self, panel: &Panel, gpu: u32) -> Option<Series> {
        panel.series().find(|series| self.recorded_series.contains(&(gpu, *series)))
    }
}

fn end_label(status: Option<f64>) -> String {
    match status {
        Some(status) if status != 0.0 => format!("end, status {status}"),
        _ => "end".to_owned(),
    }
}
