"""CUDA kernel that condenses collocation stages: a group of threads eliminates one interval in shared memory.

The table of a group is `[I - h A⊗J | r | J]`, row by row; each thread of the group updates every `width`-th column.
Since the right-hand sides are in the table, the lower triangular factor need not be kept. A step of the elimination
swaps, scales and subtracts within each column, reads no other column than that of the pivot, and takes one barrier.
The next pivot, the largest entry of the next column, is found while that column is updated.
"""

from __future__ import annotations

from typing import Any

from numba import cuda, types

from ..._arrays.namespace import itemsize
from .column_kernels import SHARED_BYTES
from .kernel import INTEGER, Kernel, maker, place, pointer, scalar_type

THREADS = 32
"""Threads of a block of several groups: one warp, in which barriers are cheap."""

WIDEST = 128
"""Largest number of threads of a group."""

DTYPES = ("float32", "float64")
"""Complex numbers are left to the solver of the array library."""


def width(s: int, n: int) -> int:
    """Threads of a group: a power of two, one for each column up to `WIDEST`."""
    return min(WIDEST, 1 << (s * n + n).bit_length())


def table(s: int, n: int) -> int:
    """Numbers from one group's table to the next, padded so that the groups of a warp use different memory banks."""
    numbers = s * n * (s * n + n + 1)
    return numbers + (width(s, n) - numbers) % THREADS


def fits(dtype: str, s: int, n: int) -> bool:
    """Whether the table of this dtype, number of stages and order fits into shared memory."""
    return dtype in DTYPES and n > 0 and table(s, n) * itemsize(dtype) <= SHARED_BYTES


def groups(dtype: str, s: int, n: int) -> int:
    """Groups in a block."""
    return max(1, min(THREADS // width(s, n), SHARED_BYTES // (table(s, n) * itemsize(dtype))))


@maker
def condense_kernel(dtype: str, s: int, n: int) -> Kernel:
    """`X0` (N, s, n), `X1` (N, s, n, n), propagators `P` (N, n, n) and offsets `g` (N, n) of N intervals."""
    scalar, lanes, count, apart = scalar_type(dtype), width(s, n), groups(dtype, s, n), table(s, n)
    numbers, slots, m = count * apart, 2 * count, s * n
    read, form, eliminate = make_reader(dtype, s, n), make_former(dtype, s, n), make_elimination(dtype, s, n)
    write = make_writer(dtype, s, n)

    def condense(J, A, b, h, r, intervals, X0, X1, P, g):  # type: ignore[no-untyped-def]
        W = cuda.shared.array(numbers, scalar)
        pivots = cuda.shared.array(slots, types.int32)
        group, lane = cuda.threadIdx.x // lanes, cuda.threadIdx.x % lanes
        k = cuda.blockIdx.x * count + group
        own = group * apart
        step = h[k] if k < intervals else scalar(0)
        read(J, r, k, k < intervals, lane, W, own)
        cuda.syncthreads()
        form(A, step, lane, W, own, pivots, 2 * group)
        cuda.syncthreads()
        for p in range(m):
            # Two slots in turn: the next pivot replaces the former one, which all threads have read.
            eliminate(p, pivots[2 * group + p % 2], lane, W, own, pivots, 2 * group + (p + 1) % 2)
            cuda.syncthreads()
        if k < intervals:
            write(b, step, k, lane, W, own, X0, X1, P, g)

    array = pointer(dtype)
    return Kernel(condense, (*(array,) * 5, INTEGER, *(array,) * 4))


def make_reader(dtype: str, s: int, n: int) -> Any:
    """Writes the right-hand sides `[r | J]` into the table; zeros in groups without an interval."""
    scalar, lanes, m, columns = scalar_type(dtype), width(s, n), s * n, s * n + n + 1

    @cuda.jit(device=True, inline="always")
    def read(J, r, k, exists, lane, W, own):  # type: ignore[no-untyped-def]
        for e in range(lane, m, lanes):
            W[place(own + e * columns + m)] = r[k * m + e] if exists else scalar(0)
        for e in range(lane, m * n, lanes):
            W[place(own + e // n * columns + m + 1 + e % n)] = J[k * m * n + e] if exists else scalar(0)

    return read


def make_former(dtype: str, s: int, n: int) -> Any:
    """Writes `I - h A⊗J` into the table, from J in the right-hand sides, and finds the first pivot."""
    scalar, lanes, m, columns = scalar_type(dtype), width(s, n), s * n, s * n + n + 1

    @cuda.jit(device=True, inline="always")
    def form(A, step, lane, W, own, pivots, slot):  # type: ignore[no-untyped-def]
        for j in range(lane, m, lanes):
            largest, found = scalar(-1), 0
            for row in range(m):
                value = -A[row // n * s + j // n] * (step * W[place(own + row * columns + m + 1 + j % n)])
                if row == j:
                    value += scalar(1)
                W[place(own + row * columns + j)] = value
                if abs(value) > largest:
                    largest, found = abs(value), row
            if j == 0:
                pivots[slot] = found

    return form


def make_elimination(dtype: str, s: int, n: int) -> Any:
    """A step of the elimination with the pivot in row `q` of column `p`; finds the row of the next pivot.

    A pivot of zero makes the right-hand sides of its group infinite or NaN, and affects no other group.
    """
    scalar, lanes, m, columns = scalar_type(dtype), width(s, n), s * n, s * n + n + 1

    @cuda.jit(device=True, inline="always")
    def eliminate(p, q, lane, W, own, pivots, slot):  # type: ignore[no-untyped-def]
        pivot = W[place(own + q * columns + p)]
        # This thread's columns to the right of the pivot's column.
        for j in range(p + 1 + (lane - p - 1 & lanes - 1), columns, lanes):
            factor = W[place(own + q * columns + j)] / pivot
            largest, found = scalar(-1), p + 1
            for i in range(p + 1, m):
                row = p if i == q else i
                value = W[place(own + row * columns + j)] - W[place(own + row * columns + p)] * factor
                W[place(own + i * columns + j)] = value
                if abs(value) > largest:
                    largest, found = abs(value), i
            W[place(own + p * columns + j)] = factor
            if j == p + 1:
                pivots[slot] = found

    return eliminate


def make_writer(dtype: str, s: int, n: int) -> Any:
    """Substitutes back, a thread for each right-hand side, writes the stages, and sums them over the interval."""
    scalar, lanes, m, columns = scalar_type(dtype), width(s, n), s * n, s * n + n + 1

    @cuda.jit(device=True, inline="always")
    def write(b, step, k, lane, W, own, X0, X1, P, g):  # type: ignore[no-untyped-def]
        for c in range(lane, n + 1, lanes):
            for p in range(m - 2, -1, -1):
                value = W[place(own + p * columns + m + c)]
                for i in range(p + 1, m):
                    value -= W[place(own + p * columns + i)] * W[place(own + i * columns + m + c)]
                W[place(own + p * columns + m + c)] = value
            for a in range(n):
                total = scalar(0)
                for i in range(s):
                    value = W[place(own + (i * n + a) * columns + m + c)]
                    total += b[i] * value
                    if c == 0:
                        X0[k * m + i * n + a] = value
                    else:
                        X1[(k * m + i * n + a) * n + c - 1] = value
                if c == 0:
                    g[k * n + a] = step * total
                else:
                    P[(k * n + a) * n + c - 1] = step * total + (scalar(1) if a == c - 1 else scalar(0))

    return write
