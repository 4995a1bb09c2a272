"""How many threads, or groups of them, keep a GPU busy: scans by several limits of the table of kernels."""

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
LIMITS = {"threads": (256, 512, 1024, 2048), "columns": (4, 16, 64)}
"""Chunks of time that are resident on a multiprocessor, by the family of kernels."""

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
            yield family, Scan(f"dense, n = {n}, float32", "float32", (length, n, n), (length, n))


@contextmanager
def resident(family: str, chunks: int) -> Iterator[None]:
    """So many chunks keep a multiprocessor busy."""
    choice: Any = import_module("parscan._kernels.cuda.choice")
    kept = choice.WAYS
    choice.WAYS = tuple(replace(way, chunk=choice.resident(chunks)) if way.name == family else way for way in kept)
    try:
        yield
    finally:
        choice.WAYS = kept


def _prepared(k: int, platform: Platform) -> Prepared:
    family, scan = list(problems(platform.small))[k]
    A, b = scan.operands(platform)

    def contender(chunks: int) -> Contender:
        def run() -> Array:
            with resident(family, chunks):
                return linear_recurrence(A, b)

        with resident(family, chunks):
            moved = scan.bytes_moved(scan.passes_made(platform.processors))
        return Contender(run, scan.bytes_moved(1), moved, inner=platform.size(3, 1))

    makers = {_name(chunks): partial(contender, chunks) for chunks in LIMITS[family]}
    return Prepared(makers, scan.deviation(A, b, platform), 1e3 * float(np.finfo(scan.dtype).eps))


def _name(chunks: int) -> str:
    return f"{chunks} resident"


def entries() -> Iterator[Entry]:
    """Each recurrence, by each limit."""
    for k, (family, scan) in enumerate(problems(small=False)):
        yield Entry(PART, f"{family}: {scan.name}", tuple(map(_name, LIMITS[family])), partial(_prepared, k))
