//! The parts of a Chrome trace as JSON values.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What stands for "the process" of what concerns no GPU. That of a GPU is its index and [`GPU_0`]: tools take 0 for the
/// idle process.
pub(super) const IGPU: u64 = 1;
pub(super) const GPU_0: u64 = 2;

/// What an event is, as this format has it.
pub(super) mod phase {
    pub(in super::super) const BEGIN: &str = "B";
    pub(in super::super) const END: &str = "E";
    pub(in super::super) const INSTANT: &str = "i";
    pub(in super::super) const COUNTER: &str = "C";
    pub(in super::super) const METADATA: &str = "M";
}

/// The head of the file.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct OtherData<'a> {
    pub(super) recorder: Cow<'a, str>,
    /// In text: programs that know no whole numbers of this size leave it as it is.
    pub(super) start_unix_nano: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) driver_version: Option<Cow<'a, str>>,
}

#[derive(Default, Serialize, Deserialize)]
pub(super) struct TraceEvent<'a> {
    pub(super) ph: Cow<'a, str>,
    pub(super) pid: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tid: Option<u32>,
    /// Its text, so that it is exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ts: Option<Box<RawValue>>,
    /// An instant's scope: the process, which is the GPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) s: Option<Cow<'a, str>>,
    /// Of a counter for a process: its pid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Cow<'a, str>>,
    /// None of an end: Perfetto takes one that has a name for the end of what has that name only.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub(super) name: Cow<'a, str>,
    pub(super) args: EventArgs<'a>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct EventArgs<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<f64>,
    /// The value of the event that the command's end is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exit_status: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) series: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<Cow<'a, str>>,
    /// What a process or thread is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<Cow<'a, str>>,
    /// Where a process stands among the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sort_index: Option<u64>,
}
