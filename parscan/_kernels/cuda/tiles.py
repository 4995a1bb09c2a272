"""Evaluation of a tile, some thousand consecutive steps of a scalar recurrence, by a block of threads.

Within a warp the maps of single steps are composed in registers; one exchange through shared memory joins the warps.
Each function makes a device function. Their common arguments:

- `ra`, `rb`: the coefficients and offsets of a thread. It has `parts` runs of `vector` consecutive steps; the threads
  of a warp have neighbouring runs, so that a warp reads and writes consecutive memory by wide accesses.
- `runs`: for each run, factor and offset of the map from the state before the warp's steps to that before the run.
- `maps`: in shared memory, factor and offset of the map of all steps of each warp.
- `stage`: shared memory for one number per step.

References
----------
Kogge and Stone, *A parallel algorithm for the efficient solution of a general class of recurrence equations*, IEEE
Transactions on Computers C-22 (1973) 786–793.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numba import cuda

from ..._arrays.namespace import itemsize
from . import primitives
from . import warp_primitives as together
from .kernel import scalar_type

WARP = 32
"""Threads of a warp, which can read each other's registers."""

WARPS = 8
"""Warps of a block."""

PARTS = 4
"""Runs of a thread: it loads 64 bytes of coefficients, and as many of offsets, at once."""


@dataclass(frozen=True)
class Tile:
    """
    The layout of the steps of a tile over the threads of a block.

    Parameters
    ----------
    warp, warps, parts, vector : int
        Threads of a warp, warps of a block, runs of a thread, and steps of a run.
    """

    warp: int
    warps: int
    parts: int
    vector: int

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return self.warp * self.warps

    @property
    def part(self) -> int:
        """Steps of one run of every thread of a warp."""
        return self.warp * self.vector

    @property
    def items(self) -> int:
        """Steps of a thread."""
        return self.parts * self.vector

    @property
    def steps(self) -> int:
        """Steps of the tile."""
        return self.threads * self.items

    @property
    def lanes(self) -> int:
        """A bit for each thread of a warp."""
        return (1 << self.warp) - 1


