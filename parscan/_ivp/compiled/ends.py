"""Repeated solves of which the ends of steps are wanted, or values at times: one call of code, and little around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import isfinite
from operator import is_
from typing import TYPE_CHECKING, Any, TypeAlias

from ..._arrays.namespace import Array, array_namespace, copy
from ..._engine.termination import Termination
from ..._functions.verify import share_of
from ..._recorded.native.status import Status
from ..result.result import IvpResult, IvpStatus
from . import accuracy
from .accuracy import BETWEEN, FAR, GAIN, LOOSER, WANTED, Known, are_alike, known_of
from .alike import are_like, gives, sample_of
from .later import field, field_between, solve_of
from .march import FEWEST, ORDER, least_of
from .recorded import Recorded
from .solvers import METHODS, NONSTIFF, TAYLOR, begins_with, order_for
from .trial import MANY
from .unusual import Unusual

if TYPE_CHECKING:
    from ..._recorded.native.integrate import Solver
    from ..._recorded.native.ready import Ready

FINISHED = int(Status.FINISHED)

KEPT = 32
"""Spans and tolerances of which is known what solves have in common."""

MOST_COUNTS = 8
"""Numbers of times of the output for which there is memory."""

FLOATS = frozenset([float])

EXACT = 2**53
"""Integers up to this size are floats as well."""

LONG = min(MANY, accuracy.LONG)
"""Least number of steps that may be odd."""

LONGER = LOOSER ** (1 / ORDER)
"""Ratio of the longest steps of both marches."""


def ends_of(recorded: Recorded, method: int, solver: Solver, attempts: int, like: Any) -> Ends | None:
    """What repeats solves of a recorded function; None if more is to be looked after than the ends of steps."""
    from ..._recorded.native.ready import may_be_ready  # noqa: PLC0415 - slow to import

    if recorded.switches is not None or not may_be_ready(solver):
        return None
    return Ends(recorded, method, solver, attempts, like)


new: Callable[[type[IvpResult]], IvpResult] = object.__new__
"""A result without fields."""


Asked: TypeAlias = tuple[tuple[float, float, float], tuple[float, float]]


class Plan:
    """
    What all solves over a span with these tolerances have in common.

    Attributes
    ----------
    span : tuple of float
    rtol, atol : float
    tolerances : tuple
        Both of them.
    known : Known
    equal : float
        Relative difference of values that counts as none.
    now : tuple
        What belongs to a share, together, as other threads may take another one: the share of the tolerances that the
        march has, the largest error at the end, in tolerances, and what is given to the march: its tolerances, and the
        factor of the other one's; and the longest steps of both.
    """

    __slots__ = ("_least", "atol", "equal", "known", "now", "rtol", "span", "tolerances")

    now: tuple[float, float, Asked]

    def __init__(self, span: tuple[float, float], rtol: float, atol: float, known: Known, least: float, equal: float):
        self.span, self.rtol, self.atol, self._least = span, rtol, atol, least
        self.known, self.equal, self.tolerances = known, equal, (rtol, atol)
        self.take(1.0)

    def take(self, share: float) -> None:
        """Have another share of the tolerances, as far as rounding allows."""
        (begin, end), least = self.span, self._least / self.rtol
        share = max(share, least)
        longest = abs(end - begin) / FEWEST * share ** (1 / ORDER)
        tolerances = max(self.rtol * share, self._least), self.atol * share, LOOSER
        self.now = share, WANTED if share > 2 * least else FAR, (tolerances, (longest, longest * LONGER))


class Times:
    """
    Times of the output, which were found to be in order.

    Parameters
    ----------
    times : array, shape (m,)
    span : tuple of float
    idle : list of Ready
        For so many times.
    """

    __slots__ = ("_bytes", "_span", "idle", "times")

    def __init__(self, times: Array, span: tuple[float, float], idle: list[Ready]) -> None:
        self.times, self._span, self.idle = times, span, idle
        self._bytes = times.tobytes()

    def are(self, given: Array, span: tuple[float, float]) -> bool:
        """Whether an array has the same times, and the span is the same."""
        times = self.times
        return (
            given.dtype is times.dtype
            and given.shape == times.shape
            and given.tobytes() == self._bytes
            and span == self._span
        )


class Ends:
    """
    Solves of a function.

    Parameters
    ----------
    recorded : Recorded
        The function, with any parameters; it has no pulses.
    method : int
        Number of the method.
    solver : Solver
    attempts : int
        Of steps, within which the solves must end.
    like : array
        A state.
    """

    def __init__(self, recorded: Recorded, method: int, solver: Solver, attempts: int, like: Any) -> None:
        from ..._recorded.memo import HELD  # noqa: PLC0415 - slow to import
        from ..._recorded.native.ready import Ready  # noqa: PLC0415

        self._recorded, self._method, self._make = recorded, method, partial(Ready, solver, attempts)
        self._like, self._size, self._notes = like, like.shape[0], recorded.notes
        self._held, self._order = HELD, solver.form.order
        self._idle: dict[int, list[Ready]] = {0: []}
        """By the number of times of the output."""
        self.solver, self._is_between = solver, solver.form.has_times
        self._times: Times | None = None
        self._plans: dict[tuple[Any, ...], Plan] = {}
        self._last: Plan | None = None
        self._fields = {
            "status": IvpStatus.FINISHED, "termination": Termination.FINISHED, "success": True, "compiled": True,
            "method": METHODS[method], **dict.fromkeys(("y", "nfev", "npoints", "error_estimate", "_later")),
        }  # fmt: skip
        """Of results; those that each one has for itself are set later, but the space for them is made at once."""

    def start(self, y0: Any) -> tuple[float, ...]:
        """
        The initial state; raises `Unusual` if it is not one of floats, or if integers are not just as good.

        Whether it is finite is seen by the marches.
        """
        kind = type(y0)
        if kind is not list and kind is not tuple:
            if kind is not type(self._like) or y0.dtype != self._like.dtype or y0.ndim != 1:
                raise Unusual
            y0 = y0.tolist()
        found = tuple(y0)
        if not FLOATS.issuperset(map(type, found)):
            found = tuple(map(_exact, found))
        if len(found) != self._size:
            raise Unusual
        return found

    def plan(self, t_span: Any, rtol: float, atol: float) -> Plan:
        """What the solve has in common with others; raises `Unusual` if it is to be found out anew."""
        plan = self._last
        if plan is None or type(t_span) is not tuple or t_span != plan.span or (rtol, atol) != plan.tolerances:
            begin, end = t_span
            plan = self._last = self._plans.get((begin, end, rtol, atol)) or self._plan(begin, end, rtol, atol)
        known = plan.known
        if known.method != self._method or self._held not in self._notes:
            raise Unusual
        if known.is_asked and self._method not in NONSTIFF:
            raise Unusual
        if known.share != plan.now[0]:
            plan.take(known.share)
        return plan

    def times(self, given: Any, span: tuple[float, float]) -> Times:
        """Times of the output; raises `Unusual` if they are not in order."""
        if type(given) not in (list, tuple, type(self._like)):
            raise Unusual  # masked arrays, and whatever else others refuse
        array, last = array_namespace(self._like).asarray(given), self._times
        if last is not None and last.are(array, span):
            return last
        times = times_of(array, span)
        while len(self._idle) > MOST_COUNTS:
            self._idle.popitem()
        found = self._times = Times(times, span, self._idle.setdefault(times.shape[0], []))
        return found

    def solved(
        self, fun: Any, plan: Plan, y0: Any, args: tuple[Any, ...], recorded: Recorded, wanted: Times | None
    ) -> IvpResult:  # fmt: skip
        """The result; raises `Unusual` if something is out of the ordinary."""
        known, (share, most, march) = plan.known, plan.now
        idle = self._idle[0] if wanted is None else wanted.idle
        ready = idle.pop() if idle else self._make(0 if wanted is None else wanted.times.shape[0])
        try:
            if ready.plan is not march or ready.wanted is not wanted:
                _prepare(ready, plan, march, wanted)
            before, ready.compared = ready.compared, None
            is_known = before is not None and before[0] is plan and (not args or all(map(is_, args, before[1])))
            checked, parameters = fun if is_known and not args else None, recorded.parameters
            if parameters:
                numbers = numbers_of(parameters)
                told = ready.march(checked, y0, *numbers) or ready.march(checked, self.start(y0), *numbers)
            else:
                told = ready.march(checked, y0) or ready.march(checked, self.start(y0))
            ended, same, like, steps, evaluations, error, worst, path = told
            error /= GAIN
            if not (ended and (error <= most or (error <= FAR and known.is_vain(plan.span, share)))):
                raise Unusual
            if steps >= LONG and _is_odd(steps, error, is_asked=known.is_asked):
                raise Unusual
            facts = fun, args, plan, recorded.kept() if parameters else recorded, self._method, share, error
            if like < 0 and same and is_known:
                ready.see_errors()
                time, least, slopes = ready.told()
                like = gives(fun, args, time, ready.state.copy(), slopes, least, plan.equal)
            if like <= 0:
                self._compare(facts, path, ready, steps)
                before = plan, args
            ready.compared = before
            result = new(IvpResult)
            own = result.__dict__
            own.update(self._fields)
            own["nfev"], own["npoints"], own["error_estimate"] = evaluations, evaluations, error
            if wanted is None:
                states = ready.paths.get(steps)  # a call less
                own["y"] = ready.path(steps) if states is None else states.copy("K")
                own["_later"] = field, facts, path, self._size
            else:
                if not worst <= BETWEEN * GAIN:
                    raise Unusual
                own["t"], own["y"] = wanted.times.copy(), ready.values.copy().T
                own["_later"] = field_between, facts, path, self._size, ready.apart()
        finally:
            idle.append(ready)
        ratio = error / WANTED if wanted is None else max(error / WANTED, worst / (BETWEEN * GAIN))
        known.enter(self._method, share, ratio)
        return result

    def _plan(self, begin: Any, end: Any, rtol: float, atol: float) -> Plan:
        """What solves over a span with these tolerances have in common, found out anew."""
        span = float(begin), float(end)
        if begin == end or not (isfinite(span[0]) and isfinite(span[1])):
            raise Unusual
        while len(self._plans) >= KEPT:
            self._plans.popitem()
        if self._method == TAYLOR and self._order != order_for(rtol):
            raise Unusual
        first = begins_with(self._recorded, rtol, is_plain=True)
        known = known_of(self._recorded, rtol, is_between=self._is_between, first=first)
        found = self._plans[begin, end, rtol, atol] = Plan(
            span, rtol, atol, known, least_of(self._method), share_of(rtol, self._like)
        )
        return found

    def _compare(self, facts: tuple[Any, ...], path: bytes, ready: Ready, steps: int) -> None:
        """Compare the function with slopes in a sample of the solution."""
        t, y, slopes = ready.t[1 : steps + 1], ready.y[1 : steps + 1], ready.slopes[:steps]
        fun, args, plan, *_ = facts
        stacks = self._notes["stacks", None]
        some = sample_of(steps, stacks=stacks)
        if not are_like(fun, args, t[some], y[some], slopes[some], plan.equal, stacks=stacks):
            solve = solve_of(facts, path, self._size)
            if solve.recorded.is_contradicted(solve.problem(), None, t, y, slopes):
                raise Unusual


def _is_odd(steps: int, error: float, *, is_asked: bool) -> bool:
    """Whether the number of steps is a reason to look into the method, or into the error."""
    return (is_asked and steps >= MANY) or are_alike(error, steps + 1)


def _prepare(ready: Ready, plan: Plan, march: Asked, wanted: Times | None) -> None:
    """Write what solves with a plan have in common."""
    if wanted is not None and wanted is not ready.wanted:
        ready.wanted = None  # in case that it is not written
        ready.times[...] = wanted.times
    ready.prepare(*plan.span, *march, plan.rtol, plan.atol, plan.equal)
    ready.wanted, ready.plan = wanted, march


def _exact(value: Any) -> float:
    """A number as a float, if it is a float, such as NumPy's doubles are, or as good as one."""
    if isinstance(value, float) or (type(value) is int and -EXACT <= value <= EXACT):
        return float(value)
    raise Unusual


def numbers_of(parameters: Sequence[Any]) -> tuple[float, ...]:
    """Numbers in parameters, one after the other."""
    found = list[float]()
    for one in parameters:
        found.extend([one] if isinstance(one, float) else one.tolist())
    return tuple(found)


def times_of(times: Array, span: tuple[float, float]) -> Array:
    """Times of the output, if they are in order."""
    xp, way = array_namespace(times), 1.0 if span[1] > span[0] else -1.0
    if times.ndim != 1 or times.dtype != xp.float64:
        raise Unusual
    if times.shape[0] == 1 and way * span[0] <= way * float(times[0]) <= way * span[1]:
        return copy(times)
    along = xp.concat([xp.asarray([way * span[0]]), way * times, xp.asarray([way * span[1]])])
    gaps = along[1:] - along[:-1]
    if not (bool(xp.all(gaps >= 0)) and bool(xp.all(gaps[1:-1] > 0))):
        raise Unusual
    return copy(times)
