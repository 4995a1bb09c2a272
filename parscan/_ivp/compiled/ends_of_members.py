"""Repeated solves of batches for their ends alone: two marches of all members, and little work around them.

Work that is the same for all solves is done once, and rarely used fields of results are made at their first use. A
solve that is out of the ordinary is left to `ensemble`; marches that were made already are not repeated there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from ..._arrays.namespace import Array, all_finite, array_namespace, copy
from ..._engine.termination import Termination
from ..._functions.returned import Returned
from ..._functions.verify import alike, share_of
from ..core.evaluation import Evaluation
from ..core.problem import Problem
from ..result.result import IvpResult, IvpStatus
from .accuracy import ANEW, FAR
from .all_members import LEAST_RELATIVE, AllMembers, habits, limits_of, longest_of, looser_of
from .alone import GivenUpError
from .ensemble import result_of, solves_of
from .experience import known_of
from .later_members import SolvedBatch, field, members_as, problem_of
from .march import ORDER
from .members import MAKERS, Members, Origin
from .unusual import Unusual
from .variational_members import snapshot

if TYPE_CHECKING:
    from ..._recorded.native.integrate import Solver
    from ..._recorded.native.ready_members import ReadyMembers

KEPT = 16
"""Spans and tolerances of which is known what solves have in common."""

IDLE = 2
"""Pieces of memory that are kept for later solves."""

new: Callable[[type[IvpResult]], IvpResult] = object.__new__
"""A result without fields."""


class Plan(NamedTuple):
    """
    What all solves over a span with these tolerances have in common.

    Attributes
    ----------
    span : tuple of float
    rtol, atol : float
    key : object
        Where is noted what is known of members.
    longest : float
        The longest step of a march by the tolerances.
    limits : Limits
        Of the decisions after marches.
    equal : float
        Relative difference of values that counts as none.
    """

    span: tuple[float, float]
    rtol: float
    atol: float
    key: Any
    longest: float
    limits: Any
    equal: float


class EndsOfMembers:
    """
    Solves of a function.

    Parameters
    ----------
    members : Members
        Of the last solve: members without corners in time or switches of the state.
    origin : Origin
    solver : Solver
    y0 : array, shape (n, *batch)
        Any states.
    args : tuple
        Of the last solve: later ones are of the same kinds.
    """

    def __init__(self, members: Members, origin: Origin, solver: Solver, y0: Array, args: tuple[Any, ...]) -> None:
        self._members, self._origin, self._solver = members, origin, solver
        self._shape, self._xp = y0.shape, array_namespace(y0)
        self._n, *batch = y0.shape
        self._batch, self._count = tuple(batch), prod(batch)
        self._all = self._xp.arange(self._count)
        self._returned = Returned(self._xp.broadcast_to(self._xp.zeros(()), (*batch, self._n)))
        self._is_direct = all(tuple(args[k].shape) == self._batch for k in origin.differing)
        """Whether arguments have a number for each member, in the order of these."""
        self._plans: dict[Any, Plan | None] = {}
        self._idle: list[ReadyMembers] = []
        self._fields = {
            "status": IvpStatus.FINISHED, "termination": Termination.FINISHED, "success": True, "compiled": True,
            "method": next(iter(MAKERS)),
        }  # fmt: skip
        """Of all results."""

    def solved(
        self, fun: Any, args: tuple[Any, ...], span: tuple[float, float], y0: Array, times: Array, rtol: float,
        atol: float, look: Callable[[], object],
    ) -> IvpResult | None:  # fmt: skip
        """
        The result with values at the end; None if the batch is to be solved as ever.

        `look` is called while members march: it raises `Unusual` if the function is another one.
        """
        xp, plan = self._xp, self._plan(span, rtol, atol)
        known = None if plan is None else known_of(self._members.notes, plan.key, self._all)
        if plan is None or known is None or known.rest:
            return None
        own = self._own(fun, args, plan, y0)
        ready = self._idle.pop() if self._idle else self._ready()
        try:
            if ready.plan is not plan:
                ready.prepare(span, rtol, atol, plan.longest, plan.limits)
                ready.plan = plan
            if ready.shares is not known.shares:
                ready.take(known.shares, ORDER)
            ready.begin(xp.reshape(y0, (self._n, -1)).T, own)
            start, kept = copy(y0), list(snapshot(args))
            ready.march(look)
            rounds = ready.judge(known.errors)
            error = float(rounds.errors.max())
            if rounds.jobs or rounds.unfinished or not error <= FAR:
                return self._go_on(ready, known, plan, fun, args, y0, times)
            last = copy(ready.y)
            y = xp.empty((self._n, 1, *self._batch))
            xp.reshape(y, (self._n, -1))[...] = last.T
            if not self._agrees(fun, args, plan, y, ready):
                return self._go_on(ready, known, plan, fun, args, y0, times)
            notes, evaluations = self._members.notes, rounds.evaluations
            notes[plan.key] = known.next(known.shares, rounds.errors, evaluations, known)
            solve = SolvedBatch(
                fun, args, span, start, rtol, atol, self._members, last, known.shares, copy(rounds.steps), error, kept
            )
        finally:
            if len(self._idle) < IDLE and ready.is_as_wanted:
                self._idle.append(ready)
        result = new(IvpResult)
        fields = result.__dict__
        fields.update(self._fields)
        fields["t"], fields["y"], fields["error_estimate"] = times, y, error
        fields["nfev"] = fields["npoints"] = evaluations
        fields["_later"] = field, solve
        return result

    def _own(self, fun: Any, args: tuple[Any, ...], plan: Plan, y0: Array) -> Sequence[Array]:
        """What members have for themselves."""
        if self._is_direct:
            return [self._xp.reshape(args[k], (-1,)) for k in self._origin.differing]
        return self._origin.own(self._problem(fun, args, plan, y0))

    def _agrees(self, fun: Any, args: tuple[Any, ...], plan: Plan, y: Array, ready: ReadyMembers) -> bool:
        """
        Whether the function has the values at the ends of members that machine code had.

        If that is not seen at once, or if more is to be compared at this solve, the answer is no: others look closer.
        """
        notes, key = self._members.notes, solves_of(self._batch)
        solves = notes.get(key, 0) + 1
        if ready.rates is None or solves % ANEW == 1:
            return False
        out = self._xp.empty(self._shape)
        try:
            self._returned.into(out, fun(plan.span[1], copy(y[:, 0, ...]), *args))
        except Exception:  # others raise it again, where it belongs
            return False
        if not alike(self._xp, ready.rates.T, self._xp.reshape(out, (self._n, -1)), plan.equal):
            return False
        notes[key] = solves
        return True

    def _go_on(
        self, ready: ReadyMembers, known: Any, plan: Plan, fun: Any, args: tuple[Any, ...], y0: Array, times: Array
    ) -> IvpResult | None:
        """The result by those who solve all batches, from the marches that were made."""
        if not all_finite(y0):
            raise Unusual
        if ready.has_stiff:  # for other methods, too, not much is prepared here
            self._plans[plan.span, plan.rtol, plan.atol] = None
            return None
        first, rounds = ready.hand_over()
        problem = self._problem(fun, args, plan, y0)
        members = members_as(self._members, self._origin, problem)
        batch = AllMembers(problem, members, 0.0)
        try:
            found = batch.go_on(first, rounds, known)
        except GivenUpError:
            return None
        return result_of(problem, 0.0, times, partial(Evaluation, problem, None), members, batch, found)

    def _problem(self, fun: Any, args: tuple[Any, ...], plan: Plan, y0: Array) -> Problem:
        state = self._xp.permute_dims(copy(y0), (*range(1, y0.ndim), 0))
        return problem_of(fun, args, plan.span, state, plan.rtol, plan.atol)

    def _plan(self, span: tuple[float, float], rtol: float, atol: float) -> Plan | None:
        """What the solve has in common with others; None if it is to be solved as ever."""
        key = span, rtol, atol
        if key not in self._plans:
            while len(self._plans) >= KEPT:
                self._plans.popitem()
            limits = limits_of(rtol, looser_of(rtol), LEAST_RELATIVE)
            equal = share_of(rtol, self._xp.zeros(0))
            self._plans[key] = Plan(span, rtol, atol, habits(rtol), longest_of(span), limits, equal)
        return self._plans[key]

    def _ready(self) -> ReadyMembers:
        from ..._recorded.native.ready_members import ReadyMembers  # noqa: PLC0415 - slow to import

        return ReadyMembers(self._solver, self._count)


def ends_of_members(
    problem: Problem, members: Members, origin: Origin, y0: Array
) -> EndsOfMembers | None:  # fmt: skip
    """What repeats solves of a batch; None if more is to be looked after than the ends of members."""
    from ..._recorded.native.ready_members import form_of_ends, may_be_ready  # noqa: PLC0415 - slow to import

    count = prod(problem.batch)
    form = form_of_ends(members.shared, count)
    if count > members.together[0] or members.switches is not None:
        return None
    if members.is_single or AllMembers(problem, members, 0.0).has_switches:
        return None
    solver = members.solvers()[0](form)
    if not may_be_ready(solver, count):
        return None
    return EndsOfMembers(replace(members, own=()), origin, solver, y0, problem.args)
