"""Initial value problems against SciPy, compiled solvers: times at equal achieved error.

Every contender solves every problem at tolerances from 1e-3 to 1e-12; each run's error is recorded beside its time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from typing import Any

import numpy as np
from _ivp_tasks import Ensemble, family
from _odes import ODES, Ode
from _peers import COMPILED, PARSCAN, installed, quietly
from _peers_compiled import by_cvode, by_cyrk, by_diffsol, by_heyoka, in_language
from scipy.integrate import solve_ivp as scipy_solve_ivp

import parscan

Array = Any
Solve = Callable[[float], Array]
"""The state at the end, at a tolerance."""

RTOLS = tuple(float(f"1e-{digits}") for digits in range(3, 13))
QUICK_RTOLS = (1e-3, 1e-7)
REPEATS = 15
COMPILING = 0.05
"""Seconds of a call that may have compiled something for its tolerance: it is repeated."""

LIMIT, LIMIT_OF_ENSEMBLES = 2.0, 10.0
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
    found: dict[str, Solve] = {PARSCAN: by_parscan(ode, None), COMPILED: by_parscan(ode, True)}
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
            taken, answer = timed(solve, rtol)
            if taken > COMPILING:
                taken = min(taken, timed(solve, rtol)[0])
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


@dataclass(frozen=True)
class Batch:
    """Systems with parameters of their own, `(k, members)`, and starts `(n, members)`."""

    name: str
    fun: Callable[..., Any]
    end: float
    starts: Array
    parameters: Array
    reference: Callable[[], Array]

    def by_parscan(self, rtol: float, compiled: bool | None) -> Array:
        """As one batch."""
        options: dict[str, Any] = {"args": tuple(self.parameters), "rtol": rtol, "atol": rtol * 1e-3}
        options |= {"compile": compiled, "t_eval": [self.end] if compiled else None}
        return parscan.solve_ivp(self.fun, (0.0, self.end), self.starts, **options).y[:, -1]

    def stacked(self, rtol: float, least: float = 1e-3) -> Array:
        """All members as one problem."""
        shape = self.starts.shape
        rates = lambda t, y: np.concatenate(self.fun(t, y.reshape(shape), *self.parameters))  # noqa: E731
        options: dict[str, Any] = {"method": "DOP853", "rtol": rtol, "atol": rtol * least, "t_eval": [self.end]}
        return scipy_solve_ivp(rates, (0.0, self.end), self.starts.ravel(), **options).y[:, -1].reshape(shape)

    def loop(self, rtol: float) -> Array:
        """A solve for each member."""
        options: dict[str, Any] = {"method": "LSODA", "rtol": rtol, "atol": rtol * 1e-3, "t_eval": [self.end]}
        problems = zip(self.starts.T, self.parameters.T, strict=True)
        solved = (scipy_solve_ivp(self.fun, (0.0, self.end), y0, args=tuple(p), **options) for y0, p in problems)
        return np.stack([one.y[:, -1] for one in solved], axis=1)

    def by_diffrax(self, method: str) -> Solve:
        """Compiled once, for all tolerances."""
        import diffrax  # noqa: PLC0415 - need not be there
        from _peers_diffrax import batch_solver_of  # noqa: PLC0415

        run = batch_solver_of(lambda t, y, p: self.fun(t, y, *p), getattr(diffrax, method)(), self.end)
        return lambda rtol: np.asarray(run(self.starts.T, self.parameters.T, rtol, rtol * 1e-3)).T


def lorenz(t: Any, y: Any, rho: Any) -> Any:
    """Lorenz's system."""
    a, b, c = y
    return [10.0 * (b - a), a * (rho - c) - b, a * b - 8 / 3 * c]


def batches(quick: bool) -> Iterator[Batch]:
    """Lotka-Volterra and Lorenz systems."""
    members = 40 if quick else 1000
    group = Ensemble(members, range(members), 1e-3)
    name = f"{members} Lotka-Volterra systems"
    reference = lambda: group.loop("DOP853", 1e-12)  # noqa: E731
    yield Batch(name, family, group.span[1], group.starts, group.parameters, reference)
    for count, rho in () if quick else ((1000, 20.0), (5000, 100.0)):
        starts = np.stack([np.linspace(1.0, 2.0, count), np.ones(count), np.full(count, 5.0)])
        name = f"{count} Lorenz systems, rho 0.5 to {rho:.0f}"
        one = Batch(name, lorenz, 5.0, starts, np.linspace(0.5, rho, count)[None, :], partial(np.copy, starts))
        yield replace(one, reference=partial(one.stacked, 1e-13, 1e-2))


def ensembles(quick: bool) -> Iterator[dict[str, Any]]:
    """Many systems with parameters of their own: one batch, all as one problem, or a loop over solves."""
    for batch in batches(quick):
        reference = batch.reference()
        size = 1e-3 + np.abs(reference)
        found: dict[str, Solve] = {
            PARSCAN: partial(batch.by_parscan, compiled=None),
            COMPILED: partial(batch.by_parscan, compiled=True),
            "SciPy DOP853 (stacked)": batch.stacked,
            "SciPy LSODA (loop)": batch.loop,
        }
        if installed("diffrax"):
            for method in ("Tsit5", "Dopri8"):
                found[f"diffrax {method} (vmap)"] = batch.by_diffrax(method)
        print(f"ensemble: {batch.name}")
        rtols = QUICK_RTOLS if quick else RTOLS[:8]
        error = lambda y, size=size, reference=reference: float(np.max(np.abs(y - reference) / size))  # noqa: E731
        rows = [measured(name, solve, error, rtols, LIMIT_OF_ENSEMBLES) for name, solve in found.items()]
        yield {"group": "ensemble", "problem": batch.name, "contenders": rows}
