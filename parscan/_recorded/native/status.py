"""What became of a member that a solver in machine code has left."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """What became of a member."""

    RUNNING = 0
    FINISHED = 1
    STIFF = 2
    STEP_TOO_SMALL = 3
    NOT_FINITE = 4
    TOO_MANY_STEPS = 5
    EVENT = 6
    """A terminal event ended it."""
    UNSEEN = 7
    """An event has no sign where one is needed."""
    SLIDES = 8
    """It stays where a comparison of states changes: steps in modes lead nowhere."""
    LEAVES = 9
    """It does not stay there any more."""
