"""Polynomials of the steps of SciPy's solvers, as those of the problem."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._arrays.namespace import Array

Polynomial = Callable[[Any], Array]
"""States at one time `(n,)`, or at many `(n, m)`."""


@dataclass(frozen=True)
class Converted:
    """A polynomial of a solver, whose states are converted to those of the problem."""

    polynomial: Polynomial
    convert: Callable[[Array], Array]

    def __call__(self, t: Any) -> Array:
        """The states at one time, or many."""
        return self.convert(self.polynomial(t))


@dataclass(frozen=True)
class OfDop853:
    """A polynomial of SciPy's DOP853, faster at one time: the root of an event needs a dozen evaluations."""

    polynomial: Any
    """`y_old + x (F_0 + (1 - x) (F_1 + x (F_2 + (1 - x) ...)))` at the share x of the step."""

    def __call__(self, t: Any) -> Array:
        """The states at one time, or many."""
        if not isinstance(t, float):
            return self.polynomial(t)
        share, weight, weights = (t - self.polynomial.t_old) / self.polynomial.h, 1.0, []
        for power in range(self.polynomial.F.shape[0]):
            weight *= 1 - share if power % 2 else share
            weights.append(weight)
        return self.polynomial.y_old + np.dot(weights, self.polynomial.F)


def from_parts(vectors: Array) -> Array:
    """Complex states of their real and imaginary parts, in turn."""
    return vectors[0::2] + 1j * vectors[1::2]


def rounded(dtype: Any, states: Array) -> Array:
    """States in the precision of the problem, where that is less than the solver's."""
    return states.astype(dtype)


SLACK = 0.05
"""Share of its length by which the polynomial of a step is extrapolated at most."""


@dataclass(frozen=True)
class Since:
    """A polynomial in time from those of consecutive steps in the time since `origin`.

    Each step goes from one of the `nodes` to the next, in the time since `origin`. A step may be shorter than the
    spacing of the numbers at the origin, and a time may be rounded to one just before the first node or just behind the
    last. There, polynomials are extrapolated by `SLACK` of a step, no more.
    """

    steps: tuple[Polynomial, ...]
    nodes: tuple[float, ...]
    origin: float

    def __call__(self, t: Any) -> Array:
        """The states at one time, or many."""
        nodes, sign = np.asarray(self.nodes), 1.0 if self.nodes[-1] > self.nodes[0] else -1.0
        before, beyond = nodes[0] - SLACK * (nodes[1] - nodes[0]), nodes[-1] + SLACK * (nodes[-1] - nodes[-2])
        since = np.clip(np.asarray(t) - self.origin, min(before, beyond), max(before, beyond))
        places = np.searchsorted(sign * nodes[1:-1], sign * since, side="left")
        if not since.shape:
            return self.steps[int(places)](float(since))
        found: Array | None = None
        for place in np.unique(places).tolist():
            some = places == place
            part = self.steps[place](since[some])
            found = np.empty((part.shape[0], since.shape[0]), dtype=part.dtype) if found is None else found
            found[:, some] = part
        return self.steps[-1](since) if found is None else found

    def at_end(self, t: float) -> Array:
        """The state at a time that is the end except for rounding."""
        return self.steps[-1](t - self.origin)

    def then(self, later: Since) -> Since:
        """These steps and later ones."""
        return Since((*self.steps, *later.steps), (*self.nodes, *later.nodes[1:]), self.origin)
