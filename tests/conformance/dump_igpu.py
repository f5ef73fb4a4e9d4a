"""What igpu 0.1.2 says of the driver, as JSON."""

import contextlib
import io
import json
import warnings

warnings.simplefilter("ignore")  # igpu imports pynvml by a name that pynvml calls old
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


def tried(function):
    """What it gives, or how it dies."""
    try:
        return {"gives": function()}
    except Exception as error:  # whatever it is: that igpu dies of it is the answer
        return {"dies": f"{type(error).__name__}: {error}"}


def attributes(gpu):
    values = {name: getattr(gpu, name) for name in ["index", "name", "serial", "uuid", "bios"]}
    for group, names in ATTRIBUTES.items():
        values[group] = {name: getattr(getattr(gpu, group), name) for name in names}
    values["processes"] = [{name: getattr(process, name) for name in PROCESS} for process in gpu.processes or []]
    return values


def says(gpu):
    return {
        "text": tried(lambda: str(gpu)),
        "groups": {group: tried(lambda: str(getattr(gpu, group))) for group in GROUPS},
        "processes": [str(process) for process in gpu.processes or []],
        "attributes": attributes(gpu),
    }


printed = io.StringIO()
with contextlib.redirect_stdout(printed):  # a failing driver makes it print
    answer = {
        "devices": tried(lambda: [says(gpu) for gpu in igpu.devices()]),
        "count": tried(igpu.count_devices),
        "indices": tried(igpu.devices_index),
        "version": tried(igpu.nvidia_driver_version),
        "get_device_0": tried(lambda: str(igpu.get_device(0))),
        "get_device_999": tried(lambda: str(igpu.get_device(999))),
        "visible": tried(igpu.visible_devices_index),
    }
answer["printed"] = printed.getvalue()
print(json.dumps(answer))
