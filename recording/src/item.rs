//! What a recording consists of.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::series::Series;

/// One value, or one event. Each format has a place for each of these fields, so that what is read is what was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// When, in nanoseconds since the epoch (UTC). Differences are those of the monotonic clock: a step of the wall clock
    /// within a recording does not show.
    pub at: u64,
    /// The GPU's index, as NVML counts; `None` of an event that concerns none.
    pub gpu: Option<u32>,
    /// The process, of a series for each process and of events about one.
    pub pid: Option<u32>,
    /// Which value or event it is.
    pub what: ItemKind,
    /// The value, in the unit of its series; of an event see [`event`]. A value holds until the next one of its series.
    pub value: Option<f64>,
    /// What an event has to tell besides.
    pub text: Option<String>,
}

/// Which value or event an item is.
#[derive(Clone, Debug, PartialEq)]
pub enum ItemKind {
    /// A value of a series.
    Value(Series),
    /// An event: its name, one of [`event`] or of a later version, and the series that it is about.
    Event(Cow<'static, str>, Option<Series>),
}

/// The values of a GPU that an event invalidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// All values, because the GPU does not answer.
    Gpu,
    /// The values of one series, because the driver refuses it.
    Series(Series),
}

/// The names of events.
pub mod event {
    /// The first item; text: the [`Header`](super::Header) as JSON.
    pub const START: &str = "recording.start";
    /// The last item of a recording that ended in order.
    pub const END: &str = "recording.end";
    /// Once a second, so that the end of a recording that was cut off is known too; value: how many records were lost
    /// since the start, because the disk was too slow or full.
    pub const LOST: &str = "recording.lost";
    /// The command was started; pid: its own; text: the command line.
    pub const COMMAND_START: &str = "command.start";
    /// The command ended; pid: its own; value: its exit status as a shell gives it (128 and the signal when it was ended
    /// by one).
    pub const COMMAND_END: &str = "command.end";
    /// A process was seen on the GPU; text: the [`RecordedProcess`](super::RecordedProcess) as JSON.
    pub const PROCESS_START: &str = "process.start";
    /// A process was last seen on the GPU then.
    pub const PROCESS_END: &str = "process.end";
    /// The GPU was lost, needs a reset or cannot be opened; value: the driver's return code.
    pub const GPU_LOST: &str = "gpu.lost";
    /// The GPU answers again.
    pub const GPU_BACK: &str = "gpu.back";
    /// A driver call about the GPU does not return; value: for how many seconds by then.
    pub const GPU_HUNG: &str = "gpu.hung";
    /// The GPU sleeps and is left asleep.
    pub const GPU_ASLEEP: &str = "gpu.asleep";
    /// The GPU woke up.
    pub const GPU_AWAKE: &str = "gpu.awake";
    /// The driver refuses the series, which has no values until it is tried again; value: the driver's return code.
    pub const METRIC_RESTS: &str = "metric.rests";
    /// The series is read half as often or twice as often as was told last, or more so, because its call is dear or
    /// cheap; value: its cadence from now on, in seconds.
    pub const CADENCE_CHANGED: &str = "metric.cadence_changed";
    /// The driver's sample ring wrapped before it was drained; value: how many samples were lost.
    pub const SAMPLES_LOST: &str = "metric.samples_lost";
    /// A list of processes was longer than the memory for it; value: how many were left out.
    pub const LIST_CUT: &str = "process.list_cut";
    /// The wall clock was stepped; value: by how many seconds.
    pub const CLOCK_STEPPED: &str = "clock.stepped";
    /// Records did not fit into one reading; value: how many.
    pub const RECORDS_LOST: &str = "sampler.records_lost";
    /// Power was not read for too long to integrate it to energy; value: for how many seconds nothing was counted.
    pub const ENERGY_GAP: &str = "energy.gap";
    /// From here on the GPU's energy is integrated from its power, because it has no counter.
    pub const ENERGY_INTEGRATED: &str = "energy.integrated";
}

