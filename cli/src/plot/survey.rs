//! The first reading of a recording: when it was, of which GPUs, and what it holds.

use std::collections::{BTreeMap, HashSet};

use igpu_recording::{Header, Item, ItemKind, Series, event};

use super::panel::Panel;

/// No machine has more GPUs, and a picture could not show them.
pub(super) const MOST_GPUS: usize = 64;
/// A picture of more marks shows nothing else.
const MOST_MARKS: usize = 200;

/// What is known of a recording before its values are drawn.
#[derive(Default)]
pub(super) struct Survey {
    pub header: Header,
    /// From when to when, in nanoseconds since the epoch; none of a recording without items.
    pub range: Option<(u64, u64)>,
    /// The indices of the GPUs, and their names where these are known.
    pub gpus: BTreeMap<u32, Option<String>>,
    /// Which series have values, of which GPU.
    seen: HashSet<(u32, Series)>,
    pub marks: Vec<Mark>,
    /// Marks there was no room for.
    pub marks_left_out: usize,
    /// Records that were lost while it was recorded.
    pub lost: u64,
}

/// An event that is shown.
pub(super) struct Mark {
    pub at: u64,
    pub gpu: Option<u32>,
    pub kind: MarkKind,
    pub label: String,
}

/// What became of the command or of a GPU.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum MarkKind {
    Command,
    Lost,
    Hung,
    Back,
}

impl Survey {
    pub(super) fn see(&mut self, item: &Item) {
        let (first, last) = self.range.unwrap_or((item.at, item.at));
        self.range = Some((first.min(item.at), last.max(item.at)));
        match &item.what {
            ItemKind::Value(series) => self.see_value(item, *series),
            ItemKind::Event(name, _) => self.see_event(item, name),
        }
    }

    fn see_value(&mut self, item: &Item, series: Series) {
        let Some(gpu) = item.gpu else { return };
        if self.add_gpu(gpu, None) && item.pid.is_none() {
            self.seen.insert((gpu, series));
        }
    }

    fn see_event(&mut self, item: &Item, name: &str) {
        match name {
            event::LOST => self.lost = item.value.unwrap_or(0.0) as u64,
            event::START => {
                self.header = item.header().unwrap_or_default();
                for gpu in self.header.gpus.clone() {
                    self.add_gpu(gpu.index, gpu.name);
                }
            }
            _ => self.mark(item, name),
        }
    }

    /// Gives whether there is room for it.
    fn add_gpu(&mut self, index: u32, name: Option<String>) -> bool {
        let has_room = self.gpus.len() < MOST_GPUS || self.gpus.contains_key(&index);
        if has_room {
            let known = self.gpus.entry(index).or_default();
            *known = name.or(known.take());
        }
        has_room
    }

    fn mark(&mut self, item: &Item, name: &str) {
        let gpu = item.gpu.map_or(String::new(), |gpu| format!("GPU {gpu} "));
        let (kind, label) = match name {
            event::COMMAND_START => (MarkKind::Command, "start".to_owned()),
            event::COMMAND_END => (MarkKind::Command, ended(item.value)),
            event::GPU_LOST => (MarkKind::Lost, format!("{gpu}lost")),
            event::GPU_HUNG => (MarkKind::Hung, format!("{gpu}hung")),
            event::GPU_BACK => (MarkKind::Back, format!("{gpu}back")),
            _ => return,
        };
        if self.marks.len() < MOST_MARKS {
            self.marks.push(Mark { at: item.at, gpu: item.gpu, kind, label });
        } else {
            self.marks_left_out += 1;
        }
    }

    /// Which series of the GPU a panel shows; none when the recording has none of them.
    pub(super) fn series(&self, panel: &Panel, gpu: u32) -> Option<Series> {
        panel.series().find(|series| self.seen.contains(&(gpu, *series)))
    }
}

fn ended(status: Option<f64>) -> String {
    match status {
        Some(status) if status != 0.0 => format!("end, status {status}"),
        _ => "end".to_owned(),
    }
}
