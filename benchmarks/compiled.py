"""Recurrences by machine code of their NumPy step, against loops over arrays, over numbers, and compiled ones.

python benchmarks/compiled.py [--quick] [--json benchmarks/results/compiled.json]

The times of later calls are best ones of several in turn; those of first calls, in processes of their own, are medians.
`lax.scan` is left out where JAX is not installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, thread_time
from typing import Any
from unittest.mock import patch

import numpy as np
from _by_hand import Recurrence, buckets, gru, mean_field, one_gru, recurrences
from _harness import Case, Report, Target, arguments, begin, judge, measure, save, table
from _peers import installed, told
from recurrences import Gru

import parscan
from parscan._arrays import disk
from parscan._recorded.native import compilation
from parscan._recorded.native.kernel import kernel
from parscan._recorded.record import record

LOOP, FLOATS, NUMBA, PARSCAN, UNCOMPILED, SCAN = "loop", "floats", "Numba", "parscan", "compile=False", "jax.lax.scan"

GRUS = ((1, 1, 100_000, 500, 3), (4, 1, 100_000, 220, 3), (8, 1, 100_000, 100, 2), (32, 1, 17_984, 40, 2),
        (2, 16, 10_000, 80, None))  # fmt: skip
"""States, batch, steps, and how many times faster than the loop, and than `lax.scan`, the default shall be."""

BY_FLOATS = {"neuron, leaky": 30, "neuron, exponential": 30, "bucket model": 30, "PID with saturation": 30,
             "Holt-Winters": 30, "GRU, n=1": 40}  # fmt: skip
"""How many times faster than the loop over floats it shall be."""

STABLE = {"rotation", "leaky integrator", "leaky integrator, saturated", "Holt-Winters", "Kalman filter"}
"""Those that forget, or are linear, whose targets are not those of recurrences without an end to their memory."""

REPEATS = 7


@dataclass(frozen=True)
class Task:
    """A recurrence with its targets, and the call that makes it again in another process."""

    made: str
    recurrence: Recurrence
    targets: tuple[Target, ...] = ()
    scanned: Callable[[], Any] | None = None


def tasks(quick: bool) -> Iterator[Task]:
    less = 50 if quick else 1
    for n, batch, steps, at_least, scan in GRUS:
        made = f"one_gru({steps // less})" if n == 1 else f"gru({n}, {batch}, {steps // less})"
        one = one_gru(steps // less) if n == 1 else gru(n, batch, steps // less)
        targets = [Target(PARSCAN, LOOP, at_least)]
        scanned = scan_of(one) if scan and installed("jax") else None
        if scanned and scan:
            targets.append(Target(PARSCAN, SCAN, scan))
        yield Task(made, one, (*targets, *by_floats(one.name)), scanned)
    steps = 20_000 // less
    yield Task(f"mean_field({steps})", mean_field(steps), (Target(PARSCAN, LOOP, 5),))
    steps = 100_000 // less
    for one in recurrences(steps):
        targets = [Target(PARSCAN, NUMBA, 1 / 1.2), *by_floats(one.name)]
        if one.name not in STABLE:
            targets.insert(0, Target(PARSCAN, LOOP, 300))
        elif one.name == "Kalman filter":
            targets.insert(0, Target(PARSCAN, LOOP, 100))
        yield Task(f"next(r for r in recurrences({steps}) if r.name == {one.name!r})", one, tuple(targets))
    steps = 1000 // less
    yield Task(f"buckets(500, {steps})", buckets(500, steps), (Target(PARSCAN, UNCOMPILED, 10),))


def by_floats(name: str) -> list[Target]:
    return [Target(PARSCAN, FLOATS, BY_FLOATS[name])] if name in BY_FLOATS else []


def scan_of(one: Recurrence) -> Callable[[], Any]:
    from _peers_jax import gru as scanned  # noqa: PLC0415 - need not be there

    model = Gru.make(one.y0.size, 1, one.steps)
    return scanned(model.W, model.U, model.b, model.x)


FIRST = """
import sys
from time import perf_counter
from _by_hand import *
one = {made}
seconds = []
for _ in range(2):
    begin = perf_counter()
    one.solve(compile=None)
    seconds.append(perf_counter() - begin)
