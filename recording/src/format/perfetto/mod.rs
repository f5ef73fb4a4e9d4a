//! Perfetto's protobuf: a trace that opens at ui.perfetto.dev, and a recording that can be read back.
//!
//! Each GPU is a group of tracks: its events, a counter for each series, and its processes, each a slice with counters
//! of its own. Each packet stands for itself: its time is in nanoseconds and absolute, and nothing is packed, so that the
//! simplest of readers sees every value.

mod decode;
mod encode;
mod proto;
mod track;
mod track_registry;

use super::codec::Codec;

pub(super) const CODEC: Codec = Codec {
    name: "perfetto",
    extensions: &["perfetto-trace", "pftrace"],
    is_trace: true,
    // JSON that begins with a line feed has the same first byte.
    matches: |head| head.starts_with(&[proto::PACKET]) && !head.trim_ascii_start().starts_with(b"{"),
    new_encoder: || Some(Box::new(encode::PerfettoEncoder::default())),
    decode: |input| Ok(decode::decode(input.stream())),
};
