"""Explicit Runge-Kutta methods as step maps: RK4 and DOP853.

The derivatives of the stages with respect to the state at the start of a step are computed along with the stages
(Hairer, Nørsett and Wanner, "Solving Ordinary Differential Equations I", 2nd edition, Springer 1993, section I.14):
`K_i' = J_i (I + h Σ_j a_ij K_j')`.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from ..._arrays.namespace import Array, quiet
from ..._functions.right_hand_side import RightHandSide
from ..core.polynomial import PiecewisePolynomial
from ..core.scale import Scale
from ..core.tableaux import Tableau, gauss
from . import hermite as _hermite
from .discretisation import Linear
from .one_step import StepMap
from .stage_tangents import explicit_stages
from .tangent_linear import TangentLinear


@dataclass(frozen=True, eq=False)
class Explicit(StepMap):
    """An explicit method: `A` (s, s) strictly lower triangular, `b` (s,), and `c` (s,) with `c[0] = 0`."""

    name: str
    A: Array
    b: Array
    c: Array

    @property
    def description(self) -> str:
        """The name."""
        return self.name

    @property
    def is_superlinear(self) -> bool:
        """Yes: propagators are exact."""
        return True

    @property
    def matrices(self) -> int:
        """Jacobians of the stages, and their products."""
        return self.A.shape[0]

    def linearise(self, rhs: RightHandSide, trial: PiecewisePolynomial) -> tuple[Array, Array]:
        """Targets and propagators: one stage after the other, each with its Jacobian and on all intervals at once."""
        xp = trial.xp
        steps = trial.lengths
        eye = xp.eye(trial.y.shape[-1], dtype=trial.y.dtype)
        slopes: list[Array] = []
        tangents: list[Array] = []
        with quiet():
            for a, c in zip(self.A.tolist(), self.c.tolist(), strict=True):
                state = _plus(trial.y[:-1, ...], steps, a, slopes)
                values, jacobians = rhs.linearise(trial.times(c), state)
                tangents.append(jacobians @ _plus(eye, steps[..., None], a, tangents))
                slopes.append(values)
            weights = self.b.tolist()
            return _plus(trial.y[:-1, ...], steps, weights, slopes), _plus(eye, steps[..., None], weights, tangents)

    def slopes(self, rhs: RightHandSide, trial: PiecewisePolynomial) -> list[Array]:
        """Right-hand sides at the stages of all intervals."""
        slopes: list[Array] = []
        with quiet():
            for a, c in zip(self.A.tolist(), self.c.tolist(), strict=True):
                slopes.append(rhs(trial.times(c), _plus(trial.y[:-1, ...], trial.lengths, a, slopes)))
        return slopes

    def tangent_matrices(self, n: int) -> int:
        """Jacobians and their products, for the stages and a few further ones of the polynomial."""
        return 2 * (self.A.shape[0] + 4)

    def tangent_linear(self, rhs: RightHandSide, trial: PiecewisePolynomial, *, inside: bool) -> TangentLinear:
        """The model of all stages, with the further ones of the polynomials if states `inside` are needed."""
        xp = trial.xp
        A, c, mixing = self.polynomial() if inside else (self.A, self.c, np.zeros((0, len(self.c))))
        b = np.concatenate([self.b, np.zeros(len(c) - len(self.b))])
        slopes: list[Array] = []
        states: list[Array] = []
        with quiet():
            for row, share in zip(A.tolist(), c.tolist(), strict=True):
                states.append(_plus(trial.y[:-1, ...], trial.lengths, row, slopes))
                slopes.append(rhs(trial.times(share), states[-1]))
        points = xp.stack([trial.times(share) for share in c.tolist()], axis=1), xp.stack(states, axis=1)
        stacked = xp.reshape(points[0], (-1,)), xp.reshape(points[1], (-1, *trial.y.shape[1:]))
        return explicit_stages(A, b, mixing, trial.steps, *points, rhs.exact_jacobian(*stacked))

    @abstractmethod
    def polynomial(self) -> tuple[Array, Array, Array]:
        """`A` and `c` extended by the further stages of the polynomial, and weights of all stages in its slopes."""


@dataclass(frozen=True, eq=False)
class WithCubics(Explicit):
    """A method of order 3 or 4, with cubics between the nodes."""

    @property
    def output(self) -> Tableau:
        """Cubics."""
        return _hermite.output()

    @property
    def order(self) -> int:
        """That of RK4."""
        return 4

    @property
    def error_power(self) -> int:
        """The power of the error of the cubics."""
        return 4

    def assess(
        self, rhs: RightHandSide, trial: PiecewisePolynomial, linear: Linear, scale: Scale
    ) -> tuple[PiecewisePolynomial, Array]:
        """Errors by the defect of the cubics."""
        return _hermite.assess(rhs, trial, scale)

    def polynomial(self) -> tuple[Array, Array, Array]:
        """The cubics need the slope at the end of the interval: one further stage."""
        A, c = _with_end(self.A, self.b, self.c)
        first, last = np.eye(len(c))[[0, -1]]
        rise = np.append(self.b, 0.0)
        return A, c, np.array(_hermite.weights()) @ np.stack([rise, first, last])


@dataclass(frozen=True, eq=False)
class DOP853(Explicit):
    """Dormand and Prince's method of order 8, with its own error estimate and polynomials of degree 7.

    The coefficients are those of `scipy.integrate.DOP853`; the formulas are in Hairer, Nørsett and Wanner (1993),
    sections II.5, II.6 and II.10.
    """

    @property
    def output(self) -> Tableau:
        """Seven slopes determine a polynomial of degree 7."""
        return gauss(7)

    @property
    def order(self) -> int:
        """The first number of the name."""
        return 8

    @property
    def error_power(self) -> int:
        """The power of the combined estimate."""
        return 8

    def assess(
        self, rhs: RightHandSide, trial: PiecewisePolynomial, linear: Linear, scale: Scale
    ) -> tuple[PiecewisePolynomial, Array]:
        """Errors by the embedded formulas of orders 5 and 3."""
        from scipy.integrate import DOP853 as coefficients  # noqa: N811, PLC0415 - slow to import

        xp = trial.xp
        slopes = [*self.slopes(rhs, trial), rhs(trial.ends, trial.y[1:, ...])]
        steps = trial.lengths
        with quiet():
            fifth = scale.relative(_plus(0.0, steps, coefficients.E5.tolist(), slopes), trial)
            third = scale.relative(_plus(0.0, steps, coefficients.E3.tolist(), slopes), trial)
            error = fifth * fifth / xp.sqrt(fifth * fifth + 0.01 * third * third)
            stages = self._output_slopes(rhs, trial, slopes, coefficients)
        return replace(trial, stages=stages), xp.where(fifth == 0, fifth, error)

    def polynomial(self) -> tuple[Array, Array, Array]:
        """The polynomials need the slope at the end of the interval and three more stages."""
        from scipy.integrate import DOP853 as coefficients  # noqa: N811, PLC0415 - slow to import

        A, c = _with_end(self.A, self.b, self.c)
        A = np.concatenate([np.pad(A, ((0, 0), (0, len(coefficients.C_EXTRA)))), coefficients.A_EXTRA])
        return A, np.append(c, coefficients.C_EXTRA), np.array(_shape_slopes()) @ _parts()

    def _output_slopes(
        self, rhs: RightHandSide, trial: PiecewisePolynomial, slopes: list[Array], coefficients: Any
    ) -> Array:
        """Slopes of the polynomials at the output nodes, from three more stages."""
        xp = trial.xp
        steps, first, last = trial.lengths, slopes[0], slopes[-1]
        for a, c in zip(coefficients.A_EXTRA.tolist(), coefficients.C_EXTRA.tolist(), strict=True):
            slopes = [*slopes, rhs(trial.times(c), _plus(trial.y[:-1, ...], steps, a, slopes))]
        rise = (trial.y[1:, ...] - trial.y[:-1, ...]) / steps
        higher = [_plus(0.0, 1.0, row, slopes) for row in coefficients.D.tolist()]
        parts = [rise, first - rise, 2 * rise - (first + last), *higher]
        return xp.stack([_plus(0.0, 1.0, row, parts) for row in _shape_slopes()], axis=1)


@cache
def _parts() -> Array:
    """Weights of the slopes of all sixteen stages of DOP853 in the coefficients of the seven polynomials below."""
    from scipy.integrate import DOP853 as coefficients  # noqa: N811, PLC0415 - slow to import

    s, more = coefficients.n_stages, len(coefficients.C_EXTRA)
    rise, first, last = np.append(coefficients.B, np.zeros(more + 1)), *np.eye(s + 1 + more)[[0, s]]
    return np.stack([rise, first - rise, 2 * rise - (first + last), *coefficients.D])


def weights_within(shares: list[float]) -> Array:
    """Weights `(k, 16)` of the slopes of all stages of DOP853 in the changes of the state up to shares of the step."""
    x = np.array(shares)[:, None]
    k = np.arange(7)
    rows: Array = (x ** (1 + k // 2) * (1 - x) ** ((k + 1) // 2)) @ _parts()
    return rows


@cache
def _shape_slopes() -> list[list[float]]:
    """Derivatives of the polynomials x, x(1 - x), x²(1 - x), x²(1 - x)² … at the output nodes."""
    x, rest = np.polynomial.Polynomial([0, 1]), np.polynomial.Polynomial([1, -1])
    shapes = [x ** (1 + k // 2) * rest ** ((k + 1) // 2) for k in range(7)]
    rows: list[list[float]] = np.stack([shape.deriv()(gauss(7).c) for shape in shapes], axis=1).tolist()
    return rows


@cache
def rk4() -> WithCubics:
    """The classical tableau."""
    A = np.array([[0, 0, 0, 0], [0.5, 0, 0, 0], [0, 0.5, 0, 0], [0, 0, 1.0, 0]])
    return WithCubics("RK4", A, np.array([1, 2, 2, 1]) / 6, np.array([0, 0.5, 0.5, 1]))


@cache
def dop853() -> DOP853:
    """SciPy's tableau."""
    from scipy.integrate import DOP853 as coefficients  # noqa: N811, PLC0415 - slow to import

    s = coefficients.n_stages
    return DOP853("DOP853", coefficients.A[:s, :s], coefficients.B, coefficients.C[:s])


def _with_end(A: Array, b: Array, c: Array) -> tuple[Array, Array]:
    """Coefficients and nodes with the end of the interval as a further stage."""
    s = len(c)
    larger = np.zeros((s + 1, s + 1))
    larger[:s, :s], larger[s, :s] = A, b
    return larger, np.append(c, 1.0)


def _plus(base: Any, scale: Any, weights: list[float], parts: list[Array]) -> Any:
    """`base + scale * Σ weights * parts`. Weights of zero are skipped; weights beyond the last part are ignored."""
    terms = [weight * part for weight, part in zip(weights, parts, strict=False) if weight]
    return base + scale * sum(terms[1:], start=terms[0]) if terms else base
