"""The affine scan `h_t = A_t h_{t-1} + b_t`: one function, one implementation per array library."""

from __future__ import annotations

import sys
from importlib import import_module

from numpy import broadcast_shapes

from .._arrays.namespace import Array, array_namespace, library

_IMPLEMENTATIONS = {"numpy": "parscan._kernels.cpu.affine_scan", "cupy": "parscan._kernels.cuda.affine_scan"}
"""Module that scans the arrays of a library; every other library gets the generic loop. Imported on
first use, so that Numba is not loaded before it is needed."""


def is_loaded(x: Array) -> bool:
    """Whether the scans of the library of `x` are there, or would first have to be loaded."""
    return _IMPLEMENTATIONS.get(library(x), "parscan._kernels.dispatch") in sys.modules


def affine_scan(A: Array, b: Array, h0: Array | None = None, *, reverse: bool = False) -> Array:
    """
    Evaluate `h_t = A_t h_{t-1} + b_t` for all `t`.

    The operands are not checked: they are arrays of one library and one dtype (float32, float64, complex64
    or complex128). :func:`parscan.linear_recurrence` is the checked front door.

    Parameters
    ----------
    A : array, shape (T, *batch, n) or (T, *batch, n, n)
        Coefficients. With as many axes as `b`, they multiply elementwise; with one more, they are matrices.
        Axes of length 1 before the matrix broadcast.
    b : array, shape (T, *batch, n) or (T,)
        Offsets. Axes of length 1 broadcast.
    h0 : array or None
        State before the first step, broadcasting to one state. None is a zero start: the first coefficient
        is then not used at all.
    reverse : bool
        Run from the last step to the first, `h_t = A_t h_{t+1} + b_t`.

    Returns
    -------
    array, shape (T, *batch, n) or (T,)
        The states; it shares no memory with the operands.
    """
    scan = import_module(_IMPLEMENTATIONS.get(library(b), "parscan._kernels.generic.affine_scan"))
    return scan.affine_scan(A, b, h0, reverse=reverse)


def adjoint_scan(A: Array, g: Array) -> Array:
    """
    Evaluate the adjoint of an affine scan, `h_t = g_t + A_{t+1}ᴴ h_{t+1}`, for all `t`; `h_{T-1} = g_{T-1}`.

    Parameters
    ----------
    A : array, shape (T, *batch, n) or (T, *batch, n, n)
        Coefficients of the scan, as for :func:`affine_scan`; the first is not looked at.
    g : array, shape (T, *batch, n) or (T,)
        Gradients with respect to the states.

    Returns
    -------
    array, shape (T, *batch, n) or (T,)
        Gradients with respect to the offsets; it shares no memory with the operands.
    """
    scan = import_module(_IMPLEMENTATIONS.get(library(g), "parscan._kernels.generic.affine_scan"))
    return getattr(scan, "adjoint_scan", adjoint_by_scan)(A, g)


def adjoint_by_scan(A: Array, g: Array) -> Array:
    """Adjoint by the scan of the array library, with the coefficients written out."""
    xp = array_namespace(g)
    shape = broadcast_shapes(A.shape[: g.ndim], g.shape)
    g = xp.broadcast_to(g, shape)
    if shape[0] == 0:
        return xp.empty_like(g)
    later = A[1:, ...] if A.shape[0] > 1 else xp.broadcast_to(A, (shape[0] - 1, *A.shape[1:]))
    later = xp.matrix_transpose(later) if A.ndim > g.ndim else later
    later = xp.conj(later) if xp.isdtype(later.dtype, "complex floating") else later
    return xp.concat([affine_scan(later, g[:-1, ...], g[-1, ...], reverse=True), g[-1:, ...]])
