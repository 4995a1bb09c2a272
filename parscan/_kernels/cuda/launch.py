"""Launching kernels: a small interface, and its implementation for CuPy's arrays and streams."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Hashable
from functools import cache
from typing import Any

from ..._arrays import cupy as _cupy
from ..._arrays.namespace import Array
from .cubin import cubin
from .kernel import Kernel


class Launcher(ABC):
    """Launches kernels on the current stream, without waiting for anything."""

    @abstractmethod
    def processors(self) -> int:
        """Multiprocessors of the current device."""

    @abstractmethod
    def stream(self) -> Hashable:
        """Identifier of the current stream, unique among those of all devices. Only the single-pass scan needs it."""

    @abstractmethod
    def address(self, array: Array) -> int:
        """Address of the first number of an array."""

    @abstractmethod
    def launch(self, kernel: Kernel, blocks: int, threads: int, *arguments: Array | int) -> None:
        """Run the kernel; arrays are contiguous, and on the current device."""


class CupyLauncher(Launcher):
    """Launches by CuPy on its current stream what Numba compiled; kernels get the addresses of arrays.

    Numba's own launches prepare each argument in Python, and warn of every small grid.
    """

    def processors(self) -> int:
        """Multiprocessors of CuPy's current device."""
        return _processors(_cupy.module().cuda.runtime.getDevice())

    def stream(self) -> Hashable:
        """Device and address of CuPy's current stream, and the thread if the address is that of its default stream."""
        cuda = _cupy.module().cuda
        address = cuda.get_current_stream().ptr
        thread = threading.get_ident() if address == cuda.Stream.ptds.ptr else 0
        return cuda.runtime.getDevice(), address, thread

    def address(self, array: Array) -> int:
        """Address on the device."""
        return int(array.data.ptr)

    def launch(self, kernel: Kernel, blocks: int, threads: int, *arguments: Array | int) -> None:
        """Compile the kernel for the device if that has not been done, and launch it."""
        function = _loaded(kernel, _cupy.module().cuda.runtime.getDevice())
        function((blocks,), (threads,), tuple(x if isinstance(x, int) else self.address(x) for x in arguments))


LAUNCHER: Launcher = CupyLauncher()
"""Launcher of all kernels; tests replace it by one that runs them on the CPU."""


@cache
def _processors(device: int) -> int:
    """Multiprocessors of a device."""
    return int(_cupy.module().cuda.Device(device).attributes["MultiProcessorCount"])


@cache
def _loaded(kernel: Kernel, device: int) -> Any:
    """The kernel as a function of CuPy's on a device."""
    cuda = _cupy.module().cuda
    try:
        made = cubin(kernel, _capability(cuda.Device(device).compute_capability))
        module = cuda.function.Module()
        module.load(made.code)
        return module.get_function(made.entry)
    except Exception as error:
        raise RuntimeError(_refused(error)) from error


def _capability(digits: str) -> tuple[int, int]:
    """A compute capability from its digits, "90" or "120" for example."""
    return int(digits[:-1]), int(digits[-1])


def _refused(error: Exception) -> str:
    """Message for a kernel that could not be compiled or loaded."""
    return (
        f"a CUDA kernel could not be compiled or loaded ({type(error).__name__}: {error}): {_cupy.versions()}. "
        "The major version of numba-cuda's toolkit must be no newer than the driver's: update the driver, or install a "
        f"toolkit that fits, for example with {_cupy.extra()}."
    )
