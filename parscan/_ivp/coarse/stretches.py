"""Coarse solutions from one breakpoint to the next, each from the last state of the previous one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..._arrays.namespace import Array
from ..._engine.termination import Failure
from ..._functions.right_hand_side import RightHandSide
from ..core.stretches import stretches
from .steps import CoarseSolution

ENOUGH = 20_000
"""Steps of all stretches together after which a coarse solution ends; the next one begins there."""


def over_breaks(
    make: Callable[..., CoarseSolution],
    breaks: Array | None,
    rhs: RightHandSide,
    span: tuple[float, float],
    y0: Array,
    *,
    most: int | None = None,
    **options: Any,
) -> CoarseSolution:
    """The coarse solutions `make(rhs, span, y0, **options)` of all stretches, joined, until they have `most` steps."""
    limited = options if most is None else {**options, "most": most}
    if breaks is None:
        return make(rhs, span, y0, **limited)
    starts: list[CoarseSolution] = []
    steps = 0
    for stretch in stretches(span, breaks):
        within = rhs.within(stretch.low, stretch.high)
        start = make(within, (stretch.begin, stretch.end), y0, **limited)
        if start.t.shape[0] > 1 or not starts:
            starts.append(start)
        steps += start.t.shape[0] - 1
        if start.failure or float(start.t[-1]) != stretch.end or steps >= (ENOUGH if most is None else most):
            break
        y0 = start.states(start.t[-1:])[0, ...]
    return joined(starts, start.failure, start.failed_at)


def joined(
    starts: list[CoarseSolution], failure: Failure | None = None, failed_at: float | None = None
) -> CoarseSolution:
    """One coarse solution made of several, each of which begins where the previous one ends."""
    xp = starts[0].xp
    direction = 1.0 if float(starts[-1].t[-1]) > float(starts[0].t[0]) else -1.0
    ends = xp.concat([direction * start.t[-1:] for start in starts])

    def states(at: Array) -> Array:
        piece = xp.clip(xp.searchsorted(ends, direction * at), 0, len(starts) - 1)
        order = xp.argsort(piece, stable=True)
        marks = xp.searchsorted(xp.take(piece, order), xp.arange(len(starts) + 1))
        sorted_times, found = xp.take(at, order), []
        for k, start in enumerate(starts):
            some = slice(int(marks[k]), int(marks[k + 1]))
            if some.stop > some.start or k == 0:
                found.append(start.states(sorted_times[some]))
        return xp.take(xp.concat(found), xp.argsort(order), axis=0)

    t = xp.concat([starts[0].t, *(start.t[1:] for start in starts[1:])])
    return CoarseSolution(t, states, failure, failed_at, group=min(start.group for start in starts))
