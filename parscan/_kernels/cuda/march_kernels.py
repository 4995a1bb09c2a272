"""CUDA kernel in which a group of threads marches through a chunk of one sequence, with the matrix in their registers.

It is for matrices too large for the registers of a thread. The state is in shared memory, and a thread has a tile of
the matrix of the step: every `classes`-th row, and in these rows every `lanes`-th column. It multiplies its tile by its
part of the state; then each row is summed by a thread of its own, over the lanes. Each number of a matrix is read once,
into the register where it is used: that of the next step as soon as that of this one has been multiplied, so that
memory works while sums are formed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from numba import cuda

from ..._arrays.namespace import itemsize
from .column_kernels import THREADS
from .groups import make_places
from .kernel import INTEGER, Kernel, int32, maker, operand, place, pointer, recurrence, scalar_type, uint32
from .primitives import WIDE, narrow, reader, width

LANES = 4
"""Threads that share a row: so many neighbouring numbers are read at once."""


@dataclass(frozen=True)
class Tile:
    """
    How the matrices of order `n` are shared by the threads of a group.

    Thread `t` is lane `t % LANES` of class `t // LANES`. The lanes of a row take turns: each has `vector` columns, and
    as many again behind those of the other lanes.
    """

    n: int
    vector: int = 1

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
    def is_whole(self) -> tuple[bool, bool]:
        """Whether every thread has all its rows, and all its columns: then kernels do not ask.

        The compiler may find that out, but not from what Numba makes of the bytecode of every Python.
        """
        return self.rows * self.classes == self.n, LANES * self.classes == self.n

    @property
    def groups(self) -> int:
        """Groups in a block."""
        return max(1, THREADS // self.threads)


def wide_tile(dtype: str, n: int) -> Tile:
    """The tile whose lanes have as many neighbouring columns as one access reads, if these divide all rows."""
    tile = Tile(n)
    while tile.vector * itemsize(dtype) < WIDE and n % (2 * tile.vector) == tile.classes % (2 * tile.vector) == 0:
        tile = replace(tile, vector=2 * tile.vector)
    return tile


def widths(dtype: str, n: int) -> tuple[int, int]:
    """Bytes to which matrices and vectors must be aligned for the wide kernel, which reads vectors one by one."""
    return width(dtype, wide_tile(dtype, n).vector), narrow(dtype)


@maker
def march_kernel(dtype: str, n: int, *, wide: bool = False) -> Kernel:
    """States (T, S, n) from `start` (S, n) and the states after each chunk, `carries` (K, S, n).

    The rows of a matrix follow each other in memory; if `wide`, they are aligned as :func:`widths` says.
    """
    scalar, tile = scalar_type(dtype), wide_tile(dtype, n) if wide else Tile(n)
    group_width, sums, numbers = tile.threads, tile.sums, tile.rows * tile.classes
    find, corner = make_places(tile.groups, tile.threads), make_corner(tile)
    load = make_loader(dtype, tile, widths(dtype, n)[0] if wide else narrow(dtype))
    multiply, add = make_multiplier(dtype, tile), make_adder(tile)
    has_row = tile.is_whole[1]  # as many threads as columns
    slots, all_sums = tile.groups * tile.threads, tile.groups * tile.sums

    def march(  # type: ignore[no-untyped-def]
        A, A0, At, As, Ai, Aj, b, b0, bt, bs, bi, started, length, chunk, chunks, sequences,
        start, carries, out, o0, ot, os, oi
    ):  # fmt: skip
        states = cuda.shared.array(slots, scalar, WIDE)
        partial = cuda.shared.array(all_sums, scalar)
        matrix = cuda.local.array(numbers, scalar)
        group, i, index, s, begin, idle = find(length, chunk, chunks, sequences)
        own, mine, is_row = group * group_width, group * sums, has_row or i < n
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
        t, last, idle_steps = int32(0), int32(chunk - 1), int32(idle)
        while t < last:  # not a range, which would count twice
            multiply(matrix, states, own, partial, mine, i)
            total = offset
            here, beside = here + At, beside + bt
            load(A, here, i, True, matrix)
            offset = b[beside]
            cuda.syncthreads()
            if is_row and t >= idle_steps:
                total = add(partial, mine, i, total)
                states[place(own + i)] = total
                out[after] = total
            after, t = after + ot, int32(t + int32(1))
            cuda.syncthreads()
        multiply(matrix, states, own, partial, mine, i)
        cuda.syncthreads()
        total = add(partial, mine, i, offset)
        if is_row and idle < chunk:
            out[o0 + (begin + chunk - 1) * ot + s * os + row * oi] = total

    array, result = pointer(dtype), operand(dtype, 3)
    return Kernel(march, (*recurrence(dtype), array, array, *result))


def make_corner(tile: Tile) -> Any:
    """Finds the first number of the tile of a thread in a matrix."""
    n, vector = tile.n, tile.vector

    @cuda.jit(device=True, inline="always")
    def corner(thread):  # type: ignore[no-untyped-def]
        return INTEGER(thread // uint32(LANES)) * n + INTEGER(thread % uint32(LANES)) * vector

    return corner


def make_loader(dtype: str, tile: Tile, wide: int) -> Any:
    """Loads the tile of a thread, which begins at `here`, by accesses of `wide` bytes; beyond the matrix, zeros."""
    scalar, n, rows, classes, vector = scalar_type(dtype), tile.n, tile.rows, tile.classes, tile.vector
    read, (has_rows, has_columns) = reader(dtype, vector, wide), tile.is_whole

    @cuda.jit(device=True, inline="always")
    def load(A, here, thread, counts, matrix):  # type: ignore[no-untyped-def]
        row, column = thread // uint32(LANES), thread % uint32(LANES) * uint32(vector)
        for k in range(rows):
            is_row = has_rows or row + uint32(k * classes) < uint32(n)
            for c in range(0, classes, vector):
                if counts and is_row and (has_columns or column + uint32(c * LANES) < uint32(n)):
                    read(A, here + (k * classes * n + c * LANES), matrix, k * classes + c)
                else:
                    for v in range(vector):
                        matrix[k * classes + c + v] = scalar(0)

    return load


def make_multiplier(dtype: str, tile: Tile) -> Any:
    """Multiplies the tile of a thread by the state, and writes the sums of its rows."""
    scalar, rows, classes, vector, pitch = scalar_type(dtype), tile.rows, tile.classes, tile.vector, tile.pitch
    read = reader(dtype, vector, width(dtype, vector))

    @cuda.jit(device=True, inline="always")
    def multiply(matrix, states, own, partial, mine, thread):  # type: ignore[no-untyped-def]
        row, column = thread // uint32(LANES), thread % uint32(LANES) * uint32(vector)
        totals = cuda.local.array(rows, scalar)
        factors = cuda.local.array(vector, scalar)
        for k in range(rows):
            totals[k] = scalar(0)
        for c in range(0, classes, vector):
            read(states, place(own + column + c * LANES), factors, 0)
            for v in range(vector):
                for k in range(rows):
                    totals[k] += matrix[k * classes + c + v] * factors[v]
        for k in range(rows):
            partial[place(mine + thread % uint32(LANES) * pitch + row + k * classes)] = totals[k]

    return multiply


def make_adder(tile: Tile) -> Any:
    """The sum of a row over the lanes, added to a number."""
    pitch = tile.pitch

    @cuda.jit(device=True, inline="always")
    def add(partial, mine, row, total):  # type: ignore[no-untyped-def]
        for lane in range(LANES):
            total += partial[place(mine + lane * pitch + row)]
        return total

    return add
