"""Problems with nothing to solve: a span of length zero, a state without components, or a batch without members."""

from __future__ import annotations

from dataclasses import replace

from ..._arrays.namespace import Array, array_namespace
from ..core.polynomial import PiecewisePolynomial
from ..core.problem import Problem
from ..core.tableaux import radau
from ..methods.collocation import Collocation
from ..output.dense_output import DenseOutput
from ..output.events import Occurrences, find
from ..output.monitor import Event
from ..result.report import build_result, within
from ..result.result import IvpResult
from ..sensitivities.derivatives import Derivatives
from ..sensitivities.trajectory import Trajectory

LARGEST = 1e300
"""Ends of polynomials over a span without an end: they have no components, but their times are numbers."""


def solve_empty(
    problem: Problem, times: Array | None, events: tuple[Event, ...] | None, *, dense_output: bool
) -> IvpResult:
    """The initial state at both ends, or at the times of the output, up to the event that ends the solve."""
    xp, n = problem.xp, problem.y0.shape[-1]
    mesh = xp.asarray(problem.span, dtype=xp.float64)
    seen = None if events is None else _seen(problem, events, mesh)
    if seen is not None and seen.t_stop is not None:
        mesh = xp.asarray([problem.span[0], seen.t_stop], dtype=xp.float64)
        times = None if times is None else within(times, mesh)
    dense = _constant(problem.y0, mesh)
    rhs, method = problem.right_hand_side(), Collocation(radau(1), n)
    t = mesh if times is None else times
    y = xp.moveaxis(xp.broadcast_to(problem.y0[None, ...], (t.shape[0], *problem.y0.shape)), -1, 0)
    return build_result(
        "none",
        t,
        y,
        mesh,
        "There was nothing to integrate.",
        seen=seen,
        sol=DenseOutput(dense) if dense_output else None,
        nfev=0,
        npoints=0,
        _polynomial=dense,
        _solution=Derivatives(lambda: Trajectory(rhs, method, dense), None),
    )


def _constant(state: Array, mesh: Array) -> PiecewisePolynomial:
    """A trajectory that stays at a state."""
    xp = array_namespace(state)
    states = xp.broadcast_to(state[None, ...], (2, *state.shape))
    slopes = xp.zeros((1, 1, *state.shape), dtype=state.dtype)
    return PiecewisePolynomial(radau(1), xp.clip(mesh, -LARGEST, LARGEST), states, slopes)


def _seen(problem: Problem, events: tuple[Event, ...], mesh: Array) -> Occurrences:
    """Events on the trajectory; where the state has no components, on one that has one."""
    xp, n = problem.xp, problem.y0.shape[-1]
    if n or not events:
        return find(events, problem.args, _constant(problem.y0, mesh))

    def of_none(event: Event) -> Event:
        return replace(event, function=lambda t, y, *args: event.function(t, y[:0, ...], *args), values=None)

    found = find(tuple(map(of_none, events)), problem.args, _constant(xp.zeros((1,), dtype=problem.y0.dtype), mesh))
    return replace(found, y_events=[y[:, :0] if y.ndim > 1 else y for y in found.y_events])
