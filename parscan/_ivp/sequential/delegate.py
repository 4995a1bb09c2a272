"""Solves by SciPy's sequential solvers; where one does not reach the end, another one continues."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import ceil, inf
from typing import Any

import numpy as np

from ..._arrays.namespace import Array, quiet
from ..._engine.termination import Failure, Termination
from ..._functions.right_hand_side import RightHandSide
from ..._reporting.progress import Report
from ..coarse.dop853 import interpolated
from ..coarse.rodas3 import by_stepping
from ..core.choice import Choice
from ..core.evaluation import Evaluation
from ..core.failures import NOT_FINITE, TOO_SMALL
from ..core.pace import OF_JUMPS, jumps_within
from ..core.problem import Problem
from ..core.scale import Scale
from ..core.stretches import Stretch, stretches
from ..core.watched import reached_by
from ..methods.defect import SAMPLES, overlooked
from ..output.events import Watch
from ..output.monitor import Event
from ..result.report import build_result
from ..result.result import IvpResult
from ..sensitivities.derivatives import Derivatives
from .checked import CALLS, ENDED, TIMES, WANTED, Checked, add_counts, checked
from .course import Course
from .growth import may_grow
from .on_mesh import retrace
from .pieces import Converted, rounded
from .pulses import MOST, with_stops
from .scipy_solvers import class_of, make, name_of

LAST = 32
"""Number of nodes before a failure between which jumps are searched."""

FEWER = 100
"""Samples of `fun` between all steps, where it takes one time only."""

PASSED_OVER = Failure(Termination.INACCURATE, "the steps passed over a pulse of `fun`")

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
    stopping, looked = problem, 0
    if choice.is_checked and choice.method == "LSODA" and course.ending in ENDED:  # its steps are the longest
        stopping, looked = with_stops(problem, course, rhs.sequential())
    if stopping is not problem:
        before, (course, within) = course, solve(stopping, choice, report, TIMES * course.nfev + CALLS * MOST)
        add_counts(course, before)
    found = Checked(course, choice)
    if choice.is_checked and not (choice.is_sampled and not _may_grow(course, problem, rhs)):
        found = checked(
            found,
            problem,
            lambda other, most: solve(stopping, other, most_calls=most)[0],
            is_kept=choice.is_sampled,
        )
    course, failure = found.course, found.failure
    course.nfev += looked
    if course.failure is not None:
        failure = _failure(course, course.failure, problem, within)
    elif choice.is_sampled and not failure:
        failure = _of_few_steps(found, problem, evaluation)
    scale = Scale(problem.rtols, problem.atol)
    derivatives = Derivatives(lambda: retrace(evaluation, course.steps(problem.y0.dtype)), scale)
    return _result(found, failure, problem, derivatives, are_listed=events is not None)


def _of_few_steps(found: Checked, problem: Problem, evaluation: Evaluation) -> Failure | None:
    """Why few steps did not suffice, so that a mesh is taken."""
    if found.error > WANTED:
        return found.inaccuracy
    return PASSED_OVER if _passed_over(found.course, problem, evaluation) else None


def _may_grow(course: Course, problem: Problem, rhs: RightHandSide) -> bool:
    """Whether errors of the few steps may grow; a solve that ended early has none."""
    return course.ending in ENDED and may_grow(problem, course, rhs.sequential())


def _passed_over(course: Course, problem: Problem, evaluation: Evaluation) -> bool:
    """Whether steps of DOP853 passed over a pulse of `fun`: the defect of its polynomials shows that."""
    rhs, steps = evaluation.right_hand_side(), course.steps(problem.y0.dtype)
    scale, samples = Scale(problem.rtols, problem.atol), SAMPLES if evaluation.stacks else FEWER
    trial = interpolated(rhs, steps, scale)
    found = overlooked(rhs, trial.tableau.evenly(ceil(samples / trial.intervals)), trial, scale)
    return not float(np.max(found)) <= 1


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
    if course.ending not in (Termination.TOO_SMALL, Termination.FAILED):
        return failure
    last = list(zip(course.nodes[-LAST:], course.states[-LAST:], strict=True))
    with quiet():
        jumps = any(jumps_within(rhs.sequential(), last, problem.rtols, problem.atol))
    if jumps:
        return replace(failure, words=f"{failure}, and `fun` jumps there: {OF_JUMPS}")
    if course.ending is Termination.TOO_SMALL:  # values ahead may not be finite
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
        done += f", from t = {begin!r} on by " if place else "By SciPy's "
        done += name_of(choice.method) + (f", because {choice.because}" if choice.because else "")
        done += f", with {choice.share:g} of the tolerances" if choice.share < 1 else ""
    return f"{done}."
