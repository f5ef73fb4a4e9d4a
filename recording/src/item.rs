//! The items of a recording.

use std::borrow::Cow;

use crate::{
    event,
    header::{Header, RecordedProcess},
    series::Series,
};

/// A value of a series, or an event. Every format stores every field, and reading a recording returns the items that were
/// written.
///
/// ```
/// use igpu::metric::Metric;
/// use igpu_recording::{Item, Series, event};
///
/// let power = Item::value(1_700_000_000_000_000_000, 0, Series::for_metric(Metric::POWER_USAGE), 312.5);
/// assert_eq!(power.series().unwrap().key(), "hw.power");
///
/// let lost = Item { gpu: Some(0), value: Some(15.0), ..Item::event(1_700_000_001_000_000_000, event::GPU_LOST) };
/// assert_eq!(lost.event_name(), Some("gpu.lost"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The time, in nanoseconds since the Unix epoch (UTC). Intervals between items are measured by the monotonic clock
    /// and are not affected by steps of the wall clock during the recording.
    pub time_unix_nano: u64,
    /// The NVML index of the GPU; `None` for an event that concerns no GPU.
    pub gpu: Option<u32>,
    /// The process ID, for a value of a per-process series or an event about a process.
    pub pid: Option<u32>,
    /// The kind of the item, with the series of a value or the name of an event.
    pub kind: ItemKind,
    /// The value in the unit of its series, which holds until the next value of the series. For an event, the meaning is
    /// documented with the event's name in [`event`].
    pub value: Option<f64>,
    /// Additional data of an event, documented with the event's name in [`event`].
    pub text: Option<String>,
}

/// The series of a value, or the name of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum ItemKind {
    /// A value of a series.
    Value(Series),
    /// An event, with its name and the series that it concerns, if any. [`event`] lists the names. Later versions may
    /// write other names.
    Event(Cow<'static, str>, Option<Series>),
}

/// The values of a GPU that an event invalidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// All values, because the GPU is lost, hung, or suspended.
    Gpu,
    /// The values of a single series, because the driver rejects its calls.
    Series(Series),
}

impl Item {
    /// Creates a value of a GPU, in the unit of the series, at a time in nanoseconds since the Unix epoch.
    #[must_use]
    pub fn value(at: u64, gpu: u32, series: Series, value: f64) -> Self {
        Self {
            time_unix_nano: at,
            gpu: Some(gpu),
            pid: None,
            kind: ItemKind::Value(series),
            value: Some(value),
            text: None,
        }
    }

    /// Creates an event at a time in nanoseconds since the Unix epoch. All optional fields are `None`.
    #[must_use]
    pub fn event(at: u64, name: &'static str) -> Self {
        Self {
            time_unix_nano: at,
            gpu: None,
            pid: None,
            kind: ItemKind::Event(name.into(), None),
            value: None,
            text: None,
        }
    }

    /// Creates the first item of a recording.
    #[must_use]
    pub fn start(at: u64, header: &Header) -> Self {
        Self { text: serde_json::to_string(header).ok(), ..Self::event(at, event::START) }
    }

    /// Returns the name of the event; `None` for a value.
    #[must_use]
    pub fn event_name(&self) -> Option<&str> {
        match &self.kind {
            ItemKind::Event(name, _) => Some(name),
            ItemKind::Value(_) => None,
        }
    }

    /// Returns the series of a value, or the series that an event concerns.
    #[must_use]
    pub fn series(&self) -> Option<Series> {
        match self.kind {
            ItemKind::Value(series) => Some(series),
            ItemKind::Event(_, series) => series,
        }
    }

    /// Returns the values that this event invalidates; `None` for a value or any other event.
    #[must_use]
    pub fn interruption(&self) -> Option<Interruption> {
        match (self.event_name()?, self.series()) {
            (event::GPU_LOST | event::GPU_HUNG | event::GPU_SUSPENDED, _) => Some(Interruption::Gpu),
            (event::METRIC_SUSPENDED, Some(series)) => Some(Interruption::Series(series)),
            _ => None,
        }
    }

    /// Returns the header if this is the first item of a recording; `None` otherwise, or if the header is malformed.
    #[must_use]
    pub fn header(&self) -> Option<Header> {
        (self.event_name() == Some(event::START)).then(|| serde_json::from_str(self.text.as_deref()?).ok())?
    }

    /// Returns the process if this is an [`event::PROCESS_START`]; `None` otherwise, or if its text is malformed.
    #[must_use]
    pub fn process(&self) -> Option<RecordedProcess> {
        (self.event_name() == Some(event::PROCESS_START)).then(|| serde_json::from_str(self.text.as_deref()?).ok())?
    }
}
