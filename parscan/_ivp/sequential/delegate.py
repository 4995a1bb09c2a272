"""SciPy's sequential solvers, one after the other where one alone does not get to the end; and results as parscan's."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..._arrays.namespace import Array, quiet
from ..._engine.termination import Failure, Termination
from ..._functions.breaks import Stretch, stretches
from ..._functions.right_hand_side import RightHandSide
from ..._reporting.progress import Report
from ..coarse.rodas3 import by_stepping
from ..coarse.steps import Steps
from ..core.choice import Choice
from ..core.evaluation import Evaluation
from ..core.failures import NOT_FINITE, TOO_SMALL
from ..core.pace import OF_JUMPS, jumps_within
from ..core.problem import Problem
from ..core.scale import Scale
from ..core.watched import reached_by
from ..output.events import Watch
from ..output.monitor import Event
from ..result.report import build_result
from ..result.result import IvpResult
from ..sensitivities.derivatives import Derivatives
from .course import Course
from .on_mesh import retrace
from .pieces import Rounded
from .scipy_solvers import class_of, make, name_of

LAST = 32
"""Nodes before a failure between which jumps are looked for."""

MOST_STEPS = 2000
"""Steps after it within which values that are not finite are looked for."""


@dataclass
class Work:
    """What has been done: solvers and the times from which on they stepped, calls, and why the last one ended."""

    used: list[tuple[Choice, float]] = field(default_factory=list)
    nfev: int = 0
    njev: int = 0
    nlu: int = 0
    ending: Termination = Termination.FINISHED

    def add(self, choice: Choice, begin: float, solver: Any, ending: Termination) -> None:
        """A solver, after its last step."""
        self.used.append((choice, begin))
        self.nfev, self.njev, self.nlu = self.nfev + solver.nfev, self.njev + solver.njev, self.nlu + solver.nlu
        self.ending = ending


def delegate(
    choice: Choice,
    problem: Problem,
    options: dict[str, Any],
    times: Array | None,
    events: tuple[Event, ...] | None,
    evaluation: Evaluation,
    *,
    dense_output: bool,
    report: Report | None = None,
) -> IvpResult:
    """Solve by solvers of SciPy's, step after step, from one breakpoint to the next."""
    rhs = problem.right_hand_side()
    first = problem.y0.astype(np.result_type(problem.y0.dtype, np.float64))
    watch = Watch(events or (), problem.args)
    course, work = Course(problem.span, [problem.span[0]], [first], times, dense_output, watch), Work()
    for stretch in stretches(problem.span, problem.breaks):
        within = rhs if problem.breaks is None else rhs.within(stretch.low, stretch.high)
        _pass(stretch, choice, problem, within, options, course, work, report)
        if work.ending is not Termination.FINISHED:
            break
    failure = (
        None if work.ending in (Termination.FINISHED, Termination.EVENT) else _failure(course, work, problem, within)
    )
    derivatives = Derivatives(lambda: retrace(evaluation, _steps(course, problem)), Scale(problem.rtols, problem.atol))
    return _wrap(course, work, failure, problem, derivatives, are_listed=events is not None)


def _pass(
    stretch: Stretch,
    choice: Choice | None,
    problem: Problem,
    rhs: RightHandSide,
    options: dict[str, Any],
    course: Course,
    work: Work,
    report: Report | None,
) -> None:
    """One stretch, by the solver that was chosen and those that take over from it."""
    while choice is not None:
        begin = course.nodes[-1]
        given = _options(options, abs(stretch.end - begin), is_first=not work.used)
        part = Stretch(begin, stretch.end, stretch.low, stretch.high)
        solver, form = make(choice, problem, rhs, given, part, course.states[-1])
        course.reached = reached_by(name_of(choice.method), problem.span[0], report)
        work.add(choice, begin, solver, course.follow(solver, form))
        choice = choice.after(work.ending)


