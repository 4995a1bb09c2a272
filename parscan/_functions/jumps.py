"""Whether a function jumps along a line: its change across a jump remains as the arguments come closer."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

from .._arrays.namespace import Array, array_namespace, to_numpy

PARTS, ZOOMS = 8, 5
"""Parts into which a line is divided; the part with the largest change is divided again, this many times in all."""

LEFT = 0.3
"""Share of the largest change that is left in the last part where the function jumps; where it is smooth, far less."""


def jumps_along(values: Callable[[float], Array], bound: Array) -> bool:
    """Whether a function of the position on a line, from 0 to 1, jumps by more than a bound somewhere on it."""
    xp = array_namespace(bound)
    low, length, first, change = 0.0, 1.0, 0.0, 0.0
    for zoom in range(ZOOMS):
        places = [low + length * part / PARTS for part in range(PARTS + 1)]
        found = xp.stack([values(share) for share in places])
        apart = xp.abs(found[1:, ...] - found[:-1, ...])
        apart = xp.where(apart == 0, apart, apart / bound)
        changes = to_numpy(xp.max(xp.reshape(apart, (PARTS, -1)), axis=1)).tolist()
        if not all(map(isfinite, changes)):
            return False
        change = max(changes)
        low, length = places[changes.index(change)], length / PARTS
        first = first if zoom else change
    return change > 1 and change > LEFT * first
