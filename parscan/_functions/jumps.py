"""Detects jumps of a function along a line: the change across a jump remains as the arguments come closer."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

from .._arrays.namespace import Array, array_namespace, to_numpy

PARTS, ZOOMS = 8, 5
"""A line is divided into this many parts, then the part with the largest change again, in this many rounds."""

LEFT = 0.3
"""The function jumps if at least this share of the largest change remains in the last part."""


def jumps_along(values: Callable[[float], Array], bound: Array, zooms: int = ZOOMS) -> bool:
    """
    Whether a function of the position on a line, from 0 to 1, jumps by more than a bound somewhere on it.

    With fewer `zooms`, it may also be steep there: most of the change is within a part of `PARTS**-zooms`.
    """
    xp = array_namespace(bound)
    low, length, first, change = 0.0, 1.0, 0.0, 0.0
    for zoom in range(zooms):
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
