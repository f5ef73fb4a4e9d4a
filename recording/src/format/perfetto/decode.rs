//! Decoding of Perfetto traces that igpu wrote, packet by packet.

use std::{
    collections::HashMap,
    io::{BufRead, Read as _},
};

use prost::Message as _;

use super::{
    proto::{
        self, ClockSnapshot, DebugAnnotation, PACKET_TAG, SEQUENCE_ID, TracePacket, TrackDescriptor, TrackEvent,
        event_type,
    },
    track::{COMMAND_TRACK_NAME, EXIT_STATUS_ANNOTATION, IGPU_TRACK_NAME, PID_PREFIX, TraceTrack, VALUE_ANNOTATION},
};
use crate::{
    error::RecordingError,
    event,
    format::{codec::MAX_RECORD_BYTES, trace_spans::TraceSpan},
    item::{Item, ItemKind},
    items::Items,
    series::Series,
};

/// The maximum number of tracks, which bounds the memory use for damaged files. No recording has as many tracks.
const MAX_TRACKS: usize = 1 << 20;

pub(super) fn decode(file: Box<dyn BufRead>) -> Items {
    let mut decoder = PerfettoDecoder { file, buffer: Vec::new(), offset: None, tracks: HashMap::new() };
    Items::new(std::iter::from_fn(move || decoder.next().transpose()))
}

struct PerfettoDecoder {
    file: Box<dyn BufRead>,
    /// The bytes of the current packet.
    buffer: Vec<u8>,
    /// Unix time minus the clock of the packet sequence, in nanoseconds; `None` before the first packet.
    offset: Option<i128>,
    /// The tracks by UUID; `None` for a track that is unknown to this version.
    tracks: HashMap<u64, Option<TraceTrack>>,
}

impl PerfettoDecoder {
    fn next(&mut self) -> Result<Option<Item>, RecordingError> {
        while let Some(packet) = self.read_packet()? {
            let Some(offset) = self.offset else {
                self.offset = Some(first_offset(&packet).ok_or(RecordingError::Format)?);
                continue;
            };
            if packet.trusted_packet_sequence_id != Some(SEQUENCE_ID) {
                continue;
            }
            if let Some(descriptor) = packet.track_descriptor {
                self.describe(descriptor)?;
            } else if let Some(event) = &packet.track_event {
                let at = unix_nano(&packet, offset).ok_or_else(|| damaged("a packet has no valid time"))?;
                if let Some(item) = self.item(at, event)? {
                    self.remove_ended(&item);
                    return Ok(Some(item));
                }
            }
        }
        Ok(None)
    }

    /// Reads the next packet. Returns `None` at the end of the file.
    fn read_packet(&mut self) -> Result<Option<TracePacket>, RecordingError> {
        if self.file.fill_buf()?.is_empty() {
            return Ok(None);
        }
        if self.read_byte()? != PACKET_TAG {
            return Err(self.invalid("a packet does not start with its tag"));
        }
        let length = self.read_length()?;
        if length > MAX_RECORD_BYTES {
            return Err(self.invalid("a packet is too long"));
        }
        self.buffer.clear();
        // The buffer grows with the bytes that are read, so that a wrong length does not allocate memory.
        if (&mut self.file).take(length).read_to_end(&mut self.buffer)? as u64 != length {
            return Err(RecordingError::Truncated);
        }
        TracePacket::decode(&self.buffer[..]).map(Some).map_err(|error| self.invalid(&error.to_string()))
    }

