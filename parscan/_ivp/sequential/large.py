"""The common part of solvers for large systems: calls, norms, sparse Jacobians. They step as SciPy's solvers do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np

from ..._arrays.namespace import Array, quiet
from ..._engine.termination import Failure
from ..._functions.coloured import SMALL
from ..._linalg.elimination import Factor, elimination
from ..core.failures import NOT_FINITE
from ..core.first_step import first_step as length_of_first
from .sparse_jacobian import jacobian_of


def weighted(weights: Array, vectors: Array) -> Array:
    """The sum of weights times vectors `(k, n)`; by one thread, as those of BLAS cost more than they gain here."""
    return np.einsum("k,kn->n", weights, vectors)


def inner(one: Array, other: Array) -> float:
    """The product of two vectors, by one thread, too."""
    return float(np.einsum("n,n->", one, other))


def smallest_sizes(rtol: Any, atol: Any, y: Array) -> Array:
    """Sizes of components `(n,)` below which they count as zero, where they are changed for differences."""
    largest = float(np.max(np.abs(y), initial=0.0)) or 1.0
    return np.broadcast_to(np.clip(atol / rtol, SMALL**2 * largest, largest), y.shape)


class LargeSolver(ABC):
    """
    A solver with the attributes and methods of SciPy's `OdeSolver`.

    Parameters
    ----------
    fun : callable
        ``fun(t, y)`` of states `(n,)`, whose values are arrays of its own.
    t0, t_bound : float
    y0 : array, shape (n,)
    rtol, atol : float or array, shape (n,)
        The largest error of a component is controlled; `atol` is positive.
    max_step, first_step : float
    of_jacobian
        What is known of the Jacobian: see `jacobian_of`.
    """

    order_of_first = 1
    """The error of the first step is proportional to this power of its length."""

    def __init__(
        self, fun: Callable[[float, Array], Array], t0: float, y0: Array, t_bound: float, *,
        rtol: Any, atol: Any, max_step: float = inf, first_step: float | None = None, **of_jacobian: Any,
    ) -> None:  # fmt: skip
        self.t, self.y, self.t_bound, self.t_old = t0, y0, t_bound, t0
        self._given, self._rtol, self._atol, self._longest = fun, rtol, atol, max_step
        self._way = 1.0 if t_bound >= t0 else -1.0
        self.status = "running"
        self.failure: Failure | None = None
        self.nfev = self.nlu = 0
        with quiet():
            self.f = self._fun(t0, y0)
            floor = smallest_sizes(rtol, atol, y0)
            self._jacobian = jacobian_of(self._fun, t0, y0, self.f, floor, **of_jacobian)
            self._size = first_step or self._first_step()
        self._pattern = self._jacobian.pattern
        self._factor: Factor = elimination(self._pattern)

    @property
    def njev(self) -> int:
        """Number of Jacobians."""
        return self._jacobian.count

    def step(self) -> str | None:
        """Take a step; a message if there is none."""
        with quiet():
            failure = self._step() if np.isfinite(self.f).all() else NOT_FINITE
        if failure is not None:
            self.status, self.failure = "failed", failure
            return failure.words
        self.status = "finished" if self.t == self.t_bound else "running"
        return None

    @abstractmethod
    def _step(self) -> Failure | None:
        """Take a step, or tell why there is none."""

    @abstractmethod
    def dense_output(self) -> Callable[[Any], Array]:
        """The polynomial of the last step: states at one time `(n,)`, or at many `(n, m)`."""

    def _fun(self, t: float, y: Array) -> Array:
        self.nfev += 1
        return self._given(t, y)

    def _entries(self, t: float, y: Array, f: Array) -> Array:
        """Entries of the Jacobian; the elimination is that of its pattern."""
        entries = self._jacobian(t, y, f)
        if self._pattern is not self._jacobian.pattern:
            self._pattern = self._jacobian.pattern
            self._factor = elimination(self._pattern)
        return entries

    def _first_step(self) -> float:
        """Length of the first step."""
        longest = min(abs(self.t_bound - self.t), self._longest)

        def change(h: float) -> float:
            later = self.t + self._way * h
            return self._largest(self._fun(later, self.y + self._way * h * self.f) - self.f, self.y)

        sizes = self._largest(self.y, self.y), self._largest(self.f, self.y)
        return length_of_first(*sizes, change, longest, self.order_of_first)

    def _largest(self, error: Array, *states: Array) -> float:
        """The largest error of a component in tolerances, for the larger one of some states."""
        size = np.abs(states[0])
        for state in states[1:]:
            np.maximum(size, np.abs(state), out=size)
        return float(np.max(np.abs(error) / (self._atol + self._rtol * size)))
