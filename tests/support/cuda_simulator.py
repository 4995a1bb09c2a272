"""The CUDA kernels on a machine without a device: each thread is a Python thread of Numba's simulator."""

import sys
import threading
import warnings
from dataclasses import replace
from functools import cache, partial

import numpy as np
from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray, FakeWithinKernelCUDAArray
from numba.cuda.simulator.kernel import BlockManager, BlockThread, _push_kernel_context
from numba.cuda.simulator.kernelapi import FakeCUDAModule, FakeCUDAShared, swapped_cuda_module

from parscan._arrays.namespace import itemsize
from parscan._kernels.cuda import (
    choice,
    column_kernels,
    condense_kernels,
    lookback_primitives,
    lookback_words,
    mend_kernels,
    primitives,
    tiles,
    warp_primitives,
)
from parscan._kernels.cuda.launch import Launcher

# A simulated thread takes a millisecond: blocks are small, so that small problems have several.
choice.TUNING = replace(choice.TUNING, threads=8)
mend_kernels.THREADS = 8
column_kernels.THREADS = 16
condense_kernels.THREADS = condense_kernels.WIDEST = 8
tiles.WARP, tiles.WARPS, tiles.PARTS, lookback_words.WINDOW = 4, 2, 2, 8


class SimulatorLauncher(Launcher):
    """Runs kernels on arrays of NumPy, or of array-api-strict, which stands in for CuPy, one block after another."""

    def __init__(self):
        self.launched = []

    def processors(self):
        return 1

    def stream(self):
        return 0

    def launch(self, kernel, blocks, threads, *arguments):
        assert len(arguments) == len(kernel.arguments)
        self.launched.append(kernel.body.__name__)
        module = FakeCUDAModule((blocks, 1, 1), (threads, 1, 1), 0)
        arguments = [x if isinstance(x, int) else _in_place(x) for x in arguments]
        with _push_kernel_context(module), swapped_cuda_module(kernel.body, module), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a device does not report overflows
            self.run([Block(partial(kernel.body, *arguments), i, blocks, threads) for i in range(blocks)])

    def run(self, blocks):
        for block in blocks:
            block.start()
            block.join()


class AtOnce(SimulatorLauncher):
    """Runs all blocks of a launch at the same time, as a device may."""

    def run(self, blocks):
        for block in blocks:
            block.start()
        for block in blocks:
            block.join()


class Block(BlockManager):
    """A block of threads with a barrier; that of Numba is polled, which takes most of the time."""

    def __init__(self, body, index, blocks, threads):
        super().__init__(body, (blocks, 1, 1), (threads, 1, 1), False)
        self.barrier = Barrier(threads)
        self.threads = [Thread(body, self, (index, 0, 0), (thread, 0, 0), False) for thread in range(threads)]

    def start(self):
        for thread in self.threads:
            thread.start()

    def join(self):
        for thread in self.threads:
            thread.join()
        for thread in self.threads:
            if thread.exception:
                raise thread.exception[0].with_traceback(thread.exception[1])


class Thread(BlockThread):
    """A thread of a block."""

    def run(self):
        super().run()
        self._manager.barrier.leave()

    def syncthreads(self):
        self._manager.barrier.wait()


PATIENCE = 20_000
"""Largest number of barriers of a block: a loop may wait for a message that never comes."""


class Barrier:
    """A barrier for the threads of a block that have not ended; threads may end at any time."""

    def __init__(self, threads):
        self.expected, self.here, self.times = threads, 0, 0
        self.changed = threading.Condition()

    def wait(self):
        with self.changed:
            times = self.times
            assert times < PATIENCE, "a block waits for ever"
            self.here += 1
            self._go_on()
            assert self.changed.wait_for(lambda: self.times > times, timeout=20)

    def leave(self):
        with self.changed:
            self.expected -= 1
            self._go_on()

    def _go_on(self):
        if self.here and self.here == self.expected:
            self.here = 0
            self.times += 1
            self.changed.notify_all()


def _in_place(array):
    """The array as memory of the simulated device."""
    return FakeWithinKernelCUDAArray(FakeCUDAArray(getattr(array, "_array", array)))


