"""Solves by machine code of the right-hand side, and their results."""

from __future__ import annotations

from contextlib import nullcontext

from ..._arrays.namespace import Array
from ..._recorded.budget import FREE, NoCodeError, paid_by
from ..._reporting.progress import Report
from ..core.evaluation import Evaluation
from ..core.problem import Problem
from ..core.watched import reached_by
from ..output.monitor import Event
from ..result.result import IvpResult
from .accuracy import LeftError, solved
from .ensemble import members_of, solve_batch
from .march import March, Output
from .on_device import has_threads, solve_on_device
from .poles import pole_on
from .recorded import UNLIKE, Recorded, record_right_hand_side
from .repeat import note
from .repeat_batch import note_batch
from .result import checked, is_unseen, result_of
from .solvers import EXPLICIT, METHODS, TAYLOR, begins_with, march_apart
from .watched import UNSEEN, watched


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
    first: int = EXPLICIT,
) -> IvpResult:
    """
    Solve by machine code, which was demanded, or else has paid off; `first` is the number of the method to begin with.

    Raises
    ------
    NoCodeError
        If the function cannot be recorded or compiled; `LeftError` if the usual methods must solve the problem.
    """
    if problem.batch:
        if first == TAYLOR:
            raise NoCodeError(f"works on a batch of shape {problem.batch}, for which there are no Taylor series")
        if dense_output:
            raise NoCodeError(f"works on a batch of shape {problem.batch}, with `dense_output`")
        if has_threads(problem):
            return solve_on_device(problem, first_step or 0.0, times, evaluation, report)
        members = members_of(problem)
        found = solve_batch(problem, first_step or 0.0, times, lambda: evaluation, report, members)
        if found.success and not (first_step or report or vectorized):
            note_batch(problem, members, is_demanded=is_demanded)
        return found
    recorded = record_right_hand_side(problem, opens=not events)
    obstacle = recorded.contradiction(evaluation, vectorized)
    if obstacle and recorded.captured:
        recorded = record_right_hand_side(problem)
        obstacle = recorded.contradiction(evaluation, vectorized)
    if obstacle:
        raise NoCodeError(obstacle)
    with paid_by(FREE) if recorded.captured else nullcontext():  # their records have paid for the code
        return _solve_recorded(
            problem, recorded, first_step, times, events, evaluation, vectorized, dense_output=dense_output,
            report=report, is_demanded=is_demanded, first=first,
        )  # fmt: skip


def _solve_recorded(
    problem: Problem, recorded: Recorded, first_step: float | None, times: Array | None,
    events: tuple[Event, ...] | None, evaluation: Evaluation, vectorized: bool | None, *, dense_output: bool,
    report: Report | None, is_demanded: bool, first: int,
) -> IvpResult:  # fmt: skip
    """Solve by machine code of recorded operations."""
    seen = watched(events, problem, recorded) if events else None
    is_chosen = first == EXPLICIT
    while True:
        is_read = dense_output or (bool(events) and seen is None)
        output, reached = (
            Output(is_read, None if is_read else times),
            reached_by(METHODS[first], problem.span[0], report),
        )
        if is_chosen:
            first = begins_with(recorded, problem.rtol, is_plain=not is_read and events is None)
        march = March(problem, recorded, output, first_step or 0.0, reached, watched=seen, first=first)
        try:
            found = solved(march, () if seen else events or ())
        except NoCodeError:
            if seen is None:
                raise
            seen = None
            continue
        march.end()
        is_lost = found.course.failed not in ("", UNSEEN) and not found.course.chatter
        if is_lost and recorded.leave_modes():
            continue
        if seen is None or not is_unseen(seen, problem, found.course):
            break
        seen = None  # signs alone do not tell what occurs, or recorded functions differ from those of the user
    if found.course.failed and not found.course.chatter:
        raise LeftError(f"left the solution at t = {found.course.t!r}: {found.course.failed}")
    path = found.course.path
    if (pole := pole_on(problem, recorded, march.breaks, path.t, path.y)) is not None:
        raise LeftError(f"left the solution at t = {pole!r}: it has a pole there")
    if recorded.is_contradicted(problem, vectorized, *checked(found.course, march)):
        if not march_apart(recorded):
            raise NoCodeError(UNLIKE)
        return _solve_recorded(
            problem, recorded, first_step, times, events, evaluation, vectorized, dense_output=dense_output,
            report=report, is_demanded=is_demanded, first=EXPLICIT if is_chosen else first,
        )  # fmt: skip
    if is_chosen and not (first_step or report or vectorized or found.course.failed or recorded.captured):
        note(march, found.course, is_demanded=is_demanded)
    return result_of(march, lambda: evaluation, found, path, times, events, dense_output=dense_output)
