"""Solves by SciPy's sequential solvers; where one does not reach the end, another one continues."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import inf
from typing import Any

import numpy as np

from ..._arrays.namespace import Array, quiet
from ..._engine.termination import Failure, Termination
from ..._functions.right_hand_side import RightHandSide
from ..._reporting.progress import Report
from ..coarse.rodas3 import by_stepping
from ..core.choice import Choice
from ..core.evaluation import Evaluation
from ..core.failures import NOT_FINITE, TOO_SMALL
from ..core.pace import OF_JUMPS, jumps_within
from ..core.problem import Problem
from ..core.scale import Scale
from ..core.stretches import Stretch, stretches
from ..core.watched import reached_by
from ..output.events import Watch
from ..output.monitor import Event
from ..result.report import build_result
from ..result.result import IvpResult
from ..sensitivities.derivatives import Derivatives
from .checked import CALLS, ENDED, TIMES, WANTED, Checked, checked
from .course import Course
from .growth import may_grow
from .on_mesh import retrace
from .pieces import Converted, rounded
from .pulses import PASSED_OVER, Look
from .scipy_solvers import class_of, is_own, make, name_of
from .solved import UNSOLVED

LAST = 32
"""Number of nodes before a failure between which jumps are searched."""

MOST_STEPS = 2000
"""Number of steps after a failure in which values that are not finite are searched."""


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
    """Solve by SciPy's solvers, restarted at each breakpoint."""
    rhs = problem.right_hand_side()

    def solve(
        problem: Problem, choice: Choice, report: Report | None = None, most_calls: float = inf
    ) -> tuple[Course, RightHandSide]:
        return _course(choice, problem, rhs, options, times, events, report, most_calls, is_dense=dense_output)

    course, within = solve(problem, choice, report)
    look = Look(problem, evaluation, rhs.sequential())

    def seeing(course: Course, choice: Choice, report: Report | None, most: float) -> Course:
        """The same solve, or one that stops where it passed over pulses."""
        if course.ending not in ENDED or choice.is_sampled:
            return course
        return look.stopping(course, lambda stopping, stops: solve(stopping, choice, report, most + CALLS * stops)[0])

    course = seeing(course, choice, report, TIMES * course.nfev if choice.is_checked else inf)
    found = Checked(course, choice)
    if choice.is_checked and not (choice.is_sampled and not _may_grow(course, problem, rhs)):
        found = checked(
            found,
            problem,
            lambda other, most: seeing(solve(look.problem, other, most_calls=most)[0], other, None, most),
            is_kept=choice.is_sampled,
        )
    course, failure = found.course, found.failure
    if course.failure is not None:
        failure = _failure(course, course.failure, problem, within)
    elif choice.is_sampled and not failure:
        failure = _of_few_steps(found, look)
    elif not failure:
        failure = look.failure
    course.nfev += look.calls
    scale = Scale(problem.rtols, problem.atol)
    derivatives = Derivatives(lambda: retrace(evaluation, course.steps(problem.y0.dtype)), scale)
    return _result(found, failure, problem, derivatives, are_listed=events is not None)


def _of_few_steps(found: Checked, look: Look) -> Failure | None:
    """Why few steps did not suffice, so that a mesh is taken."""
    if found.error > WANTED:
        return found.inaccuracy
    return PASSED_OVER if look.places(found.course).size else None


def _may_grow(course: Course, problem: Problem, rhs: RightHandSide) -> bool:
    """Whether errors of the few steps may grow; a solve that ended early has none."""
    return course.ending in ENDED and may_grow(problem, course, rhs.sequential())


def _course(
    choice: Choice, problem: Problem, rhs: RightHandSide, options: dict[str, Any], times: Array | None,
    events: tuple[Event, ...] | None, report: Report | None, most_calls: float, *, is_dense: bool,
) -> tuple[Course, RightHandSide]:  # fmt: skip
    """One solve, over all stretches; and the right-hand side in the last one."""
    first = problem.y0.astype(np.result_type(problem.y0.dtype, np.float64))
    watch = Watch(events or (), problem.args)
    course = Course(problem.span, [problem.span[0]], [first], times, is_dense, watch, most_calls=most_calls)
    for stretch in stretches(problem.span, problem.breaks):
        within = rhs if problem.breaks is None else rhs.within(stretch.low, stretch.high)
        _pass(stretch, choice, problem, within, options, course, report)
        if course.ending is not Termination.FINISHED:
            break
    return course, within


