"""Checks a recording in the format Chrome trace against a schema of the trace event format.

usage: recordings_chrome.py FILE
"""

import json
import sys
from collections import Counter

from jsonschema import Draft202012Validator

NUMBER, TEXT = {"type": "number"}, {"type": "string"}
ID = {"type": "integer", "minimum": 0, "maximum": 2**32}


def event(phases, required, **properties):
    """Returns the schema of events of these phases."""
    phase = {"ph": {"enum": phases}}
    return {"if": {"properties": phase}, "then": {"required": required, "properties": properties}}


EVENT = {
    "type": "object",
    "required": ["ph", "pid"],
    "properties": {
        "ph": {"enum": ["B", "E", "C", "M", "i"]},
        "pid": ID,
        "tid": ID,
        "ts": NUMBER,
        "name": TEXT | {"minLength": 1},
        "id": TEXT,
        "args": {"type": "object"},
    },
    # The format has further members, which igpu does not write.
    "unevaluatedProperties": False,
    "allOf": [
        event(["B"], ["ts", "tid", "name"]),
        # Perfetto ends a slice at an end without a name, or with the slice's name.
        event(["E"], ["ts", "tid"], name=False),
        event(["i"], ["ts", "tid", "s", "name"], s={"enum": ["g", "p", "t"]}),
        # Each argument is a line in the graph of the counter.
        event(["C"], ["ts", "args", "name"], args={"minProperties": 1, "additionalProperties": NUMBER}),
        event(["M"], ["args", "name"], name={"enum": ["process_name", "process_sort_index", "thread_name"]}),
    ],
}
TRACE = {
    "type": "object",
    "required": ["traceEvents", "displayTimeUnit", "otherData"],
    "additionalProperties": False,
    "properties": {
        "displayTimeUnit": {"enum": ["ms", "ns"]},
        "otherData": {
            "type": "object",
            "required": ["recorder", "start_unix_nano"],
            "properties": {"recorder": TEXT, "start_unix_nano": {"type": "string", "pattern": "^[0-9]+$"}},
        },
        "traceEvents": {"type": "array", "items": EVENT},
    },
}


def check(path):
    """Returns the problems of the file."""
    try:
        with open(path, encoding="utf-8") as file:
            # By default, Python accepts NaN, which is not valid JSON.
            trace = json.load(file, parse_constant=no_number)
    except ValueError as error:
        return [f"the file is not JSON: {error}"]
    found = [f"{error.json_path}: {error.message}" for error in Draft202012Validator(TRACE).iter_errors(trace)]
    checks = [] if found else [names, slices, times]
    return found + [problem for look in checks for problem in look(trace["traceEvents"])]


def no_number(text):
    """Rejects a number that is not valid JSON."""
    raise ValueError(f"{text} is not a number")


def names(events):
    """Checks that each process has a name before its events, and that there is a GPU."""
    process_names = {}
    for event in events:
        if event.get("name") == "process_name":
            process_names[event["pid"]] = event["args"]["name"]
        if event["pid"] not in process_names:
            yield f"the process {event['pid']} has no name before its event {event}"
    if not any(name.startswith("GPU ") for name in process_names.values()):
        yield "there is no process of a GPU"


def slices(events):
    """Checks that slices of a thread begin before they end and do not overlap, and that their thread has a name."""
    is_open, named_threads = Counter(), set()
    for event in events:
        thread = event["pid"], event.get("tid")
        if event.get("name") == "thread_name":
            named_threads.add(thread)
        if event["ph"] in "BE":
            is_open[thread] += 1 if event["ph"] == "B" else -1
            if is_open[thread] not in (0, 1):
                yield f"thread {thread} has {is_open[thread]} open slices at {event['ts']}"
            if thread not in named_threads:
                yield f"thread {thread} has no name"


def times(events):
    """Checks that the recording starts at 0, and that no event is more than a second before the start or after the
    end."""
    timed = [event for event in events if "ts" in event]
    if not timed or (timed[0].get("name"), timed[0]["ts"]) != ("recording.start", 0):
        yield "the first event is not recording.start at 0"
    ended = [event["ts"] for event in timed if event.get("name") == "recording.end"]
    last = ended[0] if ended else timed[-1]["ts"] if timed else 0
    for event in timed:
        if not -1e6 <= event["ts"] <= last + 1e6:
            yield f"{event} is not between 0 and {last}"


def values(path):
    """Returns all counter values: (nanoseconds since the epoch, name of the process, name, id, value)."""
    with open(path, encoding="utf-8") as file:
        trace = json.load(file)
    start = int(trace["otherData"]["start_unix_nano"])
    events = trace["traceEvents"]
    process_names = {event["pid"]: event["args"]["name"] for event in events if event.get("name") == "process_name"}
    return [
        (start + round(event["ts"] * 1e3), process_names[event["pid"]], event["name"], event.get("id"),
         event["args"]["value"])
        for event in events if event["ph"] == "C"
    ]


if __name__ == "__main__":
    found = check(sys.argv[1])
    print("\n".join(found) or f"{sys.argv[1]}: {len(values(sys.argv[1]))} values, no problems")
    sys.exit(bool(found))
