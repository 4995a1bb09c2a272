"""The affine scan as a tree of matrix products: for devices, and matrices too large for any kernel."""

from __future__ import annotations

import numpy as np

from ..._arrays.namespace import Array, all_finite, array_namespace, quiet
from . import affine_scan as sequential
from .associative_scan import Elements, associative_scan


def affine_scan(A: Array, b: Array, h0: Array | None = None, *, reverse: bool = False) -> Array:
    """
    Evaluate `h_t = A_t h_{t-1} + b_t` for matrices; see `dispatch.affine_scan`.

    About `2 T` products of matrices are formed in `2 log2(T)` calls. The products may overflow although the states do
    not: if the result is not finite, it is computed again by the loop.
    """
    xp = array_namespace(b)
    shape = np.broadcast_shapes(A.shape[: b.ndim], b.shape)
    matrices = xp.broadcast_to(A, shape + A.shape[b.ndim :])
    vectors = xp.broadcast_to(b, shape)
    if shape[0] < 2:
        return sequential.affine_scan(A, b, h0, reverse=reverse)
    if reverse:
        matrices, vectors = xp.flip(matrices, axis=0), xp.flip(vectors, axis=0)
    with quiet():
        head = sequential.affine_scan(matrices[:1, ...], vectors[:1, ...], h0)
        products, sums = associative_scan(_after, (matrices[1:, ...], vectors[1:, ..., None]))
        states = xp.concat([head, (products @ head[..., None] + sums)[..., 0]])
    if not all_finite(states):
        return sequential.affine_scan(A, b, h0, reverse=reverse)
    return xp.flip(states, axis=0) if reverse else states


def _after(earlier: Elements, later: Elements) -> Elements:
    """Composition of affine maps."""
    return later[0] @ earlier[0], later[0] @ earlier[1] + later[1]
