"""Singular values of stacked matrices: their mean size, and a bound on them."""

from __future__ import annotations

import math

from .._arrays.namespace import Array, array_namespace


def root_mean_square(matrices: Array) -> Array:
    """Root mean square of the singular values of matrices `(..., k, k)`, as `(..., 1, 1)`."""
    xp = array_namespace(matrices)
    largest = xp.max(xp.abs(matrices), axis=(-2, -1), keepdims=True)
    scaled = matrices / xp.where(largest > 0, largest, xp.ones_like(largest))  # squares may overflow
    return largest * xp.linalg.matrix_norm(scaled, keepdims=True) / math.sqrt(matrices.shape[-1])


def clip_singular_values(matrices: Array, bound: float) -> Array:
    """Matrices `(..., k, k)` with singular values above `bound` reduced to `bound`.

    Matrices that are not finite are returned unchanged.
    """
    xp = array_namespace(matrices)
    finite = xp.all(xp.isfinite(matrices), axis=(-2, -1), keepdims=True)
    left, values, right = xp.linalg.svd(xp.where(finite, matrices, xp.zeros_like(matrices)), full_matrices=False)
    excess = xp.maximum(values - bound, xp.zeros_like(values))  # subtracted: smaller values stay exact
    clipped = matrices - (left * xp.astype(excess, matrices.dtype)[..., None, :]) @ right
    return xp.where(xp.any(excess > 0, axis=-1)[..., None, None], clipped, matrices)
