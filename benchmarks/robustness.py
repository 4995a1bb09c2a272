"""solve_recurrence with default arguments where it is hard: chaos, jumps, overflow, and phases that drift apart.

python benchmarks/robustness.py [--quick] [--json benchmarks/results/robustness.json]
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _harness import Case, Timing, arguments, begin, deviation, measure, save
from _hostile import problems
from _problem import Problem

import parscan

RTOL, ATOL = 1e-10, 1e-12
"""The tolerances that solve_recurrence takes by default."""

CHUNK = 10_000
"""States in one call for the residual."""

COMPARED, AGREEMENT = 50, 1e-9
"""The Python loop and the compiled one shall agree over the first steps: how many, and how well."""

SECONDS = 4.0
"""Time that the repeats of one problem may take, but for `FEWEST`."""

FEWEST, MOST = 3, 30
PLAIN, NUMBA, PARSCAN = "plain loop", "numba loop", "parscan"


@dataclass(frozen=True)
class Target:
    """A figure that shall not exceed its bound."""

    name: str
    value: float
    bound: float

    @property
    def reached(self) -> bool:
        return self.value <= self.bound


@dataclass(frozen=True)
class Row:
    """What one problem gave."""

    name: str
    steps: int
    states: int
    chaotic: bool
    method: str
    status: str
    iterations: int
    segment_length: int
    states_per_step: float
    timings: list[Timing]
    residual: float
    """Largest difference between a state and the step after the one before it, in units of the tolerance."""

    deviation: float
    """Largest difference from the compiled loop, relative to its largest value. Chaos makes any rounding that large."""

    finite: int
    """Steps of the Python loop with finite states."""

    stops_with_loop: bool | None
    """Where a state is not finite: whether the solution stops at the loop's step, and says so."""

    targets: list[Target]

    def seconds(self, contender: str) -> float:
        return next(timing.seconds for timing in self.timings if timing.contender == contender)


def finite_steps(y: Any) -> int:
    """Leading states that are finite."""
    finite = np.isfinite(y).all(axis=1)
    return len(y) if finite.all() else int(np.argmin(finite))


def true_residual(problem: Problem, y: Any) -> float:
    """Largest |step(y[t-1], x[t]) - y[t]| in units of the tolerance."""
    before = np.concatenate([problem.y0[None], y[:-1]])
    worst = 0.0
    for first in range(0, len(y), CHUNK):
        part = slice(first, first + CHUNK)
        inputs = () if problem.x is None else (problem.x[: len(y)][part],)
        difference = np.abs(problem.step(before[part], *inputs) - y[part])
        worst = max(worst, float(np.max(difference / (ATOL + RTOL * np.abs(y[part])))))
    return worst


def checked_loops(problem: Problem) -> tuple[Any, int]:
    """Trajectory of the compiled loop, and its finite steps; the Python loop has the same, and agrees at the start."""
    compiled, plain = problem.loop_by_numbers(), problem.loop()
    finite = finite_steps(plain)
    start = min(COMPARED, finite)
    error = deviation(compiled[:start], plain[:start])
    assert error is not None, problem.name
    assert error <= AGREEMENT, f"{problem.name}: the loops differ by {error:.1e}"
    assert finite_steps(compiled) == finite, problem.name
    return compiled, finite


def timed(problem: Problem, quick: bool) -> list[Timing]:
    """Interleaved times; as many repeats as `SECONDS` allow."""

    def without_answer(run: Callable[[], Any]) -> Callable[[], None]:
        def call() -> None:
            run()

        return call

    contenders = {PLAIN: problem.loop, NUMBA: problem.loop_by_numbers, PARSCAN: problem.solve}
    case = Case(problem.name, {name: without_answer(run) for name, run in contenders.items()})
    once = sum(timing.seconds for timing in measure(case, 1))
    return measure(case, FEWEST if quick else min(max(int(SECONDS / once), FEWEST), MOST))


def evaluate(problem: Problem, quick: bool) -> Row:
    """Check the loops, time all, and look at a solution."""
    compiled, finite = checked_loops(problem)
    timings = timed(problem, quick)
    solution = problem.solve()
    found = finite_steps(solution.y)
    overlap = min(found, finite)
    residual = true_residual(problem, solution.y[:overlap])
    apart = deviation(solution.y[:overlap], compiled[:overlap])
    stops = None if found == finite == problem.steps else stops_as_loop(solution, found, finite)
    states_per_step = solution.npoints / problem.steps
    seconds = {timing.contender: timing.seconds for timing in timings}
    targets = [
        Target("time / plain loop", seconds[PARSCAN] / seconds[PLAIN], 2),
        Target("residual / tolerance", residual, 1),
    ]
    if problem.states_per_step is not None:
        targets.append(Target("states per step", states_per_step, problem.states_per_step))
    if stops is not None:
        targets.append(Target("wrong last step", float(not stops), 0))
    return Row(
        name=problem.name,
        steps=problem.steps,
        states=problem.y0.size,
        chaotic=problem.chaotic,
        method=solution.method,
        status=solution.status.name,
        iterations=solution.iterations,
        segment_length=solution.segment_length,
        states_per_step=states_per_step,
        timings=timings,
        residual=residual,
        deviation=float("nan") if apart is None else apart,
        finite=finite,
        stops_with_loop=stops,
        targets=targets,
    )


