"""All members of a batch, until their errors at the end are small: marches with tolerances of each member's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, lru_cache, partial, reduce
from math import inf, isfinite
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from ..._arrays.elementwise import is_complex
from ..._arrays.namespace import Array, copy, quiet
from ..._recorded.budget import NoCodeError
from ..core.problem import Problem
from .accuracy import BRIEF, FAR, GAIN, HOPELESS, LEAST, LOOSER, MARCHES, WANTED, LeftError
from .alone import Singles
from .corners import Places, places_in, stretches_of_members
from .experience import MOST_KEPT, Experience, known_of, nothing_known
from .found import Found
from .march import FEWEST, ORDER, SOON
from .members import Members
from .parts import as_parts, from_parts, of_parts, wide
from .poles import pole_of_members

if TYPE_CHECKING:
    from ..._recorded.native.ensemble import Ends
    from ..._recorded.native.integrate import Run
    from ..._recorded.native.rounds import Rounds
    from ..._recorded.switches import Switches

BETWEEN = 3.0
"""Factor on the tolerances of a third march, which confirms that the error of the first one is small."""

AIM = 0.35
"""Share of the wanted error that a further march aims at: another march for a few members costs more than this one."""

LOOSEST = 100.0
"""Largest factor on the tolerances of the second march where errors of that size are proportional to tolerances."""

DOUBT, UNLIKE = 0.1, 0.1
"""
Errors that are less than the first number of those of the solve before are confirmed by a third march. If more than the
second number of all members have errors that differ by such a factor, all small ones are confirmed.
"""

LINEAR = 0.003
"""Relative distance of two marches from which on errors are not taken as proportional to tolerances."""

ENOUGH = 2.0
"""Estimated error with which a member is left, if the last march did not bring it down."""

LARGEST = 1e300
"""Takes the place of distances that are not finite."""

LEAST_RELATIVE = max(LEAST, 100 * 2.0**-52)
"""Smallest relative tolerance of a march."""

ROUNDINGS = 2
"""The same in distances of the numbers next to 1, for single precision: with less, rounding makes the steps short."""

SURE = 1.0
"""
In single precision, errors are at least this share of the distance of two marches: it may all be rounding, which is no
smaller in the tighter one.
"""

IN_SINGLE = 20_000
"""Steps after which a member is given up in single precision, where rounding may make steps short."""


@dataclass(frozen=True)
class Alone:
    """A member as a recorded function with its numbers; see `places_in`."""

    parameters: tuple[Any, ...]
    switches: Switches
    notes: dict[Any, Any] = field(default_factory=dict)


OFTEN = 0.3
"""Steps that are rejected for each one that is accepted from which on a long march probably crosses switches often."""

IN_MODES = 10_000
"""Steps after which a member is solved alone, if that has steps which end where comparisons of states change: where
slopes on both sides lead back to such a place, others get nowhere."""

PAIRS = "pairs"
"""Name of the note of shares of the tolerances of both marches of members, and of their longest steps."""

BENDS, MANY = "bends", 0.05
"""Name of the note that steps of members crossed kinks or jumps of the state, and of which share of all marches."""

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
    meanwhile : callable, optional
        Called while members march, those of each part.
    """

    def __init__(
        self, problem: Problem, members: Members, first_step: float, meanwhile: Callable[[], object] | None = None
    ) -> None:
        self._problem, self._members, self._first_step = problem, members, first_step
        self._meanwhile: Callable[[], object] = meanwhile or _nothing
        xp = problem.xp
        states = wide(xp.reshape(problem.y0, (-1, problem.y0.shape[-1])))
        parts = as_parts(states)
        self.y0 = xp.empty(parts.shape, dtype=parts.dtype)
        """Initial states `(members, n)`, side by side as machine code reads them: they are copied several times."""
        self.y0[...] = parts
        self._like = states[:1, :]
        self._rtol, self._atol = of_parts(problem.rtols, states), of_parts(problem.atol, states)
        self._is_complex = is_complex(states)
        self._may_be_exact = not (problem.atol > 0 if problem.atol.ndim == 0 else bool(xp.all(problem.atol > 0)))
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

    @property
    def has_switches(self) -> bool:
        """Whether steps of a member alone end where comparisons of states change."""
        return self._alone(self._problem.xp.zeros(0), 0).has_switches

    def _common_places(self) -> Places:
        """Where steps of all members end, if that does not depend on their numbers."""
        if self._members.switches is None or self._differ:
            return Places(self._problem.breaks)
        return places_in(self._problem, Alone(self._members.arguments(0), self._members.switches))

    @cached_property
    def _most(self) -> int | None:
        """Steps after which a member is given up, if others are than those that machine code may take."""
        if self.has_switches:
            return IN_MODES
        return IN_SINGLE if self._members.is_single else None

    def _alone(self, times: Array, first: int) -> Singles:
        """Solves single members of a part that begins with a member."""
        return Singles(self._problem, self._members, self._first_step, times, first)

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
                begin, end, state, rtol=self._rtol, atol=self._atol,
                max_step=self._longest(1.0), first_step=0.0 if method else self._first_step,
                parameters=self._members.arguments(slice(1)), stretches=self._stretches(begin, xp.arange(1)),
                most=self._most,
            )  # fmt: skip
            t += _logged(run)
            begin, state = float(run.t[0]), run.y
            if run.status is not Status.STIFF:
                break
            method += 1
        if run.status is not Status.FINISHED and (alone := self._alone(xp.zeros(0), 0)).has_switches:
            return alone.times(0)
        if run.status is not Status.FINISHED:
            raise LeftError(f"left the solution of a member at t = {begin!r}: {run.status.name}")
        return xp.concat(t)

    def solved(self, times: Array, tell: Callable[[float], object]) -> Found:
        """All members, with values at the times; `tell` is called with the share that is done."""
        xp, (begin, end) = self._problem.xp, self._problem.span
        parts = list(self._parts(times.shape[0]))
        some = parts[0]
        if len(parts) == times.shape[0] == 1 and float(times[0]) == end:
            one = self._part(some, times[:0], partial(_tell, tell, some, self.count))
            one.values = copy(one.y)[:, None, :]
            return one
        inner = (times != begin) & (times != end)
        one = self._part(some, times[inner], partial(_tell, tell, some, self.count))
        if len(parts) == 1 and bool(xp.all(inner)):
            return one
        shape = self.count, times.shape[0], self.y0.shape[1]
        found = one if len(parts) == 1 else self._nothing()  # which knows no rates
        values = xp.empty(shape)
        for number, some in enumerate(parts):
            if number:
                one = self._part(some, times[inner], partial(_tell, tell, some, self.count))
            if one is not found:
                found.enter(some, one)
            values[some, inner, :] = one.values
            values[some, times == begin, :] = self.y0[some, None, :]
            values[some, times == end, :] = one.y[:, None, :]
        found.values = values
        return found

    def _nothing(self) -> Found:
        """Of all members, before any of them is solved."""
        xp, whole = self._problem.xp, self._problem.xp.int64
        y = xp.empty_like(self.y0)
        found = Found(y, y, *(xp.zeros(self.count, dtype=one) for one in (xp.float64, whole, whole)))
        found.shares = xp.ones(self.count)
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
        most, numbers = self._members.together
        size = max(1, min(most, numbers // max(1, times * self.y0.shape[1])))
        for first in range(0, self.count, size):
            yield slice(first, min(first + size, self.count))

    def _part(self, some: slice, times: Array, tell: Callable[[float], object]) -> Found:
        """Some members, until the estimated errors at the end are at most the tolerances, if that can be done."""
        xp, notes = self._problem.xp, self._members.notes
        members, twice = _numbers(xp, some.start, some.stop)
        self._part_begin, self._part_stretches = some.start, self._stretches(self._problem.span[0], members)
        count, key = members.shape[0], self._habits(some)
        known, alone = known_of(notes, key, members), self._alone(times, some.start)
        before = nothing_known(xp.ones(count)) if known is None else known.begin()
        watches = self._watches(alone)
        is_bent = not self.are_all_places or (alone.has_switches and not watches)
        if is_bent and known is not None:
            before = nothing_known(before.shares)
        looser = self._looser if before is known else LOOSER
        y0, pairs = self.y0[some, :], self._pairs(key, before.shares, looser)
        made, judge = list["Rounds"](), partial(self._rounds, y0, looser)

        def prepare() -> None:
            self._meanwhile()
            made.append(judge(before, is_bent=is_bent))

        starts = xp.concat([y0, y0])
        first = self._ends(twice, starts, pairs, times, count, None, tell, watches=watches, meanwhile=prepare)
        bent, (rounds,) = self._bent(first) if watches else None, made
        if watches and bent is None:
            is_bent, watches, before = True, False, nothing_known(before.shares)
            rounds = judge(before, is_bent=is_bent)
        if bent is not None:
            rounds.bend(bent % count)
        rounds.first(first, self._apart_first(first, count) if self._is_complex else None)
        found = self._go_on(some, times, alone, first, rounds, before, known, watches=watches)
        first.give_back()
        return found

    def go_on(self, first: Ends, rounds: Rounds, known: Experience) -> Found:
        """
        All members after first marches that were judged already, of which only the ends are wanted.

        The marches began with what is `known`, and steps cross no kinks and jumps.
        """
        some, times = slice(0, self.count), self._problem.xp.zeros(0)
        found = self._go_on(some, times, self._alone(times, 0), first, rounds, known, known, watches=False)
        found.values = copy(found.y)[:, None, :]
        return found

    def _go_on(
        self, some: slice, times: Array, alone: Singles, first: Ends, rounds: Rounds, before: Experience,
        known: Experience | None, *, watches: bool,
    ) -> Found:  # fmt: skip
        """What follows from the first marches of some members, which were judged."""
        xp, notes = self._problem.xp, self._members.notes
        members, _ = _numbers(xp, some.start, some.stop)
        count = members.shape[0]
        crossing = self._crossing(alone, first, count)
        if crossing.shape[0]:
            rounds.leave(crossing)
        methods = self._first_methods(first)[:count] if rounds.is_methods_seen else None
        doubted = copy(rounds.every[rounds.left :]) if rounds.left < rounds.jobs < count else None
        is_right_at_once = not rounds.jobs
        for _ in range(MARCHES):
            if not rounds.jobs:
                break
            methods = self._round(rounds, members, times, methods, watches=watches)
        values = rounds.y[:, None, :][:, :0, :] if rounds.values is None else rounds.values
        if self.count <= MOST_KEPT:
            shares = before.shares if is_right_at_once else rounds.shares
            key = self._habits(some)
            notes[key] = (known or before).next(shares, rounds.errors, rounds.evaluations, before, doubted)
        found = Found(rounds.y, values, rounds.errors, rounds.steps, rounds.methods, rounds.evaluations)
        found.shares = rounds.shares
        if first.rates is not None and not rounds.is_methods_seen and self._part_stretches is None:
            if is_right_at_once:
                found.of_rates, found.rates = members - some.start, copy(first.rates[:count, :].T).T
            else:
                found.of_rates = xp.nonzero(rounds.shares == before.shares)[0]
                found.rates = xp.take(first.rates, found.of_rates, axis=0)
        self._mend(found, alone, first, crossing)
        return found

    def _pairs(self, key: Any, shares: Array, looser: float) -> tuple[Array, Array]:
        """Shares of the first marches of members and of their second ones, and longest steps; members keep most."""
        notes, like = self._members.notes, (looser, self._longest(1.0))
        kept: tuple[Any, ...] = notes.get((PAIRS, key), (None,))
        if kept[0] is shares and kept[1] == like:
            return kept[2]
        both = self._problem.xp.concat([shares, looser * shares])
        found = both, self._longest(both)
        if self.count <= self._members.together[0]:
            notes[PAIRS, key] = shares, like, found
        return found

    @property
    def _lanes(self) -> int:
        """Members at a time."""
        lanes: int = _native().widest(self.y0.dtype)
        return lanes if 2 * self.count >= lanes else 1

    def _watches(self, alone: Singles) -> bool:
        """Whether steps tell whether they crossed kinks or jumps of the state: most guards are never reached."""
        may_be_told = alone.has_switches and self._part_stretches is None and self._lanes > 1
        return may_be_told and not self._members.notes.get(BENDS) and self._members.watched is not None

    def _bent(self, first: Ends) -> Array | None:
        """First marches that crossed some; None if that is not known, or of many, which are not asked any more."""
        found = None if first.changes is None else self._problem.xp.nonzero(first.changes)[0]
        if found is None or found.shape[0] > MANY * first.changes.shape[0]:
            self._members.notes[BENDS] = True
            return None
        return found

    def _crossing(self, alone: Singles, first: Ends, count: int) -> Array:
        """Members, of so many, whose steps probably crossed switches of the state again and again; none without."""
        if not alone.has_switches:
            return self._problem.xp.arange(0)
        _, accepted, rejected, evaluations = (first.counts[:count, k] for k in range(4))
        some = self._problem.xp.nonzero((evaluations > BRIEF) & (rejected > OFTEN * accepted))[0]
        return some if some.shape[0] and alone.has_modes else some[:0]

    def _mend(self, found: Found, alone: Singles, first: Ends, crossing: Array) -> None:
        """Solve members alone that failed, that cross switches again and again, and whose errors these make large."""
        if self._members.is_single:  # they are solved in double precision
            found.errors[crossing] = inf
            return
        if not crossing.shape[0] and found.errors.max() <= FAR:
            return
        xp, finished = self._problem.xp, int(_native().Status.FINISHED)
        lost = xp.nonzero(first.counts[: found.errors.shape[0], 0] != finished)[0]
        alone.find(found, lost.tolist())
        alone.renew(found, crossing[~xp.isin(crossing, lost)].tolist())
        if alone.has_modes:
            alone.mend(found, xp.nonzero(found.errors > FAR)[0].tolist())
        found.alone, found.bad = len(alone.mended) + len(alone.bad), [alone.first + member for member in alone.bad]
        found.slid = {alone.first + member: time for member, time in alone.slid.items()}
        if found.of_rates is not None and found.rates is not None and found.alone:
            others = ~xp.isin(found.of_rates, xp.asarray([*alone.mended, *alone.bad]))
            found.rates, found.of_rates = found.rates[others, :], found.of_rates[others]

    def _rounds(self, y0: Array, looser: float, before: Experience, *, is_bent: bool) -> Rounds:
        """
        Decides from march to march.

        `is_bent`: steps may cross kinks and jumps, where errors are a matter of chance, not proportional to tolerances.
        """
        native, rtol = _native(), self._problem.rtol
        limits = limits_of(rtol, looser, self._least, is_bent=is_bent, is_single=self._members.is_single)
        return native.Rounds(
            limits, y0, self._rtol, self._atol, may_be_exact=self._may_be_exact, marches=2, shares=before.shares,
            expected=before.errors,
        )  # fmt: skip

    def _habits(self, some: slice) -> Any:
        """Name of what is noted of some members."""
        return habits(self._problem.rtol, some.start, is_single=self._members.is_single)

    @property
    def _least(self) -> float:
        """Smallest relative tolerance of a march."""
        return ROUNDINGS * 2.0**-23 if self._members.is_single else LEAST_RELATIVE

    @property
    def _looser(self) -> float:
        """Factor on the tolerances of the second march, if it is known which ones are enough for the first one."""
        return looser_of(self._problem.rtol)

    def _round(
        self, rounds: Rounds, members: Array, times: Array, methods: Array | None, *, watches: bool
    ) -> Array | None:  # fmt: skip
        """
        Solve members again whose errors are too large, and others with looser tolerances whose errors seem small.

        Two marches have told the errors. Among thousands of members, there are always some whose two errors are large,
        and equal by chance; so a third march has to confirm small ones, if it was not made of all members at first.
        `methods` are the numbers of those that members begin with; None if all begin with the first one.
        """
        every, left = rounds.every, rounds.left
        begins = None if methods is None else methods[every]
        given = rounds.given, self._longest(rounds.given)
        ends = self._ends(members[every], rounds.begin, given, times, left, begins, None, watches=watches)
        mended = copy(every[:left])  # which the next ones replace
        if watches:
            rounds.bend(every if ends.changes is None else every[ends.changes != 0])
        rounds.again(ends, self._apart_again(ends, rounds) if self._is_complex else None)
        if not rounds.is_methods_seen:
            return None
        if methods is None:
            methods = self._problem.xp.zeros_like(members)
        methods[mended] = self._first_methods(ends)[:left]
        return methods

    def _apart_first(self, ends: Ends, count: int) -> Array:
        """Distances of complex states after other marches from those after the first ones."""
        states = self._problem.xp.reshape(ends.y, (-1, count, ends.y.shape[1]))
        return self._distances(states[0, ...], states[1:, ...])

    def _apart_again(self, ends: Ends, rounds: Rounds) -> Array:
        """Distances of complex states after marches again; see `Rounds.again`."""
        xp, left, count = self._problem.xp, rounds.left, rounds.errors.shape[0]
        mended, confirmed = rounds.every[:left], rounds.every[left:]
        first, loose = rounds.first_y[:count, :], rounds.first_y[count : 2 * count, :]
        others = [rounds.y[mended, :], *([first[mended, :]] if rounds.others > 1 else []), loose[mended, :]]
        found = xp.zeros((len(others), rounds.jobs))
        found[:, :left] = self._distances(ends.y[:left, :], xp.stack(others))
        found[0, left:] = self._distances(first[confirmed, :], ends.y[left:, :])
        return found

    def _first_methods(self, ends: Ends) -> Array:
        """Methods to begin with: the last one, if it was soon needed."""
        xp, (begin, end) = self._problem.xp, self._problem.span
        if not bool(xp.any(ends.methods)):
            return xp.zeros_like(ends.methods)
        return xp.where(xp.abs(ends.since - begin) <= SOON * abs(end - begin), ends.methods, 0)

    def _longest(self, shares: Any) -> Any:
        """Longest steps: marches must differ in them to tell the error where these limit the others."""
        return longest_of(self._problem.span, self._problem.max_step) * shares ** (1 / ORDER)

    def _ends(
        self, members: Array, starts: Array, given: tuple[Array, Array], times: Array, valued: int,
        methods: Array | None, tell: Callable[[float], object] | None, *, watches: bool,
        meanwhile: Callable[[], object] | None = None,
    ) -> Ends:  # fmt: skip
        """
        March some members with `given` shares of the tolerances and longest steps.

        The first `valued` ones have values at the times. `meanwhile` is called while they march.
        """
        native, count = _native(), members.shape[0]
        shares, longest = given
        try:
            return native.integrate_members(
                self._members.solvers(), *self._problem.span, starts,
                rtol=self._rtol, atol=self._atol, share=shares, max_step=longest,
                first_step=self._first_step,
                parameters=self._members.arguments(members), shared=self._members.shared,
                times=times if times.shape[0] else None, valued=valued, first_methods=methods,
                stretches=self._of_part(members), meanwhile=meanwhile,
                lanes=self._lanes, most=self._most, watches=watches,
                report=None if tell is None else lambda ended: tell(ended / count),
            )  # fmt: skip
        except native.UnsupportedError as error:
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


def habits(rtol: float, first: int = 0, *, is_single: bool = False) -> Any:
    """
    Name of what is noted of members from the first one of a part on.

    It is noted of solves with relative tolerances of the same power of ten.
    """
    return "shares of the tolerances", f"{rtol:.0e}", first, is_single


def looser_of(rtol: float) -> float:
    """Factor on the tolerances of the second march, if it is known which ones are enough for the first one."""
    largest = 1 + (LOOSER - 1) / GAIN * LINEAR / rtol
    return LOOSER if largest < LOOSEST else LOOSEST


def longest_of(span: tuple[float, float], most: float = inf) -> float:
    """The longest step of a march by the tolerances."""
    begin, end = span
    return min(most, abs(end - begin) / FEWEST if isfinite(end) else inf)


def limits_of(rtol: float, looser: float, least: float, *, is_bent: bool = False, is_single: bool = False) -> Any:
    """Limits of the decisions from march to march; `least` is the smallest relative tolerance of one."""
    return _native().Limits(
        linear=0.0 if is_bent else LINEAR / rtol, proportional=(LOOSER - 1) / GAIN,
        rest=1.0 if is_bent else 1 / GAIN, wanted=WANTED, aim=AIM * WANTED,
        fastest=1 / LOOSER, least=least / rtol, hopeless=HOPELESS, enough=ENOUGH, brief=BRIEF,
        looser=looser, between=BETWEEN, doubt=DOUBT, unlike=UNLIKE, sure=SURE if is_single else 0.0,
    )  # fmt: skip


@cache
def _native() -> Any:
    """What machine code needs: slow to import, and to look up at every march."""
    from ..._recorded.native.ensemble import integrate_members, widest  # noqa: PLC0415
    from ..._recorded.native.rounds import Limits, Rounds  # noqa: PLC0415
    from ..._recorded.native.status import Status  # noqa: PLC0415
    from ..._recorded.native.text import UnsupportedError  # noqa: PLC0415

    return SimpleNamespace(
        integrate_members=integrate_members, widest=widest, Limits=Limits, Rounds=Rounds, Status=Status,
        UnsupportedError=UnsupportedError,
    )  # fmt: skip


@lru_cache(maxsize=2)
def _numbers(xp: Any, begin: int, end: int) -> tuple[Array, Array]:
    """Numbers of members that are solved together, and the same once more for their second marches; only to be read."""
    members = xp.arange(begin, end)
    return members, xp.concat([members, members])


def _nothing() -> None:
    """There is nothing to do while members march."""


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
