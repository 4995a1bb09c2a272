"""Where a group of threads finds its chunk of a sequence."""

from __future__ import annotations

from typing import Any

from numba import cuda

from .kernel import INTEGER, uint32

MOST = 1 << 31
"""Largest number of sequences: numbers of groups have 32 bits, whose division takes a fraction of the instructions."""


def make_places(count: int, width: int) -> Any:
    """
    Finds, for `count` groups of `width` threads in a block, the group, the thread in it, and its chunk.

    Of the chunk, it gives the number among those of all sequences, the sequence, the first step, and how many are idle.

    A chunk that ends early begins as much earlier, and its group idles until its own steps begin. So no load depends on
    where a chunk ends. A group without a chunk does as the first one, and idles all the time.
    """
    threads, groups = uint32(width), uint32(count)

    @cuda.jit(device=True, inline="always")
    def find(length, chunk, chunks, sequences):  # type: ignore[no-untyped-def]
        group, thread = uint32(uint32(cuda.threadIdx.x) // threads), uint32(uint32(cuda.threadIdx.x) % threads)
        index = uint32(uint32(cuda.blockIdx.x) * groups + group)
        exists = index < chunks * sequences
        index = index if exists else uint32(0)
        s = INTEGER(uint32(index % uint32(sequences)))
        first = INTEGER(uint32(index // uint32(sequences))) * chunk
        idle = first + chunk - length if first + chunk > length else 0
        return group, thread, INTEGER(index), s, first - idle, idle if exists else chunk

    return find
