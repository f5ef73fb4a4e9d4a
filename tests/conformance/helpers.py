"""Helper processes that run during the comparisons, so that all programs find the same processes."""

import os
import random
import shutil
import subprocess
import tempfile

# The name of each helper. The kernel truncates the name to 15 bytes, and the command line contains the complete name.
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
    # In /proc/PID/stat, the name is in parentheses, followed by the state and the parent.
    "parentheses": "x) R 1 (y",
    "percent": "100% {pid} %s\\n",
    "nan": "nan",
}
# Names with control sequences for a terminal, or with a line break.
CONTROL = ["red\x1b[31m", "two\nlines", "ring\a-the-bell\a-of-the-process"]
# The characters of random names: letters, digits, and punctuation, after some of which textwrap breaks lines.
ALPHABET = "abcdeé日_123...---   \t,!?'\"&)(:"


def random_names(count):
    """Returns random names, which are the same in every run."""
    generator = random.Random(20200417)
    names = set()
    while len(names) < count:
        names.add("".join(generator.choices(ALPHABET, k=generator.randint(1, 44))))
    # The names are also file names.
    return sorted(names - {".", ".."})


class Helpers:
    """A context manager with the `pids` of named helpers, and the pids of helpers with `random` names."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="igpu-conformance-helpers-")
        os.chmod(self.folder, 0o755)  # some helpers run as other users
        self.children = []
        self.pids = {}
        for key, name in NAMES.items():
            self.start(key, name)
        self.control = [self.start(None, name).pid for name in CONTROL]
        self.random = [self.start(None, name).pid for name in random_names(100)]
        # The command line does not begin with the name, which the kernel has truncated.
        self.start("other-argv", "a-long-name-of-a-file", argv0="/opt/some where/else")
        # psutil's name is the last component of the path, which contains spaces.
        self.start("path", "a-long-name-with-a-path", argv0="/opt/some where/a-long-name-with-a-path")
        self.pids["child"], self.pids["parent"] = self.family("grand-parent-with-a-long-name", "child of a-parent")
        zombie = self.start("zombie", "a-zombie-without-a-command-line")
        zombie.kill()  # without wait()
        exited = self.start("gone", "gone")
        exited.kill()
        exited.wait()
        if os.geteuid() == 0:
            self.start("nobody", "owned-by-nobody", user=65534)
            self.start("nameless", "owned-by-no-name", user=1234567)
        return self

    def __exit__(self, *_):
        for child in self.children:
            # A helper and its child exit at the end of their input, which also ends if this program is killed.
            child.stdin.close()
            child.stdout.close()
            child.kill()
            child.wait()
        shutil.rmtree(self.folder)

    def program(self, name):
        """Returns the path of a link to bash. A multi-call binary cannot be used, because its name selects a tool."""
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
        assert child.stdout.readline() == b"ready\n", f"the helper {name!r} did not start"
        self.children.append(child)
        if key:
            self.pids[key] = child.pid
        return child

    def family(self, parent, child):
        """Starts a process and its child. Returns the pids of the child and of the parent."""
        # Without a further command at the end, the shells would replace themselves with `exec`.
        script = '"$0" -c "echo \\$\\$; read; :" <&0; :'
        path = self.program(parent)
        process = subprocess.Popen(
            [path, "-c", script, self.program(child)], env={}, cwd="/",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        self.children.append(process)
        return int(process.stdout.readline()), process.pid
