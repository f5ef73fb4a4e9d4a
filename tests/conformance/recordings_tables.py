"""Checks recordings in tabular formats (CSV, JSON Lines, Parquet) with pandas and pyarrow.

usage: recordings_tables.py FILE...    several files must have the same items and therefore equal rows

Needs pandas and pyarrow.
"""

import json
import math
import os
import re
import sys

import pandas
import pyarrow
import pyarrow.parquet

COLUMNS = ["time_unix_nano", "gpu", "metric", "attribute", "value", "unit", "pid", "event", "text"]
INTEGERS = ["time_unix_nano", "gpu", "pid"]
TEXTS = ["metric", "attribute", "unit", "event", "text"]

# The metrics of OpenTelemetry's hardware conventions: unit, name of the attribute, and values of the attribute.
CONVENTIONS = {
    "hw.gpu.utilization": ("1", "hw.gpu.task", {"general", "encoder", "decoder"}),
    "hw.gpu.memory.usage": ("By", None, None),
    "hw.gpu.memory.limit": ("By", None, None),
    "hw.gpu.io": ("By", "network.io.direction", {"transmit", "receive"}),
    "hw.power": ("W", None, None),
    "hw.energy": ("J", None, None),
    "hw.temperature": ("Cel", "hw.sensor_location", {"memory"}),
    "hw.fan.speed_ratio": ("1", None, None),
    "hw.errors": ("{error}", "error.type", {"corrected", "uncorrected"}),
}
# Metrics whose attribute may be missing, because the sensor is that of the GPU.
WITHOUT_ATTRIBUTE = {"hw.temperature"}
# Names of igpu for metrics that have a name in the conventions.
NOT_CONVENTIONAL = {
    "gpu.utilization", "gpu.encoder.utilization", "gpu.decoder.utilization", "gpu.memory.used", "gpu.pcie.tx",
    "gpu.pcie.rx", "gpu.power", "gpu.energy", "gpu.temperature", "gpu.memory.temperature", "gpu.fan.speed",
    "gpu.ecc.corrected", "gpu.ecc.uncorrected",
}
# The possible values of a metric, or of all other metrics with a unit.
RANGES = {
    "hw.gpu.utilization": (0, 1), "hw.fan.speed_ratio": (0, 1.5), "gpu.performance_state": (0, 32),
    "gpu.pcie.link.generation": (0, 8), "gpu.pcie.link.width": (0, 32),
    "W": (0, 5000), "Cel": (-50, 200), "MHz": (0, 20_000), "%": (0, 100), "1": (0, 2**64), "{error}": (0, 2**64),
    "By": (0, 2**64), "By/s": (0, 2**50), "J": (0, 2**53), "ns": (0, 2**64),
}
COUNTERS = {"hw.energy", "hw.gpu.io"}
# The largest accepted decrease of time, in nanoseconds. Samples from the driver's buffers are read later than newer
# values.
MAX_BACKWARDS_NS = 5 * 10**9


def read_csv(path):
    types = {name: "Int64" for name in INTEGERS} | {name: "string" for name in TEXTS} | {"value": "float64"}
    # The name of a process may be "nan".
    empty = {"value": [""], "gpu": [""], "pid": [""]}
    return pandas.read_csv(path, dtype=types, keep_default_na=False, na_values=empty)


def read_json_lines(path):
    # Without dtype=False, pandas would convert strings to numbers.
    table = pandas.read_json(path, lines=True, dtype=False, precise_float=True)
    return table.reindex(columns=COLUMNS)


def read_parquet(path):
    table = pandas.read_parquet(path, dtype_backend="numpy_nullable")
    table["time_unix_nano"] = table["time_unix_nano"].astype("int64")
    return table


READERS = {".csv": read_csv, ".jsonl": read_json_lines, ".ndjson": read_json_lines, ".parquet": read_parquet}


def is_table(path):
    return os.path.splitext(path)[1] in READERS


def rows(path):
    """Returns the rows as tuples in the order of the columns. Missing values are None."""
    table = READERS[os.path.splitext(path)[1]](path)
    columns = []
    for name in COLUMNS:
        of_kind = int if name in INTEGERS else float if name == "value" else str
        # CSV does not distinguish an empty string from a missing string.
        columns.append([None if pandas.isna(cell) or cell == "" else of_kind(cell) for cell in table[name]])
    return list(zip(*columns))


