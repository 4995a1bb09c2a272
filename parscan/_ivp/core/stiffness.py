"""Whether stability, not accuracy, limits the steps of DOP853: as in the code of Hairer and Wanner (1996), IV.2."""

from __future__ import annotations

STIFF_AT, STIFF_STEPS, NOT_STIFF_STEPS = 6.1, 15, 6
"""Product of step and dominant eigenvalue from which stability limits the step; how many such steps are enough; and
after how many others in a row the count begins anew, for near the limit of stability steps become longer and shorter
in turn."""


class Stiffness:
    """A count of such steps."""

    def __init__(self) -> None:
        self._stiff = self._others = 0

    @property
    def is_stiff(self) -> bool:
        """Whether there were enough of them."""
        return self._stiff >= STIFF_STEPS

    def add(self, h: float, apart: float, slopes: float) -> None:
        """A step of length h, whose last two stages, at the same time, differ by that much, and so do their slopes."""
        stiff = apart > 0 and abs(h) * slopes > STIFF_AT * apart
        self._others = 0 if stiff else self._others + 1
        self._stiff = 0 if self._others == NOT_STIFF_STEPS else self._stiff + stiff
