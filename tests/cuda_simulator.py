"""The CUDA kernels on a machine without a device: each thread is a Python thread of Numba's simulator."""

import sys
import warnings
from contextlib import contextmanager
from functools import cache

from numba import cuda
from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

from parscan.scan import cuda_choice, cuda_column_kernels, cuda_condense_kernels, cuda_mend_kernels
from parscan.scan.cuda_launch import Launcher

# A simulated thread takes a millisecond: blocks are made small, so that small problems still have several.
cuda_choice.THREADS = cuda_mend_kernels.THREADS = 8
cuda_column_kernels.THREADS = 16
cuda_condense_kernels.THREADS = cuda_condense_kernels.WIDEST = 8


class SimulatorLauncher(Launcher):
    """Runs kernels on arrays of NumPy, or of array-api-strict, which stands in for CuPy."""

    def __init__(self):
        self.launched = []

    def processors(self):
        return 1

    def launch(self, kernel, blocks, threads, *arguments):
        assert len(arguments) == len(kernel.arguments)
        self.launched.append(kernel.body.__name__)
        with _eager_threads(), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a device does not tell of overflows
            _simulated(kernel)[blocks, threads](*(x if isinstance(x, int) else _in_place(x) for x in arguments))


@contextmanager
def _eager_threads():
    """Threads take turns at once: the simulator polls them, and would spend five milliseconds on every look."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def _in_place(array):
    """As memory of the simulated device, which would otherwise be copied there and back."""
    return FakeCUDAArray(getattr(array, "_array", array))


@cache
def _simulated(kernel):
    return cuda.jit(kernel.signature)(kernel.body)
