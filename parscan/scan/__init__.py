"""The affine scan `h_t = A_t h_{t-1} + b_t`: one function, one implementation per array library."""

from __future__ import annotations

import sys
from importlib import import_module

from .._arrays import Array, library

_IMPLEMENTATIONS = {"numpy": "parscan.scan.cpu"}
"""Module that scans the arrays of a library; every other library gets the generic loop. Imported on
first use, so that Numba is not loaded before it is needed."""


def is_loaded(x: Array) -> bool:
    """Whether the scans of the library of `x` are there, or would first have to be loaded."""
    return _IMPLEMENTATIONS.get(library(x), "parscan.scan") in sys.modules


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
    scan = import_module(_IMPLEMENTATIONS.get(library(b), "parscan.scan.sequential"))
    return scan.affine_scan(A, b, h0, reverse=reverse)
