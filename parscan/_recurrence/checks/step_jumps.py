"""Detects jumps of a step between the states of a trajectory: beside a jump, no iteration from a guess converges."""

from __future__ import annotations

from itertools import pairwise

from ..._arrays.elementwise import component_sizes
from ..._arrays.namespace import Array, array_namespace, copy, quiet
from ..._functions.extremes import extreme_among_many
from ..._functions.jumps import jumps_along
from ..._functions.step import Step

SEEN = 1e-6
"""Smallest jump that counts, as a share of the largest size of a component."""


def step_jumps(step: Step, states: Array) -> bool:
    """Whether the step jumps along lines between extreme states of a trajectory `(T, *batch, n)`."""
    xp, rows = array_namespace(states), extreme_among_many(states)
    largest = component_sizes(xp, xp.abs(states))
    try:
        with quiet():
            return any(_jumps_between(step, states, pair, SEEN * largest) for pair in pairwise(rows))
    except Exception:  # a step may reject states between those of its trajectory
        return False


def _jumps_between(step: Step, states: Array, pair: tuple[int, int], bound: Array) -> bool:
    """Whether the step jumps between two of the states, with the inputs after the first."""
    begin, end = (states[row, ...] for row in pair)
    time = min(pair[0] + 1, states.shape[0] - 1)

    def values(share: float) -> Array:
        return copy(step((begin + share * (end - begin))[None, ...], slice(time, time + 1))[0, ...])

    return jumps_along(values, bound)
