"""Threads of members on the device of CuPy's arrays."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ..._arrays import cupy as _cupy
from ..._kernels.cuda import written
from ..._recorded.native.text import UnsupportedError

if TYPE_CHECKING:
    from ..._recorded.native.device import DeviceKernel
    from ..._recorded.native.on_device import Launch

MOST_THREADS = 1 << 17
"""Threads that are started at a time, about as many as a device can have at work with so many registers."""


class CupyThreads:
    """Starts threads of members in CuPy's current stream; see `Launcher`."""

    most_threads = MOST_THREADS

    def __init__(self) -> None:
        self.xp = _cupy.module()

    def address(self, array: Any) -> int:
        """Of an array in the memory of the device."""
        return int(array.data.ptr)

    def to_host(self, array: Any) -> Any:
        """The array as NumPy's, when all that was launched before is done."""
        return self.xp.asnumpy(array)

    def load(self, kernel: DeviceKernel) -> Launch:
        """A kernel, ready to be started on the current device."""
        try:
            written.LAUNCHER.prepare(kernel)
        except UnsupportedError:
            raise
        except Exception as error:  # of CuPy, or of the driver
            raise UnsupportedError(
                f"has code that the device does not take ({type(error).__name__}: {error}): {_cupy.versions()}"
            ) from error
        return partial(written.LAUNCHER.launch, kernel)
