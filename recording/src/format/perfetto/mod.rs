//! Perfetto traces in protobuf encoding, for <https://ui.perfetto.dev>.
//!
//! Each GPU is a track of events with a counter track for each series and a track for each process. A process is a slice,
//! and has counter tracks of its own. Timestamps are absolute, in nanoseconds. Packets do not use delta encoding or interned
//! strings. Each can be decoded without other packets than the descriptor of its track.

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
    // JSON text that starts with a line feed has the same first byte.
    matches: |head| head.starts_with(&[proto::PACKET_TAG]) && !head.trim_ascii_start().starts_with(b"{"),
    new_encoder: || Some(Box::new(encode::PerfettoEncoder::default())),
    decode: |input| Ok(decode::decode(input.stream())),
};
