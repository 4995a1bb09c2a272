"""
What follows from marches of all members of an ensemble: their errors, and who marches again with which tolerances.

One pass of machine code, the same for all functions, decides about every member: with arrays of all members, some
hundred small calls would take as long as the marches.
"""

from __future__ import annotations

from functools import cache
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import compilation
from .expressions import FLOAT, WHOLE, Array, Code, Value, Variable
from .kernel import NAME, Kernel
from .layout import own_address, where
from .members import COUNTS
from .status import Status

if TYPE_CHECKING:
    from .ensemble import Ends

LARGEST = 1e300
"""Takes the place of distances that are not finite."""

FIRST, AGAIN = 0, 1
"""What a call of the code is about: first marches of all members, or marches of those that were chosen."""

MOST_OTHERS = 3
"""Marches that another one is compared with, at most."""


class Limits(NamedTuple):
    """
    Limits of the decisions.

    Attributes
    ----------
    linear : float
        Distance of two marches, in tolerances, up to which errors are taken to be proportional to tolerances.
    proportional, rest : float
        The error is the distance times the first number divided by the ratio of tolerances less one, but not more than
        the distance; where errors are not proportional, the distance times the second one.
    wanted, aim : float
        Largest error, and the one that a further march aims at.
    fastest, least : float
        Largest factor of the tolerances from march to march, and the smallest share of them.
    hopeless, enough, brief : float
        A member is left if a march of more evaluations than the third number, or one that ended with an error of at
        most the second number, left more than the first number of the error.
    looser, between : float
        Tolerances of the second and of the third march, in those of the first one.
    doubt, unlike : float
        A small error is confirmed if it is less than the first number of the expected one; and all are if more than the
        second number of all members have errors that differ from the expected ones by more than such a factor.
    sure : float
        Smallest share of a distance that is taken for the error.
    """

    linear: float
    proportional: float
    rest: float
    wanted: float
    aim: float
    fastest: float
    least: float
    hopeless: float
    enough: float
    brief: float
    looser: float
    between: float
    doubt: float
    unlike: float
    sure: float = 0.0


WHOLES = (
    "members", "n", "marches", "others", "confirms", "left", "jobs", "unfinished", "evaluations", "methods seen",
    "may be exact", "apart given", "value size", "unlike",
)  # fmt: skip
"""Integers: members; components; marches of each at first; how many marches others are compared with after the best
one; whether small errors are to be confirmed; members that march again for a smaller error, and all that do; members
whose first march did not come to its end; evaluations; whether a march ended with another method than the first one;
whether equal numbers have no distance even if the tolerance is 0; whether distances are given; numbers of a member's
values; members whose errors are not as expected."""

POINTERS = (
    "rtol", "atol", "y0", "first y", "y", "errors", "shares", "steps", "methods", "hopeful", "tells", "bent", "values",
    "every", "given", "begin", "first shares", "expected", "now", "counts", "new methods", "new values", "apart",
)  # fmt: skip
"""Arrays: tolerances; initial states; states after the first marches; of the best march of each member its state,
error, share, steps and method; whether it may march again, whether its error tells with which tolerances, and whether
steps crossed kinks or jumps, so that errors are not proportional to tolerances; values at times; of those who march
again their numbers, shares and initial states; shares of the first marches, and errors that are expected of a share of
1; what marches gave; distances."""

_FLOATS, _WHOLES, _PLACES = 0, len(Limits._fields), len(Limits._fields) + len(WHOLES)


