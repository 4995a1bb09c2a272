"""Weighted sums of stages at many times, stage after stage."""

from __future__ import annotations

from ..._arrays.namespace import Array, array_namespace
from .legendre import legendre_series


def combine_stages(theta: Array, intervals: Array, coefficients: Array, K: Array) -> Array:
    """Sum stage after stage; see `dispatch.combine_stages`."""
    xp = array_namespace(K)
    weights = xp.astype(legendre_series(theta, coefficients), K.dtype, copy=False)
    s = coefficients.shape[1]
    rows = xp.reshape(K, (K.shape[0] * s, K.shape[2]))
    return sum(weights[:, j, None] * xp.take(rows, intervals * s + j, axis=0) for j in range(s))
