"""The scenarios of the comparisons: the built-in ones with a stopped clock and fixed pids, and drivers with faults and
unusual values."""

import dataclasses
import os
import re

BUILT_IN = os.path.join(os.path.dirname(__file__), "../../nvml-sim/core/scenarios")
NAMES = sorted(file.removesuffix(".toml") for file in os.listdir(BUILT_IN))


@dataclasses.dataclass
class Scenario:
    name: str
    toml: str
    # A part of the expected error message of the program, or an empty string if the program must succeed.
    igpu_error: str = ""
    gpustat_error: str = ""
    # Lines that the output of the new igpu contains, for scenarios in which igpu 0.1.2 fails.
    expected_lines: tuple = ()
    # Groups of the text of igpu 0.1.2 for which there is a custom comparison.
    custom: tuple = ()
    # Whether igpu 0.1.2 shows error texts instead of values that cannot be read.
    error_texts: bool = False
    # Whether only igpu 0.1.2 is compared.
    igpu_only: bool = False
    # The indices of lost GPUs.
    lost: list = dataclasses.field(default_factory=list)
    # The result of NVIDIA's bindings for a process list: "value", or the name of an exception.
    process_call: str = "value"
    environment: dict = dataclasses.field(default_factory=dict)


def built_in(name, pids, at=3.7, **replaced):
    """Returns a built-in scenario with a stopped clock and the pids of helpers. It is the same for all programs."""
    with open(f"{BUILT_IN}/{name}.toml") as file:
        text = file.read()
    text = text.replace("[driver]", f"[driver]\nclock = {{ frozen_at_s = {at} }}", 1)
    for old, new in replaced.items():
        assert old in text, old
        text = re.sub(rf"\b{old} = [^,}}\n]+", f"{old} = {new}", text)
    # By default, the processes of a GPU are the caller and its parent.
    parts = re.split(r"(?m)^(?=\[\[gpu\]\]$)", text)
    for place, part in enumerate(parts):
        if place and "[[gpu.process]]" not in part:
            parts[place] = part + process(pids["short"], 100) + process(pids["hyphens"], 200)
    return "".join(parts).replace('"self"', str(pids["child"])).replace('"parent"', str(pids["parent"]))


def process(pid, memory, kind="compute", more=""):
    memory = '"unavailable"' if memory is None else memory
    return f'\n[[gpu.process]]\npid = {pid}\nkind = "{kind}"\nmemory_mib = {memory}\n{more}\n'


def driver(more="", version="580.95.05"):
    return f'[driver]\nversion = "{version}"\nnvml_version = "13.{version}"\nclock = {{ frozen_at_s = 2 }}\n{more}\n'


def gpu(more="", processes="process = []", count=1, brand=5):
    # The bindings of igpu 0.1.2 fail on newer brands. 5 is GeForce.
    return f"\n[[gpu]]\ncount = {count}\nbrand = {brand}\n{more}\n{processes}\n"


def fault(functions, effect, index=None):
    which = "" if index is None else f"gpu = {index}\n"
    return "".join(f'\n[[fault]]\nfunction = "{name}"\n{which}{effect}\n' for name in functions)


# The functions for which igpu 0.1.2 shows the text of an error.
TEXT_FUNCTIONS = ["nvmlDeviceGetSerial", "nvmlDeviceGetUUID", "nvmlDeviceGetVbiosVersion", "nvmlDeviceGetCurrPcieLink*",
          "nvmlDeviceGetMaxPcieLink*", "nvmlDeviceGetPowerManagementMode", "nvmlDeviceGetPerformanceState",
          "nvmlDeviceGetPowerState"]
# The functions for which igpu 0.1.2 shows nan after an error.
NUMBER_FUNCTIONS = ["nvmlDeviceGetMemoryInfo*", "nvmlDeviceGetUtilizationRates", "nvmlDeviceGetFanSpeed*",
           "nvmlDeviceGetTemperature*", "nvmlDeviceGetClockInfo", "nvmlDeviceGetMaxClockInfo", "nvmlDeviceGetPowerUsage",
           "nvmlDeviceGetPowerManagementLimit*", "nvmlDeviceGetFieldValues"]
PROCESS_FUNCTIONS = ["nvmlDeviceGetComputeRunningProcesses*"]
# The codes for which the bindings of igpu 0.1.2 have a text, and two unknown codes. For all other codes, the bindings
# use the driver's text. The codes that end an update are not included: uninitialized (1), no driver (9), GPU lost (15),
# reset required (16).
KNOWN_CODES = [2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 17, 18, 20, 999, 1234, 4000000000]
OTHER_CODES = [19, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30]


