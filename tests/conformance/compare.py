"""Runs all programs on the simulated driver with each scenario, and compares their output."""

import argparse
import concurrent.futures
import os
import sys

import scenarios
import cuda_visible_devices
import nvidia_smi
from against_igpu import compare_igpu
from against_others import compare_gpustat, compare_nvitop, compare_nvml
from helpers import Helpers
from machine import Count, Difference, Machine


def compare(built, scenario):
    """Makes all comparisons on a scenario, and returns their descriptions."""
    with Machine(built, scenario.toml, scenario.environment) as machine:
        comparisons = [compare_igpu]
        if not scenario.igpu_only:
            comparisons += [compare_nvml, compare_nvitop, compare_gpustat]
        return [comparison(scenario, machine) for comparison in comparisons]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--built", required=True, help="the folder in which Cargo built the programs")
    parser.add_argument("--keep-going", action="store_true", help="continue after a difference")
    parser.add_argument("names", nargs="*", help="run only comparisons whose names start with one of these")
    arguments = parser.parse_args()
    failed = 0
    with Helpers() as helpers, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [(scenario.name, compare, scenario) for scenario in scenarios.all_scenarios(helpers)]
        jobs += cuda_visible_devices.jobs()
        jobs += nvidia_smi.jobs(helpers)
        chosen = [job for job in jobs if job[0].startswith(tuple(arguments.names or [""]))]
        running = [(name, pool.submit(function, arguments.built, case)) for name, function, case in chosen]
        for name, job in running:
            try:
                print(f"{name:29} {'; '.join(job.result())}", flush=True)
            except Difference as difference:
                failed += 1
                print(f"{name:29} DIFFERENT: {difference}", flush=True)
                if not arguments.keep_going:
                    pool.shutdown(cancel_futures=True)
                    break
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    print(f"{Count.passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
