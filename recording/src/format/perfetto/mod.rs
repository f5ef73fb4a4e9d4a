//! Perfetto traces in protobuf encoding, for <https://ui.perfetto.dev>.
//!
//! Each GPU has a track for its events. The children of this track are a counter track for each series and a track for
//! each process. The track of a process contains a slice, and its children are the counter tracks of the process.
//! Timestamps are absolute, in nanoseconds. Packets do not use delta encoding or interned strings, and a packet can be
//! decoded with only the descriptor of its track.

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
