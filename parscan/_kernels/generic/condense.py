"""Condensing of collocation: the stages of every interval as an affine function of the state at its left end.

The correction of the stages, `δK_i - h J_i sum_j a_ij δK_j = r_i + J_i δ_left`, is solved for any `δ_left` by one
linear system per interval with n + 1 right-hand sides. What remains is an affine recurrence over the nodes of the mesh.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import NamedTuple

import array_api_compat
import numpy as np

from ..._arrays.namespace import Array, Namespace, array_namespace, dtype_name, itemsize, library, quiet

_IMPLEMENTATIONS = {"numpy": "parscan._kernels.cpu.condense", "cupy": "parscan._kernels.cuda.condense"}
"""Module that condenses the arrays of a library; imported on first use, as the scans are."""

CHUNK_BYTES = 1 << 20
"""
Size of the systems assembled at once: what the cache of a processor holds. Their assembly and solution take about five
times as much memory.
"""


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


def condense(J: Array, A: Array, b: Array, h: Array, r: Array) -> Condensed:
    """
    Condense the stages of every interval.

    Nothing is checked: J, h and r are arrays of one library and precision. An interval whose system is singular, or
    whose numbers are not finite, gets NaN or infinite results; the others are not touched by it.

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
    module = _IMPLEMENTATIONS.get(library(J))
    return (import_module(module).condense if module else condense_by_solve)(J, A, b, h, r)


def condense_frozen(J: Array, A: Array, b: Array, h: Array, r: Array) -> Condensed:
    """
    Condense the stages of every interval, with one Jacobian for all stages of an interval.

    `A = T D T^-1` with blocks of order 1 and 2 on the diagonal of D, one for each real eigenvalue and each pair. In the
    variables `T^-1 δK` the stages fall apart into methods of one and two stages, which :func:`condense` solves.

    Measured to be faster than :func:`condense` from `s n` = 40 for five stages or more, 60 for three, and never below.
    T costs accuracy: the error is 10, 100, 1000 and 1e5 units of rounding for 3, 5, 7 and 9 stages.

    Parameters
    ----------
    J : array, shape (N, n, n)
        Jacobians of the intervals.
    A, b, h, r
        As for :func:`condense`. The eigenvalues of A must be distinct and no eigenvector may be orthogonal to a vector
        of ones; so it is for Radau IIA and Gauss with any number of stages.
    """
    xp = array_namespace(J, r)
    N, s, n = r.shape
    T, inverse, blocks = _block_diagonal(tuple(map(tuple, A.tolist())))
    with quiet():
        mixed = like(inverse, r, xp) @ r
        parts = []
        for first, block in blocks:
            k = len(block)
            stages = xp.broadcast_to(J[:, None, :, :], (N, k, n, n))
            parts.append(condense(stages, block, np.zeros(k), h, mixed[:, first : first + k, :]))
        T = like(T, r, xp)
        X0 = T @ xp.concat([part.X0 for part in parts], axis=1)
        X1 = T @ xp.reshape(xp.concat([part.X1 for part in parts], axis=1), (N, s, n * n))
    return _propagated(X0, xp.reshape(X1, (N, s, n, n)), b, h)


def condense_by_solve(J: Array, A: Array, b: Array, h: Array, r: Array, chunk_bytes: int | None = None) -> Condensed:
    """Condense by the solver of the array library, :data:`CHUNK_BYTES` or so many at once; see :func:`condense`."""
    xp = array_namespace(J, r)
    X0, X1 = xp.empty_like(r), xp.empty_like(J)
    for part in _chunks(r.shape, r.shape[-1] + 1, r, chunk_bytes):
        X = _solve(J[part, ...], A, h[part], xp.concat([r[part, ..., None], J[part, ...]], axis=-1))
        X0[part, ...], X1[part, ...] = X[..., 0], X[..., 1:]
    return _propagated(X0, X1, b, h)


