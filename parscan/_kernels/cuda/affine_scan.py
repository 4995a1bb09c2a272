"""The affine scan on CUDA devices: brings the operands into shape."""

from __future__ import annotations

import math
from dataclasses import replace

import array_api_compat
import numpy as np

from ..._arrays.namespace import Array, array_namespace, contiguous, dtype_name
from ..dispatch import adjoint_by_scan
from ..generic import affine_tree
from .choice import is_covered
from .operand import operand
from .phases import Recurrence, evaluate


def affine_scan(A: Array, b: Array, h0: Array | None = None, *, reverse: bool = False) -> Array:
    """Evaluate `h_t = A_t h_{t-1} + b_t`; see :func:`parscan._kernels.dispatch.affine_scan`."""
    shape = np.broadcast_shapes(A.shape[: b.ndim], b.shape)
    if A.ndim > b.ndim and not is_covered(dtype_name(b.dtype), shape[-1]):
        return affine_tree.affine_scan(A, b, h0, reverse=reverse)
    recurrence = _recurrence(A, b, h0, shape)
    return _evaluated(recurrence.backwards() if reverse else recurrence, shape, A.ndim > b.ndim, reverse=reverse)


def adjoint_scan(A: Array, g: Array) -> Array:
    """Evaluate `h_t = A_{t+1}ᴴ h_{t+1} + g_t`; see :func:`parscan._kernels.dispatch.adjoint_scan`."""
    shape = np.broadcast_shapes(A.shape[: g.ndim], g.shape)
    dense = A.ndim > g.ndim
    if dense and not is_covered(dtype_name(g.dtype), shape[-1]):
        return adjoint_by_scan(A, g)
    recurrence = _recurrence(A, g, None, shape).backwards()
    # The first step evaluated has no coefficient: that it would stand behind the last one does not matter.
    coefficients = recurrence.A.later(-1).transposed()
    conjugate = dtype_name(g.dtype).startswith("complex")
    return _evaluated(replace(recurrence, A=coefficients, conjugate=conjugate), shape, dense, reverse=True)


def _recurrence(A: Array, b: Array, h0: Array | None, shape: tuple[int, ...]) -> Recurrence:
    """The recurrence of checked operands, whose states are of this shape together."""
    xp = array_namespace(b)
    dense = A.ndim > b.ndim
    n = shape[-1] if dense else 1
    sequences = math.prod(shape[1:]) // max(n, 1)
    coefficients = operand(A, (*shape, n), 2) if dense else operand(A[..., None, None], (*shape, 1, 1), 2)
    offsets = operand(b, shape, 1) if dense else operand(b[..., None], (*shape, 1), 1)
    if h0 is None:
        start = xp.zeros(sequences * n, dtype=b.dtype, device=array_api_compat.device(b))
    else:
        start = contiguous(xp.reshape(xp.broadcast_to(h0, shape[1:]), (-1,)))
    return Recurrence(coefficients, offsets, start, h0 is not None, shape[0], sequences, n)


def _evaluated(recurrence: Recurrence, shape: tuple[int, ...], dense: bool, *, reverse: bool) -> Array:
    """The states, in the order of time."""
    xp = array_namespace(recurrence.start)
    out = xp.empty(shape, dtype=recurrence.start.dtype, device=array_api_compat.device(recurrence.start))
    if out.size:
        states = operand(out, shape, 1) if dense else operand(out[..., None], (*shape, 1), 1)
        evaluate(recurrence, states.backwards(shape[0]) if reverse else states)
    return out
