"""What people integrate, written as they write it, against SciPy's solvers at equal error.

A neuron, doses, a reaction with diffusion in 400 components, and a fit of an epidemic.

python benchmarks/people.py [--quick] [--json benchmarks/results/people.json]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from math import inf, nan
from time import perf_counter
from typing import Any

import numpy as np
from _harness import arguments, begin, save
from scipy.integrate import solve_ivp as scipy_solve_ivp
from scipy.optimize import least_squares

import parscan

Array = Any
RTOLS = tuple(10.0**-k for k in range(3, 11))
ERRORS = (1e-4, 1e-6)
"""At which times are compared: an error counts as reached if all tighter tolerances reach it, too."""

SOLVES, SECONDS = 40, 0.4
"""Solves after which all code is made that pays, and seconds of repeats."""


@dataclass(frozen=True)
class Task:
    """One problem; `target` is how many times faster than SciPy's best parscan shall be."""

    name: str
    fun: Callable[..., Any]
    y0: Array
    end: float
    target: float
    jumps: tuple[float, ...] = ()
    max_step: float = inf
    """For SciPy's solvers, which would step over pulses."""

    tight: str = "DOP853"
    """Method of the reference."""

    others: dict[str, dict[str, Any]] = field(default_factory=lambda: {"LSODA": {}, "DOP853": {}, "RK45": {}})

    def reference(self) -> Array:
        """The state at the end by tight solves between the jumps."""
        y = self.y0
        for low, high in pairwise([0.0, *self.jumps, self.end]):
            inside = lambda t, y, low=low, high=high: self.fun(min(max(t, low + 1e-12), high - 1e-12), y)  # noqa: E731
            y = scipy_solve_ivp(inside, (low, high), y, self.tight, rtol=1e-12, atol=1e-14).y[:, -1]
        return y


STIMULUS = np.linspace(0.0, 60.0, 13), np.array([0.0, 0, 8, 12, 4, 0, 0, 15, 15, 2, 0, 6, 0.0])


def neuron(t: Any, y: Any) -> Any:
    """Hodgkin and Huxley's equations, with a current from a table."""
    V, m, h, n = y
    current = np.interp(t, *STIMULUS)
    opening = 0.1 * (V + 40) / (1 - np.exp(-(V + 40) / 10)), 0.07 * np.exp(-(V + 65) / 20)
    potassium = 0.01 * (V + 55) / (1 - np.exp(-(V + 55) / 10))
    closing = 4 * np.exp(-(V + 65) / 18), 1 / (1 + np.exp(-(V + 35) / 10)), 0.125 * np.exp(-(V + 65) / 80)
    ions = 120 * m**3 * h * (V - 50) + 36 * n**4 * (V + 77) + 0.3 * (V + 54.387)
    rates = opening[0] * (1 - m) - closing[0] * m, opening[1] * (1 - h) - closing[1] * h
    return [current - ions, *rates, potassium * (1 - n) - closing[2] * n]


def doses(t: Any, y: Any) -> Any:
    """Two compartments, with an infusion of an hour every twelve hours."""
    central, outer = y
    infusion = np.where(t % 12 < 1, 100.0, 0.0)
    return [infusion - 0.55 * central + 0.075 * outer, 0.15 * central - 0.075 * outer]


POINTS = 200


def pulses(t: Any, y: Any) -> Any:
    """FitzHugh and Nagumo's equations on a line of 200 points, the two components of a point side by side."""
    u, w = y[0::2], y[1::2]
    out = np.empty_like(y)
    out[0::2] = u - u**3 / 3 - w
    out[2:-2:2] += 20 * (u[:-2] - 2 * u[1:-1] + u[2:])
    out[0] += 20 * (u[1] - u[0])
    out[-2] += 20 * (u[-2] - u[-1])
    out[1::2] = 0.08 * (u + 0.7 - 0.8 * w)
    return out


def tasks() -> list[Task]:
    """All."""
    line = np.empty(2 * POINTS)
    line[0::2], line[1::2] = np.where(np.arange(POINTS) < 20, 1.5, -1.2), -0.6
    banded: dict[str, dict[str, Any]] = {"LSODA": {"lband": 2, "uband": 2}}
    times = tuple(float(12 * k + part) for k in range(4) for part in (0, 1))[1:]
    return [
        Task("Hodgkin-Huxley, current from a table", neuron, np.array([-65.0, 0.05, 0.6, 0.32]), 60.0, 10,
             tuple(STIMULUS[0][1:-1].tolist())),
        Task("two compartments, four doses", doses, np.zeros(2), 48.0, 10, times, 0.5),
        Task("reaction and diffusion, 400 components", pulses, line, 20.0, 2, tight="LSODA", others=banded),
    ]  # fmt: skip


def best(solve: Callable[[], Any], quick: bool) -> float:
    """Seconds of the quickest of some solves."""
    found, stop = inf, perf_counter() + (0 if quick else SECONDS)
    while perf_counter() < stop or found == inf:
        start = perf_counter()
        solve()
        found = min(found, perf_counter() - start)
    return found


