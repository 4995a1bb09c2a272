"""Launching kernels whose text parscan writes itself: a small interface, and its implementation for CuPy's arrays.

Numba takes no part in it. The driver assembles the PTX, and keeps the machine code on disk.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from typing import Any, Protocol

import numpy as np

from ..._arrays import cupy as _cupy
from ..._arrays.namespace import Array

THREADS = 64
"""Threads of a block: few, because a thread needs most of the registers that it can have."""

KEPT = 64
"""Functions of kernels that are kept."""


class Written(Protocol):
    """A kernel: `text` tells it from others."""

    @property
    def table(self) -> Any:
        """Its constants, as NumPy's array of bytes."""

    @property
    def text(self) -> str:
        """In LLVM's language."""

    @property
    def entry(self) -> str:
        """Name of the kernel."""

    @property
    def is_by_value(self) -> bool:
        """Whether the constants are a parameter of the kernel, and not in memory."""

    def ptx(self, capability: tuple[int, int]) -> str:
        """PTX for a compute capability."""


class Launcher(ABC):
    """Launches kernels on the current stream, without waiting for anything."""

    @abstractmethod
    def processors(self) -> int:
        """Multiprocessors of the current device."""

    @abstractmethod
    def prepare(self, kernel: Written) -> None:
        """Compile and load a kernel; what the device does not take is raised as a `RuntimeError`."""

    @abstractmethod
    def launch(self, kernel: Written, threads: int, *arguments: Array | int) -> None:
        """
        Run at least so many threads, which know by themselves whether they have something to do.

        Arrays are on the current device; they are passed by their addresses, and integers as numbers of 64 bits.
        """


class CupyLauncher(Launcher):
    """Launches by CuPy on its current stream."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Any, Any] = OrderedDict()

    def processors(self) -> int:
        """Multiprocessors of CuPy's current device."""
        return int(_cupy.module().cuda.Device().attributes["MultiProcessorCount"])

    def prepare(self, kernel: Written) -> None:
        """Load the kernel by the driver, which may be too old for it, or know no such device."""
        self._function(kernel)

    def launch(self, kernel: Written, threads: int, *arguments: Array | int) -> None:
        """Blocks of a few threads."""
        given = [one if isinstance(one, int) else one.data.ptr for one in arguments]
        table = kernel.table
        if kernel.is_by_value:  # CuPy passes an array of NumPy of one item by its value
            constants = np.frombuffer(table.tobytes() or b"\0", dtype=f"V{max(table.nbytes, 1)}")
        else:
            constants = _cupy.module().asarray(table)
        self._function(kernel)((-(-threads // THREADS),), (THREADS,), (constants, *given))

    def _code(self, kernel: Written, capability: tuple[int, int]) -> bytes:
        """What the driver loads."""
        return kernel.ptx(capability).encode() + b"\0"

    def _function(self, kernel: Written) -> Any:
        """The kernel on the current device."""
        cuda = _cupy.module().cuda
        device = cuda.runtime.getDevice()
        key = kernel.text, device
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        digits = cuda.Device(device).compute_capability
        code, module = self._code(kernel, (int(digits[:-1]), int(digits[-1]))), cuda.function.Module()
        try:
            module.load(code)
            found = module.get_function(kernel.entry)
        except Exception as error:
            raise RuntimeError(f"{type(error).__name__}: {error}; {_cupy.versions()}") from error
        with self._lock:
            self._kept[key] = found
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return found


LAUNCHER: Launcher = CupyLauncher()
"""Launcher of all these kernels; tests replace it by one that runs them on the CPU."""
