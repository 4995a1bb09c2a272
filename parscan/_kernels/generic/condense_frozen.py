"""Condensing of collocation with one Jacobian per interval, which decouples the stages into pairs."""

from __future__ import annotations

from functools import cache

import numpy as np

from ..._arrays.namespace import Array, array_namespace, quiet
from ..dispatch import Condensed, condense
from .condense import like, propagated


def condense_frozen(J: Array, A: Array, b: Array, h: Array, r: Array) -> Condensed:
    """
    Condense the stages of every interval, with one Jacobian for all stages of an interval.

    `A = T D T^-1`, where D is block diagonal with a block of order 1 for each real eigenvalue and of order 2 for each
    conjugate pair. In the variables `T^-1 δK` the stages decouple into methods of one and two stages, which
    :func:`parscan._kernels.dispatch.condense` solves.

    Measured to be faster than `condense` from `s n` = 40 on for five stages or more, from 60 on for three.
    T is ill-conditioned: the error is 10, 100, 1000 and 1e5 roundings for 3, 5, 7 and 9 stages.

    Parameters
    ----------
    J : array, shape (N, n, n)
        Jacobians of the intervals.
    A, b, h, r
        As for `condense`. The eigenvalues of A must be distinct, and no eigenvector may be orthogonal to a vector of
        ones; this holds for Radau IIA and Gauss with any number of stages.
    """
    xp = array_namespace(J, r)
    N, s, n = r.shape
    T, inverse, blocks = _block_diagonal(tuple(map(tuple, A.tolist())))
    with quiet():
        mixed = like(inverse, r) @ r
        parts = []
        for first, block in blocks:
            k = len(block)
            stages = xp.broadcast_to(J[:, None, :, :], (N, k, n, n))
            parts.append(condense(stages, block, np.zeros(k), h, mixed[:, first : first + k, :]))
        T = like(T, r)
        X0 = T @ xp.concat([part.X0 for part in parts], axis=1)
        X1 = T @ xp.reshape(xp.concat([part.X1 for part in parts], axis=1), (N, s, n * n))
    return propagated(X0, xp.reshape(X1, (N, s, n, n)), b, h)


@cache
def _block_diagonal(rows: tuple[tuple[float, ...], ...]) -> tuple[Array, Array, list[tuple[int, Array]]]:
    """
    T, its inverse, and the blocks of `T^-1 A T`, each with the index of its first row.

    The columns of T are scaled to sum to a vector of ones: then `J δ_left` is the right-hand side of every block.
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