print(*seconds)
"""


def first_calls(made: str, repeats: int) -> dict[str, float]:
    """Median seconds of the first call ever, of the first in a new process, and of the second in it."""
    found: dict[str, list[float]] = {"ever": [], "process": [], "second": []}
    for _ in range(repeats):
        with TemporaryDirectory() as cache:
            for names in (("ever", ""), ("process", "second")):
                environment = {**os.environ, "PARSCAN_CACHE_DIR": cache}
                command, here = [sys.executable, "-c", FIRST.format(made=made)], Path(__file__).parent
                run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=here)
                for name, seconds in zip(names, run.stdout.split(), strict=True):
                    if name:
                        found[name].append(float(seconds))
    return {name: median(seconds) for name, seconds in found.items()}


def measured(task: Task, quick: bool) -> dict[str, Any]:
    one = task.recurrence

    def unchecked(run: Callable[[], Any]) -> Callable[[], None]:
        def called() -> None:
            run()

        return called

    contenders: dict[str, Callable[[], Any]] = {
        LOOP: one.loop, FLOATS: unchecked(one.floats), NUMBA: one.numba,
        PARSCAN: partial(one.solve, compile=None), UNCOMPILED: partial(one.solve, compile=False),
    }  # fmt: skip
    if task.scanned:
        contenders[SCAN] = task.scanned
    if one.chaotic:
        contenders = {name: unchecked(run) for name, run in contenders.items()}
    case = Case(f"{one.name}, {one.steps} steps", contenders, targets=task.targets)
    timings = measure(case, 2 if quick else REPEATS)
    verdicts = judge(case, timings)
    print(table(case, timings, verdicts))
    residual = one.residual(one.solve(compile=None))
    first = first_calls(task.made, 3) if not quick else first_calls(task.made, 1) if one.name == "GRU, n=1" else {}
    shown = "".join(f", {name} {1e3 * seconds:.3f} ms" for name, seconds in first.items())
    print(f"  residual {residual:.1e}; first calls{shown or ' are not timed'}\n", flush=True)
    judged = [{**asdict(verdict.target), "ratio": verdict.ratio} for verdict in verdicts]
    return {"name": case.name, "timings": [asdict(t) for t in timings], "targets": judged, "first": first,
            "residual": residual}  # fmt: skip


def summary(cases: list[dict[str, Any]]) -> str:
    """All of them in one table: milliseconds, and how many times faster than others parscan is."""
    columns = [LOOP, FLOATS, NUMBA, SCAN, UNCOMPILED, "ever", "process", "second", PARSCAN]
    lines = [f"{'ms':<44}" + "".join(f"{name:>14}" for name in [*columns, "/loop", "/floats", "/Numba", "deviation"])]
    for case in cases:
        seconds = {timing["contender"]: timing["seconds"] for timing in case["timings"]} | case["first"]
        times = [f"{1e3 * seconds[name]:14.3f}" if name in seconds else f"{'-':>14}" for name in columns]
        ratios = [f"{seconds[name] / seconds[PARSCAN]:14.2f}" for name in (LOOP, FLOATS, NUMBA)]
        off = next(timing["deviation"] for timing in case["timings"] if timing["contender"] == PARSCAN)
        shown = f"{case['residual']:13.1e}r" if off is None else f"{off:14.1e}"
        lines.append(f"{case['name']:<44}" + "".join([*times, *ratios, shown]))
    return "\n".join([*lines, "deviation from the loop; r: of each state from the step of the one before"])


# Compile times


def planets(y: Any) -> Any:
    """Seven bodies in a plane, with masses 1 to 7, by leapfrog with steps of 0.001: places, then speeds."""
    x, z, vx, vz = y[..., :7], y[..., 7:14], y[..., 14:21], y[..., 21:]
    fx, fz = [0.0] * 7, [0.0] * 7
    for i in range(7):
        for j in range(i):
            dx, dz = x[..., i] - x[..., j], z[..., i] - z[..., j]
            cubed = (dx**2 + dz**2) ** 1.5
            fx[i], fz[i] = fx[i] - (j + 1) * dx / cubed, fz[i] - (j + 1) * dz / cubed
            fx[j], fz[j] = fx[j] + (i + 1) * dx / cubed, fz[j] + (i + 1) * dz / cubed
    vx, vz = vx + 0.001 * np.stack(fx, -1), vz + 0.001 * np.stack(fz, -1)
    return np.concatenate([x + 0.001 * vx, z + 0.001 * vz, vx, vz], -1)


def best(run: Callable[[], Any], repeats: int) -> float:
    seconds: list[float] = []
    for _ in range(repeats):
        start = perf_counter()
        run()
        seconds.append(perf_counter() - start)
    return min(seconds)


KEY = "0" * 64
"""Of a file in the cache."""


def load(external: dict[str, int]) -> compilation.Code:
    """Code from the cache, ready to run."""
    return compilation.Code(disk.load(KEY) or b"", external)


def compile_times(quick: bool) -> list[dict[str, Any]]:
    """Best seconds to record a step, to write its text, to compile it, and to load it from disk."""
    small = next(one for one in recurrences(2) if one.name == "bucket model")
    bodies = Recurrence("seven bodies", planets, np.random.default_rng(0).standard_normal(28), 2, planets)
    repeats, found = 2 if quick else 9, list[dict[str, Any]]()
    for one in (small, bodies, gru(32, 1, 2), mean_field(2)):
        step, examples = one.step, [one.y0[None], *([] if one.x is None else [one.x[:1]])]
        program = record(step, examples).program
        text = kernel(program, chain=True)
        code = compilation._object_code(text.text)
        with TemporaryDirectory() as cache, patch.dict(os.environ, PARSCAN_CACHE_DIR=cache):
            disk.save(KEY, code)
            parts: dict[str, Callable[[], Any]] = {
                "record": partial(record, step, examples),
                "text": partial(kernel, program, chain=True),
                "LLVM": partial(compilation._object_code, text.text),
                "disk": partial(load, text.external),
            }
            times = {part: best(run, repeats) for part, run in parts.items()}
        found.append({"name": one.name, "operations": program.operations} | times)
    for row in found:
        shown = ", ".join(f"{part} {1e3 * row[part]:.2f} ms" for part in ("record", "text", "LLVM", "disk"))
        print(f"{row['name']}, {row['operations']} operations: {shown}")
    return found


# Short recurrences of slow steps

COMPILED = "compile=True"

SLOW = 1.2
"""Loops that no call should take more than."""


def slow_step(y: Any) -> Any:
    """About ten microseconds."""
    for _ in range(4):
        y = 0.9 * np.sin(y) + 0.1 * np.cos(y)
    return y


def slow_loop(y0: Any) -> Any:
    """100 steps of it."""
    y, states = y0, np.empty((100, 2))
    for t in range(100):
        states[t] = y = slow_step(y)
    return states


FIRST_SHORT = """
from compiled import *
y0 = np.array([0.5, 0.7])
loop = partial(slow_loop, y0)
ways = {LOOP: loop} | {name: partial(parscan.solve_recurrence, slow_step, y0, length=100, compile=compiles)
                       for name, compiles in ((PARSCAN, None), (UNCOMPILED, False))}
