"""Checks that a step still gives its trajectory: the user may have changed data that it reads, in a few rows perhaps.

A sample finds most changes, at no cost. Those of a few rows are found by copies of small arrays, and by the recording
of the step, which is found again only while all that the step reads is as it was. Where there are no copies, or there
is no recording, the residual of all steps decides. Gradients by machine code evaluate all steps anyway, and compare
them on the way; for other derivatives, the residual takes a part of their time.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from math import prod
from typing import TYPE_CHECKING

from ..._arrays.elementwise import rows_of
from ..._arrays.namespace import Array, array_namespace, copy, machine_epsilon, quiet
from ..._functions.at_points import AtPoints, pairs
from ..._functions.evaluators import ONE_BY_ONE, STACKED
from ..._functions.response import roundings
from ..._functions.verify import REORDERED, unlike_step
from ..._recorded.budget import NoCodeError
from ..checks.contradiction import WELL_OFF, tolerances_apart
from ..systems.recorded_step import record_step
from .recorded import arguments, as_states, entered, limits, noted, recording_of
from .seen import Seen
from .solution import Solution

if TYPE_CHECKING:
    from ..._recorded.record import Recording

ENTRIES = 1 << 16
"""Entries of the states that are compared at once: many enough for threads, and few enough for a cache."""

After = Callable[[Array, slice], Array]
"""States after some states, at these steps."""


def at_a_glance(solution: Solution) -> bool | None:
    """Whether the step still gives its trajectory, by a sample and copies; None if they do not tell."""
    if not solution.sample_stands():
        return False
    seen = solution.seen
    if seen is not None:
        if not seen.holds(solution.trajectory, solution.step.x):
            return False
        if _is_unchanged(solution, seen):
            return True
    return None


def stands(solution: Solution) -> bool:
    """Whether the step still gives all states of its trajectory, within what the solve left open: by their residual."""
    if not solution.steps:
        return True
    recording = None
    with suppress(NoCodeError):
        recording = recording_of(solution)
        if not _some_miss(solution, recording):
            return True
    after = _values(solution, recording)
    size = max(1, ENTRIES // max(1, prod(solution.y0.shape)))
    stretches = [(0, min(1, solution.steps))]
    stretches += [(begin, min(begin + size, solution.steps)) for begin in range(1, solution.steps, size)]
    return not any(_has_changed(solution, after, slice(*some)) for some in stretches if some[0] < some[1])


def _is_unchanged(solution: Solution, seen: Seen) -> bool:
    """Whether the function reads what it read in the solve."""
    if seen.recording is None or not solution.steps:
        return False
    try:
        return record_step(solution.step, solution.y0[None, ...]) is seen.recording
    except NoCodeError:
        return False


def _some_miss(solution: Solution, recording: Recording) -> bool:
    """Whether some steps may give other states, by a quick test of all of them, in which nothing else is stored."""
    code = noted(recording.notes, "misses", lambda: _misses(recording))
    code.prepare(solution.steps)
    for times in (slice(0, 1), slice(1, solution.steps)):
        found = solution.after[times, ...]
        states = solution.trajectory[: solution.steps - 1, ...] if times.start else solution.y0[None, ...]
        with quiet():
            flags = code(*arguments(solution, states, times), limits(solution), pairs(found))[0]
        if bool(array_namespace(flags).any(flags != 0)):
            return True
    return False


def _misses(recording: Recording) -> AtPoints:
    """What flags steps; raises `NoCodeError`."""
    from ..._recorded.misses import missing  # noqa: PLC0415 - slow to import

    found = entered(lambda: missing(recording.program))
    return AtPoints(found, shared=(len(recording.arguments),), several=True)


def _values(solution: Solution, recording: Recording | None) -> After:
    """What evaluates the step at many states: its recorded operations, or calls."""
    if recording is None:
        evaluator = STACKED if solution.stacks else ONE_BY_ONE
        return lambda states, times: evaluator.values(solution.step, range(times.start, times.stop), copy(states))
    code = recording.notes["at points"]
    code.prepare(solution.steps)
    return lambda states, times: as_states(code(*arguments(solution, states, times))[0], states)


def _has_changed(solution: Solution, after: After, times: slice) -> bool:
    """Whether states after these steps are others than those of the trajectory, by more than rounding explains."""
    begin, end = times.start, times.stop
    states = solution.trajectory[begin - 1 : end - 1, ...] if begin else solution.y0[None, ...]
    found, xp = solution.after[times, ...], array_namespace(states)
    with quiet():
        values = after(states, times)
        if _is_near(solution, values, found):
            return False
        # The function itself decides, alone: its record may be rounded in another way beside a jump.
        if not (rows := rows_of(xp, _off(solution, values, found))):
            return False
        places = xp.asarray(rows)
        before, known = (xp.take(each, places, axis=0) for each in (states, found))
        steps = [begin + row for row in rows]
        values = ONE_BY_ONE.values(solution.step, steps, copy(before))
        flags = _off(solution, values, known)
        if not bool(xp.any(flags)):
            return False
        tolerance = solution.tolerance
        small = tolerance.atol + tolerance.rtol * xp.abs(before) + roundings(xp, before)
        return bool(unlike_step(solution.step, before, steps, values - known, flags, small, moves_inputs=False))


def _is_near(solution: Solution, values: Array, found: Array) -> bool:
    """Whether values are nowhere off the trajectory, by a quick test that most pass."""
    xp, tolerance = array_namespace(found), solution.tolerance
    off = xp.abs(values - found)
    if bool(xp.max(off) <= WELL_OFF * tolerance.atol):  # false where something is NaN
        return True
    return bool(xp.all(off <= WELL_OFF * (tolerance.atol + tolerance.rtol * xp.abs(found))))


def _off(solution: Solution, values: Array, found: Array) -> Array:
    """Flags of values that are well off the trajectory."""
    xp = array_namespace(found)
    size = xp.max(xp.abs(found), axis=0, keepdims=True)
    far = xp.abs(values - found) > REORDERED * machine_epsilon(found.dtype) * size
    finite = xp.isfinite(values) == xp.isfinite(found)
    return ~finite | (far & (tolerances_apart(solution.tolerance, values, found) > WELL_OFF))
