"""The sequential loop: it defines the trajectory, and finishes it where methods fail."""

from __future__ import annotations

from collections.abc import Callable

from .._arrays.elementwise import finite_rows
from .._arrays.namespace import Array, all_finite, array_namespace, copy, quietly
from .._functions.step import Outcome, Stages, Step

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


def loop_in_stages(
    step: Step, y: Array, trajectory: Array, stages: Stages, start: int = 0, outcome: Outcome | None = None
) -> tuple[int, int]:
    """
    Evaluate the first steps, at most `LOOK_EVERY` of them, in stages that may end earlier.

    The steps before `start` are evaluated already; `y` is the state after them, and `outcome` that of the next step.
    Returns how many were evaluated, and the first one whose state is not finite, or their number.
    """
    begun, end = step.counts.npoints - start, min(LOOK_EVERY, trajectory.shape[0])
    _, reached = _looped(step, copy(y)[None, ...], trajectory, start, end, stages, outcome)
    return step.counts.npoints - begun, reached


def _looped(
    step: Step,
    state: Array,
    trajectory: Array,
    begin: int,
    end: int,
    stages: Stages | None = None,
    outcome: Outcome | None = None,
) -> tuple[Array, int]:
    """The state after the steps `begin` to `end`, and the first one whose state is not finite, or their end."""
    counts, since = step.counts, begin if outcome is None else 0
    done = counts.npoints
    try:
        state = quietly(step.march, state, begin, end, trajectory, stages, outcome)
    except Exception:
        t = begin + counts.npoints - done - 1
        # A state that is not finite came first: the exception is a consequence.
        if t > since and (bad := first_not_finite(trajectory, since, t)) < t:
            return state, bad
        raise
    return state, first_not_finite(trajectory, since, begin + counts.npoints - done)


def first_not_finite(trajectory: Array, start: int, stop: int) -> int:
    """First of the rows `start` to `stop` with an entry that is not finite, or `stop`."""
    rows = trajectory[start:stop, ...]
    if all_finite(rows):
        return stop
    xp = array_namespace(rows)
    return start + int(xp.argmin(xp.astype(finite_rows(xp, rows), xp.int64)))
