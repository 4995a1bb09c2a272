"""Segments of one sequence, marched by machine code: several at a time in vectors, on several threads."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .lanes import Lanes

PER_THREAD = 1 << 20
"""Number of operations for which another thread is worth starting: some tenths of a millisecond."""


class Segments:
    """
    The steps `begin` to `end` of a sequence, cut into segments of `length` steps; the last one may be shorter.

    Parameters
    ----------
    lanes : Lanes
        Code of a step.
    inputs : sequence of arrays, shapes (T, *shape)
        Their rows are contiguous, and of the recorded dtypes.
    outs : sequence of arrays, shapes (T, *shape)
        Of each result; of a state of two arrays, of the first one and of further results.
    begin, end, length : int
    threads : int
        Threads at most.
    products : array, shape (segments, *shape), optional
        The second array of a state of two, before the next local step of every segment: it is written.
    """

    def __init__(
        self, lanes: Lanes, inputs: Sequence[Any], outs: Sequence[Any], begin: int, end: int, length: int,
        threads: int, products: Any = None,
    ) -> None:  # fmt: skip
        self._lanes, self._inputs, self._outs, self._threads = lanes, inputs, outs, threads
        self._begin, self._length, self._products = begin, length, products
        self._full, self._rest = divmod(end - begin, length)
        self._whole = [self._cut(one) for one in inputs], [self._cut(one) for one in outs]
        """Inputs and results without the rest: axes of local steps, of segments, and those of a row."""

    def run(self, starts: Any, first: int, last: int) -> None:
        """
        Evaluate the local steps `first` to `last` of all segments.

        Parameters
        ----------
        starts : array, shape (segments, *shape)
            States before them.
        """
        rest = min(max(self._rest, first), last)  # from there on, the last segment has ended
        if first < rest:
            views = ([self._ragged(one, first, rest) for one in some] for some in (self._inputs, self._outs))
            self._run(starts, self._full + 1, rest - first, *views)
            first, starts = rest, self._whole[1][0][rest - 1, ...] if self._full else None
        if first < last and self._full:
            self._run(starts, self._full, last - first, *([one[first:last] for one in some] for some in self._whole))

    def _run(self, starts: Any, count: int, steps: int, inputs: list[Any], outs: list[Any]) -> None:
        """Evaluate all steps of views of `count` segments."""
        lanes = self._lanes.width(count)
        work = steps * count * self._lanes.program.operations
        groups = -(-count // lanes)
        threads = max(1, min(self._threads, groups, work // PER_THREAD))
        cuts = [lanes * (groups * k // threads) for k in range(threads + 1)]
        # Some segments are marched by two threads, which write the same: every thread has full vectors.
        parts = [slice(max(min(a, count - lanes), 0), min(b, count)) for a, b in pairwise(cuts)]
        starts, products = np.array(starts[:count]), None if self._products is None else np.array(self._products)
        tasks = []
        for some in parts:
            given, results = starts[some], [out[:, some] for out in outs]
            if products is not None:
                given, results = (given, products[some]), [results[0], self._products[some], *results[1:]]
            tasks.append(partial(self._lanes.run, given, [x[:, some] for x in inputs], results, 0, steps))
        run_together(tasks)

    def _cut(self, array: Any) -> Any:
        """A view of the rows of full segments."""
        rows = array[self._begin : self._begin + self._full * self._length]
        return rows.reshape(self._full, self._length, *array.shape[1:]).swapaxes(0, 1)

    def _ragged(self, array: Any, first: int, last: int) -> Any:
        """A view of rows of all segments, where the last one has not ended."""
        rows, step = array[self._begin + first :], array.strides[0]
        shape = last - first, self._full + 1, *array.shape[1:]
        return as_strided(rows, shape, (step, self._length * step, *array.strides[1:]))


class _Stopped(Exception):  # noqa: N818 - it says what happened
    """Another thread was interrupted."""


def run_together(tasks: Sequence[Callable[..., object]]) -> None:
    """
    Run tasks, the first on the calling thread, the others on threads of their own, until all have ended.

    They take `report=`, a function that they call every now and then, or None. Where one raises an exception, the
    others end at their next call of it.
    """
    if len(tasks) == 1:
        tasks[0](report=None)
        return
    stop, errors = threading.Event(), []

    def check(_: int) -> None:
        if stop.is_set():
            raise _Stopped

    def run(task: Callable[..., object], ended: threading.Lock) -> None:
        try:
            task(report=check)
        except _Stopped:
            pass
        except BaseException as error:
            errors.append(error)
            stop.set()
        finally:
            ended.release()

    locks = [threading.Lock() for _ in tasks]
    try:
        for ended in locks:
            ended.acquire()
        for task, ended in zip(tasks[1:], locks[1:], strict=True):
            _thread.start_new_thread(run, (task, ended))  # threading.Thread would wait until the other thread runs
        run(tasks[0], locks[0])
        for ended in locks:
            ended.acquire()
    except BaseException:  # an interrupt outside of the tasks
        stop.set()
        raise
    if errors:
        raise errors[0]
