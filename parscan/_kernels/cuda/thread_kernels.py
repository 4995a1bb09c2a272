"""CUDA kernels in which a thread marches through a chunk of one sequence, with the state in registers.

The phases of a scan: `summarise` finds the affine map of each chunk, `h -> P h + q`; another scan of these maps gives
the states after the chunks; `march` evaluates each chunk from the state before it. With one chunk per sequence,
`march` alone is needed.

Neighbouring threads have neighbouring sequences, so that their loads are coalesced.
"""

from __future__ import annotations

from typing import Any

from numba import cuda

from .kernel import Kernel, maker, operand, pointer, recurrence, scalar_type
from .primitives import narrow, reader, width, writer

PREFETCH = {1: 8, 2: 4}
"""Steps whose operands are loaded together, by the order of the matrices; one step for orders not listed."""

LARGEST = {"float32": 6, "float64": 6, "complex64": 5, "complex128": 4}
"""Largest order of the matrices for which the compiler does not spill registers."""


def widths(dtype: str, n: int) -> tuple[int, int]:
    """Bytes to which matrices and vectors must be aligned for the wide kernels, which are for even orders."""
    return (width(dtype, n * n), width(dtype, n)) if n % 2 == 0 else (narrow(dtype), narrow(dtype))


@maker
def summarise_kernel(dtype: str, n: int, *, wide: bool = False) -> Kernel:
    """`P` (K, S, n, n) and `q` (K, S, n) of K chunks of S sequences.

    If `wide`, the numbers of each matrix and of each vector follow each other in memory, aligned as `widths` says.
    """
    scalar, ahead = scalar_type(dtype), PREFETCH.get(n, 1)
    load, multiply = (make_wide_loader if wide else make_loader)(dtype, n, ahead), make_product(n)
    square, all_matrices, all_vectors = n * n, ahead * n * n, ahead * n

    def summarise(  # type: ignore[no-untyped-def]
        A, A0, At, As, Ai, Aj, b, b0, bt, bs, bi, started, length, chunk, chunks, sequences, P, q
    ):
        index = cuda.grid(1)
        if index >= chunks * sequences:
            return
        s = index % sequences
        first = index // sequences * chunk
        last = first + chunk if first + chunk < length else length
        matrices = cuda.local.array(all_matrices, scalar)
        vectors = cuda.local.array(all_vectors, scalar)
        product = cuda.local.array(square, scalar)
        offset = cuda.local.array(n, scalar)
        column = cuda.local.array(n, scalar)
        for i in range(n):
            offset[i] = scalar(0)
            for j in range(n):
                product[i * n + j] = scalar(1) if i == j else scalar(0)
        for begin in range(first, last, ahead):
            load(A, A0 + s * As, At, Ai, Aj, b, b0 + s * bs, bt, bi, started, begin, last, matrices, vectors)
            for u in range(ahead):
                for j in range(n):
                    for i in range(n):
                        column[i] = scalar(0)
                    multiply(matrices, u * square, product, j, n, column)
                for i in range(n):
                    column[i] = vectors[u * n + i]
                multiply(matrices, u * square, offset, 0, 1, column)
        for i in range(n):
            q[index * n + i] = offset[i]
            for j in range(n):
                P[(index * n + i) * n + j] = product[i * n + j]

    array = pointer(dtype)
    return Kernel(summarise, (*recurrence(dtype), array, array))