def all_scenarios(helpers):
    one = process(helpers.pids["short"], 1)
    yield from machines(helpers.pids)
    yield from process_lists(helpers)
    yield from failing_calls(one)
    yield from unusual_values(one)


def machines(pids):
    brand = "KeyError: 14"  # the bindings of igpu 0.1.2 do not know NVML_BRAND_NVIDIA
    for name in NAMES:
        more = {}
        if name in ("hgx-h100", "mig"):
            more = {"igpu_error": brand}
        if name == "old-driver":
            more = {"igpu_error": "string indices must be integers", "gpustat_error": "Unversioned function",
                    "process_call": "NVMLLibraryMismatchError"}
        for at in [3.7, 12.25]:
            yield Scenario(f"{name} at {at} s", built_in(name, pids, at), **more)
    for name in ["workstation", "laptop"]:
        yield Scenario(f"{name}, nothing reserved", built_in(name, pids, 7.4, reserved_mib=0))
    for name in ["hgx-h100", "mig"]:
        yield Scenario(f"{name}, brand GeForce", built_in(name, pids, 7.4, brand=5))
    # igpu 0.1.2 fails if a GPU is lost.
    lost = built_in("workstation", pids)
    yield Scenario("lost", f"gpu_lost = {{ gpu = 1 }}\n{lost}", "GPU is lost", lost=[1])

    # Older drivers.
    two = process(pids["short"], 300, more="gpu_instance_id = 3\ncompute_instance_id = 1") + process(pids["hyphens"], 200)
    v3 = ["nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetGraphicsRunningProcesses_v3",
          "nvmlDeviceGetMPSComputeRunningProcesses_v3", "nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetTemperatureV"]
    yield Scenario("driver-470", driver(f"missing_functions = {v3}", "470.256.02") + gpu("memory = { reserved_mib = 300 }", two),
                   "string indices must be integers", process_call="NVMLLibraryMismatchError")
    hidden = ["nvmlDeviceGetRunningProcessDetailList", "nvmlDeviceGetTemperatureV"]
    yield Scenario("driver-535.54", driver(f"missing_functions = {hidden}\nprocess_info_bytes = 32", "535.54.03") + gpu("", two),
                   custom=("processes",))


def each(pids):
    return "".join(process(pid, 10 + place) for place, pid in enumerate(pids))


def process_lists(helpers):
    pids = helpers.pids
    own = each(pid for key, pid in pids.items() if key != "gone")
    yield Scenario("names at random", driver() + gpu("", each(helpers.random)), igpu_only=True)
    yield Scenario("names", driver() + gpu("", own))
    for zone in ["Asia/Kathmandu", "America/New_York", "XYZ-3:30"]:
        yield Scenario(f"names, TZ={zone}", driver() + gpu("", own), environment={"TZ": zone}, igpu_only=True)
    yield Scenario("control-characters", driver() + gpu("", each(helpers.control)),
                   custom=("processes",), igpu_only=True)
    kinds = (process(pids["words"], 1) + process(pids["words"], 2, "graphics") + process(pids["short"], 3, "graphics")
             + process(pids["letters"], None) + process(pids["spaces"], None, "graphics") + process(pids["nan"], 0)
             + process(pids["fifteen"], 999999) + process(pids["hyphens"], 1048576, "mps"))
    yield Scenario("kinds", driver() + gpu("", kinds))
    yield Scenario("no-process", driver() + gpu() + gpu("", process(pids["short"], 5, "graphics")))
    yield Scenario("vanished", driver() + gpu("", process(pids["gone"], 1) + process(pids["short"], 2)),
                   custom=("processes",), igpu_only=True)
    yield Scenario("pid-1", driver() + gpu("", process(1, 1) + process(pids["short"], 2)),
                   "'NoneType' object has no attribute 'name'", igpu_only=True)


