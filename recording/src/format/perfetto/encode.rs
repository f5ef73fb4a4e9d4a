//! Writes a trace: a packet for each item, and one before it for each track that is new.

use std::collections::HashMap;

use prost::Message as _;

use super::{
    COMMAND, EXIT_STATUS, FIRST_AT, IGPU, PACKET, PID, SEQUENCE, Track, VALUE,
    proto::{
        self, Clock, ClockSnapshot, CounterDescriptor, DebugAnnotation, TracePacket, TrackDescriptor, TrackEvent, kind,
        unit,
    },
};
use crate::{
    format::{
        Encoder,
        spans::{Gpus, Part, Span, Spans, process_label, span_label},
    },
    item::{Item, What, event},
    series::Series,
};

/// So many tracks are known at a time. When processes come without going, those of all processes are forgotten, and
/// described again when they are needed.
const MOST_TRACKS: usize = 1 << 15;

/// Processes stand below a GPU's counters.
const BELOW_COUNTERS: i32 = 1_000;

#[derive(Default)]
pub(in crate::format) struct PerfettoEncoder {
    start: Option<u64>,
    tracks: HashMap<Track, u64>,
    last_uuid: u64,
    gpus: Gpus,
    spans: Spans,
}

impl Encoder for PerfettoEncoder {
    fn item(&mut self, item: &Item, out: &mut Vec<u8>) {
        let start = self.begin(item, out);
        let track_event = match &item.what {
            What::Value(series) => self.counter(item, *series, out),
            What::Event(name, series) => self.event(item, name, *series, out),
        };
        let (timestamp, clock) = timestamp(item.at, start);
        write(
            TracePacket {
                timestamp: Some(timestamp),
                timestamp_clock_id: clock,
                track_event: Some(track_event),
                ..TracePacket::default()
            },
            out,
        );
        self.forget(item);
    }
}

impl PerfettoEncoder {
    /// The first packets, before the first item: what the clocks show, and the track that marks a trace as ours.
    fn begin(&mut self, item: &Item, out: &mut Vec<u8>) -> u64 {
        self.gpus.learn(item);
        if let Some(start) = self.start {
            return start;
        }
        let clock = |id, timestamp| Clock { clock_id: Some(id), timestamp: Some(timestamp) };
        let clocks = vec![clock(proto::BOOTTIME, FIRST_AT), clock(proto::REALTIME, item.at)];
        write(
            TracePacket {
                timestamp: Some(FIRST_AT),
                clock_snapshot: Some(ClockSnapshot { clocks }),
                sequence_flags: Some(proto::STATE_CLEARED),
                ..TracePacket::default()
            },
            out,
        );
        self.uuid(Track::Igpu, out);
        self.start = Some(item.at);
        item.at
    }

    fn counter(&mut self, item: &Item, series: Series, out: &mut Vec<u8>) -> TrackEvent {
        let value = item.value.unwrap_or_default();
        let whole = short(value);
        TrackEvent {
            r#type: Some(kind::COUNTER),
            track_uuid: Some(self.uuid(Track::Counter(item.gpu, item.pid, series), out)),
            counter_value: whole,
            double_counter_value: whole.is_none().then_some(value),
            ..TrackEvent::default()
        }
    }

    fn event(&mut self, item: &Item, name: &str, series: Option<Series>, out: &mut Vec<u8>) -> TrackEvent {
        let part = self.spans.part(item);
        let (kind, track_uuid, name) = match part {
            Part::Begin(span) => {
                let label = span_label(span, item);
                (kind::SLICE_BEGIN, self.describe(track_of(span), &label, out), Some(label))
            }
            Part::End(span) => (kind::SLICE_END, self.uuid(track_of(span), out), None),
            Part::Instant => (kind::INSTANT, self.uuid(Track::group(item.gpu), out), Some(name.to_owned())),
        };
        TrackEvent {
            debug_annotations: annotations(item, series, part),
            r#type: Some(kind),
            track_uuid: Some(track_uuid),
            name,
            ..TrackEvent::default()
        }
    }

    /// The track's number; it is described when it is new.
    fn uuid(&mut self, track: Track, out: &mut Vec<u8>) -> u64 {
        if let Some(uuid) = self.tracks.get(&track) {
            return *uuid;
        }
        let name = match track {
            Track::Igpu => IGPU.to_owned(),
            Track::Command => COMMAND.to_owned(),
            Track::Gpu(index) => self.gpus.label(index),
            Track::Process(_, pid) => process_label(pid, None),
            Track::Counter(.., series) => series.key().to_owned(),
        };
        self.describe(track, &name, out)
    }

