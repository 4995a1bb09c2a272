"""What initial value problems are solved for: a look at loose tolerance, an ensemble, and fits of parameters."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf, isfinite
from typing import Any

import numpy as np
from _harness import Case, deviation, measure
from _ivp_judgement import Verdict
from _odes import Ode
from _work_precision import Counted, OverLimitError, quietly
from scipy.integrate import solve_ivp as scipy_solve_ivp
from scipy.optimize import least_squares

import parscan

Array = Any
METHODS = ("LSODA", "DOP853", "RK45", "RK23", "BDF", "Radau")
"""SciPy's. The first is timed first, and the others end when they take `PATIENCE` times as long."""

PATIENCE = 3
PRECISE = ("LSODA", "DOP853")
"""SciPy's that are asked for the error that parscan achieves."""

SECONDS = 1.0
"""Time that the repeats of one problem may take at loose tolerance."""


def loose(odes: Sequence[Ode], quick: bool) -> tuple[Verdict, list[dict[str, Any]]]:
    """Default tolerances and method, against SciPy's LSODA: the worst share of its time."""
    rows: list[dict[str, Any]] = []
    for ode in odes:
        problem = ode.fun, (0.0, ode.end), list(ode.y0)

        def own(problem: Any = problem) -> Array:
            return parscan.solve_ivp(*problem, rtol=1e-3, atol=1e-6).y[:, -1]

        def scipy(problem: Any = problem) -> Array:
            return scipy_solve_ivp(*problem, method="LSODA", rtol=1e-3, atol=1e-6).y[:, -1]

        case = Case(ode.name, {"parscan": own, "SciPy LSODA": scipy})
        with quietly():
            once = sum(timing.seconds for timing in measure(case, 1))
            mine, theirs = measure(case, 3 if quick else min(max(int(SECONDS / once), 5), 100))
        row = {"problem": ode.name, "parscan": mine.seconds, "SciPy LSODA": theirs.seconds}
        rows.append({**row, "share": mine.seconds / theirs.seconds})
    worst = max(rows, key=lambda row: row["share"])
    where = f"worst at {worst['problem']}"
    return Verdict("time at rtol=1e-3 / SciPy's LSODA", worst["share"], 1.5, at_least=False, where=where), rows


def fastest(fun: Callable[..., Any], solve: Callable[[Callable[..., Any], str], Any]) -> str:
    """SciPy's method that takes least time for `solve(fun, method)`, best of two."""
    seconds: dict[str, float] = {}
    for method in 2 * METHODS:
        start = time.perf_counter()
        try:
            solve(Counted(fun, 1, PATIENCE * min(seconds.values(), default=inf)), method)
        except OverLimitError:
            continue
        taken = time.perf_counter() - start
        seconds[method] = min(taken, seconds.get(method, taken))
    return min(seconds, key=lambda method: seconds[method])


