"""Whether the end of a span is too far away for the steps of a march."""

from __future__ import annotations

from math import inf, isfinite

from ..._engine.termination import Failure, Termination
from ..core.pace import GROWTH, OF_STEPS

MOST = 1e9
"""Steps for the rest of a span from which on a march is given up: they would take a quarter of an hour or more, and
memory for the ends of as many steps."""


class Pace:
    """Judges the pace of a march towards the end of its span."""

    def __init__(self, end: float) -> None:
        self._end, self._before = end, inf

    def sees(self, begin: float, t: float, attempts: int) -> Failure | None:
        """Why to give up after so many further attempts of steps from one time to another one; None if not."""
        passed, rest = abs(t - begin) / attempts, abs(self._end - t)
        before, self._before = self._before, passed
        if not isfinite(rest) or passed > GROWTH * before or before == inf or passed * MOST >= rest:
            return None
        words = f"the last {attempts} steps were of {passed:.2g} each, {passed / rest:.2g} of the remaining span"
        return Failure(Termination.STUCK, f"{words}; {OF_STEPS}")


def too_many(steps: int) -> Failure:
    """What is said of a march that took as many steps as it may."""
    return Failure(Termination.STUCK, f"{steps} steps were taken, as many as may be; {OF_STEPS}")