@maker
def march_kernel(dtype: str, n: int, *, wide: bool = False) -> Kernel:
    """States (T, S, n) from `start` (S, n) and the states after each chunk, `carries` (K, S, n).

    If `wide`, the numbers of each matrix and of each vector follow each other in memory, aligned as `widths` says.
    """
    scalar, ahead = scalar_type(dtype), PREFETCH.get(n, 1)
    load, multiply = (make_wide_loader if wide else make_loader)(dtype, n, ahead), make_product(n)
    store = make_wide_storer(dtype, n) if wide else make_storer(n)
    all_matrices, all_vectors = ahead * n * n, ahead * n

    def march(  # type: ignore[no-untyped-def]
        A, A0, At, As, Ai, Aj, b, b0, bt, bs, bi, started, length, chunk, chunks, sequences,
        start, carries, out, o0, ot, os, oi
    ):  # fmt: skip
        index = cuda.grid(1)
        if index >= chunks * sequences:
            return
        s = index % sequences
        first = index // sequences * chunk
        last = first + chunk if first + chunk < length else length
        matrices = cuda.local.array(all_matrices, scalar)
        vectors = cuda.local.array(all_vectors, scalar)
        state = cuda.local.array(n, scalar)
        following = cuda.local.array(n, scalar)
        for i in range(n):
            state[i] = start[index * n + i] if first == 0 else carries[(index - sequences) * n + i]
        for begin in range(first, last, ahead):
            load(A, A0 + s * As, At, Ai, Aj, b, b0 + s * bs, bt, bi, started, begin, last, matrices, vectors)
            for u in range(ahead):
                for i in range(n):
                    following[i] = vectors[u * n + i]
                multiply(matrices, u * n * n, state, 0, 1, following)
                if begin + u < last:
                    store(out, o0 + (begin + u) * ot + s * os, oi, state)

    array, result = pointer(dtype), operand(dtype, 3)
    return Kernel(march, (*recurrence(dtype), array, array, *result))


def make_loader(dtype: str, n: int, ahead: int) -> Any:
    """Loads the operands of `ahead` steps; beyond the last step, identity and zero.

    Without a start, zeros replace the first coefficient, which may be NaN.
    """
    scalar = scalar_type(dtype)

    @cuda.jit(device=True, inline="always")
    def load(A, A0, At, Ai, Aj, b, b0, bt, bi, started, begin, last, matrices, vectors):  # type: ignore[no-untyped-def]
        for u in range(ahead):
            t = begin + u
            for i in range(n):
                vectors[u * n + i] = b[b0 + t * bt + i * bi] if t < last else scalar(0)
                for j in range(n):
                    value = scalar(1) if i == j else scalar(0)
                    if t == 0 and started == 0:
                        value = scalar(0)
                    elif t < last:
                        value = A[A0 + t * At + i * Ai + j * Aj]
                    matrices[(u * n + i) * n + j] = value

    return load


def make_wide_loader(dtype: str, n: int, ahead: int) -> Any:
    """Loads what `make_loader` does, by accesses to several neighbouring numbers."""
    scalar, square = scalar_type(dtype), n * n
    of_matrix, of_vector = widths(dtype, n)
    read_matrix, read_vector = reader(dtype, square, of_matrix), reader(dtype, n, of_vector)

    @cuda.jit(device=True, inline="always")
    def load(A, A0, At, Ai, Aj, b, b0, bt, bi, started, begin, last, matrices, vectors):  # type: ignore[no-untyped-def]
        for u in range(ahead):
            t = begin + u
            if t < last:
                read_vector(b, b0 + t * bt, vectors, u * n)
                read_matrix(A, A0 + t * At, matrices, u * square)
            else:
                for i in range(n):
                    vectors[u * n + i] = scalar(0)
                    for j in range(n):
                        matrices[u * square + i * n + j] = scalar(1) if i == j else scalar(0)
        if begin == 0 and started == 0:
            for i in range(square):
                matrices[i] = scalar(0)

    return load


def make_storer(n: int) -> Any:
    """Writes the state to `after`."""

    @cuda.jit(device=True, inline="always")
    def store(out, after, stride, state):  # type: ignore[no-untyped-def]
        for i in range(n):
            out[after + i * stride] = state[i]

    return store


def make_wide_storer(dtype: str, n: int) -> Any:
    """Writes what `make_storer` does, by accesses to several neighbouring numbers."""
    write = writer(dtype, n, widths(dtype, n)[1])

    @cuda.jit(device=True, inline="always")
    def store(out, after, stride, state):  # type: ignore[no-untyped-def]
        write(out, after, state, 0)

    return store


def make_product(n: int) -> Any:
    """Adds a matrix times `x` to `column`, and copies the sum to `x`."""

    @cuda.jit(device=True, inline="always")
    def multiply(matrices, matrix, x, x0, stride, column):  # type: ignore[no-untyped-def]
        for i in range(n):
            for c in range(n):
                column[i] += matrices[matrix + i * n + c] * x[x0 + c * stride]
        for i in range(n):
            x[x0 + i * stride] = column[i]

    return multiply