class Rounds:
    """
    Decisions about members, from march to march.

    Parameters
    ----------
    limits : Limits
    y0 : array, shape (members, n)
        Initial states.
    rtol, atol : float or array of shape (n,)
    may_be_exact : bool
        Whether an absolute tolerance may be 0.
    marches : int
        Of each member at first, 2 or 3: by the tolerances, by looser ones and by those between.
    shares : float or array, shape (members,)
        Of the tolerances, for the first march of each member.
    expected : float or array, shape (members,)
        Errors that the tolerances would leave, as far as is known: those that differ much are confirmed.

    Attributes
    ----------
    y, errors, shares, steps, methods : arrays with a first axis for members
        Of the best march of each member: its state at the end, estimated error and share of the tolerances.
    left, jobs : int
        How many members march again for a smaller error, and all that march again.
    every, given, begin : arrays with a first axis for jobs
        Their numbers, shares of the tolerances and initial states.
    evaluations : int
        Of all marches.
    unfinished : int
        Members whose first march did not come to its end: their errors are infinite, and they do not march again.
    values : array, shape (members, m, n), or None
        At times.
    """

    def __init__(
        self, limits: Limits, y0: Any, rtol: Any, atol: Any, *, may_be_exact: bool, marches: int, shares: Any = 1.0,
        expected: Any = inf,
    ) -> None:  # fmt: skip
        count, n = y0.shape
        self._words = words = np.zeros(_PLACES + len(POINTERS))
        self._wholes = words.view(WHOLE)
        self._numbers, self._places = self._wholes[_WHOLES:_PLACES], self._wholes[_PLACES:]
        self._memory, self._run = own_address(words), _code().function
        self._y0, self.values = np.ascontiguousarray(y0), None
        tolerances, self._rows = np.empty((2, n)), np.empty((8, count))
        tolerances[0], tolerances[1] = rtol, atol
        self._states, self._tolerances = np.empty((2, count, n)), tolerances
        self.y, self._begin = self._states
        wholes = self._rows.view(WHOLE)
        self.errors, self.shares, self.steps, self.methods = self._rows[0], self._rows[1], wholes[2], wholes[3]
        self._every, self._given = wholes[4], self._rows[5]
        self._rows[6], self._rows[7] = shares, expected
        self._flags = np.zeros((3, count), np.bool_)
        rows, size, states = own_address(self._rows), 8 * count, own_address(self._states)
        absolute, flags = own_address(tolerances), own_address(self._flags)
        words[: len(limits)] = limits
        self._numbers[...] = [count, n, marches, 1, 0, 0, 0, 0, 0, 0, may_be_exact, 0, 0, 0]
        self._places[...] = [
            absolute, absolute + 8 * n, where(self._y0), 0, states, rows, rows + size, rows + 2 * size,
            rows + 3 * size, flags, flags + count, flags + 2 * count, 0, rows + 4 * size, rows + 5 * size,
            states + size * n, rows + 6 * size, rows + 7 * size, 0, 0, 0, 0, 0,
        ]  # fmt: skip
        self._kept: Any = None
        self.unfinished = self.left = self.jobs = self.evaluations = 0
        self.is_methods_seen = False
        """Whether a march ended with another method than the first one."""
        self._template: Any = None
        """The integers before the first marches were judged."""

    @property
    def every(self) -> Any:
        """Numbers of the members that march again."""
        return self._every[: self.jobs]

    @property
    def given(self) -> Any:
        """Shares of the tolerances of their marches."""
        return self._given[: self.jobs]

    @property
    def begin(self) -> Any:
        """Their initial states."""
        return self._begin[: self.jobs]

    def first(self, ends: Ends, apart: Any = None) -> None:
        """
        Judge first marches of all members: all by the tolerances, then all by looser ones, then by those between.

        `apart` are distances `(marches - 1, members)` of the others from the first ones, in tolerances, if they are
        not differences of components.
        """
        self.values = ends.values
        self.first_y = ends.y
        self._places[POINTERS.index("first y")] = where(ends.y)
        if ends.values is not None:
            self._numbers[WHOLES.index("value size")] = ends.values.shape[1] * ends.values.shape[2]
            self._places[POINTERS.index("values")] = where(ends.values)
        confirms = self._numbers[WHOLES.index("marches")] < MOST_OTHERS
        self._numbers[WHOLES.index("confirms")] = confirms
        self._template = self._numbers.copy()
        self._judge(FIRST, ends, apart)

    def repeat(self, shares: Any, expected: Any) -> None:
        """
        Judge first marches once more, of other members, in the same arrays: no march but the first ones was judged.

        `shares` are those of the tolerances, and `expected` errors, as at the beginning.
        """
        self._numbers[...] = self._template
        self._rows[6], self._rows[7] = shares, expected
        self._call(FIRST)

    def again(self, ends: Ends, apart: Any = None) -> None:
        """
        Judge marches of the members that were to march again.

        `apart` are distances `(3, jobs)`: of those that march for a smaller error, from their best march before, then
        from the first marches by the tolerances and by looser ones, in the first round only from the latter; of others,
        from the first march.
        """
        self._judge(AGAIN, ends, apart)

    def bend(self, members: Any) -> None:
        """
        Take errors of some members as not proportional to tolerances from now on; their numbers are given.

        Before the first marches are judged, nothing is expected of them either: small errors are confirmed.
        """
        self._flags[2, members] = True
        self._rows[7, members] = inf

    def leave(self, members: Any) -> None:
        """Let some members not march again, whose numbers are given."""
        kept, left = ~np.isin(self.every, members), self.left
        every, given, begin = self.every[kept], self.given[kept], self.begin[kept]
        self.left, self.jobs = int(np.count_nonzero(kept[:left])), every.shape[0]
        self._numbers[[WHOLES.index("left"), WHOLES.index("jobs")]] = self.left, self.jobs
        self._every[: self.jobs], self._given[: self.jobs], self._begin[: self.jobs] = every, given, begin
        self._flags[0, members] = False

    @property
    def others(self) -> int:
        """First marches that marches for a smaller error are compared with, besides the best ones: 1 or 2."""
        return int(self._numbers[WHOLES.index("others")])

    def _judge(self, what: int, ends: Ends, apart: Any) -> None:
        """Call the code."""
        apart = None if apart is None else np.ascontiguousarray(apart)
        self._kept = ends, apart
        self._numbers[WHOLES.index("apart given")] = apart is not None
        self._places[POINTERS.index("now") :] = [
            where(ends.y), where(ends.counts), where(ends.methods),
            0 if ends.values is None else where(ends.values), 0 if apart is None else where(apart),
        ]  # fmt: skip
        self._call(what)
        self._kept = None

    def _call(self, what: int) -> None:
        self._run(0, self._memory, 0, what)
        self.left, self.jobs, self.unfinished, self.evaluations, seen = self._numbers[5:10].tolist()
        self.is_methods_seen = bool(seen)


