"""parscan on a GPU: scans against the speed of a copy, a GRU against loops, ensembles of ODEs. Needs a device and CuPy.

python benchmarks/gpu.py --json benchmarks/results/gpu.json

Where there is no device nothing is measured. `--dry-run` does all the same on NumPy arrays, with tiny problems and
kernels by Numba's simulator: it shows that this program works, and its figures mean nothing.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from _harness import Case, Report, Timing, judge, save

PARTS = ("scans", "gru", "ensembles")


def record(measured: Iterable[tuple[Case, list[Timing]]]) -> list[dict[str, Any]]:
    """What is kept of timed cases."""
    rows = []
    for case, timings in measured:
        verdicts = [{**asdict(verdict.target), "ratio": verdict.ratio} for verdict in judge(case, timings)]
        rows.append({"name": case.name, "timings": [asdict(timing) for timing in timings], "targets": verdicts})
    return rows


def run(parts: Iterable[str], *, quick: bool, dry: bool) -> Report:
    """Measure, print, and return the record; raises RuntimeError where there is nothing to measure on."""
    if dry:
        os.environ["NUMBA_ENABLE_CUDASIM"] = "1"  # before anyone loads Numba's CUDA
    from _gpu_platform import device_platform, dry_platform  # noqa: PLC0415

    platform = dry_platform() if dry else device_platform()
    from _gpu_ensembles import measure_ensembles  # noqa: PLC0415
    from _gpu_gru import measure_grus  # noqa: PLC0415
    from _gpu_scans import measure_scans  # noqa: PLC0415

    report, repeats = Report(platform.machine, quick or dry), 1 if dry else 2 if quick else 5
    print(f"{platform.machine['gpu']}; {platform.machine}")
    if "scans" in parts:
        cases, report.figures = measure_scans(platform, repeats)
        report.cases += cases
        print("\n".join(f"{name}: {value:.3g}" for name, value in report.figures.items()))
    if "gru" in parts:
        report.cases += record(measure_grus(platform, repeats))
    if "ensembles" in parts:
        report.cases += record(measure_ensembles(platform, repeats))
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--dry-run", action="store_true", help="tiny problems on NumPy arrays, to try this program")
    parser.add_argument("--only", choices=PARTS, action="append", help="one part; may be given again")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the numbers to this file")
    options = parser.parse_args()
    try:
        report = run(options.only or PARTS, quick=options.quick, dry=options.dry_run)
    except RuntimeError as error:
        if options.dry_run:
            raise
        print(f"nothing is measured: {error}. `--dry-run` tries the program without a device.")
        return
    save(report, options.json)


if __name__ == "__main__":
    main()