print(beside(ways[sys.argv[1]], loop))
"""


def beside(run: Callable[[], Any], loop: Callable[[], Any]) -> float:
    """
    Time of the processor for a call, in loops before and after it.

    What other work of the machine takes is not in it, apart from what that leaves in the caches.
    """
    seconds: list[float] = []
    for one in (loop, run, loop):
        start = thread_time()
        one()
        seconds.append(thread_time() - start)
    return 2 * seconds[1] / (seconds[0] + seconds[2])


def short(quick: bool) -> dict[str, Any]:
    """
    100 steps that take as long as a call, compiled or not: no slower than the loop, in the first calls either.

    Beside each single call, loops are timed; the same is told of the loop itself: single calls differ by as much. With
    `compile=True`, the first call in the process makes the code.
    """
    y0 = np.array([0.5, 0.7])
    loop: Callable[[], Any] = partial(slow_loop, y0)
    contenders = {LOOP: loop} | {
        name: partial(lambda way: parscan.solve_recurrence(slow_step, y0, length=100, compile=way).y, way)
        for name, way in ((PARSCAN, None), (UNCOMPILED, False), (COMPILED, True))
    }
    contenders[COMPILED]()
    targets = [Target(name, LOOP, 1 / SLOW) for name in (PARSCAN, UNCOMPILED, COMPILED)]
    case = Case("100 steps of about 10 µs", contenders, targets=targets)
    timings = measure(case, 5 if quick else 50)
    verdicts = judge(case, timings)
    print(table(case, timings, verdicts))
    later = {name: [beside(run, loop) for _ in range(10 if quick else 200)] for name, run in contenders.items()}
    first = {name: [_first_short(name) for _ in range(2 if quick else 20)] for name in (LOOP, PARSCAN, UNCOMPILED)}
    told = {"a call": later, "the first call of a process": first}
    for which, ratios in told.items():
        shown = ", ".join(
            f"{name} {median(found):.2f} (most: {max(found):.2f}, over {SLOW}: {_slow(found)} of {len(found)})"
            for name, found in ratios.items()
        )
        print(f"  {which}, time of the processor in loops beside it: {shown}")
    print()
    judged = [{**asdict(verdict.target), "ratio": verdict.ratio} for verdict in verdicts]
    return {"name": case.name, "timings": [asdict(t) for t in timings], "targets": judged,
            "slowest": {name: max(ratios) for name, ratios in later.items()},
            "slow": {name: [_slow(ratios), len(ratios)] for name, ratios in later.items()},
            "first_process": {name: [median(ratios), max(ratios)] for name, ratios in first.items()}}  # fmt: skip


def _slow(ratios: list[float]) -> int:
    """Number of calls that took more than so many loops."""
    return sum(ratio > SLOW for ratio in ratios)


def _first_short(name: str) -> float:
    """The first call of a contender in a process, in loops before and after it."""
    command, here = [sys.executable, "-c", FIRST_SHORT, name], Path(__file__).parent
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=here)
    return float(run.stdout)


def main() -> None:
    options = arguments(__doc__ or "")
    report: Report = begin(options.quick)
    if not installed("jax"):
        print("jax.lax.scan is left out, for JAX is not installed; pip install 'parscan[bench]'")
    report.machine["versions"] |= told() if installed("jax") else {}
    compiling = compile_times(options.quick)
    print()
    short_case = short(options.quick)
    rows = [measured(task, options.quick) for task in tasks(options.quick)]
    print(summary(rows))
    report.cases = [*rows, short_case]
    report.figures = {
        f"{row['name']}, {row['operations']} operations, {part}": row[part]
        for row in compiling
        for part in ("record", "text", "LLVM", "disk")
    }
    save(report, options.json)


if __name__ == "__main__":
    main()
