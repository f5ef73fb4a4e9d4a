"""igpu 0.1.2 and us: the same bytes, but for the wanted differences that are written down here."""

import json
import math
import re
from datetime import datetime

from machine import OLD, check

HEADS = {"memory": "GPU MEMORY:", "utilization": "GPU UTILIZATION:", "pci": "PCI INFO:", "clocks": "GPU CLOCK:",
         "power": "POWER INFO:", "processes": "PROCESSES"}
NO_PROCESS = ("PROCESSES\n    PID    | NAME                 | USER                 | PARENT   | CREATION TIME        "
              "| GPU MEM\n")


def compare_igpu(scenario, machine):
    theirs = printable(machine.python(OLD, "dump_igpu.py"))
    status = 1 if scenario.lost else 0
    text, ours = machine.igpu(status=status), machine.igpu_json(status=status)
    if scenario.igpu_dies:
        told = theirs["printed"] + theirs["devices"].get("dies", "")
        told += "".join(gpu["text"].get("dies", "") for gpu in theirs["devices"].get("gives", []))
        check(f"{scenario.name}: igpu 0.1.2 dies", scenario.igpu_dies in told or told, True)
        shown = [gpu["index"] for gpu in ours if gpu["index"] not in scenario.lost]
        check(f"{scenario.name}: we do not", re.findall(r"(?m)^INDEX        : (\d+)$", text), [str(index) for index in shown])
        for line in scenario.in_place:
            check(f"{scenario.name}: in place of igpu's death", line in text.split("\n") or text, True)
        return "igpu 0.1.2 dies as known"

    peers = theirs["devices"]["gives"]
    if not peers:
        check(f"{scenario.name}: no GPU", (text, ours), ("There is no NVIDIA GPU on this machine.\n", []))
    wholes = [compare_gpu(scenario, machine, mine, peer) for mine, peer in zip(ours, peers, strict=True)]
    if peers:
        check(f"{scenario.name}: print(gpu) of each GPU", text, "".join(wholes))

    indices = [gpu["index"] for gpu in ours]
    check(f"{scenario.name}: count_devices", len(indices), theirs["count"]["gives"])
    check(f"{scenario.name}: devices_index", indices, theirs["indices"]["gives"])
    version = machine.igpu_json("driver")[0]["driver_version"].split(".")
    check(f"{scenario.name}: nvidia_driver_version", [int(part) for part in version[:2]], theirs["version"]["gives"])
    if peers:
        check(f"{scenario.name}: igpu's get_device", theirs["get_device_0"]["gives"], peers[0]["text"]["gives"])
        refusal = theirs["get_device_999"]["dies"]
        check(f"{scenario.name}: no GPU 999", refusal, f"ValueError: Invalid device index: 999. Valid: {indices}")
        machine.igpu("show", "999", status=1)
    return f"igpu 0.1.2: {len(peers)} GPUs, {sum(len(peer['processes']) for peer in peers)} processes"


def printable(answer):
    """Without the lone surrogates that stand for bytes which are not UTF-8, as in names that the kernel has cut within a
    letter: of those igpu dies when it is printed."""
    return json.loads(re.sub(r"\\udc[89a-f][0-9a-f]", r"\\ufffd", json.dumps(answer)))


def compare_gpu(scenario, machine, ours, theirs):
    """Compares the texts and the attributes of one GPU; gives what `print(gpu)` is to print."""
    what = f"{scenario.name}: GPU {ours['index']}"
    mine = sections(machine.igpu("show", str(ours["index"])))
    yours = {group: answer["gives"] for group, answer in theirs["groups"].items()}
    if scenario.skipped:
        # Looked at in its own way, and then taken as it is.
        compare_skipped(scenario, mine, ours, theirs)
    else:
        compare_attributes(what, ours, theirs["attributes"], scenario)
    if "processes" not in scenario.skipped:
        table = mine["processes"].split("\n")
        for process, line in zip(computing(ours), theirs["processes"]):
            check(f"{what}: text of a process", f"    {wanted_process(line, process)}" in table or table, True)
    yours = {group: mine[group] if group in scenario.skipped else wanted(group, text, ours, theirs["attributes"])
             for group, text in yours.items()}
    # igpu's whole text is a head, the groups, and blank lines between; its own text shows that.
    head = theirs["text"]["gives"].partition(f"\n\n{HEADS['memory']}\n")[0]
    yours = {"head": mine["head"] if "head" in scenario.skipped else head} | yours
    for group, text in yours.items():
        check(f"{what}: text of {group}", mine[group], text)
    # print() adds the last line feed.
    return "\n\n".join(yours.values()) + "\n\n"


def sections(text):
    """Our text of one GPU, by group."""
    places = [0] + [text.index(f"\n\n{head}\n") + 2 for head in HEADS.values()] + [len(text)]
    return {group: text[begin:end - 2] for group, begin, end in zip(["head", *HEADS], places, places[1:])}


def computing(gpu):
    """The processes that igpu knows of."""
    return [process for process in gpu["processes"] or [] if process["kind"] == "compute"]


