"""Comparison with NVIDIA's bindings, nvitop, and gpustat: they report the same values as our JSON."""

import json
import math
import re

from machine import NVML_BIN, Difference, check

OWNER = ["name", "user", "parent_pid", "parent_name", "create_time"]


def compare_nvml(scenario, machine):
    """Compares all values in the JSON of our commands, except process information, which NVML does not provide."""
    theirs = machine.python(NVML_BIN, "dump_nvml.py")
    status = 1 if scenario.lost else 0
    ours = machine.igpu_json(status=status)
    check(f"{scenario.name}: GPUs without a handle", sorted(map(int, theirs["lost"])), scenario.lost)
    ours = [gpu for gpu in ours if gpu["index"] not in scenario.lost]
    rows = [{"gpu": gpu["index"]} | row for gpu in ours for row in gpu["processes"] or []]
    check(f"{scenario.name}: igpu ps", machine.igpu_json("ps", status=status), rows)
    check(f"{scenario.name}: result of the bindings' process list", theirs["process_call"], scenario.process_call)
    if scenario.name == "driver-535.54":
        # Like igpu 0.1.2, the bindings read entries of 24 bytes, but the entries have 32 bytes.
        wrong = [peer["processes"].pop() for peer in theirs["gpus"]]
        check(f"{scenario.name}: the bindings misread the second process", wrong[0]["pid"] == rows[1]["pid"], False)
        rows.pop()
    values = 0
    for mine, peer in zip(ours, theirs["gpus"], strict=True):
        own = [{key: row[key] for key in row if key not in ["gpu", *OWNER]} for row in rows if row["gpu"] == mine["index"]]
        check(f"{scenario.name}: GPU {mine['index']} by nvidia-ml-py", mine | {"processes": own}, peer)
        values += len(re.findall(r'": (?![\[{])', json.dumps(peer)))
    driver = machine.igpu_json("driver")[0]
    check(f"{scenario.name}: the driver by nvidia-ml-py", {name: driver[name] for name in theirs["driver"]}, theirs["driver"])
    lines = [line for line in machine.igpu_json("list", status=status) if line["index"] not in scenario.lost]
    check(f"{scenario.name}: igpu list", lines, [{name: gpu[name] for name in ["index", "uuid", "name"]} for gpu in theirs["gpus"]])
    return f"nvidia-ml-py: {values + len(theirs['driver'])} values"


def by_pid(gpu):
    """Returns the rows of each pid. The other programs show one row for a process that is both a compute and a graphics
    process, and no row for an MPS process."""
    merged = {}
    for row in gpu["processes"] or []:
        if row["kind"] != "mps":
            merged.setdefault(row["pid"], []).append(row)
    return merged


def compare_nvitop(scenario, machine):
    screen = machine.run_client(f"{NVML_BIN}/nvitop", "-1")
    # If an old driver lacks a function, nvitop logs a traceback and continues.
    raised = re.findall(r"(?m)^(?!pynvml\.NVMLError_FunctionNotFound|AttributeError: .*undefined symbol)[\w.]+(?:Error|Exception)\b.*",
                        screen.stderr)
    if screen.returncode or raised:
        raise Difference(f"{scenario.name}: nvitop -1 exited with {screen.returncode}:\n{screen.stdout}{screen.stderr}")
    theirs = machine.python(NVML_BIN, "dump_nvitop.py")
    ours = machine.igpu_json(status=1 if scenario.lost else 0)
    for mine, peer in zip(ours, theirs["gpus"], strict=True):
        what = f"{scenario.name}: GPU {mine['index']} by nvitop"
        if mine["index"] in scenario.lost:
            check(what, peer["name"], "ERROR: GPU is Lost")
            continue
        rows = {}
        for pid, entries in by_pid(mine).items():
            check(f"{what}: process {pid} is shown", str(pid) in screen.stdout, True)
            names = ["gpu_memory", "gpu_instance_id", "compute_instance_id", "user", "name", "parent_pid", "create_time"]
            # For a process of two kinds, nvitop reports the memory of the last kind.
            rows[str(pid)] = {"type": "+".join(entry["kind"][0].upper() for entry in entries)}
            rows[str(pid)] |= {name: entries[-1][name] for name in names}
        part = {name: {key: mine[name][key] for key in value} if isinstance(value, dict) else mine[name]
                for name, value in peer.items() if name != "processes"}
        check(what, part | {"processes": rows}, peer)
    driver = machine.igpu_json("driver")[0]
    check(f"{scenario.name}: the driver by nvitop", {name: driver[name] for name in theirs["driver"]}, theirs["driver"])
    return f"nvitop: {sum(len(peer['processes']) for peer in theirs['gpus'])} processes"


def compare_gpustat(scenario, machine):
    result = machine.run_client(f"{NVML_BIN}/gpustat", "--json")
    if scenario.gpustat_error:
        check(f"{scenario.name}: gpustat fails", scenario.gpustat_error in result.stderr or result.stderr, True)
        return "gpustat fails as expected"
    if result.returncode:
        raise Difference(f"{scenario.name}: gpustat --json failed:\n{result.stdout}{result.stderr}")
    theirs = json.loads(result.stdout)
    ours = machine.igpu_json(status=1 if scenario.lost else 0)
    whole = lambda value: None if value is None else math.floor(value)
    for mine, peer in zip(ours, theirs["gpus"], strict=True):
        what = f"{scenario.name}: GPU {mine['index']} by gpustat"
        if mine["index"] in scenario.lost:
            check(what, peer["name"], "((GPU is lost))")
            continue
        part = {
            "index": mine["index"],
            "uuid": mine["uuid"],
            "name": mine["name"],
            "temperature.gpu": mine["utilization"]["temperature"],
            "fan.speed": mine["utilization"]["fan"],
            "utilization.gpu": mine["utilization"]["gpu"],
            "power.draw": whole(mine["power"]["draw"]),
            "enforced.power.limit": whole(mine["power"]["limit"]),
            "memory.used": whole(mine["memory"]["used"]),
            "memory.total": whole(mine["memory"]["total"]),
        }
        check(what, part, {name: peer[name] for name in part})
        # For a process of two kinds, gpustat reports the memory of the first kind. It reports 0 as unknown.
        rows = {pid: (entries[0]["user"], entries[0]["gpu_memory"] or None) for pid, entries in by_pid(mine).items()}
        if scenario.name == "driver-535.54":
            # The bindings misread the second process.
            rows = dict(list(rows.items())[:1])
        check(f"{what}: processes", rows, {row["pid"]: (row["username"], row["gpu_memory_usage"]) for row in peer["processes"]})
    version = machine.igpu_json("driver")[0]["driver_version"]
    check(f"{scenario.name}: the driver by gpustat", version, theirs["driver_version"])
    return "gpustat"
