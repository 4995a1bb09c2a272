"""The error at the end of a compiled solve: two marches with different tolerances tell it, and a third one mends it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf, isfinite, nan
from typing import NamedTuple

from ..._arrays.cached import cached_property
from ..._arrays.namespace import Array
from ..._recorded.budget import NoCodeError, UnpaidError
from ..output.events import Watch
from ..output.monitor import Event
from .apart import at_end, between
from .chatter import SHARE
from .march import LEAST_EXPLICIT, STIFF_INSTEAD, Course, March, least_of
from .parts import as_parts
from .recorded import Recorded
from .solvers import EXPLICIT, METHODS, NONSTIFF, RADAU, ROSENBROCK, solver
from .trial import prefers_stiff

LOOSER = 10.0
"""Factor on the tolerances of the march that the first one is compared with."""

GAIN = 2.0
"""
The difference of two marches, one of which has at most a tenth of the other's tolerances, divided by this, is taken for
the error of that one. It is a seventh to a ninth where errors are proportional to tolerances.
"""

WANTED, BETWEEN = 1.0, 10.0
"""Largest estimated error at the end, and at other times of the output, in tolerances."""

SPARE = 0.5
"""Share of it that a further march aims at."""

SMALL = SPARE / LOOSER
"""Share of it up to which a looser march may be enough the next time."""

NEAR = 20.0
"""Further marches are compared with the one before if that has at most so many times their tolerances."""

BACK = 5.0
"""Factor of the tolerances after a march that failed with smaller ones than the last."""

MARCHES = 4
"""Largest number of further marches."""

HOPELESS, FAR, BAD, BAD_CROSSING = 0.3, 10.0, 100.0, 30.0
"""
If a further march left more than this share of the error, it was the last one, unless the error is still above `FAR`
tolerances. Above `BAD` ones at the end, a solution is no success, unless rounding is enough to cause them. Where steps
cross switches often, estimates may be a few times too small: the limit is `BAD_CROSSING`.
"""

OFTEN = 1 / 16
"""Share of steps in a row which cross switches from which on errors are not taken to be proportional to tolerances."""

GREAT = 1000.0
"""Error in tolerances with which it is asked before further marches whether rounding causes it."""

CAUSES = 0.1
"""
Share of an error that a change of the start by one rounding must cause, so that tighter tolerances do not help. Where
it causes `BAD` errors, no method finds the solution.
"""

NUDGES = 1.0, -2.0
"""Roundings by which the start is changed, one after the other: steps may take a small change back by chance."""

BRIEF = 20_000
"""Evaluations by a march up to which tighter tolerances are tried nevertheless: where the function jumps, rounding may
decide whether a march sees what others pass over."""

ALIKE, LONG, CONFIRMING = 1e-6, 1000, 1e-3
"""
If two marches of more steps than the second number differ by less than the first one, in tolerances, either errors die
out, or both marches damp what the solution does not: one with this share of their tolerances tells.
"""

MORE, ENOUGH, ORDER = 10, 100, 5
"""Steps that a further march may take for each one, or each of so many, of the one before, and the order with which
their number grows with the tolerance: more are needed only where the function is known with fewer digits than the
tolerance asks for."""

ANEW = 16
"""One of so many solves of a function, the first one included, asks anew which method is the better one."""

FASTER, SHORTER, TIMED = 0.7, 8, 3
"""Share of the time of a stiff method that another one may take to be the better one; how many steps of Rodas5P may
take as long as one of Radau13; and how often their time is measured."""

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
    share : float
        Share of the tolerances that it has.
    evaluations : int
        Of the right-hand side, by all marches.
    other : Course or None
        The one that tells the error; None if there is none.
    end : float
        Estimated error at the end, in tolerances; NaN if it is not known.
    between : array or None
        Estimated errors at times of the output, or in samples of each step; None if they are not known or not wanted.
    is_rough : bool
        Whether changes of the start by rounding cause errors of that size.
    crossing : float
        Where the error is large, the largest share of steps in a row that crossed switches which the state triggers.
    """

    course: Course
    watch: Watch | None
    share: float
    evaluations: int
    other: Course | None = None
    end: float = nan
    between: Array | None = None
    is_rough: bool = False
    crossing: float = 0.0

    @property
    def worst(self) -> float:
        """The largest error at times of the output or in samples of steps; 0 if there is none."""
        found = self.between
        return 0.0 if found is None or not found.shape[0] else float(found.max())

    @cached_property
    def error(self) -> float:
        """Ratio of errors to those that are wanted."""
        return max(self.end / WANTED, self.worst / BETWEEN)

    @property
    def is_bad(self) -> bool:
        """
        Whether it is no success: its error is great, even if errors are proportional to tolerances.

        They are not where steps cross switches often. Where steps jump to and fro, rounding decides where they end:
        that it causes the same errors does not mean that small changes grow along the solution.
        """
        is_large = self.end > BAD_CROSSING if self.crossing > OFTEN else self.end * GAIN / (LOOSER - 1) > BAD
        return is_large and (self.is_jumping or not self.is_rough)

    @property
    def is_jumping(self) -> bool:
        """Whether the error is large as steps jump to and fro."""
        return self.crossing > SHARE


