"""CUDA kernel in which a group of threads finds the affine map of a chunk of one sequence, by its columns.

It is for matrices too large for the registers of a thread. A group has `n + 1` threads: each updates a column of the
product, the last one the offset. All share the matrix of the step, in shared memory; that of the next step is loaded
into registers while this one is multiplied.
"""

from __future__ import annotations

from typing import Any

from numba import cuda

from ..._arrays.namespace import itemsize
from .groups import make_places
from .kernel import DTYPES, Kernel, maker, place, pointer, recurrence, scalar_type, uint32

THREADS = 128
"""Approximate number of threads of a block, which has as many groups as fit into it, at least one."""

SHARED_BYTES = 47 << 10
"""Shared memory of a block that needs no request to the driver, less the part that the system uses."""

ROWS = 4
"""Rows that a thread multiplies at once by a column: so many products for each number of the column that it reads."""


def matrix_numbers(n: int) -> int:
    """Numbers of a group's matrix, and beside it the offset; a multiple of `ROWS` rows, the last ones unused."""
    return -(-n // ROWS) * ROWS * (n + 1)


def group_bytes(dtype: str, n: int) -> int:
    """Shared memory of a group: the matrix of a step, and the products before and after the step."""
    return (matrix_numbers(n) + 2 * n * (n + 1)) * itemsize(dtype)


LARGEST = {dtype: max(n for n in range(1, 128) if group_bytes(dtype, n) <= SHARED_BYTES) for dtype in DTYPES}
"""Largest order of the matrices for which a group fits into a block."""


def groups(dtype: str, n: int) -> int:
    """Groups in a block."""
    return max(1, min(THREADS // (n + 1), SHARED_BYTES // group_bytes(dtype, n)))


@maker
def summarise_kernel(dtype: str, n: int) -> Kernel:
    """`P` (K, S, n, n) and `q` (K, S, n) of K chunks of S sequences.

    The rows of a matrix follow each other in memory.
    """
    scalar, count, width = scalar_type(dtype), groups(dtype, n), n + 1
    find, load, store, multiply = make_places(count, width), make_loader(n), make_storer(n), make_multiplier(dtype, n)
    matrix, product = matrix_numbers(n), n * width
    numbers, pairs = count * matrix, 2 * count * product

    def summarise(  # type: ignore[no-untyped-def]
        A, A0, At, As, Ai, Aj, b, b0, bt, bs, bi, started, length, chunk, chunks, sequences, P, q
    ):
        matrices = cuda.shared.array(numbers, scalar)
        products = cuda.shared.array(pairs, scalar)
        ahead = cuda.local.array(n, scalar)
        group, j, index, s, begin, idle = find(length, chunk, chunks, sequences)
        column = j if j < n else uint32(0)
        here, beside = A0 + begin * At + s * As + column, b0 + begin * bt + s * bs + column * bi
        load(A, here, ahead)
        offset = b[beside]
        if begin == 0 and started == 0:
            for i in range(n):
                ahead[i] = scalar(0)
        own, before, after = group * matrix, 2 * group * product, (2 * group + 1) * product
        for i in range(n):
            products[place(before + i * width + j)] = scalar(1) if i == j else scalar(0)
        for t in range(chunk):
            if j < n:
                store(ahead, offset, matrices, own, j)
            cuda.syncthreads()
            if t + 1 < chunk:
                here, beside = here + At, beside + bt
                load(A, here, ahead)
                offset = b[beside]
            if t >= idle:
                multiply(matrices, own, products, before, after, j)
                before, after = after, before
            cuda.syncthreads()
        if idle < chunk:
            for i in range(n):
                if j == n:
                    q[index * n + i] = products[place(before + i * width + j)]
                else:
                    P[(index * n + i) * n + j] = products[place(before + i * width + j)]

    array = pointer(dtype)
    return Kernel(summarise, (*recurrence(dtype), array, array))


def make_loader(n: int) -> Any:
    """Loads a column of a matrix, whose first number is `here`."""

    @cuda.jit(device=True, inline="always")
    def load(A, here, ahead):  # type: ignore[no-untyped-def]
        for i in range(n):
            ahead[i] = A[here + i * n]

    return load


def make_storer(n: int) -> Any:
    """Writes a column of the matrix, and a number of the offset, to shared memory."""
    width = n + 1

    @cuda.jit(device=True, inline="always")
    def store(ahead, offset, matrices, own, j):  # type: ignore[no-untyped-def]
        for i in range(n):
            matrices[place(own + i * width + j)] = ahead[i]
        matrices[place(own + j * width + n)] = offset

    return store


def make_multiplier(dtype: str, n: int) -> Any:
    """Multiplies the matrix by a column of the product, the last one of which gets the offset."""
    scalar, width, blocks = scalar_type(dtype), n + 1, -(-n // ROWS)

    @cuda.jit(device=True, inline="always")
    def multiply(matrices, own, products, before, after, j):  # type: ignore[no-untyped-def]
        totals = cuda.local.array(ROWS, scalar)
        column = place(before + j)
        for block in range(blocks):
            row, result = place(own + block * (ROWS * width)), place(after + block * (ROWS * width) + j)
            for r in range(ROWS):
                totals[r] = matrices[row + place(r * width + n)] if j == n else scalar(0)
            c = 0
            while c < n:  # not a range, whose counter would stay in the code where this is unrolled in part
                factor = products[column + place(c * width)]
                for r in range(ROWS):
                    totals[r] += matrices[row + place(r * width + c)] * factor
                c += 1
            for r in range(ROWS):
                if n % ROWS == 0 or block * ROWS + r < n:
                    products[result + place(r * width)] = totals[r]

    return multiply
