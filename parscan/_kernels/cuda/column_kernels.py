"""CUDA kernels in which a group of threads marches through a chunk of one sequence, with the state in shared memory.

They are for matrices too large for the registers of a thread. A group has `n + 1` threads. To summarise a chunk, each
thread updates a column of the product, the last one the offset, and all share the matrix of the step. To march, each
thread but the last computes a row.
"""

from __future__ import annotations

from typing import Any

from numba import cuda, types

from ..._arrays.namespace import itemsize
from .kernel import DTYPES, INTEGER, Kernel, maker, operand, place, pointer, recurrence, scalar_type

THREADS = 128
"""Approximate number of threads of a block, which has as many groups as fit into it, at least one."""

SHARED_BYTES = 47 << 10
"""Shared memory of a block that needs no request to the driver, less the part that the system uses."""


def group_bytes(dtype: str, n: int) -> int:
    """Shared memory of a group: the matrix of a step, and the products before and after the step."""
    return 3 * n * (n + 1) * itemsize(dtype)


LARGEST = {dtype: max(n for n in range(1, 128) if group_bytes(dtype, n) <= SHARED_BYTES) for dtype in DTYPES}
"""Largest order of the matrices for which a group fits into a block."""


def groups(dtype: str, n: int) -> int:
    """Groups in a block."""
    return max(1, min(THREADS // (n + 1), SHARED_BYTES // group_bytes(dtype, n)))


@maker
def summarise_kernel(dtype: str, n: int) -> Kernel:
    """`P` (K, S, n, n) and `q` (K, S, n) of K chunks of S sequences."""
    scalar, count, width = scalar_type(dtype), groups(dtype, n), n + 1
    load, numbers, pairs = make_loader(dtype, n, width), count * n * width, 2 * count * n * width

    def summarise(  # type: ignore[no-untyped-def]
        A, A0, At, As, Ai, Aj, b, b0, bt, bs, bi, started, length, chunk, chunks, sequences, P, q
    ):
        matrices = cuda.shared.array(numbers, scalar)
        products = cuda.shared.array(pairs, scalar)
        group, j = cuda.threadIdx.x // width, cuda.threadIdx.x % width
        index = cuda.blockIdx.x * count + group
        s = index % sequences
        first = index // sequences * chunk
        own, before, after = group * n * width, 2 * group * n * width, (2 * group + 1) * n * width
        last = first + chunk if first + chunk < length else length
        last = last if index < chunks * sequences else first
        for i in range(n):
            products[place(before + i * width + j)] = scalar(1) if i == j else scalar(0)
        for t in range(first, first + chunk):
            if t < last:
                load(A, A0 + t * At + s * As, Ai, Aj, t > 0 or started != 0, j, matrices, own)
            cuda.syncthreads()
            if t < last:
                for i in range(n):
                    total = b[b0 + t * bt + s * bs + i * bi] if j == n else scalar(0)
                    for c in range(n):
                        total += matrices[place(own + i * width + c)] * products[place(before + c * width + j)]
                    products[place(after + i * width + j)] = total
                before, after = after, before
            cuda.syncthreads()
        if index < chunks * sequences:
            for i in range(n):
                if j == n:
                    q[index * n + i] = products[place(before + i * width + j)]
                else:
                    P[(index * n + i) * n + j] = products[place(before + i * width + j)]

    array = pointer(dtype)
    return Kernel(summarise, (*recurrence(dtype), array, array))


@maker
def march_kernel(dtype: str, n: int) -> Kernel:
    """States (T, S, n) from `start` (S, n) and the states after each chunk, `carries` (K, S, n)."""
    scalar, count, width, pitch = scalar_type(dtype), groups(dtype, n), n + 1, row_pitch(n)
    load, numbers, pairs = make_loader(dtype, n, pitch), count * n * pitch, 2 * count * n

    def march(  # type: ignore[no-untyped-def]
        A, A0, At, As, Ai, Aj, b, b0, bt, bs, bi, started, length, chunk, chunks, sequences,
        start, carries, out, o0, ot, os, oi
    ):  # fmt: skip
        matrices = cuda.shared.array(numbers, scalar)
        states = cuda.shared.array(pairs, scalar)
        group, i = cuda.threadIdx.x // width, cuda.threadIdx.x % width
        index = cuda.blockIdx.x * count + group
        s = index % sequences
        first = index // sequences * chunk
        own, before, after = group * n * pitch, 2 * group * n, (2 * group + 1) * n
        last = first + chunk if first + chunk < length else length
        last = last if index < chunks * sequences else first
        if first < last and i < n:
            states[place(before + i)] = start[index * n + i] if first == 0 else carries[(index - sequences) * n + i]
        for t in range(first, first + chunk):
            if t < last:
                load(A, A0 + t * At + s * As, Ai, Aj, t > 0 or started != 0, i, matrices, own)
            cuda.syncthreads()
            if t < last and i < n:
                total = b[b0 + t * bt + s * bs + i * bi]
                for c in range(n):
                    total += matrices[place(own + i * pitch + c)] * states[place(before + c)]
                states[place(after + i)] = total
                out[o0 + t * ot + s * os + i * oi] = total
            before, after = after, before
            cuda.syncthreads()

    array, result = pointer(dtype), operand(dtype, 3)
    return Kernel(march, (*recurrence(dtype), array, array, *result))


def row_pitch(n: int) -> int:
    """Numbers from one row of a matrix to the next where each thread reads a row: odd, to use all memory banks."""
    return n | 1


def make_loader(dtype: str, n: int, pitch: int) -> Any:
    """Loads the matrix of a step; each thread of the group loads every (n + 1)-th number. Rows are `pitch` apart.

    Without a start, zeros replace the first coefficient, which may be NaN. The division has 32 bits: one of 64 bits
    takes twice as many instructions.
    """
    scalar, width, unsigned = scalar_type(dtype), n + 1, types.uint32

    @cuda.jit(device=True, inline="always")
    def load(A, A0, Ai, Aj, counts, thread, matrices, own):  # type: ignore[no-untyped-def]
        for e in range(thread, n * n, width):
            i = INTEGER(unsigned(e) // unsigned(n))
            j = e - i * n
            value = A[A0 + i * Ai + j * Aj] if counts else scalar(0)
            matrices[place(own + i * pitch + j)] = value

    return load
