"""Every CUDA kernel there is, at orders that stand for all: what the proofs without a device compile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from . import condense_kernels as condensing
from . import mend_kernels as mending
from . import thread_kernels as threads
from .choice import WAYS
from .kernel import Kernel

DTYPES = ("float32", "float64", "complex64", "complex128")

FEW = 8
"""Orders that are all taken; of more, the smallest and the largest are."""

RARE = ("repair",)
"""Kernels of ways that work only where numbers are not finite."""

MANY = 1 << 30
"""Sequences side by side, which only ways for all cases take."""

STAGES = ((1, 1), (3, 2), (3, 3), (5, 4), (3, 12))
"""Numbers of stages and orders of systems to condense: in groups of different widths, the last with large tables."""


@dataclass(frozen=True)
class Entry:
    """
    A kernel of the catalogue.

    Parameters
    ----------
    name : str
        Unique, and the same in every run.
    dtype : str
        Of its numbers.
    make : callable
        Returns it.
    hot : bool
        Whether it runs through all the numbers: such a kernel has to do with its registers alone.
    """

    name: str
    dtype: str
    make: Callable[[], Kernel]
    hot: bool = True


def catalogue() -> list[Entry]:
    """All entries."""
    return [*_scans(), *_mending(), *_condensing()]


def _scans() -> Iterator[Entry]:
    """The kernels of every way to scan, at the orders it is for; conjugates at the least and the largest of them."""
    least = dict.fromkeys(DTYPES, 1)
    for way in WAYS:
        for dtype in DTYPES:
            orders = range(least[dtype], way.largest[dtype] + 1)
            ends = sorted({orders[0], orders[-1]})
            for conjugate in (False, True) if dtype.startswith("complex") else (False,):
                for n in ends if conjugate or len(orders) > FEW else orders:
                    for kernel, make in way.kernels.items():
                        name = f"{way.name} {kernel}, {dtype}, n = {n}{', conjugate' if conjugate else ''}"
                        yield Entry(name, dtype, partial(make, dtype, n, conjugate=conjugate), kernel not in RARE)
            if way.applies(MANY, 1):  # the ways behind it get what it does not take
                least[dtype] = orders[-1] + 1


def _mending() -> Iterator[Entry]:
    """What looks for numbers that are not finite; it works only where there are."""
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
