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

PREFETCH = {1: 8, 2: 4}
"""Steps whose operands are loaded together, by the order of the matrices; one step for orders not listed."""

LARGEST = {"float32": 6, "float64": 6, "complex64": 5, "complex128": 4}
"""Largest order of the matrices for which the compiler does not spill registers."""


@maker
def summarise_kernel(dtype: str, n: int) -> Kernel:
    """`P` (K, S, n, n) and `q` (K, S, n) of K chunks of S sequences."""
    scalar, ahead = scalar_type(dtype), PREFETCH.get(n, 1)
    load, multiply = make_loader(dtype, n, ahead), make_product(n)
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
def march_kernel(dtype: str, n: int) -> Kernel:
    """States (T, S, n) from `start` (S, n) and the states after each chunk, `carries` (K, S, n)."""
    scalar, ahead = scalar_type(dtype), PREFETCH.get(n, 1)
    load, multiply = make_loader(dtype, n, ahead), make_product(n)
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
                    for i in range(n):
                        out[o0 + (begin + u) * ot + s * os + i * oi] = state[i]

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
