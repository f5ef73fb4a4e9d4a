"""Compares NVIDIA's Python bindings with igpu, and stores the raw results of the bindings.

A scenario of the simulator can be derived from the raw results. They contain the results of all functions that take only
a GPU and of some that also take a number, all field values with their types, the sample buffers, the GPM metrics, and
the names of the functions that the driver's library lacks. Only functions that read are called. A child process makes
the calls and prints each result as a line. If a call crashes or hangs, the results of the earlier calls are kept.
"""

import argparse
import ctypes
import inspect
import json
import re
import subprocess
import sys
import time

SKIPPED = 77
SWEEP_SECONDS = 40
# Functions that take a GPU and a number, and the numbers with which they are called.
NUMBERED = {
    "nvmlDeviceGetClockInfo": range(4),
    "nvmlDeviceGetMaxClockInfo": range(4),
    "nvmlDeviceGetApplicationsClock": range(4),
    "nvmlDeviceGetTemperature": range(1),
    "nvmlDeviceGetTemperatureThreshold": range(9),
    "nvmlDeviceGetPcieThroughput": range(2),
    "nvmlDeviceGetFanSpeed_v2": range(4),
    "nvmlDeviceGetNvLinkState": range(18),
    "nvmlDeviceGetNvLinkVersion": range(18),
    "nvmlDeviceGetEncoderCapacity": range(2),
    "nvmlDeviceGetViolationStatus": range(12),
}
# The field ids to read. The largest id in the header of NVML 13.5 is smaller.
FIELDS = range(1, 320)
# The scopes of fields whose scope is not only 0: power of GPU, module, memory; NVLink over all links.
SCOPES = {185: range(3), 186: range(3), **{field: [0xFFFFFFFF] for field in range(138, 142)}}
GPM_METRICS = range(1, 120)


