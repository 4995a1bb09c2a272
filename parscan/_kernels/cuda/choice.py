"""The table of the kernels that evaluate a recurrence on a CUDA device, by its size.

The limits are estimates from the registers and the shared memory of the kernels; none has been timed yet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from . import column_kernels as columns
from . import groups, primitives, tiles
from . import lookback_kernels as lookback
from . import march_kernels as marching
from . import thread_kernels as threads
from . import tile_kernels as tiled
from .kernel import Kernel

RESIDENT_THREADS = 1024
"""Threads that keep a multiprocessor busy, given the registers of these kernels."""

RESIDENT_GROUPS = 16
"""Groups of threads that keep a multiprocessor busy."""


LONGEST = (1 << 31) - 1
"""Largest number of steps of a chunk: groups of threads count them with 32 bits, in fewer instructions."""


@dataclass(frozen=True)
class Tuning:
    """Sizes at which one family of kernels becomes better than another."""

    threads: int = 128
    """Threads of a block in which every thread works by itself."""

    shortest: int = 32
    """Least number of steps of a chunk."""

    fewest: int = 2
    """Largest number of sequences for tiles: with more, neighbouring threads read neighbouring memory anyway."""

    longest: int = 64
    """Largest number of steps for which a single thread is as fast as a tile."""

    single_pass: bool = False
    """
    Whether one long sequence of scalars is evaluated in a single pass, in which blocks wait for each other.

    Off until a GPU has judged it, by `tests/kernels/gpu/test_tiles.py`: no CPU orders the accesses to memory as freely
    as a GPU does.
    """


TUNING = Tuning()


@dataclass(frozen=True)
class Way:
    """
    A family of kernels, and the recurrences that it evaluates.

    Parameters
    ----------
    name : str
        Name of the family.
    largest : dict
        Largest order of the matrices, by dtype.
    kernels : dict of callable
        By name, functions that make a kernel for a dtype and an order.
    applies : callable
        Whether the family is used, from the number of sequences and their length.
    """

    name: str
    largest: dict[str, int]
    kernels: dict[str, Callable[..., Kernel]]
    applies: Callable[[int, int], bool]


@dataclass(frozen=True)
class Phases(Way):
    """
    A family of two kernels, `summarise` and `march`, for chunks of time of each sequence.

    There may be `wide summarise` and `wide march`, which read several neighbouring numbers at once.

    Parameters
    ----------
    chunk : callable
        Steps per chunk, from dtype, order, sequences, length and the number of multiprocessors.
    grids : dict of callable
        By the names of the kernels, number of blocks, and of threads of a block, from dtype, order and the number of
        chunks of all sequences.
    widths : callable
        Bytes to which every matrix and every vector must be aligned for the wide kernels, from dtype and order. These
        kernels are not for orders for which that is no more than a number, or a part of a complex one, always is.
    whole : bool
        Whether the rows of a matrix must follow each other in memory.
    """

    chunk: Callable[[str, int, int, int, int], int]
    grids: dict[str, Callable[[str, int, int], tuple[int, int]]]
    widths: Callable[[str, int], tuple[int, int]]
    whole: bool = False

    def is_wide(self, dtype: str, n: int) -> bool:
        """Whether there are wide kernels for a dtype and an order."""
        return self.widths(dtype, n)[0] > primitives.narrow(dtype)


@dataclass(frozen=True)
class SinglePass(Way):
    """A family of two kernels, `scan` and `repair`; see :mod:`parscan._kernels.cuda.lookback_kernels`."""


def resident(resident: int) -> Callable[[str, int, int, int, int], int]:
    """Make a function for the steps of a chunk, for kernels of which `resident` chunks keep a multiprocessor busy."""

    def chunk(dtype: str, n: int, sequences: int, length: int, processors: int) -> int:
        """Steps of a chunk: all of them if the sequences alone nearly keep the device busy.

        Dividing time into chunks costs `n + 2` times the work, or reading the operands twice.
        """
        wanted = resident * processors
        if sequences * (n + 2) >= wanted:
            return min(length, LONGEST)
        chunk = max(TUNING.shortest, -(-length * sequences // wanted))
        return min(chunk if 2 * chunk < length else length, LONGEST)

    return chunk


def _tile(dtype: str, n: int, sequences: int, length: int, processors: int) -> int:
    """Steps of a chunk: those of a tile, which a block evaluates at once."""
    return tiles.tile_of(dtype).steps


def _single(dtype: str, n: int, chunks: int) -> tuple[int, int]:
    """A thread per chunk."""
    return -(-chunks // TUNING.threads), TUNING.threads


def _by_columns(dtype: str, n: int, chunks: int) -> tuple[int, int]:
    """A group of threads per chunk, with a column each."""
    in_block = columns.groups(dtype, n)
    return -(-chunks // in_block), in_block * (n + 1)


def _by_tiles(dtype: str, n: int, chunks: int) -> tuple[int, int]:
    """A group of threads per chunk, with a tile of the matrix each."""
    tile = marching.Tile(n)
    return -(-chunks // tile.groups), tile.groups * tile.threads


def _block(dtype: str, n: int, chunks: int) -> tuple[int, int]:
    """A block per chunk."""
    return chunks, tiles.tile_of(dtype).threads


def _narrow(dtype: str, n: int) -> tuple[int, int]:
    """No wide kernels: those of tiles look by themselves where memory is aligned."""
    return primitives.narrow(dtype), primitives.narrow(dtype)


def _always(sequences: int, length: int) -> bool:
    return True


def _countable(sequences: int, length: int) -> bool:
    return sequences <= groups.MOST


def _few_and_long(sequences: int, length: int) -> bool:
    return sequences <= TUNING.fewest and length > TUNING.longest


def _one_and_long(sequences: int, length: int) -> bool:
    return TUNING.single_pass and sequences == 1 and length > TUNING.longest


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
        {"summarise": _block, "march": _block},
        _narrow,
    ),
    Phases(
        "threads",
        threads.LARGEST,
        {
            "summarise": threads.summarise_kernel,
            "march": threads.march_kernel,
            "wide summarise": partial(threads.summarise_kernel, wide=True),
            "wide march": partial(threads.march_kernel, wide=True),
        },
        _always,
        resident(RESIDENT_THREADS),
        {"summarise": _single, "march": _single},
        threads.widths,
    ),
    Phases(
        "columns",
        columns.LARGEST,
        {
            "summarise": columns.summarise_kernel,
            "march": marching.march_kernel,
            "wide march": partial(marching.march_kernel, wide=True),
        },
        _countable,
        resident(RESIDENT_GROUPS),
        {"summarise": _by_columns, "march": _by_tiles},
        marching.widths,
        whole=True,
    ),
)
"""The first way that applies is chosen. For larger matrices, the array library forms products."""


def is_covered(dtype: str, n: int, sequences: int = 1) -> bool:
    """Whether some way takes so many sequences with matrices of this order, however long they are."""
    return any(n <= way.largest[dtype] and way.applies(sequences, 1) for way in WAYS)


def choose(dtype: str, n: int, sequences: int, length: int) -> Way:
    """The way to evaluate recurrences of this dtype, order, number and length."""
    return next(way for way in WAYS if n <= way.largest[dtype] and way.applies(sequences, length))


def needs_whole_matrices(dtype: str, n: int, sequences: int, length: int) -> bool:
    """Whether that way takes only matrices whose rows follow each other in memory."""
    way = choose(dtype, n, sequences, length)
    return isinstance(way, Phases) and way.whole