def check_form(path):
    """Returns problems with the columns of a file, their order, and their types."""
    if path.endswith(".csv"):
        found = list(pandas.read_csv(path, nrows=0).columns)
        return [] if found == COLUMNS else [f"the columns are {found}"]
    if not path.endswith(".parquet"):
        with open(path, encoding="utf-8") as lines:
            strange = {key for line in lines for key in json.loads(line)} - set(COLUMNS)
        return [f"there are other keys: {strange}"] if strange else []
    kinds = {"value": pyarrow.float64(), "time_unix_nano": pyarrow.timestamp("ns", "UTC")}
    kinds |= {"gpu": pyarrow.uint32(), "pid": pyarrow.uint32()} | {name: pyarrow.string() for name in TEXTS}
    expected = pyarrow.schema([pyarrow.field(name, kinds[name], name != "time_unix_nano") for name in COLUMNS])
    file = pyarrow.parquet.ParquetFile(path)
    problems = [] if file.schema_arrow.equals(expected) else [f"the schema is {file.schema_arrow}"]
    table = file.read()
    table.validate(full=True)
    # The rows as read by pyarrow without pandas.
    times = table["time_unix_nano"].cast(pyarrow.int64()).to_pylist()
    others = [table[name].to_pylist() for name in COLUMNS[1:]]
    alone = [tuple(None if cell == "" else cell for cell in row) for row in zip(times, *others)]
    if alone != rows(path):
        problems.append("pyarrow and pandas read different rows")
    return problems


def check_value(row):
    """Returns the problem of a row that is a value, or None."""
    _, gpu, metric, attribute, value, unit, _, _, _ = row
    if metric is None or value is None or unit is None or gpu is None:
        return "metric, value, unit, or gpu is missing"
    if metric.startswith("hw."):
        if metric not in CONVENTIONS:
            return "the metric is not in the conventions"
        its_unit, name, values = CONVENTIONS[metric]
        if unit != its_unit:
            return f"the unit should be {its_unit}"
        is_right = attribute in {f"{name}={value}" for value in values} if name and attribute else attribute is None
        if not is_right or (name and not attribute and metric not in WITHOUT_ATTRIBUTE):
            return "the attribute is not that of the metric"
    elif not metric.startswith("gpu.") or metric in NOT_CONVENTIONAL:
        return "the conventions have another name for the metric"
    min_value, max_value = RANGES.get(metric) or RANGES.get(unit) or (math.nan, math.nan)
    return None if min_value <= value <= max_value else f"the value is not between {min_value} and {max_value}"


def check_event(row):
    """Returns the problem of a row that is an event, or None."""
    _, gpu, _, _, _, unit, _, event, text = row
    if not re.fullmatch(r"[a-z]+\.[a-z_]+", event):
        return "the name of the event is invalid"
    if unit is not None:
        return "the event has a unit"
    if event.startswith("gpu.") and gpu is None:
        return "the GPU is missing"
    if event in ("recording.start", "process.start"):
        try:
            return None if isinstance(json.loads(text or ""), dict) else "the text is not an object"
        except ValueError as error:
            return f"the text is not JSON: {error}"
    return None


def check_rows(all_rows):
    problems = []
    if not all_rows or all_rows[0][7] != "recording.start":
        return ["the file does not begin with recording.start"]
    header = json.loads(all_rows[0][8])
    gpus = {gpu["index"] for gpu in header["gpus"]}
    latest, counted = 0, {}
    for number, row in enumerate(all_rows):
        time, gpu, metric, attribute, value = row[:5]
        problem = check_event(row) if row[7] else check_value(row)
        if problem is None and not 1_500_000_000 * 10**9 < time < 5_000_000_000 * 10**9:
            problem = "the time is not plausible"
        if problem is None and time < latest - MAX_BACKWARDS_NS:
            problem = f"the time is {(latest - time) / 1e9} s before that of an earlier row"
        if problem is None and gpu is not None and gpu not in gpus:
            problem = f"the GPU is not one of {sorted(gpus)} in the header"
        if problem is None and metric in COUNTERS and not row[7]:
            key = (gpu, metric, attribute)
            problem = None if value >= counted.get(key, 0) else f"the counter was {counted[key]} before"
            counted[key] = value
        if problem is not None:
            problems.append(f"row {number} {row}: {problem}")
        latest = max(latest, time)
    if not any(row[2] and not row[7] for row in all_rows):
        problems.append("the file contains no values")
    return problems


def check(path):
    """Returns the problems of a recording."""
    try:
        return check_form(path) or check_rows(rows(path))
    except (ValueError, TypeError, KeyError, OSError, pyarrow.ArrowException) as error:
        return [f"the file cannot be read: {error!r}"]


def compare(paths):
    """Returns the differences between files with the same items."""
    problems = []
    first = rows(paths[0])
    for path in paths[1:]:
        other = rows(path)
        if len(first) != len(other):
            problems.append(f"{paths[0]} has {len(first)} rows, {path} has {len(other)}")
        different = [number for number, (a, b) in enumerate(zip(first, other)) if a != b]
        for number in different[:3]:
            problems.append(f"row {number}, one of {len(different)} that differ: {first[number]} and {other[number]}")
    return problems


def main(paths):
    failed = False
    for path in paths:
        problems = check(path)
        failed |= bool(problems)
        print(f"{path}: {'no problems' if not problems else ''}")
        for problem in problems[:20]:
            print(f"    {problem}")
    for problem in compare(paths) if len(paths) > 1 else []:
        failed = True
        print(problem)
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) < 2 or not all(map(is_table, sys.argv[1:])):
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
