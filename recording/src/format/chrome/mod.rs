//! Chrome's trace events as JSON: opens at ui.perfetto.dev and in chrome://tracing, and can be read back.
//!
//! Each GPU is what this format calls a process, with its counters and events; the processes on it are its threads. Times
//! are in microseconds since the first item, whose time stands at the head of the file.

mod decode;
mod encode;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub(super) use self::{decode::items, encode::ChromeEncoder};

/// Whether a file begins so: a JSON object with a trace's member first, however it is laid out.
pub(super) fn begins(text: &[u8]) -> bool {
    let Some(text) = text.trim_ascii_start().strip_prefix(b"{") else { return false };
    let text = text.trim_ascii_start();
    ["\"displayTimeUnit\"", "\"otherData\"", "\"traceEvents\""].iter().any(|key| text.starts_with(key.as_bytes()))
}

/// What stands for "the process" of what concerns no GPU. That of a GPU is its index and [`GPU_0`]: tools take 0 for the
/// idle process.
const IGPU: u64 = 1;
const GPU_0: u64 = 2;

/// What an event is, as this format has it.
mod phase {
    pub(super) const BEGIN: &str = "B";
    pub(super) const END: &str = "E";
    pub(super) const INSTANT: &str = "i";
    pub(super) const COUNTER: &str = "C";
    pub(super) const METADATA: &str = "M";
}

/// The head of the file.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct OtherData<'a> {
    recorder: Cow<'a, str>,
    /// In text: programs that know no whole numbers of this size leave it as it is.
    start_unix_nano: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    driver_version: Option<Cow<'a, str>>,
}

#[derive(Default, Serialize, Deserialize)]
struct Event<'a> {
    ph: Cow<'a, str>,
    pid: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tid: Option<u32>,
    /// Its text, so that it is exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<Box<RawValue>>,
    /// An instant's scope: the process, which is the GPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<Cow<'a, str>>,
    /// Of a counter for a process: its pid.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Cow<'a, str>>,
    /// None of an end: Perfetto takes one that has a name for the end of what has that name only.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    name: Cow<'a, str>,
    args: Args<'a>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Args<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    /// The value of the event that the command's end is.
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_status: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    series: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    /// What a process or thread is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    /// Where a process stands among the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    sort_index: Option<u64>,
}