def runs(solve: Callable[[float], Any], warm: int, expected: Array, quick: bool) -> Iterator[dict[str, float]]:
    """Seconds and error at each tolerance; the error is relative to the largest component."""
    for rtol in RTOLS[::3] if quick else RTOLS:
        for _ in range(warm):
            y = solve(rtol).y[:, -1]
        error = float(np.max(np.abs(y - expected)) / np.max(np.abs(expected)))
        yield {"rtol": rtol, "seconds": best(lambda rtol=rtol: solve(rtol), quick), "error": error}  # type: ignore[misc]


def reached(found: Sequence[dict[str, float]], error: float) -> float:
    """Seconds of the quickest run with this error."""
    seconds = inf
    for run in reversed(found):
        if run["error"] > error:
            break
        seconds = min(seconds, run["seconds"])
    return seconds


def measured(task: Task, quick: bool) -> dict[str, Any]:
    """All contenders at all tolerances, and ratios at equal error."""
    expected, scale = task.reference(), float(np.max(np.abs(task.y0)) or 1.0)

    def own(rtol: float) -> Any:
        return parscan.solve_ivp(task.fun, (0.0, task.end), task.y0, rtol=rtol, atol=1e-3 * rtol * scale)

    found = {"parscan": list(runs(own, 2 if quick else SOLVES, expected, quick))}
    for method, options in task.others.items():

        def scipy(rtol: float, method: str = method, options: dict[str, Any] = options) -> Any:
            given = {"rtol": rtol, "atol": 1e-3 * rtol * scale, "max_step": task.max_step, **options}
            return scipy_solve_ivp(task.fun, (0.0, task.end), task.y0, method, **given)

        found[f"SciPy {method}"] = list(runs(scipy, 1, expected, quick))
    ratios = {}
    for error in ERRORS:
        mine = reached(found["parscan"], error)
        seconds, name = min((reached(some, error), name) for name, some in found.items() if name != "parscan")
        ratio = seconds / mine if mine < inf else nan
        ratios[f"{error:.0e}"] = ratio
        verdict = "PASS" if ratio >= task.target else "short"
        print(f"{verdict}: {task.name}, error {error:.0e}: {1e3 * mine:.3f} ms, {ratio:.1f}x {name} ({task.target})")
    return {"problem": task.name, "target": task.target, "runs": found, "ratios": ratios}


def epidemic(t: Any, y: Any, spread: Any, onset: Any, recovery: Any) -> Any:
    """Susceptible, exposed, infectious, recovered: as shares."""
    susceptible, exposed, infectious, _ = y
    new, ill, well = spread * susceptible * infectious, onset * exposed, recovery * infectious
    return [-new, new - ill, ill - well, well]


def fitted(quick: bool) -> dict[str, Any]:
    """Three rates of an epidemic from a hundred noisy days, with the same tolerances and the same differences."""
    days, start, rates = np.linspace(0, 100, 101), [0.999, 0.0, 0.001, 0.0], np.array([0.5, 0.2, 0.1])
    options: dict[str, Any] = {"t_eval": days, "rtol": 1e-8, "atol": 1e-11}
    exact = scipy_solve_ivp(epidemic, (0, 100), start, "LSODA", args=tuple(rates), **options).y[2]
    data = exact * (1 + 0.05 * np.random.default_rng(0).standard_normal(101))

    def fit(solve: Callable[..., Any], **given: Any) -> Array:
        def misfit(p: Array) -> Array:
            return solve(epidemic, (0, 100), start, args=tuple(p), **options, **given).y[2] - data

        return least_squares(misfit, [0.4, 0.3, 0.15], x_scale=rates, xtol=1e-10).x

    found: dict[str, Array] = {}
    seconds: dict[str, float] = {}
    contenders: dict[str, Callable[[], Array]] = {"parscan": partial(fit, parscan.solve_ivp)}
    for method in ("LSODA", "DOP853", "RK45"):
        contenders[f"SciPy {method}"] = partial(fit, scipy_solve_ivp, method=method)
    for name, run in contenders.items():
        for _ in range(1 if quick or name != "parscan" else 5):
            found[name] = run()
        seconds[name] = best(run, quick)
    apart = max(float(np.max(np.abs(one / found["parscan"] - 1))) for one in found.values())
    name = min((name for name in seconds if name != "parscan"), key=lambda name: seconds[name])
    ratio = seconds[name] / seconds["parscan"]
    verdict = "PASS" if ratio >= 20 else "short"
    print(f"{verdict}: a fit of SEIR: {1e3 * seconds['parscan']:.2f} ms, {ratio:.1f}x {name} (20); {apart:.0e} apart")
    return {"problem": "a fit of SEIR", "target": 20, "seconds": seconds, "apart": apart}


def main() -> None:
    options = arguments(__doc__ or "")
    report = begin(options.quick)
    for task in tasks()[1:2] if options.quick else tasks():
        with np.errstate(all="ignore"):  # solvers try steps that are too long
            report.cases.append(measured(task, options.quick))
    report.cases.append(fitted(options.quick))
    save(report, options.json)


if __name__ == "__main__":
    main()
