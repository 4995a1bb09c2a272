"""parscan on a GPU: does it run, scans against a copy and other packages, a GRU, ensembles of ODEs, races. Needs CuPy.

python benchmarks/gpu.py --json benchmarks/results/gpu.json

The record is written after every case, and a contender that fails ends no other one: a run that is stopped keeps what
it has measured. Where there is no device nothing is measured. `--dry-run` does the same with tiny problems on the
tests' stand-in for CuPy, whose kernels run on the CPU: it shows that this program works, and its figures mean nothing.
`--small` takes these problems on a device, for tools that make kernels slow.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from _harness import Report, save

if TYPE_CHECKING:
    from _gpu_case import Entry

PARTS = ("families", "scans", "peers", "gru", "ensembles", "tuning", "stress")


def entries(
    parts: Sequence[str] = PARTS, states: Sequence[int] | None = None, steps: Sequence[int] | None = None
) -> Iterator[Entry]:
    """All cases of some parts; `states` and `steps` are sizes of the GRU."""
    for part in parts:
        own = import_module(f"_gpu_{part}").entries
        yield from own(states, steps) if part == "gru" else own()


def run(options: argparse.Namespace) -> bool:
    """
    Measure, print, and save after each case; whether nothing failed or was wrong.

    Raises RuntimeError where there is nothing to measure on.
    """
    from _gpu_case import measure  # noqa: PLC0415 - what parscan needs for CUDA need not be there
    from _gpu_platform import device_platform, dry_platform  # noqa: PLC0415

    dry = options.dry_run
    platform = dry_platform() if dry else device_platform(options.small)
    report, repeats = Report(platform.machine, options.quick or platform.small), 0 if dry else 2 if options.quick else 5
    print(f"{platform.machine['gpu']}; {platform.machine}")
    print("first run; best time; deviation; share of a copy's speed counting each byte once, counting the passes made")
    end, bad = time.monotonic() + options.budget, 0
    chosen = entries(options.only or PARTS, options.states, options.steps)
    for entry in chosen:
        record = measure(entry, platform, repeats, end)
        print(record.table(), flush=True)
        report.cases.append(asdict(record))
        bad += not record.is_clean
        save(report, options.json)
        if time.monotonic() > end and (left := len(list(chosen))):
            print(f"the budget of {options.budget:g} s is spent after {len(report.cases)} cases; {left} are left")
            break
    print(f"{bad} of {len(report.cases)} cases failed or gave wrong numbers")
    return bad == 0


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument(
        "--dry-run", action="store_true", help="tiny problems on a stand-in for CuPy, to try this program"
    )
    parser.add_argument("--small", action="store_true", help="tiny problems on the device, for compute-sanitizer")
    parser.add_argument("--list", action="store_true", help="print the cases, and measure nothing")
    parser.add_argument("--only", choices=PARTS, action="append", help="one part; may be given again")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the numbers to this file")
    parser.add_argument(
        "--budget", type=float, default=float("inf"), metavar="SECONDS", help="begin nothing after these"
    )
    parser.add_argument("--states", type=int, nargs="+", metavar="N", help="sizes of the GRU's state")
    parser.add_argument("--steps", type=int, nargs="+", metavar="T", help="lengths of the GRU's input")
    return parser


def main() -> None:
    options = parser().parse_args()
    if options.list:
        for entry in entries(options.only or PARTS, options.states, options.steps):
            print("\t".join(chain((entry.part, entry.name), entry.contenders)))
        return
    try:
        is_clean = run(options)
    except RuntimeError as error:
        if options.dry_run:
            raise
        print(f"nothing is measured: {error}. `--dry-run` tries the program without a device.")
        return
    sys.exit(not is_clean)


if __name__ == "__main__":
    main()
