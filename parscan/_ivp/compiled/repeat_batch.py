"""Solves of batches that are repeated: see `repeat`."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from functools import partial
from math import inf, isfinite
from types import FunctionType, NoneType
from typing import TYPE_CHECKING, Any

from ..._arrays.namespace import Array, all_finite, array_namespace, copy
from ..._recorded.budget import NoCodeError, UnpaidError, paid_by
from ..core.evaluation import Evaluation
from ..core.problem import Problem
from ..result.result import IvpResult
from .ends import times_of
from .ends_of_members import EndsOfMembers, ends_of_members
from .ensemble import solve_batch
from .later_members import members_as, problem_of
from .members import Members, Origin, function_of, must_be_recorded_whole
from .repeat import NOTHING, keep, key_of, kind, memo
from .unusual import Unusual

if TYPE_CHECKING:
    from ..._recorded.witness import Witness


@dataclass
class RepeatedBatch:
    """
    What is known of a function of which a batch was solved by machine code; the attributes are those of `Repeat`.

    Parameters
    ----------
    function : weakref
    kinds : list
        Of the states `(n, *batch)` of that solve, and of its arguments.
    members : Members
    origin : Origin
    place : object
    witness : Witness
    misses : float
    """

    function: weakref.ref[Any]
    kinds: list[Any]
    members: Members
    origin: Origin
    place: Any
    witness: Witness
    misses: float = 0.0
    ends: EndsOfMembers | None = None
    """Repeats solves for the ends of members alone; None if that is not possible, or not known yet."""

    is_seen: bool = False
    """Whether it is known if `ends` can be made."""

    def solved(
        self, fun: Any, t_span: Any, y0: Any, t_eval: Any, args: tuple[Any, ...], rtol: float, atol: float,
        events: Any, dense_output: Any,
    ) -> IvpResult:  # fmt: skip
        """The result; raises `Unusual` if something is out of the ordinary."""
        span = float(t_span[0]), float(t_span[1])
        if events is not None or dense_output or len(t_span) != 2 or list(map(kind, (y0, *args))) != self.kinds:
            raise Unusual
        if type(t_eval) not in (list, tuple, type(y0), NoneType):
            raise Unusual  # masked arrays, and whatever else others refuse
        if span[0] == span[1] or not isfinite(sum(span)):
            raise Unusual
        xp = array_namespace(y0)
        times = None if t_eval is None else times_of(xp.asarray(t_eval), span)
        is_end = times is not None and times.shape[0] == 1 and float(times[0]) == span[1]
        self.misses += 1
        try:
            with paid_by(NOTHING):
                found = None
                if is_end and self.ends is not None:
                    found = self.ends.solved(fun, args, span, y0, times, rtol, atol, partial(self._look, fun, args))
                if found is None:
                    found = self._solved(fun, args, span, y0, times, rtol, atol, is_end=is_end)
        except (NoCodeError, UnpaidError) as error:
            raise Unusual from error
        self.misses = 0.0
        return found

    def _solved(
        self, fun: Any, args: tuple[Any, ...], span: tuple[float, float], y0: Array, times: Array | None, rtol: float,
        atol: float, *, is_end: bool,
    ) -> IvpResult:  # fmt: skip
        """The result by those who solve all batches; `is_end` says whether only the ends of members are wanted."""
        if not all_finite(y0):
            raise Unusual
        origin, members = self.origin, self.members
        state = array_namespace(y0).permute_dims(copy(y0), (*range(1, y0.ndim), 0))
        problem = problem_of(fun, args, span, state, rtol, atol)
        known, look = members_as(members, origin, problem), partial(self._look, fun, args)
        found = solve_batch(problem, 0.0, times, lambda: Evaluation(problem, None), None, known, meanwhile=look)
        if is_end and not self.is_seen:
            self.ends, self.is_seen = ends_of_members(problem, known, origin, y0), True
        return found

    def _look(self, fun: Any, args: tuple[Any, ...]) -> None:
        """Raise `Unusual` if the function is not the one that was recorded: marches of that one are in vain then."""
        recorded, constants = function_of(fun, self.origin.differing, args)
        is_same = self.witness.holds(recorded, constants) and memo().is_kept(self.place, self.origin.recording)
        if not is_same or must_be_recorded_whole(fun):
            raise Unusual


def note_batch(problem: Problem, members: Members, *, is_demanded: bool) -> None:
    """Note a batch that may be solved again with the usual options."""
    fun, xp = problem.fun, problem.xp
    is_usual = problem.jac is None and problem.max_step == inf and isinstance(problem.rtols, float)
    if type(fun) is not FunctionType or not is_usual or problem.atol.ndim or problem.breaks is not None:
        return
    if problem.y0.dtype != xp.float64 or members.origin is None:
        return
    if entry := memo().entry_of(members.origin.recording):
        place, witness = entry
        state = xp.moveaxis(problem.y0, -1, 0)
        kinds = list(map(kind, (state, *problem.args)))
        notes = Members(members.program, (), members.notes, members.origin)
        one = RepeatedBatch(weakref.ref(fun), kinds, notes, members.origin, place, witness)
        keep(key_of(fun, state, is_demanded), one)
