"""parscan on a GPU: scans against the speed of a copy, a GRU against loops, ensembles of ODEs. Needs a device and CuPy.

python benchmarks/gpu.py --json benchmarks/results/gpu.json

The record is written after every case: a run that is stopped keeps what it has measured.
Where there is no device nothing is measured. `--dry-run` does the same with tiny problems on the tests' stand-in for
CuPy, whose kernels run on the CPU: it shows that this program works, and its figures mean nothing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from _harness import Case, Report, Timing, judge, save

PARTS = ("scans", "gru", "ensembles")


def record(measured: Iterable[tuple[Case, list[Timing]]]) -> Iterator[dict[str, Any]]:
    """What is kept of timed cases."""
    for case, timings in measured:
        verdicts = [{**asdict(verdict.target), "ratio": verdict.ratio} for verdict in judge(case, timings)]
        yield {"name": case.name, "timings": [asdict(timing) for timing in timings], "targets": verdicts}


def run(options: argparse.Namespace) -> None:
    """Measure, print, and save after each case; raises RuntimeError where there is nothing to measure on."""
    parts, quick, dry = options.only or PARTS, options.quick, options.dry_run
    from _gpu_platform import device_platform, dry_platform  # noqa: PLC0415

    platform = dry_platform() if dry else device_platform()
    from _gpu_ensembles import measure_ensembles  # noqa: PLC0415
    from _gpu_gru import measure_grus  # noqa: PLC0415
    from _gpu_scans import copy_rate, launch_cost, measure_scans  # noqa: PLC0415

    report, repeats = Report(platform.machine, quick or dry), 1 if dry else 2 if quick else 5
    print(f"{platform.machine['gpu']}; {platform.machine}")

    def cases() -> Iterator[dict[str, Any]]:
        if "scans" in parts:
            rate = copy_rate(platform, repeats)
            report.figures = {"copy, bytes per second": rate, **launch_cost(platform, repeats)}
            print("\n".join(f"{name}: {value:.3g}" for name, value in report.figures.items()))
            yield from measure_scans(platform, rate, repeats)
        if "gru" in parts:
            yield from record(measure_grus(platform, repeats, options.states, options.steps))
        if "ensembles" in parts:
            yield from record(measure_ensembles(platform, repeats))

    end = time.monotonic() + options.budget
    for case in cases():
        report.cases.append(case)
        save(report, options.json)
        if time.monotonic() > end:
            print(f"the budget of {options.budget:g} s is spent after {len(report.cases)} cases")
            break


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument(
        "--dry-run", action="store_true", help="tiny problems on a stand-in for CuPy, to try this program"
    )
    parser.add_argument("--only", choices=PARTS, action="append", help="one part; may be given again")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the numbers to this file")
    parser.add_argument(
        "--budget", type=float, default=float("inf"), metavar="SECONDS", help="begin no case after these"
    )
    parser.add_argument("--states", type=int, nargs="+", metavar="N", help="sizes of the GRU's state")
    parser.add_argument("--steps", type=int, nargs="+", metavar="T", help="lengths of the GRU's input")
    options = parser.parse_args()
    try:
        run(options)
    except RuntimeError as error:
        if options.dry_run:
            raise
        print(f"nothing is measured: {error}. `--dry-run` tries the program without a device.")


if __name__ == "__main__":
    main()
