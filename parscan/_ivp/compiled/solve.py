"""Solves by machine code of the right-hand side, and their results."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import isnan
from typing import Any

from ..._arrays.counts import counted
from ..._arrays.namespace import Array
from ..._recorded.budget import NoCodeError
from ..._reporting.progress import Report
from ..coarse.steps import Steps
from ..core.evaluation import Evaluation
from ..core.mesh import among
from ..core.polynomial import PiecewisePolynomial
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
from .accuracy import FAR, LeftError, Solved, solved
from .ensemble import solve_batch
from .march import Course, March, Output
from .path import Path
from .recorded import UNLIKE, record_right_hand_side


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
) -> IvpResult:
    """
    Solve by machine code.

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
    dense = _rounded(path.polynomial, dtype) if march.output.is_dense else None
    seen = None if events is None else _seen(events, found, path, problem)
    if dense is not None and seen is not None and seen.t_stop is not None:
        dense = dense.restrict(seen.t_stop)
    nodes, states = (path.t, xp.astype(path.y, dtype, copy=False)) if dense is None else (dense.t, dense.y)
    t = nodes if times is None else within(times, nodes)
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
        _done(found),
        failure=course.chatter,
        failed_at=course.t,
        seen=seen,
        sol=DenseOutput(dense) if dense_output and dense is not None else None,
        nfev=found.evaluations,
        npoints=found.evaluations,
        error_estimate=found.error,
        compiled=True,
        _polynomial=dense if dense is not None else partial(_between, march, found),
        _solution=Derivatives(lambda: retrace(evaluation.with_breaks(march.breaks), Steps(nodes, states)), scale),
    )


def _between(march: March, before: Solved) -> PiecewisePolynomial:
    """The same steps with polynomials between their ends, up to the end of a march that was given up."""
    again = March(march.problem, march.recorded, Output(is_dense=True), march.first_step, None)
    found = again.run(before.share, before.course.t if before.course.chatter else None)
    again.end()
    return _rounded(found.path.polynomial, march.problem.y0.dtype)


def _rounded(polynomial: PiecewisePolynomial, dtype: Any) -> PiecewisePolynomial:
    """A polynomial in some precision."""
    xp = polynomial.xp
    if polynomial.y.dtype == dtype:
        return polynomial
    return replace(polynomial, y=xp.astype(polynomial.y, dtype), stages=xp.astype(polynomial.stages, dtype))


def _seen(events: tuple[Event, ...], found: Solved, path: Path, problem: Problem) -> Occurrences:
    """The events on the solution."""
    if found.watch is not None:
        return found.watch.occurrences(path.t, path.y)
    if not events:
        return Occurrences([], [], None)
    return find(events, problem.args, path.polynomial)


def _done(found: Solved) -> str:
    """The methods, their steps, and the error."""
    course, done = found.course, ""
    for place, (method, begin) in enumerate(course.used):
        if not place:
            done = method
        elif method != course.used[place - 1][0]:
            done += f", from t = {begin!r} on {method}, because the problem is stiff"
    steps = counted(course.path.steps, "step")
    error = "" if isnan(found.error) else f" The estimated error at the end is {found.error:.2g} tolerances"
    far = (
        ", although tighter ones were tried: either small changes grow along the solution, as in chaos, or `fun` jumps "
        "at times that `jumps` should name"
        if found.error > FAR
        else ""
    )
    return f"By machine code of `fun`: {done}; {steps}.{error}{far}{error and '.'}"
