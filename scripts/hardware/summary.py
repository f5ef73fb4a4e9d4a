"""Writes summary.json and summary.txt: the results of the steps and the most important figures."""

import datetime
import json
import os
import re


def read(folder, file):
    """Returns the content of a JSON file, or None if the file is missing or incomplete."""
    try:
        with open(os.path.join(folder, file)) as opened:
            return json.load(opened)
    except (OSError, ValueError):
        return None


def text(folder, file):
    """Returns the content of a text file, or an empty string if it is missing."""
    try:
        with open(os.path.join(folder, file), errors="replace") as opened:
            return opened.read()
    except OSError:
        return ""


def tests(folder):
    """Returns the results of the test binaries: counts, the names of failed tests, and reasons for skipped tests."""
    output = text(folder, "tests.txt") + text(folder, "alloc.txt")
    count = lambda word: sum(int(number) for number in re.findall(rf"(\d+) {word};", output))
    failed = sorted(set(re.findall(r"^    ([\w:]+)$", output.partition("\nfailures:")[2], re.MULTILINE)))
    skipped = re.findall(r"skipped: (.*)", output)
    return {"passed": count("passed"), "failed": count("failed"), "names": failed, "skipped": sorted(set(skipped))}


def gathered(folder):
    """Returns the figures of all steps that have run so far."""
    driver, gpus = (read(folder, "driver.json") or [{}])[0], read(folder, "igpu.json") or []
    load, pynvml = read(folder, "load.json") or {}, read(folder, "pynvml.json") or {}
    return {
        "driver": driver,
        "gpus": [gpu.get("name") for gpu in gpus],
        "igpu": next(iter(re.findall(r"^igpu (\d.*)$", text(folder, "igpu.txt"), re.MULTILINE)), None),
        "tests": tests(folder),
        "lateness": read(folder, "lateness.json") or [],
        "load": {key: load.get(key) for key in ("load", "seconds", "modes", "verdict")} if load else None,
        "pynvml": {key: pynvml.get(key) for key in ("version", "differences", "ended")} if pynvml else None,
    }


def lateness_rows(rows):
    """Yields the lines of the table of lateness."""
    yield "| rate | ticks | lateness p50 | p99 | p99.9 | max | missed deadlines | CPU | records | dropped |"
    yield "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for row in rows:
        late = " | ".join(f"{row['lateness_us'][part]:.1f} µs" for part in ("p50", "p99", "p99.9", "max"))
        yield (f"| {row['rate']} | {row['ticks']} | {late} | {row['missed_deadlines']} | {row['cpu_share'] * 100:.2f} % | "
               f"{row['records']} | {row['dropped'] + row['dropped_by_events']} |")


def load_rows(load):
    """Yields the lines of the table of the load."""
    yield "| sampler | pairs | slowdown | 95 % interval | launch p50 | launch p99 | lateness p50 | lateness p99 | CPU |"
    yield "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for mode, result in load["modes"].items():
        slower, sampler = result["products_slower_percent"], result.get("sampler") or {}
        figures = [f"{slower['median']:+.2f} %", f"{slower['low']:+.2f} to {slower['high']:+.2f} %"]
        figures += [f"{result[key]['median']:+.2f} %" for key in ("launch_p50_longer_percent", "launch_p99_longer_percent")]
        figures += [f"{sampler[key]:.1f} µs" if key in sampler else "" for key in ("late_p50_us", "late_p99_us")]
        figures += [f"{sampler['cpu_share'] * 100:.2f} %" if "cpu_share" in sampler else ""]
        yield f"| {mode} | {result['pairs']} | {' | '.join(figures)} |"


def rendered(found):
    """Yields the lines of summary.txt."""
    driver = found["driver"]
    yield f"{', '.join(map(str, found['gpus'])) or 'no GPU'}; driver {driver.get('driver_version')}, igpu {found['igpu']}"
    yield f"{found['when']}{' SIMULATED' if found['simulated'] else ''}{' QUICK (no measurements)' if found['quick'] else ''}"
    yield ""
    for name, step in found["steps"].items():
        yield f"{name:10} {step['status']:8} {step['seconds']:6.1f} s  {'; '.join(step['notes'])}"
    yield f"\ntests: {found['tests']}"
    if found["pynvml"]:
        yield f"pynvml {found['pynvml']['version']}: differences {found['pynvml']['differences']}"
    if found["lateness"]:
        yield "\nThe sampler without a load:"
        yield from lateness_rows(found["lateness"])
    if found["load"] and found["load"]["modes"]:
        yield f"\nThe load ({found['load']['load']}) with the sampler, compared with no sampler (the row off is the noise):"
        yield from load_rows(found["load"])
        yield f"at default intervals, goal 0.5 %: {found['load']['verdict']}"


def write(folder, about, name, step):
    """Adds a step to the summary of the folder. Returns True if any step in the summary failed."""
    before = read(folder, "summary.json") or {}
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    found = {"when": now, **about, "steps": before.get("steps", {}) | {name: step}, **gathered(folder)}
    if found["lateness"]:
        with open(os.path.join(folder, "lateness.txt"), "w") as opened:
            opened.write("\n".join(lateness_rows(found["lateness"])) + "\n")
    with open(os.path.join(folder, "summary.json"), "w") as opened:
        json.dump(found, opened, indent=1, ensure_ascii=False)
        opened.write("\n")
    with open(os.path.join(folder, "summary.txt"), "w") as opened:
        opened.write("\n".join(rendered(found)) + "\n")
    return any(step["status"] == "failed" for step in found["steps"].values())