    /// Writes what a track is; once more when more is known of it.
    fn describe(&mut self, track: Track, name: &str, out: &mut Vec<u8>) -> u64 {
        let parent_uuid = track.parent().map(|parent| self.uuid(parent, out));
        let uuid = *self.tracks.entry(track).or_insert_with(|| {
            self.last_uuid += 1;
            self.last_uuid
        });
        let has_children = matches!(track, Track::Igpu | Track::Gpu(_) | Track::Process(..));
        let track_descriptor = TrackDescriptor {
            uuid: Some(uuid),
            // The command's line is the slice's name, and too long for a track's.
            name: Some(if track == Track::Command { COMMAND.to_owned() } else { name.to_owned() }),
            parent_uuid,
            counter: counter_of(track),
            child_ordering: has_children.then_some(proto::BY_RANK),
            sibling_order_rank: rank(track),
            description: self.description(track),
        };
        write(TracePacket { track_descriptor: Some(track_descriptor), ..TracePacket::default() }, out);
        uuid
    }

    fn description(&self, track: Track) -> Option<String> {
        match track {
            Track::Gpu(index) => self.gpus.uuid(index),
            Track::Process(_, pid) => Some(format!("{PID}{pid}")),
            _ => None,
        }
    }

    /// A process that ended needs its tracks no more.
    fn forget(&mut self, item: &Item) {
        if let (Some(event::PROCESS_END), Some(pid)) = (item.event_name(), item.pid) {
            self.tracks.retain(|track, _| !track.is_of(item.gpu, pid));
        }
        if self.tracks.len() > MOST_TRACKS {
            self.tracks.retain(|track, _| !matches!(track, Track::Process(..) | Track::Counter(_, Some(_), _)));
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

fn track_of(span: Span) -> Track {
    match span {
        Span::Process(gpu, pid) => Track::Process(Some(gpu), pid),
        Span::Command => Track::Command,
    }
}

fn counter_of(track: Track) -> Option<CounterDescriptor> {
    let Track::Counter(.., series) = track else { return None };
    let number = match series.info().unit {
        "By" => Some(unit::SIZE_BYTES),
        "ns" => Some(unit::TIME_NS),
        count if count.starts_with('{') => Some(unit::COUNT),
        _ => None,
    };
    let unit_name = number.is_none().then(|| series.info().unit.to_owned());
    Some(CounterDescriptor { unit: number, unit_name })
}

/// Counters stand as their series do in the table, processes below them, in the order of their pids.
fn rank(track: Track) -> Option<i32> {
    match track {
        Track::Counter(.., series) => Series::all().position(|other| other == series).map(|place| place as i32),
        Track::Process(_, pid) => Some(i32::try_from(pid).unwrap_or(i32::MAX).saturating_add(BELOW_COUNTERS)),
        _ => None,
    }
}

/// What the track and the name do not say.
fn annotations(item: &Item, series: Option<Series>, part: Part) -> Vec<DebugAnnotation> {
    let named = |name: &str| DebugAnnotation { name: Some(name.to_owned()), ..DebugAnnotation::default() };
    let text = |name, text: &str| DebugAnnotation { string_value: Some(text.to_owned()), ..named(name) };
    let value_name = if part == Part::End(Span::Command) { EXIT_STATUS } else { VALUE };
    let value = item.value.map(|value| DebugAnnotation { double_value: Some(value), ..named(value_name) });
    let pid = item.pid.map(|pid| DebugAnnotation { uint_value: Some(pid.into()), ..named("pid") });
    let series = series.map(|series| text("series", series.key()));
    [value, pid, series, item.text.as_deref().map(|told| text("text", told))].into_iter().flatten().collect()
}

fn write(packet: TracePacket, out: &mut Vec<u8>) {
    out.push(PACKET);
    let packet = TracePacket { trusted_packet_sequence_id: Some(SEQUENCE), ..packet };
    // Memory grows as it has to: this cannot fail.
    let _ = packet.encode_length_delimited(out);
}

#[cfg(test)]
mod tests {
    use igpu::metric::Metric;

    use super::*;

    fn of_process(pid: u32, item: Item) -> Item {
        Item { gpu: Some(0), pid: Some(pid), ..item }
    }

    #[test]
    fn processes_that_ended_are_forgotten() {
        let mut encoder = PerfettoEncoder::default();
        let memory = Series::of(Metric::PROCESS_MEMORY);
        for pid in 0..1_000 {
            for item in [
                Item::event(1, event::PROCESS_START),
                Item::value(2, 0, memory, 1.0),
                Item::event(3, event::PROCESS_END),
            ] {
                encoder.item(&of_process(pid, item), &mut Vec::new());
            }
        }
        assert_eq!(encoder.tracks.len(), 2, "igpu and GPU 0");
    }

    #[test]
    fn processes_that_never_end_are_forgotten_when_they_are_too_many() {
        let mut encoder = PerfettoEncoder::default();
        let memory = Series::of(Metric::PROCESS_MEMORY);
        for pid in 0..MOST_TRACKS as u32 {
            encoder.item(&of_process(pid, Item::value(2, 0, memory, 1.0)), &mut Vec::new());
            assert!(encoder.tracks.len() <= MOST_TRACKS);
        }
    }

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
