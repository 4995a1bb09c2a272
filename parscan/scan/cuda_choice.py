"""Which kernels evaluate which recurrence on a CUDA device: one table.

The limits are estimates from the registers and the shared memory that the kernels take; none has been timed yet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import cuda_column_kernels as columns
from . import cuda_thread_kernels as threads
from .cuda_kernel import Kernel

THREADS = 128
"""Threads of a block of threads that work each for itself."""

RESIDENT_THREADS = 1024
"""Threads that keep a multiprocessor busy, with the registers that these kernels take."""

RESIDENT_GROUPS = 16
"""Groups of threads that keep a multiprocessor busy."""

SHORTEST = 32
"""Steps of a chunk, at least."""


@dataclass(frozen=True)
class Way:
    """
    Kernels, and how they are laid over time and sequences.

    Parameters
    ----------
    name : str
        Of the family of kernels.
    largest : dict
        Order of the matrices up to which they work, by dtype.
    summarise, march : callable
        Make the kernels from dtype, order and `conjugate`.
    resident : int
        Chunks that keep a multiprocessor busy.
    grid : callable
        Blocks and threads for so many chunks, from dtype, order and their number.
    """

    name: str
    largest: dict[str, int]
    summarise: Callable[..., Kernel]
    march: Callable[..., Kernel]
    resident: int
    grid: Callable[[str, int, int], tuple[int, int]]

    def chunk(self, length: int, sequences: int, n: int, processors: int) -> int:
        """Steps per chunk: all of them where the sequences alone keep the device busy, or nearly so.

        To cut time costs `n + 2` times the work, or reading the operands twice.
        """
        wanted = self.resident * processors
        if sequences * (n + 2) >= wanted:
            return length
        chunk = max(SHORTEST, -(-length * sequences // wanted))
        return chunk if 2 * chunk < length else length


def _single(dtype: str, n: int, chunks: int) -> tuple[int, int]:
    """A thread per chunk."""
    return -(-chunks // THREADS), THREADS


def _grouped(dtype: str, n: int, chunks: int) -> tuple[int, int]:
    """A group of threads per chunk."""
    groups = columns.groups(dtype, n)
    return -(-chunks // groups), groups * (n + 1)


WAYS = (
    Way("threads", threads.LARGEST, threads.summarise_kernel, threads.march_kernel, RESIDENT_THREADS, _single),
    Way("columns", columns.LARGEST, columns.summarise_kernel, columns.march_kernel, RESIDENT_GROUPS, _grouped),
)
"""The first whose order is large enough is taken; beyond the last, the library's own products are."""


def is_covered(dtype: str, n: int) -> bool:
    """Whether there are kernels for matrices of this order."""
    return any(n <= way.largest[dtype] for way in WAYS)


def choose(dtype: str, n: int) -> Way:
    """Kernels for matrices of this order."""
    return next(way for way in WAYS if n <= way.largest[dtype])
