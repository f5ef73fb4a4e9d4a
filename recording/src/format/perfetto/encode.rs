//! Encoding of Perfetto traces. Each item is a packet. The packet with the descriptor of a track precedes the first
//! item of the track.

use super::{
    proto::{
        self, ClockSnapshot, DebugAnnotation, SnapshotClock, TracePacket, TracePacketDefaults, TrackEvent, event_type,
    },
    track::{COMMAND_TRACK_NAME, EXIT_STATUS_ANNOTATION, TraceTrack, VALUE_ANNOTATION},
    track_registry::TrackRegistry,
};
use crate::{
    format::{
        encoder::Encoder,
        trace_spans::{OpenSpans, SpanEdge, TraceSpan, span_label},
    },
    item::{Item, ItemKind},
    series::Series,
};

/// The time of the first item on the clock of the packet sequence, in nanoseconds.
///
/// The clock starts one minute before the first item. Timestamps therefore have a short encoding, and an item can be up
/// to one minute earlier than the first item. The first packet relates the clock to the clocks of the machine, which
/// allows trace viewers to align the recording with other traces.
const FIRST_TIMESTAMP_NS: u64 = 60_000_000_000;

/// The encoder of Perfetto traces.
#[derive(Default)]
pub(super) struct PerfettoEncoder {
    /// The time of the first item, in nanoseconds since the Unix epoch.
    start: Option<u64>,
    tracks: TrackRegistry,
    spans: OpenSpans,
}

impl Encoder for PerfettoEncoder {
    fn encode(&mut self, item: &Item, out: &mut Vec<u8>) {
        let start = self.begin(item, out);
        let track_event = match &item.kind {
            ItemKind::Value(series) => self.counter(item, *series, out),
            ItemKind::Event(name, series) => self.event(item, name, *series, out),
        };
        let (timestamp, clock) = timestamp(item.time_unix_nano, start);
        proto::write(
            TracePacket {
                timestamp: Some(timestamp),
                timestamp_clock_id: clock,
                track_event: Some(track_event),
                ..TracePacket::default()
            },
            out,
        );
        self.tracks.remove_ended(item);
    }
}

impl PerfettoEncoder {
    /// Writes the clock snapshot and the track of igpu before the first item, and returns the time of the first item.
    fn begin(&mut self, item: &Item, out: &mut Vec<u8>) -> u64 {
        self.tracks.gpus.observe(item);
        if let Some(start) = self.start {
            return start;
        }
        let boot_unix_nano = item.header().and_then(|header| header.boot_unix_nano);
        let since_boot =
            boot_unix_nano.and_then(|boot| item.time_unix_nano.checked_sub(boot)).unwrap_or(FIRST_TIMESTAMP_NS);
        let clock = |id, timestamp| SnapshotClock { clock_id: Some(id), timestamp: Some(timestamp) };
        let clocks = vec![
            clock(proto::SEQUENCE_CLOCK, FIRST_TIMESTAMP_NS),
            clock(proto::BOOTTIME_CLOCK, since_boot),
            clock(proto::REALTIME_CLOCK, item.time_unix_nano),
        ];
        let defaults = TracePacketDefaults { timestamp_clock_id: Some(proto::SEQUENCE_CLOCK) };
        proto::write(
            TracePacket {
                clock_snapshot: Some(ClockSnapshot { clocks }),
                trace_packet_defaults: Some(defaults),
                sequence_flags: Some(proto::STATE_CLEARED_FLAG),
                ..TracePacket::default()
            },
            out,
        );
        self.tracks.uuid(TraceTrack::Igpu, out);
        self.start = Some(item.time_unix_nano);
        item.time_unix_nano
    }

    fn counter(&mut self, item: &Item, series: Series, out: &mut Vec<u8>) -> TrackEvent {
        let value = item.value.unwrap_or_default();
        let integer = as_short_integer(value);
        TrackEvent {
            r#type: Some(event_type::COUNTER),
            track_uuid: Some(self.tracks.uuid(TraceTrack::Counter(item.gpu, item.pid, series), out)),
            counter_value: integer,
            double_counter_value: integer.is_none().then_some(value),
            ..TrackEvent::default()
        }
    }

