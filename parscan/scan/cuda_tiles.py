"""How a block of threads evaluates a tile, some thousand consecutive steps of a scalar recurrence.

Within a warp the maps of single steps are composed in registers; one exchange through shared memory joins the warps.
Each function makes a device function; what they share:

- `ra`, `rb`: the coefficients and offsets of a thread. It has `parts` runs of `vector` consecutive steps; a warp's
  threads have runs next to each other, so that a warp reads and writes consecutive memory, as widely as it can.
- `runs`: per run the map from the state before the warp's steps to that before the run, its factor and its offset.
- `maps`: in shared memory, what all steps of each warp do to a state.

References
----------
Kogge and Stone, *A parallel algorithm for the efficient solution of a general class of recurrence equations*, IEEE
Transactions on Computers C-22 (1973) 786–793.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numba import cuda

from . import cuda_primitives as primitives
from .cuda_kernel import scalar_type

WARP = 32
"""Threads that work in step and can read each other's registers."""

WARPS = 8
"""Warps of a block."""

PARTS = 4
"""Runs of a thread: 64 bytes of coefficients, and as many of offsets, are on their way to it at once."""


@dataclass(frozen=True)
class Tile:
    """
    How the steps of a tile are laid over the threads of a block.

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
        """Steps of a run of each thread of a warp."""
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
        """The threads of a warp as a mask."""
        return (1 << self.warp) - 1


def tile_of(dtype: str) -> Tile:
    """Tiles for numbers of a dtype."""
    return Tile(WARP, WARPS, PARTS, primitives.numbers_in(dtype, primitives.WIDE))


def make_loader(dtype: str, tile: Tile, *, conjugate: bool) -> Any:
    """Fills `ra` and `rb`; beyond the last step they are those of a step that changes nothing.

    Without a start the first coefficient counts for nothing, and is not looked at.
    """
    scalar, is_wide, fetch = scalar_type(dtype), primitives.alignment(dtype), primitives.fetcher(dtype)
    warp, parts, vector, part, items, steps = tile.warp, tile.parts, tile.vector, tile.part, tile.items, tile.steps

    @cuda.jit(device=True, inline="always")
    def gather(memory, origin, stride, t, begin, end, wide, filler, registers):  # type: ignore[no-untyped-def]
        if wide:
            for k in range(parts):
                fetch(memory, origin + (t + k * part) * stride, stride, registers, k * vector)
        else:
            for i in range(items):
                own = t + i // vector * part + i % vector
                registers[i] = memory[origin + own * stride] if begin <= own < end else filler

    @cuda.jit(device=True, inline="always")
    def load(A, A0, At, b, b0, bt, started, first, length, ra, rb):  # type: ignore[no-untyped-def]
        thread = cuda.threadIdx.x
        t = first + thread // warp * (parts * part) + thread % warp * vector
        begin = 0 if started != 0 else 1
        whole = first + steps <= length
        wide_a = whole and first >= begin and is_wide(A, A0 + first * At, At)
        wide_b = whole and is_wide(b, b0 + first * bt, bt)
        gather(A, A0, At, t, begin, length, wide_a, scalar(1), ra)
        gather(b, b0, bt, t, 0, length, wide_b, scalar(0), rb)
        if t < begin:
            ra[0] = scalar(0)
        if conjugate:
            for i in range(items):
                ra[i] = ra[i].conjugate()

    return load


def make_storer(dtype: str, tile: Tile) -> Any:
    """Writes the states, which stand in the registers."""
    is_wide, put = primitives.alignment(dtype), primitives.putter(dtype)
    warp, parts, vector, part, items, steps = tile.warp, tile.parts, tile.vector, tile.part, tile.items, tile.steps

    @cuda.jit(device=True, inline="always")
    def store(out, o0, ot, first, length, registers):  # type: ignore[no-untyped-def]
        thread = cuda.threadIdx.x
        t = first + thread // warp * (parts * part) + thread % warp * vector
        wide = first + steps <= length and is_wide(out, o0 + first * ot, ot)
        if wide:
            for k in range(parts):
                put(out, o0 + (t + k * part) * ot, ot, registers, k * vector)
        else:
            for i in range(items):
                own = t + i // vector * part + i % vector
                if own < length:
                    out[o0 + own * ot] = registers[i]

    return store


def make_composer(dtype: str, tile: Tile) -> Any:
    """Composes the steps of each warp: fills `runs` and `maps`."""
    scalar, step = scalar_type(dtype), make_step(dtype)
    before, other = make_shuffles(dtype, tile)
    warp, parts, vector, levels = tile.warp, tile.parts, tile.vector, tile.warp.bit_length() - 1

    @cuda.jit(device=True, inline="always")
    def compose(ra, rb, runs, maps):  # type: ignore[no-untyped-def]
        lane = cuda.threadIdx.x % warp
        for k in range(parts):
            a, b = ra[k * vector], rb[k * vector]
            for j in range(1, vector):
                b = ra[k * vector + j] * b + rb[k * vector + j]
                a = ra[k * vector + j] * a
            runs[0, k], runs[1, k] = a, b
        for level in range(levels):
            distance = 1 << level
            for k in range(parts):
                earlier_a, earlier_b = before(runs[0, k], distance), before(runs[1, k], distance)
                if lane >= distance:
                    runs[1, k] = step(runs[0, k], earlier_b, runs[1, k])
                    runs[0, k] = runs[0, k] * earlier_a
        whole_a, whole_b = scalar(1), scalar(0)
        for k in range(parts):
            earlier_a, earlier_b = before(runs[0, k], 1), before(runs[1, k], 1)
            last_a, last_b = other(runs[0, k], warp - 1), other(runs[1, k], warp - 1)
            if lane == 0:
                earlier_a, earlier_b = scalar(1), scalar(0)
            runs[0, k], runs[1, k] = earlier_a * whole_a, step(earlier_a, whole_b, earlier_b)
            whole_a, whole_b = last_a * whole_a, step(last_a, whole_b, last_b)
        if lane == 0:
            maps[0, cuda.threadIdx.x // warp], maps[1, cuda.threadIdx.x // warp] = whole_a, whole_b
        cuda.syncthreads()

    return compose


def make_finisher(dtype: str, tile: Tile) -> Any:
    """Puts the states in the place of `rb`, from that before the tile; tells whether one of them is not finite."""
    scalar, step = scalar_type(dtype), make_step(dtype)
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
            # What is not finite stays so: to look at the last state of a run is enough.
            if state - state != scalar(0):
                broken = 1
        return broken

    return finish


def make_joiner(dtype: str, tile: Tile) -> Any:
    """What all steps of the tile do to a state."""
    scalar, step, warps = scalar_type(dtype), make_step(dtype), tile.warps

    @cuda.jit(device=True, inline="always")
    def join(maps):  # type: ignore[no-untyped-def]
        product, offset = scalar(1), scalar(0)
        for w in range(warps):
            product, offset = maps[0, w] * product, step(maps[0, w], offset, maps[1, w])
        return product, offset

    return join


def make_walker(dtype: str, *, conjugate: bool) -> Any:
    """Evaluates steps one after another, by one thread: where products overflow, and the states may not."""
    scalar = scalar_type(dtype)

    @cuda.jit(device=True, inline="always")
    def walk(A, A0, At, b, b0, bt, started, first, last, start, out, o0, ot):  # type: ignore[no-untyped-def]
        state = start
        for t in range(first, last):
            value = A[A0 + t * At] if t > 0 or started != 0 else scalar(0)
            if conjugate:
                value = value.conjugate()
            state = value * state + b[b0 + t * bt]
            out[o0 + t * ot] = state

    return walk


def make_step(dtype: str) -> Any:
    """A state after steps that are composed to one, rounded the same wherever it is used.

    From a state of zero nothing is left but the offset, even if the product of the factors is infinite.
    """
    scalar = scalar_type(dtype)
    if primitives.COMPONENTS[dtype][1] == 1:

        @cuda.jit(device=True, inline="always")
        def step(factor, state, offset):  # type: ignore[no-untyped-def]
            return cuda.fma(factor, state, offset) if state != scalar(0) else offset

        return step

    @cuda.jit(device=True, inline="always")
    def step_complex(factor, state, offset):  # type: ignore[no-untyped-def]
        real = cuda.fma(-factor.imag, state.imag, cuda.fma(factor.real, state.real, offset.real))
        imag = cuda.fma(factor.imag, state.real, cuda.fma(factor.real, state.imag, offset.imag))
        return scalar(complex(real, imag)) if state != scalar(0) else offset

    return step_complex


def make_shuffles(dtype: str, tile: Tile) -> tuple[Any, Any]:
    """The number of the thread so many threads before, its own where there is none; and that of a thread."""
    scalar, lanes = scalar_type(dtype), tile.lanes

    if primitives.COMPONENTS[dtype][1] == 1:

        @cuda.jit(device=True, inline="always")
        def before(number, distance):  # type: ignore[no-untyped-def]
            return cuda.shfl_up_sync(lanes, number, distance)

        @cuda.jit(device=True, inline="always")
        def other(number, lane):  # type: ignore[no-untyped-def]
            return cuda.shfl_sync(lanes, number, lane)

        return before, other

    @cuda.jit(device=True, inline="always")
    def before_complex(number, distance):  # type: ignore[no-untyped-def]
        real = cuda.shfl_up_sync(lanes, number.real, distance)
        return scalar(complex(real, cuda.shfl_up_sync(lanes, number.imag, distance)))

    @cuda.jit(device=True, inline="always")
    def other_complex(number, lane):  # type: ignore[no-untyped-def]
        real = cuda.shfl_sync(lanes, number.real, lane)
        return scalar(complex(real, cuda.shfl_sync(lanes, number.imag, lane)))

    return before_complex, other_complex
