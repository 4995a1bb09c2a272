"""Ensembles of ODEs on a GPU, against the same call on the CPU, and diffrax's on the same device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from _gpu_case import Contender, Entry, Prepared
from _gpu_others import installed, jax_of
from _gpu_platform import Array, Platform
from _harness import Target
from _ivp_tasks import Ensemble, family, oregonator_of

import parscan

PART = "ensembles"
MEMBERS, FEW = 10_000, 6
THREADS, GPU, CPU = "parscan on the device, a thread for each member", "parscan on the device", "parscan on the CPU"
TARGETS = (Target(GPU, CPU, 1.0), Target(THREADS, GPU, 1.0))


@dataclass(frozen=True)
class Problem:
    """Members with starts (n, members) and parameters (p, members) as NumPy arrays, and who else solves them."""

    fun: Callable[..., Any]
    span: tuple[float, float]
    starts: Array
    parameters: Array
    rtol: float
    atol: float
    others: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def solve(self, xp: Any, **options: Any) -> Array:
        """States at the end."""
        given = {"args": tuple(map(xp.asarray, self.parameters)), "rtol": self.rtol, "atol": self.atol}
        solution = parscan.solve_ivp(
            self.fun, self.span, xp.asarray(self.starts), **{**given, **self.options, **options}
        )
        assert solution.success, solution.message
        return solution.y[:, -1]

    def by_diffrax(self, method: str, platform: Platform) -> Contender:
        """All in one call, with steps of their own."""
        jax_of(platform)
        diffrax = installed("diffrax")
        from _peers_diffrax import batch_solver_of  # noqa: PLC0415 - need not be there

        run = batch_solver_of(lambda t, y, p: self.fun(t, y, *p), getattr(diffrax, method)(), self.span[1])
        return Contender(lambda: np.asarray(run(self.starts.T, self.parameters.T, self.rtol, self.atol)).T)


def problem(k: int, members: int, end: float) -> Problem:
    """A loose and a tight one that is not stiff, and a stiff one."""
    if k < 2:
        rtol = (1e-3, 1e-8)[k]
        few = Ensemble(members, range(1), rtol)
        return Problem(family, few.span, few.starts, few.parameters, rtol, rtol * 1e-3, ("Tsit5", "Dopri8"))
    rng = np.random.default_rng(0)
    scales = np.array([77.27, 0.161])[:, None] * rng.uniform(0.95, 1.05, (2, members))
    starts = np.array([1.0, 2.0, 3.0])[:, None] * np.ones(members)
    options = {"method": "Radau"}
    return Problem(oregonator_of, (0.0, end), starts, scales, 1e-5, 1e-8, ("Kvaerno5",), options)


NAMES = (
    f"Lotka-Volterra, {MEMBERS} members, rtol = 1e-03, float64",
    f"Lotka-Volterra, {MEMBERS} members, rtol = 1e-08, float64",
    f"Oregonator, {MEMBERS} members, rtol = 1e-05, float64",
)


def _prepared(k: int, platform: Platform) -> Prepared:
    given = problem(k, platform.size(MEMBERS, FEW), float(platform.size(30, 1)))
    end = {"compile": True, "method": "auto", "t_eval": [given.span[1]]}
    makers: dict[str, Callable[[], Contender]] = {
        CPU: lambda: Contender(partial(given.solve, np)),
        GPU: lambda: Contender(partial(given.solve, platform.xp, compile=False)),
        THREADS: lambda: Contender(partial(given.solve, platform.xp, **end)),
    }
    for method in given.others:
        makers[_by_diffrax(method)] = partial(given.by_diffrax, method, platform)
    return Prepared(makers, most=100 * given.rtol)


def _by_diffrax(method: str) -> str:
    return f"diffrax {method} (vmap)"


def entries() -> Iterator[Entry]:
    """All of them."""
    for k, name in enumerate(NAMES):
        others = tuple(map(_by_diffrax, problem(k, 1, 1.0).others))
        yield Entry(PART, name, (CPU, GPU, THREADS, *others), partial(_prepared, k), TARGETS)
