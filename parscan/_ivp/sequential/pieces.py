"""Polynomials of the steps of SciPy's solvers, converted to the times and states of the problem."""

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
    """A polynomial of a solver, with its states converted to those of the problem."""

    polynomial: Polynomial
    convert: Callable[[Array], Array]

    def __call__(self, t: Any) -> Array:
        """The states at one time, or many."""
        return self.convert(self.polynomial(t))


@dataclass(frozen=True)
class Dop853Polynomial:
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
    """Complex states, from vectors in which real and imaginary parts alternate."""
    return vectors[0::2] + 1j * vectors[1::2]


def rounded(dtype: Any, states: Array) -> Array:
    """States in the precision of the problem, which may be lower than the solver's."""
    return states.astype(dtype)


SLACK = 0.05
"""Largest extrapolation of the polynomial of a step, as a share of its length."""


@dataclass(frozen=True)
class Shifted:
    """A polynomial in time, made from polynomials of consecutive steps in the time since `origin`.

    The `nodes` are the ends of the steps, in the time since `origin`. A step may be shorter than the spacing of the
    numbers at the origin, and a time may be rounded to just before the first node or just after the last one. Such a
    time is clipped to within `SLACK` of a step from the node, and the polynomial is extrapolated.
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
        """The state at a time that equals the end up to rounding."""
        return self.steps[-1](t - self.origin)

    def then(self, later: Shifted) -> Shifted:
        """These steps followed by later ones."""
        return Shifted((*self.steps, *later.steps), (*self.nodes, *later.nodes[1:]), self.origin)
