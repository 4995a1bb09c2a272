"""Linear recurrences on a GPU: how near they come to the speed of its memory, as a share of a plain copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from math import prod
from typing import Any

import numpy as np
from _gpu_case import AbsentError, Contender, Entry, Prepared
from _gpu_platform import Array, Platform

from parscan import linear_recurrence

PART = "scans"
ORDERS = (2, 3, 4, 5, 6, 8, 12, 16, 24, 32)
"""Of matrices."""

CHECKED = 4096
"""Steps that are compared with the same recurrence on the CPU, in double precision."""

IN_PHASES, LOOK_BACK, COPY = "parscan", "parscan, look-back", "copy"


@dataclass(frozen=True)
class Scan:
    """A recurrence, as large as its coefficients and offsets say."""

    name: str
    dtype: str
    coefficients: tuple[int, ...]
    offsets: tuple[int, ...]

    @property
    def n(self) -> int:
        """Order of the matrices."""
        return self.offsets[-1] if len(self.coefficients) > len(self.offsets) else 1

    def passes_made(self, processors: int) -> int:
        """How often the kernels that the table chooses read operands, on a device of so many multiprocessors."""
        choice: Any = import_module("parscan._kernels.cuda.choice")
        sequences, length = prod(self.offsets[1:]) // self.n, self.offsets[0]
        if not choice.is_covered(self.dtype, self.n):
            return 2
        way = choice.choose(self.dtype, self.n, sequences, length)
        cut = isinstance(way, choice.Phases) and way.chunk(self.dtype, self.n, sequences, length, processors) < length
        return 2 if cut else 1

    def operands(self, platform: Platform) -> tuple[Array, Array]:
        """Coefficients that keep states near one, with offsets of size one."""
        if 3 * self.bytes_moved(1) > platform.free_bytes():
            raise AbsentError("needs more memory than is free")
        dense = self.n > 1
        size = 1 / self.n if dense else 1.0
        A = platform.uniform(-size if dense else 0.5, size, self.coefficients, self.dtype)
        return A, platform.uniform(-1.0, 1.0, self.offsets, self.dtype)

    def bytes_moved(self, passes: int) -> int:
        """Bytes that have to be moved when the operands are read so often."""
        sizes = prod(self.coefficients) if self.coefficients[0] > 1 else 0, prod(self.offsets)
        return (passes * sum(sizes) + prod(self.offsets)) * np.dtype(self.dtype).itemsize

    def deviation(self, A: Array, b: Array, platform: Platform) -> Callable[[Array], float]:
        """Largest error in the first steps, by double precision on the CPU, relative to the largest state."""
        steps = max(1, CHECKED * b.shape[0] // b.size) if b.ndim > 1 else CHECKED
        wide = np.result_type(self.dtype, np.float64)
        expected = linear_recurrence(*(platform.on_host(x[:steps]).astype(wide) for x in (A, b)))

        def deviation(h: Array) -> float:
            found = platform.on_host(h[:steps]).astype(wide)
            return float(np.max(np.abs(found - expected)) / np.max(np.abs(expected)))

        return deviation

    def contender(self, A: Array, b: Array, platform: Platform, *, single: bool = False) -> Contender:
        """Parscan in phases, or in a single pass."""

        def run() -> Array:
            with single_pass(single):
                return linear_recurrence(A, b)

        with single_pass(single):
            passes = self.passes_made(platform.processors)
        return Contender(run, self.bytes_moved(1), self.bytes_moved(passes), inner=platform.size(10, 1))


@contextmanager
def single_pass(on: bool) -> Iterator[None]:
    """Look-back is switched on, or off."""
    choice: Any = import_module("parscan._kernels.cuda.choice")
    kept, choice.TUNING = choice.TUNING, replace(choice.TUNING, single_pass=on)
    try:
        yield
    finally:
        choice.TUNING = kept


def scans(small: bool) -> Iterator[Scan]:
    """Long sequences, channels, constant coefficients, and matrices of about as many numbers; or a few numbers each."""
    total = 2**14 if small else 2**28
    for dtype, less in (("float32", 1), ("float64", 2), ("complex64", 2), ("complex128", 4)):
        length = total // less
        yield Scan(f"diagonal, T = {length}, {dtype}", dtype, (length,), (length,))
    yield Scan(f"diagonal, one coefficient, T = {total}, float32", "float32", (1,), (total,))
    for channels in (2**7, 2**4) if small else (2**15, 2**10):
        shape = (total // channels, channels)
        yield Scan(f"diagonal, T = {shape[0]}, {channels} channels, float32", "float32", shape, shape)
    for n in ORDERS:
        length = max(total // n**2, 100)
        yield Scan(f"dense, n = {n}, T = {length}, float32", "float32", (length, n, n), (length, n))
    sequences = 1000 if small else 2**14
    length = max(total // 16 // sequences, 2)
    name = f"dense, n = 4, T = {length}, {sequences} sequences, float32"
    yield Scan(name, "float32", (length, sequences, 4, 4), (length, sequences, 4))


def _prepared(k: int, platform: Platform) -> Prepared:
    scan = list(scans(platform.small))[k]
    A, b = scan.operands(platform)
    makers = {IN_PHASES: partial(scan.contender, A, b, platform)}
    if _is_long(scan):
        makers[LOOK_BACK] = partial(scan.contender, A, b, platform, single=True)
    most = 1e3 * float(np.finfo(scan.dtype).eps)
    return Prepared(makers, scan.deviation(A, b, platform), most)


def _is_long(scan: Scan) -> bool:
    """Whether it is one sequence of scalars."""
    return len(scan.offsets) == 1


def _copy(platform: Platform) -> Prepared:
    x = platform.xp.ones(platform.size(2**28, 2**14), dtype="float32")
    out = platform.xp.empty_like(x)

    def copy() -> None:
        platform.xp.copyto(out, x)

    return Prepared({COPY: lambda: Contender(copy, 2 * x.nbytes, inner=platform.size(10, 1))})


def _short(platform: Platform) -> Prepared:
    a, b = (platform.uniform(0.5, 1.0, (64,), "float32") for _ in range(2))
    run = partial(linear_recurrence, a, b)
    return Prepared({IN_PHASES: lambda: Contender(run, inner=platform.size(100, 2))})


def entries() -> Iterator[Entry]:
    """The copy that all shares refer to, a call that has next to nothing to compute, and all scans."""
    yield Entry(PART, "copy of 2^28 float32", (COPY,), _copy)
    yield Entry(PART, "a call with 64 steps", (IN_PHASES,), _short)
    for k, scan in enumerate(scans(small=False)):
        contenders = (IN_PHASES, LOOK_BACK) if _is_long(scan) else (IN_PHASES,)
        yield Entry(PART, scan.name, contenders, partial(_prepared, k))
