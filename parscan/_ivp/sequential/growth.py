"""Whether small changes may grow along a solution of few steps, so that errors of steps would, too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..._arrays.namespace import Array, quiet, random_signs
from ..core.problem import Problem
from .course import Course

SMALL = 2.0
"""
Integral of the rate of growth up to which errors are not looked at: they grow by e² at most, and those of twenty steps
with a tenth of the tolerances stay near ten tolerances.
"""


def may_grow(problem: Problem, course: Course, fun: Callable[[float, Array], Array]) -> bool:
    """
    Whether changes of the size of the tolerances may grow.

    As their rate counts what the slope changes by, however the solution turns it: the rate is no smaller than that of
    the growth. One direction with random signs stands for all.
    """
    nodes, states = np.asarray(course.nodes), np.asarray(course.states)
    unit = problem.atol + problem.rtols * np.max(np.abs(states), axis=0)
    moved = states + unit * random_signs(states.shape, states, seed=0)
    with quiet():
        slopes, others = (
            np.asarray([fun(t, y) for t, y in zip(nodes.tolist(), some, strict=True)]) for some in (states, moved)
        )
        rates = np.max(np.abs(others - slopes) / unit, axis=1)
        grown = float(np.sum(np.abs(np.diff(nodes)) * np.maximum(rates[:-1], rates[1:])))
    course.nfev += 2 * nodes.size
    return not grown <= SMALL
