"""A device that this processor plays: a kernel is run for one thread after the other, in any order."""

import numpy as np

ORDERS = {
    "forward": lambda count, rng: np.arange(count),
    "reverse": lambda count, rng: np.arange(count)[::-1],
    "random": lambda count, rng: rng.permutation(count),
}


class HostLauncher:
    """
    Starts threads of members.

    `launches` counts launches, and `fetched` arrays that the host reads. Some threads more than there are members' are
    started, as blocks have a fixed size. Arrays of array-api-strict, which do not tell their strides, are put in order.
    """

    xp = np

    def __init__(self, most_threads=1 << 16, order="forward"):
        self.most_threads, self._order, self._rng = most_threads, ORDERS[order], np.random.default_rng(0)
        self.launches = self.fetched = 0

    def address(self, array):
        return int(array.ctypes.data)

    def to_host(self, array):
        self.fetched += 1
        return array.copy()

    def load(self, kernel):
        run = kernel.host()

        def launch(threads, *arguments):
            self.launches += 1
            arrays = [np.ascontiguousarray(one._array) if hasattr(one, "_array") else one for one in arguments]
            run(self._order(threads + 3, self._rng), *arrays)

        return launch
