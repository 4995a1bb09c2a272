"""Messages between the tiles of the single-pass scan, which is off until a GPU has judged it.

A tile publishes its map first, and its last state in the same words as soon as it is known. Half of each word of 128
bits is a stamp, and a word is written and read at once: no order of other memory accesses is relied upon.
"""

from __future__ import annotations

from typing import Any

from numba import cuda

from ..._arrays.namespace import itemsize
from . import lookback_primitives as primitives
from .kernel import scalar_type
from .primitives import COMPONENTS
from .tiles import Tile

TICKETS, EPOCH, BROKEN, HEAD = 0, 1, 2, 4
"""Indices of words of 64 bits: TICKETS, the number of tiles that have started; EPOCH, the number of launches; BROKEN,
the number of tiles from the first one with a state that is not finite to the last. HEAD is the index of the first
message. All words are zero at first."""

MAP, STATE = 1, 2
"""Kinds of messages. A stamp is the kind plus four times the epoch: messages of other launches are ignored."""

WINDOW = 128
"""Number of tiles before a tile whose messages it reads at once: the nearest published state may be that far away."""


def words_per_tile(dtype: str) -> int:
    """Words of 128 bits for the map of a tile."""
    return 2 * itemsize(dtype) // 8


def workspace_size(dtype: str, tiles: int) -> int:
    """Words of 64 bits that the tiles of a launch share."""
    return HEAD + 2 * words_per_tile(dtype) * tiles


def make_publishers(dtype: str) -> tuple[Any, Any]:
    """One thread publishes the map of a tile, or its last state, as many real numbers to a word as fit into it."""
    component, count = COMPONENTS[dtype]
    real, post, spread = scalar_type(component), primitives.poster(component), make_spreader(dtype)
    lanes, words = 8 // itemsize(component), words_per_tile(dtype)
    width, state_words = words * lanes, -(-count // lanes)

    @cuda.jit(device=True, inline="always")
    def publish_map(workspace, number, stamp, product, offset):  # type: ignore[no-untyped-def]
        numbers = cuda.local.array(width, real)
        spread(product, numbers, 0)
        spread(offset, numbers, count)
        for word in range(words):
            post(workspace, HEAD + 2 * (number * words + word), stamp, numbers, word * lanes)

    @cuda.jit(device=True, inline="always")
    def publish_state(workspace, number, stamp, state):  # type: ignore[no-untyped-def]
        numbers = cuda.local.array(width, real)
        spread(state, numbers, 0)
        spread(state, numbers, count)
        for word in range(state_words):
            post(workspace, HEAD + 2 * (number * words + word), stamp, numbers, word * lanes)

    return publish_map, publish_state


def make_reader(dtype: str) -> Any:
    """Reads the message of a tile: returns its kind, 0 if there is none, and puts its numbers into `numbers`."""
    component, count = COMPONENTS[dtype]
    peek, lanes, words = primitives.peeker(component), 8 // itemsize(component), words_per_tile(dtype)
    state_words = -(-count // lanes)

    @cuda.jit(device=True, inline="always")
    def read(workspace, number, stamp, numbers):  # type: ignore[no-untyped-def]
        maps, states = 0, 0
        for word in range(words):
            kind = peek(workspace, HEAD + 2 * (number * words + word), numbers, word * lanes) - stamp
            maps += 1 if kind == MAP else 0
            states += 1 if kind == STATE else 0
        # A part of the map may already be overwritten while the state is not complete.
        return STATE if states == state_words else MAP if maps == words else 0

    return read


def make_look_back(dtype: str, tile: Tile) -> Any:
    """A block waits for the nearest published state before its tile, and for the maps after it; returns its place.

    A place is the index of a tile in the window. The messages are put into shared memory: states and factors first, the
    offsets `WINDOW` numbers after them. All threads of the block take part: in a loop of some threads only, the
    compiler no longer knows that warps have converged, and votes become slow.
    """
    component, count = COMPONENTS[dtype]
    real, read, assembled = scalar_type(component), make_reader(dtype), make_assembler(dtype)
    lanes, warp, warps, window = tile.lanes, tile.warp, tile.warps, WINDOW
    width = words_per_tile(dtype) * 8 // itemsize(component)
    idle_threads, first_warp = tile.threads - window, tile.warps - window // tile.warp

    @cuda.jit(device=True, inline="always")
    def look_back(workspace, number, stamp, start, stage, votes):  # type: ignore[no-untyped-def]
        numbers = cuda.local.array(width, real)
        place = cuda.threadIdx.x - idle_threads
        earlier = number - window + place
        found, waiting = -1, 1
        while waiting != 0:
            kind = STATE if earlier == -1 else MAP
            if place >= 0 and earlier >= 0:
                kind = read(workspace, earlier, stamp, numbers)
                stage[place], stage[window + place] = assembled(numbers, 0), assembled(numbers, count)
            elif place >= 0:
                stage[place] = start
            states, missing = cuda.ballot_sync(lanes, kind == STATE), cuda.ballot_sync(lanes, kind == 0)
            if cuda.threadIdx.x % warp == 0:
                nearest = 31 - cuda.clz(states)
                votes[0, cuda.threadIdx.x // warp] = nearest
                votes[1, cuda.threadIdx.x // warp] = 1 if (missing & lanes) >> (nearest + 1) != 0 else 0
            cuda.syncthreads()
            for w in range(first_warp, warps):
                found = w * warp + votes[0, w] - idle_threads if votes[0, w] >= 0 else found
                found = -1 if votes[1, w] != 0 else found
            waiting = cuda.syncthreads_or(1 if found < 0 else 0)
        return found

    return look_back


def make_spreader(dtype: str) -> Any:
    """Writes the real and imaginary part of a number into an array of real numbers."""
    if COMPONENTS[dtype][1] == 1:

        @cuda.jit(device=True, inline="always")
        def spread(number, numbers, place):  # type: ignore[no-untyped-def]
            numbers[place] = number

        return spread

    @cuda.jit(device=True, inline="always")
    def spread_complex(number, numbers, place):  # type: ignore[no-untyped-def]
        numbers[place], numbers[place + 1] = number.real, number.imag

    return spread_complex


def make_assembler(dtype: str) -> Any:
    """Reads a number whose real and imaginary part are in an array of real numbers."""
    scalar = scalar_type(dtype)
    if COMPONENTS[dtype][1] == 1:

        @cuda.jit(device=True, inline="always")
        def assembled(numbers, place):  # type: ignore[no-untyped-def]
            return numbers[place]

        return assembled

    @cuda.jit(device=True, inline="always")
    def assembled_complex(numbers, place):  # type: ignore[no-untyped-def]
        return scalar(complex(numbers[place], numbers[place + 1]))

    return assembled_complex
