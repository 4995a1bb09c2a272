"""What the tiles of a single pass say to each other, and how they are asked.

It stands in words of 128 bits, half of each a stamp, which are written and read at once: no other memory needs to be in
any order. A tile says its map first, and its last state in the place of that, as soon as it is known.
"""

from __future__ import annotations

from typing import Any

from numba import cuda

from . import primitives
from .kernel import scalar_type
from .tiles import Tile

TICKETS, EPOCH, BROKEN, HEAD = 0, 1, 2, 4
"""Words of 64 bits: tiles that have started, launches that have been, tiles from the first one on that has states which
are not finite; and how many words stand before what the tiles say. All are zero at first."""

MAP, STATE = 1, 2
"""What a tile has said; added to four times the epoch, so that what was said in other launches counts for nothing."""

ASKED = 128
"""Tiles before a tile that it asks. So many are on their way at once that the last state that is known may be far."""


def words_per_tile(dtype: str) -> int:
    """Words of 128 bits in which a tile says its map."""
    return 2 * primitives.COMPONENTS[dtype][1] * primitives.BYTES[primitives.COMPONENTS[dtype][0]] // 8


def numbers_per_tile(dtype: str) -> int:
    """Real numbers in these words."""
    return words_per_tile(dtype) * 8 // primitives.BYTES[primitives.COMPONENTS[dtype][0]]


def workspace_size(dtype: str, tiles: int) -> int:
    """Words of 64 bits that tiles share."""
    return HEAD + 2 * words_per_tile(dtype) * tiles


def make_speakers(dtype: str) -> tuple[Any, Any]:
    """One thread says the map of a tile, or its last state: real numbers, as many to a word as go beside a stamp."""
    component, count = primitives.COMPONENTS[dtype]
    real, post, spread = scalar_type(component), primitives.poster(component), make_spreader(dtype)
    lanes, words = 8 // primitives.BYTES[component], words_per_tile(dtype)
    width, state_words = words * lanes, -(-count // lanes)

    @cuda.jit(device=True, inline="always")
    def say_map(workspace, number, stamp, product, offset):  # type: ignore[no-untyped-def]
        numbers = cuda.local.array(width, real)
        spread(product, numbers, 0)
        spread(offset, numbers, count)
        for word in range(words):
            post(workspace, HEAD + 2 * (number * words + word), stamp, numbers, word * lanes)

    @cuda.jit(device=True, inline="always")
    def say_state(workspace, number, stamp, state):  # type: ignore[no-untyped-def]
        numbers = cuda.local.array(width, real)
        spread(state, numbers, 0)
        spread(state, numbers, count)
        for word in range(state_words):
            post(workspace, HEAD + 2 * (number * words + word), stamp, numbers, word * lanes)

    return say_map, say_state


def make_listener(dtype: str) -> Any:
    """What a tile has said, and in `numbers` its state or its map."""
    component, count = primitives.COMPONENTS[dtype]
    peek, lanes, words = primitives.peeker(component), 8 // primitives.BYTES[component], words_per_tile(dtype)
    state_words = -(-count // lanes)

    @cuda.jit(device=True, inline="always")
    def listen(workspace, number, stamp, numbers):  # type: ignore[no-untyped-def]
        maps, states = 0, 0
        for word in range(words):
            said = peek(workspace, HEAD + 2 * (number * words + word), numbers, word * lanes) - stamp
            maps += 1 if said == MAP else 0
            states += 1 if said == STATE else 0
        # A state may still be on its way while a part of the map is already gone.
        return STATE if states == state_words else MAP if maps == words else 0

    return listen


def make_asker(dtype: str, tile: Tile) -> Any:
    """A block waits until a tile has said its state, and all behind it their maps; the place of that state.

    Places are those of the tiles before this one that are asked, in their order. What they have said then stands in
    shared memory: states and factors first, and so many numbers behind them the offsets. All threads of the block take
    part: where some only go through a loop, compilers do not take them to be together, and votes are dear.
    """
    component, count = primitives.COMPONENTS[dtype]
    real, listen, assembled = scalar_type(component), make_listener(dtype), make_assembler(dtype)
    lanes, warp, warps, width, asked = tile.lanes, tile.warp, tile.warps, numbers_per_tile(dtype), ASKED
    silent_threads, first_warp = tile.threads - asked, tile.warps - asked // tile.warp

    @cuda.jit(device=True, inline="always")
    def ask(workspace, number, stamp, start, stage, votes):  # type: ignore[no-untyped-def]
        numbers = cuda.local.array(width, real)
        place = cuda.threadIdx.x - silent_threads
        earlier = number - asked + place
        found, waiting = -1, 1
        while waiting != 0:
            said = STATE if earlier == -1 else MAP
            if place >= 0 and earlier >= 0:
                said = listen(workspace, earlier, stamp, numbers)
                stage[place], stage[asked + place] = assembled(numbers, 0), assembled(numbers, count)
            elif place >= 0:
                stage[place] = start
            states, silent = cuda.ballot_sync(lanes, said == STATE), cuda.ballot_sync(lanes, said == 0)
            if cuda.threadIdx.x % warp == 0:
                nearest = 31 - cuda.clz(states)
                votes[0, cuda.threadIdx.x // warp] = nearest
                votes[1, cuda.threadIdx.x // warp] = 1 if (silent & lanes) >> (nearest + 1) != 0 else 0
            cuda.syncthreads()
            for w in range(first_warp, warps):
                found = w * warp + votes[0, w] - silent_threads if votes[0, w] >= 0 else found
                found = -1 if votes[1, w] != 0 else found
            waiting = cuda.syncthreads_or(1 if found < 0 else 0)
        return found

    return ask


def make_spreader(dtype: str) -> Any:
    """Puts the real numbers that a number is made of into an array."""
    if primitives.COMPONENTS[dtype][1] == 1:

        @cuda.jit(device=True, inline="always")
        def spread(number, numbers, place):  # type: ignore[no-untyped-def]
            numbers[place] = number

        return spread

    @cuda.jit(device=True, inline="always")
    def spread_complex(number, numbers, place):  # type: ignore[no-untyped-def]
        numbers[place], numbers[place + 1] = number.real, number.imag

    return spread_complex


def make_assembler(dtype: str) -> Any:
    """The number that is made of the real numbers in an array."""
    scalar = scalar_type(dtype)
    if primitives.COMPONENTS[dtype][1] == 1:

        @cuda.jit(device=True, inline="always")
        def assembled(numbers, place):  # type: ignore[no-untyped-def]
            return numbers[place]

        return assembled

    @cuda.jit(device=True, inline="always")
    def assembled_complex(numbers, place):  # type: ignore[no-untyped-def]
        return scalar(complex(numbers[place], numbers[place + 1]))

    return assembled_complex
