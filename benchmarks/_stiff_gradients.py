"""Gradients of stiff ODEs: against differences of tight solves, and complex steps through their discrete equations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

import parscan
from parscan._ivp.compiled.discrete_adjoint import shorter
from parscan._ivp.compiled.solvers import METHODS, parts_of
from parscan._ivp.core.tableaux import radau

RTOLS, TIGHT = (1e-8, 1e-10), 1e-13
CALLS = 12
"""Gradients of which the fastest one counts; the first ones buy machine code."""

METHOD = radau(7)
NEWTON = 12
"""Iterations of a step in complex numbers."""


@dataclass(frozen=True)
class Stiff:
    """
    A problem.

    Attributes
    ----------
    share : float
        The absolute tolerance divided by the relative one.
    width : float
        Relative changes of parameters for differences of order 6.
    """

    name: str
    fun: Callable[..., Any]
    end: float
    y0: tuple[float, ...]
    p: tuple[float, ...]
    share: float
    width: float

    def solve(self, rtol: float, p: Any = None, y0: Any = None) -> parscan.IvpResult:
        """The solution at the end."""
        p, y0 = np.array(self.p) if p is None else p, np.array(self.y0) if y0 is None else y0
        options: dict[str, Any] = {"rtol": rtol, "atol": rtol * self.share, "compile": True}
        return parscan.solve_ivp(self.fun, (0, self.end), y0, t_eval=[self.end], args=(p,), **options)

    @property
    def weights(self) -> Any:
        """Of the states at the end in the loss: of the order of one over their sizes."""
        size = np.maximum(np.abs(self.solve(TIGHT).y[:, 0]), self.share)
        return np.cos(np.arange(len(self.y0))) / size

    def gradient(self, sol: parscan.IvpResult, weights: Any) -> Any:
        """By all parameters and all of the initial state, times their sizes."""
        by_parameters = sol.gradient(weights[:, None], "p") * np.array(self.p)
        return np.append(by_parameters, sol.adjoint(weights[:, None]).y0 @ np.array(self.y0))

    def differences(self, weights: Any) -> Any:
        """The same by tight solves."""
        p, y0, count = np.array(self.p), np.array(self.y0), len(self.p)

        def value(number: int, change: float) -> float:
            factors = 1 + change * (np.arange(count) == number)
            return float(weights @ self.solve(TIGHT, p * factors, y0 * (1 + change * (number == count))).y[:, 0])

        def along(number: int) -> float:
            first, second, third = (value(number, k * self.width) - value(number, -k * self.width) for k in (1, 2, 3))
            return (45 * first - 9 * second + third) / (60 * self.width)

        return np.array([along(number) for number in range(count + 1)])

    def by_complex_step(self, sol: parscan.IvpResult, rtol: float, weights: Any, direction: Any) -> float:
        """Along a direction of parameters and initial state, on the steps of the solution."""
        p = np.array(self.p) * (1 + 1e-30j * direction[:-1])
        y = np.array(self.y0) * (1 + 1e-30j * direction[-1])
        polynomial: Any = sol._dense
        t = shorter(sol.mesh, parts_of(METHODS.index(sol.method), rtol))
        for begin, h in zip(t[:-1], np.diff(t), strict=True):
            y = self._step(begin, h, y, p, polynomial.evaluate(begin + h * METHOD.c))
        return float((weights @ y).imag / 1e-30)

    def _step(self, begin: float, h: float, y: Any, p: Any, guess: Any) -> Any:
        n, real, stages = len(y), p.real, guess + 0j
        for _ in range(NEWTON):
            times = begin + h * METHOD.c
            slopes = np.array([self.fun(time, z, p) for time, z in zip(times, stages, strict=True)])
            jacobians = [
                np.stack([np.imag(self.fun(time, z.real + 1e-30j * unit, real)) / 1e-30 for unit in np.eye(n)], axis=1)
                for time, z in zip(times, stages, strict=True)
            ]
            M = np.eye(n * len(times)).reshape(n, len(times), n, len(times)).copy()
            M -= h * METHOD.A[None, :, None, :] * np.moveaxis(np.array(jacobians), 0, -1)[:, None, :, :]
            rest = (y + h * METHOD.A @ slopes - stages).T
            stages = stages + np.linalg.solve(M.reshape(rest.size, -1), rest.ravel()).reshape(rest.shape).T
        return stages[-1]


def hires(t: Any, y: Any, p: Any) -> Any:
    a, b, c, d, e, f, g, h = y
    bound, unbound = p[10] * f * h, p[12] * g
    return [
        -p[0] * a + p[1] * b + p[2] * c + p[3],
        p[0] * a - p[4] * b,
        -p[5] * c + p[1] * d + p[6] * e,
        p[7] * b + p[0] * c - p[8] * d,
        -p[9] * e + p[1] * f + p[1] * g,
        -bound + p[11] * d + p[0] * e - p[1] * f + p[11] * g,
        bound - unbound,
        -bound + unbound,
    ]


def oregonator(t: Any, y: Any, p: Any) -> Any:
    return [p[0] * (y[1] + y[0] * (1 - p[1] * y[0] - y[1])), (y[2] - (1 + y[0]) * y[1]) / p[0], p[2] * (y[0] - y[2])]


def robertson(t: Any, y: Any, p: Any) -> Any:
    slow, fast, fastest = p[0] * y[0], p[1] * y[1] * y[2], p[2] * y[1] ** 2
    return [fast - slow, slow - fast - fastest, fastest]


def van_der_pol(t: Any, y: Any, p: Any) -> Any:
    return [y[1], p[0] * (1 - y[0] ** 2) * y[1] - y[0]]


def prothero_robinson(t: Any, y: Any, p: Any) -> Any:
    return [-p[0] * (y[0] - np.cos(p[1] * t)) - p[1] * np.sin(p[1] * t), 0.5 * y[0] - y[1]]


def e5(t: Any, y: Any, p: Any) -> Any:
    first, second, third, fourth = p[0] * y[0], p[1] * y[0] * y[2], p[2] * p[3] * y[1] * y[2], p[2] * y[3]
    return [-first - second, first - third, first - second - third + fourth, second - fourth]


RATES = (1.71, 0.43, 8.32, 0.0007, 8.75, 10.03, 0.035, 8.32, 1.12, 1.745, 280.0, 0.69, 1.81)
PROBLEMS = (
    Stiff("HIRES", hires, 321.8122, (1.0, 0, 0, 0, 0, 0, 0, 0.0057), RATES, 1e-4, 3e-5),
    Stiff("Oregonator", oregonator, 360.0, (1.0, 2.0, 3.0), (77.27, 8.375e-6, 0.161), 1e-2, 3e-4),
    Stiff("Robertson", robertson, 1e5, (1.0, 0.0, 0.0), (0.04, 1e4, 3e7), 1e-6, 1e-3),
    Stiff("Van der Pol, μ = 1000", van_der_pol, 2000.0, (2.0, 0.0), (1000.0,), 1e-2, 1e-3),
    Stiff("Prothero-Robinson", prothero_robinson, 10.0, (1.0, 0.2), (1e6, 1.3), 1e-2, 1e-3),
    Stiff("E5, t = 1000", e5, 1e3, (1.76e-3, 0.0, 0.0, 0.0), (7.89e-10, 1.1e7, 1.13e3, 1e6), 1e-14, 3e-3),
)


def figures() -> Iterator[tuple[str, float]]:
    """Errors relative to the largest entry, and times of gradients by parameters divided by those of solutions."""
    for one in PROBLEMS:
        weights = one.weights
        expected = one.differences(weights)
        direction = np.random.default_rng(0).choice([-1.0, 1.0], len(expected))
        for rtol in RTOLS:
            named, (sol, solving) = f"stiff gradient, {one.name}, rtol={rtol:g}", _fastest(one.solve, rtol)
            _, seconds = _fastest(sol.gradient, weights[:, None], "p")
            for _ in range(CALLS):
                found = one.gradient(sol, weights)
            scale = np.abs(expected).max()
            yield f"{named}: against differences of tight solves", float(np.abs(found - expected).max() / scale)
            off = found @ direction - one.by_complex_step(sol, rtol, weights, direction)
            yield f"{named}: against the complex step through its steps", abs(off) / scale
            yield f"{named}: its time divided by that of the solution", seconds / solving


def _fastest(call: Callable[..., Any], *given: Any) -> tuple[Any, float]:
    best = np.inf
    for _ in range(CALLS):
        begin = perf_counter()
        found = call(*given)
        best = min(best, perf_counter() - begin)
    return found, best


if __name__ == "__main__":
    for name, value in figures():
        print(f"{name}: {value:.3g}")