def solved(march: March, events: tuple[Event, ...]) -> Solved:
    """
    March until the estimated errors at the end and at times of the output are as wanted, if that can be done.

    Terminal `events` are watched on the way. The share of the tolerances that was needed is noted, and whether the
    stiff method was needed from the start: the next solve of the same function begins so.
    """
    known = _known(march)
    share, asks = known.share, known.is_asked
    march.method = march.method if asks else known.method
    first = _by_stiff(march, _pair(march, share, events), events)
    if first.course.failed:
        return first
    found = _improved(march, first, events)
    if found.end > FAR:
        found = replace(found, crossing=_crossing(march, found.course))
    if asks and march.method in NONSTIFF and prefers_stiff(march, found.course, found.share):
        march.method = march.stiff
    elif asks and march.method in (ROSENBROCK, RADAU) and not events and (other := _faster(march, known, found)):
        known.stiff = other.method
        known.enter(other.method, other.share, other.error)
        return found
    known.enter(march.method, share if found.is_rough and found.end > BAD else found.share, found.error)
    return found


def _by_stiff(march: March, found: Solved, events: tuple[Event, ...]) -> Solved:
    """
    What was found; or what the stiff method finds, if an explicit one took too many steps, or too short ones.

    Its test for stiffness says nothing where the accuracy limits steps, as where they enter a thin layer.
    """
    course = found.course
    if not course.is_slow or METHODS.index(course.used[-1][0]) not in NONSTIFF:
        return found
    method, most = march.method, march.most
    try:
        march.method, march.most = march.stiff, STIFF_INSTEAD
        other = _pair(march, found.share, events)
    except (NoCodeError, UnpaidError):
        other = found
    march.most = most
    if other.course.failed:
        march.method = method
        return found
    return replace(other, evaluations=found.evaluations + other.evaluations)


class Faster(NamedTuple):
    """A stiff method that takes less time than the usual one, the share of the tolerances it needs, and its error."""

    method: int
    share: float
    error: float


def _faster(march: March, known: Known, found: Solved) -> Faster | None:
    """
    The other stiff method, if it is the faster one by far.

    How many steps each of them takes is known in advance only about: where the solution changes over decades of time,
    the steps of both grow by as much as they may, and those of Rodas5P are shorter work.
    """
    is_plain = not march.output.is_dense and march.watched is None and found.course.stop is None
    if known.stiff or known.uses < known.tries or not is_plain or found.error > 1.0:
        return None
    known.tries = known.uses * ANEW
    own, steps = march.method, found.course.path.steps + found.course.rejected
    method = ROSENBROCK + RADAU - own
    try:
        solver(march.recorded, method, **march.asked)
        other = _once_more(march, known, method, found.share, steps * SHORTER if method == ROSENBROCK else steps)
        if other is None or not other[1] < FASTER * _seconds(found):  # which may have begun with another method
            return None
        before = _once_more(march, known, own, found.share, MORE * steps)
    except (NoCodeError, UnpaidError):
        return None
    is_faster = before is None or other[1] < FASTER * before[1]
    return Faster(method, other[0].share, other[0].error) if is_faster else None


def _once_more(march: March, known: Known, method: int, share: float, most: int) -> tuple[Solved, float] | None:
    """What a stiff method finds within so many steps, if that is as wanted, and the time once its share is known."""
    one = March(march.problem, march.recorded, march.output, march.first_step, None, most=most)
    one.method, known.stiff = method, method
    try:
        found = _pair(one, share, ())
        found = found if found.course.failed else _improved(one, found, ())
        if found.course.failed or found.error > 1.0:
            return None
        return found, min(_seconds(_pair(one, found.share, ())) for _ in range(TIMED))
    finally:
        known.stiff = 0
        one.end()