    /// Reads a length in variable-length encoding.
    fn read_length(&mut self) -> Result<u64, RecordingError> {
        let mut length = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.read_byte()?;
            length |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(length);
            }
        }
        Err(self.invalid("a packet has no valid length"))
    }

    fn read_byte(&mut self) -> Result<u8, RecordingError> {
        let byte = *self.file.fill_buf()?.first().ok_or(RecordingError::Truncated)?;
        self.file.consume(1);
        Ok(byte)
    }

    /// Returns the error for invalid data. Before the first packet, the file is not a recording. After it, the file is damaged.
    fn invalid(&self, message: &str) -> RecordingError {
        if self.offset.is_none() { RecordingError::Format } else { damaged(message) }
    }

    fn describe(&mut self, descriptor: TrackDescriptor) -> Result<(), RecordingError> {
        let uuid = descriptor.uuid.ok_or_else(|| damaged("a track has no UUID"))?;
        let track = match descriptor.parent_uuid {
            None => root(&descriptor),
            parent => self.track(parent)?.and_then(|parent| child(&descriptor, parent)),
        };
        if self.tracks.len() >= MAX_TRACKS && !self.tracks.contains_key(&uuid) {
            return Err(damaged("there are too many tracks"));
        }
        self.tracks.insert(uuid, track);
        Ok(())
    }

    /// Returns the track with this UUID; `Ok(None)` if the track is unknown to this version.
    fn track(&self, uuid: Option<u64>) -> Result<Option<TraceTrack>, RecordingError> {
        let track = uuid.and_then(|uuid| self.tracks.get(&uuid));
        track.copied().ok_or_else(|| damaged("a packet belongs to a track without a descriptor"))
    }

    fn item(&self, at: u64, event: &TrackEvent) -> Result<Option<Item>, RecordingError> {
        let Some(track) = self.track(event.track_uuid)? else { return Ok(None) };
        let event_type = event.r#type.unwrap_or_default();
        let is_begin = event_type == event_type::SLICE_BEGIN;
        let span = match (event_type, track) {
            (event_type::COUNTER, TraceTrack::Counter(gpu, pid, series)) => {
                return value(at, gpu, pid, series, event).map(Some);
            }
            (event_type::INSTANT, TraceTrack::Igpu) => return instant(at, None, event).map(Some),
            (event_type::INSTANT, TraceTrack::Gpu(index)) => return instant(at, Some(index), event).map(Some),
            (event_type::SLICE_BEGIN | event_type::SLICE_END, TraceTrack::Process(Some(gpu), pid)) => {
                TraceSpan::Process(gpu, pid)
            }
            (event_type::SLICE_BEGIN | event_type::SLICE_END, TraceTrack::Command) => TraceSpan::Command,
            _ => return Err(damaged("an event is on a track of another type")),
        };
        let gpu = if let TraceSpan::Process(gpu, _) = span { Some(gpu) } else { None };
        Ok(Some(event_item(at, gpu, ItemKind::Event(span.event_name(is_begin).into(), None), event)))
    }

    /// Removes the tracks of a process after its last item. The encoder does the same, and assigns new UUIDs afterwards.
    fn remove_ended(&mut self, item: &Item) {
        if let (Some(event::PROCESS_END), Some(pid)) = (item.event_name(), item.pid) {
            self.tracks.retain(|_, track| !track.is_some_and(|track| track.belongs_to(item.gpu, pid)));
        }
    }
}

/// Returns the offset in the clock snapshot of the first packet; `None` if another program wrote the packet.
fn first_offset(packet: &TracePacket) -> Option<i128> {
    let ClockSnapshot { clocks } = packet.clock_snapshot.as_ref()?;
    let clock = |id| clocks.iter().find(|clock| clock.clock_id == Some(id))?.timestamp;
    let offset = i128::from(clock(proto::REALTIME_CLOCK)?) - i128::from(clock(proto::SEQUENCE_CLOCK)?);
    (packet.trusted_packet_sequence_id == Some(SEQUENCE_ID)).then_some(offset)
}

fn unix_nano(packet: &TracePacket, offset: i128) -> Option<u64> {
    let timestamp = packet.timestamp?;
    match packet.timestamp_clock_id.unwrap_or(proto::SEQUENCE_CLOCK) {
        proto::SEQUENCE_CLOCK => u64::try_from(i128::from(timestamp) + offset).ok(),
        proto::REALTIME_CLOCK => Some(timestamp),
        _ => None,
    }
}

fn root(descriptor: &TrackDescriptor) -> Option<TraceTrack> {
    match descriptor.name.as_deref()? {
        IGPU_TRACK_NAME => Some(TraceTrack::Igpu),
        COMMAND_TRACK_NAME => Some(TraceTrack::Command),
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
    Some(TraceTrack::Process(gpu, descriptor.description.as_deref()?.strip_prefix(PID_PREFIX)?.parse().ok()?))
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
    Ok(Item { time_unix_nano: at, gpu, pid, kind: ItemKind::Value(series), value, text: None })
}

fn instant(at: u64, gpu: Option<u32>, event: &TrackEvent) -> Result<Item, RecordingError> {
    let name = event.name.clone().ok_or_else(|| damaged("an event has no name"))?;
    let series = annotation(event, "series").and_then(|series| Series::from_key(series.string_value.as_deref()?));
    Ok(event_item(at, gpu, ItemKind::Event(name.into(), series), event))
}

fn event_item(at: u64, gpu: Option<u32>, kind: ItemKind, event: &TrackEvent) -> Item {
    let value = annotation(event, VALUE_ANNOTATION).or_else(|| annotation(event, EXIT_STATUS_ANNOTATION));
    Item {
        time_unix_nano: at,
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

fn damaged(message: &str) -> RecordingError {
    RecordingError::Damaged(message.to_owned())
}
