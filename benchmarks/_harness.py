"""What the benchmarks share: interleaved timing, deviations, targets, tables, and a record in JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

import parscan


@dataclass(frozen=True)
class Target:
    """`fast` takes at most 1/`at_least` of the time of the fastest of `slow`."""

    fast: str
    slow: str | tuple[str, ...]
    at_least: float


@dataclass(frozen=True)
class Case:
    """One problem and those that solve it."""

    name: str
    contenders: dict[str, Callable[[], Any]]
    """Each returns its answer, or None if there is nothing to compare."""

    reference: Any = None
    """What the answers should be; None takes the first contender's."""

    targets: Sequence[Target] = ()


@dataclass(frozen=True)
class Timing:
    """Best time of a contender in seconds, and its largest deviation relative to the largest reference value."""

    contender: str
    seconds: float
    deviation: float | None


@dataclass(frozen=True)
class Verdict:
    """A target, and how many times faster it turned out."""

    target: Target
    ratio: float

    @property
    def text(self) -> str:
        """One line for the table."""
        slow = self.target.slow if isinstance(self.target.slow, str) else "best of " + ", ".join(self.target.slow)
        reached = "PASS" if self.ratio >= self.target.at_least else "short"
        return f"{reached}: {self.ratio:.2f}x of {slow} (target {self.target.at_least:g}x)"


@dataclass
class Report:
    """Everything measured in one run."""

    machine: dict[str, Any]
    quick: bool
    cases: list[dict[str, Any]] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    """What is no time."""


def deviation(answer: Any, reference: Any) -> float | None:
    """Largest difference relative to the largest reference value; None if there is nothing to compare."""
    if answer is None or reference is None:
        return None
    answer, reference = np.asarray(answer), np.asarray(reference)
    return float(np.max(np.abs(answer - reference)) / np.max(np.abs(reference)))


LONG = 2.0
"""A contender that takes more seconds than this is timed once: other work of the machine is a small share of it."""

BRIEF = 0.02
"""A contender that takes less is called again in the same turn, until so many seconds have passed, as by `timeit`."""


def measure(case: Case, repeats: int) -> list[Timing]:
    """Best times of all contenders in at most `repeats` turns, after one run that warms up and is checked."""
    reference = case.reference
    deviations = {}
    for name, run in case.contenders.items():
        answer = run()
        reference = answer if reference is None else reference
        deviations[name] = deviation(answer, reference)
        del answer
    best = dict.fromkeys(case.contenders, float("inf"))
    for _ in range(repeats):
        for name, run in case.contenders.items():
            if LONG < best[name] < float("inf"):
                continue
            begin = now = time.perf_counter()
            while now == begin or now - begin < BRIEF:
                start = now
                run()
                now = time.perf_counter()
                best[name] = min(best[name], now - start)
    return [Timing(name, best[name], deviations[name]) for name in case.contenders]


def judge(case: Case, timings: Sequence[Timing]) -> list[Verdict]:
    """Compare the timings with the targets of the case."""
    seconds = {timing.contender: timing.seconds for timing in timings}
    verdicts = []
    for target in case.targets:
        slow = (target.slow,) if isinstance(target.slow, str) else target.slow
        verdicts.append(Verdict(target, min(seconds[name] for name in slow) / seconds[target.fast]))
    return verdicts


def machine() -> dict[str, Any]:
    """Describe what the numbers were measured on."""
    versions = {"python": platform.python_version()}
    for package in ("parscan", "numpy", "scipy", "numba"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count()
    return {"cpu": _cpu_model(), "cores": cores, "system": platform.platform(), "versions": versions}


def _cpu_model() -> str:
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def table(case: Case, timings: Sequence[Timing], verdicts: Sequence[Verdict]) -> str:
    """Lay out one case for reading; the last column is relative to the first contender."""
    width = max(len(timing.contender) for timing in timings)
    lines = [case.name]
    for timing in timings:
        error = "" if timing.deviation is None else f"{timing.deviation:.1e}"
        relative = timings[0].seconds / timing.seconds
        lines.append(f"  {timing.contender:<{width}}  {timing.seconds * 1e3:10.3f} ms  {error:>8}  {relative:8.2f}x")
    return "\n".join([*lines, *(f"  {verdict.text}" for verdict in verdicts)])


def load_kernels() -> None:
    """Make parscan load its kernels. By itself it does so once they pay, maybe in the midst of what is measured."""
    parscan.linear_recurrence(0.5, np.ones(1_000_000))


def arguments(description: str, **directories: str) -> argparse.Namespace:
    """What every benchmark takes from the command line: `quick` and `json`; and directories, by name and purpose."""
    load_kernels()  # short problems are measured with them
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="smaller problems, for a check that all of it runs")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the numbers to this file")
    for name, purpose in directories.items():
        parser.add_argument(f"--{name}", type=Path, metavar="DIRECTORY", help=purpose)
    return parser.parse_args()


def begin(quick: bool) -> Report:
    """An empty report; prints what the numbers are measured on."""
    report = Report(machine(), quick)
    print(f"{report.machine['cpu']}, {report.machine['cores']} cores; {report.machine['versions']}")
    return report


def save(report: Report, path: Path | None) -> None:
    """Write the report as JSON, if there is a path."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")


def main(
    description: str,
    cases: Callable[[bool], Iterable[Case]],
    repeats: int = 15,
    figures: Callable[[bool], dict[str, float]] | None = None,
) -> None:
    """Run a benchmark from the command line; `cases(quick)` yields what to time, one at a time.

    `figures(quick)` measures what is no time, by name.
    """
    options = arguments(description)
    report = begin(options.quick)
    print("best time, deviation relative to the largest value, times faster than the first\n")
    for case in cases(options.quick):
        timings = measure(case, 3 if options.quick else repeats)
        verdicts = judge(case, timings)
        print(table(case, timings, verdicts), flush=True)
        judged = [{**asdict(verdict.target), "ratio": verdict.ratio} for verdict in verdicts]
        report.cases.append({"name": case.name, "timings": [asdict(t) for t in timings], "targets": judged})
    if figures:
        report.figures = figures(options.quick)
        print("\n".join(f"{name}: {value:.3g}" for name, value in report.figures.items()))
    save(report, options.json)
