"""Marches by compiled solvers from break to break: by explicit steps, then by a stiff method if they must be short."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import copysign, inf, isfinite
from typing import TYPE_CHECKING, Any

from ..._arrays.cached import cached_property
from ..._arrays.namespace import Array, array_namespace
from ..._engine.termination import Failure
from ..._kernels.generic.legendre import legendre_series
from ..._recorded.budget import NoCodeError, UnpaidError
from ..core.polynomial import PiecewisePolynomial
from ..core.problem import Problem
from ..core.tableaux import gauss
from ..core.watched import Reached
from ..output.events import Watch, samples
from .chatter import CHATTERS, DEAR, Chatter
from .corners import places_in
from .parts import as_parts, from_parts, of_parts, wide
from .path import NODES, Path, at_nodes, divided, followed
from .recorded import Recorded
from .solvers import EXPLICIT, METHODS, NONSTIFF, TAYLOR, order_for, solver, stiff_method
from .too_far import Pace, too_many
from .watched import Watched, until

if TYPE_CHECKING:
    from ..._recorded.native.integrate import Run, Solver

TOO_MANY = "TOO_MANY_STEPS"
"""Name of the status of a march that took as many steps as it may."""

SLIDES, LEAVES = "SLIDES", "LEAVES"
"""Names of the statuses of marches that come to a switch and stay there, and that leave it."""

NO_SERIES = "NOT_FINITE", "STEP_TOO_SMALL"
"""Names of statuses with which Taylor series end, and other explicit steps may go on."""

CLIMBS, CLIMBED = "CLIMBS", 50_000
"""Name of the status of a march that was left as it passes too many stairs of the state, and attempts of steps by then:
solutions that grow pass ever more of them, ever smaller beside the tolerance."""

FINISHED, EVENT = ENDED = "FINISHED", "EVENT"
"""Names of the statuses of marches to the end, and to a terminal event."""

FIRST, BUSY, PAUSE = 2048, 5_000_000, 0.05
"""Attempts of steps before the first return to Python; operations in them, times the evaluations of a step; and seconds
until a later one: Ctrl-C is noticed there."""

NUMBERS = 1 << 22
"""Largest number of entries in what is logged of so many attempts."""

FEWEST = 16
"""Least number of steps in a span with all of the tolerances: longer ones may pass over pulses of the function."""

LEAST, LEAST_EXPLICIT = 100 * 2.0**-52, 2.0**-48
"""Smallest relative tolerances of marches: by stiff methods, which solve equations, and by the explicit one."""

ORDER, STAGES = 8, 12
"""Order of the explicit method, and its evaluations in a step."""

RETREAT = 20
"""Steps before the one that shows that a problem is stiff, as that needs fifteen of them."""

APART, TRIES, OFTEN = 1e-12, 4, 2000
"""Share of the time passed within which a march on a switch gets nowhere; how often in a row it may; and how often a
march may come to switches where it stays."""

SOON = 0.02
"""Share of the span after which it is too late to begin with the stiff method the next time."""

WATCHED = 64
"""Attempts after which terminal events are searched."""


@dataclass(frozen=True)
class Output:
    """
    What is wanted of a march.

    Parameters
    ----------
    is_dense : bool
        Polynomials between the ends of steps.
    times : array, shape (m,), or None
        Times at which the solvers write states.
    """

    is_dense: bool
    times: Array | None = None

    @property
    def is_between(self) -> bool:
        """Whether states between the ends of steps are wanted."""
        return self.is_dense or self.times is not None


@dataclass
class Course:
    """
    What a march found.

    Parameters
    ----------
    parts : list of Path
        Steps of each solver.
    used : list of (str, float)
        The methods, with the times from which on they were used.
    values : list of arrays (m, n)
        States at times of the output, as far as they were reached.
    evaluated : list of tuples of arrays (m,), (m, n), (m, n)
        Times, states and slopes there by the machine code.
    failed : str
        Why the march ended early; "" if it did not.
    chatter : Failure or None
        The same if it was given up because steps jumped to and fro, or were too many or too short.
    is_slow : bool
        Whether it was given up because steps were too many or too short.
    slid : list of float
        Times from which on it stayed on switches.
    stop : float or None
        Time of an event that ended it.
    is_cut : bool
        Whether the last step ends there; otherwise, only the solution does.
    seen : list of arrays
        Occurrences of events that machine code found; see `Watched`.
    evaluations, rejected : int
        Of the right-hand side, and of steps.
    seconds : float
        Time that machine code took.
    t, y : float, array
        Time and state that were reached; complex states by their parts.
    like : array
        The initial state of the problem.
    """

    parts: list[Path] = field(default_factory=list)
    used: list[tuple[str, float]] = field(default_factory=list)
    values: list[Array] = field(default_factory=list)
    evaluated: list[tuple[Array, Array, Array]] = field(default_factory=list)
    failed: str = ""
    chatter: Failure | None = None
    is_slow: bool = False
    slid: list[float] = field(default_factory=list)
    stop: float | None = None
    is_cut: bool = False
    seen: list[Array] = field(default_factory=list)
    evaluations: int = 0
    rejected: int = 0
    seconds: float = 0.0
    t: float = 0.0
    y: Any = None
    like: Any = None

    @property
    def path(self) -> Path:
        """All steps."""
        return followed(self.parts)

    @cached_property
    def polynomial(self) -> PiecewisePolynomial:
        """All steps with their polynomials, up to the event that ended them; of a march that has ended."""
        found = self.path.polynomial
        return found if self.stop is None or self.is_cut else found.restrict(self.stop)

    @property
    def ends(self) -> tuple[Array, ...]:
        """Times at the ends of steps, with states and slopes there."""
        rows = self.evaluated
        return rows[0] if len(rows) == 1 else tuple(map(array_namespace(rows[0][0]).concat, zip(*rows, strict=True)))

    @property
    def occurrences(self) -> Array | None:
        """All occurrences that machine code found; None if it looked for none."""
        return array_namespace(self.seen[0]).concat(self.seen) if self.seen else None

    def leave_out(self, begin: float) -> None:
        """Leave out occurrences behind the time that was reached, from some earlier time on."""
        self.seen = [until(rows, begin, self.t) for rows in self.seen]

    def retreat(self) -> None:
        """Leave out the last explicit steps, whose polynomials are bad: they are at the limit of stability."""
        part, method = self.parts.pop(), self.used.pop()
        evaluated = self.evaluated.pop()
        rows = evaluated[0].shape[0]
        kept, parts = max(rows - RETREAT, 0), part.steps // max(rows, 1)
        self.t, self.y = float(part.t[kept * parts]), as_parts(part.y[kept * parts, :])
        if kept:
            self.used.append(method)
            self.parts.append(part.head(kept * parts))
            self.evaluated.append((evaluated[0][:kept], evaluated[1][:kept, :], evaluated[2][:kept, :]))
        self.leave_out(float(part.t[0]))

    @property
    def last(self) -> Array:
        """State `(n,)` at the end."""
        if self.stop is None or self.is_cut:
            return from_parts(self.y, self.like)
        return self.polynomial.y[-1, :]


PATIENT, STIFF_INSTEAD, SMALL = 100_000, 20_000, 10
"""Attempts of an explicit method after which the stiff one is tried; the most steps that it may take; and the number of
components above which it may take fewer, since its steps are expensive then."""


class March:
    """
    Marches over the span of a problem, with any share of its tolerances.

    `first_step` is that of the first step of all, 0 if it is to be chosen. `method` is the number of the method to
    begin with; later marches begin with the stiff one if that was soon needed. A march that needs more than `most`
    steps, taken or rejected, fails. `attempts` are those of steps before the first return to Python. `watched` are
    events that machine code looks for. `first` is the method to begin with if nothing is known of the problem.
    """

    def __init__(
        self,
        problem: Problem,
        recorded: Recorded,
        output: Output,
        first_step: float,
        reached: Reached | None,
        most: int | None = None,
        watched: Watched | None = None,
        first: int = EXPLICIT,
    ) -> None:
        self.problem, self.recorded, self.output = problem, recorded, output
        self.first_step, self._reached, self.method = first_step, reached, first
        self.first = first
        self._stiff: int | None = None
        self._share = 1.0
        self._has_asked = False
        self.most, self.watched = most, watched
        begin, end = problem.span
        self._runs: dict[tuple[int, Any], tuple[Solver, Run]] = {}
        """Those of the methods, on a switch or not: each march begins them anew."""
        self._y0 = as_parts(wide(problem.y0))
        self._rtols, self._atol = of_parts(problem.rtols, problem.y0), of_parts(problem.atol, problem.y0)
        entries = self._y0.shape[0] * (1 + NODES * output.is_dense)
        self._room = max(FEWEST, NUMBERS // max(entries, 1))
        self.attempts = min(FIRST, self._room, max(FEWEST, BUSY // max(recorded.value.operations, 1)))
        self.places = places_in(problem, recorded)
        self.chatter = Chatter(recorded, end)
        self._longest = min(problem.max_step, abs(end - begin) / FEWEST if isfinite(end) else inf)

    @property
    def stiff(self) -> int:
        """Number of the method for stiff problems; it may be set. `NoCodeError` is raised if there is none."""
        if self._stiff is None:
            self._stiff = stiff_method(self.recorded, self.problem.rtol * self._share)
        return self._stiff

    @stiff.setter
    def stiff(self, method: int) -> None:
        self._stiff = method

    def choose_stiff(self, share: float, method: int | None) -> None:
        """Take another stiff method: the one given, or that for a share of the tolerances."""
        self._stiff, self._share = method, share

    def run(
        self,
        share: float,
        end: float | None = None,
        watch: Watch | None = None,
        *,
        is_read: bool = True,
        nudge: Array | None = None,
    ) -> Course:
        """
        March with a share of the tolerances, to another end than that of the span if one is given.

        `watch` finds events on the way. Without `is_read`, the states at the times of the output are not wanted.
        `nudge` is added to the initial state.
        """
        problem, course = self.problem, self._course()
        watches = self.watched is not None and end is None and nudge is None
        if nudge is not None:
            course.y = as_parts(wide(problem.y0) + nudge)
        self._pass(problem.span[1] if end is None else end, course, share, watch, is_read, watches)
        name, since = course.used[-1]
        if name != METHODS[EXPLICIT] and abs(since - problem.span[0]) <= SOON * abs(course.t - problem.span[0]):
            self.method = METHODS.index(name)
        return course

    def twice(self, share: float, looser: float) -> tuple[Course, Course] | None:
        """
        March with a share of the tolerances, and with a share that is larger by a factor, in one call of machine code.

        Of the second march, only the end and the states at times of the output are known. None if they must be made one
        by one: with dense output, and where an explicit march must be left.
        """
        note, method = ("alone", self.method), self.method
        if self.output.is_dense or note in self.recorded.notes:
            return None
        end = self.problem.span[1]
        course, other = self._course(), self._course()
        times = self._times(course.t, end, is_first=True)
        run = self._lent(method)
        self._begin(run, method, course, end, share, times, looser, watches=self.watched is not None)
        status = self._advance(run, course, None, is_read=True)
        leaves = (status == "STIFF" and method in NONSTIFF) or (status in NO_SERIES and method == TAYLOR)
        if leaves or SLIDES in (status, run.names[run.counts[1, 0]]):
            self.recorded.notes[note] = True
            return None
        course.used.append((METHODS[method], self.problem.span[0]))
        for number, one in enumerate((course, other)):
            self._read(run, one, times, number)
        course.failed = "" if status in ENDED else status
        code, _, other.rejected, other.evaluations = run.counts[1].tolist()
        alike = code == run.counts[0, 0] or (status in ENDED and run.names[code] == FINISHED)
        other.failed = "" if alike else "ended otherwise"
        other.t, other.y = float(run.t[1]), run.y[1].copy()
        course.seconds *= course.evaluations / (course.evaluations + other.evaluations)
        return course, other

    def _course(self) -> Course:
        """One that begins."""
        return Course(t=self.problem.span[0], y=self._y0, like=self.problem.y0)

    def _pass(
        self, end: float, course: Course, share: float, watch: Watch | None, is_read: bool, watches: bool
    ) -> None:  # fmt: skip
        """March to the end, with one method and the next ones, and along switches."""
        method, tries = self.method, 0
        switch: tuple[int, float] | None = None
        while True:
            times = self._times(course.t, end, is_first=not course.values) if is_read else None
            run = self._lent(method, switch)
            self._begin(run, method, course, end, share, times, watches=watches)
            course.used.append((METHODS[method], course.t))
            status = self._advance(run, course, watch, is_read=is_read)
            if status == "STIFF" and is_read and watch is None and (self.output.is_between or watches):
                course.retreat()
            self._read(run, course, times)
            if status in (SLIDES, LEAVES):
                gets_on = abs(course.t - ([inf, *course.slid])[-1]) > APART * abs(course.t - self.problem.span[0])
                tries = tries if status == SLIDES else 0 if gets_on else tries + 1
                found = self._switch(run, end) if status == SLIDES else None
                if tries > TRIES or len(course.slid) >= OFTEN or (status == SLIDES and (found is None or switch)):
                    break
                switch = found
                course.slid += [course.t] if switch else []
            elif status == "STIFF" and method in NONSTIFF:
                method = self.stiff
            elif status in NO_SERIES and method == TAYLOR:
                method = EXPLICIT
            else:
                break
        course.failed = "" if status in ("RUNNING", *ENDED) else status

    def _switch(self, run: Run, end: float) -> tuple[int, float] | None:
        """The switch that the solution stays on, with the way of the time; None if there are no slopes along it."""
        found = run.switch, 1.0 if end >= self.problem.span[0] else -1.0
        return None if self.recorded.on_switch(*found) is None else found

    @property
    def least(self) -> float:
        """Smallest relative tolerance."""
        return least_of(self.method)

    def _begin(
        self, run: Run, method: int, course: Course, end: float, share: float, times: Array | None, looser: float = 0.0,
        *, watches: bool,
    ) -> None:  # fmt: skip
        """Begin a run at the end of a course, with a share of the tolerances, and a second one if it is looser."""
        clip = max if isinstance(self._rtols, float) else self.problem.xp.maximum
        # Where it is the largest step that limits the others, marches must differ in it to tell the error.
        longest = self._longest * share ** (1 / ORDER)
        run.begin(
            course.t, end, course.y, rtol=clip(self._rtols * share, least_of(method)), atol=self._atol * share,
            max_step=(longest, longest * looser ** (1 / ORDER)), first_step=0.0 if course.used else self.first_step,
            parameters=self.recorded.parameters, times=times, stretches=self.places.stretches(course.t, end),
            most=self.most, looser=looser,
            watch=self.watched.counts(course.occurrences) if watches and self.watched is not None else None,
        )  # fmt: skip

    def _read(self, run: Run, course: Course, times: Array | None, number: int = 0) -> None:
        """Enter the values at the times that a run came to, or its second march."""
        if run.values is None or times is None:
            return
        way, reached = copysign(1.0, self.problem.span[1] - self.problem.span[0]), run.t[1] if number else course.t
        course.values.append(from_parts(run.values[number, ...], course.like)[way * times <= way * reached, ...])

    @property
    def breaks(self) -> Array | None:
        """Breakpoints."""
        return self.places.breaks

    @property
    def has_stretches(self) -> bool:
        """Whether solvers are asked for that march in stretches, also where this problem has but one."""
        switches = self.recorded.switches
        may_have = switches is not None and (switches.has_corners or self.places.stops is not None)
        return may_have or self.problem.breaks is not None

    @property
    def order(self) -> int:
        """The order of Taylor series."""
        return order_for(self.problem.rtol)

    @property
    def asked(self) -> dict[str, Any]:
        """What is asked of the solvers."""
        has_times = self.output.times is not None
        return {
            "is_dense": self.output.is_dense, "has_times": has_times, "has_stretches": self.has_stretches,
            "watched": self.watched, "order": self.order,
        }  # fmt: skip

    def _lent(self, method: int, switch: tuple[int, float] | None = None) -> Run:
        """The run of a method, perhaps along a switch."""
        if (method, switch) not in self._runs:
            made = solver(self.recorded, method, **self.asked, switch=switch)
            self._runs[method, switch] = made, made.lend()
        return self._runs[method, switch][1]

    def end(self) -> None:
        """Give the runs back; no march follows."""
        for made, run in self._runs.values():
            made.give_back(run)
        self._runs.clear()

    def _times(self, begin: float, end: float, *, is_first: bool) -> Array | None:
        """Times of the output from `begin` to `end`; the begin of the steps of a later method is not among them."""
        times = self.output.times
        if times is None:
            return None
        way = copysign(1.0, end - begin)
        after = way * times >= way * begin if is_first else way * times > way * begin
        return times[after & (way * times <= way * end)]

    def _advance(self, run: Run, course: Course, watch: Watch | None, *, is_read: bool) -> str:
        """Go on with a run until it ends, or an event ends it; return its status. Steps are kept if they are read."""
        begin, start = course.t, course.y
        first = begin, start
        most = self.attempts if watch is None else min(WATCHED, self.attempts)
        rows: list[tuple[Any, ...]] = []
        left, attempts, before = 1, 0, time.perf_counter()
        judge = Pace(self.problem.span[1])
        while left:
            left, since = run.advance(most), course.t
            now = time.perf_counter()
            course.seconds += now - before
            logged = *run.log[1:3], run.slopes, *run.log[3:]
            rows.append(logged)
            if logged[0].shape[0]:
                course.t, course.y = float(logged[0][-1]), logged[1][-1, :].copy()
            if self.watched is not None:
                course.seen.append(run.occurrences)
            if watch is not None:
                self._see(watch, course, begin, start, logged)
                begin, start = course.t, course.y
                if course.stop is not None:
                    break
            if self._reached is not None:
                self._reached(course.t)
            attempts += most
            if left and attempts > CLIMBED and self._has_stairs:
                course.evaluations += attempts * STAGES
                return CLIMBS
            if left and attempts > PATIENT and self._is_left_to_stiff(course, attempts):
                course.evaluations += attempts * STAGES
                break
            if left and self._gives_up(course, logged, most, judge, since):
                course.evaluations += attempts * STAGES
                break
            if left and watch is None:
                pace = max(now - before, 1e-9) / most
                most = max(FEWEST, int(min(PAUSE / pace, 4 * most, self._room)))
            before = time.perf_counter()
        code, _, rejected, evaluations = run.counts[0].tolist()
        if run.names[code] == EVENT:
            course.stop, course.is_cut = course.t, True
            course.leave_out(begin)
        if is_read:
            self._enter(course, *first, rows, run.whole if course.is_cut else None)
        course.evaluations += evaluations
        course.rejected += rejected
        return self._outcome(course, run.names[code], attempts)

    def _is_left_to_stiff(self, course: Course, attempts: int) -> bool:
        """
        Whether a march of so many attempts is given up for the stiff method, which comes to the end in far fewer.

        The test for stiffness of explicit methods says nothing where the accuracy limits steps, as in a thin layer.
        """
        explicit = (METHODS.index(course.used[-1][0]) if course.used else self.method) in NONSTIFF
        if self._has_asked or not explicit or self.most is not None or course.slid or self.recorded.modes is not None:
            return False
        self._has_asked = True
        most = int(STIFF_INSTEAD / max(1.0, self._y0.shape[0] / SMALL) ** 2)
        other = March(self.problem, self.recorded, Output(is_dense=False), self.first_step, None, most=most)
        try:
            other.method = self.stiff
            found = other.run(self._share, is_read=False)
        except (NoCodeError, UnpaidError):
            return False
        finally:
            other.end()
        if found.failed:
            return False
        course.chatter, course.is_slow = too_many(attempts), True
        return True

    @property
    def _has_stairs(self) -> bool:
        """Whether steps end at stairs of the state."""
        modes = self.recorded.modes
        return modes is not None and modes.stairs > 0

    def _outcome(self, course: Course, status: str, attempts: int) -> str:
        """Name of the status of a run that ended so after some attempts."""
        if status == TOO_MANY and self.most is None:
            course.chatter, course.is_slow = too_many(attempts), True
        if course.chatter is not None:
            return CHATTERS
        if course.is_cut:
            return EVENT
        return "RUNNING" if course.stop is not None else status  # what is behind an event does not matter

    def _gives_up(self, course: Course, logged: tuple[Any, ...], attempts: int, pace: Pace, since: float) -> bool:
        """
        Whether the march is given up after so many attempts since some time.

        Its steps are too short for the span; or they jump to and fro, which they do not in modes.
        """
        if self.recorded.modes is None:
            explicit = (METHODS.index(course.used[-1][0]) if course.used else self.method) in NONSTIFF
            t, states, slopes, *_ = logged
            course.chatter = self.chatter.sees(t, states, slopes, attempts * STAGES * (1 if explicit else DEAR))
        too_far = pace.sees(since, course.t, attempts)
        course.is_slow = course.chatter is None and too_far is not None
        course.chatter = course.chatter or too_far
        return course.chatter is not None

    def _see(self, watch: Watch, course: Course, begin: float, start: Any, logged: tuple[Any, ...]) -> None:
        """Look for events on the steps that were logged, from the state `start` at the time `begin` on."""
        if not logged[0].shape[0]:
            return
        piece = self._piece(begin, start, logged)
        course.stop = watch.see(*samples(piece.polynomial), piece.polynomial.near, piece.polynomial.at_few)

    def _enter(
        self, course: Course, begin: float, start: Any, rows: list[tuple[Any, ...]], whole: float | None
    ) -> None:
        """Enter the steps of a run, the last one of which would have ended at `whole`, unless that is None."""
        columns = rows[0]
        if len(rows) > 1:
            columns = tuple(map(self.problem.xp.concat, zip(*rows, strict=True)))
        if whole is not None and self.output.is_dense and course.used[-1][0] != METHODS[TAYLOR]:
            cut(columns, begin, whole)
        course.parts.append(self._piece(begin, start, columns))
        course.evaluated.append((columns[0], *(from_parts(one, course.like) for one in columns[1:3])))

    def _piece(self, begin: float, start: Any, columns: Sequence[Any]) -> Path:
        t = after(begin, columns[0])
        y, stages = after(start, columns[1]), None
        if self.output.is_dense:
            t, y, stages = divided(t, y, at_nodes(columns[3]))
            stages = from_parts(stages, self.problem.y0)
        return Path(t, from_parts(y, self.problem.y0), stages, self.breaks)


def cut(columns: Sequence[Any], begin: float, whole: float) -> None:
    """Make the slopes in the last step, which an event has ended before its end at `whole`, those up to there."""
    t, slopes = columns[0], columns[3]
    since = float(t[-2]) if t.shape[0] > 1 else begin
    share, nodes = (float(t[-1]) - since) / (whole - since), gauss(slopes.shape[1])
    slopes[-1, ...] = legendre_series(share * nodes.c, nodes.lagrange) @ slopes[-1, ...]


def least_of(method: int) -> float:
    """Smallest relative tolerance of a method."""
    return LEAST_EXPLICIT if method in NONSTIFF else LEAST


def after(first: Any, rows: Array) -> Array:
    """Rows with another one before them."""
    found = array_namespace(rows).empty((rows.shape[0] + 1, *rows.shape[1:]), dtype=rows.dtype)
    found[0, ...], found[1:, ...] = first, rows
    return found
