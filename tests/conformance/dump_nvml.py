"""What NVIDIA's bindings say of the driver, in the shape of `igpu --json` and `igpu driver --json`."""

import ctypes
import json

import pynvml as N

MIB = 1 << 20
ALL_ONES = 0xFFFFFFFF


def asked(function, *arguments):
    """The answer, or None where the driver refuses or lacks the call."""
    try:
        return function(*arguments)
    except N.NVMLError:
        return None


def scaled(value, by):
    return None if value is None else value / by


def memory(gpu):
    new = asked(N.nvmlDeviceGetMemoryInfo, gpu, N.nvmlMemory_v2)
    info = new or asked(N.nvmlDeviceGetMemoryInfo, gpu)
    values = {name: info and getattr(info, name) / MIB for name in ["total", "used", "free"]}
    return values | {"reserved": new and new.reserved / MIB, "unit": "MiB"}


def utilization(gpu):
    rates = asked(N.nvmlDeviceGetUtilizationRates, gpu)
    state = asked(N.nvmlDeviceGetPerformanceState, gpu)
    celsius = asked(N.nvmlDeviceGetTemperature, gpu, N.NVML_TEMPERATURE_GPU)
    newer = asked(N.nvmlDeviceGetTemperatureV, gpu, N.NVML_TEMPERATURE_GPU)
    assert newer is None or newer == celsius, (newer, celsius)
    return {
        "gpu": rates and rates.gpu,
        "memory": rates and rates.memory,
        "fan": asked(N.nvmlDeviceGetFanSpeed, gpu),
        "temperature": celsius,
        "performance": None if state is None else f"P{state}",
    }


def pci(gpu):
    info = asked(N.nvmlDeviceGetPciInfo, gpu)
    if not hasattr(N.nvmlLib, "nvmlDeviceGetPciInfo_v3"):
        # Drivers before R384, whose call the bindings do not know any more.
        old = N.nvmlPciInfo_v2_t()
        info = old if N.nvmlLib.nvmlDeviceGetPciInfo_v2(gpu, ctypes.byref(old)) == N.NVML_SUCCESS else None
    text = lambda value, form: None if value is None else form.format(value)
    return {
        "bus": info and f"{info.bus:02X}",
        "bus_id": info and (info.busId if isinstance(info.busId, str) else info.busId.decode()),
        "device": info and f"{info.device:02X}",
        "device_id": info and f"{info.pciDeviceId:08X}",
        "sub_system_id": info and f"{info.pciSubSystemId:08X}",
        "current_link_gen": text(asked(N.nvmlDeviceGetCurrPcieLinkGeneration, gpu), "{}"),
        "max_link_gen": text(asked(N.nvmlDeviceGetMaxPcieLinkGeneration, gpu), "{}"),
        "current_link_width": text(asked(N.nvmlDeviceGetCurrPcieLinkWidth, gpu), "{}x"),
        "max_link_width": text(asked(N.nvmlDeviceGetMaxPcieLinkWidth, gpu), "{}x"),
    }


def clocks(gpu):
    kinds = {"graphics": N.NVML_CLOCK_GRAPHICS, "sm": N.NVML_CLOCK_SM, "memory": N.NVML_CLOCK_MEM}
    now = {name: asked(N.nvmlDeviceGetClockInfo, gpu, kind) for name, kind in kinds.items()}
    most = {f"max_{name}": asked(N.nvmlDeviceGetMaxClockInfo, gpu, kind) for name, kind in kinds.items()}
    return now | most | {"unit": "MHz"}


def power(gpu):
    constraints = asked(N.nvmlDeviceGetPowerManagementLimitConstraints, gpu)
    mode = asked(N.nvmlDeviceGetPowerManagementMode, gpu)
    return {
        "management": "Supported" if mode else None,
        "draw": scaled(asked(N.nvmlDeviceGetPowerUsage, gpu), 1000),
        "limit": scaled(asked(N.nvmlDeviceGetPowerManagementLimit, gpu), 1000),
        "min_limit": constraints and constraints[0] / 1000,
        "max_limit": constraints and constraints[1] / 1000,
        "unit": "W",
    }


class ProcessV1(ctypes.Structure):
    _fields_ = [("pid", ctypes.c_uint), ("usedGpuMemory", ctypes.c_ulonglong)]


class ProcessV2(ctypes.Structure):
    _fields_ = ProcessV1._fields_ + [("gpuInstanceId", ctypes.c_uint), ("computeInstanceId", ctypes.c_uint)]


def by_hand(gpu, name, layout):
    """The bindings know only the newest process lists: an older one, called as its header has it."""
    function = getattr(N.nvmlLib, name)
    count = ctypes.c_uint(256)
    entries = (layout * count.value)()
    code = function(gpu, ctypes.byref(count), entries)
    return list(entries)[: count.value] if code == N.NVML_SUCCESS else []


def listed(gpu, kind):
    name = f"nvmlDeviceGet{kind}RunningProcesses"
    if hasattr(N.nvmlLib, name + "_v3"):
        return asked(getattr(N, name + "_v3"), gpu) or []
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


def says(index):
    gpu = N.nvmlDeviceGetHandleByIndex(index)
    return {
        "index": index,
        "name": asked(N.nvmlDeviceGetName, gpu),
        "serial": asked(N.nvmlDeviceGetSerial, gpu),
        "uuid": asked(N.nvmlDeviceGetUUID, gpu),
        "bios": asked(N.nvmlDeviceGetVbiosVersion, gpu),
        "memory": memory(gpu),
        "utilization": utilization(gpu),
        "pci": pci(gpu),
        "clocks": clocks(gpu),
        "power": power(gpu),
        "processes": processes(gpu),
    }


def process_call(index):
    """How the bindings' own call of a process list ends."""
    try:
        N.nvmlDeviceGetComputeRunningProcesses(N.nvmlDeviceGetHandleByIndex(index))
        return "gives"
    except (N.NVMLError, N.NVMLLibraryMismatchError) as error:
        return type(error).__name__


N.nvmlInit()
count = N.nvmlDeviceGetCount()
cuda = asked(N.nvmlSystemGetCudaDriverVersion)
lost = {}
gpus = []
for index in range(count):
    try:
        gpus.append(says(index))
    except N.NVMLError as error:  # there is no handle to be had
        lost[index] = str(error)
print(json.dumps({
    "gpus": gpus,
    "lost": lost,
    "driver": {
        "driver_version": N.nvmlSystemGetDriverVersion(),
        "nvml_version": N.nvmlSystemGetNVMLVersion(),
        "cuda_version": cuda and f"{cuda // 1000}.{cuda % 1000 // 10}",
    },
    "process_call": process_call(0) if gpus else "gives",
}))
N.nvmlShutdown()