def _pass(
    stretch: Stretch,
    choice: Choice | None,
    problem: Problem,
    rhs: RightHandSide,
    options: dict[str, Any],
    course: Course,
    report: Report | None,
) -> None:
    """Solve one stretch by the chosen solver and by those that continue where it ends."""
    while choice is not None:
        begin = course.nodes[-1]
        given = _options(options, abs(stretch.end - begin), is_first=not course.used)
        part = Stretch(begin, stretch.end, stretch.low, stretch.high)
        solver, reading = make(choice, problem, rhs, given, part, course.states[-1])
        course.reached = reached_by(name_of(choice.method), problem.span[0], report)
        course.used.append((choice, begin))
        course.follow(solver, reading)
        choice = choice.after(course.ending)


def _options(options: dict[str, Any], length: float, *, is_first: bool) -> dict[str, Any]:
    """The options for a stretch of this length; `first_step` is only for the first step of the whole solution."""
    if "first_step" not in options:
        return options
    others = {name: value for name, value in options.items() if name != "first_step"}
    return {**others, "first_step": min(options["first_step"], length)} if is_first else others


def _failure(course: Course, failure: Failure, problem: Problem, rhs: RightHandSide) -> Failure:
    """Why the solution ends early: the failure of the solver, or its cause if that is a jump or a value not finite."""
    failure = replace(failure, words=failure.words.rstrip("."))
    if course.ending not in (Termination.TOO_SMALL, Termination.FAILED) or course.failure == UNSOLVED:
        return failure
    last = list(zip(course.nodes[-LAST:], course.states[-LAST:], strict=True))
    with quiet():
        jumps = any(jumps_within(rhs.sequential(), last, problem.rtols, problem.atol))
    if jumps:
        return replace(failure, words=f"{failure}, and `fun` jumps there: {OF_JUMPS}")
    if course.ending is Termination.TOO_SMALL and not is_own(course.used[-1][0]):  # values ahead may not be finite
        y = np.asarray(course.states[-1], dtype=problem.y0.dtype)
        left = by_stepping(rhs, (course.nodes[-1], problem.span[1]), y, 1e-3, problem.atol, most=MOST_STEPS)
        return NOT_FINITE if left.failure == NOT_FINITE else TOO_SMALL
    return failure


def _continuous(course: Course, dtype: Any) -> Any:
    """The continuous solution as SciPy returns it, in the precision of the problem."""
    if not course.pieces:
        return None
    from scipy.integrate import BDF, LSODA, OdeSolution  # noqa: PLC0415 - slow to import

    multistep = any(issubclass(class_of(choice.method), (BDF, LSODA)) for choice, _ in course.used)
    is_single = dtype != course.states[0].dtype
    pieces = [Converted(piece, partial(rounded, dtype)) for piece in course.pieces] if is_single else course.pieces
    return OdeSolution(course.nodes, pieces, alt_segment=multistep)


def _result(
    found: Checked, failure: Failure | None, problem: Problem, derivatives: Derivatives, *, are_listed: bool
) -> IvpResult:
    """The result, in the precision of the problem."""
    course = found.course
    dtype, n = problem.y0.dtype, problem.y0.shape[-1]
    nodes = np.asarray(course.nodes, dtype=float)
    t = nodes if course.times is None else course.times[: course.given]
    y = _columns(course.states) if course.times is None else np.hstack([np.empty((n, 0)), *course.output])
    y = y.astype(dtype, copy=False)
    seen = course.watch.occurrences(nodes, y)
    return build_result(
        name_of(course.used[-1][0].method),
        t,
        y,
        nodes,
        _done(course) + found.told,
        failure=failure,
        failed_at=course.nodes[-1],
        seen=seen if are_listed else None,
        sol=_continuous(course, dtype),
        nfev=course.nfev,
        njev=course.njev,
        nlu=course.nlu,
        npoints=course.nfev,
        error_estimate=found.error,
        _solution=derivatives,
    )


def _columns(states: list[Array]) -> Array:
    """States `(n,)` as columns."""
    return np.ascontiguousarray(np.concatenate(states).reshape(len(states), -1).T)


def _done(course: Course) -> str:
    """The solvers that were used, and the reasons."""
    done = ""
    for place, (choice, begin) in enumerate(course.used):
        if place and choice.method == course.used[place - 1][0].method:
            continue  # after a breakpoint
        done += f", from t = {begin!r} on by " if place else "By " if is_own(choice) else "By SciPy's "
        done += name_of(choice.method) + (f", because {choice.because}" if choice.because else "")
        done += f", with {choice.share:g} of the tolerances" if choice.share < 1 else ""
    return f"{done}."
