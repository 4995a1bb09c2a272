"""All members of a batch, until their errors at the end are small: marches with tolerances of each member's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, cast

from ..._arrays.namespace import Array, copy, quiet
from ..._recorded.budget import NoCodeError
from ..core.problem import Problem
from .accuracy import BRIEF, GAIN, HOPELESS, LEAST, LOOSER, MARCHES, WANTED, LeftError
from .corners import Places, places_in, stretches_of_members
from .march import FEWEST, ORDER, SOON
from .members import Members
from .parts import as_parts, from_parts, of_parts, wide
from .poles import pole_of_members

if TYPE_CHECKING:
    from ..._recorded.native.ensemble import Ends
    from ..._recorded.native.integrate import Run
    from ..._recorded.switches import Switches

AT_ONCE, NUMBERS = 1 << 14, 1 << 22
"""Largest number of members that are solved together, and of their values at times of the output."""

BETWEEN = 3.0
"""Factor on the tolerances of a third march, which confirms that the error of the first one is small."""

AIM = 0.35
"""Share of the wanted error that a further march aims at: another march for a few members costs more than this one."""

FEW_MENDED = 0.4
"""Share of members with too large errors at one solve, up to which the next one makes the third march at once."""

LINEAR = 0.003
"""Relative distance of two marches from which on errors are not taken as proportional to tolerances."""

ENOUGH = 2.0
"""Estimated error with which a member is left, if the last march did not bring it down."""

LARGEST = 1e300
"""Takes the place of distances that are not finite."""

LEAST_RELATIVE = max(LEAST, 100 * 2.0**-52)
"""Smallest relative tolerance of a march."""


@dataclass
class Found:
    """
    What is known of all members; complex states by their parts.

    Parameters
    ----------
    y : array, shape (members, n)
        States at the end.
    values : array, shape (members, m, n)
        At the times of the output.
    errors : array, shape (members,)
        Estimated errors at the end in tolerances.
    steps, methods : arrays of int, shape (members,)
        Of the last march; the number of the method that ended it.
    evaluations : int
        Of the right-hand side, by all marches.
    """

    y: Array
    values: Array
    errors: Array
    steps: Array
    methods: Array
    evaluations: int = 0


@dataclass(frozen=True)
class _Known:
    """States `(members, n)` at the ends of marches, and their shares `(members,)` of the tolerances."""

    y: Array
    shares: Array

    def of(self, members: Array) -> _Known:
        """Those of some members."""
        return _Known(self.y[members, :], self.shares[members])


@dataclass(frozen=True)
class _Alone:
    """A member as a recorded function with its numbers; see `places_in`."""

    parameters: tuple[Any, ...]
    switches: Switches
    notes: dict[Any, Any] = field(default_factory=dict)


LOOKED_AT, FEW = 1 << 15, 64
"""Number of corners in time, about, at which poles are looked for; and members for which they are looked for at all."""


class AllMembers:
    """
    The members of a batch; `first_step` is that of their first steps, 0 if these are to be chosen.

    Parameters
    ----------
    problem : Problem
    members : Members
    first_step : float
    """

    def __init__(self, problem: Problem, members: Members, first_step: float) -> None:
        self._problem, self._members, self._first_step = problem, members, first_step
        xp = problem.xp
        states = wide(xp.reshape(problem.y0, (-1, problem.y0.shape[-1])))
        self.y0 = as_parts(states)
        """Initial states `(members, n)`."""
        self._like = states[:1, :]
        self._atol = of_parts(problem.atol, states)
        self._may_be_exact = not bool(xp.all(problem.atol > 0))
        self._differ = members.switches is not None and members.switches.depends
        """Whether members have corners in time of their own."""
        self._places = self._common_places()
        self._part_begin, self._part_stretches = 0, cast("Array | None", None)
        self.are_all_places = self._places.are_all
        """Whether no corners in time are left out, of the members that were solved."""

    @property
    def count(self) -> int:
        """Number of members."""
        return int(self.y0.shape[0])

    def _common_places(self) -> Places:
        """Where steps of all members end, if that does not depend on their numbers."""
        if self._members.switches is None or self._differ:
            return Places(self._problem.breaks)
        return places_in(self._problem, _Alone(self._members.arguments(0), self._members.switches))

    def pilot(self) -> Array:
        """Times of the steps of the first member, which are the output if the user asks for no times."""
        from ..._recorded.native.members import STATES, Form  # noqa: PLC0415 - slow to import
        from ..._recorded.native.status import Status  # noqa: PLC0415

        problem, xp = self._problem, self._problem.xp
        stretches = self._stretches(problem.span[0], xp.arange(1))
        form = Form(shared=self._members.shared, log=STATES, has_stretches=stretches is not None)
        state, t = self.y0[:1, :], [xp.asarray(problem.span[:1])]
        makers, method = self._members.solvers(), 0
        begin, end = problem.span
        while True:
            run = makers[method](form).start(
                begin, end, state, rtol=of_parts(problem.rtols, self._like), atol=self._atol,
                max_step=self._longest(1.0), first_step=0.0 if method else self._first_step,
                parameters=self._members.arguments(slice(1)), stretches=self._stretches(begin, xp.arange(1)),
            )  # fmt: skip
            t += _logged(run)
            begin, state = float(run.t[0]), run.y
            if run.status is not Status.STIFF:
                break
            method += 1
        if run.status is not Status.FINISHED:
            raise LeftError(f"left the solution of a member at t = {begin!r}: {run.status.name}")
        return xp.concat(t)

    def solved(self, times: Array, tell: Callable[[float], object]) -> Found:
        """All members, with values at the times; `tell` is called with the share that is done."""
        xp, (begin, end) = self._problem.xp, self._problem.span
        found = Found(
            xp.empty_like(self.y0), xp.empty((self.count, times.shape[0], self.y0.shape[1])), xp.zeros(self.count),
            xp.zeros(self.count, dtype=xp.int64), xp.zeros(self.count, dtype=xp.int64),
        )  # fmt: skip
        inner = (times != begin) & (times != end)
        for some in self._parts(times.shape[0]):
            one = self._part(some, times[inner], partial(_tell, tell, some, self.count))
            found.y[some, :], found.errors[some], found.steps[some] = one.y, one.errors, one.steps
            found.methods[some] = one.methods
            found.evaluations += one.evaluations
            found.values[some, inner, :] = one.values
            found.values[some, times == begin, :] = self.y0[some, None, :]
            found.values[some, times == end, :] = one.y[:, None, :]
        return found

    def pole(self, found: Found) -> float | None:
        """A corner in time at which the function has a pole for some of the members, at their first or last states."""
        xp, begin = self._problem.xp, self._problem.span[0]
        of_one = self._stretches(begin, xp.arange(1))
        if of_one is None:
            return None
        count = min(self.count, max(FEW, LOOKED_AT // of_one.shape[-2]))
        some = xp.arange(count) * self.count // count
        stretches = cast("Array", self._stretches(begin, some))
        for states in (self.y0, found.y):
            given = from_parts(states[some, :], self._like)
            pole = pole_of_members(self._problem, self._members, stretches, given, some)
            if pole is not None:
                return pole
        return None

    def _parts(self, times: int) -> Iterator[slice]:
        """Members that are solved together: memory for more than the result is for these only."""
        size = max(1, min(AT_ONCE, NUMBERS // max(1, times * self.y0.shape[1])))
        for first in range(0, self.count, size):
            yield slice(first, min(first + size, self.count))

    def _part(self, some: slice, times: Array, tell: Callable[[float], object]) -> Found:
        """Some members, until the estimated errors at the end are at most the tolerances, if that can be done."""
        xp = self._problem.xp
        members = xp.arange(some.start, some.stop)
        self._part_begin, self._part_stretches = some.start, self._stretches(self._problem.span[0], members)
        count, factors = members.shape[0], (1.0, LOOSER, BETWEEN) if self._confirms else (1.0, LOOSER)
        all_members, shares = xp.tile(members, (len(factors),)), xp.repeat(xp.asarray(factors), count)
        longest = xp.repeat(self._longest(xp.asarray(factors)), count)
        first = self._ends(all_members, shares, longest, times, count, xp.zeros_like(all_members), tell)
        done = xp.reshape(_are_finished(first), (-1, count))
        if not bool(xp.all(done[0, :])):
            raise _left(first)
        ends = xp.reshape(first.y, (len(factors), count, -1))
        marches = [_Known(ends[k, ...], shares[k * count : (k + 1) * count]) for k in range(len(factors))]
        errors = self._errors(marches[0], marches[1:])[0]
        errors = xp.where(done[1:, :], errors, xp.full_like(errors, inf))
        errors = xp.where(errors[0, :] > WANTED, errors[0, :], xp.max(errors, axis=0))
        values = ends[0, :, None, :][:, :0, :] if first.values is None else first.values
        found = Found(copy(ends[0, ...]), values, errors, first.counts[:count, 1], first.methods[:count])
        found.evaluations = int(xp.sum(first.counts[:, 3]))
        unconfirmed = xp.nonzero(errors <= WANTED)[0] if len(factors) == 2 else xp.arange(0)
        self._mend(found, members, times, marches[:2], unconfirmed, self._first_methods(first)[:count])
        return found

    @property
    def _habits(self) -> str:
        """Name of what is noted of solves with relative tolerances of the same power of ten."""
        return f"few are mended of {self._problem.rtol:.0e}"

    @property
    def _confirms(self) -> bool:
        """
        Whether the third march is made of all members at once, as few had to be mended at the last solve.

        This takes less time, and changes no result.
        """
        return self._members.notes.get(self._habits, 1.0) < FEW_MENDED

    def _mend(
        self, found: Found, members: Array, times: Array, marches: list[_Known], unconfirmed: Array, methods: Array
    ) -> None:  # fmt: skip
        """
        Solve members again whose errors are too large, and others with looser tolerances whose errors seem small.

        Two marches have told the errors. Among thousands of members, there are always some whose two errors are large,
        and equal by chance; so a third march has to confirm small ones, of the members that are unconfirmed.
        """
        xp, one, others = self._problem.xp, marches[0], marches[1:]
        shares, hopeful = copy(one.shares), found.errors > WANTED
        tells = xp.ones_like(hopeful)
        """Whether the estimated error tells which tolerances suffice."""
        for _ in range(MARCHES):
            left = xp.nonzero(hopeful)[0]
            wanted = self._tighter(shares[left], xp.where(tells[left], found.errors[left], inf))
            goes_on = wanted < shares[left] / 2
            if not bool(xp.all(goes_on)):
                hopeful[left] = goes_on
                left, wanted = left[goes_on], wanted[goes_on]
            count, further = left.shape[0], unconfirmed.shape[0]
            if not count + further:
                break
            every = xp.concat([left, unconfirmed]) if further else left
            given = xp.concat([wanted, xp.full((further,), BETWEEN)]) if further else wanted
            both = self._ends(members[every], given, self._longest(given), times, count, methods[every], None)
            again, third = _cut(both, count) if further else (both, both)
            found.evaluations += int(xp.sum(both.counts[:, 3]))
            if further:
                hopeful[unconfirmed] = self._confirm(found, unconfirmed, one, third)
                unconfirmed = unconfirmed[:0]
            if not count:
                continue
            now, before = _Known(again.y, wanted), found.errors[left]
            known = [_Known(found.y[left, :], shares[left]), *(march.of(left) for march in others)]
            errors, small = self._errors(now, known)
            tells[left] = small[0, :]
            errors = xp.max(xp.where(small, errors, errors[:1, :]), axis=0)
            others = marches
            hopeful[left] = (
                _are_finished(again) & (errors > WANTED)
                & ~((errors > HOPELESS * before) & ((errors <= ENOUGH) | (again.counts[:, 3] > BRIEF)))
            )  # fmt: skip
            methods[left], shares[left] = self._first_methods(again), wanted
            _enter(found, left, again, errors)
        self._members.notes[self._habits] = float(xp.sum(shares < one.shares)) / members.shape[0]

    def _confirm(self, found: Found, unconfirmed: Array, one: _Known, third: Ends) -> Array:
        """Enter errors that a third march tells; whether they are not small."""
        xp = self._problem.xp
        shares = xp.full((unconfirmed.shape[0],), BETWEEN)
        errors = self._errors(one.of(unconfirmed), [_Known(third.y, shares)])[0][0, :]
        errors = xp.where(_are_finished(third), errors, xp.full_like(errors, inf))
        found.errors[unconfirmed] = xp.maximum(found.errors[unconfirmed], errors)
        are_large: Array = errors > WANTED
        return are_large

    def _tighter(self, shares: Array, errors: Array) -> Array:
        """Shares of the tolerances for another march."""
        xp = self._problem.xp
        with quiet():
            wanted = xp.where(xp.isfinite(errors), AIM * WANTED / errors, xp.ones_like(errors))
        return xp.clip(shares * xp.clip(wanted, None, 1 / LOOSER), LEAST_RELATIVE / self._problem.rtol, None)

    def _errors(self, one: _Known, others: list[_Known]) -> tuple[Array, Array]:
        """
        Estimated errors at the ends of marches, in tolerances, from each of others, with larger shares of these.

        Also, whether the marches are so close to each other that errors are about proportional to tolerances. Both have
        the shape (others, members).
        """
        xp = self._problem.xp
        ratios = xp.stack([other.shares for other in others]) / one.shares
        apart = self._distances(one.y, xp.stack([other.y for other in others]))
        small = apart < LINEAR / self._problem.rtol
        with quiet():
            share = xp.where(small, xp.minimum((LOOSER - 1) / GAIN / (ratios - 1), xp.asarray(1.0)), 1 / GAIN)
        return apart * share, small

    def _first_methods(self, ends: Ends) -> Array:
        """Methods to begin with: the last one, if it was soon needed."""
        xp, (begin, end) = self._problem.xp, self._problem.span
        if not bool(xp.any(ends.methods)):
            return xp.zeros_like(ends.methods)
        return xp.where(xp.abs(ends.since - begin) <= SOON * abs(end - begin), ends.methods, 0)

    def _longest(self, shares: Any) -> Any:
        """Longest steps: marches must differ in them to tell the error where these limit the others."""
        begin, end = self._problem.span
        longest = min(self._problem.max_step, abs(end - begin) / FEWEST if isfinite(end) else inf)
        return longest * shares ** (1 / ORDER)

    def _ends(
        self, members: Array, shares: Array, longest: Array, times: Array, valued: int, methods: Array,
        tell: Callable[[float], object] | None,
    ) -> Ends:  # fmt: skip
        """March some members with shares of the tolerances; the first `valued` ones have values at the times."""
        from ..._recorded.native.ensemble import integrate_members, widest  # noqa: PLC0415 - slow to import
        from ..._recorded.native.text import UnsupportedError  # noqa: PLC0415

        count, lanes = members.shape[0], widest(self.y0.dtype)
        try:
            return integrate_members(
                self._members.solvers(), *self._problem.span, self.y0[members, :],
                rtol=of_parts(self._problem.rtols, self._like), atol=self._atol, share=shares,
                max_step=longest, first_step=self._first_step,
                parameters=self._members.arguments(members), shared=self._members.shared,
                times=times if times.shape[0] else None, valued=valued, first_methods=methods,
                stretches=self._of_part(members),
                lanes=lanes if 2 * self.count >= lanes else 1,
                report=None if tell is None else lambda ended: tell(ended / count),
            )  # fmt: skip
        except UnsupportedError as error:
            raise NoCodeError(str(error)) from error

    def _of_part(self, members: Array) -> Array | None:
        """Stretches of some of the members that are solved together."""
        given = self._part_stretches
        return given if given is None or given.ndim == 2 else given[members - self._part_begin, ...]

    def _stretches(self, begin: float, members: Array) -> Array | None:
        """Stretches of members from a time on: their ends, and limits of the times in them; None if there are none."""
        switches = self._members.switches
        if switches is not None and self._differ and begin != self._problem.span[1]:
            problem = replace(self._problem, span=(begin, self._problem.span[1]))
            found, are_all = stretches_of_members(problem, switches, self._members.arguments(members))
            self.are_all_places &= are_all
            return found
        return self._places.stretches(begin, self._problem.span[1])

    def _distances(self, one: Array, other: Array) -> Array:
        """Largest differences of components of members, in tolerances; infinite where they are not numbers."""
        xp, problem = self._problem.xp, self._problem
        one, other = from_parts(one, self._like), from_parts(other, self._like)
        with quiet():
            apart = xp.abs(one - other)
            relative = apart / (problem.atol + problem.rtols * xp.abs(one))
            if self._may_be_exact:
                relative = xp.where(apart == 0, xp.zeros_like(apart), relative)
            found = reduce(xp.maximum, [relative[..., k] for k in range(relative.shape[-1])])
            return xp.where(found < LARGEST, found, xp.full_like(found, LARGEST))


def _logged(run: Run) -> list[Array]:
    """Times of the steps of a run of one member."""
    found, left = [], 1
    while left:
        left = run.advance(1000)
        found.append(run.log[1])
    return found


def _tell(tell: Callable[[float], object], some: slice, count: int, share: float) -> None:
    """Tell the share of all members that is done, of which a share of some members are the last."""
    tell((some.start + share * (some.stop - some.start)) / count)


def _cut(ends: Ends, count: int) -> tuple[Ends, Ends]:
    """The first members, which have values, and the others."""
    fields = ("y", "t", "counts", "methods", "since")
    head, tail = (
        {name: getattr(ends, name)[some, ...] for name in fields} for some in (slice(count), slice(count, None))
    )
    return replace(ends, **head), replace(ends, **tail, values=None)


def _are_finished(ends: Ends) -> Array:
    """Which members came to their ends."""
    from ..._recorded.native.status import Status  # noqa: PLC0415 - slow to import

    found: Array = ends.counts[:, 0] == int(Status.FINISHED)  # an `IntEnum` takes NumPy longer
    return found


def _left(ends: Ends) -> LeftError:
    """Says where and why the first member ended that did not come to its end."""
    from ..._recorded.native.status import Status  # noqa: PLC0415 - slow to import

    bad = int((~_are_finished(ends)).nonzero()[0][0])
    status = Status(int(ends.counts[bad, 0])).name
    return LeftError(f"left the solution of a member at t = {float(ends.t[bad])!r}: {status}")


def _enter(found: Found, left: Array, again: Ends, errors: Array) -> None:
    """Enter members that were solved again."""
    done = _are_finished(again)
    if bool(done.all()):
        some, done = left, slice(None)
    else:
        some = left[done]
    found.y[some, :], found.errors[some] = again.y[done, :], errors[done]
    found.steps[some], found.methods[some] = again.counts[done, 1], again.methods[done]
    if again.values is not None:
        found.values[some, ...] = again.values[done, ...]
