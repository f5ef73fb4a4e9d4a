//! Writes a trace: a packet for each item, and one before it for each track that is new.

use super::{
    proto::{self, ClockSnapshot, DebugAnnotation, SnapshotClock, TracePacket, TracePacketDefaults, TrackEvent, kind},
    track::{COMMAND, EXIT_STATUS, TraceTrack, VALUE},
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

/// Packets have times by a clock of the trace's own, whose zero is a minute before the first item: so they are short, and
/// what was a little earlier has one too. The first packet says what the machine's clocks showed then, which puts the trace
/// beside others of that machine.
const FIRST_AT: u64 = 60_000_000_000;

#[derive(Default)]
pub(super) struct PerfettoEncoder {
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
        let (timestamp, clock) = timestamp(item.at, start);
        proto::write(
            TracePacket {
                timestamp: Some(timestamp),
                timestamp_clock_id: clock,
                track_event: Some(track_event),
                ..TracePacket::default()
            },
            out,
        );
        self.tracks.forget(item);
    }
}

impl PerfettoEncoder {
    /// The first packets, before the first item: what the clocks show, and the track that marks a trace as ours.
    fn begin(&mut self, item: &Item, out: &mut Vec<u8>) -> u64 {
        self.tracks.gpus.learn(item);
        if let Some(start) = self.start {
            return start;
        }
        let booted = item.header().and_then(|header| header.boot_unix_nano);
        let since_boot = booted.and_then(|booted| item.at.checked_sub(booted)).unwrap_or(FIRST_AT);
        let clock = |id, timestamp| SnapshotClock { clock_id: Some(id), timestamp: Some(timestamp) };
        let clocks = vec![
            clock(proto::OWN_CLOCK, FIRST_AT),
            clock(proto::BOOTTIME, since_boot),
            clock(proto::REALTIME, item.at),
        ];
        let defaults = TracePacketDefaults { timestamp_clock_id: Some(proto::OWN_CLOCK) };
        proto::write(
            TracePacket {
                clock_snapshot: Some(ClockSnapshot { clocks }),
                trace_packet_defaults: Some(defaults),
                sequence_flags: Some(proto::STATE_CLEARED),
                ..TracePacket::default()
            },
            out,
        );
        self.tracks.uuid(TraceTrack::Igpu, out);
        self.start = Some(item.at);
        item.at
    }

    fn counter(&mut self, item: &Item, series: Series, out: &mut Vec<u8>) -> TrackEvent {
        let value = item.value.unwrap_or_default();
        let whole = short(value);
        TrackEvent {
            r#type: Some(kind::COUNTER),
            track_uuid: Some(self.tracks.uuid(TraceTrack::Counter(item.gpu, item.pid, series), out)),
            counter_value: whole,
            double_counter_value: whole.is_none().then_some(value),
            ..TrackEvent::default()
        }
    }

    fn event(&mut self, item: &Item, name: &str, series: Option<Series>, out: &mut Vec<u8>) -> TrackEvent {
        let part = self.spans.part(item);
        let (kind, track_uuid, name) = match part {
            SpanEdge::Begin(span) => {
                let label = span_label(span, item);
                // The command's line is the slice's name, and too long for a track's.
                let track_name = if span == TraceSpan::Command { COMMAND } else { &label };
                (kind::SLICE_BEGIN, self.tracks.describe(track_of(span), track_name, out), Some(label))
            }
            SpanEdge::End(span) => (kind::SLICE_END, self.tracks.uuid(track_of(span), out), None),
            SpanEdge::Instant => {
                (kind::INSTANT, self.tracks.uuid(TraceTrack::group(item.gpu), out), Some(name.to_owned()))
            }
        };
        TrackEvent {
            debug_annotations: annotations(item, series, part),
            r#type: Some(kind),
            track_uuid: Some(track_uuid),
            name,
            ..TrackEvent::default()
        }
    }
}

/// When this is by the trace's clock. What is too long before the start has a time by the wall clock, and says so.
fn timestamp(at: u64, start: u64) -> (u64, Option<u32>) {
    match u64::try_from(i128::from(at) - i128::from(start) + i128::from(FIRST_AT)) {
        Ok(timestamp) => (timestamp, None),
        Err(_) => (at, Some(proto::REALTIME)),
    }
}

/// The same value as a whole number, where it is one that takes fewer bytes so.
fn short(value: f64) -> Option<i64> {
    let is_short = value.is_sign_positive() && value < (1_u64 << 49) as f64 && value.fract() == 0.0;
    is_short.then_some(value as i64)
}

fn track_of(span: TraceSpan) -> TraceTrack {
    match span {
        TraceSpan::Process(gpu, pid) => TraceTrack::Process(Some(gpu), pid),
        TraceSpan::Command => TraceTrack::Command,
    }
}

/// What the track and the name do not say.
fn annotations(item: &Item, series: Option<Series>, part: SpanEdge) -> Vec<DebugAnnotation> {
    let named = |name: &str| DebugAnnotation { name: Some(name.to_owned()), ..DebugAnnotation::default() };
    let text = |name, text: &str| DebugAnnotation { string_value: Some(text.to_owned()), ..named(name) };
    let value_name = if part == SpanEdge::End(TraceSpan::Command) { EXIT_STATUS } else { VALUE };
    let value = item.value.map(|value| DebugAnnotation { double_value: Some(value), ..named(value_name) });
    let pid = item.pid.map(|pid| DebugAnnotation { uint_value: Some(pid.into()), ..named("pid") });
    let series = series.map(|series| text("series", series.key()));
    [value, pid, series, item.text.as_deref().map(|told| text("text", told))].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_short_and_come_back_to_the_bit() {
        assert_eq!(
            [short(0.0), short(3.0), short((1_u64 << 49) as f64 - 1.0)],
            [Some(0), Some(3), Some((1 << 49) - 1)]
        );
        for value in [-0.0, -1.0, 0.5, (1_u64 << 49) as f64, 1e300, f64::NAN, f64::INFINITY] {
            assert_eq!(short(value), None, "{value}");
        }
    }
}
