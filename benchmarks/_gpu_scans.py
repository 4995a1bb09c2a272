"""Linear recurrences on a GPU: how near they come to the speed of its memory, as a share of a plain copy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib import import_module
from math import prod
from typing import Any

import numpy as np
from _gpu_platform import Array, Platform

from parscan import linear_recurrence

ORDERS = (2, 3, 4, 5, 6, 8, 12, 16, 24, 32)
FEW_ORDERS = (2, 3, 8)
"""Of matrices; the latter in a dry run, as compiling kernels for the CPU takes a second each."""

CHECKED = 4096
"""Steps that are compared with the same recurrence on the CPU, in double precision."""


@dataclass(frozen=True)
class Scan:
    """A recurrence, as large as its coefficients and offsets say."""

    name: str
    dtype: str
    coefficients: tuple[int, ...]
    offsets: tuple[int, ...]
    passes: int
    """How often operands should be read: twice where time is cut, once where sequences suffice. See `passes_made`."""

    target: float = 0.8
    """Share of the copy's speed that shall be reached, counting these passes."""

    single_pass: bool = False
    """Whether it is evaluated by look-back, which is off by default."""

    def passes_made(self, processors: int) -> int:
        """How often the kernels that the table chooses read them, on a device of so many multiprocessors."""
        choice: Any = import_module("parscan._kernels.cuda.choice")
        n = self.offsets[-1] if len(self.coefficients) > len(self.offsets) else 1
        sequences, length = prod(self.offsets[1:]) // n, self.offsets[0]
        if not choice.is_covered(self.dtype, n):
            return self.passes
        way = choice.choose(self.dtype, n, sequences, length)
        cut = isinstance(way, choice.Phases) and way.chunk(self.dtype, n, sequences, length, processors) < length
        return 2 if cut else 1

    def operands(self, platform: Platform) -> tuple[Array, Array]:
        """Coefficients that keep states near one, with offsets of size one."""
        dense = len(self.coefficients) > len(self.offsets)
        size = 1 / self.offsets[-1] if dense else 1.0
        A = platform.uniform(-size if dense else 0.5, size, self.coefficients, self.dtype)
        return A, platform.uniform(-1.0, 1.0, self.offsets, self.dtype)

    def bytes_moved(self, passes: int) -> int:
        """Bytes that have to be moved when the operands are read so often."""
        sizes = prod(self.coefficients) if self.coefficients[0] > 1 else 0, prod(self.offsets)
        return (passes * sum(sizes) + prod(self.offsets)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Bandwidth:
    """What was measured of one scan."""

    name: str
    seconds: float
    fewest_bytes: int
    share_of_fewest: float
    passes: int
    share_of_passes: float
    target: float
    deviation: float

    @property
    def text(self) -> str:
        """One line for the table."""
        reached = "PASS" if self.share_of_passes >= self.target else "short"
        return (
            f"  {self.name:<52} {self.seconds * 1e3:9.3f} ms  {self.fewest_bytes / self.seconds / 1e9:7.0f} GB/s "
            f"{self.share_of_fewest:6.2f} {self.share_of_passes:6.2f} ({self.passes})  {self.deviation:.1e}  {reached}"
        )


def scans(platform: Platform) -> Iterator[Scan]:
    """Long sequences, channels, constant coefficients, and matrices of about as many numbers."""
    total = platform.size(2**28, 2**14)
    for dtype, less in (("float32", 1), ("float64", 2), ("complex64", 2), ("complex128", 4)):
        length = total // less
        yield Scan(f"diagonal, T = {length}, {dtype}", dtype, (length,), (length,), 2)
        yield Scan(f"diagonal, T = {length}, {dtype}, look-back", dtype, (length,), (length,), 1, 0.75, True)
    yield Scan(f"diagonal, one coefficient, T = {total}, float32", "float32", (1,), (total,), 2)
    for channels, passes in ((platform.size(2**15, 2**7), 1), (platform.size(2**10, 2**4), 2)):
        shape = (total // channels, channels)
        yield Scan(f"diagonal, T = {shape[0]}, {channels} channels, float32", "float32", shape, shape, passes)
    for n in FEW_ORDERS if platform.dry else ORDERS:
        length = total // n**2
        yield Scan(f"dense, n = {n}, T = {length}, float32", "float32", (length, n, n), (length, n), 2)
    sequences = platform.size(2**14, 4)
    n = platform.size(4, 3)
    length = total // n**2 // sequences
    name = f"dense, n = {n}, T = {length}, {sequences} sequences, float32"
    yield Scan(name, "float32", (length, sequences, n, n), (length, sequences, n), 1)


def copy_rate(platform: Platform, repeats: int) -> float:
    """Bytes read and written per second by a copy of a large array."""
    x = platform.xp.ones(platform.size(2**28, 2**14), dtype="float32")
    out = platform.xp.empty_like(x)

    def copy() -> None:
        platform.xp.copyto(out, x)

    copy()
    return 2 * x.nbytes / platform.best(copy, repeats, inner=platform.size(10, 1))


def deviation(scan: Scan, A: Array, b: Array, h: Array, platform: Platform) -> float:
    """Largest difference in the first steps from double precision on the CPU, relative to the largest state."""
    steps = max(1, CHECKED * b.shape[0] // b.size) if b.ndim > 1 else CHECKED
    wide = np.result_type(scan.dtype, np.float64)
    to_host = getattr(platform.xp, "asnumpy", np.asarray)
    first, offsets, found = (to_host(x[:steps]).astype(wide) for x in (A, b, h))
    expected = linear_recurrence(first, offsets)
    return float(np.max(np.abs(found - expected)) / np.max(np.abs(expected)))


@contextmanager
def single_pass(on: bool) -> Iterator[None]:
    """Look-back is switched on, or off."""
    choice: Any = import_module("parscan._kernels.cuda.choice")
    kept, choice.TUNING = choice.TUNING, replace(choice.TUNING, single_pass=on)
    try:
        yield
    finally:
        choice.TUNING = kept


def bandwidths(platform: Platform, rate: float, repeats: int) -> Iterator[Bandwidth]:
    """Measure all scans that fit into the memory."""
    for scan in scans(platform):
        if 3 * scan.bytes_moved(1) > platform.free_bytes():
            print(f"  {scan.name}: needs more memory than is free, left out")
            continue
        A, b = scan.operands(platform)
        with single_pass(scan.single_pass):
            wrong = deviation(scan, A, b, linear_recurrence(A, b), platform)
            passes = scan.passes_made(import_module("parscan._kernels.cuda.launch").LAUNCHER.processors())
            seconds = platform.best(partial(linear_recurrence, A, b), repeats, inner=platform.size(10, 1))
        fewest = scan.bytes_moved(1)
        shares = fewest / seconds / rate, scan.bytes_moved(passes) / seconds / rate
        yield Bandwidth(scan.name, seconds, fewest, shares[0], passes, shares[1], scan.target, wrong)


def launch_cost(platform: Platform, repeats: int) -> dict[str, float]:
    """Microseconds of a call that has next to nothing to compute."""
    a, b = (platform.uniform(0.5, 1.0, (64,), "float32") for _ in range(2))
    linear_recurrence(a, b)
    inner = platform.size(100, 2)
    return {"microseconds of a call": 1e6 * platform.best(lambda: linear_recurrence(a, b), repeats, inner=inner)}


def measure_scans(platform: Platform, rate: float, repeats: int) -> Iterator[dict[str, Any]]:
    """Records of all scans, beside a copy that moves `rate` bytes per second."""
    print(f"copy: {rate / 1e9:.0f} GB/s, read and written")
    print("  time, speed counting every byte once, share of the copy's; the same counting the passes made; deviation")
    for bandwidth in bandwidths(platform, rate, repeats):
        print(bandwidth.text, flush=True)
        yield asdict(bandwidth)
