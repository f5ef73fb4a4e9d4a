"""Runs the steps of hardware-check, each with a time limit, and collects their output in one folder."""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time

import summary

# The exit status of a program that cannot run on this machine, by automake's convention. Its last line is the reason.
SKIPPED = 77
# The part of the time limit that is reserved for the summary, in seconds.
SUMMARY_SECONDS = 3


class Command:
    """A program and its output file. With `json`, the standard error goes to a separate file."""

    def __init__(self, file, *argv, json=False, **env):
        self.file, self.argv, self.json, self.env = file, [str(word) for word in argv], json, env


def machine_script():
    """Returns the shell script that describes the machine, with one command for each property."""
    return """
        for line in 'uname -a' 'cat /etc/os-release' 'lscpu' 'free -m' 'ldd --version' 'cat /proc/driver/nvidia/version' \\
            'ls -l /dev/nvidiactl /dev/nvidia0' 'cat /sys/bus/pci/drivers/nvidia/*/power/runtime_status' 'ulimit -a' \\
            'python3 --version' 'env | grep -E "^(CUDA|NVIDIA|IGPU|LD_LIBRARY)"'; do
            echo "== $line"
            bash -c "$line" 2>&1 | head -60
        done
        echo '== required libraries'
        cat "$0/needs.txt"
        """


def steps(kit, folder, options):
    """Returns the name, time limit in seconds, and commands of each step, in order. Quick and reliable steps are
    first."""
    bin, python = os.path.join(kit, "bin"), options.python
    igpu, script = os.path.join(bin, "igpu"), lambda name: os.path.join(kit, "hardware", name)
    seconds, idle = ("8", "1") if options.quick else ("30", "10")
    rates = ["default", "adaptive", "100", "1000"] + ([] if options.quick else ["10000"])
    rates = [word for rate in rates for word in ("--rate", rate)]
    load_for, load_each = ("8", "0.3") if options.quick else (options.load_seconds, "2")
    load = [python, "-B", script("load.py"), "--background", os.path.join(bin, "background"), "--for", load_for,
            "--seconds", load_each, "--json", os.path.join(folder, "load.json")]
    tests = ["--ignored", "--nocapture", "--test-threads=1"]
    quick = ["--quick"] if options.quick else []
    return [
        ("machine", 20, [Command("machine.txt", "bash", "-c", machine_script(), kit)]),
        ("smi", 30, [
            Command("nvidia-smi.txt", "nvidia-smi"),
            Command("nvidia-smi.txt", "nvidia-smi", "-q"),
            Command("nvidia-smi.txt", "nvidia-smi", "topo", "-m"),
        ]),
        ("igpu", 40, [
            Command("igpu.txt", igpu, "--version"),
            Command("igpu.txt", igpu),
            Command("igpu.json", igpu, "--json", json=True),
            Command("igpu.txt", igpu, "list"),
            Command("igpu.txt", igpu, "ps"),
            Command("igpu.txt", igpu, "driver"),
            Command("driver.json", igpu, "driver", "--json", json=True),
        ]),
        ("pynvml", 60, [
            Command("pynvml.txt", python, "-B", script("dump_pynvml.py"), "--igpu", igpu, "--json",
                    os.path.join(folder, "pynvml.json")),
        ]),
        ("tests", 150, [Command("tests.txt", os.path.join(bin, "hardware"), *tests, IGPU_HARDWARE_SECONDS=seconds)]),
        ("alloc", 60, [Command("alloc.txt", os.path.join(bin, "hardware_alloc"), *tests, IGPU_HARDWARE_SECONDS=seconds)]),
        ("lateness", 90, [
            Command("lateness.json", os.path.join(bin, "background"), "--json", *rates, idle, json=True),
        ]),
        ("load", float(load_for) + 60, [Command("load.txt", *load, *(["--cpu"] if options.cpu else []))]),
        ("probe", 160, [
            Command("probe.json", igpu, "probe", "--json", *quick, json=True),
            Command("probe.txt", igpu, "probe", "--quick"),
        ]),
    ]


def missing(name, commands, igpu):
    """Returns the reason why a step cannot run on this machine, or None."""
    if name == "smi" and not any(os.access(os.path.join(place, "nvidia-smi"), os.X_OK)
                                 for place in os.environ.get("PATH", "").split(":")):
        return "nvidia-smi is not installed"
    if name == "probe" and subprocess.run([igpu, "probe", "--help"], capture_output=True).returncode != 0:
        return "this igpu has no subcommand probe"
    return None


def wait_or_kill(process, limit):
    """Waits for a process and returns its exit status. After the time limit, kills the process group and returns None."""
    try:
        return process.wait(max(limit, 0.1))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            pass  # The process hangs in a system call of the driver and cannot be killed; it is abandoned.
        return None


