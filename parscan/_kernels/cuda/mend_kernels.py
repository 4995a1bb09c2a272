"""CUDA kernels that correct a scan in chunks where numbers overflow, so that it agrees with the loop.

The product of a chunk may overflow although the states do not, and the states although the product does not. `mend`
marches through the chunks whose summaries are not finite, and `spoil` replaces the states after one that is not finite
by NaN. If all numbers are finite, both kernels only test them. A block tests one sequence.
"""

from __future__ import annotations

from typing import Any

from numba import cuda, types

from .kernel import INTEGER, Kernel, maker, operand, pointer, recurrence, scalar_type
from .thread_kernels import make_loader, make_product

THREADS = 256
"""Threads that test one sequence: as many as may have all the registers that a thread can have."""

AHEAD = 4
"""Vectors that a thread tests at once: it waits for memory once for all of them."""


@maker
def mend_kernel(dtype: str, n: int) -> Kernel:
    """Recompute the states after chunks from the first one that is not finite on, by the loop if the summary fails."""
    scalar, load, multiply = scalar_type(dtype), make_loader(dtype, n, 1), make_product(n)
    find, not_finite, square = _finder(dtype, n), _not_finite(dtype, n), n * n

    def mend(  # type: ignore[no-untyped-def]
        A, A0, At, As, Ai, Aj, b, b0, bt, bs, bi, started, length, chunk, chunks, sequences, start, P, q, carries
    ):
        s = cuda.blockIdx.x
        found = cuda.shared.array(THREADS, types.int64)
        k = find(carries, s * n, sequences * n, chunks, found)
        if cuda.threadIdx.x > 0:
            return
        matrix = cuda.local.array(square, scalar)
        vector = cuda.local.array(n, scalar)
        before = cuda.local.array(n, scalar)
        state = cuda.local.array(n, scalar)
        for i in range(n):
            state[i] = start[s * n + i] if k == 0 else carries[((k - 1) * sequences + s) * n + i]
        while k < chunks:
            index = k * sequences + s
            for i in range(n):
                before[i] = state[i]
                vector[i] = q[index * n + i]
            # A product with zero is zero even if the factor is infinite; an infinite coefficient is found by the march.
            for i in range(n):
                for j in range(n):
                    factor = P[(index * n + i) * n + j] if before[j] != scalar(0) else scalar(0)
                    vector[i] += factor * before[j]
            if not_finite(vector, 0) != 0:
                last = (k + 1) * chunk if (k + 1) * chunk < length else length
                for t in range(k * chunk, last):
                    load(A, A0 + s * As, At, Ai, Aj, b, b0 + s * bs, bt, bi, started, t, last, matrix, vector)
                    multiply(matrix, 0, before, 0, 1, vector)
            for i in range(n):
                state[i] = vector[i]
                carries[index * n + i] = state[i]
            # No state is finite after one that is not finite; it is not specified which of them are NaN.
            k = k + 1 if not_finite(state, 0) == 0 else chunks

    array = pointer(dtype)
    return Kernel(mend, (*recurrence(dtype), *(array,) * 4))


@maker
def spoil_kernel(dtype: str, n: int) -> Kernel:
    """Fill with NaN the chunks after the first one whose last state is not finite."""
    scalar, find, nan = scalar_type(dtype), _finder(dtype, n), float("nan")

    def spoil(length, chunk, chunks, sequences, out, o0, ot, os, oi):  # type: ignore[no-untyped-def]
        s = cuda.blockIdx.x
        found = cuda.shared.array(THREADS, types.int64)
        # The last chunk, which may be shorter, has no chunk after it.
        first = find(out, o0 + (chunk - 1) * ot + s * os, chunk * ot, chunks - 1, found)
        for t in range((first + 1) * chunk + cuda.threadIdx.x, length, THREADS):
            for i in range(n):
                out[o0 + t * ot + s * os + i * oi] = scalar(nan)

    return Kernel(spoil, (*(INTEGER,) * 4, *operand(dtype, 3)))


def _not_finite(dtype: str, n: int) -> Any:
    """Number of the entries of a vector that are not finite: `x - x` is zero only for finite x."""
    scalar = scalar_type(dtype)

    @cuda.jit(device=True, inline="always")
    def not_finite(numbers, offset):  # type: ignore[no-untyped-def]
        count = 0
        for i in range(n):
            if numbers[offset + i] - numbers[offset + i] != scalar(0):
                count += 1
        return count

    return not_finite


def _finder(dtype: str, n: int) -> Any:
    """Index of the first of `count` vectors, `stride` numbers apart, that is not finite; `count` if all are finite."""
    not_finite, ahead = _not_finite(dtype, n), AHEAD

    @cuda.jit(device=True, inline="always")
    def find(numbers, offset, stride, count, found):  # type: ignore[no-untyped-def]
        thread = cuda.threadIdx.x
        first = count
        for begin in range(thread, count, ahead * THREADS):
            for u in range(ahead - 1, -1, -1):
                # Beyond the last vector that one is tested again: no load depends on the test of another vector.
                k = begin + u * THREADS if begin + u * THREADS < count else count - 1
                broken = not_finite(numbers, offset + k * stride)
                first = k if broken != 0 and k < first else first
        found[thread] = first
        cuda.syncthreads()
        width = THREADS // 2
        while width > 0:
            if thread < width and found[thread + width] < found[thread]:
                found[thread] = found[thread + width]
            cuda.syncthreads()
            width //= 2
        return found[0]

    return find
