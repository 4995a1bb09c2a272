"""From the pieces of a march to the result that a user reads."""

from __future__ import annotations

from ..._arrays.counts import counted
from ..._arrays.namespace import Array, array_namespace
from ..._engine.termination import Failure, Termination
from ..._functions.right_hand_side import RightHandSide
from ..._reporting.plot import Stretch
from ..core.polynomial import PiecewisePolynomial, joined
from ..core.problem import Problem
from ..core.scale import Scale
from ..core.sparsity import advice
from ..core.status import IvpStatus
from ..mesh.accuracy import is_coarse, largest_error, of_coarse_mesh
from ..mesh.march import Record
from ..mesh.window import Log, Task
from ..methods.discretisation import Discretisation
from ..output.dense_output import DenseOutput
from ..output.events import Occurrences, find
from ..output.monitor import Event
from ..sensitivities.derivatives import of_mesh
from .hints import of_jumps
from .result import IvpResult


def wrap(
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
    """Join the pieces, look for events, evaluate the output times."""
    method = task.method
    dense = joined(record.pieces) if record.pieces else None
    occurrences = find(events, problem.args, dense) if events and dense else Occurrences([], [], None)
    if dense is not None and occurrences.t_stop is not None:
        dense = dense.restrict(occurrences.t_stop)
    scale = Scale(problem.rtols, problem.atol)
    even = not (record.followed or occurrences.t_stop is not None or record.failure)
    status = _status(record, occurrences)
    estimate = largest_error(record, dense.intervals if dense else 0)
    hints = _of_jacobian(rhs) + _of_mesh(task, estimate) + of_jumps(task, record, problem.span)
    t, y = _output(problem, dense, times)
    return IvpResult(
        t=t,
        y=y,
        sol=DenseOutput(dense) if dense_output and dense else None,
        t_events=None if events is None else occurrences.t_events,
        y_events=None if events is None else occurrences.y_events,
        nfev=rhs.nfev,
        njev=rhs.njev,
        nlu=0,
        status=status,
        message=_message(status, record, method, problem) + hints,
        success=status >= 0,
        method=name,
        npoints=rhs.npoints,
        iterations=len(record.log.history),
        history=tuple(record.log.history),
        mesh=t if dense is None else dense.t,
        meshes=tuple(record.log.meshes),
        continuous=dense,
        error_estimate=estimate,
        fun=rhs,
        derivatives=None if dense is None else of_mesh(rhs, method, lambda: dense, scale, even=even),
        stretches=_stretches(record.log, name),
        chatters=record.chatters,
    )


def _stretches(log: Log, method: str) -> tuple[Stretch, ...]:
    """The iterations on each of the meshes."""
    return tuple(
        Stretch(method, counted(intervals, "interval"), window, iterations)
        for intervals, window, iterations in zip(log.meshes, log.windows, log.iterations, strict=True)
    )


def _output(problem: Problem, dense: PiecewisePolynomial | None, times: Array | None) -> tuple[Array, Array]:
    """Times and states as the user wants them, as far as the solution reaches."""
    xp = array_namespace(problem.y0)
    if dense is None:
        t = xp.asarray([problem.span[0]], dtype=xp.float64) if times is None else times[:0]
        return t, xp.moveaxis(xp.broadcast_to(problem.y0[None, ...], (t.shape[0], *problem.y0.shape)), -1, 0)
    if times is None:
        return dense.t, dense.nodes
    first, last = sorted((float(dense.t[0]), float(dense.t[-1])))
    reached = times[(times >= first) & (times <= last)]
    return reached, dense.components(reached)


def _status(record: Record, occurrences: Occurrences) -> IvpStatus:
    """How the integration ended."""
    if occurrences.t_stop is not None:
        return IvpStatus.EVENT
    return status_of(record.failure)


def status_of(failure: Failure | None) -> IvpStatus:
    """The status that a reason for an early end makes, or none."""
    if failure is not None:
        return IvpStatus.NOT_FINITE if failure.termination is Termination.NOT_FINITE else IvpStatus.FAILED
    return IvpStatus.FINISHED


def _message(status: IvpStatus, record: Record, method: Discretisation, problem: Problem) -> str:
    """The status, what ended it, and what was done."""
    reached = float(record.pieces[-1].t[-1]) if record.pieces else problem.span[0]
    at = reached if record.failed_at is None else record.failed_at
    trouble = f" At t = {at!r}: {record.failure}." if status < 0 else ""
    steps = " A sequential solver took the steps that Newton's method could not." if record.followed else ""
    done = [
        counted(len(record.log.history), "Newton iteration"),
        counted(len(record.log.meshes), "mesh", "es"),
        counted(record.windows, "window"),
    ]
    told = "{} on {} in {}".format(*done)
    zeros = "" if record.log.jacobian is None else advice(record.log.jacobian)
    return f"{status.text}{trouble} {method.description}: {told}.{steps}{zeros}"


def _of_jacobian(rhs: RightHandSide) -> str:
    """What to do about a Jacobian that is called one by one."""
    if rhs.jac_stacks or not (rhs.stacks and rhs.has_jacobian):
        return ""
    return (
        " `jac` works on one time only, and was called for one after the other: let it return lists of entries, such "
        "as [[0, 1], [-np.cos(y[0]), 0]]."
    )


def _of_mesh(task: Task, estimate: float) -> str:
    """What to do about a mesh that is too coarse."""
    return f" {of_coarse_mesh(task, estimate)}" if is_coarse(task, estimate) else ""
