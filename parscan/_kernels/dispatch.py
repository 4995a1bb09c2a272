"""Operations on arrays, one function each, and the table of their implementations for each array library."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from math import prod
from typing import Any, NamedTuple

from .._arrays.namespace import Array, library
from .loading import Account

GENERIC = "generic"
"""Folder of the implementations in the array-API standard, for every library that the table does not name."""

CPU = "cpu"
"""Folder of the kernels that Numba compiles for NumPy arrays."""

IMPLEMENTATIONS: dict[str, dict[str, str]] = {
    "affine_scan": {"numpy": CPU, "cupy": "cuda"},
    "condense": {"numpy": CPU, "cupy": "cuda"},
    "correct_mesh": {"numpy": CPU, "cupy": GENERIC},  # no CUDA kernel yet
    "combine_stages": {"numpy": CPU, "cupy": GENERIC},  # no CUDA kernel yet
}
"""
For each operation, the folder of its implementation for the arrays of a library. The module and the function there have
the name of the operation. Modules are imported on first use. Numba takes long to load; until loading pays, the generic
implementation is used.
"""

account = Account()
"""Decides when the kernels of the CPU are loaded."""


class Condensed(NamedTuple):
    """
    Stages and right end of each interval as affine functions of its left end.

    `δK = X0 + X1 δ_left` and `δ_right = offsets + propagators δ_left`.
    """

    X0: Array
    """Stages at `δ_left = 0`, (N, s, n)."""

    X1: Array
    """Derivatives of the stages, (N, s, n, n)."""

    propagators: Array
    """`I + h sum_i b_i X1_i`, (N, n, n)."""

    offsets: Array
    """`h sum_i b_i X0_i`, (N, n)."""


class CorrectedMesh(NamedTuple):
    """A corrected trajectory, and the sizes of the corrections of each interval."""

    y: Array
    """States at the nodes, (N + 1, B, n)."""

    K: Array
    """Stage derivatives, (N, s, B, n)."""

    sizes: Array
    """Largest root mean square over components, of the state's and of `h` times the stages' correction, (N,)."""


def affine_scan(A: Array, b: Array, h0: Array | None = None, *, reverse: bool = False) -> Array:
    """
    Evaluate `h_t = A_t h_{t-1} + b_t` for all `t`.

    The operands are not checked: they are arrays of one library and one dtype (float32, float64, complex64
    or complex128). :func:`parscan.linear_recurrence` checks its arguments.

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
    shape = [max(lengths) for lengths in zip(A.shape, b.shape, strict=False)]
    return _implementation("affine_scan", b, 2.1e-6 * shape[0] + 1e-8 * prod(shape))(A, b, h0, reverse=reverse)


def condense(J: Array, A: Array, b: Array, h: Array, r: Array) -> Condensed:
    """
    Condense the stages of every collocation interval into an affine function of the state at its left end.

    The correction of the stages, `δK_i - h J_i sum_j a_ij δK_j = r_i + J_i δ_left`, is solved for any `δ_left` by one
    linear system per interval with n + 1 right-hand sides. An affine recurrence over the nodes of the mesh remains.

    Nothing is checked: J, h and r are arrays of one library and precision. An interval whose system is singular, or
    whose numbers are not finite, gets NaN or infinite results; the other intervals are not affected.

    Parameters
    ----------
    J : array, shape (N, s, n, n)
        Jacobians at the stages; float32, float64, complex64 or complex128.
    A, b : NumPy array, shapes (s, s) and (s,)
        Coefficients of the method, float64.
    h : array, shape (N,)
        Lengths of the intervals.
    r : array, shape (N, s, n)
        Residuals `F_i - K_i` of the stages.
    """
    return _implementation("condense", J, 1.5e-8 * r.size * r.shape[1] * r.shape[2])(J, A, b, h, r)


def correct_mesh(
    condensed: Condensed, b: Array, h: Array, y: Array, K: Array, rtol: float | Array, atol: Array
) -> CorrectedMesh:
    """
    Correct the states and stages of a whole mesh of intervals that have been condensed.

    From the first node, which is known, corrections are propagated from interval to interval; the correction of every
    stage follows from that of the left end of its interval.

    Nothing is checked. Sizes are in units of `atol + rtol max(|y_p|, |y_{p+1}|)`, infinite where they are not numbers.

    Parameters
    ----------
    condensed : Condensed
        Of all intervals of all members of the batch: member q of interval p is at `p * B + q`.
    b : NumPy array, shape (s,)
        Weights of the method, float64.
    h : array, shape (N,)
        Lengths of the intervals.
    y : array, shape (N + 1, B, n)
        States at the nodes; the first is not corrected.
    K : array, shape (N, s, B, n)
        Stage derivatives.
    rtol, atol : float or array, shape (n,), and array, shape () or (n,)
        Tolerances of the precision of `h`.
    """
    return _implementation("correct_mesh", y, 1e-4 + 1e-8 * K.size)(condensed, b, h, y, K, rtol, atol)


def combine_stages(theta: Array, intervals: Array, coefficients: Array, K: Array) -> Array:
    """
    Sum the stages of intervals, `Σ_j w_j(θ) K[p, j]`, with the weights `w_j(θ) = Σ_k P_k(2θ - 1) C[k, j]`.

    Nothing is checked.

    Parameters
    ----------
    theta : array, shape (m,)
        Times as fractions of their intervals, in [0, 1] or beyond.
    intervals : array, shape (m,)
        The interval p of each time.
    coefficients : NumPy array, shape (s, s)
        C, the Legendre coefficients of the weights, float64.
    K : array, shape (N, s, F)
        Stages of the intervals; float32, float64, complex64 or complex128.

    Returns
    -------
    array, shape (m, F)
        In the precision of K.
    """
    return _implementation("combine_stages", K, 3e-5 + 1e-8 * theta.shape[0] * K.shape[1] * K.shape[2])(
        theta, intervals, coefficients, K
    )


def is_loaded(x: Array) -> bool:
    """Whether the affine scan for the library of `x` is ready, or a module of kernels would first be imported."""
    folder = IMPLEMENTATIONS["affine_scan"].get(library(x), GENERIC)
    return folder == GENERIC or _module("affine_scan", folder) in sys.modules


def _implementation(operation: str, x: Array, gain: float) -> Any:
    """
    Function that implements an operation for the library of `x`.

    `gain` is the estimated time, in seconds, that a kernel of the CPU would save in this call.
    """
    folder = IMPLEMENTATIONS[operation].get(library(x), GENERIC)
    return _function(operation, GENERIC if folder == CPU and not account.pays(gain) else folder)


@cache
def _function(operation: str, folder: str) -> Any:
    """Function that implements an operation in a folder."""
    return getattr(import_module(_module(operation, folder)), operation)


def _module(operation: str, folder: str) -> str:
    """Name of the module that implements an operation in a folder."""
    return f"{__package__}.{folder}.{operation}"
