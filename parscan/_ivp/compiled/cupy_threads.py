"""Threads of members on the device of CuPy's arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..._arrays import cupy as _cupy
from ..._kernels.cuda import written
from ..._recorded.native.text import UnsupportedError

if TYPE_CHECKING:
    from ..._recorded.native.device import DeviceKernel
    from ..._recorded.native.on_device import Launch

RESIDENT = 512
"""Threads that a multiprocessor has at work at a time, each with 128 registers. No device has confirmed it."""


class CupyThreads:
    """Starts threads of members in CuPy's current stream; see `Launcher`."""

    def __init__(self) -> None:
        self.xp = _cupy.module()

    @property
    def most_threads(self) -> int:
        """As many as are at work at a time: others would have to wait for a whole launch."""
        return RESIDENT * written.LAUNCHER.processors()

    def address(self, array: Any) -> int:
        """Of an array in the memory of the device."""
        return int(array.data.ptr)

    def to_host(self, array: Any) -> Any:
        """The array as NumPy's, when all that was launched before is done."""
        return self.xp.asnumpy(array)

    def load(self, kernel: DeviceKernel) -> Launch:
        """A kernel, ready to be started on the current device, which sets memory aside for it at its first start."""
        try:
            written.LAUNCHER.prepare(kernel)
        except RuntimeError as error:
            raise UnsupportedError(f"has code that the device does not take ({error})") from error

        def launch(threads: int, *arguments: Any) -> None:
            try:
                written.LAUNCHER.launch(kernel, threads, *arguments)
            except RuntimeError as error:  # of the driver
                raise UnsupportedError(f"has code that the device does not start ({error})") from error

        return launch
