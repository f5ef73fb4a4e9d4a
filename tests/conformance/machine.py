"""The basis of all comparisons: a check for equality, and an installed simulated driver on which programs run."""

import difflib
import json
import os
import subprocess
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
# The programs in the two virtual environments.
IGPU_BIN, NVML_BIN = f"{HERE}/.venv/igpu/bin", f"{HERE}/.venv/nvml/bin"


class Difference(Exception):
    """The output of two programs differs."""


class Count:
    """The number of comparisons without a difference."""

    passed = 0
    lock = threading.Lock()


def check(what, ours, theirs):
    """Raises `Difference` with a diff if the values differ."""
    if ours == theirs:
        with Count.lock:
            Count.passed += 1
        return
    texts = [text if isinstance(text, str) else json.dumps(text, indent=1, default=str) for text in (theirs, ours)]
    # `repr` makes control characters visible.
    lines = [[repr(line)[1:-1] for line in text.split("\n")] for text in texts]
    diff = difflib.unified_diff(*lines, "theirs, as expected of igpu", "ours", lineterm="")
    raise Difference("\n".join([what, *diff]))


class Machine:
    """A simulated driver that is installed with a scenario."""

    def __init__(self, built, toml, environment=None):
        self.built, self.environment = built, environment or {}
        self.folder = tempfile.TemporaryDirectory(prefix="igpu-conformance-")
        self.driver_folder = f"{self.folder.name}/driver"
        scenario = f"{self.folder.name}/scenario.toml"
        with open(scenario, "w") as file:
            file.write(toml)
        subprocess.run([f"{built}/examples/install", self.driver_folder, scenario], check=True, stdout=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.folder.cleanup()

    def run(self, *command, stdin="", timeout=60, **environment):
        return subprocess.run(command, input=stdin, capture_output=True, text=True, errors="replace", timeout=timeout,
                              env=os.environ | self.environment | environment)

    def run_client(self, *command, **more):
        """Runs a third-party program, which finds the driver through LD_LIBRARY_PATH."""
        return self.run(*command, LD_LIBRARY_PATH=self.driver_folder, **more)

    def python(self, environment, script, *arguments, **more):
        """Runs a dump script of this folder in a virtual environment, and returns its JSON output."""
        result = self.run_client(f"{environment}/python", "-B", f"{HERE}/{script}", *arguments, **more)
        if result.returncode:
            raise Difference(f"{script} failed:\n{result.stdout}{result.stderr}")
        return json.loads(result.stdout)

    def igpu(self, *arguments, status=0, **environment):
        """Returns the output of the command igpu. The command must exit with `status`, and must write to stderr only if
        `status` is not 0."""
        library = f"{self.driver_folder}/libnvidia-ml.so.1"
        result = self.run(f"{self.built}/igpu", "--library", library, *arguments, **environment)
        if result.returncode != status or bool(result.stderr) != bool(status):
            raise Difference(f"igpu {' '.join(arguments)} exited with {result.returncode}, not {status}:\n{result.stderr}")
        return result.stdout

    def igpu_json(self, *arguments, **more):
        return json.loads(self.igpu(*arguments, "--json", **more))
