"""The filter that removes stiff components from errors, as far as a method damps them."""

from __future__ import annotations

from ..._arrays.elementwise import real
from ..._arrays.namespace import Array
from ..._linalg.solve import solve_each
from ..core.polynomial import PiecewisePolynomial


def filtered(missed: Array, trial: PiecewisePolynomial, jacobians: Array, share: float) -> Array:
    """Sizes of `(I - share h J)^{-1} missed`, for `missed` of shape `(N, *batch, n, places)`."""
    xp = trial.xp
    changes = trial.lengths[..., None] * jacobians
    matrices = xp.eye(trial.y.shape[-1], dtype=trial.y.dtype) - share * changes
    errors = xp.abs(solve_each(matrices, missed))
    # Where volumes grow, as near a pole, the filter would hide errors that the method does not damp.
    grows = xp.sum(real(xp, xp.linalg.diagonal(changes)), axis=-1)[..., None, None] > 0
    return xp.where(grows, xp.maximum(xp.abs(missed), errors), errors)
