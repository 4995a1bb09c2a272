"""Condensing of collocation, and other systems of its stages, by the linear solver of the array library."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import array_api_compat
import numpy as np

from ..._arrays.namespace import Array, array_namespace, dtype_name, itemsize, quiet, readonly
from ..._linalg.solve import solve_each
from ..dispatch import Condensed

CHUNK_BYTES = 1 << 20
"""
Size of the systems that are assembled at once, so that they fit into the cache of a processor. Assembly and solution
take about five times as much memory.
"""


def condense(J: Array, A: Array, b: Array, h: Array, r: Array, chunk_bytes: int | None = None) -> Condensed:
    """Assemble and solve systems of `chunk_bytes`, by default `CHUNK_BYTES`, at a time; see `dispatch.condense`."""
    xp = array_namespace(J, r)
    X0, X1 = xp.empty_like(r), xp.empty_like(J)
    for part in _chunks(r.shape, r.shape[-1] + 1, r, chunk_bytes):
        X = _solve(J[part, ...], A, h[part], xp.concat([r[part, ..., None], J[part, ...]], axis=-1))
        X0[part, ...], X1[part, ...] = X[..., 0], X[..., 1:]
    return propagated(X0, X1, b, h)


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
    """Slices of the intervals whose systems are assembled at once; `shape` is (N, s, n), the dtype that of x."""
    N, s, n = shape
    m = s * n
    chunk = max(1, (chunk_bytes or CHUNK_BYTES) // max(1, m * (m + columns) * itemsize(x.dtype)))
    return (slice(first, min(first + chunk, N)) for first in range(0, N, chunk))


def _solve(J: Array, A: Array, h: Array, sides: Array) -> Array:
    """Assemble and solve the systems of some intervals."""
    xp = array_namespace(J, sides)
    N, s, n, k = sides.shape
    m = s * n
    with quiet():
        hJ = xp.astype(h, sides.dtype)[:, None, None, None] * J
        products = xp.reshape(like(A, sides)[:, None, :, None] * hJ[:, :, :, None, :], (N, m, m))
        matrices = _identity(m, sides) - products
        return xp.reshape(solve_each(matrices, xp.reshape(sides, (N, m, k))), (N, s, n, k))


def propagated(X0: Array, X1: Array, b: Array, h: Array) -> Condensed:
    """The stages, and their weighted sums: the propagator and the offset of each interval."""
    xp = array_namespace(X0)
    N, s, n = X0.shape
    with quiet():
        weights = xp.astype(h, X0.dtype)[:, None, None] * like(b, X0)
        offsets = (weights @ X0)[:, 0, :]
        sums = xp.reshape(weights @ xp.reshape(X1, (N, s, n * n)), (N, n, n))
        return Condensed(X0, X1, sums + _identity(n, X0), offsets)


def like(coefficients: Array, x: Array) -> Array:
    """Coefficients of a method as an array of the library, dtype and device of `x`."""
    if isinstance(x, np.ndarray):
        return np.asarray(coefficients, dtype=x.dtype)
    numbers = np.asarray(coefficients, dtype=dtype_name(x.dtype))
    return array_namespace(x).asarray(numbers, device=array_api_compat.device(x))


def _identity(n: int, x: Array) -> Array:
    """The matrix of that order, of the library, dtype and device of `x`; it may be read-only."""
    if isinstance(x, np.ndarray):
        return _numpy_identity(n, x.dtype)
    return array_namespace(x).eye(n, dtype=x.dtype, device=array_api_compat.device(x))


@lru_cache(maxsize=64)
def _numpy_identity(n: int, dtype: np.dtype) -> Array:
    """The matrix, which short solves need again and again."""
    return readonly(np.eye(n, dtype=dtype))