def _seconds(pair: Solved) -> float:
    """Time of machine code for two marches."""
    course, other = pair.course, pair.other
    return inf if other is None else course.seconds * (1 + other.evaluations / max(1, course.evaluations))


class Known:
    """
    What earlier solves of a function, with tolerances of the same power of ten, tell the next one.

    Attributes
    ----------
    share : float
        Share of the tolerances that was needed.
    method, stiff : int
        Numbers of the method to begin with, and of the one for stiff problems; 0 where that is the usual one.
    uses, tightened : int
        Number of the solves, and the number of them after which the share had to become smaller the last time.
    tries : int
        Number of the solve from which on the other stiff method is tried.
    is_asked : bool
        Whether the next solve asks anew which method is the better one.
    vain : tuple or None
        A span, and the share of the last march over it that was meant to be better than the one before, but was not.
    """

    def __init__(self, method: int = EXPLICIT) -> None:
        self.share, self.method, self.stiff, self.uses, self.tightened = 1.0, method, 0, 0, -ANEW
        self.is_asked, self.tries = True, ANEW
        self.vain: tuple[tuple[float, float], float] | None = None

    def is_vain(self, span: tuple[float, float], share: float) -> bool:
        """
        Whether a smaller share is not worth a try over a span.

        Where the function's own rounding is larger than the tolerances of marches, each solve would find a smaller
        share not much better than the one before, and the next one would begin with it and take the more steps.
        """
        return self.vain is not None and self.vain[0] == span and share <= self.vain[1]

    def enter(self, method: int, share: float, error: float) -> None:
        """
        Note a solve with this share, and the ratio of its error to the one that is wanted.

        A larger share, which seems to be enough, is tried again only some solves after one was not.
        """
        self.method, self.uses = method, (uses := self.uses + 1)
        self.is_asked = not uses % ANEW
        if share != self.share:
            if share < self.share:
                self.tightened = uses
            self.share = share
        if error <= SMALL and uses >= self.tightened + ANEW:
            self.share = min(1.0, share * LOOSER)


def known_of(
    recorded: Recorded, rtol: float, *, is_between: bool, is_watched: bool = False, first: int = EXPLICIT
) -> Known:
    """
    What is known of a function, if states between the ends of steps, or events, are wanted or not.

    `first` is the method to begin with if nothing is known.
    """
    key = "known", len(f"{1 / rtol:.0f}") if rtol else 0, is_between, is_watched, first
    found: Known = recorded.notes.get(key) or recorded.notes.setdefault(key, Known(first))
    if rtol:
        found.share = max(found.share, least_of(found.method) / rtol)
    return found


def _known(march: March) -> Known:
    return known_of(
        march.recorded, march.problem.rtol, is_between=march.output.is_between, is_watched=march.watched is not None,
        first=march.first,
    )  # fmt: skip


def _improved(march: March, found: Solved, events: tuple[Event, ...]) -> Solved:
    """What is found by further marches, if they are needed."""
    known, before, asked, rounding, least = _known(march), inf, 0.0, 0.0, 0.0
    if are_alike(found.end, found.course.path.steps):
        found = _confirmed(march, found, events)
    for _ in range(MARCHES):
        is_slow = found.error > HOPELESS * before
        if found.error <= 1.0 or (found.error <= FAR and (is_slow or known.is_vain(march.problem.span, found.share))):
            known.vain = (march.problem.span, found.share) if found.error > 1.0 and is_slow else known.vain
            return found
        if not asked and (is_slow or found.end > GREAT) and found.course.evaluations > BRIEF:
            asked, rounding = found.share, _by_rounding(march, found)
            if rounding > CAUSES * found.end:
                return replace(found, is_rough=True)
        wanted = found.share * min(SPARE / found.error if isfinite(found.error) else 1.0, 1 / LOOSER)
        share = max(wanted, least, least_of(march.method) / march.problem.rtol)
        if share >= found.share / 2:
            break
        march.most = _most(found, share)
        further = _further(march, found, share, events)
        evaluations = found.evaluations + further.evaluations
        if further.course.failed:  # with so small tolerances
            found = replace(found, evaluations=evaluations)
            if least or further.course.failed == "TOO_MANY_STEPS":
                break
            least = BACK * share
        else:
            before, found = found.error, replace(further, evaluations=evaluations)
    if found.end > FAR and asked != found.share:
        rounding = _by_rounding(march, found)
    return replace(found, is_rough=found.end > FAR and rounding > min(CAUSES * found.end, BAD))


