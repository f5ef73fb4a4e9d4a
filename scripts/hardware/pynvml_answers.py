"""What NVIDIA's own Python bindings say of this driver: compared with igpu, and written down raw.

The raw answers are what a scenario of the simulator is taught from: each call that takes a GPU alone, those that take one
more number, each field value with its type, the sample rings, GPM, and which functions the driver's library lacks. Only
what asks is called, nothing that sets. The answers are asked for in a process of their own, line by line, so that a call
that crashes takes none of the others away, and one that hangs only those after it.
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
# Calls that take a GPU and one number, and the numbers.
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
# As far as the numbers of fields may go; the header of 13.5 ends before.
FIELDS = range(1, 320)
# Those whose scope is not 0: power by GPU, module, memory; NVLink over all links.
SCOPES = {185: range(3), 186: range(3), **{field: [0xFFFFFFFF] for field in range(138, 142)}}
GPM_METRICS = range(1, 120)


def plain(value):
    """An answer as JSON has it."""
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
    """The child: asks for everything, and prints each answer as a line at once."""

    def __init__(self, pynvml, skipped):
        self.n, self.skipped = pynvml, skipped

    def ask(self, gpu, call, function, *arguments, key=None):
        if call in self.skipped:
            return
        # What is asked is said first: where no answer follows, this call was the last.
        print("?", call, flush=True)
        begun = time.perf_counter_ns()
        try:
            said = {"answer": plain(function(*arguments))}
        except self.n.NVMLError as error:
            said = {"error": int(error.value)}
        except Exception as error:  # Bindings and driver do not agree: worth to know as well.
            said = {"trouble": f"{type(error).__name__}: {error}"}
        took = round((time.perf_counter_ns() - begun) / 1e3, 1)
        where = {} if key is None else {"of": key}
        print(json.dumps({"gpu": gpu, "call": call, **where, "us": took, **said}), flush=True)

    def run(self):
        n = self.n
        n.nvmlInit()
        for call in ("nvmlSystemGetDriverVersion", "nvmlSystemGetNVMLVersion", "nvmlSystemGetCudaDriverVersion_v2",
                     "nvmlDeviceGetCount"):
            self.ask(None, call, getattr(n, call))
        named = set(re.findall(r'_nvmlGetFunctionPointer\("(\w+)"', inspect.getsource(n)))
        self.ask(None, "functions that the library lacks", lambda: sorted(it for it in named if not hasattr(n.nvmlLib, it)))
        for gpu in range(n.nvmlDeviceGetCount()):
            handle = n.nvmlDeviceGetHandleByIndex(gpu)
            self.fields(gpu, handle)
            self.rings(gpu, handle)
            if hasattr(n, "nvmlMemory_v2"):
                self.ask(gpu, "nvmlDeviceGetMemoryInfo_v2", n.nvmlDeviceGetMemoryInfo, handle, n.nvmlMemory_v2)
            for call in self.calls_of_a_gpu():
                self.ask(gpu, call, getattr(n, call), handle)
            for call, numbers in NUMBERED.items():
                for number in numbers if hasattr(n, call) else []:
                    self.ask(gpu, call, getattr(n, call), handle, number, key=number)
            self.gpm(gpu, handle)

    def calls_of_a_gpu(self):
        """What asks and takes a GPU alone, by its signature."""
        for call, function in inspect.getmembers(self.n, inspect.isfunction):
            if not call.startswith("nvmlDeviceGet") or call.startswith("nvmlDeviceGetHandleBy"):
                continue
            needed = [it for it in inspect.signature(function).parameters.values() if it.default is it.empty]
            if [it.name for it in needed] in (["handle"], ["device"]):
                yield call

    def fields(self, gpu, handle):
        for field in FIELDS:
            for scope in SCOPES.get(field, [0]):
                self.ask(gpu, "nvmlDeviceGetFieldValues", self.field, handle, field, scope, key=[field, scope])

    def field(self, handle, field, scope):
        """Asked for by itself: its own answer, and the value in each form that may be meant."""
        said = self.n.nvmlDeviceGetFieldValues(handle, [(field, scope)])[0]
        forms = {0: "dVal", 1: "uiVal", 2: "ulVal", 3: "ullVal", 4: "sllVal", 5: "siVal", 6: "usVal"}
        form = forms.get(said.valueType)
        return {
            "nvmlReturn": said.nvmlReturn, "valueType": said.valueType, "value": plain(getattr(said.value, form, None)) if form else None,
            "bytes": bytes(said.value).hex(), "timestamp": said.timestamp, "latencyUsec": said.latencyUsec,
        }

    def rings(self, gpu, handle):
        for kind in range(7):
            self.ask(gpu, "nvmlDeviceGetSamples", self.ring, handle, kind, key=kind)

    def ring(self, handle, kind):
        value_type, entries = self.n.nvmlDeviceGetSamples(handle, kind, 0)
        return {"valueType": value_type, "stamps": [it.timeStamp for it in entries],
                "bytes": [bytes(it.sampleValue).hex() for it in entries]}

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
                    found |= {it.metricId: [it.nvmlReturn, it.value] for it in list(get.metrics)[:len(ids)]}
                return found
            finally:
                n.nvmlGpmSampleFree(first)
                n.nvmlGpmSampleFree(second)

        def as_json():
            # A value that is no number is none in JSON either.
            return [{"metric": metric, "nvmlReturn": code, "value": value if value == value else None}
                    for metric, (code, value) in values().items()]

        self.ask(gpu, "nvmlGpmMetricsGet", as_json)


def swept():
    """All answers of the child, and which calls it did not survive: after each of these it is started anew without it."""
    skipped, ended, deadline = [], [], time.monotonic() + SWEEP_SECONDS
    while True:
        command = [sys.executable, "-B", __file__, "--sweep", *skipped]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            out, errors = child.communicate(timeout=max(deadline - time.monotonic(), 1))
            how = f"exit {child.returncode}" if child.returncode >= 0 else f"signal {-child.returncode}"
        except subprocess.TimeoutExpired:
            child.kill()
            out, errors = child.communicate()
            how = "not done in time"
        lines = out.splitlines()
        answers = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        if child.returncode == 0:
            return answers, ended
        ended.append(f"{how} {lines[-1] if lines else 'at the start'} {errors.strip()[-300:]}".strip())
        if not lines or not lines[-1].startswith("? ") or time.monotonic() > deadline:
            return answers, ended
        skipped.append(lines[-1].removeprefix("? "))


def facts(n, index):
    """What does not change, in the shape of `igpu --json`. What the driver refuses is null, as it is there."""
    handle = n.nvmlDeviceGetHandleByIndex(index)

    def asked(function, *arguments, read=lambda it: it):
        try:
            return read(function(handle, *arguments))
        except n.NVMLError:
            return None

    text = lambda value: value.decode() if isinstance(value, bytes) else value
    clock = lambda kind: asked(n.nvmlDeviceGetMaxClockInfo, kind)
    limits = asked(n.nvmlDeviceGetPowerManagementLimitConstraints) or [None, None]
    watts = lambda milliwatts: None if milliwatts is None else milliwatts / 1000
    pci = asked(n.nvmlDeviceGetPciInfo)
    return {
        "index": asked(n.nvmlDeviceGetIndex),
        "name": asked(n.nvmlDeviceGetName, read=text),
        "serial": asked(n.nvmlDeviceGetSerial, read=text),
        "uuid": asked(n.nvmlDeviceGetUUID, read=text),
        "bios": asked(n.nvmlDeviceGetVbiosVersion, read=text),
        "memory.total": asked(n.nvmlDeviceGetMemoryInfo, read=lambda it: it.total / (1 << 20)),
        "pci.bus_id": pci and text(pci.busId),
        "pci.device_id": pci and f"{pci.pciDeviceId:08X}",
        "pci.sub_system_id": pci and f"{pci.pciSubSystemId:08X}",
        "pci.max_link_gen": asked(n.nvmlDeviceGetMaxPcieLinkGeneration, read=str),
        "pci.max_link_width": asked(n.nvmlDeviceGetMaxPcieLinkWidth, read=lambda it: f"{it}x"),
        "clocks.max_graphics": clock(n.NVML_CLOCK_GRAPHICS),
        "clocks.max_sm": clock(n.NVML_CLOCK_SM),
        "clocks.max_memory": clock(n.NVML_CLOCK_MEM),
        "power.limit": watts(asked(n.nvmlDeviceGetPowerManagementLimit)),
        "power.min_limit": watts(limits[0]),
        "power.max_limit": watts(limits[1]),
    }


def compared(n, igpu):
    """Each fact in which igpu says something else than the bindings; those that igpu alone has, because it falls back to
    older calls that the bindings do not know; and how many were compared."""
    ours = json.loads(subprocess.run([igpu, "--json"], check=True, capture_output=True, timeout=60).stdout)
    n.nvmlInit()
    found, alone, count = [], [], 0
    if len(ours) != n.nvmlDeviceGetCount():
        found.append(f"igpu shows {len(ours)} GPUs, pynvml {n.nvmlDeviceGetCount()}")
    for gpu in ours:
        for name, theirs in facts(n, gpu["index"]).items():
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
    parser.add_argument("--igpu", help="the command to compare with")
    parser.add_argument("--json", help="where the answers go")
    parser.add_argument("--sweep", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        import pynvml
    except ImportError:
        print("this Python has no pynvml")
        return SKIPPED
    if options.sweep is not None:
        Sweep(pynvml, options.sweep).run()
        return 0
    differences, alone, count = compared(pynvml, options.igpu)
    answers, ended = swept()
    with open(options.json, "w") as out:
        # One answer a line: so it can be read, and searched.
        lines = ",\n".join(json.dumps(answer, ensure_ascii=False) for answer in answers)
        version = getattr(pynvml, "__version__", None) or installed()
        head = {"version": version, "compared": count, "differences": differences, "igpu_alone": alone, "ended": ended}
        out.write(f'{json.dumps(head)[:-1]}, "answers": [\n{lines}\n]}}\n')
    print(f"pynvml {version}: {count} facts compared, {len(differences)} differ; {len(answers)} answers written down")
    for line in differences + [f"{name}: igpu alone has it" for name in alone] + ended:
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
