"""The affine scan on NumPy arrays: brings the operands into shape, chooses kernels and threads."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from .._arrays import Array, quiet, readonly
from . import sequential
from .chunks import Summary, march_in_chunks
from .cpu_dense_kernels import march_dense, summarise_dense
from .cpu_kernels import march_column, march_rows, summarise_column
from .threads import available_threads, run_all, shares


@dataclass(frozen=True)
class Tuning:
    """Where one way of working becomes faster than another, as measured."""

    threads: int | None = None
    """Threads to use; None for as many as there are cores."""

    work_per_thread: int = 1 << 21
    """Products of numbers that make another thread worth starting."""

    columns: int = 2
    """Channels up to which each is run through time by itself."""

    channels_per_thread: int = 2048
    """Channels next to each other that make a share; narrower ones get into the way of prefetching."""

    dense_chunks: bool | None = None
    """Whether to cut the time axis of recurrences with matrices; None if there are cores enough to make it pay."""


TUNING = Tuning()


def affine_scan(
    A: Array, b: Array, h0: Array | None = None, *, reverse: bool = False, tuning: Tuning = TUNING
) -> Array:
    """Evaluate `h_t = A_t h_{t-1} + b_t`; see :func:`parscan.scan.affine_scan`."""
    shape = np.broadcast_shapes(A.shape[: b.ndim], b.shape)
    out = np.empty(shape, b.dtype)
    if out.size == 0:
        return out
    first = slice(-1, None) if reverse else slice(0, 1)
    out[first] = sequential.affine_scan(A[first], b[first], h0)
    length, width = shape[0], math.prod(shape[1:])
    if length == 1:
        return out
    if A.ndim > b.ndim and shape[-1] > 1:
        n = shape[-1]
        offsets = _offsets(b, shape).reshape(length, width // n, n)
        _scan_dense(_flat(A, shape, (n, n)), offsets, out.reshape(offsets.shape), reverse, tuning)
    else:
        A = A[..., 0] if A.ndim > b.ndim else A
        offsets = _offsets(b, shape).reshape(length, width)
        _scan_diagonal(_flat(A, shape, ()), offsets, out.reshape(offsets.shape), reverse, tuning)
    return out


def _flat(A: Array, shape: tuple[int, ...], matrix: tuple[int, ...]) -> Array:
    """Coefficients as (T or 1, all others or 1) and the matrix, contiguous."""
    others = shape[1:-1] if matrix else shape[1:]
    if math.prod(A.shape[1 : 1 + len(others)]) == 1:
        others = ()
    else:
        A = np.broadcast_to(A, (A.shape[0], *others, *matrix))
    return _ready(A).reshape(A.shape[0], math.prod(others), *matrix)


def _offsets(b: Array, shape: tuple[int, ...]) -> Array:
    """Offsets in full, contiguous."""
    return _ready(np.broadcast_to(b, shape))


def _ready(x: Array) -> Array:
    """The array, aligned and contiguous, and read-only, so that each kernel is compiled once."""
    return readonly(np.require(x, requirements=("C_CONTIGUOUS", "ALIGNED")))


def _threads(work: int, tuning: Tuning) -> int:
    """How many threads this much work is worth."""
    wanted = available_threads() if tuning.threads is None else tuning.threads
    return max(1, min(wanted, work // tuning.work_per_thread))


def _scan_diagonal(A: Array, b: Array, out: Array, reverse: bool, tuning: Tuning) -> None:
    """Fill `out` but for its first step, which is there."""
    length, channels = b.shape
    threads = _threads(b.size, tuning)
    if channels > tuning.columns:
        count = max(1, min(threads, channels // tuning.channels_per_thread))
        _in_shares(partial(march_rows, A, b, out, reverse, 1, length), channels, count)
        return
    for channel in range(channels):

        def march(start: int, stop: int, channel: int = channel) -> None:
            march_column(A, b, out, reverse, start, stop, channel)

        def summarise(start: int, stop: int, channel: int = channel) -> Summary:
            scale = float(np.finfo(b.dtype).tiny) ** 0.5
            P, q, scalings = summarise_column(A, b, reverse, start, stop, channel, scale)
            factor = scale**scalings
            with quiet():
                return Summary(np.full((1, 1), P, b.dtype), np.full(1, q, b.dtype), factor, abs(P) * factor)

        _march(march, summarise, out[::-1, channel, None] if reverse else out[:, channel, None], threads)


def _scan_dense(A: Array, b: Array, out: Array, reverse: bool, tuning: Tuning) -> None:
    """Fill `out` but for its first step, which is there."""
    length, batch, n = b.shape
    threads = _threads(b.size * n, tuning)
    kernel = march_dense(n, b.dtype)
    # A summary costs n + 1 times as much as the chunk itself.
    chunked = threads > n + 2 and threads > batch if tuning.dense_chunks is None else tuning.dense_chunks
    if not chunked:
        _in_shares(partial(kernel, A, b, out, reverse, 1, length), batch, min(threads, batch))
        return
    for element in range(batch):

        def march(start: int, stop: int, element: int = element) -> None:
            kernel(A, b, out, reverse, start, stop, element, element + 1)

        def summarise(start: int, stop: int, element: int = element) -> Summary:
            scale = float(np.finfo(b.dtype).tiny) ** 0.5
            P, q = np.eye(n, dtype=b.dtype), np.zeros(n, b.dtype)
            scalings, growth = summarise_dense(A, b, reverse, start, stop, element, scale, P, q)
            return Summary(P, q, scale**scalings, growth)

        _march(march, summarise, out[::-1, element] if reverse else out[:, element], threads)


def _in_shares(kernel: Callable[[int, int], object], width: int, count: int) -> None:
    """Run a kernel on stretches of independent recurrences at once."""
    run_all([partial(kernel, left, right) for left, right in shares(width, count)])


def _march(
    march: Callable[[int, int], object], summarise: Callable[[int, int], Summary], states: Array, threads: int
) -> None:
    """Evaluate all steps but the first of one recurrence."""
    length = len(states)
    if threads == 1 or length < 2 * (threads + 1):
        march(1, length)
        return
    march_in_chunks(march, summarise, states, [1 + left for left, _ in shares(length - 1, threads + 1)] + [length])
