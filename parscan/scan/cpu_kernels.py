"""Compiled loops over elementwise recurrences.

All kernels take coefficients `a` of shape (T or 1, C or 1), offsets `b` and states `out` of shape (T, C), all
C-contiguous. They evaluate steps `start` to `stop` from the state of step `start - 1` in `out`. In reverse,
step `t` stands in row `T - 1 - t`. Rows are counted in unsigned integers: with signed ones Numba must check
every index for being negative, which keeps loops from being vectorised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

from .._arrays import Array

Function = TypeVar("Function", bound=Callable[..., Any])

TILE = 32
"""Steps between two checks of the look-ahead; a multiple of 4."""


def kernel(function: Function) -> Function:
    """Compile on first use, keep on disk, release the GIL; a*b+c may round once, nothing else is relaxed."""
    return numba.njit(nogil=True, cache=True, fastmath={"contract"})(function)


@kernel
def size(x: Any) -> Any:
    """Magnitude of a number, up to a factor of sqrt(2) and without a root."""
    return abs(x.real) + abs(x.imag)


@kernel
def cursor(array: Array, reverse: bool, length: int, t: int) -> tuple[Any, Any]:
    """Row of step `t` in an array of `length` rows, and the way to the next; both 0 if there is one for all."""
    if array.shape[0] == 1:
        return np.uintp(0), np.uintp(0)
    if reverse:
        return np.uintp(length - 1 - t), np.uintp(-1)
    return np.uintp(t), np.uintp(1)


@kernel
def march_rows(a: Array, b: Array, out: Array, reverse: bool, start: int, stop: int, left: int, right: int) -> None:
    """Channels `left` to `right`, all of them step by step."""
    p, step = cursor(out, reverse, b.shape[0], start)
    i, a_step = cursor(a, reverse, b.shape[0], start)
    for _ in range(start, stop):
        # Channels run the same way as rows: processors prefetch only what is read in one direction.
        if reverse and a.shape[1] == 1:
            for c in range(right - left):
                k = np.uintp(right - 1 - c)
                out[p, k] = a[i, np.uintp(0)] * out[p - step, k] + b[p, k]
        elif reverse:
            for c in range(right - left):
                k = np.uintp(right - 1 - c)
                out[p, k] = a[i, k] * out[p - step, k] + b[p, k]
        elif a.shape[1] == 1:
            coefficient = a[i, np.uintp(0)]
            for c in range(left, right):
                k = np.uintp(c)
                out[p, k] = coefficient * out[p - step, k] + b[p, k]
        else:
            for c in range(left, right):
                k = np.uintp(c)
                out[p, k] = a[i, k] * out[p - step, k] + b[p, k]
        p += step
        i += a_step


@kernel
def ahead(a: Array, b: Array, i: Any, a_step: Any, ka: Any, p: Any, step: Any, k: Any) -> tuple[Any, Any]:
    """Four steps in one, `h -> P h + q`."""
    a0, a1, a2, a3 = a[i, ka], a[i + a_step, ka], a[i + a_step + a_step, ka], a[i + a_step + a_step + a_step, ka]
    b0, b1, b2, b3 = b[p, k], b[p + step, k], b[p + step + step, k], b[p + step + step + step, k]
    a32 = a3 * a2
    return a32 * (a1 * a0), a32 * (a1 * b0 + b1) + (a3 * b2 + b3)


@kernel
def march_column(a: Array, b: Array, out: Array, reverse: bool, start: int, stop: int, channel: int) -> None:
    """
    One channel, four steps at a time.

    A step must wait for the one before it, a few cycles that the processor has nothing to do in. So every
    fourth state is computed from the fourth before it, and those in between meanwhile. Where the products
    underflow or the states leave the finite numbers, that could differ from the loop: such tiles are repeated.
    """
    k, ka = np.uintp(channel), np.uintp(channel if a.shape[1] > 1 else 0)
    p, step = cursor(out, reverse, b.shape[0], start)
    i, a_step = cursor(a, reverse, b.shape[0], start)
    h = out[p - step, k]
    tiny = np.finfo(a.dtype).tiny
    for t in range(start, stop, TILE):
        p_tile, i_tile, h_tile = p, i, h
        smallest = size(np.finfo(a.dtype).max)
        if t + TILE <= stop:
            for _ in range(0, TILE, 4):
                P, q = ahead(a, b, i, a_step, ka, p, step, k)
                smallest = min(smallest, size(P))
                last = P * h + q
                for _ in range(3):
                    h = a[i, ka] * h + b[p, k]
                    out[p, k] = h
                    p += step
                    i += a_step
                h = last
                out[p, k] = h
                p += step
                i += a_step
        if t + TILE > stop or not (smallest > tiny and size(h) < np.inf):
            p, i, h = p_tile, i_tile, h_tile
            for _ in range(min(TILE, stop - t)):
                h = a[i, ka] * h + b[p, k]
                out[p, k] = h
                p += step
                i += a_step


@kernel
def summarise_column(
    a: Array, b: Array, reverse: bool, start: int, stop: int, channel: int, scale: float
) -> tuple[Any, Any, int]:
    """
    Summary `P, q, k` of the steps `start` to `stop` of one channel, `h -> P (scale^k h) + q`.

    A product that would underflow is kept as a multiple of a power of `scale`, the root of the smallest normal
    number: it may grow again, and the state may be large. What is lost even so makes `q` NaN.
    """
    k, ka = np.uintp(channel), np.uintp(channel if a.shape[1] > 1 else 0)
    p, step = cursor(b, reverse, b.shape[0], start)
    i, a_step = cursor(a, reverse, b.shape[0], start)
    P, q, scalings = np.ones(1, a.dtype)[0], np.zeros(1, a.dtype)[0], 0
    tiny = np.finfo(a.dtype).tiny
    for t in range(start, stop, TILE):
        i_tile, p_tile, q_tile, P_tile, smallest = i, p, q, np.ones(1, a.dtype)[0], size(np.finfo(a.dtype).max)
        for _ in range(0, TILE if t + TILE <= stop else 0, 4):
            P4, q4 = ahead(a, b, i, a_step, ka, p, step, k)
            q = P4 * q + q4
            P_tile = P4 * P_tile
            smallest = min(smallest, size(P4), size(P_tile))
            i += a_step + a_step + a_step + a_step
            p += step + step + step + step
        if t + TILE <= stop and smallest > tiny and size(P_tile) > scale:
            P *= P_tile
            if 0 < size(P) < scale:
                P, scalings = P / scale, scalings + 1
            continue
        i, p, q = i_tile, p_tile, q_tile
        for _ in range(min(TILE, stop - t)):
            q = a[i, ka] * q + b[p, k]
            P_next = a[i, ka] * P
            if size(P_next) < tiny and size(P) > 0 and size(a[i, ka]) > 0:
                q = q * np.nan
            P = P_next
            if 0 < size(P) < scale:
                P, scalings = P / scale, scalings + 1
            i += a_step
            p += step
    return P, q, scalings
