"""Free memory, and the share of it that a solve may take."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import cupy as _cupy
from .namespace import Array, itemsize, library

NODE_ARRAYS = 12
"""Largest number of arrays of the size of the nodes that an iteration holds: nodes, targets, defects, corrections, …"""

MATRIX_ARRAYS = 3
"""Largest number of arrays of the size of the propagators that an iteration holds."""

WORKING_ARRAYS = 8
"""Largest number of arrays of the size of its result that a user's function holds, roughly."""

CGROUP_FILES = (
    ("memory.max", "memory.current", "/sys/fs/cgroup"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "/sys/fs/cgroup/memory"),
)
"""Limit and use of a control group, versions 2 and 1."""


@dataclass(frozen=True)
class Limits:
    """The memory that solvers may take."""

    share: float = 0.25
    """Part of the free memory that the nodes of a window and their propagators may take."""

    cached: int = 2**17
    """Number of entries that NumPy processes at once, so that they stay in a processor's cache."""

    intermediate: int = 2**21
    """Number of entries of intermediate results that are held at once, if those of all intervals are too many."""

    unasked: int = 2**26
    """Bytes that are assumed to be free: asking the system takes longer than many solves do."""

    free: float | None = None
    """Bytes that are free; None to ask the system."""


LIMITS = Limits()


def available(x: Array) -> float:
    """Bytes that can still be allocated where the library of `x` keeps its arrays; infinite if unknown."""
    return LIMITS.free if LIMITS.free is not None else _DEVICES.get(library(x), _host)()


def _host() -> float:
    """Bytes that this process can still allocate, swap included."""
    return max(0.0, min(_limits(), default=math.inf))


_DEVICES: dict[str, Callable[[], float]] = {"cupy": _cupy.free_bytes}
"""For libraries whose arrays are not in the memory of the host, functions that return the free memory."""


def _limits() -> Iterator[float]:
    """Free bytes according to each known limit."""
    try:
        rows = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
        sizes = {row[0].rstrip(":"): 1024.0 * int(row[1]) for row in rows}
        yield sizes["MemAvailable"] + sizes["SwapFree"]
    except (OSError, KeyError, ValueError, IndexError):
        yield _pages()
    for limit, used, folder in CGROUP_FILES:
        try:
            yield float(Path(folder, limit).read_text()) - float(Path(folder, used).read_text())
        except (OSError, ValueError):  # no such group, or no limit
            continue
    yield _address_space()


def _pages() -> float:
    """Free pages by POSIX."""
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return math.inf


def _address_space() -> float:
    """Bytes that `ulimit -v` leaves."""
    try:
        import resource  # noqa: PLC0415 - not on Windows

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, IndexError, OSError, ValueError):
        return math.inf
    return math.inf if limit == resource.RLIM_INFINITY else float(limit - used)


def check_fits(steps: int, state: tuple[int, ...], like: Array) -> None:
    """Raise MemoryError, before anything is allocated, if a trajectory of such states exceeds the free memory."""
    numbers = math.prod(state)
    size = steps * numbers * itemsize(like.dtype)
    if size <= LIMITS.unasked:
        return
    free = available(like)
    if size > free:
        raise MemoryError(
            f"a trajectory of {steps} steps of {numbers} numbers takes {size} bytes ({size / 2**30:.3g} GiB), and "
            f"{free:.0f} bytes ({free / 2**30:.3g} GiB) are free; solve fewer steps at a time, each time from the last "
            "state, or use single precision."
        )


def nodes_that_fit(nodes: int, y0: Array, matrix_numbers: int) -> int:
    """Number of nodes of a window, at most `nodes`; a propagator has `matrix_numbers` per batch element."""
    numbers = NODE_ARRAYS * math.prod(y0.shape) + MATRIX_ARRAYS * matrix_numbers * math.prod(y0.shape[:-1])
    size = max(1, numbers) * itemsize(y0.dtype)
    if nodes * size <= LIMITS.unasked:
        return nodes
    return max(1, int(min(nodes, LIMITS.share * available(y0) / size)))


def at_once(numbers: int) -> int:
    """Number of intervals that are processed at once if each takes `numbers` numbers of intermediate results."""
    return max(1, LIMITS.intermediate // max(1, numbers))


def numbers_at_once(like: Array) -> int:
    """Best number of entries to evaluate at once: as many as a cache holds; on devices, as memory allows."""
    if library(like) == "numpy":
        return LIMITS.cached
    return max(
        LIMITS.cached, int(LIMITS.share * min(available(like), sys.maxsize) / (WORKING_ARRAYS * itemsize(like.dtype)))
    )
