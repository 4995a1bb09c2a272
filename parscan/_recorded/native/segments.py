"""Segments of one sequence, marched by machine code: several at a time in vectors, on several threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.lib.stride_tricks import as_strided

from ..._arrays.threads import run_all
from .lanes import Lanes
from .loop import FIRST, PAUSE, portions

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
        states, inputs, outs = starts[:count], arrays[: -len(self._outs)], arrays[-len(self._outs) :]
        if self._products is not None:
            products = self._products[:count]
            states, outs = (states, products), [outs[0], products, *outs[1:]]
        march, operations = self._lanes.march(states, inputs, outs, 0), count * self._lanes.program.operations
        pace = count * self._lanes.pace / self._threads
        for some in portions(0, steps, operations, None, int(operations * PAUSE / pace) if pace else FIRST):
            threads = max(1, min(self._threads, march.groups, some * operations // PER_THREAD))
            run_all(march.tasks(some, threads))
            march.advance(some)
        march.finish()


def _cut(array: Any, count: int, steps: int, length: int) -> Any:
    """The first local steps of some segments: a view with axes of these steps, of segments, and those of a row."""
    step, *others = array.strides
    return as_strided(array, (steps, count, *array.shape[1:]), (step, length * step, *others))
