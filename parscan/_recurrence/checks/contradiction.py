"""Detects a step that contradicts itself on the finished trajectory: in a repeated call, or a call for one state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from ..._arrays.elementwise import by_rows, rows_of
from ..._arrays.namespace import Array, Namespace, array_namespace, few_on_host, machine_epsilon, quiet, to_numpy
from ..._engine.tolerance import Tolerance
from ..._functions.evaluators import ONE_BY_ONE, STACKED
from ..._functions.response import roundings
from ..._functions.step import Step
from ..._functions.verify import apart, unlike_step

ALONE = 8
"""Number of states of the sample for which the step is called one by one."""

WELL_OFF = 10.0
"""Largest distance from the trajectory, in tolerances, for a step that has not changed."""


class Contradiction(Enum):
    """Two evaluations that gave different values, with advice."""

    REPEATED = (
        "Evaluated twice with the same arguments, it differs by {off:.2g} tolerances at step {time}: the trajectory is "
        "one of many. Take random numbers, counters and caches out of `step`; pass noise as `x`."
    )
    STACKED = (
        "Evaluated for many states at once, it differs by {off:.2g} tolerances at step {time} from its value for that "
        "state alone: it does not broadcast over leading axes, so the trajectory is not the loop's. Let it work "
        "on y[..., i] and on the last axes only, with `np.where` for `if`; raise `rtol` if it cannot be more accurate; "
        'or use method="sequential".'
    )


@dataclass(frozen=True)
class Finding:
    """A contradiction, the time step at which it is largest, and its size in tolerances."""

    kind: Contradiction
    time: int
    off: float

    def __str__(self) -> str:
        """The contradiction in words, with a remedy."""
        return str(self.kind.value).format(time=self.time, off=self.off)


@dataclass(frozen=True)
class Sample:
    """Steps spread over a trajectory: their times, the states before them, and the trajectory's states after them."""

    times: Sequence[int]
    before: Array
    found: Array


def confirms(step: Step, sample: Sample, tolerance: Tolerance) -> bool:
    """
    Whether one call of the step gives the sample again, within the tolerance and half the digits.

    The step may write to the states before.
    """
    times = sample.times
    with quiet():
        after = step(sample.before, slice(times.start, times.stop) if isinstance(times, range) else times)
        return is_near(after, sample.found, tolerance)


def is_near(after: Array, found: Array, tolerance: Tolerance) -> bool:
    """Whether stacked values differ from states of a trajectory by no more than the tolerance and half the digits."""
    share = machine_epsilon(found.dtype) ** 0.5
    one, other = few_on_host(after, found)
    xp = array_namespace(one)
    off, size = xp.abs(one - other), xp.abs(other)
    if bool(xp.all(off <= min(share, tolerance.rtol) * size)):  # a quick test, which most pass
        return True
    size = xp.max(size, axis=0)
    return bool(xp.all(off <= xp.minimum(share * size, tolerance.atol + tolerance.rtol * size)))


def contradiction(step: Step, sample: Sample, tolerance: Tolerance, *, parallel: bool) -> Finding | None:
    """A contradiction between the step and its trajectory; `parallel`: that was solved by calls on stacked states.

    If the step disagrees with the trajectory, it is called again with the same arguments. It is also called for single
    states, among them those with the largest disagreement: a branch on all states of a call may show only here.
    """
    with quiet():
        after = STACKED.values(step, sample.times, sample.before)
        off = tolerances_apart(tolerance, after, sample.found)
        if rows_of(step.xp, _differs(step.xp, tolerance, after, sample.found)):
            again = STACKED.values(step, sample.times, sample.before)
            if rows := rows_of(step.xp, _differs(step.xp, tolerance, again, after)):
                return _finding(Contradiction.REPEATED, sample.times[rows[0]], tolerance, again, after)
        if parallel and (finding := _alone(step, sample, tolerance, after, _worst_and_spread(off))):
            return finding
        missed = (off > 1) & apart(step.xp, after, sample.found)
        if len(rows := rows_of(step.xp, missed)) > sample.found.shape[0] // 4:
            # For example, the step may have overwritten an array that it returned before.
            few = rows[:ALONE]
            before, difference, flags = _take(few, sample.before, after - sample.found, missed)
            if unlike_step(step, before, [sample.times[row] for row in few], difference, flags):
                return _finding(Contradiction.REPEATED, sample.times[rows[0]], tolerance, after, sample.found)
    return None


