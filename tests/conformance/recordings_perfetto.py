"""A recording as Perfetto's own protobuf classes see it.

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

# Items may be that much out of order.
SLACK_NS = 1_000_000_000


def check(path):
    """What is wrong with the file: a list of sentences, empty where all is well."""
    trace = Trace()
    try:
        with open(path, "rb") as file:
            trace.ParseFromString(file.read())
    except DecodeError as error:
        return [f"the classes cannot parse it: {error}"]
    tracks = {packet.track_descriptor.uuid: packet.track_descriptor for packet in trace.packet if packet.HasField("track_descriptor")}
    checks = [unknown_fields, clocks, order, lambda t: groups(tracks), lambda t: units(tracks), lambda t: kinds(t, tracks), times, lambda t: slices(t, tracks)]
    return [problem for look in checks for problem in look(trace)]


def events(trace):
    """All packets with track events."""
    return [packet for packet in trace.packet if packet.HasField("track_event")]


def unix_offset(trace):
    """What to add to a timestamp to have nanoseconds since the epoch."""
    first = trace.packet[0]
    clocks = {clock.clock_id: clock.timestamp for clock in first.clock_snapshot.clocks}
    return clocks[BUILTIN_CLOCK_REALTIME] - clocks[first.trace_packet_defaults.timestamp_clock_id]


def values(path):
    """Every counter value as the simplest of readers has it: (nanoseconds since the epoch, track names from the top, value)."""
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
    """A field that the classes do not know has a wrong number."""
    for packet in trace.packet:
        parts = [packet, packet.track_event, packet.track_descriptor, packet.track_descriptor.counter, *packet.track_event.debug_annotations]
        for part in parts:
            for field in UnknownFieldSet(part):
                yield f"{part.DESCRIPTOR.name} has an unknown field {field.field_number}"


def clocks(trace):
    """The first packet says what the clocks show: the wall's, the machine's, and the one that all times are of."""
    first = trace.packet[0] if trace.packet else TracePacket()
    shown = {clock.clock_id: clock.timestamp for clock in first.clock_snapshot.clocks}
    own = first.trace_packet_defaults.timestamp_clock_id
    # The clocks of a sequence of packets are 64 to 127.
    if not {BUILTIN_CLOCK_REALTIME, BUILTIN_CLOCK_BOOTTIME, own} <= shown.keys() or not 64 <= own < 128:
        yield f"the first packet shows the clocks {sorted(shown)}, and times are of {own}"
    if not first.sequence_flags & TracePacket.SEQ_INCREMENTAL_STATE_CLEARED:
        yield "the first packet does not begin a state"
    # In the same minute as this machine's.
    ago = time.time() - shown.get(BUILTIN_CLOCK_REALTIME, 0) / 1e9
    booted = time.clock_gettime(time.CLOCK_BOOTTIME) - shown.get(BUILTIN_CLOCK_BOOTTIME, 0) / 1e9
    if abs(ago - booted) > 60:
        yield f"by the wall clock it began {ago} s ago, and by the machine's {booted} s"


def order(trace):
    """A track is described before it is used, and each packet is of a sequence."""
    described = set()
    for place, packet in enumerate(trace.packet):
        if not packet.trusted_packet_sequence_id:
            yield f"packet {place} is of no sequence"
        if packet.HasField("track_descriptor"):
            parent = packet.track_descriptor.parent_uuid
            if parent and parent not in described:
                yield f"packet {place}: the track's parent {parent} is not described yet"
            described.add(packet.track_descriptor.uuid)
        if packet.HasField("track_event") and packet.track_event.track_uuid not in described:
            yield f"packet {place}: the track {packet.track_event.track_uuid} is not described yet"


def top(track, tracks):
    """The track that a track stands under at last."""
    while track.parent_uuid in tracks:
        track = tracks[track.parent_uuid]
    return track


def groups(tracks):
    """Each counter stands in the group of a GPU, in the order of the ranks."""
    if not any(is_gpu(track) for track in tracks.values()):
        yield "there is no group of a GPU"
    for track in tracks.values():
        # Viewers lay tracks of one name together, and lose what is below them.
        if not track.HasField("counter") and track.sibling_merge_behavior != TrackDescriptor.SIBLING_MERGE_BEHAVIOR_NONE:
            yield f"{track.name} may be merged with others"
        group = top(track, tracks)
        if track.HasField("counter") and not is_gpu(group):
            yield f"the counter {track.name} stands under {group.name!r}"
        if track.HasField("counter") and not track.HasField("sibling_order_rank"):
            yield f"the counter {track.name} has no rank"
        if is_gpu(track) and track.child_ordering != TrackDescriptor.EXPLICIT:
            yield f"{track.name} does not order its tracks"


def is_gpu(track):
    """Whether the track is a GPU's group."""
    return not track.parent_uuid and re.match(r"GPU \d+( |$)", track.name)


def units(tracks):
    """Each counter says what it counts in, in one way; bare numbers have no unit: a 1 would be drawn behind them."""
    for track in tracks.values():
        counter = track.counter
        told = (counter.unit != CounterDescriptor.UNIT_UNSPECIFIED) + bool(counter.unit_name)
        if track.HasField("counter") and (told != (not is_bare(track.name)) or counter.unit_name == "1"):
            yield f"the counter {track.name} has {told} units: {counter}"


def is_bare(key):
    """Whether the values of the series are bare numbers: ratios, and what has a number for a name."""
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
    """Counters have values, and all other events are on tracks that are none."""
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
    """All happens between the recording's start and its end."""
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
    """A slice begins before it ends, and once at a time; that of the command ends when the recording does."""
    is_open = Counter()
    for packet in events(trace):
        event = packet.track_event
        is_open[event.track_uuid] += (event.type == TrackEvent.TYPE_SLICE_BEGIN) - (event.type == TrackEvent.TYPE_SLICE_END)
        if is_open[event.track_uuid] not in (0, 1):
            yield f"the track {tracks[event.track_uuid].name} has {is_open[event.track_uuid]} open slices at {packet.timestamp}"
    ended = any(packet.track_event.name == "recording.end" for packet in events(trace))
    if ended and any(is_open[uuid] for uuid, track in tracks.items() if track.name == "command" and not track.parent_uuid):
        yield "the command did not end, and the recording did"


if __name__ == "__main__":
    found = check(sys.argv[1])
    print("\n".join(found) or f"{sys.argv[1]}: {len(values(sys.argv[1]))} values, all is well")
    sys.exit(bool(found))
