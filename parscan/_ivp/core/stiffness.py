"""Whether stability, not accuracy, limits steps: of DOP853, and of any explicit method by how fast errors fall.

The first as in the code of Hairer and Wanner (1996), IV.2.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from ..._arrays.namespace import Array, array_namespace, conjugate, quiet

STIFF_AT, STIFF_STEPS, NOT_STIFF_STEPS = 6.1, 15, 6
"""Product of step and dominant eigenvalue above which stability limits the step; number of such steps that mean
stiffness; number of other steps in a row that reset the count. One other step does not reset it: near the limit of
stability, steps get longer and shorter in turn."""

ITERATIONS, LIMIT = 6, 2.0
"""Iterations of the power method for the fastest fall, and the least product of step and rate of fall that only
stability explains: such steps pass over the whole fall of an error, and accuracy would allow longer ones."""


class Stiffness:
    """Counts the steps that stability limits."""

    def __init__(self) -> None:
        self._stiff = self._others = 0

    @property
    def is_stiff(self) -> bool:
        """Whether stability limited enough steps to call the problem stiff."""
        return self._stiff >= STIFF_STEPS

    @property
    def is_suspected(self) -> bool:
        """Whether stability limited some of the last steps."""
        return self._stiff > 0

    def add(self, h: float, apart: float, slopes: float) -> None:
        """Count a step of length h.

        `apart` and `slopes` are the distances between its last two stages, which are at the same time, and between
        their slopes.
        """
        stiff = apart > 0 and abs(h) * slopes > STIFF_AT * apart
        self._others = 0 if stiff else self._others + 1
        self._stiff = 0 if self._others == NOT_STIFF_STEPS else self._stiff + stiff


def are_limited(
    fun: Callable[[float, Array], Array], nodes: list[tuple[float, Array]], rtol: float | Array, atol: Array | float
) -> bool:
    """Whether stability limits most steps between some nodes, with states `(n,)`, of an explicit method."""
    limited = 0
    for (t, y), (t_end, _) in pairwise(nodes):
        unit = atol + rtol * array_namespace(y).abs(y)
        with quiet():
            limited += abs(t_end - t) * _fall(fun, t, y, unit, 1.0 if t_end > t else -1.0) > LIMIT
    return 2 * limited > len(nodes) - 1


def _fall(fun: Callable[[float, Array], Array], t: float, y: Array, unit: Array, way: float) -> float:
    """Rate at which the fastest error of one tolerance falls, by the power method; negative or NaN where none does."""
    xp = array_namespace(y)
    change, rate = xp.ones_like(y), 0.0
    for _ in range(ITERATIONS):
        slope = way * (fun(t, y + unit * change) - fun(t, y - unit * change)) / (2 * unit)
        parts = xp.sum(conjugate(change) * slope) / xp.sum(xp.abs(change) ** 2)
        rate, size = -float(parts.real), float(xp.max(xp.abs(slope)))
        if not 0 < size < float("inf"):
            break
        change = slope / size
    return rate
