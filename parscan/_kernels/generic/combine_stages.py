"""Weighted sums of stages at many times: of all stages at once, or of many numbers stage after stage."""

from __future__ import annotations

from ..._arrays.namespace import Array, array_namespace
from .legendre import legendre_series

FEW = 1 << 13
"""Numbers of all stages at all times up to which they are gathered at once: that takes fewer calls, but memory."""


def combine_stages(theta: Array, intervals: Array, coefficients: Array, K: Array) -> Array:
    """Sum them; see `dispatch.combine_stages`."""
    xp = array_namespace(K)
    weights = xp.astype(legendre_series(theta, coefficients), K.dtype, copy=False)
    s = coefficients.shape[1]
    if weights.size * K.shape[2] <= FEW:
        return xp.sum(weights[:, :, None] * xp.take(K, intervals, axis=0), axis=1)
    rows = xp.reshape(K, (K.shape[0] * s, K.shape[2]))
    return sum(weights[:, j, None] * xp.take(rows, intervals * s + j, axis=0) for j in range(s))