def family(t: Any, y: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Lotka-Volterra."""
    prey, predators = y
    return [a * prey - b * prey * predators, -c * predators + d * prey * predators]


def oregonator_of(t: Any, y: Any, quotient: Any, rate: Any) -> Any:
    """The Oregonator with two parameters."""
    a, b, c = y
    return [quotient * (b + a * (1 - 8.375e-6 * a - b)), (c - (1 + a) * b) / quotient, rate * (a - c)]


@dataclass(frozen=True)
class Ensemble:
    """Lotka-Volterra members that differ in parameters and start; SciPy solves a sample of them, one by one."""

    members: int
    sample: range
    rtol: float
    span: tuple[float, float] = (0.0, 15.0)

    @cached_property
    def parameters(self) -> Array:
        """Ten per cent around the usual ones, of shape (4, members)."""
        usual = np.array([1.5, 1.0, 3.0, 1.0])[:, None]
        return usual * np.random.default_rng(0).uniform(0.9, 1.1, (4, self.members))

    @cached_property
    def starts(self) -> Array:
        """Of shape (2, members)."""
        return np.array([10.0, 5.0])[:, None] * np.random.default_rng(1).uniform(0.9, 1.1, (2, self.members))

    def together(self) -> Array:
        """Ends of the sample, solved with all others."""
        options: dict[str, Any] = {"args": tuple(self.parameters), "rtol": self.rtol, "atol": self.rtol * 1e-3}
        return parscan.solve_ivp(family, self.span, self.starts, **options).y[:, -1][:, self.sample]

    def one(self, i: int, method: str, rtol: float, fun: Callable[..., Any] = family) -> Array:
        """End of one member."""
        options = {"args": tuple(self.parameters[:, i]), "rtol": rtol, "atol": rtol * 1e-3}
        return scipy_solve_ivp(fun, self.span, self.starts[:, i], method, **options).y[:, -1]

    def loop(self, method: str, rtol: float) -> Array:
        """Ends of the sample."""
        return np.stack([self.one(i, method, rtol) for i in self.sample], axis=1)

    def as_precise(self, error: float, reference: Array) -> tuple[str, float]:
        """SciPy's quickest method at the loosest tolerance with at most this error, and the seconds for all members."""
        found = [(f"none of {' and '.join(PRECISE)}", inf)]
        for method in PRECISE:
            for rtol in 10.0 ** np.arange(-3, -13, -1):
                start = time.perf_counter()
                ends = self.loop(method, rtol)
                seconds = (time.perf_counter() - start) * self.members / len(self.sample)
                if (deviation(ends, reference) or 0.0) <= error:
                    found.append((f"{method} at {rtol:.0e}", seconds))
                    break
        return min(found, key=lambda pair: pair[1])


def ensemble(rtol: float, quick: bool) -> tuple[Verdict, dict[str, Any]]:
    """All members at once, against SciPy's fastest method at the same tolerance, and at the same error."""
    members, sampled = (40, 4) if quick else (1000, 20)
    group = Ensemble(members, range(0, members, members // sampled), rtol)
    method = fastest(family, lambda fun, name: group.one(0, name, rtol, fun))
    reference = group.loop("DOP853", 1e-13)
    contenders = {"parscan": group.together, "SciPy": lambda: group.loop(method, rtol)}
    mine, theirs = measure(Case("ensemble", contenders, reference), 1 if quick else 3)
    seconds = theirs.seconds * members / sampled
    precise, equal = group.as_precise(mine.deviation or 0.0, reference)
    figures = {
        **{"members": members, "sample": sampled, "rtol": rtol, "seconds": mine.seconds, "deviation": mine.deviation},
        "same tolerance": {"method": method, "seconds": seconds, "deviation": theirs.deviation},
        "same error": {"method": precise, "seconds": equal if isfinite(equal) else None},
    }
    where = (
        f"{mine.seconds:.2f} s, error {mine.deviation:.0e}; {method} {seconds:.2f} s, error {theirs.deviation:.0e}, "
        f"scaled up from {sampled} members; at parscan's error {precise} {equal:.2f} s"
    )
    name = f"times faster than a loop on an ensemble of {members}, rtol={rtol:.0e}"
    return Verdict(name, seconds / mine.seconds, 50, where=where), figures


@dataclass(frozen=True)
class Fit:
    """Parameters that noisy observations shall give back."""

    name: str
    fun: Callable[..., Any]
    truth: tuple[float, ...]
    y0: tuple[float, ...]
    end: float
    rtol: float = 1e-8
    observations: int = 100
    noise: float = 0.01

    def states(self, parameters: Array, solve: Callable[..., Any], **options: Any) -> Any:
        """A solution at the times of the observations."""
        times = np.linspace(0, self.end, self.observations + 1)[1:]
        options = {"rtol": self.rtol, "atol": self.rtol * 1e-3, **options}
        return solve(self.fun, (0.0, self.end), list(self.y0), t_eval=times, args=tuple(parameters), **options)

    def observed(self) -> Array:
        """True states with relative noise."""
        exact = self.states(self.truth, scipy_solve_ivp, method="LSODA", rtol=1e-10, atol=1e-13).y
        return exact * (1 + self.noise * np.random.default_rng(1).normal(size=exact.shape))

    def run(self, states: Callable[[Array], Array], data: Array) -> Any:
        """Least squares from two per cent beside the truth, by differences."""
        size = np.abs(data).max(axis=1, keepdims=True)

        def residual(parameters: Array) -> Array:
            return ((states(parameters) - data) / size).ravel()

        return least_squares(residual, 1.02 * np.array(self.truth), diff_step=1e-5, x_scale="jac")

    def warm(self, data: Array) -> Any:
        """Each solve starts from the solution before."""
        last = None

        def states(parameters: Array) -> Array:
            nonlocal last
            last = self.states(parameters, parscan.solve_ivp, guess=last)
            return last.y

        return self.run(states, data)

    def cold(self, data: Array, solve: Callable[..., Any], **options: Any) -> Any:
        """Each solve by itself."""
        return self.run(lambda p: self.states(p, solve, **options).y, data)


FITS = (
    Fit("Lotka-Volterra", family, (1.5, 1.0, 3.0, 1.0), (10.0, 5.0), 15.0),
    Fit("Oregonator", oregonator_of, (77.27, 0.161), (1.0, 2.0, 3.0), 360.0),
)


def fitted(fit: Fit, quick: bool) -> tuple[Verdict, dict[str, Any]]:
    """A fit by parscan, also with warm starts, and by SciPy's fastest method."""
    data = fit.observed()
    method = fastest(fit.fun, lambda fun, name: replace(fit, fun=fun).states(fit.truth, scipy_solve_ivp, method=name))
    found: dict[str, Any] = {}

    def kept(name: str, run: Callable[[], Any]) -> Array:
        found[name] = run()
        return found[name].x

    contenders = {
        "SciPy": lambda: kept("SciPy", lambda: fit.cold(data, scipy_solve_ivp, method=method)),
        "parscan": lambda: kept("parscan", lambda: fit.cold(data, parscan.solve_ivp)),
        "warm starts": lambda: kept("warm starts", lambda: fit.warm(data)),
    }
    with quietly():
        theirs, mine, warm = measure(Case(fit.name, contenders), 1 if quick else 3)
    figures: dict[str, Any] = {"fit": fit.name, "rtol": fit.rtol, "method": method, "parameters apart": mine.deviation}
    for timing in (theirs, mine, warm):
        result = found[timing.contender]
        solves = result.nfev + len(result.x) * result.njev
        figures[timing.contender] = {"seconds": timing.seconds, "solves": solves, "cost": float(result.cost)}
    where = (
        f"{mine.seconds * 1e3:.0f} ms in {figures['parscan']['solves']} solves, {method} {theirs.seconds * 1e3:.0f} ms "
        f"in {figures['SciPy']['solves']}; parameters {mine.deviation:.0e} apart"
    )
    name = f"times faster a fit of {fit.name}, rtol={fit.rtol:.0e}"
    return Verdict(name, theirs.seconds / mine.seconds, 3, where=where), figures
