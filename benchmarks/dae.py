"""Differential-algebraic equations against scikit-sundae's IDA and solve-dae: times at equal achieved error.

python benchmarks/dae.py [--quick] [--json benchmarks/results/dae.json]

Every contender solves every problem at tolerances from 1e-3 to 1e-10; each run's error is recorded beside its time, and
by how much the algebraic equation is violated. IDA is given the equations and their Jacobian as functions of Numba.
Peers that are not installed are named and left out; solve-dae is not among the extras, as it wants other versions of
NumPy: `pip install --no-deps solve-dae`.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from math import isfinite
from typing import Any

import numba
import numpy as np
from _daes import DAES, Dae
from _harness import arguments, begin, save
from _peers import ARRAYS, PARSCAN, installed

import parscan

Array = Any
Solve = Callable[[float], Array]
"""The state at the end, at a tolerance."""

RTOLS = tuple(float(f"1e-{digits}") for digits in range(3, 11))
QUICK_RTOLS = (1e-4, 1e-6)
ERRORS = (1e-4, 1e-6, 1e-9)
REPEATS, LIMIT, MOST_STEPS = 15, 3.0, 1_000_000
IDA, SOLVE_DAE = "scikit-sundae IDA", "solve-dae Radau"


def by_parscan(dae: Dae, compiled: bool | None) -> Solve:
    """Both the state and its slopes are given."""
    fun, scale = dae.residual(), np.asarray(dae.scale)

    def solve(rtol: float) -> Array:
        found = parscan.solve_dae(fun, (0.0, dae.end), dae.y0, dae.yp0, rtol=rtol, atol=rtol * scale, compile=compiled)
        return found.y[:, -1] if found.success else np.full(len(dae.y0), np.nan)

    return solve


def by_ida(dae: Dae) -> Solve:
    """Functions of Numba, which Python calls."""
    from sksundae import ida  # noqa: PLC0415 - need not be there

    fun, jac = (numba.njit(error_model="numpy")(one) for one in (dae.in_place(), dae.jacobian_in_place()))
    y0, yp0, scale, n = np.asarray(dae.y0), np.asarray(dae.yp0), np.asarray(dae.scale), len(dae.y0)
    fun(0.0, y0, yp0, np.zeros(n))
    jac(0.0, y0, yp0, np.zeros(n), 1.0, np.zeros((n, n)))

    def solve(rtol: float) -> Array:
        options = {"rtol": rtol, "atol": rtol * scale, "max_num_steps": MOST_STEPS, "jacfn": jac}
        if dae.algebraic:
            options["algebraic_idx"] = list(dae.algebraic)
        found = ida.IDA(fun, **options).solve([0.0, dae.end], y0, yp0)
        return found.y[-1] if found.success else np.full(n, np.nan)

    return solve


def by_solve_dae(dae: Dae) -> Solve:
    """A solver in Python after SciPy's; it takes a function of NumPy."""
    solve_dae = import_module("solve_dae.integrate").solve_dae
    given, scale = dae.residual(), np.asarray(dae.scale)

    def fun(t: Any, y: Array, yp: Array) -> Array:
        return np.array(given(t, y, yp))

    def solve(rtol: float) -> Array:
        found = solve_dae(
            fun, (0.0, dae.end), np.asarray(dae.y0), np.asarray(dae.yp0), method="Radau", rtol=rtol, atol=rtol * scale
        )
        return found.y[:, -1] if found.success else np.full(len(dae.y0), np.nan)

    return solve


def contenders(dae: Dae) -> dict[str, Solve]:
    """Who solves a problem."""
    found: dict[str, Solve] = {PARSCAN: by_parscan(dae, None), ARRAYS: by_parscan(dae, False)}
    if installed("sksundae"):
        found[IDA] = by_ida(dae)
    if installed("solve_dae"):
        found[SOLVE_DAE] = by_solve_dae(dae)
    return found


def measured(name: str, solve: Solve, dae: Dae, rtols: Sequence[float]) -> dict[str, Any]:
    """Seconds of the first call, and time, error and violation of the constraint at every tolerance."""
    runs: list[dict[str, float]] = []
    first, answer = timed(solve, rtols[0])
    for rtol in rtols:
        best, answer = timed(solve, rtol)
        if isfinite(off := dae.error(answer)):
            for _ in range(min(REPEATS, int(1 / best))):
                best = min(best, timed(solve, rtol)[0])
            run = {"rtol": rtol, "seconds": best, "error": off}
            if dae.constraint is not None:
                run["violation"] = abs(float(dae.constraint(answer)))
            runs.append(run)
        if best > LIMIT:
            break
    told = ", ".join(f"{run['rtol']:.0e}: {run['seconds'] * 1e3:.3f} ms, {run['error']:.1e}" for run in runs)
    print(f"  {name:<20} first call {first:6.2f} s; {told or 'no solution'}", flush=True)
    return {"contender": name, "first": first, "runs": runs}


def timed(solve: Solve, rtol: float) -> tuple[float, Array]:
    """Seconds of processor time, and the state at the end; no state where a contender raises."""
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            answer = solve(rtol)
        except Exception as error:
            print(f"    {type(error).__name__}: {str(error)[:100]}")
            answer = np.nan
    return max(time.process_time() - start, 1e-9), answer


def quickest(rows: Sequence[dict[str, Any]], name: str, error: float) -> float:
    """Seconds of a contender's quickest run with at most this error; infinity if it has none."""
    runs = next((row["runs"] for row in rows if row["contender"] == name), ())
    return min((run["seconds"] for run in runs if run["error"] <= error), default=float("inf"))


def main() -> None:
    """Solve, print and record."""
    options = arguments(__doc__ or "")
    report = begin(options.quick)
    rtols = QUICK_RTOLS if options.quick else RTOLS
    for dae in DAES:
        print(f"dae: {dae.name}")
        rows = [measured(name, solve, dae, rtols) for name, solve in contenders(dae).items()]
        for error in ERRORS:
            own = quickest(rows, PARSCAN, error)
            others = {name: quickest(rows, name, error) / own for name in (IDA, SOLVE_DAE, ARRAYS)}
            told = ", ".join(f"{name} {ratio:.1f}x" for name, ratio in others.items())
            print(f"    error {error:.0e}: {own * 1e3:.3f} ms; {told}")
        report.cases.append({"group": "dae", "problem": dae.name, "index": dae.index, "contenders": rows})
    save(report, options.json)


if __name__ == "__main__":
    main()
