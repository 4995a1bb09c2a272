"""Derivatives by parameters at stages that lie on breakpoints, where the right-hand side may have a kink.

A parameter may move the kink, as a delay moves those of a table. Differences by it reach over the kink then, and give
the mean of both sides. So the derivative at such a stage is that of the other stages of its interval, extrapolated:
their shares of the gradient become larger, and that of the stage zero.
"""

from __future__ import annotations

from ..._arrays.namespace import Array, array_namespace
from ..._functions.breaks import are_breaks
from ..core.polynomial import PiecewisePolynomial
from ..methods.collocation import Collocation
from ..methods.discretisation import Discretisation


def beside_breaks(method: Discretisation, trial: PiecewisePolynomial, adjoint: Array) -> Array:
    """Adjoint forcings `(N s, *batch, n)` of all stages, with none at stages on breakpoints.

    Explicit methods, which take both ends of every interval, are left as they are: what is wrong of the two sides of a
    kink cancels.
    """
    if trial.breaks is None or not isinstance(method, Collocation) or not method.tableau.ends_with_a_stage:
        return adjoint
    if method.tableau.stages < 2:
        return adjoint
    xp, shape = array_namespace(adjoint), (trial.intervals, method.tableau.stages, -1)
    stages = xp.reshape(adjoint, shape)
    kinked = xp.reshape(are_breaks(trial.t[1:], trial.breaks), (-1, 1, 1))
    last = xp.where(kinked, stages[:, -1:, :], xp.zeros_like(stages[:, -1:, :]))
    weights = xp.reshape(xp.asarray(method.tableau.to_last, dtype=stages.dtype), (1, -1, 1))
    return xp.reshape(xp.concat([stages[:, :-1, :] + weights * last, stages[:, -1:, :] - last], axis=1), adjoint.shape)
