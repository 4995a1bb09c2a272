"""Polynomials of a solution as sums of powers: few operations on whole arrays, or on numbers, evaluate them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from ..._arrays.namespace import Array, array_namespace, library
from .tableaux import Tableau

FEW = 12
"""Components up to which numbers of Python are faster than arrays, at a single time."""


class Powers:
    """
    The polynomials of a solution without batch: `y_p + θ Σ_k c_pk x^k` with `x = 2θ - 1` at the share θ of interval p.

    Powers of numbers in [-1, 1] serve for the few coefficients of steps, which fall off.
    """

    def __init__(self, tableau: Tableau, y: Array, stages: Array, lengths: Array) -> None:
        xp = array_namespace(y)
        self._begins, self._count = y[:-1, :], tableau.stages
        found = lengths[..., None] * (xp.asarray(_weights(tableau), dtype=y.dtype) @ stages)
        missed = (y[1:, :] - self._begins) - xp.sum(found, axis=1)  # θ times this is added
        self._coefficients = xp.concat([found[:, :1, :] + missed[:, None, :], found[:, 1:, :]], axis=1)

    def at_shares(self, theta: Array) -> Array:
        """States `(N, m, n)` at some shares `(m,)` of all intervals."""
        return self._begins[:, None, :] + self._raised(theta) @ self._coefficients

    def state(self, intervals: Array, theta: Array) -> Array:
        """States `(m, n)` at the share θ of each of the intervals."""
        xp = array_namespace(theta)
        passed = self._raised(theta)[:, None, :] @ xp.take(self._coefficients, intervals, axis=0)
        return xp.take(self._begins, intervals, axis=0) + passed[:, 0, :]

    def of(self, interval: int) -> Callable[[float], Array]:
        """States `(n,)` at a share θ of an interval."""
        begin, rows = self._begins[interval, :], self._coefficients[interval, ...]
        xp = array_namespace(begin)
        if begin.shape[0] > FEW or library(begin) != "numpy":
            dtype = xp.abs(begin).dtype
            return lambda theta: begin + (self._raised(xp.asarray([theta], dtype=dtype)) @ rows)[0, :]
        dtype, columns = begin.dtype, rows[::-1, :].T.tolist()
        series: list[tuple[Any, list[Any]]] = list(zip(begin.tolist(), columns, strict=True))

        def by_numbers(theta: float) -> Array:
            x, found = 2.0 * theta - 1.0, []
            for first, coefficients in series:
                total = 0.0
                for coefficient in coefficients:
                    total = total * x + coefficient
                found.append(first + theta * total)
            return xp.asarray(found, dtype=dtype)

        return by_numbers

    def _raised(self, theta: Array) -> Array:
        """The shares θ `(m,)` times powers of `2θ - 1`, `(m, s)`."""
        xp, x = array_namespace(theta), 2 * theta - 1
        raised = [theta]
        for _ in range(self._count - 1):
            raised.append(raised[-1] * x)
        found = xp.stack(raised, axis=-1)
        return xp.astype(found, self._begins.dtype, copy=False)


@cache
def _weights(tableau: Tableau) -> Any:
    """Weights of the slopes in the coefficients of the powers, (s, s)."""
    return array_namespace(tableau.means).asarray(_of_legendre(tableau.stages)).T @ tableau.means


def _of_legendre(count: int) -> list[list[float]]:
    """Coefficients of the powers of x in the Legendre polynomials P_0 … by their recurrence."""
    rows = [[float(k == degree) for k in range(count)] for degree in range(2)]
    for k in range(1, count - 1):
        raised = [0.0, *rows[k][:-1]]
        pairs = zip(raised, rows[k - 1], strict=True)
        rows.append([((2 * k + 1) * one - k * other) / (k + 1) for one, other in pairs])
    return rows[:count]
