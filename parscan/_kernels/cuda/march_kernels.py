"""CUDA kernel in which a group of threads marches through a chunk of one sequence, with the matrix in their registers.

It is for matrices too large for the registers of a thread. The state is in shared memory, and a thread has a tile of
the matrix of the step: every `classes`-th row, and in these rows every `lanes`-th column. It multiplies its tile by its
part of the state; then each row is summed by a thread of its own, over the lanes. Each number of a matrix is read once,
into the register where it is used: that of the next step as soon as that of this one has been multiplied, so that
memory works while sums are formed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numba import cuda

from .column_kernels import THREADS
from .groups import make_places
from .kernel import INTEGER, Kernel, maker, operand, place, pointer, recurrence, scalar_type, uint32

LANES = 4
"""Threads that share a row: so many neighbouring numbers are read at once."""


@dataclass(frozen=True)
class Tile:
    """
    How the matrices of order `n` are shared by the threads of a group.

    Thread `t` is lane `t % LANES` of class `t // LANES`.
    """

    n: int

    @property
    def classes(self) -> int:
        """Classes of rows, and columns of a lane."""
        return -(-self.n // LANES)

    @property
    def rows(self) -> int:
        """Rows of a class."""
        return -(-self.n // self.classes)

    @property
    def threads(self) -> int:
        """Threads of a group; as many numbers of the state are in memory, the last ones zero."""
        return LANES * self.classes

    @property
    def pitch(self) -> int:
        """Numbers from the sums of a lane to those of the next one, which begin in other memory banks."""
        return self.rows * self.classes + self.classes

    @property
    def sums(self) -> int:
        """Sums of all threads of a group, in memory."""
        return LANES * self.pitch

    @property
    def groups(self) -> int:
        """Groups in a block."""
        return max(1, THREADS // self.threads)


@maker
def march_kernel(dtype: str, n: int) -> Kernel:
    """States (T, S, n) from `start` (S, n) and the states after each chunk, `carries` (K, S, n).

    The rows of a matrix follow each other in memory.
    """
    scalar, tile = scalar_type(dtype), Tile(n)
    width, sums, numbers = tile.threads, tile.sums, tile.rows * tile.classes
    find, corner, load = make_places(tile.groups, tile.threads), make_corner(n), make_loader(dtype, n)
    multiply, add = make_multiplier(dtype, n), make_adder(n)
    slots, all_sums = tile.groups * tile.threads, tile.groups * tile.sums

    def march(  # type: ignore[no-untyped-def]
        A, A0, At, As, Ai, Aj, b, b0, bt, bs, bi, started, length, chunk, chunks, sequences,
        start, carries, out, o0, ot, os, oi
    ):  # fmt: skip
        states = cuda.shared.array(slots, scalar)
        partial = cuda.shared.array(all_sums, scalar)
        matrix = cuda.local.array(numbers, scalar)
        group, i, index, s, begin, idle = find(length, chunk, chunks, sequences)
        own, mine, is_row = group * width, group * sums, i < n
        row = i if is_row else uint32(0)
        here = A0 + begin * At + s * As + corner(i)
        beside = b0 + begin * bt + s * bs + row * bi
        after = o0 + begin * ot + s * os + row * oi
        load(A, here, i, begin > 0 or started != 0, matrix)
        offset, state = b[beside], scalar(0)
        if is_row:
            state = start[s * n + row] if index < sequences else carries[(index - sequences) * n + row]
        states[place(own + i)] = state
        cuda.syncthreads()
        t = 0
        while t < chunk - 1:  # not a range, which would count twice
            multiply(matrix, states, own, partial, mine, i)
            total = offset
            here, beside = here + At, beside + bt
            load(A, here, i, True, matrix)
            offset = b[beside]
            cuda.syncthreads()
            if is_row and t >= idle:
                total = add(partial, mine, i, total)
                states[place(own + i)] = total
                out[after] = total
            after, t = after + ot, t + 1
            cuda.syncthreads()
        multiply(matrix, states, own, partial, mine, i)
        cuda.syncthreads()
        total = add(partial, mine, i, offset)
        if is_row and idle < chunk:
            out[o0 + (begin + chunk - 1) * ot + s * os + row * oi] = total

    array, result = pointer(dtype), operand(dtype, 3)
    return Kernel(march, (*recurrence(dtype), array, array, *result))


def make_corner(n: int) -> Any:
    """Finds the first number of the tile of a thread in a matrix."""

    @cuda.jit(device=True, inline="always")
    def corner(thread):  # type: ignore[no-untyped-def]
        return INTEGER(thread // uint32(LANES)) * n + INTEGER(thread % uint32(LANES))

    return corner


def make_loader(dtype: str, n: int) -> Any:
    """Loads the tile of a thread, whose first number is `here`; beyond the matrix, zeros."""
    scalar, tile = scalar_type(dtype), Tile(n)
    rows, classes = tile.rows, tile.classes

    @cuda.jit(device=True, inline="always")
    def load(A, here, thread, counts, matrix):  # type: ignore[no-untyped-def]
        row, column = thread // uint32(LANES), thread % uint32(LANES)
        for k in range(rows):
            for c in range(classes):
                value = scalar(0)
                if counts and row + uint32(k * classes) < uint32(n) and column + uint32(c * LANES) < uint32(n):
                    value = A[here + (k * classes * n + c * LANES)]
                matrix[k * classes + c] = value

    return load


def make_multiplier(dtype: str, n: int) -> Any:
    """Multiplies the tile of a thread by the state, and writes the sums of its rows."""
    scalar, tile = scalar_type(dtype), Tile(n)
    rows, classes, pitch = tile.rows, tile.classes, tile.pitch

    @cuda.jit(device=True, inline="always")
    def multiply(matrix, states, own, partial, mine, thread):  # type: ignore[no-untyped-def]
        row, column = thread // uint32(LANES), thread % uint32(LANES)
        totals = cuda.local.array(rows, scalar)
        for k in range(rows):
            totals[k] = scalar(0)
        for c in range(classes):
            factor = states[place(own + column + c * LANES)]
            for k in range(rows):
                totals[k] += matrix[k * classes + c] * factor
        for k in range(rows):
            partial[place(mine + column * pitch + row + k * classes)] = totals[k]

    return multiply


def make_adder(n: int) -> Any:
    """The sum of a row over the lanes, added to a number."""
    pitch = Tile(n).pitch

    @cuda.jit(device=True, inline="always")
    def add(partial, mine, row, total):  # type: ignore[no-untyped-def]
        for lane in range(LANES):
            total += partial[place(mine + lane * pitch + row)]
        return total

    return add
