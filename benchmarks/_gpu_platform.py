"""Where the GPU benchmark runs: CuPy on a device; or a stand-in for it and tiny problems, to try the code."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from _harness import machine

Array = Any
Run = Callable[[], Any]

_HELD = ExitStack()
"""What is entered until the process ends."""


@dataclass(frozen=True)
class Platform:
    """An array library, and the device behind it."""

    xp: Any
    machine: dict[str, Any]
    synchronise: Callable[[], object]
    """Waits until everything asked for so far is done."""

    free_bytes: Callable[[], float]
    small: bool = False
    """Problems are tiny."""

    dry: bool = False
    """There is no device, and figures mean nothing."""

    def size(self, full: int, small: int) -> int:
        """A number of steps, sequences or repeats."""
        return small if self.small else full

    def uniform(self, low: float, high: float, shape: tuple[int, ...], dtype: str) -> Array:
        """Random numbers made on the device; complex ones on a ring, with `low` and `high` as its radii."""
        random = self.xp.random.default_rng(0)
        # In pieces: the generator draws in double precision, and the arrays may take a good part of the memory.
        out = self.xp.empty(shape, dtype=dtype)
        flat = out.reshape(-1)
        for first in range(0, flat.size, 1 << 24):
            piece = flat[first : first + (1 << 24)]
            numbers = low + (high - low) * random.random(piece.size)
            if out.dtype.kind == "c":
                numbers = numbers * self.xp.exp(2j * np.pi * random.random(piece.size))
            piece[...] = numbers.astype(dtype)
        return out

    def seconds(self, run: Run, inner: int = 1) -> float:
        """Time of one run among `inner` that are asked for back to back."""
        self.synchronise()
        start = time.perf_counter()
        for _ in range(inner):
            run()
        self.synchronise()
        return (time.perf_counter() - start) / inner

    def best(self, run: Run, repeats: int, inner: int = 1) -> float:
        """Least time of several."""
        return min(self.seconds(run, inner) for _ in range(repeats))

    def deviation(self, answer: Array, reference: Array) -> float | None:
        """Largest difference relative to the largest reference value, computed on the device."""
        if answer is None or reference is None:
            return None
        answer, reference = (
            x if isinstance(x, self.xp.ndarray) else self.xp.asarray(np.asarray(x)) for x in (answer, reference)
        )
        return float(abs(answer - reference).max() / abs(reference).max())

    @cached_property
    def rate(self) -> float:
        """Bytes that a copy of a large array reads and writes per second."""
        x = self.xp.ones(self.size(2**28, 2**14), dtype="float32")
        out = self.xp.empty_like(x)
        self.xp.copyto(out, x)
        return 2 * x.nbytes / self.best(lambda: self.xp.copyto(out, x), 3, inner=self.size(10, 1))

    def on_host(self, x: Array) -> Array:
        """A NumPy array."""
        return self.xp.asnumpy(x)

    @property
    def processors(self) -> int:
        """Multiprocessors of the device."""
        return int(import_module("parscan._kernels.cuda.launch").LAUNCHER.processors())


def dry_platform() -> Platform:
    """The tests' stand-in for CuPy, for the rest of this process; its kernels run in their emulator of a device."""
    sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))
    emulator, stand_in = import_module("cuda_emulator"), import_module("cupy_stand_in")
    if emulator.MISSING:
        raise RuntimeError(f"the dry run {emulator.MISSING}")
    _HELD.enter_context(stand_in.installed(emulator.Emulator()))
    described = {**machine(), "gpu": "none: a dry run on a stand-in for CuPy, whose figures mean nothing"}
    return Platform(stand_in.CUPY, described, lambda: None, free_bytes=lambda: 2.0**30, small=True, dry=True)


def device_platform(small: bool) -> Platform:
    """CuPy and its current device, for tiny problems or large ones; raises RuntimeError if there is none."""
    try:
        cupy = import_module("cupy")
        cuda = cupy.cuda
        properties = cuda.runtime.getDeviceProperties(cuda.runtime.getDevice())
    except ImportError as error:
        raise RuntimeError(f"CuPy is not installed ({error})") from error
    except Exception as error:
        raise RuntimeError(f"CuPy finds no device ({error})") from error
    described = {
        **machine(),
        "gpu": properties["name"].decode(),
        "memory": properties["totalGlobalMem"],
        "multiprocessors": properties["multiProcessorCount"],
        "driver": cuda.runtime.driverGetVersion(),
        "runtime": cuda.runtime.runtimeGetVersion(),
        "cupy": cupy.__version__,
        "numba-cuda": _version("numba-cuda"),
    }

    def free_bytes() -> float:
        return float(cuda.runtime.memGetInfo()[0] + cupy.get_default_memory_pool().free_bytes())

    return Platform(cupy, described, lambda: cuda.get_current_stream().synchronize(), free_bytes, small)


def _version(package: str) -> str:
    """Version of a package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
