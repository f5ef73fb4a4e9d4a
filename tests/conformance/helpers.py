"""Processes that stand still while the programs are compared: all of them must see the same processes."""

import os
import random
import shutil
import subprocess
import tempfile

# What the kernel calls each (from the file's name, cut at 15 bytes) and what its command line says.
NAMES = {
    "short": "train",
    "fifteen": "exactly-fifteen",
    "sixteen": "exactly-sixteen-",
    "hyphens": "tensor-parallel-worker-of-rank-0",
    "hyphen-20": "data-loader-worker-7",
    "dashes": "serve--port-number--of-the-model",
    "no-break": "supercalifragilisticexpialidocious",
    "words": "a name of many words that is cut",
    "spaces": "  odd   spaces ",
    "letters": "übergröße-crème-brûlée-und-äpfel",
    # As in /proc/PID/stat, where the name stands in parentheses before the state and the parent.
    "parentheses": "x) R 1 (y",
    "percent": "100% {pid} %s\\n",
    "nan": "nan",
}
# These would take a terminal over, or end a line of the table.
CONTROL = ["red\x1b[31m", "two\nlines", "ring\a-the-bell\a-of-the-process"]
# What names at random are made of: letters, digits, and what textwrap breaks lines at or does not.
ALPHABET = "abcdeé日_123...---   \t,!?'\"&)(:"


def random_names(count):
    """The same ones every time."""
    draw = random.Random(20200417)
    names = set()
    while len(names) < count:
        names.add("".join(draw.choices(ALPHABET, k=draw.randint(1, 44))))
    # Names of files as well.
    return sorted(names - {".", ".."})


class Helpers:
    """A context with `pids`, by the keys above and a few more, and the pids of names at `random`."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="igpu-conformance-helpers-")
        os.chmod(self.folder, 0o755)  # some run as other users
        self.children = []
        self.pids = {}
        for key, name in NAMES.items():
            self.start(key, name)
        self.control = [self.start(None, name).pid for name in CONTROL]
        self.random = [self.start(None, name).pid for name in random_names(100)]
        # What it was started as says nothing about the name that the kernel cut.
        self.start("other-argv", "a-long-name-of-a-file", argv0="/opt/some where/else")
        # A path with spaces in it: psutil's name is its last part.
        self.start("path", "a-long-name-with-a-path", argv0="/opt/some where/a-long-name-with-a-path")
        self.pids["child"], self.pids["parent"] = self.family("grand-parent-with-a-long-name", "child of a-parent")
        zombie = self.start("zombie", "a-zombie-without-a-command-line")
        zombie.kill()  # and not waited for
        gone = self.start("gone", "gone")
        gone.kill()
        gone.wait()
        if os.geteuid() == 0:
            self.start("nobody", "owned-by-nobody", user=65534)
            self.start("nameless", "owned-by-no-name", user=1234567)
        return self

    def __exit__(self, *_):
        for child in self.children:
            # The end of its input ends a helper, and what it has started; also when this program is killed.
            child.stdin.close()
            child.stdout.close()
            child.kill()
            child.wait()
        shutil.rmtree(self.folder)

    def program(self, name):
        """A shell under that name. Shells do not mind; a program of many tools in one file looks at its own name."""
        path = os.path.join(self.folder, name)
        if not os.path.lexists(path):
            os.symlink(shutil.which("bash"), path)
        return path

    def start(self, key, name, argv0=None, user=None):
        path = self.program(name)
        child = subprocess.Popen(
            [argv0 or path, "-c", "echo ready; read"], executable=path, env={}, user=user, cwd="/",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        assert child.stdout.readline() == b"ready\n", f"the helper {name!r} does not run"
        self.children.append(child)
        if key:
            self.pids[key] = child.pid
        return child

    def family(self, parent, child):
        """A process with a parent of its own: their pids, the child's first."""
        # What follows the inner command keeps either shell from becoming what it runs.
        script = '"$0" -c "echo \\$\\$; read; :" <&0; :'
        path = self.program(parent)
        process = subprocess.Popen(
            [path, "-c", script, self.program(child)], env={}, cwd="/",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        self.children.append(process)
        return int(process.stdout.readline()), process.pid