/// What a recording is of: the text of [`event::START`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Header {
    /// The version of igpu that recorded.
    pub igpu_version: String,
    /// The name of the machine.
    pub host: Option<String>,
    /// When the machine's clock since boot (`CLOCK_BOOTTIME`) was 0, in nanoseconds since the epoch as items have it:
    /// what puts a recording beside other traces of the machine.
    pub boot_unix_nano: Option<u64>,
    /// The version of the driver.
    pub driver_version: Option<String>,
    /// The program that was run, with its arguments.
    pub command: Option<Vec<String>>,
    /// How often each metric was read, in Hz; `None`: as its sensor refreshes.
    pub rate_hz: Option<f64>,
    /// Whether processes were recorded.
    pub processes: bool,
    /// The keys of the series that were asked for.
    pub series: Vec<String>,
    /// The GPUs, in the order of their indices.
    pub gpus: Vec<RecordedGpu>,
}

/// A GPU that is recorded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordedGpu {
    /// As NVML counts.
    pub index: u32,
    /// Its UUID, where the driver tells.
    pub uuid: Option<String>,
    /// Its name, where the driver tells.
    pub name: Option<String>,
    /// All its memory, in bytes.
    pub memory_total: Option<u64>,
    /// The power that it may draw, in watts.
    pub power_limit: Option<f64>,
}

/// A process on a GPU: the text of [`event::PROCESS_START`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordedProcess {
    /// Its name, as `/proc` has it.
    pub name: Option<String>,
    /// Who owns it.
    pub user: Option<String>,
    /// When it was started, in seconds since the epoch.
    pub create_time: Option<f64>,
    /// Whether it is the recorded command, or was started by that, directly or not.
    pub of_command: bool,
}

/// How a recorded command went, put together from its two events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecordedCommand {
    /// The program with its arguments.
    pub arguments: Vec<String>,
    /// Its pid.
    pub pid: Option<u32>,
    /// For how many seconds it ran; `None` while it does.
    pub duration_s: Option<f64>,
    /// Its exit status as a shell gives it; `None` while it runs.
    pub status: Option<i32>,
}

impl Item {
    /// A value.
    #[must_use]
    pub fn value(at: u64, gpu: u32, series: Series, value: f64) -> Self {
        Self { at, gpu: Some(gpu), pid: None, what: ItemKind::Value(series), value: Some(value), text: None }
    }

    /// An event that concerns no GPU, and has nothing more to tell: fill in what there is.
    #[must_use]
    pub fn event(at: u64, name: &'static str) -> Self {
        Self { at, gpu: None, pid: None, what: ItemKind::Event(name.into(), None), value: None, text: None }
    }

    /// The first item of a recording.
    #[must_use]
    pub fn start(at: u64, header: &Header) -> Self {
        Self { text: serde_json::to_string(header).ok(), ..Self::event(at, event::START) }
    }

    /// The event's name; `None` of a value.
    #[must_use]
    pub fn event_name(&self) -> Option<&str> {
        match &self.what {
            ItemKind::Event(name, _) => Some(name),
            ItemKind::Value(_) => None,
        }
    }

    /// The series of a value, or that an event is about.
    #[must_use]
    pub fn series(&self) -> Option<Series> {
        match self.what {
            ItemKind::Value(series) => Some(series),
            ItemKind::Event(_, series) => series,
        }
    }

    /// Returns the values that this event invalidates; `None` for a value or any other event.
    #[must_use]
    pub fn interruption(&self) -> Option<Interruption> {
        match (self.event_name()?, self.series()) {
            (event::GPU_LOST | event::GPU_HUNG | event::GPU_ASLEEP, _) => Some(Interruption::Gpu),
            (event::METRIC_RESTS, Some(series)) => Some(Interruption::Series(series)),
            _ => None,
        }
    }

    /// What the recording is of, where this is its first item.
    #[must_use]
    pub fn header(&self) -> Option<Header> {
        (self.event_name() == Some(event::START)).then(|| serde_json::from_str(self.text.as_deref()?).ok())?
    }

    /// The process that was seen, where this says so.
    #[must_use]
    pub fn process(&self) -> Option<RecordedProcess> {
        (self.event_name() == Some(event::PROCESS_START)).then(|| serde_json::from_str(self.text.as_deref()?).ok())?
    }
}
