"""Whether a large system of which nothing is known is stiff with a sparse Jacobian, by some calls of its function."""

from __future__ import annotations

from math import isfinite

import numpy as np

from ..._arrays.namespace import Array, quiet, random_moves
from ..._functions.coloured import SMALL, Function
from ..._functions.sparsity_found import found_pattern
from ..._linalg.pattern import Pattern
from ..core.problem import LONG, Problem
from .large import smallest_sizes

STIFF = 1000.0
"""Length of the span in the shortest time constants from which on explicit steps are more expensive."""

TURNS = 8
"""Steps of the power method."""


def stiff_pattern(problem: Problem) -> Pattern | None:
    """The pattern of the Jacobian; None if most entries are not zero, or explicit steps suffice."""
    y, (t, end) = problem.y0, problem.span
    if y.size < LONG or problem.jac is not None:
        return None
    fun = problem.right_hand_side().sequential()
    floor = smallest_sizes(problem.rtols, problem.atol, y)
    try:
        with quiet():
            if not abs(end - t) * _fastest(fun, t, y, floor) > STIFF:
                return None
            return found_pattern(fun, t, y, floor)
    except Exception:  # states nearby are no solution, and `fun` need not be defined there
        return None


def _fastest(fun: Function, t: float, y: Array, floor: Array) -> float:
    """The largest rate at which small changes of the state change, by the power method on differences."""
    unit = np.abs(y) + floor + np.mean(np.abs(y))
    f, way, rate = fun(t, y), random_moves(y.shape, y, seed=0) * unit, 0.0
    for _ in range(TURNS):
        change = (fun(t, y + SMALL * way) - f) / SMALL
        rate = float(np.linalg.norm(change / unit) / np.linalg.norm(way / unit))
        if not (isfinite(rate) and rate):
            return rate
        way = change / rate
    return rate
