"""CUDA kernels that scan one sequence of scalars in a single pass. They are off until a GPU has judged them.

A tile first publishes the map `h -> A h + B` of its steps, and its last state as soon as that is known. A later tile
looks back for the nearest published state, and applies the maps of the tiles in between, in their order. Maps of
different tiles are never composed, so that fewer products overflow, and every run gives the same rounding errors.

Tiles are numbered in the order in which they start to run, so that all tiles before a tile have started, and it can
wait for them. Tiles communicate by :mod:`parscan._kernels.cuda.lookback_words` alone.

References
----------
Merrill and Garland, *Single-pass parallel prefix scan with decoupled look-back*, NVIDIA technical report NVR-2016-002.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from numba import cuda, types

from . import lookback_primitives as primitives
from . import lookback_words as words
from . import warp_primitives as together
from .kernel import INTEGER, Kernel, maker, operand, pointer, recurrence, scalar_type
from .lookback_words import BROKEN, EPOCH, MAP, STATE, TICKETS, make_look_back, make_publishers
from .tiles import Tile, make_composer, make_finisher, make_joiner, make_loader, make_storer, make_walker, tile_of


@maker
def scan_kernel(dtype: str, n: int, tile: Tile | None = None) -> Kernel:
    """States (T,) from `start` (1,); `repair` replaces the states from the first tile that is not finite."""
    tile = tile or tile_of(dtype)
    steps, items, parts, warps = tile.steps, tile.items, (2, tile.parts), (2, tile.warps)
    load, store = make_loader(dtype, tile), make_storer(dtype, tile)
    compose, finish, enter = make_composer(dtype, tile), make_finisher(dtype, tile), make_enterer(dtype, tile)
    scalar, add, lift = scalar_type(dtype), primitives.adder(), primitives.raiser()

    def scan(  # type: ignore[no-untyped-def]
        A, A0, At, As, Ai, Aj, b, b0, bt, bs, bi, started, length, chunk, chunks, sequences,
        start, workspace, out, o0, ot, os, oi
    ):  # fmt: skip
        maps = cuda.shared.array(warps, scalar)
        stage = cuda.shared.array(steps, scalar)
        entering = cuda.shared.array(1, scalar)
        own = cuda.shared.array(2, INTEGER)
        votes = cuda.shared.array(warps, types.int32)
        ra = cuda.local.array(items, scalar)
        rb = cuda.local.array(items, scalar)
        runs = cuda.local.array(parts, scalar)
        thread = cuda.threadIdx.x
        if thread == 0:
            own[0], own[1] = add(workspace, TICKETS, 1), 4 * workspace[EPOCH]
        cuda.syncthreads()
        number, stamp = own[0], own[1]
        load(A, A0, At, b, b0, bt, started, number * chunk, length, ra, rb, stage)
        compose(ra, rb, runs, maps)
        enter(workspace, number, stamp, start[0], maps, stage, votes, entering)
        if finish(ra, rb, runs, maps, entering[0]) != 0:
            lift(workspace, BROKEN, chunks - number)
        store(out, o0, ot, number * chunk, length, rb, stage)

    shared, result = (pointer(dtype), pointer("int64")), operand(dtype, 3)
    return Kernel(scan, (*recurrence(dtype), *shared, *result))


@maker
def repair_kernel(dtype: str, n: int, tile: Tile | None = None) -> Kernel:
    """One block evaluates the tiles from the first one that is not finite on, one after another.

    States may be finite where products are not, and no finite state may follow one that is not. The shared words are
    reset for the next launch.
    """
    tile = tile or tile_of(dtype)
    tile = replace(tile, parts=max(1, tile.parts // 2))  # few registers: it rarely has work to do
    scalar, load = scalar_type(dtype), make_loader(dtype, tile)
    walk = make_walker(dtype, tile)
    compose, finish, store = make_composer(dtype, tile), make_finisher(dtype, tile), make_storer(dtype, tile)
    steps, items, parts, warps = tile.steps, tile.items, (2, tile.parts), (2, tile.warps)

    def repair(  # type: ignore[no-untyped-def]
        A, A0, At, As, Ai, Aj, b, b0, bt, bs, bi, started, length, chunk, chunks, sequences,
        start, workspace, out, o0, ot, os, oi
    ):  # fmt: skip
        maps = cuda.shared.array(warps, scalar)
        stage = cuda.shared.array(steps, scalar)
        ra = cuda.local.array(items, scalar)
        rb = cuda.local.array(items, scalar)
        runs = cuda.local.array(parts, scalar)
        missing = workspace[BROKEN]
        cuda.syncthreads()
        if cuda.threadIdx.x == 0:
            workspace[TICKETS], workspace[BROKEN] = 0, 0
            workspace[EPOCH] += 1
        for first in range((chunks - missing) * chunk, length, steps):
            entering = start[0] if first == 0 else out[o0 + (first - 1) * ot]
            load(A, A0, At, b, b0, bt, started, first, length, ra, rb, stage)
            compose(ra, rb, runs, maps)
            broken = finish(ra, rb, runs, maps, entering)
            if cuda.syncthreads_or(broken if entering - entering == scalar(0) else 0) != 0:
                walk(A, A0, At, b, b0, bt, started, first, length, entering, out, o0, ot)
            else:
                store(out, o0, ot, first, length, rb, stage)
            cuda.syncthreads()

    shared, result = (pointer(dtype), pointer("int64")), operand(dtype, 3)
    return Kernel(repair, (*recurrence(dtype), *shared, *result))


def make_enterer(dtype: str, tile: Tile) -> Any:
    """A block publishes the map of its tile, finds the state before the tile, and publishes the state after it."""
    (publish_map, publish_state), look_back = make_publishers(dtype), make_look_back(dtype, tile)
    step, join, window = together.stepper(dtype), make_joiner(dtype, tile), words.WINDOW

    @cuda.jit(device=True, inline="always")
    def enter(workspace, number, stamp, start, maps, stage, votes, entering):  # type: ignore[no-untyped-def]
        product, offset = join(maps)
        if cuda.threadIdx.x == 0:
            publish_map(workspace, number, stamp + MAP, product, offset)
        nearest = look_back(workspace, number, stamp, start, stage, votes)
        if cuda.threadIdx.x == 0:
            state = stage[nearest]
            for later in range(nearest + 1, window):
                state = step(stage[later], state, stage[window + later])
            publish_state(workspace, number, stamp + STATE, step(product, state, offset))
            entering[0] = state
        cuda.syncthreads()

    return enter
