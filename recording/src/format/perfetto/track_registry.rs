//! Which tracks a trace has so far.

use std::collections::HashMap;

use super::{
    proto::{self, CounterDescriptor, TracePacket, TrackDescriptor, unit},
    track::{COMMAND, IGPU, PID, TraceTrack},
};
use crate::{
    event,
    format::trace_spans::{GpuLabels, process_label},
    item::Item,
    series::Series,
};

/// So many tracks are known at a time. When processes come without going, those of all processes are forgotten, and
/// described again when they are needed.
const MOST_TRACKS: usize = 1 << 15;

/// Processes stand below a GPU's counters.
const BELOW_COUNTERS: i32 = 1_000;

/// The tracks that are described in the trace, by their numbers there. These are small: each event has one.
#[derive(Default)]
pub(super) struct TrackRegistry {
    uuids: HashMap<TraceTrack, u64>,
    last_uuid: u64,
    pub(super) gpus: GpuLabels,
}

impl TrackRegistry {
    /// The track's number; it is described when it is new.
    pub(super) fn uuid(&mut self, track: TraceTrack, out: &mut Vec<u8>) -> u64 {
        if let Some(uuid) = self.uuids.get(&track) {
            return *uuid;
        }
        let name = match track {
            TraceTrack::Igpu => IGPU.to_owned(),
            TraceTrack::Command => COMMAND.to_owned(),
            TraceTrack::Gpu(index) => self.gpus.label(index),
            TraceTrack::Process(_, pid) => process_label(pid, None),
            TraceTrack::Counter(.., series) => series.key().to_owned(),
        };
        self.describe(track, &name, out)
    }

    /// Writes what a track is; once more when more is known of it.
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
            sibling_merge_behavior: counter.is_none().then_some(proto::UNMERGED),
            counter,
            child_ordering: has_children.then_some(proto::BY_RANK),
            sibling_order_rank: rank(track),
            description: self.description(track),
        };
        proto::write(TracePacket { track_descriptor: Some(track_descriptor), ..TracePacket::default() }, out);
        uuid
    }

    fn description(&self, track: TraceTrack) -> Option<String> {
        match track {
            TraceTrack::Gpu(index) => self.gpus.uuid(index),
            TraceTrack::Process(_, pid) => Some(format!("{PID}{pid}")),
            _ => None,
        }
    }

    /// A process that ended needs its tracks no more.
    pub(super) fn forget(&mut self, item: &Item) {
        if let (Some(event::PROCESS_END), Some(pid)) = (item.event_name(), item.pid) {
            self.uuids.retain(|track, _| !track.is_of(item.gpu, pid));
        }
        if self.uuids.len() > MOST_TRACKS {
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
        // Units are drawn behind the number: "0.97 1" would be no help.
        "1" => (None, None),
        name => (None, Some(name.to_owned())),
    };
    Some(CounterDescriptor { unit, unit_name })
}

/// Counters stand as their series do in the table, processes below them, in the order of their pids.
fn rank(track: TraceTrack) -> Option<i32> {
    match track {
        TraceTrack::Counter(.., series) => Series::all().position(|other| other == series).map(|place| place as i32),
        TraceTrack::Process(_, pid) => Some(i32::try_from(pid).unwrap_or(i32::MAX).saturating_add(BELOW_COUNTERS)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use igpu::metric::Metric;
    use prost::Message as _;

    use super::{super::proto::PACKET, *};

    /// The last track that is described when this one is needed.
    fn described(track: TraceTrack) -> TrackDescriptor {
        let (mut out, mut last) = (Vec::new(), None);
        TrackRegistry::default().uuid(track, &mut out);
        let mut rest = &out[..];
        while let Some(packet) = rest.strip_prefix(&[PACKET]) {
            rest = packet;
            last = TracePacket::decode_length_delimited(&mut rest).unwrap().track_descriptor;
        }
        last.unwrap()
    }

    #[test]
    fn tracks_with_others_below_them_stand_for_themselves() {
        for track in [TraceTrack::Igpu, TraceTrack::Command, TraceTrack::Gpu(0), TraceTrack::Process(Some(0), 7)] {
            let descriptor = described(track);
            assert_eq!((descriptor.sibling_merge_behavior, descriptor.counter), (Some(proto::UNMERGED), None));
        }
    }

    #[test]
    fn counters_have_a_unit_unless_they_are_bare_numbers() {
        let unit = |metric| {
            let counter = described(TraceTrack::Counter(Some(0), None, Series::for_metric(metric))).counter.unwrap();
            (counter.unit, counter.unit_name)
        };
        assert_eq!(unit(Metric::MEMORY_USED), (Some(unit::SIZE_BYTES), None));
        assert_eq!(unit(Metric::THROTTLED_POWER), (Some(unit::TIME_NS), None));
        assert_eq!(unit(Metric::ECC_CORRECTED), (Some(unit::COUNT), None));
        assert_eq!(unit(Metric::POWER_USAGE), (None, Some("W".to_owned())));
        assert_eq!(unit(Metric::UTILIZATION_GPU), (None, None));
    }

    fn use_memory(tracks: &mut TrackRegistry, pid: u32) {
        tracks
            .uuid(TraceTrack::Counter(Some(0), Some(pid), Series::for_metric(Metric::PROCESS_MEMORY)), &mut Vec::new());
    }

    #[test]
    fn processes_that_ended_are_forgotten() {
        let mut tracks = TrackRegistry::default();
        use_memory(&mut tracks, 1);
        for pid in 2..1_000 {
            use_memory(&mut tracks, pid);
            assert_eq!(tracks.uuids.len(), 5, "GPU 0, and the two of each process");
            tracks.forget(&Item { gpu: Some(0), pid: Some(pid), ..Item::event(3, event::PROCESS_END) });
            assert_eq!(tracks.uuids.len(), 3);
        }
    }

    #[test]
    fn processes_that_never_end_are_forgotten_when_they_are_too_many() {
        let mut tracks = TrackRegistry::default();
        for pid in 0..MOST_TRACKS as u32 {
            use_memory(&mut tracks, pid);
            tracks.forget(&Item::event(2, event::HEARTBEAT));
            assert!(tracks.uuids.len() <= MOST_TRACKS);
        }
    }
}
