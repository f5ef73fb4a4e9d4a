//! Reads our traces back, packet by packet.

use std::{
    collections::HashMap,
    io::{BufRead, Read as _},
};

use prost::Message as _;

use super::{
    proto::{self, ClockSnapshot, DebugAnnotation, PACKET, SEQUENCE, TracePacket, TrackDescriptor, TrackEvent, kind},
    track::{COMMAND, EXIT_STATUS, IGPU, PID, TraceTrack, VALUE},
};
use crate::{
    error::RecordingError,
    event,
    format::{codec::MAX_RECORD_BYTES, trace_spans::TraceSpan},
    item::{Item, ItemKind},
    read::Items,
    series::Series,
};

/// So many tracks are known at a time: more than a recording has, and few enough that no file takes all memory.
const MOST_TRACKS: usize = 1 << 20;

pub(super) fn decode(file: Box<dyn BufRead>) -> Items {
    let mut decoder = PerfettoDecoder { file, buffer: Vec::new(), offset: None, tracks: HashMap::new() };
    Items::new(std::iter::from_fn(move || decoder.next().transpose()))
}

struct PerfettoDecoder {
    file: Box<dyn BufRead>,
    /// The packet that is read.
    buffer: Vec<u8>,
    /// What to add to the trace's clock to have nanoseconds since the epoch; known from the first packet on.
    offset: Option<i128>,
    /// What each track is that was described; `None` of what a later version writes.
    tracks: HashMap<u64, Option<TraceTrack>>,
}

impl PerfettoDecoder {
    fn next(&mut self) -> Result<Option<Item>, RecordingError> {
        while let Some(packet) = self.packet()? {
            let Some(offset) = self.offset else {
                self.offset = Some(first_offset(&packet).ok_or(RecordingError::Format)?);
                continue;
            };
            if packet.trusted_packet_sequence_id != Some(SEQUENCE) {
                continue;
            }
            if let Some(descriptor) = packet.track_descriptor {
                self.describe(descriptor)?;
            } else if let Some(event) = &packet.track_event {
                let at = unix_nano(&packet, offset).ok_or_else(|| damaged("a packet's time is none"))?;
                if let Some(item) = self.item(at, event)? {
                    self.forget(&item);
                    return Ok(Some(item));
                }
            }
        }
        Ok(None)
    }

    /// The next packet of the file; `None` at its end.
    fn packet(&mut self) -> Result<Option<TracePacket>, RecordingError> {
        if self.file.fill_buf()?.is_empty() {
            return Ok(None);
        }
        if self.byte()? != PACKET {
            return Err(self.bad("something else stands where a packet has to begin"));
        }
        let length = self.length()?;
        if length > MAX_RECORD_BYTES {
            return Err(self.bad("a packet is too long"));
        }
        self.buffer.clear();
        // Memory is taken as the file fills it, so that a wrong length costs none.
        if (&mut self.file).take(length).read_to_end(&mut self.buffer)? as u64 != length {
            return Err(RecordingError::Truncated);
        }
        TracePacket::decode(&self.buffer[..]).map(Some).map_err(|error| self.bad(&error.to_string()))
    }

    /// A variable length number.
    fn length(&mut self) -> Result<u64, RecordingError> {
        let mut length = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            length |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(length);
            }
        }
        Err(self.bad("a packet's length is none"))
    }

    fn byte(&mut self) -> Result<u8, RecordingError> {
        let byte = *self.file.fill_buf()?.first().ok_or(RecordingError::Truncated)?;
        self.file.consume(1);
        Ok(byte)
    }

    /// Before our first packet the file is just another's; after it, it is damaged.
    fn bad(&self, what: &str) -> RecordingError {
        if self.offset.is_none() { RecordingError::Format } else { damaged(what) }
    }

    fn describe(&mut self, descriptor: TrackDescriptor) -> Result<(), RecordingError> {
        let uuid = descriptor.uuid.ok_or_else(|| damaged("a track has no number"))?;
        let track = match descriptor.parent_uuid {
            None => root(&descriptor),
            parent => self.track(parent)?.and_then(|parent| child(&descriptor, parent)),
        };
        if self.tracks.len() >= MOST_TRACKS && !self.tracks.contains_key(&uuid) {
            return Err(damaged("it has too many tracks"));
        }
        self.tracks.insert(uuid, track);
        Ok(())
    }

    /// The track of this number; `Ok(None)` where it is one of a later version.
    fn track(&self, uuid: Option<u64>) -> Result<Option<TraceTrack>, RecordingError> {
        let track = uuid.and_then(|uuid| self.tracks.get(&uuid));
        track.copied().ok_or_else(|| damaged("a packet is of a track that is not described"))
    }

    fn item(&self, at: u64, event: &TrackEvent) -> Result<Option<Item>, RecordingError> {
        let Some(track) = self.track(event.track_uuid)? else { return Ok(None) };
        let kind = event.r#type.unwrap_or_default();
        let begins = kind == kind::SLICE_BEGIN;
        let span = match (kind, track) {
            (kind::COUNTER, TraceTrack::Counter(gpu, pid, series)) => {
                return value(at, gpu, pid, series, event).map(Some);
            }
            (kind::INSTANT, TraceTrack::Igpu) => return instant(at, None, event).map(Some),
            (kind::INSTANT, TraceTrack::Gpu(index)) => return instant(at, Some(index), event).map(Some),
            (kind::SLICE_BEGIN | kind::SLICE_END, TraceTrack::Process(Some(gpu), pid)) => TraceSpan::Process(gpu, pid),
            (kind::SLICE_BEGIN | kind::SLICE_END, TraceTrack::Command) => TraceSpan::Command,
            _ => return Err(damaged("an event is on a track that is not for such")),
        };
        let gpu = if let TraceSpan::Process(gpu, _) = span { Some(gpu) } else { None };
        Ok(Some(event_item(at, gpu, ItemKind::Event(span.event(begins).into(), None), event)))
    }

    /// As the encoder does: what it describes again after this gets new numbers.
    fn forget(&mut self, item: &Item) {
        if let (Some(event::PROCESS_END), Some(pid)) = (item.event_name(), item.pid) {
            self.tracks.retain(|_, track| !track.is_some_and(|track| track.is_of(item.gpu, pid)));
        }
    }
}

