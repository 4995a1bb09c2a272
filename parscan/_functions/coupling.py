"""Whether members of a batch depend on each other: derivatives member by member do not exist then."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from .._arrays.namespace import Array, array_namespace, copy, machine_epsilon, quiet, random_signs
from .differences import POWER, step_sizes

ROUNDINGS = 100
"""Rounding errors of the largest value up to which a value is unchanged."""


def couples_members(values: Callable[[Array], Array], states: Array) -> bool:
    """Whether some members of stacked `states`, `(m, *batch, n)`, change the values of others."""
    xp, batch = array_namespace(states), states.shape[1:-1]
    count = prod(batch)
    change = random_signs(states.shape, states, seed=0) * step_sizes(states, power=POWER)
    places = xp.arange(count)
    halves = [places >> bit & 1 for bit in range((count - 1).bit_length())]  # any two members differ in one of them
    try:
        with quiet():
            before = copy(values(copy(states)))
            noise = ROUNDINGS * machine_epsilon(states.dtype) * xp.max(xp.abs(before))
            for half in [*halves, *(1 - each for each in halves)]:
                moved = xp.reshape(half, (*batch, 1)) == 1
                after = values(states + xp.where(moved, change, xp.zeros_like(change)))
                if bool(xp.any((xp.abs(after - before) > noise) & ~moved)):
                    return True
    except Exception:  # a function may reject states beside its solution; then no comparison is possible
        return False
    return False
