"""Derivatives by parameters at stages that lie on breakpoints, where the right-hand side may have a kink.

A parameter may move the kink, as a delay moves those of a table. Differences with respect to this parameter then reach
across the kink and give the mean of both sides. Therefore the derivative at such a stage is extrapolated from the other
stages of its interval: the weight of the stage in the gradient becomes zero, and those of the others grow.
"""

from __future__ import annotations

from ..._arrays.namespace import Array
from ..core.polynomial import PiecewisePolynomial
from ..methods.collocation import Collocation
from ..methods.discretisation import Discretisation


def beside_breaks(method: Discretisation, solution: PiecewisePolynomial, adjoint: Array) -> Array:
    """Adjoint forcings `(N s, *batch, n)` of all stages, with zeros at stages on breakpoints.

    They stay as they are for explicit methods, which have stages at both ends of every interval: the errors on the two
    sides of a kink cancel.
    """
    if solution.breaks is None or not isinstance(method, Collocation) or not method.tableau.ends_with_a_stage:
        return adjoint
    if method.tableau.stages < 2:
        return adjoint
    xp, shape = solution.xp, (solution.intervals, method.tableau.stages, -1)
    stages = xp.reshape(adjoint, shape)
    kinked = xp.reshape(solution.mesh.at_breaks[1:], (-1, 1, 1))
    last = xp.where(kinked, stages[:, -1:, :], xp.zeros_like(stages[:, -1:, :]))
    weights = xp.reshape(xp.asarray(method.tableau.to_last, dtype=stages.dtype), (1, -1, 1))
    return xp.reshape(xp.concat([stages[:, :-1, :] + weights * last, stages[:, -1:, :] - last], axis=1), adjoint.shape)
