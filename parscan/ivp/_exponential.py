"""DEER for differential equations, as published: the linearised equation is solved exactly between two nodes.

With `G = -∂f/∂y` and `z = f + G y`, and bars for the mean of both ends of an interval (Lim, Zhu, Selfridge and Kasim,
ICLR 2024, section 3.2 and appendix A):

    y_{p+1} = exp(-Ḡ h) y_p + h φ₁(-Ḡ h) z̄,    φ₁(M) = M^{-1} (exp(M) - I),

of order 2. φ₁ is evaluated as it is; the four terms of its series in the published code lose stability from h|G| = 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial

from .._arrays import Array, array_namespace, quiet
from ..scan.condense import solve_each
from . import _hermite
from ._discretisation import Linear
from ._function import RightHandSide
from ._step_map import StepMap
from ._tableaux import Tableau
from ._trial import Scale, Trial

DEGREE = 6
"""Of numerator and denominator of the rational approximation to the exponential; with norms up to `LARGEST`, its error
is that of rounding."""

LARGEST = 0.5

MOST_SQUARINGS = 100
"""Norms beyond 2^100 are no numbers that a mesh can be made for."""


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
    def matrices(self) -> int:
        """Jacobians and what is made of them."""
        return 4

    def linearise(self, rhs: RightHandSide, trial: Trial) -> tuple[Array, Array]:
        """Exponentials as propagators: what the method itself takes for linear."""
        xp = array_namespace(trial.y)
        values, J = rhs.linearise(trial.t, trial.y)
        with quiet():
            z = values - (J @ trial.y[..., None])[..., 0]
            steps = xp.reshape(trial.steps, (-1, *(1,) * (trial.y.ndim - 1)))
            mean_J, mean_z = (J[:-1, ...] + J[1:, ...]) / 2, (z[:-1, ...] + z[1:, ...]) / 2
            exponentials, phi = exponential(steps[..., None] * mean_J)
            targets = exponentials @ trial.y[:-1, ..., None] + phi @ (steps * mean_z)[..., None]
        return targets[..., 0], exponentials

    def assess(self, rhs: RightHandSide, trial: Trial, linear: Linear, scale: Scale) -> tuple[Trial, Array]:
        """By what the cubics miss."""
        return _hermite.assess(rhs, trial, scale)


def exponential(M: Array) -> tuple[Array, Array]:
    """exp(M) and φ₁(M) of the matrices `(..., n, n)`, by scaling and squaring a diagonal Padé approximant.

    Higham, "Functions of Matrices", SIAM 2008, chapter 10; `φ₁(2M) = (exp(M) + I) φ₁(M) / 2`.
    """
    xp = array_namespace(M)
    norm = xp.max(xp.sum(xp.abs(M), axis=-1), axis=-1)
    ratio = xp.where(xp.isfinite(norm), norm, xp.zeros_like(norm)) / LARGEST
    count = xp.clip(xp.ceil(xp.log2(xp.where(ratio > 1, ratio, xp.ones_like(ratio)))), 0, MOST_SQUARINGS)
    M = M * xp.astype(2.0**-count, M.dtype)[..., None, None]
    eye = xp.eye(M.shape[-1], dtype=M.dtype)
    c = [
        factorial(DEGREE) * factorial(2 * DEGREE - k) / factorial(2 * DEGREE) / factorial(k) / factorial(DEGREE - k)
        for k in range(DEGREE + 1)
    ]
    square, power = M @ M, eye
    even, odd = c[0] * eye, c[1] * eye
    for k in range(2, DEGREE + 1, 2):
        power = power @ square
        even = even + c[k] * power
        odd = odd + c[k + 1] * power if k < DEGREE else odd
    odd_part = M @ odd
    solved = solve_each(even - odd_part, xp.concat([even + odd_part, 2 * odd], axis=-1), xp)
    n = M.shape[-1]
    result, phi = solved[..., :n], solved[..., n:]
    for done in range(int(xp.max(count)) if count.size else 0):
        more = (count > done)[..., None, None]
        phi = xp.where(more, (result + eye) @ phi / 2, phi)
        result = xp.where(more, result @ result, result)
    return result, phi
