"""How a solution ends before its time: what all sequential solvers say of it, and when."""

from __future__ import annotations

from enum import Enum

from .._arrays import machine_epsilon

NOT_FINITE = "the right-hand side gave values that are not finite"

TOO_SMALL = "the steps became smaller than the spacing of the numbers"

SMALLEST = 10 * machine_epsilon("float64")
"""Steps that are smaller than this share of the time are the end of a solution, a pole for example."""


class Ending(Enum):
    """Why a solver took its last step."""

    FINISHED = "the end of its span"
    EVENT = "a terminal event"
    FAILED = "its own failure"
    NOT_FINITE = "values that are not finite"
    TOO_SMALL = "a step that is none"
    STUCK = "steps that do not get on"
    STIFF = "stability, which limits its steps"
    LONG = "as many steps as it was given"
