"""Python threads for kernels that release the GIL.

Numba's own parallel loops are not used: one of their back ends aborts the process if two threads enter it at the same
time, and none of them is safe after a fork. Threads that exist for one call have neither problem.
"""

from __future__ import annotations

import _thread
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

Task = Callable[[], object]


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

    def run(task: Task, done: Any) -> None:
        try:
            task()
        except BaseException as error:
            errors.append(error)
        finally:
            done.release()

    waiting = []
    try:
        for task in tasks[1:]:
            done = _thread.allocate_lock()
            done.acquire()
            try:  # `threading.Thread` would wait until its thread runs: as long as short tasks take
                _thread.start_new_thread(run, (task, done))
            except RuntimeError:  # there are too many threads
                run(task, done)
            waiting.append(done)
        tasks[0]()
    finally:
        _wait(waiting)
    if errors:
        raise errors[0]


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