def _alone(step: Step, sample: Sample, tolerance: Tolerance, after: Array, rows: list[int]) -> Finding | None:
    """A contradiction between calls for the states of these rows alone and the stacked call, or the trajectory."""
    times = [sample.times[row] for row in rows]
    before, together, found = _take(rows, sample.before, after, sample.found)
    alone = ONE_BY_ONE.values(step, times, before)
    unlike = apart(step.xp, together, alone) | (tolerances_apart(tolerance, together, alone) > WELL_OFF)
    if wrong := unlike_step(step, before, times, together - alone, unlike):
        return _finding(Contradiction.STACKED, times[wrong[0]], tolerance, together, alone)
    return _missed(step, times, before, found, alone, tolerance)


def contradiction_alone(
    step: Step, times: list[int], before: Array, found: Array, tolerance: Tolerance
) -> Finding | None:
    """A contradiction between calls for single states `before` some times and the trajectory `found` there."""
    with quiet():
        return _missed(step, times, before, found, ONE_BY_ONE.values(step, times, before), tolerance)


def _missed(
    step: Step, times: list[int], before: Array, found: Array, alone: Array, tolerance: Tolerance
) -> Finding | None:
    """A contradiction between the trajectory and the values for single states."""
    missed = tolerances_apart(tolerance, found, alone) > WELL_OFF
    # The states at the joints of segments may be off by one tolerance.
    small = tolerance.atol + tolerance.rtol * step.xp.abs(before) + roundings(step.xp, before)
    if wrong := unlike_step(step, before, times, found - alone, missed, small):
        return _finding(Contradiction.STACKED, times[wrong[0]], tolerance, found, alone)
    return None


def _take(rows: list[int], *stacks: Array) -> list[Array]:
    """These rows of each stack."""
    xp = array_namespace(stacks[0])
    return [xp.take(stack, xp.asarray(rows), axis=0) for stack in stacks]


def _finding(kind: Contradiction, time: int, tolerance: Tolerance, one: Array, other: Array) -> Finding:
    """The contradiction of two stacks of values, by their largest difference."""
    return Finding(kind, time, float(array_namespace(one).max(tolerances_apart(tolerance, one, other, atol=False))))


def _differs(xp: Namespace, tolerance: Tolerance, one: Array, other: Array) -> Array:
    """Flags of the values of two stacks that differ by more than a tolerance or half the digits."""
    return apart(xp, one, other) | (tolerances_apart(tolerance, one, other) > 1)


def tolerances_apart(tolerance: Tolerance, one: Array, other: Array, *, atol: bool = True) -> Array:
    """Distance of two stacks of values, in tolerances of the largest value of the same component in `other`."""
    xp = array_namespace(one)
    size = xp.broadcast_to(xp.max(xp.abs(other), axis=0, keepdims=True), other.shape)
    return tolerance.relative(one - other, size) if atol else tolerance.relative_to(one - other, size)


def _worst_and_spread(off: Array) -> list[int]:
    """Rows with the largest distance, and rows spread over the sample."""
    xp, count = array_namespace(off), off.shape[0]
    largest = to_numpy(xp.max(by_rows(xp, off), axis=1)).tolist()
    furthest = sorted(range(count), key=lambda row: -largest[row])[: ALONE // 2]
    return sorted({*furthest, *range(0, count, -(-count // (ALONE // 2)))})
