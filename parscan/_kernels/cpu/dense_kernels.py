"""Compiled loops over recurrences with matrices.

All kernels take coefficients `A` of shape (T or 1, B or 1, n, n), offsets `b` and states `out` of shape
(T, B, n), all C-contiguous, and count time as the elementwise kernels do.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from numba.cpython.unsafe.tuple import tuple_setitem

from ..._arrays.namespace import Array
from .compilation import fused_kernel
from .elementwise_kernels import cursor

IN_REGISTERS = range(2, 6)
"""Orders for which the state is kept in registers; from 6 on this was measured to be no faster."""

FIXED = range(6, 8)
"""Further orders with a kernel compiled for the order; that for 8 is `march_eight`."""

ANY = 0
"""Stands for an order that is not a compile-time constant."""


def march_dense(n: int, dtype: np.dtype[Any]) -> Callable[..., None]:
    """Choose the kernel for matrices of order `n`."""
    if n in IN_REGISTERS:
        return partial(march_registers, (dtype.type(0),) * n)
    return march_eight if n == 8 else march_memory(n if n in FIXED else ANY)


@cache
def march_memory(order: int) -> Callable[..., None]:
    """Make the kernel for one order, which the compiler takes as a constant, or for `ANY`."""

    @fused_kernel
    def march(A: Array, b: Array, out: Array, reverse: bool, start: int, stop: int, left: int, right: int) -> None:
        """Batch elements `left` to `right`, all of them step by step."""
        p, step = cursor(out, reverse, b.shape[0], start)
        s, A_step = cursor(A, reverse, b.shape[0], start)
        n = b.shape[2] if order == ANY else order
        for _ in range(start, stop):
            for position in range(left, right):
                # In reverse, the batch is traversed backwards, too: processors prefetch in one direction of memory.
                k = np.uintp(left + right - 1 - position if reverse else position)
                kA = k if A.shape[1] > 1 else np.uintp(0)
                for row in range(n):
                    i = np.uintp(n - 1 - row if reverse else row)
                    total = b[p, k, i]
                    for column in range(n):
                        j = np.uintp(column)
                        total += A[s, kA, i, j] * out[p - step, k, j]
                    out[p, k, i] = total
            p += step
            s += A_step

    return march


@fused_kernel
def march_columns(A: Array, b: Array, out: Array, reverse: bool, start: int, stop: int, left: int, right: int) -> None:
    """Batch elements `left` to `right`, for matrices whose transposes are in `A`: sums of columns.

    The additions to one row depend on each other, those to different rows do not and are vectorised.
    """
    p, step = cursor(out, reverse, b.shape[0], start)
    s, A_step = cursor(A, reverse, b.shape[0], start)
    for _ in range(start, stop):
        for position in range(left, right):
            k = np.uintp(left + right - 1 - position if reverse else position)
            M, h, new = A[s, k if A.shape[1] > 1 else np.uintp(0)], out[p - step, k], out[p, k]
            for row in range(len(new)):
                new[np.uintp(row)] = b[p, k, np.uintp(row)]
            for column in range(len(h)):
                factor = h[np.uintp(column)]
                for row in range(len(new)):
                    new[np.uintp(row)] += M[np.uintp(column), np.uintp(row)] * factor
        p += step
        s += A_step


@fused_kernel
def load(h: Any, out: Array, p: Any, k: Any) -> Any:
    """The state as a tuple of the length of `h`."""
    for i in range(len(h)):
        h = tuple_setitem(h, i, out[p, k, np.uintp(i)])
    return h


@fused_kernel
def advance(h: Any, A: Array, s: Any, kA: Any, b: Array, p: Any, k: Any, out: Array) -> Any:
    """One step from the state `h`: write and return the new state."""
    new = h
    for i in range(len(h)):
        total = b[p, k, np.uintp(i)]
        for j in range(len(h)):
            total += A[s, kA, np.uintp(i), np.uintp(j)] * h[j]
        new = tuple_setitem(new, i, total)
    for i in range(len(h)):
        out[p, k, np.uintp(i)] = new[i]
    return new


@fused_kernel
def march_registers(
    zero: Any, A: Array, b: Array, out: Array, reverse: bool, start: int, stop: int, left: int, right: int
) -> None:
    """Batch elements `left` to `right`, the state in a tuple like `zero`: of known length, it stays in registers."""
    p, step = cursor(out, reverse, b.shape[0], start)
    s, A_step = cursor(A, reverse, b.shape[0], start)
    h = load(zero, out, p - step, np.uintp(left))
    for _ in range(start, stop):
        for position in range(left, right):
            k = np.uintp(left + right - 1 - position if reverse else position)
            if right - left > 1:
                h = load(zero, out, p - step, k)
            h = advance(h, A, s, k if A.shape[1] > 1 else np.uintp(0), b, p, k, out)
        p += step
        s += A_step


@fused_kernel
def row_of_eight(M: Array, i: int, h: Any) -> Any:
    """Row `i` of a matrix times a state, as two sums that do not depend on each other."""
    return (M[i, 0] * h[0] + M[i, 1] * h[1] + M[i, 2] * h[2] + M[i, 3] * h[3]) + (
        M[i, 4] * h[4] + M[i, 5] * h[5] + M[i, 6] * h[6] + M[i, 7] * h[7]
    )


@fused_kernel
def march_eight(A: Array, b: Array, out: Array, reverse: bool, start: int, stop: int, left: int, right: int) -> None:
    """Batch elements `left` to `right`, for matrices of order 8: the compiler does not unroll loops of that length."""
    p, step = cursor(out, reverse, b.shape[0], start)
    s, A_step = cursor(A, reverse, b.shape[0], start)
    for _ in range(start, stop):
        for position in range(left, right):
            k = np.uintp(left + right - 1 - position if reverse else position)
            M, x, y, g = A[s, k if A.shape[1] > 1 else np.uintp(0)], b[p, k], out[p, k], out[p - step, k]
            h = (g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7])
            y0, y1 = x[0] + row_of_eight(M, 0, h), x[1] + row_of_eight(M, 1, h)
            y2, y3 = x[2] + row_of_eight(M, 2, h), x[3] + row_of_eight(M, 3, h)
            y4, y5 = x[4] + row_of_eight(M, 4, h), x[5] + row_of_eight(M, 5, h)
            y6, y7 = x[6] + row_of_eight(M, 6, h), x[7] + row_of_eight(M, 7, h)
            y[0], y[1], y[2], y[3], y[4], y[5], y[6], y[7] = y0, y1, y2, y3, y4, y5, y6, y7
        p += step
        s += A_step
