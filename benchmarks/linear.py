"""Linear recurrences against compiled loops, SciPy's filter, and the memory's bandwidth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numba
import numpy as np
from _harness import Case, Target, main
from scipy.signal import lfilter

from parscan import linear_recurrence

Array = Any
Loop = Callable[[Array, Array, Array], None]
LOOP, PARSCAN = "compiled loop", "parscan"


def compile_loop(loop: Loop) -> Loop:
    return numba.njit(nogil=True)(loop)


@compile_loop
def diagonal_loop(a: Array, b: Array, out: Array) -> None:
    h = 0.0
    for t in range(b.shape[0]):
        h = a[t] * h + b[t]
        out[t] = h


@compile_loop
def dense_loop(A: Array, b: Array, out: Array) -> None:
    n = b.shape[1]
    for i in range(n):
        out[0, i] = b[0, i]
    for t in range(1, b.shape[0]):
        for i in range(n):
            total = b[t, i]
            for j in range(n):
                total += A[t, i, j] * out[t - 1, j]
            out[t, i] = total


@compile_loop
def triad(a: Array, b: Array, out: Array) -> None:
    for i in range(b.size):
        out[i] = 2.0 * a[i] + b[i]


def compiled(loop: Loop, A: Array, b: Array) -> Array:
    out = np.empty_like(b)
    loop(A, b, out)
    return out


def diagonal(length: int, rng: np.random.Generator) -> Case:
    a, b = rng.uniform(-1, 1, length), rng.normal(size=length)
    return Case(
        f"diagonal, T = {length}, float64",
        {LOOP: partial(compiled, diagonal_loop, a, b), PARSCAN: partial(linear_recurrence, a, b)},
        targets=[Target(PARSCAN, LOOP, 1.0)],
    )


def bandwidth(length: int, channels: int, rng: np.random.Generator) -> Case:
    """Time-major channels: as many bytes are moved as in a triad of the same size, which also has a new output."""
    a, b = rng.uniform(-1, 1, (length, channels)), rng.normal(size=(length, channels))
    flat_a, flat_b = a.ravel(), b.ravel()
    kept = np.zeros(b.size)
    halves = [slice(0, b.size // 2), slice(b.size // 2, None)]
    pool = ThreadPoolExecutor(2)

    def run_triad(threads: int, keep: bool) -> None:
        out = kept if keep else np.empty(b.size)
        parts = halves if threads == 2 else [slice(None)]
        list(pool.map(lambda part: triad(flat_a[part], flat_b[part], out[part]), parts))

    names = {"triad, 1 thread": (1, False), "triad, 2 threads": (2, False)}
    reused = {"triad, 1 thread, output reused": (1, True), "triad, 2 threads, output reused": (2, True)}
    triads = {name: partial(run_triad, *options) for name, options in {**names, **reused}.items()}
    return Case(
        f"diagonal, T = {length}, {channels} channels, float64, {3 * b.nbytes / 1e6:.0f} MB",
        {**triads, PARSCAN: partial(linear_recurrence, a, b)},
        reference=sequential_rows(a, b),
        targets=[Target(PARSCAN, tuple(names), 0.6), Target(PARSCAN, tuple(reused), 0.6)],
    )


def sequential_rows(a: Array, b: Array) -> Array:
    out = b.copy()
    for t in range(1, len(b)):
        out[t] += a[t] * out[t - 1]
    return out


def dense(length: int, n: int, rng: np.random.Generator) -> Case:
    A, b = rng.uniform(-1, 1, (length, n, n)) / n, rng.normal(size=(length, n))
    return Case(
        f"dense, T = {length}, n = {n}, float64",
        {LOOP: partial(compiled, dense_loop, A, b), PARSCAN: partial(linear_recurrence, A, b)},
        targets=[Target(PARSCAN, LOOP, 1.0)],
    )


def constant(length: int, rng: np.random.Generator) -> Case:
    x = rng.normal(size=length)
    name = "scipy.signal.lfilter"
    return Case(
        f"constant coefficient, T = {length}, float64",
        {name: lambda: lfilter([1.0], [1.0, -0.97], x), PARSCAN: lambda: linear_recurrence(0.97, x)},
        targets=[Target(PARSCAN, name, 3.0)],
    )


def cases(quick: bool) -> Iterator[Case]:
    rng = np.random.default_rng(0)
    less = 5 if quick else 0
    yield diagonal(2 ** (23 - less), rng)
    yield bandwidth(2 ** (17 - less), 64, rng)
    for n in (2, 4, 8):
        yield dense(2 ** (17 - less), n, rng)
    yield constant(2 ** (23 - less), rng)


if __name__ == "__main__":
    main(__doc__ or "", cases)
