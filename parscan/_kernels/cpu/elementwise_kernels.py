"""Compiled loops over elementwise recurrences.

All kernels take coefficients `a` of shape (T or 1, C or 1), offsets `b` and states `out` of shape (T, C), all
C-contiguous. They evaluate steps `start` to `stop` from the state of step `start - 1` in `out`. In reverse,
step `t` is row `T - 1 - t`. Indices are unsigned: Numba tests whether a signed index is negative, and then does not
vectorise loops.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._arrays.namespace import Array
from .compilation import kernel

TILE = 32
"""Number of steps between tests of `march_column` whether it agrees with the loop; a multiple of 4."""

ROUNDING = 8
"""Units of rounding by which the square of a coefficient on the unit circle may exceed 1."""


@kernel
def size(x: Any) -> Any:
    """Magnitude of a number up to a factor of √2, without a root."""
    return abs(x.real) + abs(x.imag)


@kernel
def square(x: Any) -> Any:
    """Magnitude of a number, squared."""
    return x.real * x.real + x.imag * x.imag


@kernel
def cursor(array: Array, reverse: bool, length: int, t: int) -> tuple[Any, Any]:
    """Row of step `t` in an array of `length` rows, and the distance to the next row; both 0 if there is one row."""
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
        # Channels are traversed in the direction of the rows: processors prefetch in one direction of memory.
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
def march_wide_rows(a: Array, b: Array, out: Array, start: int, stop: int, left: int, right: int) -> None:
    """
    Like `march_rows` forwards, with the state in an array of its own.

    Rows of `out` are then only written, which is faster. By measurement, this is not reliably faster for few channels
    or steps backwards.
    """
    i, a_step = cursor(a, False, b.shape[0], start)
    h = out[start - 1, left:right].copy()
    for t in range(start, stop):
        p = np.uintp(t)
        if a.shape[1] == 1:
            coefficient = a[i, np.uintp(0)]
            for c in range(right - left):
                k, j = np.uintp(left + c), np.uintp(c)
                h[j] = coefficient * h[j] + b[p, k]
                out[p, k] = h[j]
        else:
            for c in range(right - left):
                k, j = np.uintp(left + c), np.uintp(c)
                h[j] = a[i, k] * h[j] + b[p, k]
                out[p, k] = h[j]
        i += a_step


@kernel
def bounded(largest: Any, a: Array) -> Any:
    """Whether coefficients whose squares are at most `largest` amplify nothing."""
    return largest <= 1 + ROUNDING * np.finfo(a.dtype).eps


@kernel
def four(a: Array, b: Array, i: Any, a_step: Any, ka: Any, p: Any, step: Any, k: Any) -> tuple[Any, Any, Any]:
    """The map of four steps, `h -> P h + q`, and the largest square of a coefficient."""
    a0, a1, a2, a3 = a[i, ka], a[i + a_step, ka], a[i + a_step + a_step, ka], a[i + a_step + a_step + a_step, ka]
    b0, b1, b2, b3 = b[p, k], b[p + step, k], b[p + step + step, k], b[p + step + step + step, k]
    a32 = a3 * a2
    largest = max(square(a0), square(a1), square(a2), square(a3))
    return a32 * (a1 * a0), a32 * (a1 * b0 + b1) + (a3 * b2 + b3), largest


@kernel
def march_loop(
    a: Array, b: Array, out: Array, reverse: bool, start: int, stop: int, ka: Any, k: Any, h: Any
) -> tuple[Any, Any]:
    """Evaluate steps one by one; return the last state and the largest square of a coefficient."""
    p, step = cursor(out, reverse, b.shape[0], start)
    i, a_step = cursor(a, reverse, b.shape[0], start)
    largest = np.finfo(a.dtype).tiny
    for _ in range(start, stop):
        largest = max(largest, square(a[i, ka]))
        h = a[i, ka] * h + b[p, k]
        out[p, k] = h
        p += step
        i += a_step
    return h, largest


@kernel
def march_column(a: Array, b: Array, out: Array, reverse: bool, start: int, stop: int, channel: int) -> None:
    """
    One channel, four steps at a time.

    Each step waits for the previous one, while the processor idles for a few cycles. Therefore every fourth state is
    computed from the fourth state before it, and the states between them at the same time. Tiles in which the result
    could differ from that of the loop are repeated by the loop: if products underflow, if states are not finite, or if
    a coefficient exceeds 1, so that products amplify numbers that the loop may cancel.
    """
    k, ka = np.uintp(channel), np.uintp(channel if a.shape[1] > 1 else 0)
    p, step = cursor(out, reverse, b.shape[0], start)
    i, a_step = cursor(a, reverse, b.shape[0], start)
    h, tiny = out[p - step, k], np.finfo(a.dtype).tiny
    largest = tiny
    for t in range(start, stop, TILE):
        h_tile, smallest, finite = h, size(np.finfo(a.dtype).max), True
        # Large coefficients come in groups: after a tile with one, the next tile is evaluated by the loop at once.
        by_loop = t + TILE > stop or not bounded(largest, a)
        for _ in range(0, 0 if by_loop else TILE, 4):
            P, q, largest_of_four = four(a, b, i, a_step, ka, p, step, k)
            # A NaN among the coefficients may escape the minimum and the maximum, but not the states.
            smallest, largest = min(smallest, size(P)), max(largest, largest_of_four)
            last = P * h + q
            for _ in range(3):
                h = a[i, ka] * h + b[p, k]
                out[p, k] = h
                p += step
                i += a_step
            # The next four states do not depend on these: an overflow must be noticed here.
            finite &= size(h) < np.inf
            h = last
            out[p, k] = h
            p += step
            i += a_step
        if by_loop or not (finite and size(h) < np.inf and smallest > tiny and bounded(largest, a)):
            h, largest = march_loop(a, b, out, reverse, t, min(t + TILE, stop), ka, k, h_tile)
            p, _ = cursor(out, reverse, b.shape[0], t + TILE)
            i, _ = cursor(a, reverse, b.shape[0], t + TILE)


@kernel
def summarise_column(
    a: Array, b: Array, reverse: bool, start: int, stop: int, channel: int, scale: float
) -> tuple[Any, Any, int]:
    """
    Summary `P, q, k` of the steps `start` to `stop` of one channel, `h -> P (scale^k h) + q`.

    A product that would underflow is kept as a multiple of a power of `scale`, the root of the smallest normal
    number: it may grow again, and the state may be large. If digits are lost nevertheless, `q` is NaN.
    """
    k, ka = np.uintp(channel), np.uintp(channel if a.shape[1] > 1 else 0)
    p, step = cursor(b, reverse, b.shape[0], start)
    i, a_step = cursor(a, reverse, b.shape[0], start)
    P, q, scalings = np.ones(1, a.dtype)[0], np.zeros(1, a.dtype)[0], 0
    tiny = np.finfo(a.dtype).tiny
    for t in range(start, stop, TILE):
        i_tile, p_tile, q_tile, P_tile, smallest = i, p, q, np.ones(1, a.dtype)[0], size(np.finfo(a.dtype).max)
        for _ in range(0, TILE if t + TILE <= stop else 0, 4):
            P4, q4, _ = four(a, b, i, a_step, ka, p, step, k)
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
