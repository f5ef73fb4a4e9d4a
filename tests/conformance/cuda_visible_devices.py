"""Comparison of the interpretation of CUDA_VISIBLE_DEVICES with nvitop and igpu 0.1.2."""

import json

from machine import NVML_BIN, IGPU_BIN, Machine, check
from scenarios import VISIBLE, built_in

FIRST, SECOND, THIRD, FOURTH = [f"GPU-{uuid}" for uuid in VISIBLE]
# The reasons why nvitop selects other GPUs. The first four are in the documentation of src/cuda_visible_devices.rs.
NO_SIGN = "nvitop rejects numbers with a sign"
AS_TEXT = "nvitop detects repeated numbers only if they are written in the same way"
NO_PREFIX = "without libcuda, nvitop accepts only complete UUIDs"
MIG_OF_0 = "nvitop selects the first instance of a GPU with MIG"
DIGITS = "nvitop accepts all Unicode digits"
WRAPPED = "nvitop accepts a number that exceeds 32 bits"
MIXED = "nvitop selects an instance that is listed after a GPU"
UUID_ONLY = "the simulated driver finds an instance only by its UUID"

# The values of CUDA_VISIBLE_DEVICES with the indices that igpu selects. If nvitop selects other indices, these follow
# with the reason.
PLAIN = {
    None: [0, 1, 2, 3], "": [], " ": [], "0": [0], "3": [3], "1,3": [1, 3], "3,1": [3, 1], "0,1,2,3": [0, 1, 2, 3],
    "2,0,-1,1": [2, 0], "-1": [], "-1,0": [], "0,4,1": [0], "4": [], "99999999999999999999": [],
    "18446744073709551617": ([], [18446744073709551617], WRAPPED), "4294967296": ([], [4294967296], WRAPPED), "0,0": [], "0,1,0": [], "1,1": [], "0,99,0": [0], "0,-1,0": [0],
    "1gpu2,2ampere": [1, 2], "0x1": [0], "0x1,1": [0, 1], "010": [], "01": [1], "1.5": [1], "1 2": [1],
    " 0 , 1 ": [0, 1], "\t2\n,3": [2, 3], ",": [], "0,": [0], ",0": [], "0,,1": [0], "0;1": [0],
    "all": [], "none": [], "void": [], "NoDevFiles": [], "GPU": [], "gpu0": [], "١": ([], [1], DIGITS),
    "+1": ([1], [], NO_SIGN), "0,+2": ([0, 2], [0], NO_SIGN), "-0": ([0], [], NO_SIGN),
    "0,00": ([], [0, 0], AS_TEXT), "2,1,02": ([], [2, 1, 2], AS_TEXT), "1,1x": [],
    FIRST: [0], f"{FOURTH},{FIRST}": [3, 0], f"{FIRST},{FIRST}": [], f" {THIRD} , {SECOND} ": [2, 1],
    f"{FIRST},0": [0], f"0,{FIRST}": [0], f"1,{FIRST},2": [1], f"{FIRST},GPU-00000000": [0], f"GPU-00000000,{FIRST}": [],
    f"{FIRST},{FIRST.upper()}": [0], FIRST.lower(): [], FIRST[4:]: [], f"{FIRST}0": [], f"MIG-{FIRST}/1/0": [],
    "GPU-4d1f": ([2], [], NO_PREFIX), "GPU-115dafb": ([0], [], NO_PREFIX), "GPU-115da": [],
    f"{THIRD},GPU-e2": ([2, 3], [2], NO_PREFIX), f"{THIRD},GPU-4d": ([], [2], NO_PREFIX), f"{THIRD},GPU-115": [2], "GPU-": [],
}
A, B, C, D = [f"MIG-0b1c2d3e-4f50-5161-8273-8495a6b7c8d{digit}" for digit in "1234"]
DIVIDED, PLAIN_GPU = "GPU-7a1c3e50-2b4d-4f6a-8c9e-0d1f2a3b4c5d", "GPU-9e8d7c6b-5a49-4382-9716-a5b4c3d2e1f0"
MIG = {
    A: [0], C: [0], f"{B},{A}": [0], f"{A},{PLAIN_GPU}": [0], f"{A},{A}": [], f"MIG-{DIVIDED}/1/0": ([0], [], UUID_ONLY),
    f"MIG-{DIVIDED}/12/0": ([0], [], UUID_ONLY), f"MIG-{DIVIDED}/2/0": [], f"MIG-{DIVIDED}/1/1": [], f"MIG-{PLAIN_GPU}/1/0": [],
    A[:-1] + "9": [], "MIG-": [], A[:20]: [], PLAIN_GPU: [1], "1": [1], f"1,{A}": [1], f"{PLAIN_GPU},{A}": ([1], [0], MIXED),
    # An index identifies only the GPU and not the instance.
    "0": [0], DIVIDED: [0], "1,0": ([1, 0], [0], MIG_OF_0), None: ([0, 1], [0], MIG_OF_0),
}


def compare_nvitop(built, case):
    toml, values = case
    with Machine(built, toml) as machine:
        theirs = machine.python(NVML_BIN, "dump_nvitop.py", "--visible", stdin=json.dumps(list(values)))
        exceptions = 0
        for (value, expected), peer in zip(values.items(), theirs, strict=True):
            ours, nvitop, why = expected if isinstance(expected, tuple) else (expected, expected, "")
            environment = {} if value is None else {"CUDA_VISIBLE_DEVICES": value}
            lines = machine.igpu_json("list", "--visible", **environment)
            check(f"CUDA_VISIBLE_DEVICES={value!r}", [line["index"] for line in lines], ours)
            # The index of a MIG device is a pair of the index of the GPU and the index of the device on this GPU.
            peer = [index[0] if isinstance(index, list) else index for index in peer]
            check(f"CUDA_VISIBLE_DEVICES={value!r} by nvitop ({why or 'as igpu'})", peer, nvitop)
            exceptions += bool(why)
        return [f"nvitop: {len(values)} values, of which {exceptions} have a known difference"]


def compare_igpu(built, values):
    """Compares with igpu 0.1.2, which supports only lists of indices."""
    with Machine(built, built_in("workstation", {"short": 1, "hyphens": 1, "child": 1, "parent": 1})) as machine:
        for value in values:
            theirs = machine.python(IGPU_BIN, "dump_igpu.py", CUDA_VISIBLE_DEVICES=value)
            lines = machine.igpu_json("list", "--visible", CUDA_VISIBLE_DEVICES=value)
            check(f"visible_devices_index under {value!r}", [line["index"] for line in lines], theirs["visible"]["value"])
            text = machine.igpu("--visible", CUDA_VISIBLE_DEVICES=value)
            check(f"visible_devices under {value!r}", text.count("BOARD NAME"), len(lines))
    return [f"igpu 0.1.2: {len(values)} values"]


def jobs():
    gpus = "".join(f'\n[[gpu]]\nname = "GPU {index}"\nuuid = "{uuid}"\nprocess = []\n'
                   for index, uuid in enumerate([FIRST, SECOND, THIRD, FOURTH]))
    mig = built_in("mig", {"short": 1, "hyphens": 1, "child": 1, "parent": 1})
    return [
        ("visible", compare_nvitop, (gpus, PLAIN)),
        ("visible-mig", compare_nvitop, (mig, MIG)),
        ("visible-plain", compare_igpu, ["1,3", "0", "3,2,1,0", "2,0"]),
    ]
