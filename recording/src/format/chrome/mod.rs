//! Chrome's trace events as JSON: opens at ui.perfetto.dev and in chrome://tracing, and can be read back.
//!
//! Each GPU is what this format calls a process, with its counters and events; the processes on it are its threads. Times
//! are in microseconds since the first item, whose time stands at the head of the file.

mod decode;
mod encode;
mod event;

use super::codec::Codec;

pub(super) const CODEC: Codec = Codec {
    name: "chrome",
    extensions: &["json"],
    is_trace: true,
    matches,
    new_encoder: || Some(Box::new(encode::ChromeEncoder::default())),
    decode: |input| Ok(decode::decode(input.stream())),
};

/// Whether a file begins so: a JSON object with a trace's member first, however it is laid out.
fn matches(text: &[u8]) -> bool {
    let Some(text) = text.trim_ascii_start().strip_prefix(b"{") else { return false };
    let text = text.trim_ascii_start();
    ["\"displayTimeUnit\"", "\"otherData\"", "\"traceEvents\""].iter().any(|key| text.starts_with(key.as_bytes()))
}
