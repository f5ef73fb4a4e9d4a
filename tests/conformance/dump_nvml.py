"""Prints the values of NVIDIA's bindings in the format of `igpu --json` and `igpu driver --json`."""

import ctypes
import json

import pynvml as N

MIB = 1 << 20
ALL_ONES = 0xFFFFFFFF


def value_or_none(function, *arguments):
    """Returns the value of a function, or None if it fails or the driver lacks it."""
    try:
        return function(*arguments)
    except N.NVMLError:
        return None


def scaled(value, by):
    return None if value is None else value / by


def memory(gpu):
    new = value_or_none(N.nvmlDeviceGetMemoryInfo, gpu, N.nvmlMemory_v2)
    info = new or value_or_none(N.nvmlDeviceGetMemoryInfo, gpu)
    values = {name: info and getattr(info, name) / MIB for name in ["total", "used", "free"]}
    return values | {"reserved": new and new.reserved / MIB, "unit": "MiB"}


def utilization(gpu):
    rates = value_or_none(N.nvmlDeviceGetUtilizationRates, gpu)
    state = value_or_none(N.nvmlDeviceGetPerformanceState, gpu)
    celsius = value_or_none(N.nvmlDeviceGetTemperature, gpu, N.NVML_TEMPERATURE_GPU)
    newer = value_or_none(N.nvmlDeviceGetTemperatureV, gpu, N.NVML_TEMPERATURE_GPU)
    assert newer is None or newer == celsius, (newer, celsius)
    return {
        "gpu": rates and rates.gpu,
        "memory": rates and rates.memory,
        "fan": value_or_none(N.nvmlDeviceGetFanSpeed, gpu),
        "temperature": celsius,
        "performance": None if state is None else f"P{state}",
    }


def pci(gpu):
    info = value_or_none(N.nvmlDeviceGetPciInfo, gpu)
    if not hasattr(N.nvmlLib, "nvmlDeviceGetPciInfo_v3"):
        # Drivers before R384 have only the second version of the function, which the bindings no longer use.
        old = N.nvmlPciInfo_v2_t()
        info = old if N.nvmlLib.nvmlDeviceGetPciInfo_v2(gpu, ctypes.byref(old)) == N.NVML_SUCCESS else None
    text = lambda value, form: None if value is None else form.format(value)
    return {
        "bus": info and f"{info.bus:02X}",
        "bus_id": info and (info.busId if isinstance(info.busId, str) else info.busId.decode()),
        "device": info and f"{info.device:02X}",
        "device_id": info and f"{info.pciDeviceId:08X}",
        "sub_system_id": info and f"{info.pciSubSystemId:08X}",
        "current_link_gen": text(value_or_none(N.nvmlDeviceGetCurrPcieLinkGeneration, gpu), "{}"),
        "max_link_gen": text(value_or_none(N.nvmlDeviceGetMaxPcieLinkGeneration, gpu), "{}"),
        "current_link_width": text(value_or_none(N.nvmlDeviceGetCurrPcieLinkWidth, gpu), "{}x"),
        "max_link_width": text(value_or_none(N.nvmlDeviceGetMaxPcieLinkWidth, gpu), "{}x"),
    }


def clocks(gpu):
    kinds = {"graphics": N.NVML_CLOCK_GRAPHICS, "sm": N.NVML_CLOCK_SM, "memory": N.NVML_CLOCK_MEM}
    now = {name: value_or_none(N.nvmlDeviceGetClockInfo, gpu, kind) for name, kind in kinds.items()}
    most = {f"max_{name}": value_or_none(N.nvmlDeviceGetMaxClockInfo, gpu, kind) for name, kind in kinds.items()}
    return now | most | {"unit": "MHz"}


