//! The tracks that a trace contains so far.

use std::collections::HashMap;

use super::{
    proto::{self, CounterDescriptor, TracePacket, TrackDescriptor, unit},
    track::{COMMAND_TRACK_NAME, IGPU_TRACK_NAME, PID_PREFIX, TraceTrack},
};
use crate::{
    event,
    format::trace_spans::{GpuLabels, process_label},
    item::Item,
    series::Series,
};

/// The maximum number of registered tracks. A recording in which processes start and never end can exceed it. The
/// tracks of all processes are then removed, and described again on their next use.
const MAX_TRACKS: usize = 1 << 15;

/// The rank added to the process ID of a process track, which sorts processes after the counters of the GPU.
const PROCESS_RANK_OFFSET: i32 = 1_000;

/// The tracks that have a descriptor in the trace, and their UUIDs. UUIDs are small numbers, which keeps events short.
#[derive(Default)]
pub(super) struct TrackRegistry {
    uuids: HashMap<TraceTrack, u64>,
    last_uuid: u64,
    pub(super) gpus: GpuLabels,
}

impl TrackRegistry {
    /// Returns the UUID of a track. Writes a descriptor if the track is new.
    pub(super) fn uuid(&mut self, track: TraceTrack, out: &mut Vec<u8>) -> u64 {
        if let Some(uuid) = self.uuids.get(&track) {
            return *uuid;
        }
        let name = match track {
            TraceTrack::Igpu => IGPU_TRACK_NAME.to_owned(),
            TraceTrack::Command => COMMAND_TRACK_NAME.to_owned(),
            TraceTrack::Gpu(index) => self.gpus.label(index),
            TraceTrack::Process(_, pid) => process_label(pid, None),
            TraceTrack::Counter(.., series) => series.key().to_owned(),
        };
        self.describe(track, &name, out)
    }

    /// Writes the descriptor of a track, and returns its UUID. A later descriptor replaces an earlier descriptor.
    pub(super) fn describe(&mut self, track: TraceTrack, name: &str, out: &mut Vec<u8>) -> u64 {
        let parent_uuid = track.parent().map(|parent| self.uuid(parent, out));
        let uuid = *self.uuids.entry(track).or_insert_with(|| {
            self.last_uuid += 1;
            self.last_uuid
        });
        let has_children = matches!(track, TraceTrack::Igpu | TraceTrack::Gpu(_) | TraceTrack::Process(..));
        let counter = counter_of(track);
        let track_descriptor = TrackDescriptor {
            uuid: Some(uuid),
            name: Some(name.to_owned()),
            parent_uuid,
            sibling_merge_behavior: counter.is_none().then_some(proto::MERGE_NONE),
            counter,
            child_ordering: has_children.then_some(proto::EXPLICIT_ORDERING),
            sibling_order_rank: rank(track),
            description: self.description(track),
        };
        proto::write(TracePacket { track_descriptor: Some(track_descriptor), ..TracePacket::default() }, out);
        uuid
    }

    fn description(&self, track: TraceTrack) -> Option<String> {
        match track {
            TraceTrack::Gpu(index) => self.gpus.uuid(index),
            TraceTrack::Process(_, pid) => Some(format!("{PID_PREFIX}{pid}")),
            _ => None,
        }
    }

    /// Removes the tracks of a process after its last item.
    pub(super) fn remove_ended(&mut self, item: &Item) {
        if let (Some(event::PROCESS_END), Some(pid)) = (item.event_name(), item.pid) {
            self.uuids.retain(|track, _| !track.belongs_to(item.gpu, pid));
        }
        if self.uuids.len() > MAX_TRACKS {
            self.uuids
                .retain(|track, _| !matches!(track, TraceTrack::Process(..) | TraceTrack::Counter(_, Some(_), _)));
        }
    }
}