def plain(value):
    """Converts a result to a value that JSON can represent."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, (str, int, float, type(None))):
        return value
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, ctypes.Array)):
        return [plain(item) for item in value]
    if isinstance(value, ctypes.Union):
        return {"bytes": bytes(value).hex()}
    if isinstance(value, ctypes.Structure):
        return {field[0]: plain(getattr(value, field[0])) for field in value._fields_}
    if hasattr(value, "__dict__"):
        return {name: plain(item) for name, item in vars(value).items()}
    return str(value)


class Sweep:
    """The calls of the child process, which prints each result as a line."""

    def __init__(self, pynvml, skipped):
        self.n, self.skipped = pynvml, skipped

    def record(self, gpu, call, function, *arguments, key=None):
        if call in self.skipped:
            return
        # The name is printed before the call. If no result follows, the call crashed or hangs.
        print("?", call, flush=True)
        begun = time.perf_counter_ns()
        try:
            result = {"answer": plain(function(*arguments))}
        except self.n.NVMLError as error:
            result = {"error": int(error.value)}
        except Exception as error:  # The bindings cannot decode the driver's result.
            result = {"trouble": f"{type(error).__name__}: {error}"}
        duration_us = round((time.perf_counter_ns() - begun) / 1e3, 1)
        argument = {} if key is None else {"of": key}
        print(json.dumps({"gpu": gpu, "call": call, **argument, "us": duration_us, **result}), flush=True)

    def run(self):
        n = self.n
        n.nvmlInit()
        for call in ("nvmlSystemGetDriverVersion", "nvmlSystemGetNVMLVersion", "nvmlSystemGetCudaDriverVersion_v2",
                     "nvmlDeviceGetCount"):
            self.record(None, call, getattr(n, call))
        named = set(re.findall(r'_nvmlGetFunctionPointer\("(\w+)"', inspect.getsource(n)))
        self.record(None, "functions that the library lacks", lambda: sorted(
            name for name in named if not hasattr(n.nvmlLib, name)))
        for gpu in range(n.nvmlDeviceGetCount()):
            handle = n.nvmlDeviceGetHandleByIndex(gpu)
            self.fields(gpu, handle)
            self.sample_buffers(gpu, handle)
            if hasattr(n, "nvmlMemory_v2"):
                self.record(gpu, "nvmlDeviceGetMemoryInfo_v2", n.nvmlDeviceGetMemoryInfo, handle, n.nvmlMemory_v2)
            for call in self.calls_of_a_gpu():
                self.record(gpu, call, getattr(n, call), handle)
            for call, numbers in NUMBERED.items():
                for number in numbers if hasattr(n, call) else []:
                    self.record(gpu, call, getattr(n, call), handle, number, key=number)
            self.gpm(gpu, handle)

    def calls_of_a_gpu(self):
        """Yields the functions that read and whose only required parameter is a GPU."""
        for call, function in inspect.getmembers(self.n, inspect.isfunction):
            if not call.startswith("nvmlDeviceGet") or call.startswith("nvmlDeviceGetHandleBy"):
                continue
            needed = [parameter for parameter in inspect.signature(function).parameters.values()
                      if parameter.default is parameter.empty]
            if [parameter.name for parameter in needed] in (["handle"], ["device"]):
                yield call

    def fields(self, gpu, handle):
        for field in FIELDS:
            for scope in SCOPES.get(field, [0]):
                self.record(gpu, "nvmlDeviceGetFieldValues", self.field, handle, field, scope, key=[field, scope])

    def field(self, handle, field, scope):
        """Reads a single field value. Returns its code, its type, its value, and its bytes."""
        entry = self.n.nvmlDeviceGetFieldValues(handle, [(field, scope)])[0]
        forms = {0: "dVal", 1: "uiVal", 2: "ulVal", 3: "ullVal", 4: "sllVal", 5: "siVal", 6: "usVal"}
        form = forms.get(entry.valueType)
        return {
            "nvmlReturn": entry.nvmlReturn, "valueType": entry.valueType,
            "value": plain(getattr(entry.value, form, None)) if form else None,
            "bytes": bytes(entry.value).hex(), "timestamp": entry.timestamp, "latencyUsec": entry.latencyUsec,
        }

    def sample_buffers(self, gpu, handle):
        for kind in range(7):
            self.record(gpu, "nvmlDeviceGetSamples", self.sample_buffer, handle, kind, key=kind)

    def sample_buffer(self, handle, kind):
        value_type, entries = self.n.nvmlDeviceGetSamples(handle, kind, 0)
        return {"valueType": value_type, "stamps": [entry.timeStamp for entry in entries],
                "bytes": [bytes(entry.sampleValue).hex() for entry in entries]}

    def gpm(self, gpu, handle):
        n = self.n
        if not hasattr(n, "nvmlGpmMetricsGet"):
            return

        def values():
            first, second = n.nvmlGpmSampleAlloc(), n.nvmlGpmSampleAlloc()
            try:
                n.nvmlGpmSampleGet(handle, first)
                time.sleep(0.2)
                n.nvmlGpmSampleGet(handle, second)
                found = {}
                for start in range(GPM_METRICS.start, GPM_METRICS.stop, 30):
                    ids = range(start, min(start + 30, GPM_METRICS.stop))
                    get = n.c_nvmlGpmMetricsGet_t()
                    get.version, get.numMetrics, get.sample1, get.sample2 = n.NVML_GPM_METRICS_GET_VERSION, len(ids), first, second
                    for place, metric in enumerate(ids):
                        get.metrics[place].metricId = metric
                    n.nvmlGpmMetricsGet(get)
                    found |= {metric.metricId: [metric.nvmlReturn, metric.value]
                              for metric in list(get.metrics)[:len(ids)]}
                return found
            finally:
                n.nvmlGpmSampleFree(first)
                n.nvmlGpmSampleFree(second)

        def as_json():
            # JSON cannot represent NaN, which becomes null.
            return [{"metric": metric, "nvmlReturn": code, "value": value if value == value else None}
                    for metric, (code, value) in values().items()]

        self.record(gpu, "nvmlGpmMetricsGet", as_json)


def swept():
    """Returns all results, and the calls that crashed or timed out. After a crash or a timeout, the child is restarted
    and skips the call."""
    skipped, failures, deadline = [], [], time.monotonic() + SWEEP_SECONDS
    while True:
        command = [sys.executable, "-B", __file__, "--sweep", *skipped]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            out, errors = child.communicate(timeout=max(deadline - time.monotonic(), 1))
            how = f"exit {child.returncode}" if child.returncode >= 0 else f"signal {-child.returncode}"
        except subprocess.TimeoutExpired:
            child.kill()
            out, errors = child.communicate()
            how = "timed out"
        lines = out.splitlines()
        answers = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        if child.returncode == 0:
            return answers, failures
        failures.append(f"{how} {lines[-1] if lines else 'at the start'} {errors.strip()[-300:]}".strip())
        if not lines or not lines[-1].startswith("? ") or time.monotonic() > deadline:
            return answers, failures
        skipped.append(lines[-1].removeprefix("? "))


def constant_properties(n, index):
    """Returns the constant properties of a GPU by their names in `igpu --json`. If a call fails, the value is None."""
    handle = n.nvmlDeviceGetHandleByIndex(index)

    def value_or_none(function, *arguments, read=lambda value: value):
        try:
            return read(function(handle, *arguments))
        except n.NVMLError:
            return None

    text = lambda value: value.decode() if isinstance(value, bytes) else value
    clock = lambda kind: value_or_none(n.nvmlDeviceGetMaxClockInfo, kind)
    limits = value_or_none(n.nvmlDeviceGetPowerManagementLimitConstraints) or [None, None]
    watts = lambda milliwatts: None if milliwatts is None else milliwatts / 1000
    pci = value_or_none(n.nvmlDeviceGetPciInfo)
    return {
        "index": value_or_none(n.nvmlDeviceGetIndex),
        "name": value_or_none(n.nvmlDeviceGetName, read=text),
        "serial": value_or_none(n.nvmlDeviceGetSerial, read=text),
        "uuid": value_or_none(n.nvmlDeviceGetUUID, read=text),
        "bios": value_or_none(n.nvmlDeviceGetVbiosVersion, read=text),
        "memory.total": value_or_none(n.nvmlDeviceGetMemoryInfo, read=lambda memory: memory.total / (1 << 20)),
        "pci.bus_id": pci and text(pci.busId),
        "pci.device_id": pci and f"{pci.pciDeviceId:08X}",
        "pci.sub_system_id": pci and f"{pci.pciSubSystemId:08X}",
        "pci.max_link_gen": value_or_none(n.nvmlDeviceGetMaxPcieLinkGeneration, read=str),
        "pci.max_link_width": value_or_none(n.nvmlDeviceGetMaxPcieLinkWidth, read=lambda width: f"{width}x"),
        "clocks.max_graphics": clock(n.NVML_CLOCK_GRAPHICS),
        "clocks.max_sm": clock(n.NVML_CLOCK_SM),
        "clocks.max_memory": clock(n.NVML_CLOCK_MEM),
        "power.limit": watts(value_or_none(n.nvmlDeviceGetPowerManagementLimit)),
        "power.min_limit": watts(limits[0]),
        "power.max_limit": watts(limits[1]),
    }


def compared(n, igpu):
    """Returns the differences between igpu and the bindings, the properties that only igpu reports because it falls back
    to older functions, and the number of compared properties."""
    ours = json.loads(subprocess.run([igpu, "--json"], check=True, capture_output=True, timeout=60).stdout)
    n.nvmlInit()
    found, alone, count = [], [], 0
    if len(ours) != n.nvmlDeviceGetCount():
        found.append(f"igpu shows {len(ours)} GPUs, pynvml {n.nvmlDeviceGetCount()}")
    for gpu in ours:
        for name, theirs in constant_properties(n, gpu["index"]).items():
            value = gpu
            for key in name.split("."):
                value = value.get(key) if isinstance(value, dict) else None
            count += 1
            if theirs is None and value is not None:
                alone.append(f"GPU {gpu['index']} {name}")
            elif value != theirs:
                found.append(f"GPU {gpu['index']} {name}: igpu {value!r}, pynvml {theirs!r}")
    n.nvmlShutdown()
    return found, alone, count


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--igpu", help="path of the command to compare with")
    parser.add_argument("--json", help="path of the output")
    parser.add_argument("--sweep", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        import pynvml
    except ImportError:
        print("pynvml is not installed")
        return SKIPPED
    if options.sweep is not None:
        Sweep(pynvml, options.sweep).run()
        return 0
    differences, alone, count = compared(pynvml, options.igpu)
    answers, failures = swept()
    with open(options.json, "w") as out:
        # One result per line can be read and searched.
        lines = ",\n".join(json.dumps(answer, ensure_ascii=False) for answer in answers)
        version = getattr(pynvml, "__version__", None) or installed()
        head = {"version": version, "compared": count, "differences": differences, "igpu_alone": alone, "ended": failures}
        out.write(f'{json.dumps(head)[:-1]}, "answers": [\n{lines}\n]}}\n')
    print(f"pynvml {version}: {count} properties compared, {len(differences)} differ; {len(answers)} results stored")
    for line in differences + [f"{name}: only igpu has a value" for name in alone] + failures:
        print(line)
    return 1 if differences or not answers else 0


def installed():
    from importlib import metadata

    try:
        return metadata.version("nvidia-ml-py")
    except metadata.PackageNotFoundError:
        return "unknown"


if __name__ == "__main__":
    sys.exit(main())
