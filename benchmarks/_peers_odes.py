"""Initial value problems against SciPy, compiled solvers: times at equal achieved error.

Every contender solves every problem at tolerances from 1e-3 to 1e-12; each run's error is recorded beside its time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from math import isfinite
from typing import Any

import numpy as np
from _odes import ODES, Ode
from _peers import ARRAYS, PARSCAN, installed, quietly
from _peers_compiled import by_cvode, by_cyrk, by_diffsol, by_heyoka, in_language
from scipy.integrate import solve_ivp as scipy_solve_ivp

import parscan

Array = Any
Solve = Callable[[float], Array]
"""The state at the end, at a tolerance."""

RTOLS = tuple(float(f"1e-{digits}") for digits in range(3, 13))
QUICK_RTOLS = (1e-3, 1e-7)
REPEATS = 15
WARMING = 25
"""parscan's solves at a tolerance before those that count: it takes machine code once it has paid."""

WARM = 1.0
"""Seconds of them."""

COMPILING = 0.05
"""Seconds of a call that may have compiled something for its tolerance: it is repeated."""

LIMIT = 2.0
"""Seconds of a run after which tighter tolerances are not tried."""

PROBLEMS = (
    *("Lotka-Volterra, T=15", "pendulum", "Lorenz, T=10", "Kepler e=0.1", "Kepler e=0.5", "rigid body", "Arenstorf"),
    *("Brusselator", "Pleiades", "Van der Pol 1000", "Robertson", "Oregonator", "HIRES", "Prothero-Robinson 1e+06"),
    *("E5-like", "network of 20 species"),
)
QUICK_PROBLEMS = ("Lotka-Volterra, T=15", "HIRES")


def by_parscan(ode: Ode, compiled: bool | None) -> Solve:
    def solve(rtol: float) -> Array:
        options: dict[str, Any] = {"rtol": rtol, "atol": rtol * ode.scale, "compile": compiled}
        return parscan.solve_ivp(ode.fun, (0.0, ode.end), list(ode.y0), **options).y[:, -1]

    return solve


def by_scipy(ode: Ode, method: str) -> Solve:
    def solve(rtol: float) -> Array:
        options = {"method": method, "rtol": rtol, "atol": rtol * ode.scale}
        return scipy_solve_ivp(ode.fun, (0.0, ode.end), list(ode.y0), **options).y[:, -1]

    return solve


def by_diffrax(ode: Ode, method: str) -> Solve:
    """Compiled once, for all tolerances."""
    import diffrax  # noqa: PLC0415 - need not be there
    import jax.numpy as jnp  # noqa: PLC0415
    from _peers_diffrax import solver_of  # noqa: PLC0415

    fun = in_language(ode, {"sin": jnp.sin, "cos": jnp.cos})
    run = solver_of(lambda t, y, _: fun(t, y), getattr(diffrax, method)(), ode.end)
    return lambda rtol: np.asarray(run(np.asarray(ode.y0), None, rtol, rtol * ode.scale))


def contenders(ode: Ode) -> dict[str, Solve]:
    """Who solves a problem; methods that are not meant for it are left out."""
    found: dict[str, Solve] = {PARSCAN: by_parscan(ode, None), ARRAYS: by_parscan(ode, False)}
    for method in ("LSODA", "Radau") if ode.stiff else ("LSODA", "DOP853"):
        found[f"SciPy {method}"] = by_scipy(ode, method)
    if installed("diffrax"):
        for method in ("Kvaerno5",) if ode.stiff else ("Tsit5", "Dopri8"):
            found[f"diffrax {method}"] = by_diffrax(ode, method)
    if installed("heyoka") and not ode.stiff:
        found["heyoka"] = by_heyoka(ode)
    if installed("CyRK"):
        method = "Radau" if ode.stiff else "DOP853"
        found[f"CyRK {method}"] = by_cyrk(ode, method)
    if installed("sksundae"):
        found["scikit-sundae CVODE"] = by_cvode(ode)
    if installed("pydiffsol"):
        method = "bdf" if ode.stiff else "tsit45"
        found[f"pydiffsol {method}"] = by_diffsol(ode, method)
    return found


def measured(
    name: str, solve: Solve, error: Callable[[Array], float], rtols: Sequence[float], limit: float = LIMIT
) -> dict[str, Any]:
    """Seconds of the first call, and time and error at every tolerance."""
    runs: list[dict[str, float]] = []
    with quietly():
        first, _ = timed(solve, rtols[0])
        for rtol in rtols:
            spent = 0.0
            for _ in range(WARMING if name in (PARSCAN, ARRAYS) else 1):
                taken, answer = timed(solve, rtol)
                spent += taken
                if spent > WARM:
                    break
            if taken > COMPILING:
                taken, answer = timed(solve, rtol)
            errors, best = [error(answer)], taken
            for _ in range(min(REPEATS, int(1 / taken))):
                taken, answer = timed(solve, rtol)
                errors.append(error(answer))
                best = min(best, taken)
            if isfinite(off := max(errors)):
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
