"""What the tiles of a single pass say to each other, and how they are asked.

It stands in words of 128 bits, half of each a stamp, which are written and read at once: no other memory needs to be in
any order. A tile says its map first, and its last state in the place of that, as soon as it is known.
"""

from __future__ import annotations

from typing import Any

from numba import cuda

from . import cuda_primitives as primitives
from .cuda_kernel import scalar_type
from .cuda_tiles import Tile, make_shuffles, make_step

TICKETS, EPOCH, BROKEN, HEAD = 0, 1, 2, 4
"""Words of 64 bits: tiles that have started, launches that have been, tiles from the first one on that has states which
are not finite; and how many words stand before what the tiles say. All are zero at first."""

MAP, STATE = 1, 2
"""What a tile has said; added to four times the epoch, so that what was said in other launches counts for nothing."""

LOOKS = 4
"""Tiles that each thread of a warp looks at. So many tiles are on their way at once that a last state may be far."""

PAUSE = 40
"""Nanoseconds between looks."""


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
    """What a tile has said, and in `numbers` from `place` on its state or its map."""
    component, count = primitives.COMPONENTS[dtype]
    peek, lanes, words = primitives.peeker(component), 8 // primitives.BYTES[component], words_per_tile(dtype)
    state_words = -(-count // lanes)

    @cuda.jit(device=True, inline="always")
    def listen(workspace, number, stamp, numbers, place):  # type: ignore[no-untyped-def]
        maps, states = 0, 0
        for word in range(words):
            said = peek(workspace, HEAD + 2 * (number * words + word), numbers, place + word * lanes) - stamp
            maps += 1 if said == MAP else 0
            states += 1 if said == STATE else 0
        # A state may still be on its way while a part of the map is already gone.
        return STATE if states == state_words else MAP if maps == words else 0

    return listen


def make_asker(dtype: str, tile: Tile) -> Any:
    """A warp finds the state before a tile."""
    component, count = primitives.COMPONENTS[dtype]
    scalar, real, step, gathered = (
        scalar_type(dtype),
        scalar_type(component),
        make_step(dtype),
        make_gatherer(dtype),
    )
    find, (_, other) = make_finder(dtype, tile), make_shuffles(dtype, tile)
    warp, looks, width = tile.warp, LOOKS, numbers_per_tile(dtype)
    all_numbers = looks * width

    @cuda.jit(device=True, inline="always")
    def ask(workspace, number, stamp):  # type: ignore[no-untyped-def]
        numbers = cuda.local.array(all_numbers, real)
        distance = find(workspace, number, stamp, numbers)
        state = scalar(0)
        for back in range(looks):
            look = looks - 1 - back
            nearest = warp - 1 - (distance - look * warp)
            for lane in range(nearest if nearest > 0 else 0, warp):
                factor = other(gathered(numbers, look * width), lane)
                offset = other(gathered(numbers, look * width + count), lane)
                state = factor if lane == nearest else step(factor, state, offset)
        return state

    return ask


def make_finder(dtype: str, tile: Tile) -> Any:
    """A warp waits until a tile has said its state, and all nearer ones their maps: how many these are.

    Each thread then has what the tiles said that it asked, the nearest tiles first; of the tiles that are asked at once
    the last thread asks the nearest.
    """
    listen, warp, lanes, looks, width = make_listener(dtype), tile.warp, tile.lanes, LOOKS, numbers_per_tile(dtype)

    @cuda.jit(device=True, inline="always")
    def find(workspace, number, stamp, numbers):  # type: ignore[no-untyped-def]
        distance = -1
        while distance < 0:
            waiting = False
            for look in range(looks):
                asked, said = number - (look + 1) * warp + cuda.threadIdx.x, MAP
                if asked >= 0:
                    said = listen(workspace, asked, stamp, numbers, look * width)
                states, silent = cuda.ballot_sync(lanes, said == STATE), cuda.ballot_sync(lanes, said == 0)
                if distance < 0 and not waiting:
                    nearest = 31 - cuda.clz(states)
                    waiting = (silent & lanes) >> (nearest + 1) != 0
                    if nearest >= 0 and not waiting:
                        distance = look * warp + warp - 1 - nearest
            if distance < 0:
                cuda.nanosleep(PAUSE)
        return distance

    return find


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


def make_gatherer(dtype: str) -> Any:
    """The number that is made of the real numbers in an array."""
    scalar = scalar_type(dtype)
    if primitives.COMPONENTS[dtype][1] == 1:

        @cuda.jit(device=True, inline="always")
        def gathered(numbers, place):  # type: ignore[no-untyped-def]
            return numbers[place]

        return gathered

    @cuda.jit(device=True, inline="always")
    def gathered_complex(numbers, place):  # type: ignore[no-untyped-def]
        return scalar(complex(numbers[place], numbers[place + 1]))

    return gathered_complex
