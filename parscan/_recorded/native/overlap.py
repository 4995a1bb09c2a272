"""
Segments of one sequence that overlap, each marched once, in one task per thread.

Two sweeps over segments march all of them from a guess, then their first steps again from the ends of the segments
before them, until both agree. If it is known after how many steps they do, each segment may begin so much earlier, and
nothing has to wait for the end of another: where a segment has forgotten the guess, it has the state at which the one
before it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..._arrays.threads import run_all
from ..pairs import as_pairs, from_pairs
from .lanes import Lanes
from .segments import PER_THREAD, local_steps


class Joints(NamedTuple):
    """
    Where segments begin to count, and what they had there.

    The segment before ends `length` steps after it began to count, with its state after the step before.
    """

    first: int
    """The step from which on the first segment counts; the others do so from `length`, `2 length`, ... steps later."""
    length: int
    states: Any
    """Those with which all but the first segment began to count, shape (segments - 1, *shape)."""


def march_overlapping(
    lanes: Lanes, y0: Any, inputs: Sequence[Any], out: Any, begin: int, memory: int, threads: int
) -> Joints | None:  # fmt: skip
    """
    Evaluate the steps of a sequence from `begin` on; None if some state may not be finite, or segments are too short.

    There are as many segments as all threads have lanes, and the number of steps is a multiple of that number. If
    segments have the state at the joints that the ones before them end with, all states are those of the loop.

    Parameters
    ----------
    lanes : Lanes
        Code of a step.
    y0 : array
        State before the step `begin`.
    inputs : sequence of arrays, shapes (T, *shape)
        Their rows are contiguous, and of the recorded dtypes.
    out : array, shape (T, *shape)
        Row `t` becomes the state after the step `t`.
    begin : int
    memory : int
        Number of steps in which segments are expected to forget that they began with `y0`.
    threads : int
        Threads at most.
    """
    start, rows = as_pairs(y0), as_pairs(out)
    steps = rows.shape[0] - begin
    count = lanes.width(steps) * threads
    shorter = -(-memory // count)
    early, length = shorter * count, steps // count - shorter
    if length < early:
        return None
    given = [local_steps(array, count, begin, early + length, length) for array in inputs]
    states = np.empty((early, count, *rows.shape[1:]), dtype=rows.dtype)
    guess = np.broadcast_to(start, (count, *start.shape))
    before = lanes.march(guess, given, [states], 0, threads)
    kept = local_steps(rows, count, begin + early, length, length)
    after = lanes.march(guess, [one[early:] for one in given], [kept], 0, threads)
    after.begin_at(states[-1])
    shares = max(1, min(threads, before.groups, steps * lanes.program.operations // PER_THREAD))
    pairs = zip(before.tasks(early, shares), after.tasks(length, shares), strict=True)
    run_all([partial(_one_after_the_other, *pair) for pair in pairs])
    before.advance(early)
    after.advance(length)
    if not (before.are_finite and after.are_finite):
        return None
    rows[begin : begin + early] = states[:, 0]
    return Joints(begin + early, length, from_pairs(states[-1, 1:], out.dtype))


def _one_after_the_other(one: Callable[[], object], other: Callable[[], object]) -> None:
    one()
    other()
