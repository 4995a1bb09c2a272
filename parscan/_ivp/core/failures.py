"""Failures that all solvers know, and when a step is none."""

from __future__ import annotations

from ..._arrays.namespace import machine_epsilon
from ..._engine.termination import Failure, Termination

NOT_FINITE = Failure(Termination.NOT_FINITE, "the right-hand side gave values that are not finite")

TOO_SMALL = Failure(Termination.TOO_SMALL, "the steps became smaller than the spacing of the numbers")

SMALLEST = 10
"""Steps of at most so many spacings of the numbers at their times are the end of a solution, a pole for example."""


PATIENCE = 32
"""Such steps in a row that are the end: LSODA's first ones are that short where they are cautious and times large."""


SHORTEST = SMALLEST * machine_epsilon("float64")
"""The same as a share of the time; spacings so are no less than the numbers', and do not jump at powers of two."""


def is_no_step(t: float, later: float) -> bool:
    """Whether a step from one time to the other is as short as that."""
    return abs(later - t) <= SHORTEST * max(abs(t), abs(later))


def surely_a_step(begin: float, end: float) -> float:
    """A length such that longer steps are some, whatever their times in this span are."""
    return SHORTEST * max(abs(begin), abs(end))
