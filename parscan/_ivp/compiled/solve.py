"""Solves by machine code of the right-hand side, and their results."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..._arrays.namespace import Array
from ..._engine.termination import Failure, Termination
from ..._recorded.budget import NoCodeError
from ..._reporting.progress import Report
from ..coarse.steps import Steps
from ..core.evaluation import Evaluation
from ..core.mesh import among
from ..core.problem import Problem
from ..core.scale import Scale
from ..core.watched import reached_by
from ..output.dense_output import DenseOutput
from ..output.events import Occurrences, find
from ..output.monitor import Event
from ..result.report import build_result, within
from ..result.result import IvpResult
from ..sensitivities.derivatives import Derivatives
from ..sequential.on_mesh import retrace
from .accuracy import LeftError, Solved, solved
from .ensemble import solve_batch
from .march import Course, March, Output
from .outcome import against, between, cause, errors, rounded, told
from .path import Path
from .recorded import UNLIKE, record_right_hand_side
from .repeat import note


def solve_compiled(
    problem: Problem,
    first_step: float | None,
    times: Array | None,
    events: tuple[Event, ...] | None,
    evaluation: Evaluation,
    vectorized: bool | None,
    *,
    dense_output: bool,
    report: Report | None = None,
    is_demanded: bool = False,
) -> IvpResult:
    """
    Solve by machine code, which was demanded, or else has paid off.

    Raises
    ------
    NoCodeError
        If the function cannot be recorded or compiled; `LeftError` if the usual methods must solve the problem.
    """
    if problem.batch:
        if dense_output:
            raise NoCodeError(f"works on a batch of shape {problem.batch}, with `dense_output`")
        return solve_batch(problem, first_step or 0.0, times, evaluation, report)
    recorded = record_right_hand_side(problem)
    if obstacle := recorded.contradiction(evaluation, vectorized):
        raise NoCodeError(obstacle)
    is_read = dense_output or bool(events)
    output = Output(is_read, None if is_read else times)
    march = March(problem, recorded, output, first_step or 0.0, reached_by("DOP853", problem.span[0], report))
    found = solved(march, events or ())
    march.end()
    if found.course.failed and not found.course.chatter:
        raise LeftError(f"left the solution at t = {found.course.t!r}: {found.course.failed}")
    path = found.course.path
    if recorded.is_contradicted(problem, vectorized, *_checked(found.course, march)):
        raise NoCodeError(UNLIKE)
    if not (dense_output or events or first_step or report or vectorized or found.course.failed):
        note(march, found.course, is_demanded=is_demanded)
    return _result(march, evaluation, found, path, times, events, dense_output=dense_output)


def _checked(course: Course, march: March) -> tuple[Array, ...]:
    """Times, states and slopes that are compared with the function; not at breakpoints, where it has two values."""
    problem, breaks = march.problem, march.breaks
    rows = course.evaluated
    columns = rows[0] if len(rows) == 1 else tuple(map(problem.xp.concat, zip(*rows, strict=True)))
    if breaks is None or not breaks.shape[0]:
        return columns
    some = ~among(columns[0], breaks)
    return tuple(column[some, ...] for column in columns)


def _result(
    march: March,
    evaluation: Evaluation,
    found: Solved,
    path: Path,
    times: Array | None,
    events: tuple[Event, ...] | None,
    *,
    dense_output: bool,
) -> IvpResult:
    """The result, in the precision of the problem."""
    problem, course, dtype = march.problem, found.course, march.problem.y0.dtype
    xp, scale = problem.xp, Scale(problem.rtols, problem.atol)
    dense = rounded(path.polynomial, dtype) if march.output.is_dense else None
    seen = None if events is None else _seen(events, found, path, problem)
    if dense is not None and seen is not None and seen.t_stop is not None:
        dense = dense.restrict(seen.t_stop)
    nodes, states = (path.t, xp.astype(path.y, dtype, copy=False)) if dense is None else (dense.t, dense.y)
    t, stop = nodes if times is None else within(times, nodes), course.t if course.chatter else None
    if times is None:
        y = states
    elif dense is None:
        y = xp.astype(xp.concat(course.values), dtype, copy=False)
    else:
        y = dense.evaluate(t)
    return build_result(
        course.used[-1][0],
        t,
        xp.moveaxis(y, -1, 0),
        xp.asarray(nodes, copy=True),
        told(course.used, path.steps, found.end, found.worst, cause(found)) + march.places.left_out,
        failure=course.chatter or (_failure(found) if found.is_bad else None),
        failed_at=float(nodes[-1]),
        seen=seen,
        sol=DenseOutput(dense) if dense_output and dense is not None else None,
        nfev=found.evaluations,
        npoints=found.evaluations,
        error_estimate=found.end,
        _errors=_errors(march, found, path, t, states if times is None else y),
        compiled=True,
        _polynomial=dense if dense is not None else partial(between, march, found.share, stop),
        _solution=Derivatives(lambda: retrace(evaluation.with_breaks(march.breaks), Steps(nodes, states)), scale),
    )


def _errors(march: March, found: Solved, path: Path, t: Array, states: Array) -> Array | Callable[[], Array] | None:
    """Estimated errors at the times `t` of the output, or a function that marches once more to tell them."""
    if found.other is None:
        return None
    if not march.output.is_between:
        return partial(errors, march, found.share, path, t, states)
    if march.output.is_dense:
        return partial(against, march.problem, found.other, path, t, states)
    return found.between


def _failure(found: Solved) -> Failure:
    """Why a solution is no success."""
    return Failure(Termination.INACCURATE, f"the estimated error is {found.end:.2g} tolerances")


def _seen(events: tuple[Event, ...], found: Solved, path: Path, problem: Problem) -> Occurrences:
    """The events on the solution."""
    if found.watch is not None:
        return found.watch.occurrences(path.t, path.y)
    if not events:
        return Occurrences([], [], None)
    return find(events, problem.args, path.polynomial)