def tile_of(dtype: str) -> Tile:
    """The layout for numbers of a dtype."""
    return Tile(WARP, WARPS, PARTS, primitives.WIDE // itemsize(dtype))


def make_loader(dtype: str, tile: Tile) -> Any:
    """Loads `ra` and `rb`; beyond the last step, one and zero. Without a start, zero replaces the first coefficient."""
    scalar, is_wide, gather = scalar_type(dtype), primitives.alignment(dtype), make_gatherer(dtype, tile)
    steps = tile.steps

    @cuda.jit(device=True, inline="always")
    def load(A, A0, At, b, b0, bt, started, first, length, ra, rb, stage):  # type: ignore[no-untyped-def]
        begin = 0 if started != 0 else 1
        whole = first + steps <= length
        wide_a = whole and first >= begin and is_wide(A, A0 + first * At, At)
        wide_b = whole and is_wide(b, b0 + first * bt, bt)
        gather(A, A0, At, first, begin, length, wide_a, scalar(1), ra, stage)
        gather(b, b0, bt, first, 0, length, wide_b, scalar(0), rb, stage)
        if first + cuda.threadIdx.x < begin:
            ra[0] = scalar(0)

    return load


def make_gatherer(dtype: str, tile: Tile) -> Any:
    """Loads the numbers of all threads by wide accesses, or else one by one through shared memory.

    Neighbouring threads read neighbouring memory in either case.
    """
    fetch, threads, warp = primitives.fetcher(dtype), tile.threads, tile.warp
    parts, vector, part, items, steps = tile.parts, tile.vector, tile.part, tile.items, tile.steps

    @cuda.jit(device=True, inline="always")
    def gather(memory, origin, stride, first, begin, end, wide, filler, registers, stage):  # type: ignore[no-untyped-def]
        thread = cuda.threadIdx.x
        own = thread // warp * (parts * part) + thread % warp * vector
        if wide:
            for k in range(parts):
                fetch(memory, origin + (first + own + k * part) * stride, stride, registers, k * vector)
        else:
            cuda.syncthreads()
            for i in range(thread, steps, threads):
                stage[i] = memory[origin + (first + i) * stride] if begin <= first + i < end else filler
            cuda.syncthreads()
            for i in range(items):
                registers[i] = stage[own + i // vector * part + i % vector]

    return gather


def make_storer(dtype: str, tile: Tile) -> Any:
    """Writes the states of all threads from registers, as `gather` reads them.

    A barrier must stand between the last thread that reads `stage` and the call: that of `compose`, or a later one.
    """
    is_wide, put, threads, warp = primitives.alignment(dtype), primitives.putter(dtype), tile.threads, tile.warp
    parts, vector, part, items, steps = tile.parts, tile.vector, tile.part, tile.items, tile.steps

    @cuda.jit(device=True, inline="always")
    def store(out, o0, ot, first, length, registers, stage):  # type: ignore[no-untyped-def]
        thread = cuda.threadIdx.x
        own = thread // warp * (parts * part) + thread % warp * vector
        if first + steps <= length and is_wide(out, o0 + first * ot, ot):
            for k in range(parts):
                put(out, o0 + (first + own + k * part) * ot, ot, registers, k * vector)
        else:
            for i in range(items):
                stage[own + i // vector * part + i % vector] = registers[i]
            cuda.syncthreads()
            for i in range(thread, steps if first + steps < length else length - first, threads):
                out[o0 + (first + i) * ot] = stage[i]

    return store


def make_composer(dtype: str, tile: Tile) -> Any:
    """Composes the steps of each warp, and writes `runs` and `maps`."""
    scalar, step = scalar_type(dtype), together.stepper(dtype)
    before, other = together.shufflers(dtype, tile.lanes)
    warp, parts, vector = tile.warp, tile.parts, tile.vector

    @cuda.jit(device=True, inline="always")
    def join_threads(runs, distance):  # type: ignore[no-untyped-def]
        for k in range(parts):
            earlier_a, earlier_b = before(runs[0, k], distance, scalar(1)), before(runs[1, k], distance, scalar(0))
            runs[1, k] = step(runs[0, k], earlier_b, runs[1, k])
            runs[0, k] = runs[0, k] * earlier_a

    @cuda.jit(device=True, inline="always")
    def compose(ra, rb, runs, maps):  # type: ignore[no-untyped-def]
        first, w = cuda.threadIdx.x % warp == 0, cuda.threadIdx.x // warp
        for k in range(parts):
            a, b = ra[k * vector], rb[k * vector]
            for j in range(1, vector):
                b = ra[k * vector + j] * b + rb[k * vector + j]
                a = ra[k * vector + j] * a
            runs[0, k], runs[1, k] = a, b
        # Not a loop, in which the compiler would no longer know that warps have converged.
        join_threads(runs, 1)
        join_threads(runs, 2)
        join_threads(runs, 4)
        join_threads(runs, 8)
        join_threads(runs, 16)
        whole_a, whole_b = scalar(1), scalar(0)
        for k in range(parts):
            earlier_a, earlier_b = before(runs[0, k], 1, scalar(1)), before(runs[1, k], 1, scalar(0))
            last_a, last_b = other(runs[0, k], warp - 1), other(runs[1, k], warp - 1)
            runs[0, k], runs[1, k] = earlier_a * whole_a, step(earlier_a, whole_b, earlier_b)
            whole_a, whole_b = last_a * whole_a, step(last_a, whole_b, last_b)
        if first:
            maps[0, w], maps[1, w] = whole_a, whole_b
        cuda.syncthreads()

    return compose


def make_finisher(dtype: str, tile: Tile) -> Any:
    """Replaces `rb` by the states, from the state before the tile; returns whether one of them is not finite."""
    scalar, step = scalar_type(dtype), together.stepper(dtype)
    warp, parts, vector = tile.warp, tile.parts, tile.vector

    @cuda.jit(device=True, inline="always")
    def finish(ra, rb, runs, maps, start):  # type: ignore[no-untyped-def]
        entering = start
        for w in range(cuda.threadIdx.x // warp):
            entering = step(maps[0, w], entering, maps[1, w])
        broken = 0
        for k in range(parts):
            state = step(runs[0, k], entering, runs[1, k])
            for j in range(vector):
                state = ra[k * vector + j] * state + rb[k * vector + j]
                rb[k * vector + j] = state
            # No finite state follows one that is not finite, so the last state of a run shows it.
            if state - state != scalar(0):
                broken = 1
        return broken

    return finish


def make_joiner(dtype: str, tile: Tile) -> Any:
    """Factor and offset of the map of all steps of the tile."""
    scalar, step, warps = scalar_type(dtype), together.stepper(dtype), tile.warps

    @cuda.jit(device=True, inline="always")
    def join(maps):  # type: ignore[no-untyped-def]
        product, offset = scalar(1), scalar(0)
        for w in range(warps):
            product, offset = maps[0, w] * product, step(maps[0, w], offset, maps[1, w])
        return product, offset

    return join


def make_walker(dtype: str, tile: Tile) -> Any:
    """One thread evaluates the steps one after another; used if products overflow, as the states may not."""
    scalar, steps = scalar_type(dtype), tile.steps

    @cuda.jit(device=True, inline="always")
    def walk(A, A0, At, b, b0, bt, started, first, length, start, out, o0, ot):  # type: ignore[no-untyped-def]
        state = start
        last = first + steps if first + steps < length else length
        for t in range(first, last if cuda.threadIdx.x == 0 else first):
            value = A[A0 + t * At] if t > 0 or started != 0 else scalar(0)
            state = value * state + b[b0 + t * bt]
            out[o0 + t * ot] = state

    return walk