def stops_as_loop(solution: parscan.RecurrenceResult, found: int, finite: int) -> bool:
    """Whether a solution ends at the loop's first state that is not finite, and its message names that step."""
    return found == finite and solution.status.name == "NOT_FINITE" and str(finite) in solution.message


HEAD = ("problem", "steps", "method", "status", "iter", "states", "parscan", "/plain", "/numba", "residual", "dev.", "")


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table; times in milliseconds, and as shares of those of the loops."""
    own = row.seconds(PARSCAN)
    notes = ["chaotic"] if row.chaotic else []
    if row.stops_with_loop is not None:
        notes.append(f"not finite at step {row.finite}, as the loop: {'yes' if row.stops_with_loop else 'NO'}")
    notes += [f"MISSED {target.name}" for target in row.targets if not target.reached]
    return (
        row.name,
        str(row.steps),
        row.method,
        row.status.lower(),
        str(row.iterations),
        f"{row.states_per_step:.1f}",
        f"{own * 1e3:.2f} ms",
        f"{own / row.seconds(PLAIN):.2f}",
        f"{own / row.seconds(NUMBA):.2f}",
        f"{row.residual:.1e}",
        f"{row.deviation:.0e}",
        ", ".join(notes),
    )


WIDTHS = (24, 7, 26, 21, 5, 7, 12, 7, 8, 9, 6, 0)
LEFT_ALIGNED = (0, 2, 3, 11)


def line(texts: Sequence[str]) -> str:
    """The texts in columns."""
    padded = (
        text.ljust(width) if i in LEFT_ALIGNED else text.rjust(width)
        for i, (text, width) in enumerate(zip(texts, WIDTHS, strict=True))
    )
    return "  ".join(padded).rstrip()


def summary(rows: Sequence[Row]) -> str:
    """Per target: how many rows reach it, the worst value, and who misses it."""
    lines = []
    for name in dict.fromkeys(target.name for row in rows for target in row.targets):
        judged = [(target, row) for row in rows for target in row.targets if target.name == name]
        missed = [f"{row.name} T={row.steps} ({t.value:.3g})" for t, row in judged if not t.reached]
        worst = max(target.value for target, _ in judged)
        verdict = f"short: {', '.join(missed)}" if missed else "PASS"
        reached = f"{len(judged) - len(missed)} of {len(judged)}"
        lines.append(f"{name} <= {judged[0][0].bound:g}: {reached}, worst {worst:.3g}; {verdict}")
    return "\n".join(lines)


def limited(quick: bool) -> dict[str, float]:
    """Four components over many steps in processes limited to 4 GiB of address space: time, peak, residual."""
    steps = 100_000 if quick else 10_000_000
    figures = {}
    for method in ("auto", "newton"):
        command = [sys.executable, str(Path(__file__).with_name("_limited.py")), method, str(steps), "4"]
        told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        assert told["success"], told
        assert told["status"] == "CONVERGED" or method == "auto", told  # auto may take the loop, as machine code
        name = f"{method}, n=4, {steps} steps, within 4 GiB"
        figures[f"{name}: seconds"] = told["seconds"]
        figures[f"{name}: peak GiB"] = told["peak_bytes"] / 2**30
        figures[f"{name}: windows"] = told["windows"]
        figures[f"{name}: residual"] = told["residual"]
    return figures


def main() -> None:
    options = arguments(__doc__ or "")
    report = begin(options.quick)
    parscan.linear_recurrence(np.eye(2)[None], np.zeros((9, 2)))  # loads the scans, once in a process
    print("states evaluated per step; best time, and its shares of those of the plain Python loop and the Numba loop;")
    print("residual in units of the tolerance; deviation from the Numba loop relative to its largest value\n")
    print(line(HEAD))
    rows = []
    for problem in problems(options.quick):
        rows.append(evaluate(problem, options.quick))
        print(line(cells(rows[-1])), flush=True)
    report.cases = [asdict(row) for row in rows]
    print("\n" + summary(rows))
    report.figures = limited(options.quick)
    print("\n" + "\n".join(f"{name}: {value:.3g}" for name, value in report.figures.items()))
    save(report, options.json)


if __name__ == "__main__":
    main()
