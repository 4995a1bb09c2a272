"""Problems with nothing to solve: a span of length zero, a state without components, or a batch without members."""

from __future__ import annotations

from ..._arrays.namespace import Array
from ..core.polynomial import PiecewisePolynomial
from ..core.problem import Problem
from ..core.tableaux import radau
from ..methods.collocation import Collocation
from ..output.dense_output import DenseOutput
from ..output.events import find
from ..output.monitor import Event
from ..result.report import build_result
from ..result.result import IvpResult
from ..sensitivities.derivatives import Derivatives
from ..sensitivities.trajectory import Trajectory

LARGEST = 1e300
"""Ends of polynomials over a span without an end: they have no components, but their times are numbers."""


def solve_empty(
    problem: Problem, times: Array | None, events: tuple[Event, ...] | None, *, dense_output: bool
) -> IvpResult:
    """The initial state at both ends, or at the times of the output."""
    xp = problem.xp
    mesh = xp.asarray(problem.span, dtype=xp.float64)
    states = xp.broadcast_to(problem.y0[None, ...], (2, *problem.y0.shape))
    slopes = xp.zeros((1, 1, *problem.y0.shape), dtype=problem.y0.dtype)
    dense = PiecewisePolynomial(radau(1), xp.clip(mesh, -LARGEST, LARGEST), states, slopes)
    rhs = problem.right_hand_side()
    method = Collocation(radau(1), problem.y0.shape[-1])
    t = mesh if times is None else times
    y = xp.moveaxis(xp.broadcast_to(problem.y0[None, ...], (t.shape[0], *problem.y0.shape)), -1, 0)
    seen = None if events is None else find(events, problem.args, dense)
    return build_result(
        "none",
        t,
        xp.asarray(y, copy=True),
        mesh,
        "There was nothing to integrate.",
        seen=seen,
        sol=DenseOutput(dense) if dense_output else None,
        nfev=0,
        npoints=0,
        _polynomial=dense,
        _solution=Derivatives(lambda: Trajectory(rhs, method, dense), None),
    )
