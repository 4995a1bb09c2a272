"""Initial value problems against SciPy, diffrax and numbakit-ode: times at equal achieved error.

Every contender solves every problem at tolerances from 1e-3 to 1e-12; each run's error is recorded beside its time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from math import isfinite
from typing import Any

import numpy as np
from _ivp_tasks import Ensemble, family
from _odes import ODES, Ode
from _peers import PARSCAN, installed, quietly
from _problem import by_numbers
from scipy.integrate import solve_ivp as scipy_solve_ivp

import parscan

Array = Any
Solve = Callable[[float], Array]
"""The state at the end, at a tolerance."""

RTOLS = tuple(float(f"1e-{digits}") for digits in range(3, 13))
QUICK_RTOLS = (1e-3, 1e-7)
REPEATS = 15
LIMIT, LIMIT_OF_ENSEMBLES = 2.0, 10.0
"""Seconds of a run after which tighter tolerances are not tried."""

PROBLEMS = ("Lotka-Volterra, T=15", "Lorenz, T=10", "Kepler e=0.5", "Van der Pol 1000", "HIRES")
QUICK_PROBLEMS = ("Lotka-Volterra, T=15", "HIRES")
FIRST_STEP = 1e-4
"""For numbakit-ode, whose own choice calls a function of SciPy that has changed since."""


@by_numbers
def lotka_volterra(t: float, y: Array) -> Array:
    return np.array([1.5 * y[0] - y[0] * y[1], -3 * y[1] + y[0] * y[1]])


@by_numbers
def lorenz(t: float, y: Array) -> Array:
    return np.array([10 * (y[1] - y[0]), y[0] * (28 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]])


@by_numbers
def kepler(t: float, y: Array) -> Array:
    r3 = (y[0] * y[0] + y[1] * y[1]) ** 1.5
    return np.array([y[2], y[3], -y[0] / r3, -y[1] / r3])


@by_numbers
def lotka_volterra_family(t: float, y: Array) -> Array:
    """The parameters are further components, for they are constants of a compiled solver otherwise."""
    rate = np.zeros(6)
    rate[0] = y[2] * y[0] - y[3] * y[0] * y[1]
    rate[1] = -y[4] * y[1] + y[5] * y[0] * y[1]
    return rate


BY_NUMBERS = {"Lotka-Volterra, T=15": lotka_volterra, "Lorenz, T=10": lorenz, "Kepler e=0.5": kepler}
"""Right-hand sides for numbakit-ode; it has no method with error control for stiff ones."""


def by_parscan(ode: Ode) -> Solve:
    def solve(rtol: float) -> Array:
        return parscan.solve_ivp(ode.fun, (0.0, ode.end), list(ode.y0), rtol=rtol, atol=rtol * ode.scale).y[:, -1]

    return solve


def by_scipy(ode: Ode, method: str) -> Solve:
    def solve(rtol: float) -> Array:
        options = {"method": method, "rtol": rtol, "atol": rtol * ode.scale}
        return scipy_solve_ivp(ode.fun, (0.0, ode.end), list(ode.y0), **options).y[:, -1]

    return solve


def by_diffrax(ode: Ode, method: str) -> Solve:
    """Compiled once, for all tolerances."""
    import diffrax  # noqa: PLC0415 - need not be there
    from _peers_diffrax import solver_of  # noqa: PLC0415

    run = solver_of(lambda t, y, _: ode.fun(t, y), getattr(diffrax, method)(), ode.end)
    return lambda rtol: np.asarray(run(np.asarray(ode.y0), None, rtol, rtol * ode.scale))


def by_nbkode(fun: Callable[..., Array], y0: Array, end: float, scale: float) -> Solve:
    """Its DOP853."""
    import nbkode  # noqa: PLC0415 - need not be there

    def solve(rtol: float) -> Array:
        solver = nbkode.DOP853(fun, 0.0, np.asarray(y0, float), rtol=rtol, atol=rtol * scale, first_step=FIRST_STEP)
        return solver.run(np.array([end]))[1][-1]

    return solve


def contenders(ode: Ode) -> dict[str, Solve]:
    """Who solves a problem; methods that are not meant for it are left out."""
    found: dict[str, Solve] = {PARSCAN: by_parscan(ode)}
    for method in ("LSODA", "Radau") if ode.stiff else ("LSODA", "DOP853"):
        found[f"SciPy {method}"] = by_scipy(ode, method)
    if installed("diffrax"):
        for method in ("Kvaerno5",) if ode.stiff else ("Tsit5", "Dopri8"):
            found[f"diffrax {method}"] = by_diffrax(ode, method)
    if installed("nbkode") and ode.name in BY_NUMBERS:
        found["numbakit-ode DOP853"] = by_nbkode(BY_NUMBERS[ode.name], ode.y0, ode.end, ode.scale)
    return found


def measured(
    name: str, solve: Solve, error: Callable[[Array], float], rtols: Sequence[float], limit: float = LIMIT
) -> dict[str, Any]:
    """Seconds of the first call, and time and error at every tolerance."""
    runs: list[dict[str, float]] = []
    with quietly():
        first, _ = timed(solve, rtols[0])
        for rtol in rtols:
            taken, answer = timed(solve, rtol)
            off = error(answer)
            if isfinite(off):
                repeats = min(REPEATS, int(1 / taken))
                best = min([taken, *(timed(solve, rtol)[0] for _ in range(repeats))])
                runs.append({"rtol": rtol, "seconds": best, "error": off})
            if taken > limit:
                break
    told = ", ".join(f"{run['rtol']:.0e}: {run['seconds'] * 1e3:.2f} ms, {run['error']:.1e}" for run in runs)
    print(f"  {name:<20} first call {first:6.2f} s; {told}", flush=True)
    return {"contender": name, "first": first, "runs": runs}


def timed(solve: Solve, rtol: float) -> tuple[float, Array]:
    """Seconds, and the state at the end."""
    begin = time.perf_counter()
    answer = solve(rtol)
    return time.perf_counter() - begin, answer


def odes(quick: bool) -> Iterator[dict[str, Any]]:
    """Single problems."""
    for ode in ODES:
        if ode.name in (QUICK_PROBLEMS if quick else PROBLEMS):
            print(f"ode: {ode.name}")
            rtols = QUICK_RTOLS if quick else RTOLS
            rows = [measured(name, solve, ode.error, rtols) for name, solve in contenders(ode).items()]
            yield {"group": "ode", "problem": ode.name, "stiff": ode.stiff, "contenders": rows}


def ensembles(quick: bool) -> Iterator[dict[str, Any]]:
    """Many Lotka-Volterra systems with parameters of their own: one batch, or a loop over compiled solves."""
    members = 40 if quick else 1000
    group = Ensemble(members, range(members), 1e-3)
    reference = group.loop("DOP853", 1e-12)
    size = 1e-3 + np.abs(reference)

    def together(rtol: float) -> Array:
        options: dict[str, Any] = {"args": tuple(group.parameters), "rtol": rtol, "atol": rtol * 1e-3}
        return parscan.solve_ivp(family, group.span, group.starts, **options).y[:, -1]

    found: dict[str, Solve] = {PARSCAN: together, "SciPy LSODA (loop)": lambda rtol: group.loop("LSODA", rtol)}
    if installed("diffrax"):
        import diffrax  # noqa: PLC0415 - need not be there
        from _peers_diffrax import batch_solver_of  # noqa: PLC0415

        for method in ("Tsit5", "Dopri8"):
            run = batch_solver_of(lambda t, y, p: family(t, y, *p), getattr(diffrax, method)(), group.span[1])
            found[f"diffrax {method} (vmap)"] = lambda rtol, run=run: (
                np.asarray(  # type: ignore[misc]
                    run(group.starts.T, group.parameters.T, rtol, rtol * 1e-3)
                ).T
            )
    if installed("nbkode"):
        starts = np.concatenate([group.starts, group.parameters]).T

        def one_by_one(rtol: float) -> Array:
            solves = (by_nbkode(lotka_volterra_family, start, group.span[1], 1e-3) for start in starts)
            return np.stack([solve(rtol)[:2] for solve in solves], axis=1)

        found["numbakit-ode DOP853 (loop)"] = one_by_one
    print(f"ensemble: {members} Lotka-Volterra systems")
    rtols = QUICK_RTOLS if quick else RTOLS[:8]
    error = lambda y: float(np.max(np.abs(y - reference) / size))  # noqa: E731
    rows = [measured(name, solve, error, rtols, LIMIT_OF_ENSEMBLES) for name, solve in found.items()]
    yield {"group": "ensemble", "problem": f"{members} Lotka-Volterra systems", "contenders": rows}