def solve_stages(J: Array, A: Array, h: Array, sides: Array) -> Array:
    """
    Solve `X_i - h J_i sum_j a_ij X_j = sides_i` for the stages of every interval, with many right-hand sides.

    Nothing is checked; singular systems give NaN, as for :func:`condense`.

    Parameters
    ----------
    J, A, h
        As for :func:`condense`.
    sides : array, shape (N, s, n, k)
        Right-hand sides.
    """
    X = array_namespace(J, sides).empty_like(sides)
    for part in _chunks(sides.shape[:-1], sides.shape[-1], sides):
        X[part, ...] = _solve(J[part, ...], A, h[part], sides[part, ...])
    return X


def _chunks(shape: tuple[int, ...], columns: int, x: Array, chunk_bytes: int | None = None) -> Iterator[slice]:
    """Intervals whose systems are assembled at once, for stages of the shape (N, s, n) and numbers as in x."""
    N, s, n = shape
    m = s * n
    chunk = max(1, (chunk_bytes or CHUNK_BYTES) // max(1, m * (m + columns) * itemsize(x.dtype)))
    return (slice(first, min(first + chunk, N)) for first in range(0, N, chunk))


def _solve(J: Array, A: Array, h: Array, sides: Array) -> Array:
    """Assemble the systems of some intervals and solve them."""
    xp = array_namespace(J, sides)
    N, s, n, k = sides.shape
    m = s * n
    with quiet():
        hJ = xp.astype(h, sides.dtype)[:, None, None, None] * J
        products = xp.reshape(like(A, sides, xp)[:, None, :, None] * hJ[:, :, :, None, :], (N, m, m))
        matrices = xp.eye(m, dtype=sides.dtype, device=array_api_compat.device(sides)) - products
        return xp.reshape(solve_each(matrices, xp.reshape(sides, (N, m, k)), xp), (N, s, n, k))


def solve_each(matrices: Array, sides: Array, xp: Namespace) -> Array:
    """Solutions of the systems, NaN for singular ones: libraries refuse all if one is, so those are searched for."""
    try:
        return xp.linalg.solve(matrices, sides)
    except np.linalg.LinAlgError:
        if matrices.shape[0] == 1:
            return xp.full_like(sides, xp.nan)
        half = matrices.shape[0] // 2
        return xp.concat(
            [
                solve_each(matrices[part, ...], sides[part, ...], xp)
                for part in (slice(0, half), slice(half, matrices.shape[0]))
            ]
        )


def _propagated(X0: Array, X1: Array, b: Array, h: Array) -> Condensed:
    """The stages, and what they make of the state at the right end."""
    xp = array_namespace(X0)
    N, s, n = X0.shape
    with quiet():
        weights = xp.astype(h, X0.dtype)[:, None, None] * like(b, X0, xp)
        offsets = (weights @ X0)[:, 0, :]
        sums = xp.reshape(weights @ xp.reshape(X1, (N, s, n * n)), (N, n, n))
        identity = xp.eye(n, dtype=X0.dtype, device=array_api_compat.device(X0))
        return Condensed(X0, X1, sums + identity, offsets)


def like(coefficients: Array, x: Array, xp: Namespace) -> Array:
    """Coefficients of a method as an array like `x`."""
    return xp.asarray(np.asarray(coefficients, dtype=dtype_name(x.dtype)), device=array_api_compat.device(x))


@cache
def _block_diagonal(rows: tuple[tuple[float, ...], ...]) -> tuple[Array, Array, list[tuple[int, Array]]]:
    """
    T, its inverse, and where each block of `T^-1 A T` starts, with the block.

    The columns of T are scaled so that they sum to a vector of ones: every block then sees `J δ_left` as it is.
    """
    A = np.asarray(rows)
    values, vectors = np.linalg.eig(A)
    vectors = vectors * np.linalg.solve(vectors, np.ones(len(A)))
    columns: list[Array] = []
    blocks: list[tuple[int, Array]] = []
    for value, vector in zip(values, vectors.T, strict=True):
        a, b = value.real, value.imag
        if b == 0:
            blocks.append((len(columns), np.array([[a]])))
            columns.append(vector.real)
        elif b > 0:
            # v and its conjugate sum to 2 Re(v), and so do the real and the imaginary part of (1 + i) v.
            blocks.append((len(columns), np.array([[a, b], [-b, a]])))
            columns += [((1 + 1j) * vector).real, ((1 + 1j) * vector).imag]
    T = np.stack(columns, axis=1)
    return T, np.linalg.inv(T), blocks
