"""Kernels that parscan writes itself, run on this processor in the place of a device."""

import numpy as np

from parscan._kernels.cuda.written import THREADS, Launcher


class HostLauncher(Launcher):
    """
    Runs kernels on arrays of NumPy, or of array-api-strict, thread by thread, in random order.

    Attributes
    ----------
    launched : list of int
        Threads of every launch.
    """

    def __init__(self, processors=1):
        self.launched = []
        self._processors, self._rng = processors, np.random.default_rng(0)

    def processors(self):
        return self._processors

    def prepare(self, kernel):
        kernel.host()

    def launch(self, kernel, threads, *arguments):
        self.launched.append(threads)
        arrays = [getattr(one, "_array", one) for one in arguments]
        assert all(one[:1, ...].flags.c_contiguous for one in arrays if isinstance(one, np.ndarray))
        kernel.host()(self._rng.permutation(-(-threads // THREADS) * THREADS), *arrays)
