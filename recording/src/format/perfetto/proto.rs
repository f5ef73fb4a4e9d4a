//! The Perfetto messages that a recording uses. Messages and fields have the names and numbers of Perfetto's `.proto` files.

use prost::Message;

/// The tag of `Trace.packet`, which is the first byte of a trace.
pub(super) const PACKET_TAG: u8 = 0x0a;

/// The ID of igpu's packet sequence. Packets with other IDs come from traces that were concatenated with the recording.
pub(super) const SEQUENCE_ID: u32 = 71;

/// The clock ID of `CLOCK_REALTIME`, from `BuiltinClock`.
pub(super) const REALTIME_CLOCK: u32 = 1;
/// The clock ID of `CLOCK_BOOTTIME`, from `BuiltinClock`. Trace viewers convert all timestamps to this clock.
pub(super) const BOOTTIME_CLOCK: u32 = 6;
/// The clock ID of the recording's own clock. IDs from 64 to 127 are reserved for clocks of a packet sequence.
pub(super) const SEQUENCE_CLOCK: u32 = 64;
/// `SEQ_INCREMENTAL_STATE_CLEARED`, the flag of the first packet of a sequence.
pub(super) const STATE_CLEARED_FLAG: u32 = 1;
/// `ChildTracksOrdering.EXPLICIT`: the children of a track are sorted by `sibling_order_rank`.
pub(super) const EXPLICIT_ORDERING: i32 = 3;
/// `SiblingMergeBehavior.SIBLING_MERGE_BEHAVIOR_NONE`: a track is not merged with another track of the same name. When
/// Perfetto merges tracks, it can separate a track from its children, and ignores the name in a second descriptor.
pub(super) const MERGE_NONE: i32 = 2;

/// The values of `TrackEvent.Type`.
pub(super) mod event_type {
    pub(in super::super) const SLICE_BEGIN: i32 = 1;
    pub(in super::super) const SLICE_END: i32 = 2;
    pub(in super::super) const INSTANT: i32 = 3;
    pub(in super::super) const COUNTER: i32 = 4;
}

/// The values of `CounterDescriptor.Unit`.
pub(super) mod unit {
    pub(in super::super) const TIME_NS: i32 = 1;
    pub(in super::super) const COUNT: i32 = 2;
    pub(in super::super) const SIZE_BYTES: i32 = 3;
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TracePacket {
    #[prost(message, optional, tag = "6")]
    pub clock_snapshot: Option<ClockSnapshot>,
    #[prost(uint64, optional, tag = "8")]
    pub timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "10")]
    pub trusted_packet_sequence_id: Option<u32>,
    #[prost(message, optional, tag = "11")]
    pub track_event: Option<TrackEvent>,
    #[prost(uint32, optional, tag = "13")]
    pub sequence_flags: Option<u32>,
    #[prost(uint32, optional, tag = "58")]
    pub timestamp_clock_id: Option<u32>,
    #[prost(message, optional, tag = "59")]
    pub trace_packet_defaults: Option<TracePacketDefaults>,
    #[prost(message, optional, tag = "60")]
    pub track_descriptor: Option<TrackDescriptor>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct TracePacketDefaults {
    #[prost(uint32, optional, tag = "58")]
    pub timestamp_clock_id: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ClockSnapshot {
    #[prost(message, repeated, tag = "1")]
    pub clocks: Vec<SnapshotClock>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct SnapshotClock {
    #[prost(uint32, optional, tag = "1")]
    pub clock_id: Option<u32>,
    #[prost(uint64, optional, tag = "2")]
    pub timestamp: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TrackDescriptor {
    #[prost(uint64, optional, tag = "1")]
    pub uuid: Option<u64>,
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
    #[prost(uint64, optional, tag = "5")]
    pub parent_uuid: Option<u64>,
    #[prost(message, optional, tag = "8")]
    pub counter: Option<CounterDescriptor>,
    #[prost(int32, optional, tag = "11")]
    pub child_ordering: Option<i32>,
    #[prost(int32, optional, tag = "12")]
    pub sibling_order_rank: Option<i32>,
    #[prost(string, optional, tag = "14")]
    pub description: Option<String>,
    #[prost(int32, optional, tag = "15")]
    pub sibling_merge_behavior: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CounterDescriptor {
    #[prost(int32, optional, tag = "3")]
    pub unit: Option<i32>,
    #[prost(string, optional, tag = "6")]
    pub unit_name: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TrackEvent {
    #[prost(message, repeated, tag = "4")]
    pub debug_annotations: Vec<DebugAnnotation>,
    #[prost(int32, optional, tag = "9")]
    pub r#type: Option<i32>,
    #[prost(uint64, optional, tag = "11")]
    pub track_uuid: Option<u64>,
    #[prost(string, optional, tag = "23")]
    pub name: Option<String>,
    #[prost(int64, optional, tag = "30")]
    pub counter_value: Option<i64>,
    #[prost(double, optional, tag = "44")]
    pub double_counter_value: Option<f64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DebugAnnotation {
    #[prost(uint64, optional, tag = "3")]
    pub uint_value: Option<u64>,
    #[prost(double, optional, tag = "5")]
    pub double_value: Option<f64>,
    #[prost(string, optional, tag = "6")]
    pub string_value: Option<String>,
    #[prost(string, optional, tag = "10")]
    pub name: Option<String>,
}

/// Appends a packet to a trace.
pub(super) fn write(packet: TracePacket, out: &mut Vec<u8>) {
    out.push(PACKET_TAG);
    let packet = TracePacket { trusted_packet_sequence_id: Some(SEQUENCE_ID), ..packet };
    // Encoding to a vector cannot fail, because the vector grows as needed.
    let _ = packet.encode_length_delimited(out);
}
