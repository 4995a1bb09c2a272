"""Collocation methods with s stages: Radau IIA and Gauss. Coefficients are computed with 40 digits, then rounded once.

The solution polynomial of an interval of length h is `y(t + θh) = y + h Σ_j (∫_0^θ ℓ_j) K_j`, with the Lagrange
polynomials ℓ_j of the nodes c_j (Hairer and Wanner, "Solving Ordinary Differential Equations II", section IV.5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import cache
from itertools import pairwise
from math import prod
from typing import Any, TypeAlias

import numpy as np

from ..._arrays.cached import cached_property
from ..._arrays.namespace import Array
from ..._kernels.generic.legendre import legendre, legendre_series

MOST_STAGES = 9
"""Stages of the largest method, of order 17 or 18. With more of them, rounding limits the accuracy."""

FURTHER = 2
"""Further stages of the method that tells the errors of the largest one."""

DIGITS = 40
"""Decimal digits of the computation."""

NEWTON_STEPS = 4
"""Newton steps from 15 digits to more than `DIGITS`: each step doubles the number of correct digits."""

Numbers: TypeAlias = list[Decimal]
Rule: TypeAlias = tuple[Numbers, Numbers]
"""Nodes and weights of a quadrature on [0, 1]."""


@dataclass(frozen=True, eq=False)
class Places:
    """Shares `theta` (k,) of an interval, with the integrals of the ℓ_j from 0 to θ and their values at θ, (k, s)."""

    theta: Array
    integrals: Array
    derivatives: Array


@dataclass(frozen=True, eq=False)
class Tableau:
    """Collocation at the nodes `c` of (0, 1]: matrix `A` (s, s), weights `b` (s,), order of the method at the mesh.

    The start of an interval is not a stage. Therefore `A` has an inverse, which gives the slopes of first iterates; the
    defect at the start estimates the error; and the stages stay small where a problem is stiff.
    """

    kind: str
    c: Array
    A: Array
    b: Array
    order: int

    @property
    def stages(self) -> int:
        """Number of stages, s."""
        return self.c.shape[0]

    def family(self, stages: int) -> Tableau:
        """The method of the same family with this number of stages."""
        return FAMILIES[self.kind](stages)

    def derivatives(self, theta: Array) -> Array:
        """Lagrange polynomials ℓ_j(θ), shape (*theta.shape, s): the slope of the solution is Σ_j ℓ_j(θ) K_j."""
        return legendre_series(theta, self.lagrange)

    def integrals(self, theta: Array) -> Array:
        """Integrals of the ℓ_j from 0 to θ, shape (*theta.shape, s): the growth of the solution is h Σ_j (…)_j K_j."""
        return theta[..., None] * legendre_series(theta, self.means)

    @cached_property
    def inverse(self) -> Array:
        """Inverse of `A`, (s, s): the slopes of the polynomial through given states at the nodes."""
        return np.linalg.inv(self.A)

    @cached_property
    def to_last(self) -> Array:
        """Weights, `(s - 1,)`, that extrapolate values at all nodes but the last to the last node."""
        inner, eye = self.c[:-1], np.eye(self.stages - 1)
        apart = inner[:, None] - inner[None, :] + eye
        return np.prod(np.where(eye > 0, 1.0, self.c[-1] - inner[None, :]) / apart, axis=1)

    @cached_property
    def between(self) -> float:
        """The θ at which the error of polynomials through the start and the stages is largest."""
        theta = np.linspace(0, 1, 201)[:-1]
        return float(theta[np.argmax(np.abs(np.prod(theta[:, None] - self.c, axis=1) * theta))])

    @cached_property
    def for_defect(self) -> Array:
        """Integrals of the ℓ_j from 0 to `between`; the ℓ_j at 0, at `between`, and at 1 if that is no node."""
        ends = [] if self.ends_with_a_stage else [1.0]
        slopes = self.derivatives(np.asarray([0.0, self.between, *ends]))
        return np.concatenate([self.integrals(np.asarray([self.between])), slopes])

    @cached_property
    def gaps(self) -> Places:
        """Midpoints between neighbouring stages, and between the outer stages and the ends of the interval."""
        marks = np.unique(np.concatenate([[0.0], self.c, [1.0]]))
        return self.places((marks[1:] + marks[:-1]) / 2)

    def evenly(self, count: int) -> Places:
        """So many places that divide an interval evenly, if that is more than `gaps` has."""
        if count <= self.gaps.theta.shape[0]:
            return self.gaps
        return self.places((np.arange(count) + 0.5) / count)

    def places(self, theta: Array) -> Places:
        """The weights of states and slopes at these shares (k,) of an interval."""
        return Places(theta, self.integrals(theta), self.derivatives(theta))

    @property
    def ends_with_a_stage(self) -> bool:
        """Whether the end of an interval is a stage of it."""
        return bool(self.c[-1] == 1)

    @cached_property
    def lagrange(self) -> Array:
        """Legendre coefficients of the ℓ_j, (degree, j)."""
        return np.linalg.inv(np.stack(legendre(2 * self.c - 1, self.stages - 1), axis=1))

    @cached_property
    def means(self) -> Array:
        """Legendre coefficients of the means of the ℓ_j over [0, θ]: θ times a mean is accurate also near θ = 0."""
        rule = gauss(self.stages)
        means = rule.b @ self.derivatives(rule.c[:, None] * rule.c)
        values = np.stack(legendre(2 * rule.c - 1, self.stages - 1))
        return (2 * np.arange(self.stages)[:, None] + 1) * (values * rule.b) @ means


@cache
def radau(stages: int) -> Tableau:
    """Radau IIA: the right end is a node; order 2s - 1, L-stable."""
    with localcontext(prec=DIGITS):
        nodes = _roots(stages, lambda p: p[-1] - p[-2], fixed=[Decimal(1)])
        return _collocation("Radau", nodes, 2 * stages - 1)


@cache
def gauss(stages: int) -> Tableau:
    """Gauss: order 2s, A-stable, symplectic."""
    with localcontext(prec=DIGITS):
        return _collocation("Gauss", _roots(stages, lambda p: p[-1]), 2 * stages)


FAMILIES: dict[str, Callable[[int], Tableau]] = {"Radau": radau, "Gauss": gauss}
"""Families of methods by the name that users give as `method`."""


def _collocation(kind: str, nodes: Numbers, order: int) -> Tableau:
    """Method with the given nodes."""
    rule = _gauss_rule((len(nodes) + 1) // 2)  # exact for the degree of the ℓ_j
    return Tableau(
        kind=kind,
        c=_rounded(nodes),
        A=_rounded([_integrals(node, nodes, rule) for node in nodes]),
        b=_rounded(_integrals(Decimal(1), nodes, rule)),
        order=order,
    )


def _rounded(numbers: Any) -> Array:
    """Read-only array in double precision, which all users of a method share."""
    array = np.array(numbers, dtype=np.float64)
    array.flags.writeable = False
    return array


def _integrals(end: Decimal, nodes: Numbers, rule: Rule) -> Numbers:
    """Integrals of the Lagrange polynomials from 0 to `end`."""
    return [end * sum(w * _lagrange(end * x, nodes, j) for x, w in zip(*rule, strict=True)) for j in range(len(nodes))]


def _lagrange(x: Decimal, nodes: Numbers, j: int) -> Decimal:
    """The polynomial that is 1 at node j and 0 at the others."""
    return prod(((x - node) / (nodes[j] - node) for node in nodes[:j] + nodes[j + 1 :]), start=Decimal(1))


def _gauss_rule(count: int) -> Rule:
    """Gauss-Legendre quadrature."""
    nodes = _roots(count, lambda p: p[-1])
    return nodes, [1 / (4 * x * (1 - x) * _slopes(2 * x - 1, count)[-1] ** 2) for x in nodes]


def _roots(count: int, polynomial: Callable[[Any], Any], fixed: Numbers | None = None) -> Numbers:
    """Roots in [0, 1] of a combination of the Legendre polynomials up to degree `count`; those `fixed` are the last."""
    if not 1 <= count <= MOST_STAGES + FURTHER:
        raise ValueError(f"`stages` is {count}; collocation has 1 to {MOST_STAGES + FURTHER} of them.")
    fixed = fixed or []
    coefficients = polynomial(np.eye(count + 1))
    roots = []
    guesses = np.real(np.polynomial.legendre.legroots(coefficients))  # complex numbers from NumPy 2.5 on
    for guess in sorted(guesses)[: count - len(fixed)]:
        x = Decimal(float(guess))
        for _ in range(NEWTON_STEPS):
            x -= polynomial(legendre(x, count)) / polynomial(_slopes(x, count))
        roots.append((1 + x) / 2)
    return roots + fixed


def _slopes(x: Decimal, degree: int) -> Numbers:
    """Derivatives of the Legendre polynomials inside (-1, 1)."""
    values = legendre(x, degree)
    pairs = enumerate(pairwise(values), start=1)
    return [Decimal(0), *(k * (x * value - before) / (x * x - 1) for k, (before, value) in pairs)]
