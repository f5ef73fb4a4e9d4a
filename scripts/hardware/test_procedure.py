"""Tests of the evaluation and of the steps: python3 -m unittest discover -s scripts/hardware. Needs no GPU."""

import os
import tempfile
import time
import types
import unittest
from unittest import mock

import load
import run
import summary


def pair(products, off=1000.0, launch=5.0):
    measurement = lambda products, launch: {
        "products_per_s": products, "launch_us": {"p50": launch, "p99": 2 * launch}, "trip_us": {"p50": 9.0, "p99": 12.0}}
    return {"off": measurement(off, 5.0), "on": measurement(products, launch), "sampler": None}


class Load(unittest.TestCase):
    def test_known_slowdown_is_found(self):
        # A slowdown of 1 % with noise of ± 0.3 %, and one disturbed measurement.
        noise = [0.3, -0.3, 0.1, -0.1, 0.2, -0.2, 0.0, 0.25, -0.25, 0.05]
        found = load.evaluated([pair(990 + 10 * value) for value in noise] + [pair(500, launch=50.0)])
        slower = found["products_slower_percent"]
        self.assertAlmostEqual(slower["median"], 1.0, delta=0.1)
        self.assertTrue(0.6 < slower["low"] <= slower["median"] <= slower["high"] < 1.4, slower)
        self.assertEqual(found["launch_p50_longer_percent"]["median"], 0.0)

    def test_longer_launch_is_found(self):
        found = load.evaluated([pair(1000, launch=5.5)] * 7)
        self.assertAlmostEqual(found["launch_p50_longer_percent"]["median"], 10.0)
        self.assertAlmostEqual(found["launch_p99_longer_percent"]["median"], 10.0)
        self.assertAlmostEqual(found["trip_p50_longer_percent"]["median"], 0.0)

    def test_verdict_needs_whole_interval(self):
        verdict = lambda *products: load.verdict({"default": load.evaluated([pair(rate) for rate in products])})
        self.assertTrue(verdict(*[999] * 8).startswith("met, +0.10 %"))
        self.assertTrue(verdict(*[990] * 8).startswith("missed, +1.00 %"))
        self.assertTrue(verdict(*[1001, 985] * 6).startswith("undecided"))
        self.assertIn("too few pairs", verdict(*[1000] * 5))

    def test_median_is_inside_interval(self):
        self.assertEqual(load.median_of([3.0]), {"median": 3.0, "low": 3.0, "high": 3.0})
        self.assertEqual(load.median_of([3.0, 1.0, 2.0]), {"median": 2.0, "low": 1.0, "high": 3.0})
        # The standard interval for 100 values is from the 41st to the 60th.
        self.assertEqual(load.median_of(range(1, 101)), {"median": 50.5, "low": 41, "high": 60})

    def test_modes_have_equal_pairs(self):
        order = []

        def measured(_, mode, seconds, background):
            order.append(mode)
            time.sleep(0.002)
            return pair(1000.0)["on"], None

        options = types.SimpleNamespace(total_seconds=0.15, seconds=0, background="")
        with mock.patch.object(load, "with_sampler", measured), mock.patch.object(load, "show"):
            found = load.pairs(None, options)
        counts = {len(pairs) for pairs in found.values()}
        self.assertEqual(len(counts), 1)
        self.assertGreater(counts.pop(), 2)
        pairs = list(zip(order[::2], order[1::2]))
        for mode in load.MODES[1:]:
            first = [before == mode for before, after in pairs if mode in (before, after)]
            self.assertLessEqual(abs(2 * sum(first) - len(first)), 1, f"{mode}: {first}")


class Steps(unittest.TestCase):
    def run_step(self, *commands, limit=10, left=100):
        with tempfile.TemporaryDirectory() as folder:
            commands = [run.Command("output.txt", "bash", "-c", command) for command in commands]
            found = run.run_step("igpu", limit, commands, folder, left, "")
            return found, summary.text(folder, "output.txt")

    def test_failure_continues_step(self):
        found, output = self.run_step("echo one; exit 3", "echo two")
        notes = ["bash -c echo one; exit 3: exit 3; see output.txt"]
        self.assertEqual((found["status"], found["notes"]), ("failed", notes))
        self.assertIn("two", output)

    def test_hung_command_tree_is_killed(self):
        begun = time.monotonic()
        found, _ = self.run_step("sleep 60 & sleep 60", limit=0.5)
        self.assertLess(time.monotonic() - begun, 10)
        self.assertEqual(found["status"], "failed")
        self.assertIn("timed out", found["notes"][0])

    def test_skipped_step_has_reason(self):
        found, _ = self.run_step("echo no such card; exit 77")
        self.assertEqual((found["status"], found["notes"]), ("skipped", ["no such card"]))
        found, _ = self.run_step("echo never", left=1)
        self.assertEqual((found["status"], found["notes"]), ("skipped", ["no time is left; run this step alone"]))

    def test_crash_is_failure(self):
        found, _ = self.run_step("kill -SEGV $$")
        self.assertIn("signal 11", found["notes"][0])


class Summary(unittest.TestCase):
    def test_runs_are_merged(self):
        with tempfile.TemporaryDirectory() as folder:
            about = {"simulated": True, "quick": True, "library": None}
            step = lambda status: {"status": status, "seconds": 1.0, "notes": [], "files": []}
            self.assertTrue(summary.write(folder, about, "tests", step("failed")))
            self.assertTrue(summary.write(folder, about, "igpu", step("passed")))
            self.assertFalse(summary.write(folder, about, "tests", step("passed")))
            text = summary.text(folder, "summary.txt")
            self.assertIn("SIMULATED QUICK (no measurements)", text)
            self.assertRegex(text, r"(?m)^igpu +passed")

    def test_failed_tests_are_listed(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "tests.txt"), "w") as output:
                output.write("test a ... ok\nskipped: no nvidia-smi\n\nfailures:\n\nfailures:\n    energy::off\n\n"
                           "test result: FAILED. 4 passed; 1 failed; 0 ignored;\n")
            found = summary.tests(folder)
            self.assertEqual(found, {"passed": 4, "failed": 1, "names": ["energy::off"], "skipped": ["no nvidia-smi"]})


if __name__ == "__main__":
    unittest.main()
