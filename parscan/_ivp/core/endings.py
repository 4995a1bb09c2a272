"""How a solution ends before its time: what all sequential solvers say of it, and when."""

from __future__ import annotations

from enum import Enum

from ..._arrays.namespace import machine_epsilon

NOT_FINITE = "the right-hand side gave values that are not finite"

TOO_SMALL = "the steps became smaller than the spacing of the numbers"

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


class Ending(Enum):
    """Why a solver took its last step."""

    FINISHED = "the end of its span"
    EVENT = "a terminal event"
    FAILED = "its own failure"
    NOT_FINITE = "values that are not finite"
    TOO_SMALL = "a step that is none"
    STUCK = "steps that do not get on"
    SLOW = "steps that stay short, though nothing is in the way"
    STIFF = "stability, which limits its steps"
    LONG = "as many steps as it was given"
