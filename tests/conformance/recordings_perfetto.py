"""Checks a recording in Perfetto's format with Perfetto's protobuf classes.

usage: recordings_perfetto.py FILE
"""

import re
import sys
import time
from collections import Counter

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import (
    BUILTIN_CLOCK_BOOTTIME,
    BUILTIN_CLOCK_REALTIME,
    CounterDescriptor,
    Trace,
    TracePacket,
    TrackDescriptor,
    TrackEvent,
)

# The time by which items may be out of order.
SLACK_NS = 1_000_000_000


def check(path):
    """Returns the problems of the file."""
    trace = Trace()
    try:
        with open(path, "rb") as file:
            trace.ParseFromString(file.read())
    except DecodeError as error:
        return [f"the file cannot be parsed: {error}"]
    tracks = {packet.track_descriptor.uuid: packet.track_descriptor for packet in trace.packet if packet.HasField("track_descriptor")}
    checks = [unknown_fields, clocks, order, lambda t: groups(tracks), lambda t: units(tracks), lambda t: kinds(t, tracks), times, lambda t: slices(t, tracks)]
    return [problem for look in checks for problem in look(trace)]


def events(trace):
    """Returns all packets with track events."""
    return [packet for packet in trace.packet if packet.HasField("track_event")]


def unix_offset(trace):
    """Returns the difference between nanoseconds since the epoch and the timestamps of packets."""
    first = trace.packet[0]
    clocks = {clock.clock_id: clock.timestamp for clock in first.clock_snapshot.clocks}
    return clocks[BUILTIN_CLOCK_REALTIME] - clocks[first.trace_packet_defaults.timestamp_clock_id]


def values(path):
    """Returns all counter values: (nanoseconds since the epoch, names of the track and its parents from the top, value)."""
    trace = Trace()
    with open(path, "rb") as file:
        trace.ParseFromString(file.read())
    offset = unix_offset(trace)
    names, found = {}, []
    for packet in trace.packet:
        track, event = packet.track_descriptor, packet.track_event
        if packet.HasField("track_descriptor"):
            names[track.uuid] = (*names.get(track.parent_uuid, ()), track.name)
        elif event.type == TrackEvent.TYPE_COUNTER:
            value = event.counter_value if event.HasField("counter_value") else event.double_counter_value
            found.append((packet.timestamp + offset, names[event.track_uuid], value))
    return found


def unknown_fields(trace):
    """Checks that there are no unknown fields, which are a sign of wrong field numbers."""
    for packet in trace.packet:
        parts = [packet, packet.track_event, packet.track_descriptor, packet.track_descriptor.counter, *packet.track_event.debug_annotations]
        for part in parts:
            for field in UnknownFieldSet(part):
                yield f"{part.DESCRIPTOR.name} has an unknown field {field.field_number}"


def clocks(trace):
    """Checks the clock snapshot in the first packet: wall clock, boot time, and the clock of the timestamps."""
    first = trace.packet[0] if trace.packet else TracePacket()
    shown = {clock.clock_id: clock.timestamp for clock in first.clock_snapshot.clocks}
    own = first.trace_packet_defaults.timestamp_clock_id
    # The ids of sequence-scoped clocks are 64 to 127.
    if not {BUILTIN_CLOCK_REALTIME, BUILTIN_CLOCK_BOOTTIME, own} <= shown.keys() or not 64 <= own < 128:
        yield f"the first packet contains the clocks {sorted(shown)}, and timestamps are of clock {own}"
    if not first.sequence_flags & TracePacket.SEQ_INCREMENTAL_STATE_CLEARED:
        yield "the first packet does not clear the incremental state"
    # Both clocks must agree with those of this machine to a minute.
    ago = time.time() - shown.get(BUILTIN_CLOCK_REALTIME, 0) / 1e9
    booted = time.clock_gettime(time.CLOCK_BOOTTIME) - shown.get(BUILTIN_CLOCK_BOOTTIME, 0) / 1e9
    if abs(ago - booted) > 60:
        yield f"the recording began {ago} s ago according to the wall clock, and {booted} s ago according to the boot time"


def order(trace):
    """Checks that tracks are described before they are used, and that each packet belongs to a sequence."""
    described = set()
    for number, packet in enumerate(trace.packet):
        if not packet.trusted_packet_sequence_id:
            yield f"packet {number} does not belong to a sequence"
        if packet.HasField("track_descriptor"):
            parent = packet.track_descriptor.parent_uuid
            if parent and parent not in described:
                yield f"packet {number}: the track's parent {parent} has not been described"
            described.add(packet.track_descriptor.uuid)
        if packet.HasField("track_event") and packet.track_event.track_uuid not in described:
            yield f"packet {number}: the track {packet.track_event.track_uuid} has not been described"


