"""Failures that several solvers share, and the shortest steps."""

from __future__ import annotations

from ..._arrays.namespace import machine_epsilon
from ..._engine.termination import Failure, Termination

NOT_FINITE = Failure(Termination.NOT_FINITE, "the right-hand side gave values that are not finite")

TOO_SMALL = Failure(Termination.TOO_SMALL, "the steps became smaller than the spacing of the numbers")

SMALLEST = 10
"""Steps of at most this many spacings of the numbers at their times mean that the solution ends, at a pole say."""

PATIENCE = 32
"""Number of such steps in a row after which to give up: the first steps of LSODA may be that short at large times."""

SHORTEST = SMALLEST * machine_epsilon("float64")
"""`SMALLEST` spacings as a share of the time: a share, unlike the spacing, does not jump at powers of two."""


def is_no_step(t: float, later: float) -> bool:
    """Whether the step from `t` to `later` is too short to be one."""
    return abs(later - t) <= SHORTEST * max(abs(t), abs(later))


def surely_a_step(begin: float, end: float) -> float:
    """A length above which no step in this span is too short."""
    return SHORTEST * max(abs(begin), abs(end))


UNEXPLAINED = (
    ", although tighter ones were tried: either small changes grow along the solution, or `fun` jumps at times that "
    "`jumps` should name"
)
"""Why an error of so many tolerances may be left."""

ROUNDING = ": changes by rounding grow to such errors along the solution, as in chaos, and no tolerance prevents it"
"""Why it is left although the solve is a success."""