def power(gpu):
    constraints = value_or_none(N.nvmlDeviceGetPowerManagementLimitConstraints, gpu)
    mode = value_or_none(N.nvmlDeviceGetPowerManagementMode, gpu)
    return {
        "management": "Supported" if mode else None,
        "draw": scaled(value_or_none(N.nvmlDeviceGetPowerUsage, gpu), 1000),
        "limit": scaled(value_or_none(N.nvmlDeviceGetPowerManagementLimit, gpu), 1000),
        "min_limit": constraints and constraints[0] / 1000,
        "max_limit": constraints and constraints[1] / 1000,
        "unit": "W",
    }


class ProcessV1(ctypes.Structure):
    _fields_ = [("pid", ctypes.c_uint), ("usedGpuMemory", ctypes.c_ulonglong)]


class ProcessV2(ctypes.Structure):
    _fields_ = ProcessV1._fields_ + [("gpuInstanceId", ctypes.c_uint), ("computeInstanceId", ctypes.c_uint)]


def by_hand(gpu, name, layout):
    """Calls an older version of a process list, because the bindings support only the newest."""
    function = getattr(N.nvmlLib, name)
    count = ctypes.c_uint(256)
    entries = (layout * count.value)()
    code = function(gpu, ctypes.byref(count), entries)
    return list(entries)[: count.value] if code == N.NVML_SUCCESS else []


def listed(gpu, kind):
    name = f"nvmlDeviceGet{kind}RunningProcesses"
    if hasattr(N.nvmlLib, name + "_v3"):
        return value_or_none(getattr(N, name + "_v3"), gpu) or []
    if hasattr(N.nvmlLib, name + "_v2"):
        return by_hand(gpu, name + "_v2", ProcessV2)
    return by_hand(gpu, name, ProcessV1) if hasattr(N.nvmlLib, name) else []


def processes(gpu):
    rows = []
    for kind in ["Compute", "Graphics", "MPSCompute"]:
        for process in listed(gpu, kind):
            used = process.usedGpuMemory
            instance = lambda name: getattr(process, name, ALL_ONES)
            rows.append({
                "kind": {"MPSCompute": "mps"}.get(kind, kind.lower()),
                "pid": process.pid,
                "gpu_memory": None if used in (None, (1 << 64) - 1) else used // MIB,
                "gpu_instance_id": None if instance("gpuInstanceId") == ALL_ONES else instance("gpuInstanceId"),
                "compute_instance_id": None if instance("computeInstanceId") == ALL_ONES else instance("computeInstanceId"),
            })
    return rows


def dump(index):
    gpu = N.nvmlDeviceGetHandleByIndex(index)
    return {
        "index": index,
        "name": value_or_none(N.nvmlDeviceGetName, gpu),
        "serial": value_or_none(N.nvmlDeviceGetSerial, gpu),
        "uuid": value_or_none(N.nvmlDeviceGetUUID, gpu),
        "bios": value_or_none(N.nvmlDeviceGetVbiosVersion, gpu),
        "memory": memory(gpu),
        "utilization": utilization(gpu),
        "pci": pci(gpu),
        "clocks": clocks(gpu),
        "power": power(gpu),
        "processes": processes(gpu),
    }


def process_call(index):
    """Returns "value" if the bindings' function for a process list succeeds, and the name of the exception
    otherwise."""
    try:
        N.nvmlDeviceGetComputeRunningProcesses(N.nvmlDeviceGetHandleByIndex(index))
        return "value"
    except (N.NVMLError, N.NVMLLibraryMismatchError) as error:
        return type(error).__name__


N.nvmlInit()
count = N.nvmlDeviceGetCount()
cuda = value_or_none(N.nvmlSystemGetCudaDriverVersion)
lost = {}
gpus = []
for index in range(count):
    try:
        gpus.append(dump(index))
    except N.NVMLError as error:  # the GPU has no handle
        lost[index] = str(error)
print(json.dumps({
    "gpus": gpus,
    "lost": lost,
    "driver": {
        "driver_version": N.nvmlSystemGetDriverVersion(),
        "nvml_version": N.nvmlSystemGetNVMLVersion(),
        "cuda_version": cuda and f"{cuda // 1000}.{cuda % 1000 // 10}",
    },
    "process_call": process_call(0) if gpus else "value",
}))
N.nvmlShutdown()
