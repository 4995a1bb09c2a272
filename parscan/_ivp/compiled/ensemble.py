"""Batches by machine code of one member: every member with steps of its own, in lanes of vectors and in threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any

from ..._arrays.counts import counted
from ..._arrays.namespace import Array, all_finite, copy, random_moves
from ..._engine.termination import Failure, Termination
from ..._functions.evaluators import ONE_BY_ONE
from ..._functions.verify import agree, alike, share_of
from ..._recorded.budget import NoCodeError
from ..._reporting.progress import Report
from ..coarse.steps import Steps
from ..core.evaluation import Evaluation
from ..core.mesh import among
from ..core.near_start import SPREAD
from ..core.problem import Problem
from ..core.scale import Scale
from ..result.report import build_result
from ..result.result import IvpResult
from ..sensitivities.derivatives import Derivatives
from ..sensitivities.slide import Slide
from ..sensitivities.trajectory import Trajectory
from ..sequential.ensemble import solve_ensemble
from ..sequential.on_mesh import retrace
from .accuracy import ANEW, FAR, LeftError
from .alike import FEW
from .all_members import AllMembers
from .alone import GivenUpError, Singles, places
from .corners import LEFT_OUT
from .found import Found
from .in_double import again_in_double
from .members import MAKERS, Members, record_members
from .parts import from_parts
from .recorded import UNLIKE
from .variational_members import VariationalMembers

NUMBERS = 1 << 20
"""Numbers in all states that are compared with the function, if they are at least two states of the batch."""

SHORTER = 0.5
"""Share of the span up to where a member was given up within which others may be given up earlier."""

SOME, FEWER = 400, 50
"""Largest number of members that are compared at the end, and of those at solves that repeat others, which are other
ones each time: the machine code of all is the same."""


def members_of(problem: Problem) -> Members:
    """The members of a batch; raises `NoCodeError` if they cannot be recorded, or depend on each other."""
    return record_members(problem, partial(agrees_at_start, problem))


def solve_batch(
    problem: Problem,
    first_step: float,
    times: Array | None,
    evaluate: Callable[[], Evaluation],
    report: Report | None,
    members: Members,
    given_up: GivenUpError | None = None,
    meanwhile: Callable[[], object] | None = None,
) -> IvpResult:
    """
    Solve a batch by machine code of its members, up to a time at which one of them was `given_up`.

    `evaluate` gives what evaluates its function, if it is asked for steps later. `meanwhile` is called while
    members march: if it raises an exception, there is no result.

    Raises
    ------
    NoCodeError
        If the function cannot be compiled; `LeftError` if the usual methods must solve the problem.
    """
    batch = AllMembers(problem, members, first_step, meanwhile)
    begin, end = problem.span
    length = abs(end - begin)
    try:
        t = batch.pilot() if times is None else times
        found = batch.solved(t, lambda share: report and report(length * share, method="DOP853", window=0))
        if members.is_single:
            again_in_double(problem, members, first_step, found, t)
    except GivenUpError as early:
        if early.t == begin or (given_up is not None and abs(early.t - begin) > SHORTER * length):
            raise
        span = begin, early.t
        kept = times if times is None else times[(times >= min(span)) & (times <= max(span))]
        return solve_batch(replace(problem, span=span), first_step, kept, evaluate, report, members, early)
    return result_of(problem, first_step, t, evaluate, members, batch, found, given_up)


def result_of(
    problem: Problem, first_step: float, t: Array, evaluate: Callable[[], Evaluation], members: Members,
    batch: AllMembers, found: Found, given_up: GivenUpError | None = None,
) -> IvpResult:  # fmt: skip
    """
    The result of a batch that was solved, with values at some times.

    It raises `NoCodeError` if the function contradicts it.
    """
    xp, (begin, end), dtype = problem.xp, problem.span, problem.y0.dtype
    values = xp.astype(from_parts(found.values, problem.y0), dtype, copy=False)
    values = xp.reshape(values, (*problem.batch, *values.shape[1:]))
    last = xp.reshape(xp.astype(from_parts(found.y, problem.y0), dtype, copy=False), problem.y0.shape)
    inner = (t > min(begin, end)) & (t < max(begin, end))
    nodes = xp.concat([xp.asarray([begin]), t[inner], xp.asarray([end])])

    def states() -> Array:
        """States at the nodes."""
        return xp.concat([problem.y0[None, ...], xp.moveaxis(values[..., inner, :], -2, 0), last[None, ...]])

    def state(k: int) -> Array:
        """The state at one of them."""
        ends = {0: problem.y0, nodes.shape[0] - 1: last}
        return ends[k] if k in ends else values[..., int(xp.nonzero(inner)[0][k - 1]), :]

    if (pole := batch.pole(found)) is not None:
        raise LeftError(f"left the solution of a member at t = {pole!r}: it has a pole there")
    if _is_unlike(problem, members, found, nodes, state):
        raise NoCodeError(UNLIKE)
    slide = _slide(problem, found.slid, are_all=found.alone == prod(problem.batch))
    failure = given_up.failure if given_up is not None else _failure(problem, found) if found.bad else None
    method, error = int(found.methods.max()), float(found.errors.max())
    return build_result(
        list(MAKERS)[method],
        t,
        xp.permute_dims(values, (values.ndim - 1, values.ndim - 2, *range(values.ndim - 2))),
        nodes,
        done(found, method, error, slide) + ("" if batch.are_all_places else LEFT_OUT),
        failure=failure,
        failed_at=end,
        nfev=found.evaluations,
        npoints=found.evaluations,
        error_estimate=error,
        is_alone=True,
        compiled=True,
        **kept_for_later(problem, first_step, members, found.shares, found.methods, evaluate, nodes, states, slide),
    )


def kept_for_later(
    problem: Problem, first_step: float, members: Members, shares: Array | None, methods: Array,
    evaluate: Callable[[], Evaluation], nodes: Array, states: Callable[[], Array], slide: Slide | None = None,
    snapshot: Sequence[Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """
    Fields of a result for its derivatives, and for a continuous solution with `states` at some `nodes`.

    `snapshot` is that of arguments at the time of the solve, if it is over.
    """
    usual = problem.usual
    look = partial(_slide_of_any, problem, members, first_step)
    follow = partial(_trajectory, usual, evaluate, nodes, states, look)
    variational = None
    if usual is problem:
        assert shares is not None
        agrees = partial(agrees_at_start, problem)
        variational = VariationalMembers(problem, members, shares, methods, agrees, snapshot)
    scale = Scale(usual.rtols, usual.atol)
    return {
        "_polynomial": lambda: follow().solution,
        "_solution": Derivatives(follow, scale, variational=variational, slides=slide),
    }


def _slide(problem: Problem, slid: dict[int, float], *, are_all: bool) -> Slide | None:
    """The slide of some members, of which others may be unknown, unless they `are_all`."""
    if not slid:
        return None
    way = 1.0 if problem.span[1] > problem.span[0] else -1.0
    whose = f"the solution of {places(sorted(slid), problem.batch)}" + ("" if are_all else " (and perhaps of others)")
    return Slide(min(slid.values(), key=lambda t: way * t), whose)


def _slide_of_any(problem: Problem, members: Members, first_step: float) -> Slide | None:
    """The slide of the members that slide, each of which is solved alone."""
    alone = Singles(problem, members, first_step, problem.xp.zeros(0), 0)
    alone.look(prod(problem.batch))
    return _slide(problem, alone.slid, are_all=True)


def _trajectory(
    problem: Problem,
    evaluate: Callable[[], Evaluation],
    nodes: Array,
    states: Callable[[], Array],
    look: Callable[[], Slide | None],
) -> Trajectory:
    """
    The solution with steps that all members take together; if there are none, by another method from the nodes.

    It raises `RuntimeError` if members slide: that method would take steps as short as their tolerances.
    """
    if (slide := look()) is not None:
        slide.reject()
    evaluation = evaluate()
    usual = solve_ensemble(problem, evaluation.right_hand_side, None, dense_output=False)
    if usual is None or usual._solution is None:
        return retrace(evaluation, Steps(problem.xp.asarray(nodes), problem.xp.asarray(states())))
    return usual._solved("tangent")._find()


def agrees_at_start(problem: Problem, members: Members) -> bool:
    """Whether the recorded operations give the values of the function at the begin, and at states close by."""
    xp, (begin, end) = problem.xp, problem.span
    alone, y0 = problem.right_hand_side(ONE_BY_ONE), problem.y0
    every = xp.arange(prod(problem.batch))
    t, states = xp.asarray([begin], dtype=xp.float64), y0[None, ...]
    agrees = _agrees(problem, members, t, states, alone(t, states), every)
    t, states = t + SPREAD**2 * (end - begin), states + SPREAD * random_moves(y0.shape, y0, seed=1) * (y0 + (y0 == 0))
    try:
        expected = alone(t, states)
    except Exception:  # a function may reject states beside its trajectory
        return agrees
    return agrees and _agrees(problem, members, t, states, expected, every)


def _agrees(problem: Problem, members: Members, t: Array, states: Array, expected: Array, some: Array) -> bool:
    """Whether the recorded operations give the expected values, shape `(m, *batch, n)`, of some members."""
    xp, shape = problem.xp, (-1, prod(problem.batch), problem.y0.shape[-1])
    alone = problem.right_hand_side(ONE_BY_ONE)

    def evaluate(t: Array, own: Array) -> Array:
        whole = xp.asarray(xp.broadcast_to(problem.y0, (t.shape[0], *problem.y0.shape)), copy=True)
        xp.reshape(whole, shape)[:, some, :] = own
        return xp.take(xp.reshape(alone(t, whole), shape), some, axis=1)

    own, wanted = (xp.take(xp.reshape(one, shape), some, axis=1) for one in (states, expected))
    return agree(members.slopes(t, own, some), wanted, share_of(problem.rtol, problem.y0), t, own, evaluate)


def sample(problem: Problem, count: int) -> list[int]:
    """Numbers of the states that are compared with the function: the first, the last, and some between."""
    few = min(FEW, max(2, NUMBERS // prod(problem.y0.shape)), count)
    return [k * (count - 1) // max(1, few - 1) for k in range(few)]


def _is_unlike(
    problem: Problem, members: Members, found: Found, nodes: Array, state: Callable[[int], Array]
) -> bool:  # fmt: skip
    """
    Whether the function has other values than its recorded operations at some of the nodes.

    All of a sample are compared at the first solve of a function, and at one of `ANEW`. At others, which repeat these,
    it is the end, and one of those between, which is another one at each solve.
    """
    xp, rows = problem.xp, sample(problem, nodes.shape[0])
    solves, few = members.notes.get(solves_of(problem.batch), 0) + 1, SOME
    members.notes[solves_of(problem.batch)] = solves
    if solves % ANEW != 1:
        (*_, last), few = rows, FEWER
        rows = rows[1:-1][solves % max(1, len(rows) - 2) :][:1]
        if not _has_rates(problem, found):
            rows.append(last)
        elif _contradicts_at_end(problem, found, float(nodes[last]), state(last)):
            return True
    return bool(rows) and contradicts(
        problem, members, nodes[xp.asarray(rows)], xp.stack(list(map(state, rows))), some_members(problem, few, solves)
    )  # fmt: skip


def _has_rates(problem: Problem, found: Found) -> bool:
    """Whether machine code tells its values at the ends of members, where `fun` has but one value."""
    return found.rates is not None and problem.breaks is None and problem.y0.dtype == problem.xp.float64


def _contradicts_at_end(problem: Problem, found: Found, t: float, state: Array) -> bool:
    """Whether the function has other values at the ends of members than those that machine code had."""
    assert found.rates is not None
    xp, shape, some = problem.xp, (problem.y0.shape[-1], -1), found.of_rates
    rhs, y = problem.right_hand_side(ONE_BY_ONE), xp.permute_dims(state, (state.ndim - 1, *range(state.ndim - 1)))
    try:
        expected = xp.reshape(rhs.at(t, copy(y)), shape)
    except Exception:  # the usual way of solving will raise it
        return True
    rates, own, wanted = found.rates.T, xp.reshape(y, shape), expected
    if rates.shape != wanted.shape:
        if not all_finite(wanted):
            return True
        own, wanted = (xp.take(one, some, axis=1) for one in (own, wanted))
    share = share_of(problem.rtol, problem.y0)
    if alike(xp, rates, wanted, share):  # values that are not finite are alike with none
        return False
    if not all_finite(wanted):
        return True

    def evaluate(t: Array, states: Array) -> Array:
        given = xp.reshape(copy(y), shape)
        given[:, some] = states[0, ...].T
        return xp.take(xp.reshape(rhs.at(float(t[0]), xp.reshape(given, y.shape)), shape), some, axis=1).T[None, ...]

    return not agree(rates.T[None, ...], wanted.T[None, ...], share, xp.asarray([t]), own.T[None, ...], evaluate)


def some_members(problem: Problem, most: int = SOME, first: int = 0) -> Array:
    """Numbers of some members, spread over all."""
    count = prod(problem.batch)
    few = min(count, most)
    return (first + problem.xp.arange(few) * count // few) % count


def solves_of(batch: tuple[int, ...]) -> Any:
    """Name of what is noted of solves of batches of this shape."""
    return "solves", batch


def contradicts(problem: Problem, members: Members, t: Array, states: Array, some: Array) -> bool:
    """Whether the function has other values than its recorded operations at states of some members of the solution."""
    if problem.breaks is not None:  # where it has two values
        smooth = ~among(t, problem.breaks)
        t, states = t[smooth], states[smooth, ...]
    try:
        expected = problem.right_hand_side(ONE_BY_ONE)(t, states)
    except Exception:  # the usual way of solving will raise it
        return True
    return not (all_finite(expected) and _agrees(problem, members, t, states, expected, some))


def _failure(problem: Problem, found: Found) -> Failure:
    """Why a batch is no success, some members of which are not."""
    error = float(problem.xp.max(found.errors[problem.xp.asarray(found.bad)]))
    of = places(found.bad, problem.batch)
    return Failure(Termination.INACCURATE, f"the estimated error of {of} is up to {error:.2g} tolerances")


def done(found: Found, method: int, error: float, slide: Slide | None) -> str:
    """The methods, of which the last one is given, the steps, the largest error, and which members slide."""
    steps = f"{int(found.steps.sum()) / found.steps.shape[0]:.0f} of its own for every member, on average"
    stiff = int((found.methods > 0).sum()) if method else 0
    others = f", and Rodas5P for {counted(stiff, 'stiff member')}" if stiff else ""
    others += f", {counted(found.alone, 'member')} alone" if found.alone else ""
    others += f", {counted(found.doubles, 'member')} again in double precision" if found.doubles else ""
    far = ""
    if error > FAR:
        number = counted(int((found.errors > FAR).sum()), "member")
        far = (
            f", and more than {FAR:.0f} for {number}, although tighter ones were tried: either small changes grow along"
            " the solution, as in chaos, or `fun` jumps at times that `jumps` should name"
        )
    return (
        f"By machine code of `fun` for one member: DOP853{others}; steps: {steps}. The largest estimated error at the "
        f"end is {error:.2g} tolerances{far}.{'' if slide is None else slide.told}"
    )
