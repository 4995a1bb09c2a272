"""The affine scan on CUDA devices: converts the operands for the kernels."""

from __future__ import annotations

import math

import array_api_compat
import numpy as np

from ..._arrays.namespace import Array, array_namespace, contiguous, dtype_name
from ..generic import affine_tree
from .choice import is_covered, needs_whole_matrices
from .operand import operand, whole_matrices
from .phases import evaluate
from .recurrence import Recurrence


def affine_scan(A: Array, b: Array, h0: Array | None = None, *, reverse: bool = False) -> Array:
    """Evaluate `h_t = A_t h_{t-1} + b_t`; see :func:`parscan._kernels.dispatch.affine_scan`."""
    shape = np.broadcast_shapes(A.shape[: b.ndim], b.shape)
    if A.ndim > b.ndim and not is_covered(dtype_name(b.dtype), shape[-1], math.prod(shape[1:-1])):
        return affine_tree.affine_scan(A, b, h0, reverse=reverse)
    xp, device = array_namespace(b), array_api_compat.device(b)
    out = states = xp.empty(shape, dtype=b.dtype, device=device)
    if out.size == 0:
        return out
    if h0 is None:
        start = xp.zeros(math.prod(shape[1:]), dtype=b.dtype, device=device)
    else:
        start = contiguous(xp.reshape(xp.broadcast_to(h0, shape[1:]), (-1,)))
    if A.ndim == b.ndim:  # elementwise: matrices of order 1
        A, b, states = A[..., None, None], b[..., None], out[..., None]
    length, *batch, n = states.shape
    if needs_whole_matrices(dtype_name(b.dtype), n, math.prod(batch), length):
        A = whole_matrices(A, n)
    coefficients, offsets = operand(A, (length, *batch, n, n), 2), operand(b, states.shape, 1)
    recurrence = Recurrence(coefficients, offsets, start, h0 is not None, length, math.prod(batch), n)
    result = operand(states, states.shape, 1)
    if reverse:
        recurrence, result = recurrence.backwards(), result.backwards(length)
    evaluate(recurrence, result)
    return out
