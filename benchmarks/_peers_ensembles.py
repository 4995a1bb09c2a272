"""Many initial value problems that differ in parameters and starts, against SciPy and diffrax: times at equal error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from _ivp_tasks import family
from _peers import ARRAYS, PARSCAN, installed
from _peers_odes import QUICK_RTOLS, RTOLS, Solve, measured
from scipy.integrate import solve_ivp as scipy_solve_ivp

import parscan

Array = Any

LIMIT = 10.0
"""Seconds of a run after which tighter tolerances are not tried."""

ALONE = 40
"""Members that loops solve, at most, spread over all; their time is scaled to all members."""


def lorenz(t: Any, y: Any, rho: Any) -> Any:
    """The Lorenz equations."""
    a, b, c = y
    return [10.0 * (b - a), a * (rho - c) - b, a * b - 8.0 / 3.0 * c]


@dataclass(frozen=True)
class Ensemble:
    """Members of an ensemble: `starts` has the shape (n, members), `parameters` (p, members)."""

    problem: str
    fun: Callable[..., Any]
    starts: Array
    parameters: Array
    end: float
    scale: float
    """Size of small states: the absolute tolerance in relative ones."""

    @property
    def members(self) -> int:
        return int(self.starts.shape[1])

    @cached_property
    def sample(self) -> Array:
        """Numbers of the members that are compared."""
        return np.unique(np.linspace(0, self.members - 1, ALONE).astype(int))

    @cached_property
    def reference(self) -> Array:
        """Ends of the sample."""
        return self.loop("DOP853")(1e-13)

    def error(self, found: Array) -> float:
        """The largest error of the sample, relative to the size of the states."""
        ends = found if found.shape[1] == len(self.sample) else found[:, self.sample]
        return float(np.max(np.abs(ends - self.reference) / (self.scale + np.abs(self.reference))))

    def options(self, rtol: float) -> dict[str, Any]:
        return {"rtol": rtol, "atol": rtol * self.scale, "t_eval": [self.end]}

    def by_parscan(self, compiled: bool | None) -> Solve:
        """All in one batch."""

        def solve(rtol: float) -> Array:
            options = {"args": tuple(self.parameters), "compile": compiled, **self.options(rtol)}
            return parscan.solve_ivp(self.fun, (0.0, self.end), self.starts, **options).y[:, -1]

        return solve

    def stacked(self, rtol: float) -> Array:
        """All as one problem."""
        n = len(self.starts)
        rates = lambda t, y: np.concatenate(self.fun(t, y.reshape(n, -1), *self.parameters))  # noqa: E731
        ends = scipy_solve_ivp(rates, (0.0, self.end), self.starts.ravel(), "DOP853", **self.options(rtol)).y[:, -1]
        return ends.reshape(n, -1)

    def loop(self, method: str) -> Solve:
        """The sample, one after the other."""

        def solve(rtol: float) -> Array:
            ends = []
            for i in self.sample:
                options = {"args": tuple(self.parameters[:, i]), "method": method, **self.options(rtol)}
                ends.append(scipy_solve_ivp(self.fun, (0.0, self.end), self.starts[:, i], **options).y[:, -1])
            return np.stack(ends, axis=1)

        return solve

    def by_diffrax(self, method: str) -> Solve:
        """All in one batch, with steps of their own."""
        import diffrax  # noqa: PLC0415 - need not be there
        from _peers_diffrax import batch_solver_of  # noqa: PLC0415

        run = batch_solver_of(lambda t, y, p: self.fun(t, y, *p), getattr(diffrax, method)(), self.end)
        return lambda rtol: np.asarray(run(self.starts.T, self.parameters.T, rtol, rtol * self.scale)).T

    def contenders(self) -> dict[str, Solve]:
        found: dict[str, Solve] = {
            PARSCAN: self.by_parscan(None),
            ARRAYS: self.by_parscan(False),
            "SciPy DOP853 (stacked)": self.stacked,
            "SciPy LSODA (loop)": self.loop("LSODA"),
            "SciPy DOP853 (loop)": self.loop("DOP853"),
        }
        if installed("diffrax"):
            found |= {f"diffrax {method} (vmap)": self.by_diffrax(method) for method in ("Tsit5", "Dopri8")}
        return found


def lotka_volterra(members: int) -> Ensemble:
    """Parameters and starts within ten per cent of the usual ones."""
    usual, start = np.array([1.5, 1.0, 3.0, 1.0])[:, None], np.array([10.0, 5.0])[:, None]
    parameters = usual * np.random.default_rng(0).uniform(0.9, 1.1, (4, members))
    starts = start * np.random.default_rng(1).uniform(0.9, 1.1, (2, members))
    return Ensemble(f"{members} Lotka-Volterra systems", family, starts, parameters, 15.0, 1e-3)


def lorenz_systems(members: int, largest: float) -> Ensemble:
    """From the state (1, 0, 0), with numbers rho from 0.5 on."""
    starts = np.array([1.0, 0.0, 0.0])[:, None] * np.ones(members)
    rho = np.linspace(0.5, largest, members)[None]
    return Ensemble(f"{members} Lorenz systems, rho to {largest:g}", lorenz, starts, rho, 5.0, 1.0)


def ensembles(quick: bool) -> Iterator[dict[str, Any]]:
    """Each by everyone."""
    groups = (
        [lotka_volterra(40)] if quick else [lotka_volterra(1000), lorenz_systems(1000, 20), lorenz_systems(5000, 100)]
    )
    for group in groups:
        print(f"ensemble: {group.problem}")
        rows = []
        for name, solve in group.contenders().items():
            row = measured(name, solve, group.error, QUICK_RTOLS if quick else RTOLS[:8], LIMIT)
            if "(loop)" in name:
                for run in row["runs"]:
                    run["seconds"] *= group.members / len(group.sample)
            rows.append(row)
        yield {"group": "ensemble", "problem": group.problem, "contenders": rows}
