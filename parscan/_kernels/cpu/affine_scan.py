"""The affine scan on NumPy arrays: reshapes the operands, chooses kernels and threads."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..._arrays.elementwise import broadcast
from ..._arrays.namespace import Array, quiet
from ..._arrays.threads import available_threads, run_all, shares
from ..generic.affine_scan import product
from .chunks import Summary, march_in_chunks
from .dense_kernels import march_columns, march_dense
from .elementwise_kernels import march_column, march_rows, march_wide_rows, summarise_column
from .operand import operand

PAGE = 4096
"""Bytes of the smallest page of memory."""


@dataclass(frozen=True)
class Tuning:
    """Sizes at which one algorithm becomes faster than another, as measured."""

    threads: int | None = None
    """Number of threads; None for one per core."""

    work_per_thread: int = 1 << 21
    """Number of multiplications for which another thread is worth starting."""

    columns: int = 2
    """Largest number of channels that are evaluated one after another."""

    wide: int = 32
    """Smallest number of channels for which the state is kept in an array of its own."""

    by_columns: int = 9
    """Smallest order of matrices that are read transposed if memory holds their transposes; smaller ones are copied."""

    channels_per_thread: int = 2048
    """Least number of neighbouring channels for a thread; narrower shares impede prefetching."""


TUNING = Tuning()


def affine_scan(
    A: Array, b: Array, h0: Array | None = None, *, reverse: bool = False, tuning: Tuning = TUNING
) -> Array:
    """Evaluate `h_t = A_t h_{t-1} + b_t`; see `dispatch.affine_scan`."""
    shape = b.shape if A.shape[: b.ndim] == b.shape else np.broadcast_shapes(A.shape[: b.ndim], b.shape)
    out = np.empty(shape, b.dtype)
    if out.size == 0:
        return out
    first = slice(-1, None) if reverse else slice(0, 1)
    out[first] = b[first]
    if h0 is not None:
        with quiet():
            out[first] += product(A[first], broadcast(np, h0, shape[1:])[None])
    length, width = shape[0], math.prod(shape[1:])
    if length == 1:
        return out
    if A.ndim > b.ndim and shape[-1] > 1:
        n = shape[-1]
        offsets = _offsets(b, shape).reshape(length, width // n, n)
        if n >= tuning.by_columns and _is_transposed(A):
            kernel, A = march_columns, np.swapaxes(A, -1, -2)
        else:
            kernel = march_dense(n, b.dtype)
        _scan_dense(kernel, _flat(A, shape, (n, n)), offsets, out.reshape(offsets.shape), reverse, tuning)
    else:
        A = A[..., 0] if A.ndim > b.ndim else A
        offsets = _offsets(b, shape).reshape(length, width)
        _scan_diagonal(_flat(A, shape, ()), offsets, out.reshape(offsets.shape), reverse, tuning)
    return out


def _flat(A: Array, shape: tuple[int, ...], matrix: tuple[int, ...]) -> Array:
    """Coefficients in the shape (T or 1, batch or 1, *matrix), contiguous, the batch in one axis."""
    others = shape[1:-1] if matrix else shape[1:]
    if math.prod(A.shape[1 : 1 + len(others)]) == 1:
        others = ()
    else:
        A = broadcast(np, A, (A.shape[0], *others, *matrix))
    return operand(A).reshape(A.shape[0], math.prod(others), *matrix)


def _offsets(b: Array, shape: tuple[int, ...]) -> Array:
    """Offsets, broadcast and contiguous."""
    return operand(broadcast(np, b, shape))


def _threads(work: int, tuning: Tuning) -> int:
    """Number of threads for an amount of work."""
    most = work // tuning.work_per_thread
    if most <= 1:
        return 1
    return max(1, min(available_threads() if tuning.threads is None else tuning.threads, most))


def _scan_diagonal(A: Array, b: Array, out: Array, reverse: bool, tuning: Tuning) -> None:
    """Fill `out` after its first step, which is known, for elementwise coefficients."""
    length, channels = b.shape
    threads = _threads(b.size, tuning)
    if channels > tuning.columns:
        count = max(1, min(threads, channels // tuning.channels_per_thread))
        if channels >= tuning.wide and not reverse:
            start = _march_while_touching(A, b, out) if count == 1 < threads else 1
            _in_shares(partial(march_wide_rows, A, b, out, start, length), channels, count)
        else:
            _in_shares(partial(march_rows, A, b, out, reverse, 1, length), channels, count)
        return
    for channel in range(channels):

        def march(start: int, stop: int, channel: int = channel) -> None:
            march_column(A, b, out, reverse, start, stop, channel)

        def summarise(start: int, stop: int, channel: int = channel) -> Summary:
            scale = float(np.finfo(b.dtype).tiny) ** 0.5
            P, q, scalings = summarise_column(A, b, reverse, start, stop, channel, scale)
            with quiet():
                return Summary(b.dtype.type(P), b.dtype.type(q), scale**scalings)

        _march(march, summarise, out[::-1, channel] if reverse else out[:, channel], threads)


def _march_while_touching(A: Array, b: Array, out: Array) -> int:
    """
    Evaluate the first third while another thread touches the pages of the rest; return the first step of the rest.

    The system zeroes each page of a new array when it is first written to, which takes half as long as the scan.
    """
    third = max(1, len(out) // 3)
    rest = out[third:].reshape(-1)

    def touch() -> None:
        rest[:: PAGE // out.itemsize] = 0

    run_all([partial(march_wide_rows, A, b, out, 1, third, 0, out.shape[1]), touch])
    return third


def _is_transposed(A: Array) -> bool:
    """Whether the transposes of the matrices are contiguous in memory, as in an adjoint."""
    return bool(np.swapaxes(A, -1, -2).flags.c_contiguous and not A.flags.c_contiguous)


def _scan_dense(kernel: Callable[..., object], A: Array, b: Array, out: Array, reverse: bool, tuning: Tuning) -> None:
    """Fill `out` after its first step, which is known, for matrices."""
    length, batch, n = b.shape
    threads = _threads(b.size * n, tuning)
    # Time is not divided into chunks: summarising a chunk costs n + 1 times as much as evaluating it.
    _in_shares(partial(kernel, A, b, out, reverse, 1, length), batch, min(threads, batch))


def _in_shares(kernel: Callable[[int, int], object], width: int, count: int) -> None:
    """Run a kernel on several shares of independent recurrences in parallel."""
    run_all([partial(kernel, left, right) for left, right in shares(width, count)])


def _march(
    march: Callable[[int, int], object], summarise: Callable[[int, int], Summary], states: Array, threads: int
) -> None:
    """Evaluate all steps of one recurrence but the first, which is known."""
    length = len(states)
    if threads == 1 or length < 2 * (threads + 1):
        march(1, length)
        return
    march_in_chunks(march, summarise, states, [1 + left for left, _ in shares(length - 1, threads + 1)] + [length])