@cache
def _code() -> compilation.Code:
    return compilation.compiled(Kernel(_Writer().text(), {}, None, 0))


class _Writer:
    """Writes the code."""

    def __init__(self) -> None:
        self.code = code = Code()
        self.what = code.argument("what")
        self.floats = code.array("%memory", FLOAT)
        self.wholes = code.array(code.pointer("%memory", 8 * _WHOLES), WHOLE)
        self.members, self.n = self.wholes[WHOLES.index("members")], self.wholes[WHOLES.index("n")]
        self.limits = Limits(*(self.floats[k] for k in range(len(Limits._fields))))  # type: ignore[arg-type]
        self.arrays = {name: self._array(k, name) for k, name in enumerate(POINTERS)}

    def _array(self, place: int, name: str) -> Array:
        whole = {"steps", "methods", "every", "counts", "new methods"}
        dtype = WHOLE if name in whole else np.dtype(bool) if name in ("hopeful", "tells", "bent") else FLOAT
        pointer = self.code.load_pointer(self.code.pointer("%memory", 8 * (_PLACES + place)))
        return self.code.array(pointer, dtype)

    def text(self) -> str:
        """The function."""
        code = self.code
        with code.if_(self.what.equals(FIRST)) as branch:
            self._first()
        with code.else_(branch):
            self._again()
        self._plan()
        return code.function(NAME, ("ptr %table", "ptr %memory", "ptr %unused", "i64 %what"))

    def number(self, name: str) -> Value:
        """One of the integers."""
        return self.wholes[WHOLES.index(name)]

    def put(self, name: str, value: Value | int) -> None:
        """Write one of the integers."""
        self.wholes[WHOLES.index(name)] = value

    def row(self, name: str, place: Value, size: Value | None = None) -> Array:
        """A state, or something else of a size, of a member."""
        return self.arrays[name].after(place * (self.n if size is None else size))

    def _apart(self, one: Array, other: Array, row: Value) -> Value:
        """The distance of two states, in tolerances of the first one; or the given number of a row."""
        code, found = self.code, self.code.variable(0.0)
        with code.if_(self.number("apart given").differs(0)) as branch:
            found.set(self.arrays["apart"][row])
        with code.else_(branch), code.for_(self.n) as k:
            size = code.abs(one[k])
            apart = code.abs(one[k] - other[k])
            ratio = apart / (self.arrays["atol"][k] + self.arrays["rtol"][k] * size)
            ratio = code.where(apart.equals(0.0) & self.number("may be exact").differs(0), 0.0, ratio)
            ratio = code.where(ratio < LARGEST, ratio, LARGEST)
            found.set(code.maximum(ratio, found.get()))
        return found.get()

    def _error(self, apart: Value, ratio: Value, member: Value) -> tuple[Value, Value]:
        """The error of a march from its distance to one with tolerances larger by a ratio; if it is proportional."""
        is_bent = self.arrays["bent"][member]
        small = (apart < self.limits.linear) & ~is_bent
        share = self.code.minimum(self.limits.proportional / (ratio - 1.0), 1.0)
        share = self.code.maximum(share, self.limits.sure)
        rest = self.code.where(is_bent, 1.0, self.limits.rest)
        return apart * self.code.where(small, share, rest), small

    def _ended(self, job: Value) -> Value:
        """Whether a march came to its end; its evaluations and method are noted."""
        counts = self.arrays["counts"].after(job * len(COUNTS))
        self.put("evaluations", self.number("evaluations") + counts[COUNTS.index("evaluations")])
        self.put("methods seen", self.number("methods seen") | self.arrays["new methods"][job])
        return counts[COUNTS.index("status")].equals(int(Status.FINISHED))

    def _copy(self, target: Array, source: Array, count: Value) -> None:
        with self.code.for_(count) as k:
            target[k] = source[k]

    def _enter(self, member: Value, job: Value) -> None:
        """The march of a job is the best one of a member."""
        self._copy(self.row("y", member), self.row("now", job), self.n)
        accepted = self.arrays["counts"].after(job * len(COUNTS))[COUNTS.index("accepted")]
        self.arrays["steps"][member] = accepted
        self.arrays["methods"][member] = self.arrays["new methods"][job]

    def _first(self) -> None:
        """Errors after the first marches of all members."""
        code, limits, arrays = self.code, self.limits, self.arrays
        is_third = self.number("marches") > MOST_OTHERS - 1
        with code.for_(self.members) as m:
            second = m + self.members
            has_ended = code.variable(self._ended(m))
            with code.if_(~has_ended.get()):
                self.put("unfinished", self.number("unfinished") + 1)
            one = self.row("now", m)
            error, _ = self._error(self._apart(one, self.row("now", second), m), limits.looser, m)  # type: ignore[arg-type]
            found = code.variable(code.where(self._ended(second), error, inf))
            with code.if_(is_third):
                third = second + self.members
                error, _ = self._error(self._apart(one, self.row("now", third), second), limits.between, m)  # type: ignore[arg-type]
                error = code.where(self._ended(third), error, inf)
                with code.if_(found.get() <= limits.wanted):
                    found.set(code.maximum(error, found.get()))
            found.set(code.where(has_ended.get(), found.get(), inf))
            share = arrays["first shares"][m]
            arrays["errors"][m], arrays["shares"][m] = found.get(), share
            expected = arrays["expected"][m] * share
            is_alike = (found.get() >= limits.doubt * expected) & (expected >= limits.doubt * found.get())
            self.put("unlike", self.number("unlike") + (~is_alike).to(WHOLE))
            arrays["hopeful"][m], arrays["tells"][m] = has_ended.get() & (found.get() > limits.wanted), True
            self._enter(m, m)

    def _again(self) -> None:
        """Errors after further marches."""
        code, left = self.code, self.number("left")
        with code.for_(left) as job:
            self._mended(self.arrays["every"][job], job)
        with code.for_(self.number("jobs"), left) as job:
            self._confirmed(self.arrays["every"][job], job)
        self.put("others", 2)

    def _mended(self, member: Value, job: Value) -> None:
        """A march for a smaller error."""
        code, limits, arrays, jobs = self.code, self.limits, self.arrays, self.number("jobs")
        share, now = arrays["given"][job], self.row("now", job)
        error, small = self._error(
            self._apart(now, self.row("y", member), job), arrays["shares"][member] / share, member
        )
        found, row = code.variable(error), code.variable(jobs + job)

        def compare(march: int, factor: Any) -> None:
            other = self.row("first y", self.members * march + member)
            another, is_small = self._error(self._apart(now, other, row.get()), factor / share, member)
            found.set(code.maximum(found.get(), code.where(is_small, another, error)))
            row.set(row.get() + jobs)

        first = arrays["first shares"][member]
        with code.if_(self.number("others") > 1):
            compare(0, first)
        compare(1, limits.looser * first)
        total, before, ended = found.get(), arrays["errors"][member], self._ended(job)
        evaluations = arrays["counts"].after(job * len(COUNTS))[COUNTS.index("evaluations")].to(FLOAT)
        is_hopeless = (total > limits.hopeless * before) & ((total <= limits.enough) | (evaluations > limits.brief))
        arrays["hopeful"][member] = ended & (total > limits.wanted) & ~is_hopeless
        arrays["tells"][member], arrays["shares"][member] = small, share
        with code.if_(ended):
            arrays["errors"][member] = total
            self._enter(member, job)
            size = self.number("value size")
            self._copy(self.row("values", member, size), self.row("new values", job, size), size)

    def _confirmed(self, member: Value, job: Value) -> None:
        """A march that tells whether an error is small."""
        code, limits, arrays = self.code, self.limits, self.arrays
        apart = self._apart(self.row("first y", member), self.row("now", job), job)
        error = code.where(self._ended(job), self._error(apart, limits.between, member)[0], inf)  # type: ignore[arg-type]
        arrays["hopeful"][member] = error > limits.wanted
        arrays["errors"][member] = code.maximum(error, arrays["errors"][member])

    def _plan(self) -> None:
        """Who marches again."""
        code, limits, arrays = self.code, self.limits, self.arrays
        jobs = code.variable(0, WHOLE)
        with code.for_(self.members) as m, code.if_(arrays["hopeful"][m]):
            error, share = arrays["errors"][m], arrays["shares"][m]
            factor = code.where(arrays["tells"][m] & (error < inf), code.minimum(limits.aim / error, limits.fastest),
                                limits.fastest)  # fmt: skip
            wanted = code.maximum(share * factor, limits.least)
            goes_on = wanted < share / 2.0
            arrays["hopeful"][m] = goes_on
            with code.if_(goes_on):
                self._add(jobs, m, wanted)
        self.put("left", jobs.get())
        with code.if_(self.number("confirms").differs(0)):
            all_are = self.number("unlike").to(FLOAT) > self.members.to(FLOAT) * limits.unlike
            with code.for_(self.members) as m:
                error, first = arrays["errors"][m], arrays["first shares"][m]
                is_small = error < limits.doubt * arrays["expected"][m] * first
                with code.if_((error <= limits.wanted) & (all_are | is_small)):
                    self._add(jobs, m, limits.between * first)
        self.put("jobs", jobs.get())
        self.put("confirms", 0)

    def _add(self, jobs: Variable, member: Value, share: Value) -> None:
        """Another job."""
        job = jobs.get()
        self.arrays["every"][job], self.arrays["given"][job] = member, share
        self._copy(self.row("begin", job), self.row("y0", member), self.n)
        jobs.set(job + 1)