    fn event(&mut self, item: &Item, name: &str, series: Option<Series>, out: &mut Vec<u8>) -> TrackEvent {
        let edge = self.spans.observe(item);
        let (event_type, track_uuid, name) = match edge {
            SpanEdge::Begin(span) => {
                let label = span_label(span, item);
                // The command line is the name of the slice, and too long for the name of a track.
                let track_name = if span == TraceSpan::Command { COMMAND_TRACK_NAME } else { &label };
                (event_type::SLICE_BEGIN, self.tracks.describe(track_of(span), track_name, out), Some(label))
            }
            SpanEdge::End(span) => (event_type::SLICE_END, self.tracks.uuid(track_of(span), out), None),
            SpanEdge::Instant => {
                (event_type::INSTANT, self.tracks.uuid(TraceTrack::for_gpu(item.gpu), out), Some(name.to_owned()))
            }
        };
        TrackEvent {
            debug_annotations: annotations(item, series, edge),
            r#type: Some(event_type),
            track_uuid: Some(track_uuid),
            name,
            ..TrackEvent::default()
        }
    }
}

/// Returns the timestamp of an item and its clock ID; `None` selects the default clock, which is the clock of the
/// packet sequence. An item that is too early for that clock has a timestamp of the wall clock.
fn timestamp(at: u64, start: u64) -> (u64, Option<u32>) {
    match u64::try_from(i128::from(at) - i128::from(start) + i128::from(FIRST_TIMESTAMP_NS)) {
        Ok(timestamp) => (timestamp, None),
        Err(_) => (at, Some(proto::REALTIME_CLOCK)),
    }
}

/// Converts a value to an integer if the conversion is exact and the encoding is shorter than the 8 bytes of an `f64`.
fn as_short_integer(value: f64) -> Option<i64> {
    // Seven bytes of a variable-length integer hold 49 bits.
    let is_short = value.is_sign_positive() && value < (1_u64 << 49) as f64 && value.fract() == 0.0;
    is_short.then_some(value as i64)
}

fn track_of(span: TraceSpan) -> TraceTrack {
    match span {
        TraceSpan::Process(gpu, pid) => TraceTrack::Process(Some(gpu), pid),
        TraceSpan::Command => TraceTrack::Command,
    }
}

/// Returns the fields of an item that the track and the name of the event do not contain.
fn annotations(item: &Item, series: Option<Series>, edge: SpanEdge) -> Vec<DebugAnnotation> {
    let named = |name: &str| DebugAnnotation { name: Some(name.to_owned()), ..DebugAnnotation::default() };
    let text = |name, text: &str| DebugAnnotation { string_value: Some(text.to_owned()), ..named(name) };
    let value_name = if edge == SpanEdge::End(TraceSpan::Command) { EXIT_STATUS_ANNOTATION } else { VALUE_ANNOTATION };
    let value = item.value.map(|value| DebugAnnotation { double_value: Some(value), ..named(value_name) });
    let pid = item.pid.map(|pid| DebugAnnotation { uint_value: Some(pid.into()), ..named("pid") });
    let series = series.map(|series| text("series", series.key()));
    [value, pid, series, item.text.as_deref().map(|content| text("text", content))].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_short_integers_are_converted() {
        assert_eq!(
            [as_short_integer(0.0), as_short_integer(3.0), as_short_integer((1_u64 << 49) as f64 - 1.0)],
            [Some(0), Some(3), Some((1 << 49) - 1)]
        );
        for value in [-0.0, -1.0, 0.5, (1_u64 << 49) as f64, 1e300, f64::NAN, f64::INFINITY] {
            assert_eq!(as_short_integer(value), None, "{value}");
        }
    }
}
