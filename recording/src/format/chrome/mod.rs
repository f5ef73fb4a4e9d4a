//! Chrome trace events in JSON, for <https://ui.perfetto.dev> and `chrome://tracing`.
//!
//! Each GPU is a process of the trace with its counters and events, and each process on the GPU is a thread. Times are in
//! microseconds since the first item. The time of the first item is in the header of the file.

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

/// Returns `true` if the text starts with a JSON object whose first key is that of a Chrome trace. Whitespace is
/// ignored.
fn matches(text: &[u8]) -> bool {
    let Some(text) = text.trim_ascii_start().strip_prefix(b"{") else { return false };
    let text = text.trim_ascii_start();
    ["\"displayTimeUnit\"", "\"otherData\"", "\"traceEvents\""].iter().any(|key| text.starts_with(key.as_bytes()))
}
