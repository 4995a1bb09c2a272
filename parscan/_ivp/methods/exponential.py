"""DEER for differential equations, as published: the linearised equation is solved exactly between two nodes.

With `G = -∂f/∂y` and `z = f + G y`, and bars for the mean of both ends of an interval (Lim, Zhu, Selfridge and Kasim,
ICLR 2024, section 3.2 and appendix A):

    y_{p+1} = exp(-Ḡ h) y_p + h φ₁(-Ḡ h) z̄,    φ₁(M) = M^{-1} (exp(M) - I),

of order 2. φ₁ is evaluated in full; the published code takes four terms of its series and is unstable from h|G| = 5 on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..._arrays.namespace import Array, quiet
from ..._functions.right_hand_side import RightHandSide
from ..._linalg.exponential import exponential
from ..core.polynomial import PiecewisePolynomial
from ..core.scale import Scale
from ..core.tableaux import Tableau
from . import hermite as _hermite
from .discretisation import Linear
from .exponential_tangents import exponential_tangents
from .one_step import StepMap
from .tangent_linear import TangentLinear

PARTS = 8
"""Number of parts of an interval at whose ends the linearised equation is compared with the right-hand side."""


@dataclass(frozen=True)
class DEER(StepMap):
    """The method, with cubics between the nodes."""

    @property
    def description(self) -> str:
        """The name."""
        return "DEER"

    @property
    def output(self) -> Tableau:
        """Cubics."""
        return _hermite.output()

    @property
    def order(self) -> int:
        """As published."""
        return 2

    @property
    def error_power(self) -> int:
        """The power of the local error."""
        return 3

    @property
    def is_superlinear(self) -> bool:
        """No: the iteration neglects the derivative of G."""
        return False

    @property
    def is_on_output(self) -> bool:
        """Yes, as published."""
        return True

    @property
    def matrices(self) -> int:
        """Jacobians, exponentials and φ₁."""
        return 4

    def linearise(self, rhs: RightHandSide, trial: PiecewisePolynomial) -> tuple[Array, Array]:
        """Exponentials as propagators: the linear part of the method itself."""
        X, Z = self._means(rhs, trial)
        with quiet():
            exponentials, phi = exponential(X)
            targets = exponentials @ trial.y[:-1, ..., None] + phi @ Z[..., None]
        return targets[..., 0], exponentials

    def _means(self, rhs: RightHandSide, trial: PiecewisePolynomial) -> tuple[Array, Array]:
        """Means of -G and z over both ends of the intervals, times h: `(N, *batch, n, n)` and `(N, *batch, n)`."""
        ends = trial.both_ends
        values, J = rhs.linearise(ends.t, ends.y)
        with quiet():
            z = values - (J @ ends.y[..., None])[..., 0]
            steps = trial.lengths
            mean_J, mean_z = ((part[ends.left, ...] + part[ends.right, ...]) / 2 for part in (J, z))
            return steps[..., None] * mean_J, steps * mean_z

    def assess(
        self, rhs: RightHandSide, trial: PiecewisePolynomial, linear: Linear, scale: Scale
    ) -> tuple[PiecewisePolynomial, Array]:
        """Errors by the defect of the cubics."""
        return _hermite.assess(rhs, trial, scale)

    def assess_nodes(self, rhs: RightHandSide, trial: PiecewisePolynomial, scale: Scale) -> Array | None:
        """Errors by the mean defect of the solution of the linearised equation over each interval.

        This is zero if the equation is linear with constant coefficients, even where the cubics are inaccurate.
        """
        xp = trial.xp
        X, Z = self._means(rhs, trial)
        with quiet():
            exponentials, phi = exponential(X / PARTS)
            offsets = phi @ (Z / PARTS)[..., None]
            columns = [trial.y[:-1, ..., None]]
            for _ in range(PARTS):
                columns.append(exponentials @ columns[-1] + offsets)
            states = xp.stack([column[..., 0] for column in columns], axis=1)
            times = xp.reshape(trial.times(np.arange(PARTS + 1) / PARTS), (-1,))
            values = xp.reshape(rhs(times, xp.reshape(states, (-1, *trial.y.shape[1:]))), states.shape)
            steps = trial.lengths[..., None]
            linear = xp.stack([(X @ column)[..., 0] + Z for column in columns], axis=1)
            missed = xp.tensordot(
                xp.asarray(_simpson(PARTS), dtype=states.dtype), steps * values - linear, axes=((0,), (1,))
            )
            return scale.relative((exponential(X)[1] @ missed[..., None])[..., 0], trial)

    def tangent_matrices(self, n: int) -> int:
        """Second derivatives, from Jacobians beside the nodes."""
        return 6 * n + 12

    def tangent_linear(self, rhs: RightHandSide, trial: PiecewisePolynomial, *, inside: bool) -> TangentLinear:
        """The derivative of the method's formula, which contains second derivatives of `fun`."""
        return exponential_tangents(rhs, trial, inside=inside)


def _simpson(parts: int) -> Array:
    """Weights of Simpson's rule on an even number of parts of [0, 1]."""
    weights = np.tile([2.0, 4.0], parts // 2 + 1)[: parts + 1]
    weights[[0, -1]] = 1.0
    return weights / (3 * parts)
