"""How many threads, or groups of them, keep a GPU busy, and how short chunks may be: scans by several such limits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from _gpu_case import Contender, Entry, Prepared
from _gpu_platform import Array, Platform
from _gpu_scans import Scan

from parscan import linear_recurrence

PART = "tuning"
LIMITS = {"threads": (256, 512, 1024, 2048), "columns": (4, 16, 64), "carries": (8, 16, 32, 64, 128)}
"""
Chunks of time that are resident on a multiprocessor, by the family of kernels; and least numbers of steps of a chunk.

Carries from chunk to chunk are recurrences, in chunks again: longer ones take fewer launches, and more time for each.
"""

OF_CARRIES = (3, 6)
"""Orders of matrices for which the latter is tried."""

CHANNELS, ORDERS = (1024, 8192, 32768), {"threads": (2, 4, 6), "columns": (8, 16, 31, 32, 62)}
NUMBERS, OF_MATRICES = 2**28, 2**26


def problems(small: bool) -> Iterator[tuple[str, Scan]]:
    """Families with their recurrences: many sequences of scalars, and one of matrices."""
    for channels in CHANNELS:
        shape = (max(2**14 // channels, 70), channels // 32) if small else (NUMBERS // channels, channels)
        yield "threads", Scan(f"diagonal, {channels} channels, float32", "float32", shape, shape)
    for family, orders in ORDERS.items():
        for n in orders:
            length = max((2**14 if small else OF_MATRICES) // n**2, 100)
            yield family, _dense(n, length)
    for n in OF_CARRIES:
        yield "carries", _dense(n, 2000 if small else OF_MATRICES // n**2)


def _dense(n: int, length: int) -> Scan:
    return Scan(f"dense, n = {n}, float32", "float32", (length, n, n), (length, n))


@contextmanager
def limited(family: str, limit: int) -> Iterator[None]:
    """So many chunks keep a multiprocessor busy, or chunks have so many steps at least."""
    choice: Any = import_module("parscan._kernels.cuda.choice")
    kept = choice.WAYS, choice.TUNING
    if family == "carries":
        choice.TUNING = replace(choice.TUNING, shortest=limit)
    else:
        chunk = choice.resident(limit)
        choice.WAYS = tuple(replace(way, chunk=chunk) if way.name == family else way for way in choice.WAYS)
    try:
        yield
    finally:
        choice.WAYS, choice.TUNING = kept


def _prepared(k: int, platform: Platform) -> Prepared:
    family, scan = list(problems(platform.small))[k]
    A, b = scan.operands(platform)

    def contender(limit: int) -> Contender:
        def run() -> Array:
            with limited(family, limit):
                return linear_recurrence(A, b)

        with limited(family, limit):
            moved = scan.bytes_moved(scan.passes_made(platform.processors))
        return Contender(run, scan.bytes_moved(1), moved, inner=platform.size(3, 1))

    makers = {_name(family, limit): partial(contender, limit) for limit in LIMITS[family]}
    return Prepared(makers, scan.deviation(A, b, platform), 1e3 * float(np.finfo(scan.dtype).eps))


def _name(family: str, limit: int) -> str:
    return f"{limit} steps at least" if family == "carries" else f"{limit} resident"


def entries() -> Iterator[Entry]:
    """Each recurrence, by each limit."""
    for k, (family, scan) in enumerate(problems(small=False)):
        names = tuple(_name(family, limit) for limit in LIMITS[family])
        yield Entry(PART, f"{family}: {scan.name}", names, partial(_prepared, k))
