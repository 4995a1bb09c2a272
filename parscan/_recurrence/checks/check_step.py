"""Whether a step broadcasts: whether one call on stacked states gives what a call for each gives."""

from __future__ import annotations

from collections.abc import Sequence

from ..._arrays.namespace import Array, array_namespace, copy, machine_epsilon, quiet, to_numpy
from ..._functions.response import explains, response
from ..._functions.step import Step

SAME_BY_CHANCE = 8
"""States of which one may differ without a reason at the start: a step that rounds to whole numbers may sit on an edge
there. What the step gives for states alone is looked at again on the finished trajectory."""


def check_broadcasting(step: Step, states: Array, steps: int) -> None:
    """Raise unless one call on the stacked `states` equals a call for each.

    Inputs are taken from all over the time, or, if the step rejects those in these states, the states' own.
    """
    count, error = states.shape[0], None
    try:
        if not _is_unlike(step, states, max(1, steps // count)):
            return
    except Exception:
        try:
            if not _is_unlike(step, states, 1):
                return
        except _Raised as raised:
            error = raised.__cause__
    single = f"{count} calls on one state each"
    told = f"raised {type(error).__name__} ({error}), {single} did not" if error else f"gave other values than {single}"
    raise ValueError(
        f"`step` does not broadcast over leading axes: one call on {count} stacked states {told}. Let it work on "
        "y[..., i] and on the last axes only (`y.sum(axis=-1)`, `y @ W`, `np.where` for `if`), without random numbers "
        "or memory of earlier calls; give inputs of one number per time an axis for it, x[:, None]; or use "
        'method="sequential".'
    ) from error


class _Raised(Exception):  # noqa: N818 - a signal within this file, no error
    """Raised where a call on all states raised, and the calls for each did not; what it raised is the cause."""


def _is_unlike(step: Step, states: Array, stride: int) -> bool:
    """Whether one call on all states gives other values than a call for each, with every `stride`-th input."""
    count = states.shape[0]
    with quiet():
        alone = [copy(step(copy(states[t : t + 1, ...]), slice(t * stride, t * stride + 1))) for t in range(count)]
        try:
            # Copies of all: a step may write to what it is given, and to what it returned before.
            together = copy(step(copy(states), slice(0, count * stride, stride)))
        except Exception as error:
            if error is not step.error:  # no exception of the user's, but a message about what came back
                raise
            raise _Raised from error
    expected = array_namespace(states).concat(alone)
    times = range(0, count * stride, stride)
    differ = unexplained(step, states, times, together - expected, apart(together, expected))
    return len(differ) > count // SAME_BY_CHANCE


def unexplained(
    step: Step, states: Array, times: Sequence[int], difference: Array, off: Array, sizes: Array | None = None
) -> list[int]:
    """Rows in which entries marked `off` differ by more than the step's values move with its state.

    `difference` is that of two stacks of values at these states and times; the states move by `sizes`, by default a few
    roundings.
    """
    rows = []
    for row in rows_of(off):
        one = slice(row, row + 1)
        try:
            moved = response(
                step, states[one, ...], slice(times[row], times[row] + 1), None if sizes is None else sizes[one, ...]
            )
        except Exception:  # a step may reject states beside its trajectory
            moved = array_namespace(off).zeros_like(difference[one, ...])
        if rows_of(off[one, ...] & ~explains(moved, difference[one, ...])):
            rows.append(row)
    return rows


def apart(one: Array, other: Array) -> Array:
    """Where two stacks of values differ by more than half the digits, or in being finite.

    The digits are those of the largest of `other` in the same place of the stacked states: a component that is small
    beside the others, and a small member of a batch, have digits of their own.
    """
    xp = array_namespace(one)
    finite = xp.isfinite(one) & xp.isfinite(other)
    unlike = xp.isfinite(one) != xp.isfinite(other)
    zero = xp.zeros_like(one)
    one, other = xp.where(finite, one, zero), xp.where(finite, other, zero)
    scale = xp.max(xp.abs(other), axis=0, keepdims=True)
    return unlike | (xp.abs(one - other) > machine_epsilon(one.dtype) ** 0.5 * scale)


def rows_of(flags: Array) -> list[int]:
    """Rows (first axis) with a flag that is set."""
    xp = array_namespace(flags)
    rows = to_numpy(xp.any(xp.reshape(flags, (flags.shape[0], -1)), axis=1))
    return [row for row, flag in enumerate(rows.tolist()) if flag]
