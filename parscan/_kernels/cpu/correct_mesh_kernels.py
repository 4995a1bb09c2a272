"""Compiled correction of a mesh: interval after interval, for the members of a batch one by one."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._arrays.namespace import Array
from .compilation import fused_kernel


@fused_kernel
def correct_node(
    P: Array, g: Array, b: Array, h: Any, y: Array, following: Array, K: Array, delta: Array, result: Array
) -> None:
    """Write to `result` the correction of a node from that of the node before it."""
    for a in range(y.shape[0]):
        total = y[a] + g[a] - following[a]
        for i in range(b.shape[0]):
            total += h * b[i] * K[i, a]
        for c in range(y.shape[0]):
            total += P[a, c] * delta[c]
        result[a] = total


@fused_kernel
def correct_stages(X0: Array, X1: Array, K: Array, delta: Array, result: Array, h: Any, bound: Array) -> Any:
    """Correct the stages of an interval; return the mean square of `h` times the corrections."""
    square = bound.dtype.type(0)
    for i in range(K.shape[0]):
        for a in range(K.shape[1]):
            change = X0[i, a]
            for c in range(K.shape[1]):
                change += X1[i, a, c] * delta[c]
            result[i, a] = K[i, a] + change
            if change != 0:  # where the bound is zero, no correction must count as zero
                square += (abs(h * change) / bound[a]) ** 2
    return square / (K.shape[0] * K.shape[1])


@fused_kernel
def correct_members(
    first: int,
    last: int,
    X0: Array,
    X1: Array,
    P: Array,
    g: Array,
    y: Array,
    K: Array,
    b: Array,
    h: Array,
    rtol: Array,
    atol: Array,
    corrected: Array,
    stages: Array,
    squares: Array,
) -> None:
    """Correct the members `first` to `last` of the batch, and raise `squares` to the largest of their corrections."""
    N, _, B, n = K.shape
    delta, after, bound = np.empty(n, y.dtype), np.empty(n, y.dtype), np.empty(n, atol.dtype)
    for q in range(first, last):
        delta[:] = 0
        for p in range(N):
            k = p * B + q
            correct_node(P[k], g[k], b, h[p], y[p, q], y[p + 1, q], K[p, :, q], delta, after)
            square = atol.dtype.type(0)
            for a in range(n):
                corrected[p + 1, q, a] = y[p + 1, q, a] + after[a]
                bound[a] = atol[a] + rtol[a] * max(abs(corrected[p, q, a]), abs(corrected[p + 1, q, a]))
                if after[a] != 0:
                    square += (abs(after[a]) / bound[a]) ** 2
            of_stages = correct_stages(X0[k], X1[k], K[p, :, q], delta, stages[p, :, q], h[p], bound)
            square = max(square / n, of_stages)
            if not square <= squares[p]:
                squares[p] = np.inf if np.isnan(square) else square
            delta[:] = after
