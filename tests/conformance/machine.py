"""What all comparisons stand on: a check, and a place with the simulated driver in it that programs run on."""

import difflib
import json
import os
import subprocess
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
# Programs of the two environments.
OLD, NEW = f"{HERE}/.venv/igpu/bin", f"{HERE}/.venv/nvml/bin"


class Different(Exception):
    """What two programs say is not the same."""


class Count:
    """How many comparisons found no difference."""

    passed = 0
    lock = threading.Lock()


def check(what, ours, theirs):
    """Both are the same, or what differs is raised."""
    if ours == theirs:
        with Count.lock:
            Count.passed += 1
        return
    texts = [text if isinstance(text, str) else json.dumps(text, indent=1, default=str) for text in (theirs, ours)]
    # The representation shows what a terminal would not.
    lines = [[repr(line)[1:-1] for line in text.split("\n")] for text in texts]
    diff = difflib.unified_diff(*lines, "theirs, as it should be here", "ours", lineterm="")
    raise Different("\n".join([what, *diff]))


class Machine:
    """The driver, installed with a scenario."""

    def __init__(self, built, toml, environment=None):
        self.built, self.environment = built, environment or {}
        self.folder = tempfile.TemporaryDirectory(prefix="igpu-conformance-")
        self.place = f"{self.folder.name}/driver"
        scenario = f"{self.folder.name}/scenario.toml"
        with open(scenario, "w") as file:
            file.write(toml)
        subprocess.run([f"{built}/examples/install", self.place, scenario], check=True, stdout=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.folder.cleanup()

    def run(self, *command, stdin="", timeout=60, **environment):
        return subprocess.run(command, input=stdin, capture_output=True, text=True, errors="replace", timeout=timeout,
                              env=os.environ | self.environment | environment)

    def peer(self, *command, **more):
        """Somebody else's program, which finds the driver where the linker looks."""
        return self.run(*command, LD_LIBRARY_PATH=self.place, **more)

    def python(self, environment, script, *arguments, **more):
        """What a script of ours says that asks a peer."""
        result = self.peer(f"{environment}/python", "-B", f"{HERE}/{script}", *arguments, **more)
        if result.returncode:
            raise Different(f"{script} died:\n{result.stdout}{result.stderr}")
        return json.loads(result.stdout)

    def igpu(self, *arguments, status=0, **environment):
        """What our command prints. Its exit status is to be this one, and where it is 0 nothing is complained of."""
        library = f"{self.place}/libnvidia-ml.so.1"
        result = self.run(f"{self.built}/igpu", "--library", library, *arguments, **environment)
        if result.returncode != status or bool(result.stderr) != bool(status):
            raise Different(f"igpu {' '.join(arguments)} ended with {result.returncode}, not {status}:\n{result.stderr}")
        return result.stdout

    def igpu_json(self, *arguments, **more):
        return json.loads(self.igpu(*arguments, "--json", **more))
