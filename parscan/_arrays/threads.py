"""Python threads for kernels that release the GIL.

Numba's own parallel loops are not used: one of their back ends aborts the process if two threads enter it at the same
time, and none of them is safe after a fork. Threads of a call of its own have neither problem. They are kept for later
calls: a thread that sleeps is on its core within microseconds, while a new one may wait for the core of the caller.
"""

from __future__ import annotations

import _thread
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

Task = Callable[[], object]

KEPT = 64
"""Threads that sleep between calls."""

_idle: list[_Helper] = []

if hasattr(os, "register_at_fork"):  # the threads are not in a child
    os.register_at_fork(after_in_child=_idle.clear)


def available_threads() -> int:
    """Number of cores this process may run on, limited by the environment variable NUMBA_NUM_THREADS."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    wanted = os.environ.get("NUMBA_NUM_THREADS", "")
    return min(cores, max(1, int(wanted))) if wanted.isdecimal() else cores


@dataclass(frozen=True)
class Threads:
    """The number of threads of a kernel."""

    work_per_thread: int
    """Number of multiplications for which another thread is worth starting."""

    available: int | None = None
    """The largest number of threads; None for the number of cores."""

    def worthwhile(self, work: int, most: int) -> int:
        """Number of threads for an amount of work, from 1 to `most`."""
        wanted = min(most, work // self.work_per_thread)
        if wanted <= 1:
            return 1
        return min(wanted, available_threads() if self.available is None else self.available)


def run_all(tasks: Sequence[Task]) -> None:
    """Run the tasks in parallel, the first on the calling thread; return when all have ended."""
    errors: list[BaseException] = []
    waiting = []
    try:
        for task in tasks[1:]:
            done = _thread.allocate_lock()
            done.acquire()
            _idle_helper().begin(task, errors, done)
            waiting.append(done)
        tasks[0]()
    finally:
        _wait(waiting)
    if errors:
        raise errors[0]


class _Helper:
    """A thread that does one task after the other, and sleeps between them."""

    def __init__(self) -> None:
        self._begins, self._work = _thread.allocate_lock(), cast("Any", None)
        self._begins.acquire()
        # `threading.Thread` would wait until its thread runs: as long as short tasks take
        _thread.start_new_thread(self._live, ())

    def begin(self, task: Task, errors: list[BaseException], done: Any) -> None:
        """Begin a task; release a lock when it has ended, after its exception, if any, was noted."""
        self._work = task, errors, done
        self._begins.release()

    def _live(self) -> None:
        is_kept = True
        while is_kept:
            self._begins.acquire()
            work, self._work = self._work, None
            is_kept = self._done(*work)
            del work

    def _done(self, task: Task, errors: list[BaseException], done: Any) -> bool:
        """Do a task; whether the thread goes on: it does not if there are many idle ones."""
        try:
            task()
        except BaseException as error:
            errors.append(error)
        is_kept = len(_idle) < KEPT
        if is_kept:  # before the caller goes on, who may need it at once
            _idle.append(self)
        done.release()
        return is_kept


class _Caller:
    """Takes the place of a thread where there are too many."""

    def begin(self, task: Task, errors: list[BaseException], done: Any) -> None:
        """Do a task."""
        try:
            task()
        except BaseException as error:
            errors.append(error)
        done.release()


def _idle_helper() -> _Helper | _Caller:
    """A thread that has nothing to do."""
    try:
        return _idle.pop()
    except IndexError:
        pass
    try:
        return _Helper()
    except RuntimeError:
        return _Caller()


def _wait(waiting: list[Any]) -> None:
    """Wait for all threads, however often interrupted: they may write to arrays that are freed afterwards."""
    interrupt: BaseException | None = None
    while True:
        try:
            for done in waiting:
                with done:  # released at once, so that it can be awaited again after an interrupt
                    pass
            break
        except BaseException as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt


def shares(length: int, count: int) -> list[tuple[int, int]]:
    """Divide `range(length)` into `count` nearly equal parts; each is a pair of its begin and end."""
    if count == 1:
        return [(0, length)]
    cuts = [length * k // count for k in range(count + 1)]
    return list(pairwise(cuts))
