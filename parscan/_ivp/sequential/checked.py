"""Errors of sequential solves at the end: the differences from solves with other tolerances tell them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, isnan, nan

import numpy as np

from ..._arrays.namespace import Array, quiet
from ..._engine.termination import Failure, Termination
from ..core.choice import Choice
from ..core.failures import UNEXPLAINED
from ..core.problem import Problem
from .course import Course

LOOSER = 10.0
"""Factor on the tolerances of the solve that the first one is compared with."""

LONGEST, FEW = 1 / 20, 80
"""
Longest step of that solve, as a share of the span, where the first one has few steps: two solves with long steps would
pass over the same pulses.
"""

GAIN = 2.0
"""The difference of two solves divided by this is taken for the error of the one with the tighter tolerances."""

WANTED, BAD = 10.0, 100.0
"""Largest estimated error, in tolerances, without a further solve; and the largest one of a success."""

LEAST, MOST = 1e-3, 0.1
"""Factors on the tolerances from one solve to the next one."""

FURTHER, TIGHTEST = 4, 1e-12
"""Largest number of further solves, and their smallest relative tolerance."""

TIMES, CALLS = 5, 500
"""
A further solve has so many times the calls of the first one, and so many more: tolerances that are a thousand times
tighter want fewer. Functions that contradict themselves want ever more.
"""

GROWTH = 1e6
"""
Error, in the tolerances of the solve itself, from which on it is the solution that makes small changes grow: the errors
of all steps add up to some hundreds of tolerances.
"""

GROWN = ": small changes grow to such errors along the solution, as in chaos, and tighter tolerances did not prevent it"
"""Why a large error is left."""

ALONE = "the error is not known, as solves with looser and with tighter tolerances did not come to an end"
"""Why an error is not known."""

ENDED = (Termination.FINISHED, Termination.EVENT)
"""Endings of solves that have come to an end."""


@dataclass(frozen=True)
class Checked:
    """
    A solve and its error.

    Parameters
    ----------
    course : Course
        Its counts are those of all solves.
    choice : Choice
        With the tolerances that were needed.
    error : float
        Estimated, in the user's tolerances; NaN if it is not known.
    is_unknown : bool
        Whether it is not known although other solves were tried: none of them came to an end.
    """

    course: Course
    choice: Choice
    error: float = nan
    is_unknown: bool = False

    @property
    def growth(self) -> float:
        """The error in the tolerances of the solve."""
        return self.error / self.choice.share

    @property
    def failure(self) -> Failure | None:
        """Why it is no success although it came to an end."""
        if self.is_unknown:
            return Failure(Termination.INACCURATE, ALONE)
        if not self.error > BAD or self.growth > GROWTH:
            return None
        return self.inaccuracy

    @property
    def inaccuracy(self) -> Failure:
        """A failure because of the error."""
        return Failure(Termination.INACCURATE, f"the estimated error is {self.error:.2g} tolerances")

    @property
    def told(self) -> str:
        """What the message says of the error."""
        if isnan(self.error):
            return ""
        why = "" if self.error <= WANTED else GROWN if self.growth > GROWTH else UNEXPLAINED
        return f" The estimated error at the end is {self.error:.2g} tolerances{why}."


def checked(
    found: Checked, problem: Problem, solve: Callable[[Choice, float], Course], *, is_kept: bool = False
) -> Checked:
    """
    A solve with its error, or one with tighter tolerances if that is large and the solve is not `is_kept`.

    `solve` solves once more, by another choice, with no more than so many calls of `fun`. A solve that ended early has
    no estimate. One that does so with looser tolerances only is compared with one with tighter tolerances.
    """
    course = found.course
    if course.ending not in ENDED:
        return found
    most, longest = TIMES * course.nfev + CALLS, _longest(found)
    looser = _tried(solve, replace(found.choice.scaled(LOOSER), longest=longest), most)
    if looser is not None:
        found = replace(found, error=apart(problem, course, looser) / GAIN)
        add_counts(course, looser)
    wanted = BAD if _chatters(found) else WANTED
    for _ in range(0 if is_kept else FURTHER):
        if found.error <= wanted:
            break
        factor = MOST if isnan(found.error) else min(max(WANTED / (2 * found.error), LEAST), MOST)
        share = max(factor * found.choice.share, TIGHTEST / max(problem.rtol, TIGHTEST))
        if share > MOST * found.choice.share:
            break
        tighter = replace(found.choice.scaled(share / found.choice.share), longest=longest)
        other = _tried(solve, tighter, most)
        if other is None:
            break
        add_counts(other, found.course)
        found = Checked(other, tighter, apart(problem, other, found.course) / GAIN)
    return replace(found, is_unknown=isnan(found.error))


def _chatters(found: Checked) -> bool:
    """Whether `fun` jumps to and fro, so that another solver went on: tighter tolerances take ever shorter steps."""
    instead = found.choice.after(Termination.STUCK)
    return instead is not None and found.course.used[-1][0].method == instead.method


def _longest(found: Checked) -> float:
    """Longest step of other solves."""
    if found.choice.longest < inf:
        return found.choice.longest
    return LONGEST if len(found.course.nodes) <= FEW else inf


def _tried(solve: Callable[[Choice, float], Course], choice: Choice, most: float) -> Course | None:
    """A further solve; None if it does not come to an end."""
    try:
        found = solve(choice, most)
    except Exception:  # it is only another look at a solution that is known
        return None
    return found if found.ending in ENDED else None


def add_counts(course: Course, other: Course) -> None:
    """Count the work of another solve, too."""
    course.nfev, course.njev, course.nlu = course.nfev + other.nfev, course.njev + other.njev, course.nlu + other.nlu


def apart(problem: Problem, course: Course, other: Course) -> float:
    """Largest difference of a component at the end, or at a time of the output, in tolerances."""
    if course.ending is not other.ending:
        return inf
    found = _largest(problem, course.states[-1], other.states[-1], np.abs(course.states[-1]))
    if not course.output or not other.output:
        return found
    one, two = np.hstack(course.output), np.hstack(other.output)
    count = min(one.shape[1], two.shape[1])
    return max(found, _largest(problem, one[:, :count].T, two[:, :count].T, _sizes(course, one[:, :count].T)))


def _sizes(course: Course, states: Array) -> Array:
    """Largest sizes `(m, n)` of components at times of the output and at both ends of their steps."""
    assert course.times is not None
    way = 1.0 if course.span[1] > course.span[0] else -1.0
    nodes, sizes = way * np.asarray(course.nodes), np.abs(np.asarray(course.states))
    after = np.clip(np.searchsorted(nodes, way * course.times[: states.shape[0]]), 1, max(nodes.size - 1, 1))
    return np.maximum(np.abs(states), np.maximum(sizes[after - 1], sizes[np.minimum(after, nodes.size - 1)]))


def _largest(problem: Problem, one: Array, other: Array, sizes: Array) -> float:
    """Largest difference of states in tolerances for these sizes."""
    apart, tolerances = np.abs(one - other), problem.atol + problem.rtols * sizes
    with quiet():
        found = np.where(apart == 0, 0.0, apart / tolerances)
    return float(np.max(found, initial=0.0)) if np.isfinite(apart).all() else inf
