"""Records simulated machines in every format, and reads the files with third-party readers. Checks that the files are
valid, even if igpu was killed, and that their values match the summary that igpu prints.

usage: recordings.py --igpu PROGRAM
"""

import argparse
import collections
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import recordings_chrome
import recordings_perfetto
import recordings_tables

ENDINGS = ["perfetto-trace", "json", "csv", "jsonl", "parquet"]
SCENARIOS = ["workstation", "hgx-h100", "mig", "old-driver"]
COMMAND = ["sh", "-c", "sleep 2; exit 3"]
# igpu flushes every second, and test machines are slow.
FLUSH_S = 1.5

Value = collections.namedtuple("Value", "at gpu key pid value")


def record(igpu, scenario, path, *options, command=()):
    """Starts `igpu record`."""
    program = ["--", *command] if command else []
    arguments = [igpu, f"--simulate={scenario}", "record", "-o", path, *options, *program]
    return subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def check(path):
    """Returns the problems that a reader of the format finds in a file."""
    reader = {".perfetto-trace": recordings_perfetto, ".json": recordings_chrome}
    return reader.get(os.path.splitext(path)[1], recordings_tables).check(path)


def values(path):
    """Returns all values of a file, as read by a reader of its format."""
    ending = os.path.splitext(path)[1]
    if ending == ".perfetto-trace":
        return [of_tracks(*found) for found in recordings_perfetto.values(path)]
    if ending == ".json":
        return [of_counter(*found) for found in recordings_chrome.values(path)]
    return [of_row(*row) for row in recordings_tables.rows(path) if row[7] is None]


def of_row(at, gpu, metric, attribute, value, _unit, its_pid, _event, _text):
    return Value(at, gpu, f"{metric}{{{attribute}}}" if attribute else metric, its_pid, value)


def index(name):
    """Returns the index of a GPU from the name of its group, as in `GPU 3 NVIDIA H100`."""
    return int(name.split()[1])


def of_tracks(at, names, value):
    group, *_, key = names
    return Value(at, index(group), key, pid(names[1]) if len(names) > 2 else None, value)


def pid(name):
    """Returns the pid of a process from the name of its track, as in `python (4711) ann`."""
    return int(name.rsplit("(", 1)[1].split(")")[0])


def of_counter(at, process, name, its_id, value):
    return Value(at, index(process), name, its_id and int(its_id), value)


def series(found, gpu, key):
    """Returns the values of a GPU's series, ordered by time."""
    return sorted((value.at, value.value) for value in found if (value.gpu, value.key, value.pid) == (gpu, key, None))


def mean(steps, end):
    """Returns the mean over time of a step signal."""
    weighted = [(after[0] - step[0], step[1]) for step, after in zip(steps, steps[1:] + [(end, 0)])]
    return sum(time * value for time, value in weighted) / sum(time for time, _ in weighted)


def differences(found, summary):
    """Yields the differences between the values and the summary."""
    end = summary["start_unix_nano"] + round(summary["duration_s"] * 1e9)
    for gpu in summary["gpus"]:
        def greatest(key):
            return max((value for _, value in series(found, gpu["index"], key)), default=None)

        energy = [value for _, value in series(found, gpu["index"], "hw.energy")]
        power = series(found, gpu["index"], "hw.power") + series(found, gpu["index"], "gpu.power.instant")
        busy = series(found, gpu["index"], "hw.gpu.utilization{hw.gpu.task=general}")
        pairs = {
            "energy": (energy[-1] - energy[0], gpu["energy"]["energy_j"]),
            "peak power": (max(value for _, value in power), gpu["power_peak_w"]),
            "peak memory": (greatest("hw.gpu.memory.usage"), gpu["memory_peak_bytes"]),
            "memory": (greatest("hw.gpu.memory.limit"), gpu["memory_limit_bytes"]),
            "temperature": (greatest("hw.temperature"), gpu["temperature_max_cel"]),
            "utilization": (mean(busy, end), gpu["utilization"]["mean"]) if busy else (None, gpu["utilization"]),
        }
        for what, (theirs, ours) in pairs.items():
            if theirs != ours and not (theirs and ours and math.isclose(theirs, ours, rel_tol=1e-9)):
                yield f"GPU {gpu['index']}: {what} is {theirs} according to the values and {ours} in the summary"
        seen = {value.pid for value in found if value.gpu == gpu["index"] and value.pid}
        if not seen <= {process["pid"] for process in gpu["processes"] or []}:
            yield f"GPU {gpu['index']}: some of the processes {seen} are missing in the summary"


def report(igpu, path):
    return json.loads(subprocess.run([igpu, "report", "--summary-json", path], check=True, stdout=subprocess.PIPE).stdout)


def complete(igpu, scenario, path):
    """Records a command until it exits, and returns the problems of the recording."""
    with tempfile.NamedTemporaryFile() as summary:
        running = record(igpu, scenario, path, "--processes", f"--summary-json={summary.name}", command=COMMAND)
        output = running.communicate()[0]
        if running.returncode != 3:
            return [f"exit status {running.returncode}, expected the command's status 3: {output.decode()}"]
        recorded = json.load(summary)
    problems = check(path)
    if report(igpu, path) != recorded:
        problems.append("the summaries of `igpu report` and `igpu record` differ")
    is_complete = recorded["complete"] and not recorded["dropped_records"]
    if not is_complete or recorded["command"]["status"] != 3 or not recorded["gpus"]:
        problems.append(f"the summary is not that of a complete recording of the command: {recorded}")
    return problems + list(differences(values(path), recorded))


def killed(igpu, scenario, path):
    """Kills a recording, and returns the problems of the file."""
    running = record(igpu, scenario, path)
    time.sleep(2.7)
    running.send_signal(signal.SIGKILL)
    end = time.time()
    running.communicate()
    problems, found = check(path), values(path)
    missing = end - max(value.at for value in found) / 1e9
    # The values of the other scenarios may be constant.
    if scenario == "hgx-h100" and missing > FLUSH_S:
        problems.append(f"the last {missing:.1f} s are missing")
    summary = report(igpu, path)
    if summary["complete"] or summary["duration_s"] < 2.7 - FLUSH_S:
        problems.append(f"the summary is not that of an interrupted recording: {summary}")
    return problems + list(differences(found, summary))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--igpu", required=True, help="path of the command, built with Parquet")
    igpu = os.path.abspath(parser.parse_args().igpu)
    failed = 0
    jobs = list(itertools.product(SCENARIOS, ENDINGS, [complete, killed]))
    # The recordings sleep most of the time, so that they can run in parallel.
    with tempfile.TemporaryDirectory(prefix="igpu-conformance-recordings-") as folder, ThreadPoolExecutor(4) as pool:
        paths = [f"{folder}/{scenario}-{what.__name__}.{ending}" for scenario, ending, what in jobs]
        running = [pool.submit(what, igpu, scenario, path) for (scenario, _, what), path in zip(jobs, paths)]
        for (scenario, ending, what), job in zip(jobs, running):
            problems = job.result()
            print(f"{scenario:12} {ending:15} {what.__name__:7} {'; '.join(problems) or 'passed'}", flush=True)
            failed += bool(problems)
    print(f"{failed} recordings failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
