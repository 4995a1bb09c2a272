"""Launching kernels: a small interface, and its implementation for CuPy's arrays and streams."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Hashable
from functools import cache
from typing import Any

from ..._arrays import cupy as _cupy
from ..._arrays.namespace import Array
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
    def launch(self, kernel: Kernel, blocks: int, threads: int, *arguments: Array | int) -> None:
        """Run the kernel; arrays are contiguous, and on the current device."""


class NumbaLauncher(Launcher):
    """Compiles and launches by Numba-CUDA on CuPy's current stream; kernels get the addresses of arrays."""

    def processors(self) -> int:
        """Multiprocessors of CuPy's current device."""
        return _processors(_cupy.module().cuda.runtime.getDevice())

    def stream(self) -> Hashable:
        """Device and address of CuPy's current stream, and the thread if the address is that of its default stream."""
        cuda = _cupy.module().cuda
        address = cuda.get_current_stream().ptr
        thread = threading.get_ident() if address == cuda.Stream.ptds.ptr else 0
        return cuda.runtime.getDevice(), address, thread

    def launch(self, kernel: Kernel, blocks: int, threads: int, *arguments: Array | int) -> None:
        """Compile the kernel for the device if that has not been done, and launch it."""
        cupy = _cupy.module()
        compiled = _compiled(kernel, cupy.cuda.runtime.getDevice())
        stream = _stream(cupy.cuda.get_current_stream().ptr, cupy.cuda.runtime.getDevice())
        compiled[blocks, threads, stream](*(x if isinstance(x, int) else x.data.ptr for x in arguments))


LAUNCHER: Launcher = NumbaLauncher()
"""Launcher of all kernels; tests replace it by Numba's simulator."""


@cache
def _processors(device: int) -> int:
    """Multiprocessors of a device."""
    return int(_cupy.module().cuda.Device(device).attributes["MultiProcessorCount"])


@cache
def _compiled(kernel: Kernel, device: int) -> Any:
    """The kernel compiled for a device."""
    from numba import cuda  # noqa: PLC0415 - only where there is a device

    try:
        return cuda.jit(kernel.signature, lto=False)(kernel.body)
    except Exception as error:
        raise RuntimeError(_refused(error)) from error


@cache
def _stream(pointer: int, device: int) -> Any:
    """Numba's object for a stream of CuPy's; each device has its own default stream."""
    from numba import cuda  # noqa: PLC0415

    return cuda.external_stream(pointer) if pointer else cuda.default_stream()


def _refused(error: Exception) -> str:
    """Message for a kernel that could not be compiled or loaded."""
    return (
        f"a CUDA kernel could not be compiled or loaded ({type(error).__name__}: {error}): {_cupy.versions()}. "
        "numba-cuda's toolkit must be no newer than the driver: update the driver, or install a toolkit that fits, for "
        f"example with {_cupy.extra()}."
    )
