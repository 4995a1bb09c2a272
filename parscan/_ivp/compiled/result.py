"""The result of a compiled solve."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..._arrays.namespace import Array
from ..._engine.termination import Failure, Termination
from ..coarse.steps import Steps
from ..core.evaluation import Evaluation
from ..core.mesh import among
from ..core.problem import Problem
from ..core.scale import Scale
from ..output.dense_output import DenseOutput
from ..output.events import Occurrences, find
from ..output.monitor import Event
from ..result.report import build_result, within
from ..result.result import IvpResult
from ..sensitivities.derivatives import Derivatives
from ..sensitivities.slide import Slide
from .accuracy import Solved
from .march import Course, March
from .marched import traced
from .outcome import against, along, between, cause, errors, rounded, told
from .path import Path
from .solvers import METHODS, NONSTIFF, parts_of
from .variational import Variational
from .watched import UNSEEN, Watched


def checked(course: Course, march: March) -> tuple[Array, ...]:
    """
    Times, states and slopes that are compared with the function; not at breakpoints, where it has two values.

    Where all steps end at breakpoints, as those of fine tables may, the function is compared in their middles. On a
    switch, slopes of the solution are none of the function: the recorded operations are evaluated there.
    """
    columns, breaks = course.ends, march.breaks
    if course.slid:
        columns = *columns[:2], march.recorded.slopes(*columns[:2])
    if breaks is None or not breaks.shape[0]:
        return columns
    some = ~among(columns[0], breaks)
    if bool(some.any()):
        return tuple(column[some, ...] for column in columns)
    xp, (t, y) = march.problem.xp, columns[:2]
    middles = (xp.concat([xp.asarray(march.problem.span[:1], dtype=t.dtype), t[:-1]]) + t) / 2
    return middles, y, march.recorded.slopes(middles, y)


def is_unseen(events: Watched, problem: Problem, course: Course) -> bool:
    """Whether machine code could not tell what occurs, or the functions have other values than it found."""
    seen = course.occurrences
    if course.failed or seen is None:
        return course.failed == UNSEEN
    return not events.agrees(problem, seen, *course.ends[:2])


def result_of(
    march: March,
    evaluation: Callable[[], Evaluation],
    found: Solved,
    path: Path,
    times: Array | None,
    events: tuple[Event, ...] | None,
    *,
    dense_output: bool,
) -> IvpResult:
    """The result, in the precision of the problem."""
    problem, course, dtype = march.problem, found.course, march.problem.y0.dtype
    march.recorded = march.recorded.kept()  # the march is repeated where errors or polynomials are asked for
    xp, scale = problem.xp, Scale(problem.rtols, problem.atol)
    dense = rounded(course.polynomial, dtype) if march.output.is_dense else None
    seen = None if events is None else _seen(events, found, path, march)
    nodes, states = (path.t, xp.astype(path.y, dtype, copy=False)) if dense is None else (dense.t, dense.y)
    t, stop = nodes if times is None else within(times, nodes), course.t if course.chatter or course.is_cut else None
    used = METHODS.index(course.used[-1][0])
    is_stiff = used not in NONSTIFF
    if times is None:
        y = states
    elif dense is None:
        y = xp.astype(xp.concat(course.values), dtype, copy=False)
    else:
        y = dense.evaluate(t)
    steps = Steps(nodes, states)
    variational = Variational(
        problem, march.recorded, found.share, steps, is_stiff=is_stiff, parts=parts_of(used, problem.rtol)
    )
    return build_result(
        course.used[-1][0],
        t,
        xp.moveaxis(y, -1, 0),
        nodes,
        told(course.used, path.steps, found.end, found.worst, cause(found))
        + along(course.slid)
        + march.places.left_out,
        failure=course.chatter or (_failure(found) if found.is_bad else None),
        failed_at=float(nodes[-1]),
        seen=seen,
        sol=DenseOutput(dense) if dense_output and dense is not None else None,
        nfev=found.evaluations,
        npoints=found.evaluations,
        error_estimate=found.end,
        _errors=_errors(march, found, path, t, states if times is None else y, stop),
        compiled=True,
        _polynomial=dense if dense is not None else partial(between, march, found.share, stop),
        _solution=Derivatives(
            lambda: traced(
                evaluation().with_breaks(march.breaks),
                march,
                found.share,
                stop,
                steps,
                variational.stands,
                is_stiff=is_stiff,
            ),
            scale,
            variational=variational,
            slides=Slide(course.slid[0]) if course.slid else None,
        ),
    )


def _errors(
    march: March, found: Solved, path: Path, t: Array, states: Array, stop: float | None
) -> Array | Callable[[], Array] | None:  # fmt: skip
    """Estimated errors at the times `t` of the output, or a function that marches once more to tell them."""
    if found.other is None:
        return None
    if not march.output.is_between:
        return partial(errors, march, found.share, path, t, states, stop)
    if march.output.is_dense:
        return partial(against, march.problem, found.other, path, t, states)
    return found.between


def _failure(found: Solved) -> Failure:
    """Why a solution is no success."""
    return Failure(Termination.INACCURATE, f"the estimated error is {found.end:.2g} tolerances")


def _seen(events: tuple[Event, ...], found: Solved, path: Path, march: March) -> Occurrences:
    """The events on the solution."""
    problem, seen = march.problem, found.course.occurrences
    if march.watched is not None and seen is not None:
        return march.watched.occurrences(seen, found.course.stop, path.y)
    if found.watch is not None:
        return found.watch.occurrences(path.t, path.y)
    if not events:
        return Occurrences([], [], None)
    return find(events, problem.args, path.polynomial)
