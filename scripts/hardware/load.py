"""Loads the GPU, and measures how much slower the load is while the sampler runs beside it.

The load is matrix products, counted a second, and small kernels, timed from launch to return and to done. The sampler is
off, at its default cadences, newly made and learning, at 100 Hz and at 1 kHz. Each measurement with the sampler has one without it right before or
right after, in turn, and the two make a pair: what drifts slowly (heat, clocks) falls out. Off against off is measured in
the same way: that is the noise. Needs PyTorch with a GPU; with --cpu a load of plain Python tries the procedure.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import time

SKIPPED = 77
MODES = ["off", "default", "learning", "100", "1000"]
# The aim for the sampler at its defaults: so many percent.
AIM = 0.5
# Before each measurement the load runs so long, so that all measurements begin alike.
WARM = 0.3


class TorchLoad:
    def __init__(self):
        import torch

        if not torch.cuda.is_available():
            raise ImportError("PyTorch sees no GPU")
        self.torch = torch
        self.dtype = torch.bfloat16 if torch.cuda.get_device_capability()[0] >= 8 else torch.float16
        self.size = 2048
        # A product shall take a millisecond at the least, so that launches do not count.
        while True:
            self.a = torch.randn(self.size, self.size, device="cuda").to(self.dtype)
            self.out = torch.empty_like(self.a)
            self.products(0.2)
            if self.products(0.2) < 1000 or self.size >= 16384:
                break
            self.size *= 2
        self.small = torch.zeros(1024, device="cuda")

    def __str__(self):
        name, version = self.torch.cuda.get_device_name(), self.torch.__version__
        return f"{self.size}×{self.size} {self.dtype} products by PyTorch {version} on {name}"

    def products(self, seconds):
        """Products a second."""
        count, begun = 0, time.perf_counter()
        while (now := time.perf_counter()) - begun < seconds:
            for _ in range(10):
                self.torch.mm(self.a, self.a, out=self.out)
            self.torch.cuda.synchronize()
            count += 10
        return count / (now - begun)

    def kernel(self):
        """Launches a small kernel; when it was launched and when it was done."""
        self.small.add_(1)
        launched = time.perf_counter_ns()
        self.torch.cuda.synchronize()
        return launched, time.perf_counter_ns()


class CpuLoad:
    def __init__(self):
        self.a = [[row * column % 7 for column in range(16)] for row in range(16)]

    def __str__(self):
        return "16×16 products by Python on the CPU, which say nothing of a GPU"

    def products(self, seconds):
        count, begun = 0, time.perf_counter()
        while (now := time.perf_counter()) - begun < seconds:
            [[sum(x * y for x, y in zip(row, column)) for column in zip(*self.a)] for row in self.a]
            count += 1
        return count / (now - begun)

    def kernel(self):
        sum(range(50))
        launched = time.perf_counter_ns()
        sum(range(500))
        return launched, time.perf_counter_ns()


def part(values, share):
    values = sorted(values)
    return values[min(int(len(values) * share), len(values) - 1)]


def measured(load, seconds):
    """One measurement: products for 60 % of the time, then single kernels."""
    load.products(WARM)
    products = load.products(seconds * 0.6)
    launches, trips, end = [], [], time.perf_counter() + seconds * 0.4
    while time.perf_counter() < end:
        begun = time.perf_counter_ns()
        launched, done = load.kernel()
        launches.append((launched - begun) / 1e3)
        trips.append((done - begun) / 1e3)
    return {
        "products_per_s": products, "kernels": len(trips),
        "launch_us": {"p50": part(launches, 0.5), "p99": part(launches, 0.99)},
        "trip_us": {"p50": part(trips, 0.5), "p99": part(trips, 0.99)},
    }


def with_sampler(load, mode, seconds, background):
    """One measurement while the sampler runs, and what the sampler says of itself."""
    if mode == "off":
        return measured(load, seconds), None
    # The sampler ends by itself, a moment after the load.
    command = [background, "--json", "--rate", mode, str(seconds + WARM + 0.3)]
    sampler = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        # It says so when it has begun. Loading the driver can take a second; the end of its output ends this too.
        said = sampler.stderr.readline()
        if said.strip() != "sampling":
            raise RuntimeError(f"the sampler did not start: {said or sampler.stderr.read()}")
        found = measured(load, seconds)
        out, errors = sampler.communicate(timeout=seconds + 30)
        if sampler.returncode != 0:
            raise RuntimeError(f"the sampler ended with {sampler.returncode}: {errors}")
        return found, json.loads(out)[0]
    finally:
        if sampler.poll() is None:
            sampler.kill()


def pairs(load, options):
    """Pairs of a mode and of off, in changing order, until the time is over; each mode has as many as the others."""
    found, begun, length = {mode: [] for mode in MODES}, time.monotonic(), 0.0
    for round in range(1000):
        before = time.monotonic()
        if round > 0 and before - begun + length > options.seconds_in_all:
            break
        turn = round % len(MODES)
        for place, mode in enumerate(MODES[turn:] + MODES[:turn]):
            one = lambda mode: with_sampler(load, mode, options.seconds, options.background)
            # Which comes first: for each mode the one and the other from round to round.
            if (round + MODES.index(mode)) % 2 == 0:
                off, on = one("off"), one(mode)
            else:
                on, off = one(mode), one("off")
            found[mode].append({"off": off[0], "on": on[0], "sampler": on[1], "round": round, "place": place})
            show(mode, found[mode][-1])
        length = time.monotonic() - before
    return found


def show(mode, pair):
    on, off = pair["on"], pair["off"]
    print(f"{mode:8} {on['products_per_s']:10.1f} products/s, off {off['products_per_s']:10.1f}; launch p50 "
          f"{on['launch_us']['p50']:.2f} µs, off {off['launch_us']['p50']:.2f} µs", flush=True)


def median_of(percents):
    """The median and an interval that holds the true one in 95 of 100 cases, by order, whatever the distribution; all there
    is while there are few."""
    percents = sorted(percents)
    count = len(percents)
    cut = max(0, math.floor((count - 1.96 * math.sqrt(count)) / 2))
    return {"median": statistics.median(percents), "low": percents[cut], "high": percents[count - 1 - cut]}


def evaluated(pairs):
    """What the pairs of one mode say. Slower and longer are positive."""
    ratio = lambda pair, read: read(pair["on"]) / read(pair["off"])
    longer = lambda what, share: median_of([(ratio(pair, lambda it: it[what][share]) - 1) * 100 for pair in pairs])
    found = {
        "pairs": len(pairs),
        "products_slower_percent": median_of([(1 - ratio(pair, lambda it: it["products_per_s"])) * 100 for pair in pairs]),
        "launch_p50_longer_percent": longer("launch_us", "p50"),
        "launch_p99_longer_percent": longer("launch_us", "p99"),
        "trip_p50_longer_percent": longer("trip_us", "p50"),
        "trip_p99_longer_percent": longer("trip_us", "p99"),
    }
    samplers = [pair["sampler"] for pair in pairs if pair["sampler"]]
    if samplers:
        median = lambda read: statistics.median(read(it) for it in samplers)
        found["sampler"] = {
            "late_p50_us": median(lambda it: it["late_us"]["p50"]), "late_p99_us": median(lambda it: it["late_us"]["p99"]),
            "late_p99.9_us": median(lambda it: it["late_us"]["p99.9"]), "cpu_share": median(lambda it: it["cpu_share"]),
            "missed_deadlines": sum(it["missed_deadlines"] for it in samplers),
            "ticks": sum(it["ticks"] for it in samplers),
            "lost": sum(it["lost"] + it["lost_by_events"] for it in samplers),
        }
    return found


def verdict(modes):
    """Whether the aim is met, if the noise lets one say so."""
    it = modes["default"]["products_slower_percent"]
    text = f"{it['median']:+.2f} % ({it['low']:+.2f} to {it['high']:+.2f} %)"
    if modes["default"]["pairs"] < 6:
        return f"undecided, {text}: too few pairs"
    if it["high"] <= AIM:
        return f"met, {text}"
    return f"missed, {text}" if it["low"] > AIM else f"undecided, {text}: measure for longer"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--background", required=True, help="the program that samples")
    parser.add_argument("--for", dest="seconds_in_all", type=float, default=230, help="measure for so many seconds")
    parser.add_argument("--seconds", type=float, default=2, help="length of one measurement")
    parser.add_argument("--cpu", action="store_true", help="a load of plain Python, to try the procedure")
    parser.add_argument("--json", required=True, help="where the result goes")
    options = parser.parse_args()
    try:
        load = CpuLoad() if options.cpu else TorchLoad()
    except ImportError as why:
        print(f"no load: {why}")
        return SKIPPED
    print(load, flush=True)
    found = pairs(load, options)
    modes = {mode: evaluated(pairs) for mode, pairs in found.items()}
    with open(options.json, "w") as out:
        json.dump({"load": str(load), "seconds": options.seconds, "modes": modes, "verdict": verdict(modes), "pairs": found},
                  out, indent=1, ensure_ascii=False)
    for mode, it in modes.items():
        slower = it["products_slower_percent"]
        print(f"{mode:8} slower by {slower['median']:+.2f} % ({slower['low']:+.2f} to {slower['high']:+.2f} %)")
    print(f"at default, aim {AIM} %: {verdict(modes)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
