"""Which kernels evaluate which recurrence on a CUDA device: one table.

The limits are estimates from the registers and the shared memory that the kernels take; none has been timed yet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import column_kernels as columns
from . import lookback_kernels as lookback
from . import thread_kernels as threads
from . import tile_kernels as tiled
from . import tiles
from .kernel import Kernel

THREADS = 128
"""Threads of a block of threads that work each for itself."""

RESIDENT_THREADS = 1024
"""Threads that keep a multiprocessor busy, with the registers that these kernels take."""

RESIDENT_GROUPS = 16
"""Groups of threads that keep a multiprocessor busy."""

SHORTEST = 32
"""Steps of a chunk, at least."""


FEWEST = 2
"""Sequences up to which tiles are better: of more, side by side, single threads read memory next to each other."""

LONGEST = 64
"""Steps up to which one thread alone is as good as a tile."""

SINGLE_PASS = False
"""Whether one long sequence of scalars is evaluated in a single pass, in which blocks wait for each other.

The simulator, which runs one block after another, cannot show what may go wrong when they run at the same time. It
stays off until it has been put to the test on devices: see `tests/kernels/gpu/test_tiles.py`.
"""


@dataclass(frozen=True)
class Way:
    """
    Kernels, and when they are used.

    Parameters
    ----------
    name : str
        Of the family of kernels.
    largest : dict
        Order of the matrices up to which they work, by dtype.
    kernels : dict of callable
        Make the kernels, by their names, from dtype and order.
    applies : callable
        Whether they are to be used for so many sequences of such a length.
    """

    name: str
    largest: dict[str, int]
    kernels: dict[str, Callable[..., Kernel]]
    applies: Callable[[int, int], bool]


@dataclass(frozen=True)
class Phases(Way):
    """
    Two kernels, `summarise` and `march`, and how they are laid over time and sequences.

    Parameters
    ----------
    chunk : callable
        Steps per chunk, from dtype, order, sequences, length and the number of multiprocessors.
    grid : callable
        Blocks and threads for so many chunks, from dtype, order and their number.
    """

    chunk: Callable[[str, int, int, int, int], int]
    grid: Callable[[str, int, int], tuple[int, int]]


@dataclass(frozen=True)
class SinglePass(Way):
    """Two kernels, `scan` and `repair`, which work on tiles; see :mod:`parscan._kernels.cuda.lookback_kernels`."""


def _resident(resident: int) -> Callable[[str, int, int, int, int], int]:
    """Chunks for a device whose multiprocessors are kept busy by so many of them."""

    def chunk(dtype: str, n: int, sequences: int, length: int, processors: int) -> int:
        """All steps, where the sequences alone keep the device busy, or nearly so.

        To cut time costs `n + 2` times the work, or reading the operands twice.
        """
        wanted = resident * processors
        if sequences * (n + 2) >= wanted:
            return length
        chunk = max(SHORTEST, -(-length * sequences // wanted))
        return chunk if 2 * chunk < length else length

    return chunk


def _tile(dtype: str, n: int, sequences: int, length: int, processors: int) -> int:
    """What a block evaluates at once."""
    return tiles.tile_of(dtype).steps


def _single(dtype: str, n: int, chunks: int) -> tuple[int, int]:
    """A thread per chunk."""
    return -(-chunks // THREADS), THREADS


def _grouped(dtype: str, n: int, chunks: int) -> tuple[int, int]:
    """A group of threads per chunk."""
    groups = columns.groups(dtype, n)
    return -(-chunks // groups), groups * (n + 1)


def _block(dtype: str, n: int, chunks: int) -> tuple[int, int]:
    """A block per chunk."""
    return chunks, tiles.tile_of(dtype).threads


def _always(sequences: int, length: int) -> bool:
    return True


def _few_and_long(sequences: int, length: int) -> bool:
    return sequences <= FEWEST and length > LONGEST


def _one_and_long(sequences: int, length: int) -> bool:
    return SINGLE_PASS and sequences == 1 and length > LONGEST


WAYS: tuple[Way, ...] = (
    SinglePass(
        "look-back",
        tiled.LARGEST,
        {"scan": lookback.scan_kernel, "repair": lookback.repair_kernel},
        _one_and_long,
    ),
    Phases(
        "tiles",
        tiled.LARGEST,
        {"summarise": tiled.summarise_kernel, "march": tiled.march_kernel},
        _few_and_long,
        _tile,
        _block,
    ),
    Phases(
        "threads",
        threads.LARGEST,
        {"summarise": threads.summarise_kernel, "march": threads.march_kernel},
        _always,
        _resident(RESIDENT_THREADS),
        _single,
    ),
    Phases(
        "columns",
        columns.LARGEST,
        {"summarise": columns.summarise_kernel, "march": columns.march_kernel},
        _always,
        _resident(RESIDENT_GROUPS),
        _grouped,
    ),
)
"""The first that applies is taken; beyond the largest order of all, the library's own products are."""


def is_covered(dtype: str, n: int) -> bool:
    """Whether there are kernels for matrices of this order."""
    return any(n <= way.largest[dtype] for way in WAYS)


def choose(dtype: str, n: int, sequences: int, length: int) -> Way:
    """Kernels for so many sequences of a length, with matrices of this order."""
    return next(way for way in WAYS if n <= way.largest[dtype] and way.applies(sequences, length))