def run_command(command, folder, deadline):
    """Runs a command. Returns a message if it failed or was skipped, and whether it was skipped."""
    path = os.path.join(folder, command.file)
    shown = " ".join([os.path.basename(command.argv[0]), *(word for word in command.argv[1:] if len(word) < 40)])
    errors = path + ".stderr" if command.json else None
    with open(path, "ab") as out:
        if not command.json:
            out.write(f"$ {shown}\n".encode())
            out.flush()
        error = open(errors, "wb") if errors else out
        try:
            process = subprocess.Popen(
                command.argv, stdout=out, stderr=error, stdin=subprocess.DEVNULL, start_new_session=True,
                env=os.environ | command.env,
            )
        except OSError as os_error:
            return f"{shown}: {os_error}", False
        finally:
            if errors:
                error.close()
        status = wait_or_kill(process, deadline - time.monotonic())
        if not command.json:
            out.write(b"\n")
    with open(errors or path, errors="replace") as opened:
        lines = opened.read().strip().splitlines()
    if errors and status == 0:
        os.remove(errors)
    if status is None:
        return f"{shown}: timed out, killed", False
    if status == SKIPPED:
        return lines[-1] if lines else "no reason given", True
    if status != 0:
        how = f"signal {-status}" if status < 0 else f"exit {status}"
        return f"{shown}: {how}" + (f": {lines[-1]}" if lines and errors else f"; see {command.file}"), False
    return None, False


def run_step(name, limit, commands, folder, left, igpu):
    """Runs all commands of a step, and returns its entry of the summary."""
    begun = time.monotonic()
    files = sorted({command.file for command in commands})
    reason = missing(name, commands, igpu)
    if reason is None and left < 5:
        reason = "no time is left; run this step alone"
    if reason:
        return {"status": "skipped", "seconds": 0, "notes": [reason], "files": []}
    # Removes the output of earlier runs, including files that the programs write themselves.
    named = [word for command in commands for word in command.argv if os.path.dirname(word) == folder]
    for path in [os.path.join(folder, file) for file in files] + named:
        if os.path.exists(path):
            os.remove(path)
    notes, failed, skipped = [], False, False
    for command in commands:
        note, was_skipped = run_command(command, folder, begun + min(limit, left))
        notes += [note] if note else []
        skipped |= was_skipped
        failed |= bool(note) and not was_skipped
    status = "failed" if failed else "skipped" if skipped else "passed"
    return {"status": status, "seconds": round(time.monotonic() - begun, 1), "notes": notes, "files": files}


def first_of_igpu(igpu, *arguments):
    """Returns the first element of igpu's JSON output, or an empty dictionary."""
    try:
        result = subprocess.run([igpu, *arguments, "--json"], capture_output=True, timeout=30)
        return json.loads(result.stdout)[0]
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError):
        return {}


def folder_name(igpu, simulated):
    slug = lambda text: re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-")
    card = first_of_igpu(igpu, "list").get("name")
    driver = first_of_igpu(igpu, "driver").get("driver_version")
    return f"hardware-{'simulated-' if simulated else ''}{slug(card or 'no-card')}-{slug(driver or 'no-driver')}"


def arguments(names):
    parser = argparse.ArgumentParser(
        prog="hardware-check", description="Run igpu on this machine's GPUs, and collect the results in one folder.",
        epilog=f"Steps: {', '.join(names)}. Exit status: 0 if no step failed, 1 if a step failed, 2 on wrong usage.")
    parser.add_argument("--out", default=".", metavar="DIR", help="create the folder in DIR [current directory]")
    parser.add_argument("--quick", action="store_true", help="run each step for a few seconds only, without measurements")
    parser.add_argument("--limit", type=float, default=570, metavar="S", help="end within S seconds [570]")
    parser.add_argument("--load-seconds", default="230", metavar="S", help="measure the slowdown for S seconds [230]")
    parser.add_argument("--cpu", action="store_true", help="run the load on the CPU, to test the step without a GPU")
    parser.add_argument("--may-skip", metavar="STEP,…", help="fail if any other step is skipped")
    parser.add_argument("--python", default=sys.executable, help="use the Python that has torch and pynvml [this one]")
    parser.add_argument("--kit", help=argparse.SUPPRESS)
    parser.add_argument("--simulated", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("step", nargs="*", help="run only these steps")
    options = parser.parse_args()
    unknown = [step for step in options.step if step not in names]
    if unknown:
        parser.error(f"there is no step {unknown[0]}; use {', '.join(names)}")
    return options


def main():
    begun = time.monotonic()
    names = [name for name, _, _ in steps("", "", argparse.Namespace(quick=True, cpu=False, python="", load_seconds="1"))]
    options = arguments(names)
    igpu = os.path.join(options.kit, "bin", "igpu")
    folder = os.path.abspath(os.path.join(options.out, folder_name(igpu, options.simulated)))
    os.makedirs(folder, exist_ok=True)
    about = {"simulated": options.simulated, "quick": options.quick, "library": os.environ.get("IGPU_NVML_LIBRARY")}
    for name, limit, commands in steps(options.kit, folder, options):
        if options.step and name not in options.step:
            continue
        left = options.limit - SUMMARY_SECONDS - (time.monotonic() - begun)
        print(f"{name} …", flush=True)
        step = run_step(name, limit, commands, folder, left, igpu)
        print(f"    {step['status']} in {step['seconds']} s" + "".join(f"\n    {note}" for note in step["notes"]), flush=True)
        if options.may_skip is not None and step["status"] == "skipped" and name not in options.may_skip.split(","):
            step["status"] = "failed"
            print(f"    {name} was skipped, but only {options.may_skip} may be skipped", flush=True)
        # The summary is written after each step, so that an interrupted run keeps the results so far.
        failed = summary.write(folder, about, name, step)
    with open(os.path.join(folder, "summary.txt")) as opened:
        print(f"{opened.read()}\n{folder}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
