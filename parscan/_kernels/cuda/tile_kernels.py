"""CUDA kernels in which a block evaluates a tile of consecutive steps of one sequence of scalars.

They are for few and long sequences: the threads of a warp read neighbouring memory, which they would not if each had
its own chunk. The phases are those of :mod:`parscan._kernels.cuda.thread_kernels`; a chunk is a tile.
"""

from __future__ import annotations

from typing import Any

from numba import cuda, types

from .kernel import DTYPES, INTEGER, Kernel, maker, operand, pointer, recurrence, scalar_type
from .tiles import Tile, make_composer, make_finisher, make_joiner, make_loader, make_storer, make_walker, tile_of

LARGEST = dict.fromkeys(DTYPES, 1)
"""Largest order of the matrices."""


@maker
def summarise_kernel(dtype: str, n: int, tile: Tile | None = None) -> Kernel:
    """`P` (K, S) and `q` (K, S) of K tiles of S sequences."""
    tile = tile or tile_of(dtype)
    scalar, load, compose = (
        scalar_type(dtype),
        make_loader(dtype, tile),
        make_composer(dtype, tile),
    )
    join, split = make_joiner(dtype, tile), make_splitter()
    steps, items, parts, warps = tile.steps, tile.items, (2, tile.parts), (2, tile.warps)

    def summarise(  # type: ignore[no-untyped-def]
        A, A0, At, As, Ai, Aj, b, b0, bt, bs, bi, started, length, chunk, chunks, sequences, P, q
    ):
        maps = cuda.shared.array(warps, scalar)
        stage = cuda.shared.array(steps, scalar)
        ra = cuda.local.array(items, scalar)
        rb = cuda.local.array(items, scalar)
        runs = cuda.local.array(parts, scalar)
        index = cuda.blockIdx.x
        s, first = split(index, sequences, chunk)
        load(A, A0 + s * As, At, b, b0 + s * bs, bt, started, first, length, ra, rb, stage)
        compose(ra, rb, runs, maps)
        if cuda.threadIdx.x == 0:
            P[index], q[index] = join(maps)

    array = pointer(dtype)
    return Kernel(summarise, (*recurrence(dtype), array, array))


@maker
def march_kernel(dtype: str, n: int, tile: Tile | None = None) -> Kernel:
    """States (T, S) from `start` (S,) and the states after each tile, `carries` (K, S)."""
    tile = tile or tile_of(dtype)
    scalar, split, load = scalar_type(dtype), make_splitter(), make_loader(dtype, tile)
    compose, finish, store = make_composer(dtype, tile), make_finisher(dtype, tile), make_storer(dtype, tile)
    walk = make_walker(dtype, tile)
    steps, items, parts, warps = tile.steps, tile.items, (2, tile.parts), (2, tile.warps)

    def march(  # type: ignore[no-untyped-def]
        A, A0, At, As, Ai, Aj, b, b0, bt, bs, bi, started, length, chunk, chunks, sequences,
        start, carries, out, o0, ot, os, oi
    ):  # fmt: skip
        maps = cuda.shared.array(warps, scalar)
        stage = cuda.shared.array(steps, scalar)
        ra = cuda.local.array(items, scalar)
        rb = cuda.local.array(items, scalar)
        runs = cuda.local.array(parts, scalar)
        index = cuda.blockIdx.x
        s, first = split(index, sequences, chunk)
        entering = start[s] if first == 0 else carries[index - sequences]
        load(A, A0 + s * As, At, b, b0 + s * bs, bt, started, first, length, ra, rb, stage)
        compose(ra, rb, runs, maps)
        broken = finish(ra, rb, runs, maps, entering)
        # After a state that is not finite, no state is finite: the loop need not be tried.
        if cuda.syncthreads_or(broken if entering - entering == scalar(0) else 0) != 0:
            walk(A, A0 + s * As, At, b, b0 + s * bs, bt, started, first, length, entering, out, o0 + s * os, ot)
        else:
            store(out, o0 + s * os, ot, first, length, rb, stage)

    array, result = pointer(dtype), operand(dtype, 3)
    return Kernel(march, (*recurrence(dtype), array, array, *result))


def make_splitter() -> Any:
    """Sequence and first step of a block.

    The division has 32 bits: one of 64 bits is a call, after which the compiler no longer knows that warps converge.
    """
    unsigned = types.uint32

    @cuda.jit(device=True, inline="always")
    def split(index, sequences, chunk):  # type: ignore[no-untyped-def]
        tile = INTEGER(unsigned(index) // unsigned(sequences))
        return index - tile * sequences, tile * chunk

    return split