def _options(options: dict[str, Any], length: float, *, is_first: bool) -> dict[str, Any]:
    """Those for a stretch of that length; a first step is that of the whole solution."""
    if "first_step" not in options:
        return options
    others = {name: value for name, value in options.items() if name != "first_step"}
    return {**others, "first_step": min(options["first_step"], length)} if is_first else others


def _failure(course: Course, work: Work, problem: Problem, rhs: RightHandSide) -> Failure:
    """Why the solution ends early."""
    assert course.failure is not None
    failure = replace(course.failure, words=course.failure.words.rstrip("."))
    if work.ending not in (Termination.TOO_SMALL, Termination.FAILED):
        return failure
    last = list(zip(course.nodes[-LAST:], course.states[-LAST:], strict=True))
    with quiet():
        jumps = any(jumps_within(rhs.sequential(), last, problem.rtols, problem.atol))
    if jumps:
        return replace(failure, words=f"{failure}, and `fun` jumps there: {OF_JUMPS}")
    if work.ending is Termination.TOO_SMALL:  # are they steps into what is not finite?
        y = np.asarray(course.states[-1], dtype=problem.y0.dtype)
        left = by_stepping(rhs, (course.nodes[-1], problem.span[1]), y, 1e-3, problem.atol, most=MOST_STEPS)
        return NOT_FINITE if left.failure == NOT_FINITE else TOO_SMALL
    return failure


def _steps(course: Course, problem: Problem) -> Steps:
    """The steps that were taken."""
    return Steps(np.asarray(course.nodes), np.asarray(course.states, dtype=problem.y0.dtype))


def _continuous(course: Course, work: Work, dtype: Any) -> Any:
    """The polynomials together, as SciPy returns them, in the precision of the problem."""
    if not course.pieces:
        return None
    from scipy.integrate import BDF, LSODA, OdeSolution  # noqa: PLC0415 - slow to import

    multistep = any(issubclass(class_of(choice.method), (BDF, LSODA)) for choice, _ in work.used)
    is_single = dtype != course.states[0].dtype
    pieces = [Rounded(piece, dtype) for piece in course.pieces] if is_single else course.pieces
    return OdeSolution(course.nodes, pieces, alt_segment=multistep)


def _wrap(
    course: Course, work: Work, failure: Failure | None, problem: Problem, derivatives: Derivatives, *, are_listed: bool
) -> IvpResult:
    """The result, in the precision of the problem."""
    dtype, n = problem.y0.dtype, problem.y0.shape[-1]
    nodes = np.asarray(course.nodes, dtype=float)
    t = nodes if course.times is None else course.times[: course.given]
    y = _columns(course.states) if course.times is None else np.hstack([np.empty((n, 0)), *course.output])
    y = y.astype(dtype, copy=False)
    seen = course.watch.occurrences(nodes, y)
    return build_result(
        name_of(work.used[-1][0].method),
        t,
        y,
        nodes.copy(),
        _told(work),
        failure=failure,
        failed_at=course.nodes[-1],
        seen=seen if are_listed else None,
        sol=_continuous(course, work, dtype),
        nfev=work.nfev,
        njev=work.njev,
        nlu=work.nlu,
        npoints=work.nfev,
        _solution=derivatives,
    )


def _columns(states: list[Array]) -> Array:
    """States `(n,)` as columns."""
    return np.ascontiguousarray(np.concatenate(states).reshape(len(states), -1).T)


def _told(work: Work) -> str:
    """Who did it, and why."""
    told = ""
    for place, (choice, begin) in enumerate(work.used):
        if place and choice.method == work.used[place - 1][0].method:
            continue  # after a breakpoint
        told += f", from t = {begin!r} on by " if place else "By SciPy's "
        told += name_of(choice.method) + (f", because {choice.because}" if choice.because else "")
        told += f", with {choice.share:g} of the tolerances" if choice.share < 1 else ""
    return f"{told}."