fn counter_of(track: TraceTrack) -> Option<CounterDescriptor> {
    let TraceTrack::Counter(.., series) = track else { return None };
    let (unit, unit_name) = match series.info().unit {
        "By" => (Some(unit::SIZE_BYTES), None),
        "ns" => (Some(unit::TIME_NS), None),
        count if count.starts_with('{') => (Some(unit::COUNT), None),
        // Trace viewers append the unit to the value, and "0.97 1" would be confusing.
        "1" => (None, None),
        name => (None, Some(name.to_owned())),
    };
    Some(CounterDescriptor { unit, unit_name })
}

/// Returns the rank of a track among its siblings. Counters have the order of [`Series::all`], and are followed by processes
/// in the order of their process IDs.
fn rank(track: TraceTrack) -> Option<i32> {
    match track {
        TraceTrack::Counter(.., series) => Series::all().position(|other| other == series).map(|rank| rank as i32),
        TraceTrack::Process(_, pid) => Some(i32::try_from(pid).unwrap_or(i32::MAX).saturating_add(PROCESS_RANK_OFFSET)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use igpu::metric::Metric;
    use prost::Message as _;

    use super::{super::proto::PACKET_TAG, *};

    /// Returns the descriptor that is written on the first use of a track.
    fn first_descriptor(track: TraceTrack) -> TrackDescriptor {
        let (mut out, mut last) = (Vec::new(), None);
        TrackRegistry::default().uuid(track, &mut out);
        let mut bytes = &out[..];
        while let Some(packet) = bytes.strip_prefix(&[PACKET_TAG]) {
            bytes = packet;
            last = TracePacket::decode_length_delimited(&mut bytes).unwrap().track_descriptor;
        }
        last.unwrap()
    }

    #[test]
    fn parent_tracks_are_not_merged() {
        for track in [TraceTrack::Igpu, TraceTrack::Command, TraceTrack::Gpu(0), TraceTrack::Process(Some(0), 7)] {
            let descriptor = first_descriptor(track);
            assert_eq!((descriptor.sibling_merge_behavior, descriptor.counter), (Some(proto::MERGE_NONE), None));
        }
    }

    #[test]
    fn counter_unit_is_omitted_for_ratios() {
        let unit = |metric| {
            let counter =
                first_descriptor(TraceTrack::Counter(Some(0), None, Series::for_metric(metric))).counter.unwrap();
            (counter.unit, counter.unit_name)
        };
        assert_eq!(unit(Metric::MEMORY_USED), (Some(unit::SIZE_BYTES), None));
        assert_eq!(unit(Metric::THROTTLED_POWER), (Some(unit::TIME_NS), None));
        assert_eq!(unit(Metric::ECC_CORRECTED), (Some(unit::COUNT), None));
        assert_eq!(unit(Metric::POWER_USAGE), (None, Some("W".to_owned())));
        assert_eq!(unit(Metric::UTILIZATION_GPU), (None, None));
    }

    fn add_process(tracks: &mut TrackRegistry, pid: u32) {
        tracks
            .uuid(TraceTrack::Counter(Some(0), Some(pid), Series::for_metric(Metric::PROCESS_MEMORY)), &mut Vec::new());
    }

    #[test]
    fn ended_process_tracks_are_removed() {
        let mut tracks = TrackRegistry::default();
        add_process(&mut tracks, 1);
        for pid in 2..1_000 {
            add_process(&mut tracks, pid);
            assert_eq!(tracks.uuids.len(), 5, "GPU 0 and two tracks per process");
            tracks.remove_ended(&Item { gpu: Some(0), pid: Some(pid), ..Item::event(3, event::PROCESS_END) });
            assert_eq!(tracks.uuids.len(), 3);
        }
    }

    #[test]
    fn process_tracks_are_bounded() {
        let mut tracks = TrackRegistry::default();
        for pid in 0..MAX_TRACKS as u32 {
            add_process(&mut tracks, pid);
            tracks.remove_ended(&Item::event(2, event::HEARTBEAT));
            assert!(tracks.uuids.len() <= MAX_TRACKS);
        }
    }
}
