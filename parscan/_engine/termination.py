"""Why solves end: the reasons of all solvers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Termination(Enum):
    """Why an iteration, a window, a solver or a whole solve ended."""

    CONVERGED = "the errors fell below the tolerance"
    FINISHED = "the end of the span was reached"
    EVENT = "a terminal event occurred"
    NOT_FINITE = "a correction was not finite"
    RAISED = "`step` raised an exception on guessed states"
    STALLED = "the corrections did not shrink fast enough"
    EXHAUSTED = "the iterations were used up"
    GREW = "the propagators grow too much over the window"
    LATE = "the time was used up"
    FAILED = "the solver reported a failure"
    TOO_SMALL = "a step was shorter than the spacing of the numbers"
    STUCK = "the steps make no progress, as the right-hand side jumps to and fro or is steep"
    SLOW = "the steps stay short without a visible reason"
    STIFF = "stability limits the steps"
    LONG = "the steps were used up"
    INACCURATE = "the end was reached, but with a large error"


@dataclass(frozen=True)
class Failure:
    """Why a solution ends early: the reason as data, for decisions, and in words, for messages."""

    termination: Termination
    words: str

    def __str__(self) -> str:
        """The reason in words."""
        return self.words
