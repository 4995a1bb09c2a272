"""Whether stability, not accuracy, limits the steps of DOP853: as in the code of Hairer and Wanner (1996), IV.2."""

from __future__ import annotations

STIFF_AT, STIFF_STEPS, NOT_STIFF_STEPS = 6.1, 15, 6
"""Product of step and dominant eigenvalue above which stability limits the step; number of such steps that mean
stiffness; number of other steps in a row that reset the count. One other step does not reset it: near the limit of
stability, steps get longer and shorter in turn."""


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