def top(track, tracks):
    """Returns the top-level ancestor of a track."""
    while track.parent_uuid in tracks:
        track = tracks[track.parent_uuid]
    return track


def groups(tracks):
    """Checks that each counter is in the group of a GPU and has a rank."""
    if not any(is_gpu(track) for track in tracks.values()):
        yield "there is no group of a GPU"
    for track in tracks.values():
        # Viewers merge tracks of the same name, and lose their children.
        if not track.HasField("counter") and track.sibling_merge_behavior != TrackDescriptor.SIBLING_MERGE_BEHAVIOR_NONE:
            yield f"{track.name} may be merged with others"
        group = top(track, tracks)
        if track.HasField("counter") and not is_gpu(group):
            yield f"the counter {track.name} is in the group {group.name!r}"
        if track.HasField("counter") and not track.HasField("sibling_order_rank"):
            yield f"the counter {track.name} has no rank"
        if is_gpu(track) and track.child_ordering != TrackDescriptor.EXPLICIT:
            yield f"{track.name} does not order its tracks"


def is_gpu(track):
    """Returns a true value if the track is the group of a GPU."""
    return not track.parent_uuid and re.match(r"GPU \d+( |$)", track.name)


def units(tracks):
    """Checks that each counter has one unit. Counters without a unit must have none, because viewers would show the
    unit 1 after their values."""
    for track in tracks.values():
        counter = track.counter
        count = (counter.unit != CounterDescriptor.UNIT_UNSPECIFIED) + bool(counter.unit_name)
        if track.HasField("counter") and (count != (not is_bare(track.name)) or counter.unit_name == "1"):
            yield f"the counter {track.name} has {count} units: {counter}"


def is_bare(key):
    """Returns True if the values of the series are numbers without a unit: ratios, identifiers, and counts."""
    return bool(re.match(r"hw\.(gpu\.utilization|fan\.speed_ratio)\b", key)) or key in (
        "gpu.clocks.event_reasons",
        "gpu.performance_state",
        "gpu.pcie.link.generation",
        "gpu.pcie.link.width",
        "gpu.pcie.replays",
        "gpu.ecc.corrected.lifetime",
        "gpu.ecc.uncorrected.lifetime",
    )


def kinds(trace, tracks):
    """Checks that events on counters have values, and that all other events are on other tracks."""
    for packet in events(trace):
        event, track = packet.track_event, tracks.get(packet.track_event.track_uuid)
        is_value = event.type == TrackEvent.TYPE_COUNTER
        fields = event.HasField("counter_value") + event.HasField("double_counter_value")
        if fields != is_value:
            yield f"an event of type {event.type} at {packet.timestamp} has {fields} values"
        if track and track.HasField("counter") != is_value:
            yield f"an event of type {event.type} is on the track {track.name}"
        if event.type in (TrackEvent.TYPE_INSTANT, TrackEvent.TYPE_SLICE_BEGIN) and not event.name:
            yield f"an event at {packet.timestamp} has no name"


def times(trace):
    """Checks that all events are between the start and the end of the recording."""
    found = events(trace)
    if not found or found[0].track_event.name != "recording.start":
        yield "the first event is not recording.start"
        return
    ended = [packet.timestamp for packet in found if packet.track_event.name == "recording.end"]
    first, last = found[0].timestamp, ended[0] if ended else found[-1].timestamp
    for packet in found:
        if not first - SLACK_NS <= packet.timestamp <= last + SLACK_NS or packet.timestamp_clock_id:
            yield f"an event at {packet.timestamp} is not between {first} and {last}"


def slices(trace, tracks):
    """Checks that the slices of a track begin before they end and do not overlap, and that the command's slice ends."""
    is_open = Counter()
    for packet in events(trace):
        event = packet.track_event
        is_open[event.track_uuid] += (event.type == TrackEvent.TYPE_SLICE_BEGIN) - (event.type == TrackEvent.TYPE_SLICE_END)
        if is_open[event.track_uuid] not in (0, 1):
            yield f"the track {tracks[event.track_uuid].name} has {is_open[event.track_uuid]} open slices at {packet.timestamp}"
    ended = any(packet.track_event.name == "recording.end" for packet in events(trace))
    if ended and any(is_open[uuid] for uuid, track in tracks.items() if track.name == "command" and not track.parent_uuid):
        yield "the recording has ended, but the slice of the command has not"


if __name__ == "__main__":
    found = check(sys.argv[1])
    print("\n".join(found) or f"{sys.argv[1]}: {len(values(sys.argv[1]))} values, no problems")
    sys.exit(bool(found))
