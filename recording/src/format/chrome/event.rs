//! The JSON objects of a Chrome trace.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The trace's process ID for events that concern no GPU.
pub(super) const NO_GPU_PID: u64 = 1;
/// The trace's process ID of GPU 0. The process ID of another GPU is this number plus the index of the GPU. ID 0 is not
/// used, because tools interpret it as the idle process.
pub(super) const FIRST_GPU_PID: u64 = 2;

/// The values of the key `ph`.
pub(super) mod phase {
    pub(in super::super) const BEGIN: &str = "B";
    pub(in super::super) const END: &str = "E";
    pub(in super::super) const INSTANT: &str = "i";
    pub(in super::super) const COUNTER: &str = "C";
    pub(in super::super) const METADATA: &str = "M";
}

/// The metadata in the header of the file.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct OtherData<'a> {
    pub(super) recorder: Cow<'a, str>,
    /// The time of the first item, in nanoseconds since the Unix epoch. It is a string, because JavaScript programs round
    /// integers of this size.
    pub(super) start_unix_nano: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) driver_version: Option<Cow<'a, str>>,
}

/// An event of the trace.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct TraceEvent<'a> {
    pub(super) ph: Cow<'a, str>,
    pub(super) pid: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tid: Option<u32>,
    /// The time in microseconds since the first item. It is kept as text, because a `f64` cannot represent all times
    /// exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ts: Option<Box<RawValue>>,
    /// The scope of an instant event, which is `p` for the trace's process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) s: Option<Cow<'a, str>>,
    /// The process ID of a per-process counter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Cow<'a, str>>,
    /// The name. It is empty for the end of a span, because Perfetto would otherwise end only a span with the same name.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub(super) name: Cow<'a, str>,
    pub(super) args: EventArgs<'a>,
}

/// The arguments of an event.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct EventArgs<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<f64>,
    /// The exit status, if the event is the end of the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exit_status: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) series: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<Cow<'a, str>>,
    /// The label of a process or thread of the trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<Cow<'a, str>>,
    /// The number by which trace viewers sort the processes, in ascending order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sort_index: Option<u64>,
}