def failing_calls(one):
    """Yields scenarios in which calls fail."""
    for name, codes, custom in [("error-texts", KNOWN_CODES, ()),
                                 ("driver-error-texts", OTHER_CODES, ("head", "utilization", "pci", "power"))]:
        faults = "".join(fault(TEXT_FUNCTIONS, f"return = {code}", index) for index, code in enumerate(codes))
        limits = "power = { limits_w = { current = 2, min = 1, max = 3, default = 2 } }"
        yield Scenario(name, driver() + gpu(f'serial = "1"\nfan_speed_percent = [1]\n{limits}', one, len(codes)) + faults, error_texts=True,
                       igpu_only=True, custom=custom)
    numbers = "".join(fault(NUMBER_FUNCTIONS, f"return = {code}", index) for index, code in enumerate([3, 4, 999, 1234]))
    yield Scenario("numbers-fail", driver() + gpu("", one, 4) + numbers, igpu_only=True)
    nothing = fault(TEXT_FUNCTIONS + NUMBER_FUNCTIONS + PROCESS_FUNCTIONS, 'return = "NOT_SUPPORTED"')
    yield Scenario("not-supported", driver() + gpu("", one) + nothing, igpu_only=True)
    denied = 'return = "NO_PERMISSION"'
    yield Scenario("name-fail", driver() + gpu() + fault(["nvmlDeviceGetName"], denied),
                   "Insufficient Permissions", expected_lines=("BOARD NAME   : N/A",), igpu_only=True)
    yield Scenario("pci-fail", driver() + gpu() + fault(["nvmlDeviceGetPciInfo*"], denied), "Insufficient Permissions",
                   expected_lines=("    Bus           : N/A", "    Bus ID        : N/A", "    Device        : N/A",
                             "    Device ID     : N/A", "    Sub-System ID : N/A", "    Generation    : 4 (Max: 4)"),
                   igpu_only=True)
    yield Scenario("processes-fail", driver() + gpu("", one) + fault(PROCESS_FUNCTIONS, denied),
                   "string indices must be integers", igpu_only=True)
    yield Scenario("power-management-off", driver() + gpu("", one) + fault(["nvmlDeviceGetPowerManagementMode"], "value = 0"))


def unusual_values(one):
    """Yields scenarios with values that a driver should not return."""
    busy = ("fan_speed_percent = [150]\nperformance_state = 15\n"
            "utilization = { gpu_percent = 3, memory_percent = 250 }\ntemperature = { gpu_c = 0 }")
    idle = ("fan_speed_percent = [0]\nperformance_state = 32\n"
            "utilization = { gpu_percent = 100, memory_percent = 99 }\ntemperature = { gpu_c = 127 }")
    pci = ("pci = { domain = 65536, bus = 255, device = 31, device_id = 1, subsystem_id = 4294967295, link_generation = 0, "
           "max_link_generation = 99, link_width = 0, max_link_width = 1 }")
    clocks = ("clocks = { graphics_mhz = 0, sm_mhz = 1, memory_mhz = 99999, "
              "max_graphics_mhz = 123456, max_sm_mhz = 0, max_memory_mhz = 7 }")
    large = "memory = { total_mib = 12345678.25, used_mib = 12345678.25 }"
    tiny = "memory = { total_mib = 0.5, used_mib = 0.001 }"
    watts = "power = { draw_w = 0.0051, limits_w = { current = 99999.999, min = 0.125, max = 1.005, default = 1 } }"
    yield Scenario("edges", driver() + gpu(f"{busy}\n{pci}\n{large}", one) + gpu(f"{idle}\n{clocks}\n{tiny}\n{watts}", one))
    yield Scenario("no-memory", driver() + gpu("memory = { total_mib = 0, used_mib = 0 }", one), "ZeroDivisionError",
                   expected_lines=("    Total :       0.00 MiB (100.00%)", "    Used  :       0.00 MiB (   N/A%)"), igpu_only=True)
    cold = fault(["nvmlDeviceGetTemperature*"], "value = -5")
    yield Scenario("below-zero", driver() + gpu("", one) + cold, custom=("utilization",), igpu_only=True)
    yield Scenario("below-zero, old call", driver('missing_functions = ["nvmlDeviceGetTemperatureV"]') + gpu("", one) + cold,
                   custom=("utilization",), igpu_only=True)

    names = ["nvmlDeviceGetName", "nvmlDeviceGetSerial", "nvmlDeviceGetUUID", "nvmlDeviceGetVbiosVersion"]
    serial = gpu('serial = "1"', one)
    yield Scenario("escapes-in-strings", driver() + serial + fault(names, 'text = "Ge\\u001B[31mForce\\n"'),
                   custom=("head",), igpu_only=True)
    yield Scenario("empty-strings", driver() + serial + fault(names, 'text = ""'), igpu_only=True)
    # The bindings have a buffer of 32 bytes for the VBIOS version.
    yield Scenario("unicode-in-strings", driver() + serial + fault(names, 'text = "Kärtchen 日本 \\"1\\""'), igpu_only=True)
    yield Scenario("broken-utf-8", driver() + serial + fault(names[:1], "bytes = [71, 255, 72]"), "UnicodeDecodeError",
                   expected_lines=("BOARD NAME   : G\ufffdH",), igpu_only=True)


# UUIDs for CUDA_VISIBLE_DEVICES. The first two have a common prefix.
VISIBLE = ["115dafb8-26db-32ba-d729-f21b29fc001f", "115dafff-e49e-e609-f873-d05b3208970b",
           "4d1f3a0e-7c2b-4f5d-9a68-0b7e5c3d2f11", "e2c9b6d4-15a7-4c83-8f0d-63a1f7b09e52"]
