"""Segments of one sequence, marched by machine code: several at a time in vectors, on several threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..._arrays.threads import run_all
from ..pairs import as_pairs
from .lanes import Lanes, March
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
        self._lanes, self._outs, self._threads = lanes, list(map(as_pairs, outs)), threads
        self._products = None if products is None else as_pairs(products)
        self._arrays, self._begin, self._length = (*inputs, *self._outs), begin, length
        self._full, self._rest = divmod(end - begin, length)
        self._marches: dict[int, March] = {}
        """Of so many segments."""

    def run(self, starts: Any, first: int, last: int) -> bool:
        """
        Evaluate the local steps `first` to `last` of all segments; return True if all states were found to be finite.

        Parameters
        ----------
        starts : array, shape (segments, *shape)
            States before them.
        """
        starts = as_pairs(starts)
        rest, are_finite = min(max(self._rest, first), last), True
        if first < rest:
            are_finite = self._run(starts, self._full + 1, first, rest)
        if rest < last and self._full:  # the last segment has ended
            starts = self._cut(self._outs[0], self._full, rest - 1, 1)[0] if first < rest else starts
            are_finite &= self._run(starts, self._full, rest, last)
        return are_finite

    def _run(self, starts: Any, count: int, first: int, last: int) -> bool:
        """Evaluate local steps of some segments."""
        steps, operations, march = last - first, count * self._lanes.program.operations, self._marches.get(count)
        states = starts[:count] if self._products is None else (starts[:count], self._products[:count])
        if march is None:
            march = self._marches[count] = self._march(states, count, first)
        else:
            march.restart(states, first)
        pace = count * self._lanes.pace / self._threads
        for some in portions(0, steps, operations, None, int(operations * PAUSE / pace) if pace else FIRST):
            threads = max(1, min(self._threads, march.groups, some * operations // PER_THREAD))
            run_all(march.tasks(some, threads))
            march.advance(some)
        march.finish()
        return march.are_finite

    def _march(self, states: Any, count: int, first: int) -> March:
        """Local steps of some segments, from the first one that is wanted; more can be evaluated."""
        steps = self._length if count == self._full else self._rest
        arrays = [self._cut(array, count, 0, steps) for array in self._arrays]
        inputs, outs = arrays[: -len(self._outs)], arrays[-len(self._outs) :]
        if self._products is not None:
            outs = [outs[0], states[1], *outs[1:]]
        return self._lanes.march(states, inputs, outs, first)

    def _cut(self, array: Any, count: int, first: int, steps: int) -> Any:
        """Local steps of some segments."""
        return local_steps(array, count, self._begin + first, steps, self._length)


def local_steps(array: Any, count: int, begin: int, steps: int, length: int) -> Any:
    """A view of rows with axes of steps, of segments whose first steps are `length` rows apart, and those of a row."""
    step, *others = array.strides
    shape, strides = (steps, count, *array.shape[1:]), (step, length * step, *others)
    if array.size and array.flags.c_contiguous:
        return np.ndarray(shape, array.dtype, array, begin * step, strides)
    return as_strided(array[begin:], shape, strides)  # takes longer
