"""Poles of the right-hand side at breakpoints, which no solution passes."""

from __future__ import annotations

from ..._arrays.namespace import Array
from ..core.problem import Problem
from ..core.stretches import cut
from .corners import BESIDE
from .parts import wide
from .recorded import Recorded

SHORTEST = 2.0**-32
"""Steps that are shorter than this share of the span are taken where a function grows without bound."""

GROWTH = 1.9
"""How many times as large a function is at half the distance of a time over which it has no integral: twice or more."""


def pole_on(problem: Problem, recorded: Recorded, breaks: Array | None, t: Array, y: Array) -> float | None:
    """
    A breakpoint on the way `(m,)`, `(m, n)` at which the function has a pole; None if there is none.

    Times are clipped beside breakpoints, where the function has two values: steps do not notice a pole there, and all
    marches agree on what is left of it.
    """
    xp, (begin, end) = problem.xp, problem.span
    if breaks is None or t.shape[0] < 2:
        return None
    if float(xp.min(xp.abs(t[1:] - t[:-1]))) > SHORTEST * abs(float(t[-1] - t[0])):
        return None
    ends, begins, stops = cut(problem.span, breaks, BESIDE)
    at, beside = xp.concat([ends[:-1], ends[1:]]), xp.concat([begins, stops])
    way = 1.0 if end > begin else -1.0
    rows = xp.clip(xp.searchsorted(way * t, way * at), 0, t.shape[0] - 1)
    some = (at != beside) & (xp.take(t, rows) == at)
    at, beside, states = at[some], beside[some], wide(xp.take(y, rows[some], axis=0))
    apart = beside - at
    near, further = xp.abs(recorded.slopes(beside, states)), xp.abs(recorded.slopes(beside + apart, states))
    tolerances = problem.atol + problem.rtols * xp.abs(states)
    bad = xp.any((near > GROWTH * further) & (near * xp.abs(apart)[:, None] > tolerances), axis=-1)
    return float(at[bad][0]) if bool(xp.any(bad)) else None
