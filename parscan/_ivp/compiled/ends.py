"""Repeated solves of which only the ends of steps are wanted: one call of machine code, and little around it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import inf, isfinite
from operator import is_
from typing import TYPE_CHECKING, Any, NamedTuple

from ..._arrays.namespace import Array
from ..._engine.termination import Termination
from ..._functions.verify import share_of
from ..._recorded.native.status import Status
from ..._reporting.result_base import Deferred
from ..result.result import IvpResult, IvpStatus
from .accuracy import FAR, GAIN, LOOSER, WANTED, Known, are_alike, known_of
from .alike import are_like, is_like, sample_of
from .later import Solve
from .march import FEWEST, ORDER, least_of
from .recorded import STRIDE, Recorded
from .solvers import EXPLICIT, METHODS
from .trial import MANY
from .unusual import Unusual

if TYPE_CHECKING:
    from ..._recorded.native.integrate import Solver
    from ..._recorded.native.ready import Ready

FINISHED = int(Status.FINISHED)

KEPT = 32
"""Tolerances of which is known what they need."""

FLOATS = frozenset([float])

EXACT = 2**53
"""Integers up to this size are floats as well."""

LONGER = LOOSER ** (1 / ORDER)
"""Ratio of the longest steps of both marches."""


def ends_of(recorded: Recorded, method: int, solver: Solver, attempts: int, like: Any) -> Ends | None:
    """What repeats solves of a recorded function; None if more is to be looked after than the ends of steps."""
    from ..._recorded.native.ready import may_be_ready  # noqa: PLC0415 - slow to import

    if recorded.switches is not None or not may_be_ready(solver):
        return None
    return Ends(recorded, method, solver, attempts, like)


class Needs(NamedTuple):
    """
    What solves with a relative tolerance need.

    Attributes
    ----------
    known : Known
    least, least_share : float
        Least relative tolerance of a march, and share of the tolerance.
    equal : float
        Relative difference of values that counts as none.
    """

    known: Known
    least: float
    least_share: float
    equal: float


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
        self._like, self._size = like, like.shape[0]
        self._held = HELD
        self._idle: list[Ready] = []
        self._needs: dict[float, Needs] = {}
        self._fields = {
            "status": IvpStatus.FINISHED, "termination": Termination.FINISHED, "success": True, "compiled": True,
            "method": METHODS[method],
        }  # fmt: skip
        self._before: tuple[Any, ...] = ()
        """The problem whose solution was compared with the function in a whole sample."""
        self._args: tuple[Any, ...] = ()
        self._uses = 0

    def numbers(self, y0: Any) -> tuple[float, ...]:
        """The initial state; raises `Unusual` if it is not one of floats, or if integers are not just as good."""
        kind = type(y0)
        if kind is type(self._like):
            if y0.dtype != self._like.dtype or y0.ndim != 1:
                raise Unusual
            y0 = y0.tolist()
        elif kind is not list and kind is not tuple:
            raise Unusual
        found = tuple(y0)
        if len(found) != self._size or not FLOATS.issuperset(map(type, found)):
            found = tuple(map(_exact, found))
        if not isfinite(sum(found)) or len(found) != self._size:
            raise Unusual
        return found

    def needs(self, rtol: float) -> Needs:
        """What solves with a relative tolerance need; raises `Unusual` if it is to be found out anew."""
        if self._held not in self._recorded.notes:
            raise Unusual
        found = self._needs.get(rtol)
        if found is None:
            while len(self._needs) >= KEPT:
                self._needs.popitem()
            least = least_of(self._method)
            known = known_of(self._recorded, rtol, is_between=False)
            found = self._needs[rtol] = Needs(known, least, least / rtol, share_of(rtol, self._like))
        known, method = found.known, self._method
        if known.method != method or (method != EXPLICIT and known.is_asked):
            raise Unusual
        return found

    def solved(
        self, fun: Any, begin: float, end: float, start: tuple[float, ...], args: tuple[Any, ...], rtol: float,
        atol: float, recorded: Recorded, needs: Needs,
    ) -> IvpResult:  # fmt: skip
        """The result; raises `Unusual` if something is out of the ordinary."""
        known, method, idle = needs.known, self._method, self._idle
        parameters = numbers_of(recorded.parameters) if recorded.parameters else ()
        share, asks = max(known.share, needs.least_share), known.is_asked
        longest = abs(end - begin) / FEWEST * share ** (1 / ORDER)
        tolerances = max(rtol * share, needs.least), atol * share, LOOSER
        ready = idle.pop() if idle else self._make()
        try:
            *states, _, _, status, steps, _, evaluations, other, _, _, further = ready.march(
                begin, end, start, tolerances, (longest, longest * LONGER), parameters
            )
            if status != FINISHED or other != FINISHED or (asks and steps >= MANY):
                raise Unusual
            n = self._size
            error = 0.0
            for one, two in zip(states, states[n:], strict=False):
                missed = abs(one - two)
                if missed > error * (size := atol + rtol * abs(one)):
                    error = missed / size if size else inf
            error /= GAIN
            if not error <= (WANTED if share > 2 * needs.least_share else FAR) or are_alike(error, steps + 1):
                raise Unusual
            t, y = ready.t[: steps + 1].copy(), ready.y[: steps + 1].copy()
            problem = begin, end, rtol, start, parameters
            solve = Solve(fun, args, (begin, end), start, rtol, atol, recorded.kept(), method, share, error, t, y)
            is_known = problem == self._before and all(map(is_, args, self._args))
            self._uses += 1
            row = self._uses * STRIDE % steps
            if not (is_known and is_like(fun, args, t[row + 1], y[row + 1], ready.slopes[row], needs.equal)):
                self._compare(solve, problem, ready.slopes[:steps], needs.equal)
        finally:
            idle.append(ready)
        known.enter(method, share, error / WANTED)
        result: IvpResult = object.__new__(IvpResult)
        count = evaluations + further
        result.__dict__.update(self._fields)
        result.__dict__.update(
            t=t.copy(), y=y.copy().T, mesh=t.copy(), nfev=count, npoints=count, error_estimate=error,
            _told=solve.message, _errors=solve.errors, _polynomial=solve.polynomial,
            _solution=Deferred(solve.derivatives),
        )  # fmt: skip
        return result

    def _compare(self, solve: Solve, problem: tuple[Any, ...], slopes: Array, equal: float) -> None:
        """Compare the function with slopes in a sample of the solution."""
        t, y, stacks = solve.t[1:], solve.y[1:], self._recorded.notes["stacks", None]
        some = sample_of(t.shape[0], stacks=stacks)
        is_confirmed = are_like(solve.fun, solve.args, t[some], y[some], slopes[some], equal, stacks=stacks)
        if not is_confirmed and solve.recorded.is_contradicted(solve.problem(), None, t, y, slopes):
            raise Unusual
        self._before, self._args = problem, solve.args


def _exact(value: Any) -> float:
    """A number as a float, if it is a float or as good as one."""
    kind = type(value)
    if kind is float or (kind is int and -EXACT <= value <= EXACT):
        return float(value)
    raise Unusual


def numbers_of(parameters: Sequence[Any]) -> tuple[float, ...]:
    """Numbers in parameters, one after the other."""
    found = list[float]()
    for one in parameters:
        found.extend([one] if isinstance(one, float) else one.tolist())
    return tuple(found)
