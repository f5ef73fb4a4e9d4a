"""Prints the output of igpu 0.1.2 as JSON."""

import contextlib
import io
import json
import warnings

warnings.simplefilter("ignore")  # igpu imports pynvml by a deprecated name
import igpu

GROUPS = ["memory", "utilization", "pci", "clocks", "power", "processes"]
ATTRIBUTES = {
    "memory": ["total", "used", "free", "unit"],
    "utilization": ["gpu", "memory", "fan", "temperature", "performance"],
    "pci": ["bus", "bus_id", "device", "device_id", "sub_system_id", "current_link_gen", "max_link_gen",
            "current_link_width", "max_link_width"],
    "clocks": ["graphics", "sm", "memory", "max_graphics", "max_sm", "max_memory", "unit"],
    "power": ["management", "draw", "limit", "min_limit", "max_limit", "unit"],
}
PROCESS = ["pid", "name", "user", "parent_pid", "parent_name", "create_time", "gpu_memory"]


def outcome(function):
    """Returns the value of a function, or its exception."""
    try:
        return {"value": function()}
    except Exception as error:  # any failure of igpu is a result
        return {"error": f"{type(error).__name__}: {error}"}


def attributes(gpu):
    values = {name: getattr(gpu, name) for name in ["index", "name", "serial", "uuid", "bios"]}
    for group, names in ATTRIBUTES.items():
        values[group] = {name: getattr(getattr(gpu, group), name) for name in names}
    values["processes"] = [{name: getattr(process, name) for name in PROCESS} for process in gpu.processes or []]
    return values


def dump(gpu):
    return {
        "text": outcome(lambda: str(gpu)),
        "groups": {group: outcome(lambda: str(getattr(gpu, group))) for group in GROUPS},
        "processes": [str(process) for process in gpu.processes or []],
        "attributes": attributes(gpu),
    }


printed = io.StringIO()
with contextlib.redirect_stdout(printed):  # igpu prints errors of the driver
    output = {
        "devices": outcome(lambda: [dump(gpu) for gpu in igpu.devices()]),
        "count": outcome(igpu.count_devices),
        "indices": outcome(igpu.devices_index),
        "version": outcome(igpu.nvidia_driver_version),
        "get_device_0": outcome(lambda: str(igpu.get_device(0))),
        "get_device_999": outcome(lambda: str(igpu.get_device(999))),
        "visible": outcome(igpu.visible_devices_index),
    }
output["printed"] = printed.getvalue()
print(json.dumps(output))
