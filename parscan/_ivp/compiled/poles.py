"""Poles of the right-hand side at breakpoints, which no solution passes."""

from __future__ import annotations

from ..._arrays.namespace import Array
from ..core.problem import Problem
from ..core.stretches import cut
from .corners import BESIDE
from .members import Members
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
    bad = _grow(problem, recorded.slopes(beside, states), recorded.slopes(beside + apart, states), apart, states)
    return float(at[bad][0]) if bool(xp.any(bad)) else None


def pole_of_members(problem: Problem, members: Members, stretches: Array, states: Array, some: Array) -> float | None:
    """
    A breakpoint at which the function of one of some members `(k,)` has a pole at states `(k, n)`; None if none has.

    `stretches` `(m, 3)` or `(k, m, 3)` have the times of their ends, and the least and largest times in them.
    """
    xp, (begin, end) = problem.xp, problem.span
    every = xp.broadcast_to(stretches, (some.shape[0], *stretches.shape[-2:]))
    ends = xp.concat([xp.full_like(every[:, :1, 0], begin), every[:, :, 0]], axis=1)
    low, high = (every[:, :, 1], every[:, :, 2]) if end > begin else (every[:, :, 2], every[:, :, 1])
    at, beside = xp.concat([ends[:, :-1], ends[:, 1:]], axis=1).T, xp.concat([low, high], axis=1).T
    apart = beside - at
    there = xp.broadcast_to(states, (at.shape[0], *states.shape))
    near, further = members.slopes(beside, there, some), members.slopes(beside + apart, there, some)
    bad = _grow(problem, near, further, apart, there) & (apart != 0)
    return float(at[bad][0]) if bool(xp.any(bad)) else None


def _grow(problem: Problem, near: Array, further: Array, apart: Array, states: Array) -> Array:
    """Where slopes at half the distance of a time grow as they do beside a pole, by more than the tolerance."""
    xp, size = problem.xp, problem.xp.abs(near)
    tolerances = problem.atol + problem.rtols * xp.abs(states)
    return xp.any((size > GROWTH * xp.abs(further)) & (size * xp.abs(apart)[..., None] > tolerances), axis=-1)
