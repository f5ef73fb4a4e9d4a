"""Prints the values of nvitop's library in the format of `igpu --json`. With `--visible`, prints its interpretation of
values of CUDA_VISIBLE_DEVICES, which are a JSON array on stdin."""

import json
import logging
import subprocess
import sys

from nvitop import NA, Device
from nvitop.api import libnvml

MIB = 1 << 20
ALL_ONES = 0xFFFFFFFF
# nvitop logs functions that an old driver lacks, which is not a failure.
libnvml.LOGGER.setLevel(logging.CRITICAL)


def known(value, by=None):
    if value is NA or value == "N/A":
        return None
    return value if by is None else value / by


def processes(gpu):
    rows = {}
    for pid, process in gpu.processes().items():
        host = process.host
        rows[pid] = {
            # "C", "G", or "C+G"
            "type": process.type,
            "gpu_memory": None if known(process.gpu_memory()) is None else process.gpu_memory() // MIB,
            "gpu_instance_id": None if process.gpu_instance_id() in (NA, ALL_ONES) else process.gpu_instance_id(),
            "compute_instance_id": None if process.compute_instance_id() in (NA, ALL_ONES) else process.compute_instance_id(),
            "user": process.username(),
            "name": process.name(),
            "parent_pid": host.ppid(),
            "create_time": process.create_time(),
        }
    return rows


def dump(gpu):
    memory, most, now = gpu.memory_info(), gpu.max_clock_infos(), gpu.clock_infos()
    rates = gpu.utilization_rates()
    return {
        "index": gpu.index,
        "name": known(gpu.name()),
        "serial": known(gpu.serial()),
        "uuid": known(gpu.uuid()),
        "memory": {name: known(getattr(memory, name), MIB) for name in ["total", "used", "free", "reserved"]},
        "utilization": {
            "gpu": known(rates.gpu),
            "memory": known(rates.memory),
            "fan": known(gpu.fan_speed()),
            "temperature": known(gpu.temperature()),
            "performance": known(gpu.performance_state()),
        },
        "pci": {"bus_id": known(gpu.bus_id())},
        "clocks": {name: known(getattr(now, name)) for name in ["graphics", "sm", "memory"]}
        | {f"max_{name}": known(getattr(most, name)) for name in ["graphics", "sm", "memory"]},
        "power": {"draw": known(gpu.power_usage(), 1000), "limit": known(gpu.power_limit(), 1000)},
        "processes": processes(gpu),
    }


def no_cuda(*_, **__):
    raise subprocess.SubprocessError


if "--visible" in sys.argv:
    # nvitop would start two processes per value to use libcuda, which is not available.
    subprocess.check_output = no_cuda
    print(json.dumps([Device.parse_cuda_visible_devices(value) for value in json.load(sys.stdin)]))
else:
    print(json.dumps({
        "gpus": [dump(gpu) for gpu in Device.all()],
        "driver": {"driver_version": Device.driver_version(), "cuda_version": Device.cuda_driver_version()},
    }))
