"""
Solves that are repeated: the compiled marches once more, with the checks of every solve and little around them.

A short solve by machine code takes as long as the layers of Python around it. If a function was solved by machine code,
and is to be solved again from a state of as many components with the usual options, it need not pass through these
layers. It is still found out whether all that the function reads is as it was, whether the error at the end is within
the tolerance, and whether the function agrees with the machine code on the solution. If anything is out of the
ordinary, the solve is left to those who know what to do.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from math import inf, isfinite
from types import FunctionType, NoneType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ..._arrays.namespace import Array, array_namespace, copy
from ..._engine.termination import Termination
from ..._recorded.budget import NoCodeError, paid_by
from ..core.evaluation import Evaluation
from ..core.problem import Problem
from ..output.events import prepare
from ..output.monitor import Event
from ..result.report import within
from ..result.result import IvpResult, IvpStatus
from .accuracy import BETWEEN, GAIN, LOOSER, WANTED, are_alike, known_of, solved
from .apart import differences, ratio
from .corners import Places, places_in
from .derived import recorded_code
from .ends import Ends, ends_of, times_of
from .later import Solve
from .march import ENDED, EVENT, FEWEST, FINISHED, LEAST, ORDER, Course, March, Output, after, least_of
from .path import Path
from .recorded import Recorded
from .recorded_events import record_events
from .result import checked, is_unseen, result_of
from .solvers import METHODS, TAYLOR, begins_with, order_for, solver
from .unusual import Unusual
from .watched import Watched, kept, until, watched

if TYPE_CHECKING:
    from ..._recorded.native.integrate import Run, Solver
    from ..._recorded.witness import Witness

KEPT = 32
"""Functions whose solves can be repeated."""

MOST = 64
"""Largest number of components."""

MISSES, RELIEF = 3, 1 / 16
"""Solves that may be begun in vain, one after the other, before no solve of the function is repeated; and how much less
that number is after each solve that was not begun so."""

USUAL = ("auto", None, None, inf, None, None, None, None, None, None, False, None, None, None, None)
"""
The method, `vectorized`, `jac`, the longest and the first step, jumps, mesh, guess, stages, window, progress and the
options of SciPy's solvers by default.
"""

LONGEST_STEP, PROGRESS = USUAL.index(inf), USUAL.index(False)

DEFAULTS = {one.name: one.default for one in fields(IvpResult) if one.default is not MISSING}
"""Fields of results that are not set, besides those that may be made at their first use."""


class Nothing:
    """Pays for nothing: what is not made yet is left to those who keep accounts."""

    def pay(self, what: str, seconds: float) -> None:
        """Refuse."""
        raise Unusual

    def note(self, what: str, seconds: float) -> None:
        """Note nothing."""


NOTHING = Nothing()


@dataclass
class Repeat:
    """
    What is known of a function that was solved by machine code.

    Parameters
    ----------
    function : weakref
    like : array
        A state.
    recorded : Recorded
        With the parameters of that solve.
    place : object
        Where the recording is kept.
    witness : Witness
        Of all that the function reads.
    method : int
        Number of the method.
    solvers : dict of Solver
        By whether values at given times are wanted.
    attempts : int
        Of steps, within which the solves must end.
    misses : float
        Solves that were begun in vain, since the last one that was not, less some relief for others.
    seen : Watched or None
        Events of the last solve that had any.
    ends : dict of Ends
        What repeats solves of which nothing else is wanted, if it can be done, by whether values at given times are.
    """

    function: weakref.ref[Any]
    like: Array
    recorded: Recorded
    place: Any
    witness: Witness
    method: int
    solvers: dict[bool, Solver]
    attempts: int
    misses: float = 0.0
    seen: Watched | None = None
    ends: dict[bool, Ends] = field(default_factory=dict)

    def solved(
        self, fun: Any, t_span: Any, y0: Any, t_eval: Any, args: tuple[Any, ...], rtol: float, atol: float,
        events: Any, dense_output: Any,
    ) -> IvpResult:  # fmt: skip
        """The result; raises `Unusual` if something is out of the ordinary."""
        if events is None and not dense_output and (t_eval is None or len(t_eval)):
            ends = self.ends.get(t_eval is not None)
            if ends is not None:
                recorded, constants, witness = self.recorded, args, self.witness
                if recorded.parameters:
                    recorded = self._recorded(args)
                    constants = args[len(recorded.parameters) :]
                glance = witness.glance  # without a call of the witness, which would look at it first
                if not ((glance is not None and glance.holds(fun, constants)) or witness.holds(fun, constants)):
                    raise Unusual
                plan = ends.plan(t_span, rtol, atol)
                times = None if t_eval is None else ends.times(t_eval, plan.span)
                self.misses += 1
                found = ends.solved(fun, plan, y0, args, recorded, times)
                self.misses = 0.0
                return found
        return self._usual(fun, t_span, y0, t_eval, args, rtol, atol, events, dense_output=dense_output)

    def _usual(
        self, fun: Any, t_span: Any, y0: Any, t_eval: Any, args: tuple[Any, ...], rtol: float, atol: float,
        events: Any, *, dense_output: bool,
    ) -> IvpResult:  # fmt: skip
        """The same where more is wanted than what `Ends` give."""
        xp, recorded = array_namespace(self.like), self._recorded(args)
        span, state = (float(t_span[0]), float(t_span[1])), xp.asarray(y0)
        if state.dtype != self.like.dtype or state.ndim != 1 or len(t_span) != 2:
            raise Unusual
        if any(type(given) not in (list, tuple, type(self.like), NoneType) for given in (y0, t_eval)):
            raise Unusual  # masked arrays, and whatever else others refuse
        if span[0] == span[1] or not (isfinite(sum(span)) and isfinite(sum(state.tolist()))):
            raise Unusual
        if not self.witness.holds(fun, args[len(recorded.parameters) :]):
            raise Unusual
        if not memo().is_kept(self.place, recorded.recording):
            raise Unusual
        problem = Problem(fun, None, args, span, copy(state), rtol, rtol, xp.asarray(atol), inf, record=recorded_code)
        if recorded.switches is not None and places_in(problem, recorded) != Places(None):
            raise Unusual  # there are pulses now
        times = None if t_eval is None else times_of(xp.asarray(t_eval), span)
        seen = None
        if events is not None and self.method == TAYLOR:
            raise Unusual  # which other steps look for
        if events is not None:
            has_times = times is not None and not dense_output
            seen = self._watched(prepare(events), problem, recorded, is_dense=dense_output, has_times=has_times)
        if dense_output or (events is not None and seen is None):
            return self._dense(problem, recorded, times, events, seen, dense_output=dense_output)
        return self._plain(problem, recorded, times, seen)

    def _plain(self, problem: Problem, recorded: Recorded, times: Array | None, seen: Watched | None) -> IvpResult:
        """The result without polynomials between the ends of steps."""
        has_times = times is not None
        first = begins_with(recorded, problem.rtol, is_plain=seen is None)
        known = known_of(recorded, problem.rtol, is_between=has_times, is_watched=seen is not None, first=first)
        asked: dict[str, Any] = {"is_dense": False, "has_times": has_times, "has_stretches": False}
        made = self.solvers[has_times] if seen is None else solver(recorded, self.method, **asked, watched=seen)
        share = known.share
        if known.method != self.method or known.is_asked:
            raise Unusual
        if self.method == TAYLOR and made.form.order != order_for(problem.rtol):
            raise Unusual
        self.misses += 1
        run = made.lend()
        try:
            found = self._marched(run, problem, recorded, share, times, seen)
        finally:
            made.give_back(run)
        if recorded.is_contradicted(problem, None, found.t[1:], found.y[1:, :], found.slopes):
            raise Unusual
        if seen is not None and not seen.agrees_again(
            problem, found.seen, float(found.t[-1]), found.y[-1, :], found.event_values
        ):
            raise Unusual
        self.misses = 0.0
        worst = 0.0 if found.errors is None or not found.errors.shape[0] else float(found.errors.max())
        known.enter(self.method, share, max(found.error / WANTED, worst / BETWEEN))
        return self._result(problem, recorded, found, times, share, seen)

    def _watched(
        self, events: tuple[Event, ...], problem: Problem, recorded: Recorded, *, is_dense: bool, has_times: bool
    ) -> Watched | None:
        """Events that machine code looks for, those of the solve before if they are as they were."""
        found = None if self.seen is None else kept(self.seen, events, problem, recorded.parameters)
        if found is None:
            found = self.seen = watched(events, problem, recorded)
        if found is not None:
            try:
                with paid_by(NOTHING):
                    solver(
                        recorded, self.method, is_dense=is_dense, has_times=has_times, has_stretches=False,
                        watched=found,
                    )  # fmt: skip
            except NoCodeError as error:
                raise Unusual from error
        return found

    def _dense(
        self, problem: Problem, recorded: Recorded, times: Array | None, events: Any, seen: Watched | None, *,
        dense_output: bool,
    ) -> IvpResult:  # fmt: skip
        """The result with polynomials between the ends of steps; or with events, all of which must be recorded."""
        listed = record_events(prepare(events), problem) if seen is None else ()
        if any(event.values is None for event in listed):
            raise Unusual
        is_read = dense_output or bool(listed)
        march = March(problem, recorded, Output(is_read, None if is_read else times), 0.0, None, watched=seen)
        self.misses += 1
        found = solved(march, listed)
        march.end()
        if found.course.failed or recorded.is_contradicted(problem, None, *checked(found.course, march)):
            raise Unusual
        if seen is not None and is_unseen(seen, problem, found.course):
            raise Unusual
        self.misses = 0.0
        return result_of(
            march, lambda: Evaluation(problem, None), found, found.course.path, times,
            None if events is None else listed, dense_output=dense_output,
        )  # fmt: skip

    def add(self, solvers: dict[bool, Solver]) -> None:
        """Note further solvers."""
        self.solvers.update(solvers)
        for has_times, one in solvers.items():
            if (has_times not in self.ends or self.ends[has_times].solver is not one) and (
                ends := ends_of(self.recorded, self.method, one, self.attempts, self.like)
            ):
                self.ends[has_times] = ends

    def is_of(self, fun: Any, recorded: Recorded, method: int) -> bool:
        """Whether it is known of a function with this recording, and this method."""
        return self.function() is fun and self.recorded.recording is recorded.recording and self.method == method

    def _recorded(self, args: tuple[Any, ...]) -> Recorded:
        """The recording with other parameters."""
        before = self.recorded.parameters
        if not before:
            return self.recorded
        parameters = args[: len(before)]
        if list(map(kind, parameters)) != list(map(kind, before)):
            raise Unusual
        return Recorded(self.recorded.recording, parameters)

    def _marched(
        self, run: Run, problem: Problem, recorded: Recorded, share: float, times: Array | None,
        seen: Watched | None,
    ) -> Marched:  # fmt: skip
        """Two marches."""
        (begin, end), rtol, y0 = problem.span, problem.rtol, problem.y0
        longest = abs(end - begin) / FEWEST * share ** (1 / ORDER)
        run.begin(
            begin, end, y0, rtol=max(rtol * share, least_of(self.method)), atol=problem.atol * share,
            max_step=(longest, longest * LOOSER ** (1 / ORDER)), parameters=recorded.parameters, times=times,
            looser=LOOSER, watch=None if seen is None else seen.counts(),
        )  # fmt: skip
        left = run.advance(self.attempts)
        (status, _, _, evaluations), (other, _, _, further) = run.counts.tolist()
        ended = run.names[status]
        if left or ended not in ENDED or run.names[other] != FINISHED:
            raise Unusual
        last, loose = run.y.tolist()
        atol = float(problem.atol)
        error = max([ratio(a, b, atol + rtol * abs(a)) for a, b in zip(last, loose, strict=True)]) / GAIN
        _, t, y = run.log
        if not error <= WANTED or are_alike(error, t.shape[0]):
            raise Unusual
        t, y, values, missed = after(begin, t), after(y0, y), None, None
        if run.values is not None and times is not None:
            values, others = run.values[0, ...], run.values[1, ...]
            if ended == EVENT:
                times = within(times, t)
                values, others = values[: times.shape[0], :], others[: times.shape[0], :]
            missed = differences(problem, Path(t, y), times, values, others) / GAIN
            if times.shape[0] and not float(missed.max()) <= BETWEEN:
                raise Unusual
        rows, at_end, stop = None, list[float](), float(t[-1]) if ended == EVENT else None
        if seen is not None:
            at_end = run.event_values if stop is None else []
            rows = run.occurrences if stop is None else until(run.occurrences, begin, stop)
        return Marched(t, y, run.slopes, values, missed, error, evaluations + further, rows, at_end, stop)

    def _result(
        self, problem: Problem, recorded: Recorded, found: Marched, times: Array | None, share: float,
        seen: Watched | None,
    ) -> IvpResult:  # fmt: skip
        t, states, stop = found.t, found.y, found.stop
        status = IvpStatus.FINISHED if stop is None else IvpStatus.EVENT
        occurred = None if seen is None else seen.occurrences(found.seen, stop, states)
        if times is not None and stop is not None:
            times = within(times, t)
        solve = Solve(
            problem.fun, problem.args, problem.span, problem.y0, problem.rtol, float(problem.atol), recorded.kept(),
            self.method, share, found.error, t, states, stop,
        )  # fmt: skip
        result = object.__new__(IvpResult)
        vars(result).update(
            DEFAULTS,
            t=copy(t if times is None else times),
            y=copy(states if found.values is None else found.values).T,
            mesh=copy(t),
            nfev=found.evaluations,
            npoints=found.evaluations,
            status=status,
            t_events=None if occurred is None else occurred.t_events,
            y_events=None if occurred is None else occurred.y_events,
            termination=Termination.FINISHED if stop is None else Termination.EVENT,
            message=solve.message(),
            success=True,
            method=METHODS[self.method],
            error_estimate=found.error,
            compiled=True,
            _errors=solve.errors if found.errors is None else found.errors,
            _polynomial=solve.polynomial,
            _solution=solve.derivatives(),
        )
        return result


class Marched(NamedTuple):
    """
    Steps with the slopes at their ends, values at given times, their errors and that at the end, and evaluations.

    Occurrences of events, values of events at the end unless one of them ended the solve, and the time of that one.
    """

    t: Array
    y: Array
    slopes: Array
    values: Array | None
    errors: Array | None
    error: float
    evaluations: int
    seen: Array | None
    event_values: list[float]
    stop: float | None


class Repeatable(Protocol):
    """What is known of a function, of which a problem or a batch was solved; see `Repeat`."""

    function: weakref.ref[Any]
    misses: float

    def solved(
        self, fun: Any, t_span: Any, y0: Any, t_eval: Any, args: tuple[Any, ...], rtol: float, atol: float,
        events: Any, dense_output: Any,
    ) -> IvpResult:  # fmt: skip
        """The result; raises `Unusual` if something is out of the ordinary."""


_known: OrderedDict[Any, Repeatable] = OrderedDict()


def solve_again(
    fun: Any, t_span: Any, y0: Any, t_eval: Any, args: Any, rtol: Any, atol: Any, events: Any, dense_output: Any,
    compiles: Any, others: tuple[Any, ...],
) -> IvpResult | None:  # fmt: skip
    """
    The result of a solve that repeats an earlier one; None if it has to be solved as ever.

    If machine code is not demanded by `compiles`, it was not for the earlier one either, but has paid off. `others` are
    the other arguments of `solve_ivp`, in the order of `USUAL`.
    """
    args = () if args is None else args
    try:
        one = _known.get((id(fun), len(y0), not compiles) if type(y0) is list else key_of(fun, y0, compiles))
        if one is None or one.function() is not fun or one.misses > MISSES or others != USUAL:
            return None
        if type(others[LONGEST_STEP]) is not float or others[PROGRESS] is not False:  # but an array, or 0
            return None
        if not (type(args) is tuple and type(rtol) is type(atol) is float and LEAST <= rtol < inf and 0 <= atol < inf):
            return None
        if type(dense_output) is not bool:
            return None
        return one.solved(fun, t_span, y0, t_eval, args, rtol, atol, events, dense_output)
    except (Unusual, LookupError, TypeError, ValueError):  # those who check all arguments say what is wrong
        return None


def key_of(fun: Any, y0: Any, compiles: Any) -> Any:
    """Where is kept what is known of a function, for a state or a batch of states."""
    return id(fun), len(y0) if type(y0) is list or getattr(y0, "ndim", 1) == 1 else y0.shape, not compiles


def keep(key: Any, one: Repeatable) -> None:
    """Keep what is known of a function."""
    _known[key] = one
    while len(_known) > KEPT:
        _known.popitem(last=False)


def forget_repeats() -> None:
    """Repeat no earlier solve."""
    _known.clear()


def note(march: March, course: Course, *, is_demanded: bool) -> None:
    """Note a solve that may be repeated: one with the usual options, besides the output and events."""
    problem, recorded = march.problem, march.recorded
    fun, y0 = problem.fun, problem.y0
    is_usual = problem.jac is None and problem.max_step == inf and isinstance(problem.rtols, float)
    if type(fun) is not FunctionType or not is_usual or problem.atol.ndim or march.has_stretches:
        return
    if y0.dtype != problem.xp.float64 or y0.shape[0] > MOST or len(course.used) > 1:
        return
    made = {}
    if not march.output.is_dense:
        asked = march.asked | {"watched": None}
        made[march.output.times is not None] = solver(recorded, march.method, **asked)
    key = key_of(fun, y0, is_demanded)
    before = _known.get(key)
    is_known = isinstance(before, Repeat) and before.is_of(fun, recorded, TAYLOR if march.output.is_dense else -1)
    if isinstance(before, Repeat) and (is_known or before.is_of(fun, recorded, march.method)):
        before.add(made)
        before.misses = max(0.0, before.misses - RELIEF)
        return
    if entry := memo().entry_of(recorded.recording):
        place, witness = entry
        one = Repeat(weakref.ref(fun), y0, recorded, place, witness, march.method, {}, march.attempts)
        one.add(made)
        keep(key, one)


@cache
def memo() -> Any:
    """The module that keeps recordings."""
    from ..._recorded import memo  # noqa: PLC0415 - slow to import

    return memo


def kind(argument: Any) -> Any:
    """What has to be the same of a parameter: its type and its shape."""
    return type(argument), getattr(argument, "shape", ()), getattr(argument, "dtype", None)
