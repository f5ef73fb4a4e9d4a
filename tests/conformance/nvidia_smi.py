"""Comparison with NVIDIA's own nvidia-smi of several driver branches on the simulated driver: every command runs, and
reports the same values as igpu."""

import csv
import io
import math
import os
import struct
import subprocess

import scenarios
from machine import HERE, Difference, Machine, check

BRANCHES = ["390", "470", "525", "535", "550"]
FOLDER = f"{HERE}/../../target/nvidia-smi"

# The commands that run on each branch and each scenario with GPUs, apart from the exceptions below.
COMMANDS = [
    [], ["-L"], ["-q"], ["-q", "-x"], ["--query-gpu=index,name,power.draw", "--format=csv"],
    ["--query-compute-apps=pid,name,used_memory", "--format=csv"], ["dmon", "-c", "1"], ["pmon", "-c", "1"],
    ["topo", "-m"], ["nvlink", "-s"],
]
# The supported commands of the oldest branch. Its other commands call slots of the export table whose meaning is not
# known.
OLDEST_COMMANDS = [["-L"], ["--query-gpu=index,name,power.draw", "--format=csv"]]

# The commands that fail or do not exit, by scenario, with the reason.
TOO_NEW = "newer than the library, which lacks functions that it needs"
KNOWN_FAILURES = {
    "hgx-h100": {"470 nvlink -s": "this branch supports at most 12 links, and the GPU has 18"},
    "old-driver": {"470 pmon -c 1": TOO_NEW, "470 topo -m": TOO_NEW, "525 topo -m": TOO_NEW, "535 topo -m": TOO_NEW,
                   "550 topo -m": TOO_NEW},
}
# The fields that igpu reports and nvidia-smi does not, by scenario and branch. Unlike igpu, nvidia-smi does not call
# the older functions of this library.
MEMORY = ["memory.total", "memory.used", "memory.free"]
PCI = ["pci.bus_id", "pci.bus", "pci.device", "pci.device_id", "pci.sub_device_id"]
KNOWN_MISSING = {("old-driver", "535"): MEMORY, ("old-driver", "550"): MEMORY + PCI}


def mib(value, branch):
    """Returns a size in whole MiB. Branch 550 rounds up, and branch 535 truncates."""
    return str(math.ceil(value) if branch == "550" else math.floor(value))


def watts(value, _branch):
    """Returns watts as printed by nvidia-smi, which divides milliwatts in single precision."""
    return f"{struct.unpack('f', struct.pack('f', value))[0]:.2f}"


def plain(value, _branch):
    return str(value)


def hexadecimal(value, _branch):
    return f"0x{value}"


def lanes(value, _branch):
    return value.rstrip("x")


# Each field of `nvidia-smi --query-gpu`, the igpu attribute with the same value, and the function that formats the
# value as nvidia-smi does.
FIELDS = {
    "index": ("index", plain),
    "name": ("name", plain),
    "serial": ("serial", plain),
    "uuid": ("uuid", plain),
    "vbios_version": ("bios", plain),
    "pci.bus_id": ("pci.bus_id", plain),
    "pci.bus": ("pci.bus", hexadecimal),
    "pci.device": ("pci.device", hexadecimal),
    "pci.device_id": ("pci.device_id", hexadecimal),
    "pci.sub_device_id": ("pci.sub_system_id", hexadecimal),
    "pcie.link.gen.current": ("pci.current_link_gen", plain),
    "pcie.link.gen.max": ("pci.max_link_gen", plain),
    "pcie.link.width.current": ("pci.current_link_width", lanes),
    "pcie.link.width.max": ("pci.max_link_width", lanes),
    "fan.speed": ("utilization.fan", plain),
    "pstate": ("utilization.performance", plain),
    "temperature.gpu": ("utilization.temperature", plain),
    "utilization.gpu": ("utilization.gpu", plain),
    "utilization.memory": ("utilization.memory", plain),
    "memory.total": ("memory.total", mib),
    "memory.reserved": ("memory.reserved", mib),
    "memory.used": ("memory.used", mib),
    "memory.free": ("memory.free", mib),
    "power.draw": ("power.draw", watts),
    "power.limit": ("power.limit", watts),
    "power.min_limit": ("power.min_limit", watts),
    "power.max_limit": ("power.max_limit", watts),
    "clocks.gr": ("clocks.graphics", plain),
    "clocks.sm": ("clocks.sm", plain),
    "clocks.mem": ("clocks.memory", plain),
    "clocks.max.gr": ("clocks.max_graphics", plain),
    "clocks.max.sm": ("clocks.max_sm", plain),
    "clocks.max.mem": ("clocks.max_memory", plain),
}


