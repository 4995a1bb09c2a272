"""Segments of one sequence, marched by machine code: several at a time in vectors, on several threads."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

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
        self._lanes, self._outs, self._threads, self._products = lanes, outs, threads, products
        self._full, self._rest = divmod(end - begin, length)
        arrays = [array[begin:end] for array in (*inputs, *outs)]
        self._early = [_cut(array, self._full + 1, self._rest, length) for array in arrays] if self._rest else arrays
        self._late = [_cut(array, self._full, length, length) for array in arrays]
        """All arrays, with axes of local steps, of segments, and of a row: while the last segment runs, and later."""

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
            self._run(starts, [array[first:rest] for array in self._early])
            first, starts = rest, self._late[-len(self._outs)][rest - 1, ...]
        if first < last and self._full:
            self._run(starts, [array[first:last] for array in self._late])

    def _run(self, starts: Any, arrays: list[Any]) -> None:
        """Evaluate all steps of arrays with axes of local steps and of segments."""
        steps, count = arrays[-1].shape[:2]
        lanes = self._lanes.width(count)
        work = steps * count * self._lanes.program.operations
        groups = -(-count // lanes)
        threads = max(1, min(self._threads, groups, work // PER_THREAD))
        cuts = [lanes * (groups * k // threads) for k in range(threads + 1)]
        # Some segments are marched by two threads, which write the same: every thread has full vectors.
        parts = [slice(max(min(a, count - lanes), 0), min(b, count)) for a, b in pairwise(cuts)]
        tasks = []
        for some in parts:
            given, views = starts[some], [array[:, some] for array in arrays]
            inputs, results = views[: -len(self._outs)], views[-len(self._outs) :]
            if self._products is not None:
                given, results = (given, self._products[some]), [results[0], self._products[some], *results[1:]]
            tasks.append(self._lanes.prepared(given, inputs, results, 0, steps))
        run_together(tasks)


def _cut(array: Any, count: int, steps: int, length: int) -> Any:
    """The first local steps of some segments: a view with axes of these steps, of segments, and those of a row."""
    step, *others = array.strides
    return as_strided(array, (steps, count, *array.shape[1:]), (step, length * step, *others))


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