def are_alike(end: float, steps: int) -> bool:
    """Whether two marches of so many steps differ by so little at the end that their difference may tell nothing."""
    return end < ALIKE and steps > LONG


def _confirmed(march: March, found: Solved, events: tuple[Event, ...]) -> Solved:
    """What is found, if a march with far smaller tolerances ends alike; otherwise that march."""
    share, most = max(CONFIRMING * found.share, least_of(march.method) / march.problem.rtol), march.most
    march.most = MORE * _most(found, share)
    further = _compared(march, _marched(march, share, events), found.course)
    march.most, evaluations = most, found.evaluations + further.evaluations
    if further.course.failed or further.end <= WANTED:
        return replace(found, evaluations=evaluations)
    return replace(further, evaluations=evaluations)


def _most(found: Solved, share: float) -> int:
    """Steps that a march with a smaller share of the tolerances may take."""
    steps = ENOUGH + found.course.path.steps + found.course.rejected
    return int(MORE * steps * (found.share / share) ** (1 / ORDER))


def _further(march: March, found: Solved, share: float, events: tuple[Event, ...]) -> Solved:
    """
    A march with a smaller share of the tolerances, and its errors.

    They are differences from the last march; or from another one that has little larger tolerances, if the last one has
    much larger ones. Where both are known, two marches that agree are right: one may have missed a pulse.
    """
    if share * NEAR >= found.share:
        return _compared(march, _marched(march, share, events), found.course)
    pair = _pair(march, share, events)
    again = _compared(march, pair, found.course)
    return again if again.error < pair.error else pair


def _by_rounding(march: March, found: Solved) -> float:
    """The error at the end, in tolerances, that changes of the start by roundings cause; 0 if it is not known."""
    problem, course, error = march.problem, found.course, 0.0
    largest = problem.xp.max(problem.xp.abs(course.path.y), axis=0)
    for roundings in NUDGES:
        nudged = march.run(found.share, course.stop, is_read=False, nudge=roundings * 2.0**-52 * largest)
        error = max(error, 0.0 if nudged.failed else at_end(problem, course, nudged))
        if error > min(CAUSES * found.end, BAD):
            break
    return error


def _crossing(march: March, course: Course) -> float:
    """The largest share of steps in a row that crossed switches which the state triggers; in modes, none do."""
    if march.recorded.modes is not None:
        return 0.0
    t, *others = course.ends
    return march.chatter.crossing(t, *map(as_parts, others))


def _pair(march: March, share: float, events: tuple[Event, ...]) -> Solved:
    """A march, and one with looser tolerances that tells its error."""
    is_watched = bool(events) and any(event.terminal < inf for event in events)
    _choose_stiff(march, share)
    both = None if is_watched else march.twice(share, LOOSER)
    if both is not None and not _is_refused(march, both[0]):
        return _compared(march, Solved(both[0], None, share, both[0].evaluations), both[1], both[1].evaluations)
    one = _marched(march, share, events)
    if one.course.failed:
        return one
    other = march.run(share * LOOSER, one.course.stop, is_read=march.output.is_between)
    return _compared(march, one, other, other.evaluations)


def _choose_stiff(march: March, share: float) -> None:
    """The stiff method for a share of the tolerances, unless it was found out which one works."""
    march.choose_stiff(share, _known(march).stiff or None)
    if march.method not in NONSTIFF:
        march.method = march.stiff


def _is_refused(march: March, course: Course) -> bool:
    """Whether a march failed by iterations of Radau13; the other stiff method has none, and is taken from now on."""
    is_refused = bool(course.failed) and not course.chatter and METHODS[RADAU] in dict(course.used)
    if is_refused:
        march.method = march.stiff = _known(march).stiff = ROSENBROCK
    return is_refused


def _compared(march: March, one: Solved, other: Course, evaluations: int = 0) -> Solved:
    """A march with its errors, which the difference from another one tells; and with the evaluations of that."""
    one = replace(one, evaluations=one.evaluations + evaluations)
    if one.course.failed or other.failed:
        return one
    end, some = at_end(march.problem, one.course, other), between(march, one.course, other)
    return replace(one, other=other, end=end / GAIN, between=None if some is None else some / GAIN)


def _marched(march: March, share: float, events: tuple[Event, ...]) -> Solved:
    """One march, with its events."""
    _choose_stiff(march, share)
    while True:
        watch = Watch(events, march.problem.args) if any(event.terminal < inf for event in events) else None
        course = march.run(share, watch=watch)
        if not _is_refused(march, course):
            return Solved(course, watch, share, course.evaluations)
