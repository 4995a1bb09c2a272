"""Solves a problem that a sequential solver has solved once more on a mesh: derivatives are those of this solution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..._arrays.namespace import machine_epsilon
from ..._functions.right_hand_side import RightHandSide
from ..coarse.hermite import interpolated
from ..coarse.steps import CoarseSolution, Steps
from ..coarse.stretches import joined as joined_starts
from ..coarse.warm_start import once
from ..core.evaluation import Evaluation
from ..core.mesh import Mesh
from ..core.polynomial import PiecewisePolynomial, joined
from ..core.problem import Problem
from ..core.scale import Scale
from ..core.stretches import stretches
from ..mesh.march import Record, solve
from ..mesh.task import discretise, make_task
from ..methods.discretisation import Discretisation
from ..sensitivities.chattering import slide_of
from ..sensitivities.converge_fully import polished
from ..sensitivities.stale_check import reject_others
from ..sensitivities.trajectory import Trajectory

TIGHTER = 0.1
"""Factor on the tolerances of the solution on the mesh: errors of derivatives grow along the trajectory."""


def retrace(evaluation: Evaluation, steps: Steps, stands: Callable[[], bool] = lambda: False) -> Trajectory:
    """Solve by Radau, starting from the steps; `stands` tells whether all that `fun` reads is known to be as it was."""
    problem = evaluation.problem
    xp, least = problem.xp, 100 * machine_epsilon(problem.y0.dtype)
    begin, end = problem.span
    reached = float(steps.t[-1]) if steps.t.shape[0] else begin
    relative = problem.rtols * TIGHTER
    tight = replace(
        problem,
        span=(begin, end if reached == begin else reached),
        rtol=max(problem.rtol * TIGHTER, least),
        rtols=max(relative, least) if isinstance(relative, float) else xp.clip(relative, least, None),
        atol=problem.atol * TIGHTER,
    )
    slide = slide_of(evaluation.right_hand_side(), steps.t, steps.y) if steps.count else None
    if slide is not None:  # a mesh would follow it for seconds, in vain
        slide.reject()
    method = discretise("Radau", tight, None)
    while True:
        rhs = evaluation.right_hand_side()
        record = _solved(tight, rhs, steps, method)
        if not evaluation.withdraw_contradicted(rhs, record.pieces):
            break
    if record.failure:
        raise RuntimeError(
            "derivatives need the solution on a mesh, but Radau could not follow that of the sequential solver: "
            f"{record.failure}. Name a method that is parallel over time, or tighten the tolerances."
        ) from evaluation.raised.error
    solution = joined(record.pieces)
    if not stands():
        _reject_changed(method, rhs, steps, solution, problem)
    return polished(rhs.strict(), method, solution)


def _solved(problem: Problem, rhs: RightHandSide, steps: Steps, method: Discretisation) -> Record:
    """The march over windows and meshes, starting from the sequential solver's steps if there are at least two."""
    task, start = make_task(problem, rhs, method, None, None, None, None), _start(problem, rhs, steps)
    task = task if start is None else replace(task, start=once(lambda span, y0: start, task.start))
    return solve(task, problem.span, problem.y0)


def _start(problem: Problem, rhs: RightHandSide, steps: Steps) -> CoarseSolution | None:
    """The steps with cubics between them; None if there are fewer than two."""
    if steps.count < 2:
        return None
    if problem.breaks is None:
        return interpolated(replace(steps, slopes=rhs(steps.t, steps.y)), problem.rtol, problem.atol)
    parts = []
    for stretch in stretches((float(steps.t[0]), float(steps.t[-1])), problem.breaks):
        within = (steps.t >= min(stretch.begin, stretch.end)) & (steps.t <= max(stretch.begin, stretch.end))
        t, y, part = steps.t[within], steps.y[within], rhs.within(stretch.low, stretch.high)
        parts.append(interpolated(Steps(t, y, part(t, y)), problem.rtol, problem.atol))
    return joined_starts(parts)


def _reject_changed(
    method: Discretisation, rhs: RightHandSide, steps: Steps, solution: PiecewisePolynomial, problem: Problem
) -> None:
    """Raise if `fun` no longer gives the steps."""
    start = _start(problem, rhs, steps)
    if start is None:
        return
    polynomial = start.polynomial(method.output, Mesh(start.t, problem.breaks), start.states(start.t[:1])[0, ...])
    reject_others(rhs, method, polynomial, solution, Scale(problem.rtols, problem.atol))
