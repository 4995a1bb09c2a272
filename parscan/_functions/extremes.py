"""Rows of stacked states in which a branch on all of a stack shows: those with the smallest and largest numbers.

`np.any(y < 1)` over a stack is what it is for each row alone, if it is so for the row with the largest `y`.
"""

from __future__ import annotations

from .._arrays.elementwise import as_reals, by_rows
from .._arrays.namespace import Array, array_namespace, to_numpy

MOST = 8
"""Components, of all members of a batch, that are looked at: evenly spread, if there are more."""


MANY = 1024
"""Rows that are looked at where a trajectory is so long that all would take longer than the check is worth."""


def extreme_rows(states: Array, stride: int = 1) -> set[int]:
    """Rows (first axis) with the smallest or largest value of a component, of their sum, or of the largest of them.

    Of every so many rows one is looked at.
    """
    states = states[::stride, ...]
    xp = array_namespace(states)
    if states.size == 0:
        return set()
    flat = by_rows(states)
    flat = flat[:, :: -(-flat.shape[1] // MOST)]
    size = xp.abs(flat)
    largest = xp.max(size, axis=0, keepdims=True)
    shares = size / xp.where(largest > 0, largest, xp.ones_like(largest))
    together = [combine(shares, axis=1, keepdims=True) for combine in (xp.sum, xp.max)]
    columns = xp.concat([as_reals(flat), *together], axis=1)
    ends = xp.concat([xp.argmin(columns, axis=0), xp.argmax(columns, axis=0)])
    return {stride * row for row in to_numpy(ends).tolist()}


def extreme_among_many(states: Array) -> list[int]:
    """The same of a long trajectory, in the order of time."""
    return sorted(extreme_rows(states, max(1, -(-states.shape[0] // MANY))))
