"""Weighted sums of stages on NumPy arrays, by a compiled kernel."""

from __future__ import annotations

import numpy as np

from ..._arrays.namespace import Array
from .compilation import fused_kernel
from .operand import operand


def combine_stages(theta: Array, intervals: Array, coefficients: Array, K: Array) -> Array:
    """Sum stages at many times; see `dispatch.combine_stages`."""
    result = np.empty((theta.shape[0], K.shape[2]), K.dtype)
    combine_rows(
        operand(theta, np.dtype(np.float64)),
        operand(intervals, np.dtype(np.intp)),
        operand(coefficients),
        operand(K),
        result,
    )
    return result


@fused_kernel
def combine_rows(theta: Array, intervals: Array, coefficients: Array, K: Array, result: Array) -> None:
    """Compute the result row by row; the weights are computed in double precision."""
    degrees, s = coefficients.shape
    values, weights = np.empty(degrees), np.empty(s)
    for row in range(theta.shape[0]):
        x, p = 2 * theta[row] - 1, intervals[row]
        values[0] = 1.0
        if degrees > 1:
            values[1] = x
        for k in range(1, degrees - 1):
            values[k + 1] = ((2 * k + 1) * x * values[k] - k * values[k - 1]) / (k + 1)
        for j in range(s):
            total = 0.0
            for k in range(degrees):
                total += values[k] * coefficients[k, j]
            weights[j] = total
        for f in range(K.shape[2]):
            number = K[p, 0, f] * weights[0]
            for j in range(1, s):
                number += K[p, j, f] * weights[j]
            result[row, f] = number
