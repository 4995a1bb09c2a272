"""How kernels are launched on the arrays of a library: one small interface, one launcher per library."""

from __future__ import annotations

import importlib.util
import sys
from abc import ABC, abstractmethod
from functools import cache
from typing import Any

from .._arrays import Array, library
from .cuda_kernel import Kernel


class Launcher(ABC):
    """Launches kernels on the current stream of an array library, without waiting for anything."""

    @abstractmethod
    def processors(self) -> int:
        """Multiprocessors of the current device."""

    @abstractmethod
    def launch(self, kernel: Kernel, blocks: int, threads: int, *arguments: Array | int) -> None:
        """Run the kernel on so many blocks of so many threads; arrays are contiguous, and on the current device."""


class NumbaLauncher(Launcher):
    """Compiled and launched by Numba-CUDA, on CuPy's stream. Pointers are passed, so that no array is marshalled."""

    def processors(self) -> int:
        """Multiprocessors of CuPy's current device."""
        return _processors(_cupy().cuda.runtime.getDevice())

    def launch(self, kernel: Kernel, blocks: int, threads: int, *arguments: Array | int) -> None:
        """Compile for the device if that has not been done, and launch."""
        cupy = _cupy()
        compiled = _compiled(kernel, cupy.cuda.runtime.getDevice())
        stream = _stream(cupy.cuda.get_current_stream().ptr, cupy.cuda.runtime.getDevice())
        compiled[blocks, threads, stream](*(x if isinstance(x, int) else x.data.ptr for x in arguments))


def launcher(x: Array) -> Launcher:
    """Launcher for the library of an array."""
    return _LAUNCHERS[library(x)]


_LAUNCHERS: dict[str, Launcher] = {"cupy": NumbaLauncher()}
"""The launcher of each library. :class:`parscan.scan.cuda_cubin.CupyLauncher` can take the place of CuPy's."""


def _cupy() -> Any:
    """CuPy, which has been imported by whoever made the arrays."""
    return sys.modules["cupy"]


@cache
def _processors(device: int) -> int:
    """Multiprocessors of a device."""
    return int(_cupy().cuda.Device(device).attributes["MultiProcessorCount"])


@cache
def _compiled(kernel: Kernel, device: int) -> Any:
    """The kernel, for a device."""
    from numba import cuda  # noqa: PLC0415 - only where there is a device

    try:
        return cuda.jit(kernel.signature, lto=False)(kernel.body)
    except Exception as error:
        raise RuntimeError(_told(error)) from error


@cache
def _stream(pointer: int, device: int) -> Any:
    """A stream of CuPy's as Numba sees it; each device has its own default stream."""
    from numba import cuda  # noqa: PLC0415

    return cuda.external_stream(pointer) if pointer else cuda.default_stream()


def check_numba_cuda() -> None:
    """Raise, and say what to install, if CuPy's arrays are there and numba-cuda is not."""
    if importlib.util.find_spec("numba_cuda") is None:
        raise ImportError(
            f"CuPy arrays need numba-cuda, which is not installed; install it with {_extra()}.", name="numba_cuda"
        )


def _extra() -> str:
    """What installs the packages for CuPy's CUDA."""
    return f"`pip install 'parscan[cuda{_cupy().cuda.runtime.runtimeGetVersion() // 1000}]'`"


def _told(error: Exception) -> str:
    """What can be done about a kernel that could not be compiled or loaded."""
    runtime = _cupy().cuda.runtime
    driver, toolkit = (_version(number) for number in (runtime.driverGetVersion(), runtime.runtimeGetVersion()))
    return (
        f"a CUDA kernel could not be compiled or loaded ({type(error).__name__}: {error}). The driver knows CUDA up to "
        f"{driver}, CuPy was built for {toolkit}; numba-cuda's toolkit must be no newer than the driver. Update the "
        f"driver, or install a matching toolkit, for example with {_extra()}."
    )


def _version(number: int) -> str:
    """13020 as 13.2."""
    return f"{number // 1000}.{number % 1000 // 10}"
