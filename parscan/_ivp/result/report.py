"""From the steps or pieces of a solver to the result that a user reads."""

from __future__ import annotations

from math import nan
from typing import Any

from ..._arrays.counts import counted
from ..._arrays.namespace import Array, copy
from ..._engine.termination import Failure, Termination
from ..._functions.right_hand_side import RightHandSide
from ..._reporting.plot import Stretch
from ..core.failures import ROUNDING, UNEXPLAINED
from ..core.polynomial import PiecewisePolynomial, joined
from ..core.problem import Problem
from ..core.scale import Scale
from ..mesh.accuracy import is_coarse, largest_error, last_error, of_coarse_mesh
from ..mesh.global_error import BAD, is_unexplained
from ..mesh.march import Record
from ..mesh.window import Log, Task
from ..methods.discretisation import Discretisation
from ..output.dense_output import DenseOutput
from ..output.events import Occurrences, Watch, find
from ..output.monitor import Event
from ..sensitivities.derivatives import of_mesh
from .hints import of_jumps, of_zeros
from .result import IvpResult, IvpStatus

STATUS = {
    Termination.FINISHED: IvpStatus.FINISHED,
    Termination.NOT_FINITE: IvpStatus.NOT_FINITE,
    Termination.INACCURATE: IvpStatus.INACCURATE,
}
"""The status for each termination; all others have `FAILED`."""


def build_result(
    method: str,
    t: Array,
    y: Array,
    mesh: Array,
    done: str,
    *,
    failure: Failure | None = None,
    failed_at: float = nan,
    seen: Occurrences | None = None,
    is_alone: bool = False,
    **fields: Any,
) -> IvpResult:
    """The result of any solver: its fields, and its end as data and in words.

    `done` is a sentence on the work. `seen` are the events, or None if the result has none. The user may write to the
    arrays: what the continuous solution, errors and derivatives are made of must not change with them, and is copied
    unless the arrays are `is_alone` the result's.
    """
    if not is_alone:
        t, y, mesh = copy(t), copy(y), copy(mesh)
    ending = Termination.FINISHED if failure is None else failure.termination
    stopped = seen is not None and seen.t_stop is not None and ending is not Termination.INACCURATE
    status = IvpStatus.EVENT if stopped else STATUS.get(ending, IvpStatus.FAILED)
    trouble = f" At t = {failed_at!r}: {failure}." if status < 0 else ""
    return IvpResult(
        t=t,
        y=y,
        t_events=None if seen is None else seen.t_events,
        y_events=None if seen is None else seen.y_events,
        status=status,
        termination=Termination.EVENT if stopped else ending,
        message=f"{status.text}{trouble} {done}",
        success=status >= 0,
        method=method,
        mesh=mesh,
        **fields,
    )


def mesh_result(
    problem: Problem,
    rhs: RightHandSide,
    task: Task,
    record: Record,
    times: Array | None,
    events: tuple[Event, ...] | None,
    name: str,
    *,
    dense_output: bool,
) -> IvpResult:
    """The result of a march over windows: its pieces joined, up to a terminal event, and the output."""
    dense = joined(record.pieces) if record.pieces else None
    seen = None if events is None else _seen(events, problem, dense)
    stop = None if seen is None else seen.t_stop
    dense = dense if dense is None or stop is None else dense.restrict(stop)
    scale = Scale(problem.rtols, problem.atol)
    even = not (record.followed or record.failure or stop is not None)
    estimate = largest_error(record, task, dense.intervals if dense else 0)
    failure = record.failure or _inaccuracy(record, task, dense)
    reached = float(record.pieces[-1].t[-1]) if record.pieces else problem.span[0]
    t, y = _output(problem, dense, times)
    return build_result(
        name,
        t,
        y,
        t if dense is None else dense.t,
        _done(record, task.method, compiled=task.rhs.code is not None)
        + _of_rounding(record, task, dense, failure)
        + record.remark
        + _hints(record, task, rhs, problem, estimate),
        failure=failure,
        failed_at=reached if record.failed_at is None else record.failed_at,
        seen=seen,
        sol=DenseOutput(dense) if dense_output and dense else None,
        nfev=rhs.counts.nfev,
        njev=rhs.counts.njev,
        npoints=rhs.counts.npoints,
        iterations=len(record.log.history),
        history=tuple(record.log.history),
        meshes=tuple(record.log.meshes),
        error_estimate=estimate,
        compiled=task.rhs.code is not None,
        _polynomial=dense,
        _solution=None
        if dense is None
        else of_mesh(rhs, task.method, lambda: dense, scale, even=even, given=task.fixed),
        _stretches=_stretches(record.log, name),
    )


