"""The sequential loop: it defines the trajectory, and finishes it where methods fail."""

from __future__ import annotations

from collections.abc import Callable

from .._arrays.elementwise import finite_rows
from .._arrays.namespace import Array, all_finite, array_namespace, copy, quiet
from .._functions.step import Step

LOOK_EVERY = 128
"""Steps between two tests for states that are not finite; a test costs about half a step."""


def loop(
    step: Step, y: Array, trajectory: Array, start: int, stop: int, report: Callable[[int], None] | None = None
) -> int:
    """Evaluate the steps `start` to `stop` one by one from the state `y`, writing the trajectory.

    Returns the first step whose state is not finite, or `stop`. Later rows are undefined.
    """
    state = copy(y)[None, ...]
    for begin in range(start, stop, LOOK_EVERY):
        end = min(begin + LOOK_EVERY, stop)
        done = step.counts.npoints
        try:
            with quiet():
                state = step.march(state, begin, end, trajectory)
        except Exception:
            t = begin + step.counts.npoints - done - 1
            # A state that is not finite came first: the exception is a consequence.
            if t > begin and (bad := first_not_finite(trajectory, begin, t)) < t:
                return bad
            raise
        if (bad := first_not_finite(trajectory, begin, end)) < end:
            return bad
        if report is not None:
            report(end)
    return stop


def first_not_finite(trajectory: Array, start: int, stop: int) -> int:
    """First of the rows `start` to `stop` with an entry that is not finite, or `stop`."""
    rows = trajectory[start:stop, ...]
    if all_finite(rows):
        return stop
    xp = array_namespace(rows)
    return start + int(xp.argmin(xp.astype(finite_rows(xp, rows), xp.int64)))