/// What the first packet of ours says of the clocks; `None` of another program's.
fn first_offset(packet: &TracePacket) -> Option<i128> {
    let ClockSnapshot { clocks } = packet.clock_snapshot.as_ref()?;
    let shows = |id| clocks.iter().find(|clock| clock.clock_id == Some(id))?.timestamp;
    let offset = i128::from(shows(proto::REALTIME)?) - i128::from(shows(proto::OWN_CLOCK)?);
    (packet.trusted_packet_sequence_id == Some(SEQUENCE)).then_some(offset)
}

fn unix_nano(packet: &TracePacket, offset: i128) -> Option<u64> {
    let timestamp = packet.timestamp?;
    match packet.timestamp_clock_id.unwrap_or(proto::OWN_CLOCK) {
        proto::OWN_CLOCK => u64::try_from(i128::from(timestamp) + offset).ok(),
        proto::REALTIME => Some(timestamp),
        _ => None,
    }
}

fn root(descriptor: &TrackDescriptor) -> Option<TraceTrack> {
    match descriptor.name.as_deref()? {
        IGPU => Some(TraceTrack::Igpu),
        COMMAND => Some(TraceTrack::Command),
        name => Some(TraceTrack::Gpu(name.strip_prefix("GPU ")?.split(' ').next()?.parse().ok()?)),
    }
}

fn child(descriptor: &TrackDescriptor, parent: TraceTrack) -> Option<TraceTrack> {
    let (gpu, pid) = match parent {
        TraceTrack::Igpu => (None, None),
        TraceTrack::Gpu(index) => (Some(index), None),
        TraceTrack::Process(gpu, pid) => (gpu, Some(pid)),
        TraceTrack::Command | TraceTrack::Counter(..) => return None,
    };
    if descriptor.counter.is_some() {
        return Some(TraceTrack::Counter(gpu, pid, Series::from_key(descriptor.name.as_deref()?)?));
    }
    Some(TraceTrack::Process(gpu, descriptor.description.as_deref()?.strip_prefix(PID)?.parse().ok()?))
}

fn value(
    at: u64,
    gpu: Option<u32>,
    pid: Option<u32>,
    series: Series,
    event: &TrackEvent,
) -> Result<Item, RecordingError> {
    let value = event.double_counter_value.or(event.counter_value.map(|value| value as f64));
    let value = Some(value.ok_or_else(|| damaged("a counter has no value"))?);
    Ok(Item { at, gpu, pid, kind: ItemKind::Value(series), value, text: None })
}

fn instant(at: u64, gpu: Option<u32>, event: &TrackEvent) -> Result<Item, RecordingError> {
    let name = event.name.clone().ok_or_else(|| damaged("an event has no name"))?;
    let series = annotation(event, "series").and_then(|series| Series::from_key(series.string_value.as_deref()?));
    Ok(event_item(at, gpu, ItemKind::Event(name.into(), series), event))
}

fn event_item(at: u64, gpu: Option<u32>, kind: ItemKind, event: &TrackEvent) -> Item {
    let value = annotation(event, VALUE).or_else(|| annotation(event, EXIT_STATUS));
    Item {
        at,
        gpu,
        pid: annotation(event, "pid").and_then(|pid| u32::try_from(pid.uint_value?).ok()),
        kind,
        value: value.and_then(|value| value.double_value),
        text: annotation(event, "text").and_then(|text| text.string_value.clone()),
    }
}

fn annotation<'a>(event: &'a TrackEvent, name: &str) -> Option<&'a DebugAnnotation> {
    event.debug_annotations.iter().find(|annotation| annotation.name.as_deref() == Some(name))
}

fn damaged(what: &str) -> RecordingError {
    RecordingError::Damaged(what.to_owned())
}