def _inaccuracy(record: Record, task: Task, dense: PiecewisePolynomial | None) -> Failure | None:
    """Why a solution that has come to its end is no success; on a mesh that was given, errors are not controlled."""
    error, floor = last_error(record, dense.intervals if dense else 0)
    if task.fixed or not is_unexplained(error, floor if record.is_trusted else 0.0):
        return None
    return Failure(Termination.INACCURATE, f"the estimated error is {error:.2g} tolerances{UNEXPLAINED}")


def _of_rounding(record: Record, task: Task, dense: PiecewisePolynomial | None, failure: Failure | None) -> str:
    """What is said of a large error that is no failure."""
    error, _ = last_error(record, dense.intervals if dense else 0)
    if failure or task.fixed or not error > BAD:
        return ""
    return f" The estimated error at the end is {error:.2g} tolerances{ROUNDING}."


def _seen(events: tuple[Event, ...], problem: Problem, dense: PiecewisePolynomial | None) -> Occurrences:
    """The events on the solution; none where there is no solution."""
    if dense is None:
        return Watch(events, problem.args).occurrences(*_output(problem, None, None))
    return find(events, problem.args, dense)


def _stretches(log: Log, method: str) -> tuple[Stretch, ...]:
    """The iterations on each mesh, as a plot shows them."""
    return tuple(
        Stretch(method, counted(intervals, "interval"), window, iterations)
        for intervals, window, iterations in zip(log.meshes, log.windows, log.iterations, strict=True)
    )


def _output(problem: Problem, dense: PiecewisePolynomial | None, times: Array | None) -> tuple[Array, Array]:
    """Times and states of the output, as far as the solution reaches."""
    xp = problem.xp
    if dense is None:
        t = xp.asarray([problem.span[0]], dtype=xp.float64) if times is None else times[:0]
        return t, xp.moveaxis(xp.broadcast_to(problem.y0[None, ...], (t.shape[0], *problem.y0.shape)), -1, 0)
    if times is None:
        return dense.t, dense.nodes
    reached = within(times, dense.t)
    return reached, dense.components(reached)


def within(times: Array, mesh: Array) -> Array:
    """The times that a mesh reaches."""
    low, high = sorted((float(mesh[0]), float(mesh[-1])))
    return times[(times >= low) & (times <= high)]


def _done(record: Record, method: Discretisation, *, compiled: bool) -> str:
    """The method, and its numbers of iterations, meshes and windows."""
    steps = " A sequential solver took the steps that Newton's method could not." if record.followed else ""
    done = [
        counted(len(record.log.history), "Newton iteration"),
        counted(len(record.log.meshes), "mesh", "es"),
        counted(record.windows, "window"),
    ]
    counts = "{} on {} in {}".format(*done)
    zeros = "" if record.log.jacobian is None else of_zeros(record.log.jacobian)
    code = " `fun` ran as machine code." if compiled else ""
    return f"{method.description}: {counts}.{steps}{zeros}{code}"


def _hints(record: Record, task: Task, rhs: RightHandSide, problem: Problem, estimate: float) -> str:
    """Hints for the user at the end of the message."""
    return _of_jacobian(rhs) + _of_mesh(task, estimate) + of_jumps(task, record, problem.span)


def _of_jacobian(rhs: RightHandSide) -> str:
    """Hint for a Jacobian that is called for one time after the other."""
    if rhs.jac_evaluator.stacks or not (rhs.stacks and rhs.has_jacobian):
        return ""
    return (
        " `jac` works on one time only, and was called for one after the other: let it return lists of entries, such "
        "as [[0, 1], [-np.cos(y[0]), 0]]."
    )


def _of_mesh(task: Task, estimate: float) -> str:
    """Hint for a mesh that is too coarse."""
    return f" {of_coarse_mesh(task, estimate)}" if is_coarse(task, estimate) else ""
