"""Comparison with igpu 0.1.2: the output is identical, except for the intended differences in this file."""

import json
import math
import re
from datetime import datetime

from machine import IGPU_BIN, check

HEADS = {"memory": "GPU MEMORY:", "utilization": "GPU UTILIZATION:", "pci": "PCI INFO:", "clocks": "GPU CLOCK:",
         "power": "POWER INFO:", "processes": "PROCESSES"}
NO_PROCESS = ("PROCESSES\n    PID    | NAME                 | USER                 | PARENT   | CREATION TIME        "
              "| GPU MEM\n")


def compare_igpu(scenario, machine):
    theirs = printable(machine.python(IGPU_BIN, "dump_igpu.py"))
    status = 1 if scenario.lost else 0
    text, ours = machine.igpu(status=status), machine.igpu_json(status=status)
    if scenario.igpu_error:
        errors = theirs["printed"] + theirs["devices"].get("error", "")
        errors += "".join(gpu["text"].get("error", "") for gpu in theirs["devices"].get("value", []))
        check(f"{scenario.name}: igpu 0.1.2 fails", scenario.igpu_error in errors or errors, True)
        shown = [gpu["index"] for gpu in ours if gpu["index"] not in scenario.lost]
        check(f"{scenario.name}: igpu shows the GPUs", re.findall(r"(?m)^INDEX        : (\d+)$", text), [str(index) for index in shown])
        for line in scenario.expected_lines:
            check(f"{scenario.name}: a line that igpu 0.1.2 fails to print", line in text.split("\n") or text, True)
        return "igpu 0.1.2 fails as expected"

    gpus = theirs["devices"]["value"]
    if not gpus:
        check(f"{scenario.name}: no GPU", (text, ours), ("There is no NVIDIA GPU on this machine.\n", []))
    texts = [compare_gpu(scenario, machine, mine, peer) for mine, peer in zip(ours, gpus, strict=True)]
    if gpus:
        check(f"{scenario.name}: print(gpu) of each GPU", text, "".join(texts))

    indices = [gpu["index"] for gpu in ours]
    check(f"{scenario.name}: count_devices", len(indices), theirs["count"]["value"])
    check(f"{scenario.name}: devices_index", indices, theirs["indices"]["value"])
    version = machine.igpu_json("driver")[0]["driver_version"].split(".")
    check(f"{scenario.name}: nvidia_driver_version", [int(part) for part in version[:2]], theirs["version"]["value"])
    if gpus:
        check(f"{scenario.name}: igpu's get_device", theirs["get_device_0"]["value"], gpus[0]["text"]["value"])
        error = theirs["get_device_999"]["error"]
        check(f"{scenario.name}: no GPU 999", error, f"ValueError: Invalid device index: 999. Valid: {indices}")
        machine.igpu("show", "999", status=1)
    return f"igpu 0.1.2: {len(gpus)} GPUs, {sum(len(peer['processes']) for peer in gpus)} processes"


def printable(output):
    """Replaces lone surrogates. They represent bytes that are not UTF-8, as in names that the kernel has truncated
    within a character. igpu 0.1.2 fails when it prints them."""
    return json.loads(re.sub(r"\\udc[89a-f][0-9a-f]", r"\\ufffd", json.dumps(output)))


def compare_gpu(scenario, machine, ours, theirs):
    """Compares the texts and the attributes of a GPU. Returns the expected output of `print(gpu)`."""
    what = f"{scenario.name}: GPU {ours['index']}"
    mine = sections(machine.igpu("show", str(ours["index"])))
    yours = {group: answer["value"] for group, answer in theirs["groups"].items()}
    if scenario.custom:
        compare_custom(scenario, mine, ours, theirs)
    else:
        compare_attributes(what, ours, theirs["attributes"], scenario)
    if "processes" not in scenario.custom:
        table = mine["processes"].split("\n")
        for process, line in zip(computing(ours), theirs["processes"]):
            check(f"{what}: text of a process", f"    {wanted_process(line, process)}" in table or table, True)
    yours = {group: mine[group] if group in scenario.custom else wanted(group, text, ours, theirs["attributes"])
             for group, text in yours.items()}
    # The text of igpu 0.1.2 consists of a head and the groups, separated by blank lines.
    head = theirs["text"]["value"].partition(f"\n\n{HEADS['memory']}\n")[0]
    yours = {"head": mine["head"] if "head" in scenario.custom else head} | yours
    for group, text in yours.items():
        check(f"{what}: text of {group}", mine[group], text)
    # print() adds the last line break.
    return "\n\n".join(yours.values()) + "\n\n"


def sections(text):
    """Splits our text of a GPU into its groups."""
    places = [0] + [text.index(f"\n\n{head}\n") + 2 for head in HEADS.values()] + [len(text)]
    return {group: text[begin:end - 2] for group, begin, end in zip(["head", *HEADS], places, places[1:])}


def computing(gpu):
    """Returns the compute processes, because igpu 0.1.2 shows no other processes."""
    return [process for process in gpu["processes"] or [] if process["kind"] == "compute"]