def fetch():
    subprocess.run([f"{HERE}/../../scripts/fetch-nvidia-smi", *BRANCHES], check=True, stdout=subprocess.DEVNULL)


def run(machine, branch, command, timeout=60):
    return machine.run_client(f"{FOLDER}/{branch}/nvidia-smi", *command, timeout=timeout)


def rows(machine, branch, *query):
    """Returns the rows of a query as dictionaries. A value that the GPU lacks is None."""
    result = run(machine, branch, [*query, "--format=csv,nounits"])
    if result.returncode:
        raise Difference(f"nvidia-smi {branch} {' '.join(query)} failed:\n{result.stdout}{result.stderr}")
    heads, *lines = csv.reader(io.StringIO(result.stdout), skipinitialspace=True)
    heads = [head.split(" [")[0] for head in heads]
    return [{head: None if value.startswith("[") else value for head, value in zip(heads, line, strict=True)} for line in lines]


def attribute(gpu, path):
    for name in path.split("."):
        gpu = gpu[name]
    return gpu


def runs(built, scenario):
    """Runs every command of every branch, and reports those that fail or hang."""
    failed, count = {}, 0
    known = KNOWN_FAILURES.get(scenario.name, {})
    with Machine(built, scenario.toml) as machine:
        for branch in BRANCHES:
            for command in OLDEST_COMMANDS if branch == "390" else COMMANDS:
                name = f"{branch} {' '.join(command)}"
                try:
                    result = run(machine, branch, command, timeout=20)
                except subprocess.TimeoutExpired:
                    failed[name] = "it does not exit"
                    continue
                if result.returncode:
                    failed[name] = f"exit status {result.returncode}: {(result.stdout + result.stderr).strip()[-200:]}"
                else:
                    count += 1
    unexpected = {name: reason for name, reason in failed.items() if name not in known}
    check(f"{scenario.name}: commands of nvidia-smi that fail", unexpected, {})
    check(f"{scenario.name}: commands of nvidia-smi that are known to fail", sorted(failed), sorted(known))
    return [f"{count} commands run", *(f"{name} fails ({reason})" for name, reason in known.items())]


def agrees(built, scenario):
    """Compares each field that nvidia-smi and igpu both report, and the compute processes."""
    values = 0
    with Machine(built, scenario.toml) as machine:
        gpus = machine.igpu_json()
        for branch in ["535", "550"]:
            theirs = rows(machine, branch, f"--query-gpu={','.join(FIELDS)}")
            for gpu, row in zip(gpus, theirs, strict=True):
                ours = {}
                for field, (path, printed) in FIELDS.items():
                    value = attribute(gpu, path)
                    ours[field] = None if value is None else printed(value, branch)
                for field in KNOWN_MISSING.get((scenario.name, branch), []):
                    ours[field] = None
                nvidia_smi_values = dict(zip(FIELDS, row.values(), strict=True))
                check(f"{scenario.name}: GPU {gpu['index']} by nvidia-smi {branch}", ours, nvidia_smi_values)
                values += len(ours)
            apps = rows(machine, branch, "--query-compute-apps=gpu_uuid,pid,used_memory")
            theirs = sorted((row["gpu_uuid"], int(row["pid"]), row["used_gpu_memory"]) for row in apps)
            ours = sorted((gpu["uuid"], process["pid"], process["gpu_memory"] and str(process["gpu_memory"]))
                          for gpu in gpus for process in gpu["processes"] if process["kind"] == "compute")
            check(f"{scenario.name}: compute processes by nvidia-smi {branch}", ours, theirs)
            values += 2 * len(ours)
    return [f"{values} values agree"]


def jobs(helpers):
    """Returns the comparisons on each built-in scenario with GPUs. Debian has these programs for x86-64 only."""
    if os.uname().machine != "x86_64":
        return []
    fetch()
    chosen = []
    for name in scenarios.NAMES:
        if name != "empty":
            scenario = scenarios.Scenario(name, scenarios.built_in(name, helpers.pids))
            chosen += [(f"nvidia-smi runs on {name}", runs, scenario), (f"nvidia-smi agrees on {name}", agrees, scenario)]
    return chosen
