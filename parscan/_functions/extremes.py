"""Rows of stacked states with the smallest and largest numbers: they reveal a branch of a function on the whole stack.

If a function branches on `np.any(y < 1)` over the whole stack, a call for a single row most likely differs if the row
has the largest `y`.
"""

from __future__ import annotations

from .._arrays.elementwise import as_reals, by_rows
from .._arrays.namespace import Array, array_namespace, to_numpy

MOST = 8
"""Largest number of components, over all members of a batch, that are compared; of more, evenly spread ones are."""


MANY = 1024
"""Largest number of rows that are compared: all rows of a long trajectory would take longer than the check is worth."""


def extreme_rows(states: Array, stride: int = 1) -> set[int]:
    """Rows (first axis) with the smallest or largest component, sum of components, or largest component.

    Only every `stride`-th row is compared.
    """
    states = states[::stride, ...]
    xp = array_namespace(states)
    if states.size == 0:
        return set()
    flat = by_rows(xp, states)
    flat = flat[:, :: -(-flat.shape[1] // MOST)]
    size = xp.abs(flat)
    largest = xp.max(size, axis=0, keepdims=True)
    shares = size / xp.where(largest > 0, largest, xp.ones_like(largest))
    together = [combine(shares, axis=1, keepdims=True) for combine in (xp.sum, xp.max)]
    columns = xp.concat([as_reals(xp, flat), *together], axis=1)
    ends = xp.concat([xp.argmin(columns, axis=0), xp.argmax(columns, axis=0)])
    return {stride * row for row in to_numpy(ends).tolist()}


def extreme_among_many(states: Array) -> list[int]:
    """Extreme rows of a long trajectory, in order of time."""
    return sorted(extreme_rows(states, max(1, -(-states.shape[0] // MANY))))