def wanted(group, text, ours, theirs):
    """Returns the text of a group from igpu 0.1.2 with the intended differences. `ours` and `theirs` are the attributes
    of the GPU."""
    if group == "processes":
        # An empty table consists of its heading.
        if text == "None":
            return NO_PROCESS
        lines = text.split("\n")
        rows = [wanted_process(line, process) for process, line in zip(computing(ours), lines[2:])]
        return "\n".join(lines[:2] + rows + lines[2 + len(rows):])
    if group == "pci":
        return text
    if group == "memory" and ours["memory"]["reserved"]:
        # Our used memory does not include reserved memory.
        used = theirs["memory"]["used"] - ours["memory"]["reserved"]
        line = f"    Used  : {used:10.2f} MiB ({used / theirs['memory']['total'] * 100:6.2f}%)"
        text = text.replace(text.split("\n")[2], line)
    # A missing value is always N/A.
    return re.sub(r"\bnan(?=[ C%)])", "N/A", text)


def wanted_process(line, process):
    """Returns the line of a process from igpu 0.1.2. Memory that the driver does not report is N/A instead of 0."""
    if process["gpu_memory"] is None:
        assert line.endswith("| 0     "), line
        return line.removesuffix("0     ") + "N/A   "
    return line


def compare_attributes(what, ours, theirs, scenario):
    """Checks that every attribute of the objects of igpu 0.1.2 is in our JSON, with the same name and value."""
    mine, yours = flat(ours), flat(theirs)
    if ours["memory"]["reserved"]:
        yours["memory.used"] -= ours["memory"]["reserved"]
    for name, value in yours.items():
        lacking = value is None or value == "N/A" or isinstance(value, float) and math.isnan(value)
        if scenario.error_texts and mine[name] is None:
            # igpu 0.1.2 has the driver's error text instead of a value.
            lacking = lacking or isinstance(value, str)
        check(f"{what}: attribute {name}", mine[name], None if lacking else value)
    rows = []
    for process in computing(ours):
        row = {name: process[name] for name in ["pid", "name", "user", "parent_pid", "parent_name"]}
        # In igpu 0.1.2, the time is a string in the time zone of the process.
        row["create_time"] = str(datetime.fromtimestamp(int(process["create_time"])))
        rows.append(row | {"gpu_memory": process["gpu_memory"] or 0})
    if scenario.environment:
        rows = [row | {"create_time": peer["create_time"]} for row, peer in zip(rows, theirs["processes"])]
    check(f"{what}: attributes of the processes", rows, theirs["processes"])


def flat(gpu):
    values = {name: value for name, value in gpu.items() if not isinstance(value, (dict, list))}
    groups = {group: value for group, value in gpu.items() if isinstance(value, dict)}
    return values | {f"{group}.{name}": value for group, members in groups.items() for name, value in members.items()}


# Groups of the text of igpu 0.1.2 with larger intended differences.

def escaped(text):
    return re.sub(r"[\x00-\x1f]", lambda match: {"\n": "\\n"}.get(match[0], f"\\u{{{ord(match[0]):x}}}"), text)


def cells(line):
    return [cell.strip() for cell in line.split(" | ")]


def compare_custom(scenario, mine, ours, theirs):
    what = f"{scenario.name}: GPU {ours['index']}"
    table = mine["processes"].split("\n")[2:-1]
    if scenario.name == "control-characters":
        # Escapes change the widths of the columns. Therefore, only the contents of the columns are compared.
        check(what, [cells(line) for line in table], [cells(escaped(line)) for line in theirs["processes"]])
    if scenario.name == "escapes-in-strings":
        attributes = theirs["attributes"]
        check(what, [line.partition(": ")[2] for line in mine["head"].split("\n")],
              [escaped(str(attributes[name])) for name in ["index", "name", "serial", "uuid", "bios"]])
    if scenario.name == "vanished":
        # igpu 0.1.2 omits the process. Our line contains its pid and memory.
        exited = [process for process in ours["processes"] or [] if process["name"] is None]
        check(what, [cells(line) for line in table if "N/A" in line],
              [[str(row["pid"]), "N/A", "N/A", "N/A", "N/A", str(row["gpu_memory"])] for row in exited])
        check(what, [line[4:] for line in table if "N/A" not in line], theirs["processes"])
    if scenario.name == "driver-535.54":
        # igpu 0.1.2 reads entries of 24 bytes, but the entries have 32 bytes. Only the first entry is correct.
        check(what, (table[0][4:], len(table)), (theirs["processes"][0], 2))
        check(f"{what}: igpu misreads the second process", table[1][4:] in theirs["processes"], False)
    if scenario.name == "driver-error-texts":
        # igpu 0.1.2 shows the driver's error text, and our text shows the name of the code. Neither shows N/A.
        for group in scenario.custom:
            check(f"{what}: {group}", [line for line in mine[group].split("\n") if line.endswith(": N/A")], [])
    if scenario.name.startswith("below-zero"):
        # igpu 0.1.2 reads the number as unsigned.
        lines = theirs["groups"]["utilization"]["value"].replace("4294967291.00C", "-5.00C")
        check(what, mine["utilization"], lines)
