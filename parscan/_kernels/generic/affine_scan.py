"""The affine scan as a plain loop: the oracle against which every kernel is tested."""

from __future__ import annotations

import array_api_compat
import numpy as np

from ..._arrays.elementwise import broadcast
from ..._arrays.namespace import Array, array_namespace, quiet


def affine_scan(A: Array, b: Array, h0: Array | None = None, *, reverse: bool = False) -> Array:
    """Evaluate `h_t = A_t h_{t-1} + b_t` step by step; see `dispatch.affine_scan`."""
    xp = array_namespace(b)
    shape = b.shape
    if A.shape[: b.ndim] != shape:
        shape = np.broadcast_shapes(A.shape[: b.ndim], shape)
        A, b = broadcast(xp, A, shape + A.shape[b.ndim :]), broadcast(xp, b, shape)
    h = None if h0 is None else broadcast(xp, h0, shape[1:])
    states = []
    with quiet():
        for t in reversed(range(shape[0])) if reverse else range(shape[0]):
            h = b[t, ...] if h is None else product(A[t, ...], h) + b[t, ...]
            states.append(h)
    if reverse:
        states.reverse()
    return xp.stack(states) if states else xp.zeros(shape, dtype=b.dtype, device=array_api_compat.device(b))


def product(A: Array, h: Array) -> Array:
    """Product of coefficients and states: with matrices if they have one axis more than the states."""
    return (A @ h[..., None])[..., 0] if A.ndim > h.ndim else A * h
