"""Members of a batch that are solved alone, as single problems are: those that failed, or whose errors are large."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..._arrays.namespace import Array
from ..._engine.termination import Failure
from ..core.problem import Problem
from .accuracy import LeftError, Solved, known_of, solved
from .found import Found
from .march import Course, March, Output
from .members import Members
from .parts import as_parts
from .recorded import MOST_NODES, Recorded
from .solvers import EXPLICIT, METHODS, ROSENBROCK

RECORD, HAD_MODES = "record of one", "had modes"
"""Names of the record of a member among the notes of all, and of whether it has modes, or had them."""

TRIED = 8
"""So many of the members with large errors are tried before it is decided whether others are: where small changes grow
along the solution, nothing helps."""


class GivenUpError(LeftError):
    """
    A member was given up on the way, as a single problem would be.

    Parameters
    ----------
    t : float
        Time that it reached.
    failure : Failure
        Why, with the member.
    """

    def __init__(self, t: float, failure: Failure) -> None:
        super().__init__(f"gave up at t = {t!r}: {failure}")
        self.t, self.failure = t, failure


class Singles:
    """
    Solves single members of a part of a batch.

    Parameters
    ----------
    problem : Problem
        Of the batch.
    members : Members
    first_step : float
        0 if it is to be chosen.
    times : array, shape (m,)
        At which values are wanted.
    first : int
        Number of the first member of the part; members are counted from there.

    Attributes
    ----------
    mended : list of int
        Members that were solved, and that are as good as single solves are.
    bad : list of int
        Members whose errors are too large for a success.
    slid : dict
        Members that slide along thresholds, with the times from which on they do.
    """

    def __init__(self, problem: Problem, members: Members, first_step: float, times: Array, first: int) -> None:
        self._problem, self._members, self._first_step, self.first = problem, members, first_step, first
        self._times = times if times.shape[0] else None
        self.mended, self.bad, self.slid = list[int](), list[int](), dict[int, float]()

    @property
    def has_modes(self) -> bool:
        """Whether steps of a member alone end where comparisons of states change."""
        return self._recorded(0).modes is not None

    @property
    def has_switches(self) -> bool:
        """Whether they do, or did before that led nowhere."""
        notes = self._members.notes
        if HAD_MODES not in notes:
            notes[HAD_MODES] = self.has_modes
        return bool(notes[HAD_MODES])

    def times(self, member: int) -> Array:
        """Times of the steps of a member; raises `LeftError` if it cannot be solved."""
        course = self._solved(member).course
        if course.failed:
            raise self._failure([(member, course)])
        return course.path.t

    def look(self, count: int) -> None:
        """Solve so many members to see which of them slide."""
        for member in range(count) if self.has_modes else ():
            self._solved(member)

    def find(self, found: Found, lost: Sequence[int]) -> None:
        """
        Solve members that others' way has lost.

        It raises `LeftError` if one of them cannot be solved: `GivenUpError` if all such members were given up.
        """
        failed = list[tuple[int, Course]]()
        for member in lost:
            one = self._enter(found, member)
            if one.course.failed:
                failed.append((member, one.course))
            if len(failed) == TRIED:
                break
        if failed:
            raise self._failure(failed, many=len(failed) == TRIED)

    def renew(self, found: Found, crossing: Sequence[int]) -> None:
        """Solve members that cross switches often: of errors of others' way, small ones may be chance."""
        for member in crossing if self.has_modes else ():
            self._enter(found, member, is_better=True)

    def mend(self, found: Found, far: Sequence[int]) -> None:
        """Solve members with large errors, unless they were solved already, as long as that makes them smaller."""
        known = {*self.mended, *self.bad}
        before = len(self.mended)
        for tried, member in enumerate([one for one in far if one not in known]):
            if tried == TRIED and len(self.mended) == before:
                return
            self._enter(found, member)

    def _enter(self, found: Found, member: int, *, is_better: bool = False) -> Solved:
        """Solve a member, and enter it if it has a smaller error than what is known, or `is_better` anyway."""
        xp, one = self._problem.xp, self._solved(member)
        course, before = one.course, float(found.errors[member])
        found.evaluations += one.evaluations
        if course.failed or not (one.end <= before or is_better):
            return one
        found.y[member, :] = course.y
        if self._times is not None:
            found.values[member, ...] = as_parts(xp.concat(course.values))
        found.errors[member], found.steps[member] = one.end, course.path.steps
        if found.shares is not None:
            found.shares[member] = one.share
        found.methods[member] = course.used[-1][0] != METHODS[EXPLICIT]
        (self.bad if one.is_bad else self.mended).append(member)
        return one

    def _solved(self, member: int) -> Solved:
        """A member as a single problem."""
        recorded, output = self._recorded(member), Output(is_dense=False, times=self._times)
        starts = self._problem.xp.reshape(self._problem.y0, (-1, self._problem.y0.shape[-1]))
        problem = replace(self._problem, y0=starts[self.first + member, :])
        while True:
            known_of(recorded, problem.rtol, is_between=output.is_between).stiff = ROSENBROCK
            march = March(problem, recorded, output, self._first_step, None)
            found = solved(march, ())
            march.end()
            if found.course.failed and not found.course.chatter and recorded.leave_modes():
                continue
            if found.course.slid and not found.course.failed:
                self.slid[member] = found.course.slid[0]
            return found

    def _recorded(self, member: int) -> Recorded:
        """The function with the numbers of a member."""
        notes = self._members.notes
        if RECORD not in notes:
            from ..._recorded.replay import replayed  # noqa: PLC0415 - slow to import

            notes[RECORD] = replayed(self._members.program, MOST_NODES)
        own = self._members.arguments(self.first + member)
        return Recorded(notes[RECORD], tuple(one if one.ndim else float(one) for one in own))

    def _failure(self, failed: list[tuple[int, Course]], *, many: bool = False) -> LeftError:
        """Which members failed, where the first one of them did, and why."""
        way = 1.0 if self._problem.span[1] > self._problem.span[0] else -1.0
        _, course = min(failed, key=lambda one: way * one[1].t)
        every = places([self.first + member for member, _ in failed], self._problem.batch)
        every += " (and perhaps others)" if many else ""
        if course.chatter is not None and all(one.chatter for _, one in failed):
            why = Failure(course.chatter.termination, f"{every}: {course.chatter}")
            return GivenUpError(course.t, why)
        return LeftError(f"left the solution of {every} at t = {course.t!r}: {course.failed}")


def places(members: Sequence[int], batch: tuple[int, ...]) -> str:
    """Members of a batch by their places, for a message."""
    found = list[str]()
    for member in members:
        place, rest = list[int](), member
        for length in reversed(batch):
            rest, last = divmod(rest, length)
            place.insert(0, last)
        found.append(str(tuple(place)) if len(place) > 1 else str(place[0]))
    named = ", ".join(found[:TRIED]) + (f" and {len(found) - TRIED} more" if len(found) > TRIED else "")
    return f"member{'s' if len(found) > 1 else ''} {named} of the batch"
