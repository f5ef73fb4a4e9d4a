"""Measures the slowdown of a GPU load while the sampler runs.

The load consists of matrix products, counted per second, and of small kernels, timed from launch to return and to
completion. The sampler is off, at its default intervals, newly created (while it estimates refresh periods), at 100 Hz,
or at 1 kHz. Each measurement with the sampler is paired with a measurement without the sampler, which is made
alternately before and after it. Slow changes, such as those of temperatures and clocks, therefore cancel out. Pairs of
two measurements without the sampler show the noise.

Needs PyTorch with a GPU. With --cpu, a load in plain Python tests the procedure.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import time

SKIPPED = 77
MODES = ["off", "default", "adaptive", "100", "1000"]
# The goal for the slowdown with the sampler at its defaults, in percent.
GOAL_PERCENT = 0.5
# The time in seconds for which the load runs before each measurement. All measurements then begin in the same state.
WARM_UP_SECONDS = 0.3


class TorchLoad:
    def __init__(self):
        import torch

        if not torch.cuda.is_available():
            raise ImportError("PyTorch sees no GPU")
        self.torch = torch
        self.dtype = torch.bfloat16 if torch.cuda.get_device_capability()[0] >= 8 else torch.float16
        self.size = 2048
        # A product takes at least a millisecond, so that the duration of launches is negligible.
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
        """Returns the number of products per second."""
        count, begun = 0, time.perf_counter()
        while (now := time.perf_counter()) - begun < seconds:
            for _ in range(10):
                self.torch.mm(self.a, self.a, out=self.out)
            self.torch.cuda.synchronize()
            count += 10
        return count / (now - begun)

    def kernel(self):
        """Runs a small kernel. Returns the times at which the launch returned and the kernel completed."""
        self.small.add_(1)
        launched = time.perf_counter_ns()
        self.torch.cuda.synchronize()
        return launched, time.perf_counter_ns()


class CpuLoad:
    def __init__(self):
        self.a = [[row * column % 7 for column in range(16)] for row in range(16)]

    def __str__(self):
        return "16×16 products by Python on the CPU, without a GPU"

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


def quantile(values, fraction):
    values = sorted(values)
    return values[min(int(len(values) * fraction), len(values) - 1)]


def measured(load, seconds):
    """Makes one measurement: products for 60 % of the time, then single kernels."""
    load.products(WARM_UP_SECONDS)
    products = load.products(seconds * 0.6)
    launches, trips, end = [], [], time.perf_counter() + seconds * 0.4
    while time.perf_counter() < end:
        begun = time.perf_counter_ns()
        launched, done = load.kernel()
        launches.append((launched - begun) / 1e3)
        trips.append((done - begun) / 1e3)
    return {
        "products_per_s": products, "kernels": len(trips),
        "launch_us": {"p50": quantile(launches, 0.5), "p99": quantile(launches, 0.99)},
        "trip_us": {"p50": quantile(trips, 0.5), "p99": quantile(trips, 0.99)},
    }


def with_sampler(load, mode, seconds, background):
    """Makes one measurement while the sampler runs. Returns the measurement and the report of the sampler."""
    if mode == "off":
        return measured(load, seconds), None
    # The sampler exits shortly after the load.
    command = [background, "--json", "--rate", mode, str(seconds + WARM_UP_SECONDS + 0.3)]
    sampler = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        # The sampler writes a line when it starts to sample. Loading the driver can take a second.
        line = sampler.stderr.readline()
        if line.strip() != "sampling":
            raise RuntimeError(f"the sampler did not start: {line or sampler.stderr.read()}")
        found = measured(load, seconds)
        out, errors = sampler.communicate(timeout=seconds + 30)
        if sampler.returncode != 0:
            raise RuntimeError(f"the sampler exited with {sampler.returncode}: {errors}")
        return found, json.loads(out)[0]
    finally:
        if sampler.poll() is None:
            sampler.kill()


def pairs(load, options):
    """Measures pairs of a mode and no sampler, in varying order, until the time is over. All modes have the same number of
    pairs."""
    found, begun, length = {mode: [] for mode in MODES}, time.monotonic(), 0.0
    for round in range(1000):
        before = time.monotonic()
        if round > 0 and before - begun + length > options.total_seconds:
            break
        turn = round % len(MODES)
        for place, mode in enumerate(MODES[turn:] + MODES[:turn]):
            measure = lambda mode: with_sampler(load, mode, options.seconds, options.background)
            # The order within a pair alternates from round to round.
            if (round + MODES.index(mode)) % 2 == 0:
                off, on = measure("off"), measure(mode)
            else:
                on, off = measure(mode), measure("off")
            found[mode].append({"off": off[0], "on": on[0], "sampler": on[1], "round": round, "place": place})
            show(mode, found[mode][-1])
        length = time.monotonic() - before
    return found


def show(mode, pair):
    on, off = pair["on"], pair["off"]
    print(f"{mode:8} {on['products_per_s']:10.1f} products/s, off {off['products_per_s']:10.1f}; launch p50 "
          f"{on['launch_us']['p50']:.2f} µs, off {off['launch_us']['p50']:.2f} µs", flush=True)


def median_of(percents):
    """Returns the median and its 95 % confidence interval. The interval is computed from order statistics and is
    therefore valid for any distribution. For few values, it is their range."""
    percents = sorted(percents)
    count = len(percents)
    cut = max(0, math.floor((count - 1.96 * math.sqrt(count)) / 2))
    return {"median": statistics.median(percents), "low": percents[cut], "high": percents[count - 1 - cut]}


def evaluated(pairs):
    """Evaluates the pairs of one mode. Positive numbers are slowdowns."""
    ratio = lambda pair, read: read(pair["on"]) / read(pair["off"])
    longer = lambda key, quantile: median_of([(ratio(pair, lambda result: result[key][quantile]) - 1) * 100 for pair in pairs])
    found = {
        "pairs": len(pairs),
        "products_slower_percent": median_of([(1 - ratio(pair, lambda result: result["products_per_s"])) * 100 for pair in pairs]),
        "launch_p50_longer_percent": longer("launch_us", "p50"),
        "launch_p99_longer_percent": longer("launch_us", "p99"),
        "trip_p50_longer_percent": longer("trip_us", "p50"),
        "trip_p99_longer_percent": longer("trip_us", "p99"),
    }
    samplers = [pair["sampler"] for pair in pairs if pair["sampler"]]
    if samplers:
        median = lambda read: statistics.median(read(report) for report in samplers)
        found["sampler"] = {
            "late_p50_us": median(lambda result: result["lateness_us"]["p50"]), "late_p99_us": median(lambda result: result["lateness_us"]["p99"]),
            "late_p99.9_us": median(lambda result: result["lateness_us"]["p99.9"]), "cpu_share": median(lambda result: result["cpu_share"]),
            "missed_deadlines": sum(report["missed_deadlines"] for report in samplers),
            "ticks": sum(report["ticks"] for report in samplers),
            "dropped": sum(report["dropped"] + report["dropped_by_events"] for report in samplers),
        }
    return found


def verdict(modes):
    """Returns a phrase: the goal is met, it is missed, or the noise is too large to decide."""
    slower = modes["default"]["products_slower_percent"]
    text = f"{slower['median']:+.2f} % ({slower['low']:+.2f} to {slower['high']:+.2f} %)"
    if modes["default"]["pairs"] < 6:
        return f"undecided, {text}: too few pairs"
    if slower["high"] <= GOAL_PERCENT:
        return f"met, {text}"
    return f"missed, {text}" if slower["low"] > GOAL_PERCENT else f"undecided, {text}: measure for longer"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--background", required=True, help="path of the program that samples")
    parser.add_argument("--for", dest="total_seconds", type=float, default=230, help="total duration in seconds")
    parser.add_argument("--seconds", type=float, default=2, help="duration of one measurement in seconds")
    parser.add_argument("--cpu", action="store_true", help="use a load in plain Python, to test the procedure")
    parser.add_argument("--json", required=True, help="path of the result")
    options = parser.parse_args()
    try:
        load = CpuLoad() if options.cpu else TorchLoad()
    except ImportError as error:
        print(f"no load: {error}")
        return SKIPPED
    print(load, flush=True)
    found = pairs(load, options)
    modes = {mode: evaluated(pairs) for mode, pairs in found.items()}
    with open(options.json, "w") as out:
        json.dump({"load": str(load), "seconds": options.seconds, "modes": modes, "verdict": verdict(modes), "pairs": found},
                  out, indent=1, ensure_ascii=False)
    for mode, result in modes.items():
        slower = result["products_slower_percent"]
        print(f"{mode:8} slower by {slower['median']:+.2f} % ({slower['low']:+.2f} to {slower['high']:+.2f} %)")
    print(f"at default intervals, goal {GOAL_PERCENT} %: {verdict(modes)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