class Warp:
    """Threads that exchange one number at a time; none exchanges the next before all have read this one."""

    def __init__(self, size):
        self.barrier = threading.Barrier(size, timeout=20)
        self.shown = [[None] * size, [None] * size]
        self.times = [0] * size

    @classmethod
    def exchange(cls, lanes, number):
        """The numbers of all threads of the warp, and the lane of this one; `lanes` has a bit for each thread."""
        thread, size = threading.current_thread(), lanes.bit_length()
        lane = thread.thread_id % size
        with _LOCK:
            warps = thread._manager.__dict__.setdefault("warps", {})
            warp = warps.setdefault(thread.thread_id // size, cls(size))
        shown = warp.shown[warp.times[lane] % 2]
        warp.times[lane] += 1
        shown[lane] = number
        warp.barrier.wait()
        return shown, lane


_LOCK = threading.Lock()


def _before(lanes, number, distance, first):
    shown, lane = Warp.exchange(lanes, number)
    return shown[lane - distance] if lane >= distance else first


def _other(lanes, number, place):
    shown, _ = Warp.exchange(lanes, number)
    return shown[place]


def _ballot(module, lanes, predicate):
    shown, _ = Warp.exchange(lanes, bool(predicate))
    return sum(1 << lane for lane, vote in enumerate(shown) if vote)


class Shared(FakeCUDAShared):
    """Shared memory, one array for each line of code that allocates it.

    Numba's own searches for the array and allocates it without a lock: two threads at the same time get one each.
    """

    def array(self, shape, dtype, alignment=None):
        caller = sys._getframe(1)
        place = caller.f_code.co_filename, caller.f_lineno
        with _LOCK:
            if place not in self._allocations:
                self._allocations[place] = np.empty(shape, str(dtype))
            return self._allocations[place]


def _shared(module):
    """Shared memory of the block of this thread, and of no other."""
    manager = threading.current_thread()._manager
    with _LOCK:
        return manager.__dict__.setdefault("shared", Shared(0))


FakeCUDAModule.ballot_sync = _ballot
FakeCUDAModule.shared = property(_shared)


def _step(factor, state, offset):
    return factor * state + offset if state != 0 else offset


def _is_wide(dtype, memory, index, step):
    """Whether an access is wide, if memory is aligned to the widest access."""
    numbers = primitives.WIDE // itemsize(dtype)
    return abs(step) == 1 and (index if step == 1 else index - numbers + 1) % numbers == 0


def _fetch(dtype, memory, index, step, registers, place):
    assert _is_wide(dtype, memory, index, step)
    for lane in range(primitives.WIDE // itemsize(dtype)):
        registers[place + lane] = memory[index + lane * step]


def _put(dtype, memory, index, step, registers, place):
    assert _is_wide(dtype, memory, index, step)
    for lane in range(primitives.WIDE // itemsize(dtype)):
        memory[index + lane * step] = registers[place + lane]


def _post(dtype, words, index, stamp, registers, place):
    assert index % 2 == 0
    lanes = 8 // itemsize(dtype)
    with _LOCK:
        words[index] = stamp
        words[index + 1] = np.asarray(registers[place : place + lanes], dtype).view("int64")[0]


def _peek(dtype, words, index, registers, place):
    assert index % 2 == 0
    lanes = 8 // itemsize(dtype)
    with _LOCK:
        registers[place : place + lanes] = np.asarray([words[index + 1]], "int64").view(dtype)
        return int(words[index])


def _atomic(operation, words, index, value):
    with _LOCK:
        found = int(words[index])
        words[index] = operation(found, value)
        return found


# Kernels are made with these instead of the device functions that need hardware.
primitives.alignment = cache(lambda dtype: partial(_is_wide, dtype))
primitives.fetcher = cache(lambda dtype: partial(_fetch, dtype))
primitives.putter = cache(lambda dtype: partial(_put, dtype))
warp_primitives.stepper = cache(lambda dtype: _step)
warp_primitives.shufflers = cache(lambda dtype, lanes: (partial(_before, lanes), partial(_other, lanes)))
lookback_primitives.poster = cache(lambda dtype: partial(_post, dtype))
lookback_primitives.peeker = cache(lambda dtype: partial(_peek, dtype))
lookback_primitives.adder = cache(lambda: partial(_atomic, int.__add__))
lookback_primitives.raiser = cache(lambda: partial(_atomic, max))
