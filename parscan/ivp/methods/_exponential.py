"""DEER for differential equations, as published: the linearised equation is solved exactly between two nodes.

With `G = -∂f/∂y` and `z = f + G y`, and bars for the mean of both ends of an interval (Lim, Zhu, Selfridge and Kasim,
ICLR 2024, section 3.2 and appendix A):

    y_{p+1} = exp(-Ḡ h) y_p + h φ₁(-Ḡ h) z̄,    φ₁(M) = M^{-1} (exp(M) - I),

of order 2. φ₁ is evaluated as it is; the four terms of its series in the published code lose stability from h|G| = 5.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..._arrays import Array, array_namespace, quiet
from .._function import RightHandSide
from .._trial import Scale, Trial
from . import _hermite
from ._discretisation import Linear
from ._exponential_tangents import exponential_tangents
from ._phi import exponential
from ._step_map import StepMap
from ._tableaux import Tableau
from ._tangent_linear import TangentLinear


@dataclass(frozen=True)
class DEER(StepMap):
    """The method, with cubics between the nodes."""

    @property
    def description(self) -> str:
        """Its name."""
        return "DEER"

    @property
    def output(self) -> Tableau:
        """Cubics."""
        return _hermite.output()

    @property
    def error_power(self) -> int:
        """Of its local error."""
        return 3

    @property
    def is_superlinear(self) -> bool:
        """What depends on G is taken for constant."""
        return False

    @property
    def is_on_output(self) -> bool:
        """As published."""
        return True

    @property
    def matrices(self) -> int:
        """Jacobians and what is made of them."""
        return 4

    def linearise(self, rhs: RightHandSide, trial: Trial) -> tuple[Array, Array]:
        """Exponentials as propagators: what the method itself takes for linear."""
        xp = array_namespace(trial.y)
        ends = trial.both_ends
        values, J = rhs.linearise(ends.t, ends.y)
        with quiet():
            z = values - (J @ ends.y[..., None])[..., 0]
            steps = xp.reshape(trial.steps, (-1, *(1,) * (trial.y.ndim - 1)))
            mean_J, mean_z = ((part[ends.left, ...] + part[ends.right, ...]) / 2 for part in (J, z))
            exponentials, phi = exponential(steps[..., None] * mean_J)
            targets = exponentials @ trial.y[:-1, ..., None] + phi @ (steps * mean_z)[..., None]
        return targets[..., 0], exponentials

    def assess(self, rhs: RightHandSide, trial: Trial, linear: Linear, scale: Scale) -> tuple[Trial, Array]:
        """By what the cubics miss."""
        return _hermite.assess(rhs, trial, scale)

    def tangent_matrices(self, n: int) -> int:
        """Second derivatives, from Jacobians beside the nodes."""
        return 6 * n + 12

    def tangent_linear(self, rhs: RightHandSide, trial: Trial, *, inside: bool) -> TangentLinear:
        """The derivative of the formula, which takes second derivatives of `fun`."""
        return exponential_tangents(rhs, trial, inside=inside)
