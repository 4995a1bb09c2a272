"""Every CUDA kernel, at orders that stand for all others: what is compiled without a device."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from parscan._kernels.cuda import condense_kernels as condensing
from parscan._kernels.cuda import mend_kernels as mending
from parscan._kernels.cuda import thread_kernels as threads
from parscan._kernels.cuda.choice import WAYS, Phases, Way
from parscan._kernels.cuda.kernel import DTYPES, Kernel
from parscan._kernels.cuda.primitives import WIDE

FEW = 8
"""A way with no more orders than these is compiled at all of them, another at the smallest and the largest."""

RARE = ("repair",)
"""Kernels of ways that have work to do only where numbers are not finite."""

MANY = 1 << 30
"""More sequences than any way takes that is not for all numbers of sequences."""

STAGES = ((1, 1), (3, 2), (3, 3), (5, 4), (3, 12))
"""Numbers of stages and orders of systems to condense: groups of different widths, the last with a large table."""


@dataclass(frozen=True)
class Entry:
    """
    A kernel of the catalogue.

    Parameters
    ----------
    name : str
        Unique, and the same in every run.
    dtype : str
        Dtype of its numbers.
    make : callable
        Returns the kernel.
    hot : bool
        Whether it reads all the numbers of a problem: such a kernel must not spill registers.
    """

    name: str
    dtype: str
    make: Callable[[], Kernel]
    hot: bool = True


def catalogue() -> list[Entry]:
    """All entries."""
    return [*_scans(), *_mending(), *_condensing()]


def source() -> str:
    """Digest of the code that Numba compiles: the files that import it."""
    texts = [file.read_text(encoding="utf-8") for file in sorted(Path(str(threads.__file__)).parent.glob("*.py"))]
    of_kernels = [text for text in texts if re.search(r"^(from|import) numba", text, re.MULTILINE)]
    return hashlib.sha256("\0".join(of_kernels).encode()).hexdigest()


def _scans() -> Iterator[Entry]:
    """The kernels of every way to scan, at the orders for which it is chosen."""
    least = dict.fromkeys(DTYPES, 1)
    for way in WAYS:
        for dtype in DTYPES:
            orders = range(least[dtype], way.largest[dtype] + 1)
            for kernel, make in way.kernels.items():
                for n in _orders(way, dtype, kernel, orders):
                    name = f"{way.name} {kernel}, {dtype}, n = {n}"
                    yield Entry(name, dtype, partial(make, dtype, n), kernel not in RARE)
            if way.applies(MANY, 1):  # later ways are chosen for larger orders only
                least[dtype] = orders[-1] + 1


def _orders(way: Way, dtype: str, kernel: str, orders: Iterable[int]) -> list[int]:
    """The orders at which a kernel is compiled, for those that it is chosen for."""
    if not kernel.startswith("wide"):
        found = list(orders)
        return found if len(found) <= FEW else [found[0], found[-1]]
    assert isinstance(way, Phases)
    found = [n for n in orders if way.is_wide(dtype, n)]
    widest = max(n for n in found if way.widths(dtype, n)[0] == WIDE)
    return found if len(found) <= FEW else sorted({found[0], widest, found[-1]})


def _mending() -> Iterator[Entry]:
    """The kernels that look for numbers that are not finite, and have work to do only where there are some."""
    for dtype in DTYPES:
        n = threads.LARGEST[dtype]
        yield Entry(f"spoil, {dtype}, n = {n}", dtype, partial(mending.spoil_kernel, dtype, n), hot=False)
        yield Entry(f"mend, {dtype}, n = {n}", dtype, partial(mending.mend_kernel, dtype, n), hot=False)


def _condensing() -> Iterator[Entry]:
    """The condensing of collocation stages."""
    for dtype in condensing.DTYPES:
        for s, n in STAGES:
            name = f"condense, {dtype}, s = {s}, n = {n}"
            yield Entry(name, dtype, partial(condensing.condense_kernel, dtype, s, n))
