"""The sequential loop: it defines the trajectory, and finishes it where methods fail."""

from __future__ import annotations

from collections.abc import Callable

from .._arrays.elementwise import finite_rows
from .._arrays.namespace import Array, all_finite, array_namespace, copy, quiet
from .._functions.step import Stages, Step

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
        state, reached = _looped(step, state, trajectory, begin, end)
        if reached < end:
            return reached
        if report is not None:
            report(end)
    return stop


def loop_in_stages(step: Step, y: Array, trajectory: Array, stages: Stages) -> tuple[int, int]:
    """
    Evaluate the first steps from the state `y`, at most `LOOK_EVERY` of them, in stages that may end earlier.

    Returns how many were evaluated, and the first one whose state is not finite, or their number.
    """
    begun = step.counts.npoints
    _, reached = _looped(step, copy(y)[None, ...], trajectory, 0, min(LOOK_EVERY, trajectory.shape[0]), stages)
    return step.counts.npoints - begun, reached


def _looped(
    step: Step, state: Array, trajectory: Array, begin: int, end: int, stages: Stages | None = None
) -> tuple[Array, int]:
    """The state after the steps `begin` to `end`, and the first one whose state is not finite, or their end."""
    counts = step.counts
    done = counts.npoints
    try:
        with quiet():
            state = step.march(state, begin, end, trajectory, stages)
    except Exception:
        t = begin + counts.npoints - done - 1
        # A state that is not finite came first: the exception is a consequence.
        if t > begin and (bad := first_not_finite(trajectory, begin, t)) < t:
            return state, bad
        raise
    return state, first_not_finite(trajectory, begin, begin + counts.npoints - done)


def first_not_finite(trajectory: Array, start: int, stop: int) -> int:
    """First of the rows `start` to `stop` with an entry that is not finite, or `stop`."""
    rows = trajectory[start:stop, ...]
    if all_finite(rows):
        return stop
    xp = array_namespace(rows)
    return start + int(xp.argmin(xp.astype(finite_rows(xp, rows), xp.int64)))
