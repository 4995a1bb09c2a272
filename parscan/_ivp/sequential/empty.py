"""Problems with nothing to solve: no time to pass, no component, or no member."""

from __future__ import annotations

from ..._arrays.namespace import Array, array_namespace
from ..._functions.right_hand_side import RightHandSide
from ..core.polynomial import PiecewisePolynomial
from ..core.problem import Problem
from ..core.status import IvpStatus
from ..core.tableaux import radau
from ..methods.collocation import Collocation
from ..output.dense_output import DenseOutput
from ..output.events import find
from ..output.monitor import Event
from ..result.result import IvpResult
from ..sensitivities.derivatives import Derivatives
from ..sensitivities.trajectory import Trajectory


def solve_empty(
    problem: Problem, times: Array | None, events: tuple[Event, ...] | None, *, dense_output: bool
) -> IvpResult:
    """The initial state at both ends, or at the times of the output."""
    xp = array_namespace(problem.y0)
    mesh = xp.asarray(problem.span, dtype=xp.float64)
    states = xp.broadcast_to(problem.y0[None, ...], (2, *problem.y0.shape))
    slopes = xp.zeros((1, 1, *problem.y0.shape), dtype=problem.y0.dtype)
    dense = PiecewisePolynomial(radau(1), mesh, states, slopes)
    rhs = RightHandSide(problem.fun, problem.jac, problem.args, problem.y0, stacks=False, jac_stacks=False)
    method = Collocation(radau(1), problem.y0.shape[-1])
    t = mesh if times is None else times
    y = xp.moveaxis(xp.broadcast_to(problem.y0[None, ...], (t.shape[0], *problem.y0.shape)), -1, 0)
    seen = find(events, problem.args, dense) if events and problem.y0.size else None
    never = [xp.asarray([], dtype=xp.float64) for _ in events or ()]
    return IvpResult(
        t=t,
        y=xp.asarray(y, copy=True),
        sol=DenseOutput(dense) if dense_output else None,
        t_events=None if events is None else seen.t_events if seen else never,
        y_events=None if events is None else seen.y_events if seen else list(never),
        nfev=0,
        njev=0,
        nlu=0,
        status=IvpStatus.FINISHED,
        message=f"{IvpStatus.FINISHED.text} There was nothing to integrate.",
        success=True,
        method="none",
        npoints=0,
        iterations=0,
        history=(),
        mesh=mesh,
        meshes=(),
        continuous=dense,
        derivatives=Derivatives(lambda: Trajectory(rhs, method, dense), None),
    )
