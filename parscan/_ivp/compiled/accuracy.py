"""The error at the end of a compiled solve: two marches with different tolerances tell it, and a third one mends it."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite, nan

from ..._recorded.budget import NoCodeError
from ..core.problem import Problem
from ..output.events import Watch
from ..output.monitor import Event
from .march import LEAST_EXPLICIT, Course, March
from .recorded import Recorded
from .solvers import EXPLICIT, METHODS, RADAU, ROSENBROCK
from .trial import prefers_stiff

LOOSER = 10.0
"""Factor on the tolerances of the march that the first one is compared with."""

GAIN = 2.0
"""
The difference of two marches, one of which has at most a tenth of the other's tolerances, divided by this, is taken for
the error of that one. It is a seventh to a ninth where errors are proportional to tolerances.
"""

WANTED = 1.0
"""Largest estimated error at the end, in tolerances."""

SPARE = 0.5
"""Share of it that a further march aims at."""

MARCHES = 4
"""Largest number of further marches."""

HOPELESS = 0.3
"""No further march is made if the last one left more than this share of the error: as in chaos, or by rounding."""

BRIEF, FAR = 20_000, 10.0
"""Evaluations by a march up to which further ones are made nevertheless, if the error in tolerances is as large: where
the function jumps, one march may have seen what the other passed over."""

MORE, ENOUGH = 10, 100
"""Steps that a further march may take for each one, or each of so many, of the one before: more are needed only where
the function is known with fewer digits than the tolerance asks for."""

ANEW = 16
"""One of so many solves of a function, the first one included, asks anew which method is the better one."""

LEAST = LEAST_EXPLICIT
"""Smallest relative tolerance of a march."""


class LeftError(NoCodeError):
    """Machine code could not solve the problem to its end; the argument is a clause as in `NoCodeError`."""


@dataclass(frozen=True)
class Solved:
    """
    The result of marches.

    Parameters
    ----------
    course : Course
        The one with the tightest tolerances.
    watch : Watch or None
        The events on it.
    error : float
        Its estimated error at the end, in tolerances; NaN if it is not known.
    share : float
        Share of the tolerances that it has.
    evaluations : int
        Of the right-hand side, by all marches.
    """

    course: Course
    watch: Watch | None
    error: float
    share: float
    evaluations: int


def solved(march: March, events: tuple[Event, ...]) -> Solved:
    """
    March until the estimated error at the end is at most the tolerance, if that can be done.

    Terminal `events` are watched on the way. The share of the tolerances that was needed is noted, and whether the
    stiff method was needed from the start: the next solve of the same function begins so.
    """
    problem = march.problem
    known = known_of(march.recorded, problem.rtol)
    share, asks = known.share, known.is_asked
    march.method = march.method if asks else known.method
    march.stiff = known.stiff or march.stiff
    one, other = _both(march, share, events)
    left = one.course.failed and not one.course.chatter
    if left and METHODS[RADAU] in dict(one.course.used):  # the other one has no iterations that may fail
        march.method = march.stiff = known.stiff = ROSENBROCK
        one, other = _both(march, share, events)
    if one.course.failed or other is None:
        return one
    evaluations = one.evaluations + other.evaluations
    error = nan if other.failed else distance(problem, one.course, other) / GAIN
    for _ in range(MARCHES):
        if error <= WANTED:
            break
        smaller = max(
            share * min(SPARE * WANTED / error if isfinite(error) else 1.0, 1 / LOOSER), march.least / problem.rtol
        )
        if smaller >= share / 2:
            break
        march.most = MORE * (ENOUGH + one.course.path.steps + one.course.rejected)
        tighter = _marched(march, smaller, events)
        evaluations += tighter.evaluations
        if tighter.course.failed:
            break
        before, error = error, distance(problem, tighter.course, one.course) / GAIN
        one, share = tighter, smaller
        if error > HOPELESS * before and (error <= FAR or tighter.evaluations > BRIEF):
            break
    if asks and march.method == EXPLICIT and prefers_stiff(march, one.course, share):
        march.method = march.stiff
    known.enter(march.method, share, error)
    return Solved(one.course, one.watch, error, share, evaluations)


class Known:
    """
    What earlier solves of a function, with tolerances of the same power of ten, tell the next one.

    Attributes
    ----------
    share : float
        Share of the tolerances that was needed.
    method, stiff : int
        Numbers of the method to begin with, and of the one for stiff problems; 0 where that is the usual one.
    uses : int
        Number of the solves.
    """

    def __init__(self) -> None:
        self.share, self.method, self.stiff, self.uses = 1.0, EXPLICIT, 0, 0

    @property
    def is_asked(self) -> bool:
        """Whether the next solve asks anew which method is the better one."""
        return self.uses % ANEW == 0

    def enter(self, method: int, share: float, error: float) -> None:
        """Note a solve with this share, and its error in tolerances."""
        self.method, self.uses = method, self.uses + 1
        self.share = share if error > WANTED * SPARE / LOOSER else min(1.0, share * LOOSER)


def known_of(recorded: Recorded, rtol: float) -> Known:
    """What is known of a function."""
    key = "known", len(f"{1 / rtol:.0f}") if rtol else 0
    found: Known = recorded.notes.get(key) or recorded.notes.setdefault(key, Known())
    if rtol:
        found.share = max(found.share, LEAST / rtol)
    return found


def _both(march: March, share: float, events: tuple[Event, ...]) -> tuple[Solved, Course | None]:
    """A march, and one with looser tolerances; None if the first one failed."""
    both = None if events and any(event.terminal < inf for event in events) else march.twice(share, LOOSER)
    if both is not None:
        return Solved(both[0], None, nan, share, both[0].evaluations), both[1]
    one = _marched(march, share, events)
    return one, None if one.course.failed else march.run(share * LOOSER, one.course.stop, is_read=False)


def _marched(march: March, share: float, events: tuple[Event, ...]) -> Solved:
    """One march, with its events."""
    watch = Watch(events, march.problem.args) if any(event.terminal < inf for event in events) else None
    course = march.run(share, watch=watch)
    return Solved(course, watch, nan, share, course.evaluations)


def distance(problem: Problem, one: Course, other: Course) -> float:
    """Largest difference of a component at the ends of two marches, in tolerances."""
    last = one.last
    tolerances = (problem.atol + problem.rtols * abs(last)).tolist()  # numbers of Python: states are short
    return max(map(ratio, last.tolist(), other.last.tolist(), tolerances))


def ratio(one: complex, other: complex, tolerance: float) -> float:
    """Difference of two numbers in tolerances."""
    apart = abs(one - other)
    return apart / tolerance if tolerance else 0.0 if not apart else inf