def wanted(group, text, ours, theirs):
    """igpu's text of a group with the wanted differences; `ours` and `theirs` are the attributes of the GPU."""
    if group == "processes":
        # An empty table is its head.
        if text == "None":
            return NO_PROCESS
        lines = text.split("\n")
        rows = [wanted_process(line, process) for process, line in zip(computing(ours), lines[2:])]
        return "\n".join(lines[:2] + rows + lines[2 + len(rows):])
    if group == "pci":
        return text
    if group == "memory" and ours["memory"]["reserved"]:
        # Memory that the driver keeps is none that is used.
        used = theirs["memory"]["used"] - ours["memory"]["reserved"]
        line = f"    Used  : {used:10.2f} MiB ({used / theirs['memory']['total'] * 100:6.2f}%)"
        text = text.replace(text.split("\n")[2], line)
    # What is lacking is N/A everywhere.
    return re.sub(r"\bnan(?=[ C%)])", "N/A", text)


def wanted_process(line, process):
    """igpu's line of a process, where memory that the driver does not tell is N/A and not 0."""
    if process["gpu_memory"] is None:
        assert line.endswith("| 0     "), line
        return line.removesuffix("0     ") + "N/A   "
    return line


def compare_attributes(what, ours, theirs, scenario):
    """Every attribute of igpu's objects is in our JSON, under its name and with its value."""
    mine, yours = flat(ours), flat(theirs)
    if ours["memory"]["reserved"]:
        yours["memory.used"] -= ours["memory"]["reserved"]
    for name, value in yours.items():
        lacking = value is None or value == "N/A" or isinstance(value, float) and math.isnan(value)
        if scenario.words and mine[name] is None:
            # The driver's words stand there for the value.
            lacking = lacking or isinstance(value, str)
        check(f"{what}: attribute {name}", mine[name], None if lacking else value)
    rows = []
    for process in computing(ours):
        row = {name: process[name] for name in ["pid", "name", "user", "parent_pid", "parent_name"]}
        # igpu's time is a text, in the zone of its process.
        row["create_time"] = str(datetime.fromtimestamp(int(process["create_time"])))
        rows.append(row | {"gpu_memory": process["gpu_memory"] or 0})
    if scenario.environment:
        rows = [row | {"create_time": peer["create_time"]} for row, peer in zip(rows, theirs["processes"])]
    check(f"{what}: attributes of the processes", rows, theirs["processes"])


def flat(gpu):
    values = {name: value for name, value in gpu.items() if not isinstance(value, (dict, list))}
    groups = {group: value for group, value in gpu.items() if isinstance(value, dict)}
    return values | {f"{group}.{name}": value for group, named in groups.items() for name, value in named.items()}


# Where igpu's text is not what is wanted, what is.

def escaped(text):
    return re.sub(r"[\x00-\x1f]", lambda match: {"\n": "\\n"}.get(match[0], f"\\u{{{ord(match[0]):x}}}"), text)


def cells(line):
    return [cell.strip() for cell in line.split(" | ")]


def compare_skipped(scenario, mine, ours, theirs):
    what = f"{scenario.name}: GPU {ours['index']}"
    table = mine["processes"].split("\n")[2:-1]
    if scenario.name == "control-characters":
        # The columns are as wide as what is shown, so only what is in them is igpu's.
        check(what, [cells(line) for line in table], [cells(escaped(line)) for line in theirs["processes"]])
    if scenario.name == "escapes-in-strings":
        attributes = theirs["attributes"]
        check(what, [line.partition(": ")[2] for line in mine["head"].split("\n")],
              [escaped(str(attributes[name])) for name in ["index", "name", "serial", "uuid", "bios"]])
    if scenario.name == "vanished":
        # igpu leaves it out; here its line says that nothing more is known.
        lacking = [process for process in ours["processes"] or [] if process["name"] is None]
        check(what, [cells(line) for line in table if "N/A" in line],
              [[str(row["pid"]), "N/A", "N/A", "N/A", "N/A", str(row["gpu_memory"])] for row in lacking])
        check(what, [line[4:] for line in table if "N/A" not in line], theirs["processes"])
    if scenario.name == "driver-535.54":
        # igpu takes 24 bytes for an entry that has 32 there: it is right about the first one only.
        check(what, (table[0][4:], len(table)), (theirs["processes"][0], 2))
        check(f"{what}: igpu misreads the second process", table[1][4:] in theirs["processes"], False)
    if scenario.name == "words-of-the-driver":
        # igpu asks the driver for the words, we do not; neither takes the code for "not supported".
        for group in scenario.skipped:
            check(f"{what}: {group}", [line for line in mine[group].split("\n") if line.endswith(": N/A")], [])
    if scenario.name.startswith("below-zero"):
        # igpu reads the number as if it had no sign.
        lines = theirs["groups"]["utilization"]["gives"].replace("4294967291.00C", "-5.00C")
        check(what, mine["utilization"], lines)
