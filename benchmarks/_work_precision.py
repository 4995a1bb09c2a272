"""What initial value problems cost, and how precise their solutions are: every problem, method and tolerance."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import inf, isfinite
from typing import Any

import numpy as np
from _odes import Ode
from scipy.integrate import solve_ivp as scipy_solve_ivp

import parscan

OK, OVER_LIMIT, FAILED, NOT_TRIED = "ok", "over the limit", "failed", "not tried"

STRICTEST, BRISK = 1e-11, 0.3
"""Tolerances below `STRICTEST` are for methods that took at most `BRISK` seconds at the one before: whoever quickly
gives less than it was asked for may be asked for more."""

REPEATS = ((0.02, 5), (0.1, 3), (0.3, 1), (inf, 0))
"""How often a run is repeated, by the seconds it took first; those without repeats were slow enough to time once."""


@dataclass(frozen=True)
class Contender:
    """A method of a solver, and the seconds one run of it may take."""

    name: str
    solve: Callable[..., Any]
    method: str
    limit: float = 1.0

    def __call__(self, ode: Ode, rtol: float, fun: Callable[[Any, Any], Any] | None = None) -> Any:
        """Solution of a problem; `fun` may stand in for its right-hand side."""
        options = {"method": self.method, "rtol": rtol, "atol": rtol * ode.scale}
        return self.solve(fun or ode.fun, (0.0, ode.end), list(ode.y0), **options)


AUTO = Contender("parscan auto", parscan.solve_ivp, "auto", 20.0)
OWN = (
    AUTO,
    Contender("parscan Radau", parscan.solve_ivp, "Radau", 20.0),
    Contender("parscan Gauss", parscan.solve_ivp, "Gauss", 2.0),
)
SCIPY_RADAU = Contender("SciPy Radau", scipy_solve_ivp, "Radau", 20.0)
SCIPY_LSODA = Contender("SciPy LSODA", scipy_solve_ivp, "LSODA")
SCIPY = (
    *(Contender(f"SciPy {method}", scipy_solve_ivp, method) for method in ("RK23", "RK45", "DOP853", "BDF")),
    SCIPY_RADAU,
    SCIPY_LSODA,
)
CONTENDERS = (*OWN, *SCIPY)


@dataclass(frozen=True)
class Run:
    """One problem, solved by one contender at one tolerance."""

    problem: str
    contender: str
    rtol: float
    status: str
    seconds: float = inf
    error: float = inf
    """At the end, relative to the problem's `scale + |y|`."""

    calls: int = 0
    points: int = 0
    """States that `fun` was evaluated on; those for differences count."""

    nodes: int = 0

    @property
    def counts(self) -> bool:
        """Whether there is a solution."""
        return self.status == OK


class OverLimitError(Exception):
    """A run took too long."""


class Counted:
    """A right-hand side that counts its calls and states, and ends what takes too long."""

    def __init__(self, fun: Callable[..., Any], components: int, seconds: float) -> None:
        self._fun = fun
        self._components = components
        self._deadline = time.perf_counter() + seconds
        self.calls = 0
        self.values = 0

    def __call__(self, t: Any, y: Any, *args: Any) -> Any:
        if time.perf_counter() > self._deadline:
            raise OverLimitError
        self.calls += 1
        self.values += y.size
        return self._fun(t, y, *args)

    @property
    def points(self) -> int:
        """States evaluated."""
        return self.values // self._components


@contextmanager
def quietly() -> Iterator[None]:
    """Failures are recorded, not warned of."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


WARM, RUNS = 1.0, 200
"""Seconds and number of solves after which a problem that is not solved by machine code yet is left so."""


def warm_run(ode: Ode, contender: Contender, rtol: float) -> Run:
    """Solve until machine code does it, if it ever does, and once more, which counts."""
    begin = time.perf_counter()
    for _ in range(RUNS):
        if contender(ode, rtol).compiled or time.perf_counter() - begin > WARM:
            break
    start = time.perf_counter()
    solution = contender(ode, rtol)
    seconds = time.perf_counter() - start
    error = ode.error(solution.y[:, -1])
    status = OK if solution.success and isfinite(error) else FAILED
    counted = solution.nfev, solution.npoints, len(solution.t)
    return Run(ode.name, contender.name, rtol, status, seconds, error if status == OK else inf, *counted)


def first_run(ode: Ode, contender: Contender, rtol: float, limit: float) -> Run:
    """Solve once, counting: the time includes that of counting. A function that counts its calls is not recorded."""
    if contender is AUTO:
        return warm_run(ode, contender, rtol)
    fun = Counted(ode.fun, len(ode.y0), min(contender.limit, limit))
    start = time.perf_counter()
    try:
        solution = contender(ode, rtol, fun)
    except OverLimitError:
        return Run(ode.name, contender.name, rtol, OVER_LIMIT)
    seconds = time.perf_counter() - start
    error = ode.error(solution.y[:, -1])
    status = OK if solution.success and isfinite(error) else FAILED
    counted = fun.calls, fun.points, len(solution.t)
    return Run(ode.name, contender.name, rtol, status, seconds, error if status == OK else inf, *counted)


def first_runs(ode: Ode, rtols: Sequence[float], limit: float) -> list[Run]:
    """Solve with every contender from the loosest tolerance on, until it takes too long."""
    runs: list[Run] = []
    for contender in CONTENDERS:
        last = None
        for rtol in sorted(rtols, reverse=True):
            if last and last.status in (OVER_LIMIT, NOT_TRIED):
                last = replace(last, rtol=rtol)
            elif last and rtol < STRICTEST and not last.seconds <= BRISK:
                last = Run(ode.name, contender.name, rtol, NOT_TRIED)
            else:
                last = first_run(ode, contender, rtol, limit)
            runs.append(last)
    return runs


def repeats(run: Run) -> int:
    """How often to time a run again."""
    return next(times for seconds, times in REPEATS if run.seconds <= seconds) if run.counts else 0


def measure(ode: Ode, rtols: Sequence[float], limit: float = inf) -> list[Run]:
    """Best times of all contenders at all tolerances, one after the other in every round."""
    contenders = {contender.name: contender for contender in CONTENDERS}
    with quietly():
        runs = first_runs(ode, rtols, limit)
        rounds = [repeats(run) for run in runs]
        best = [run.seconds if times == 0 else inf for run, times in zip(runs, rounds, strict=True)]
        for turn in range(max(rounds)):
            for i, run in enumerate(runs):
                if turn < rounds[i]:
                    start = time.perf_counter()
                    contenders[run.contender](ode, run.rtol)
                    best[i] = min(best[i], time.perf_counter() - start)
    return [replace(run, seconds=seconds) for run, seconds in zip(runs, best, strict=True)]


def warm_up(odes: Sequence[Ode]) -> None:
    """Compile what parscan compiles, for as many stages as there are."""
    with quietly():
        for ode in odes:
            for rtol in (1e-4, 1e-7, 1e-11):
                for contender in OWN[1:]:
                    first_run(ode, contender, rtol, contender.limit)
