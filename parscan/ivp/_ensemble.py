"""The solution of a wide batch by steps that all its members take together."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from .._arrays import Array, array_namespace
from .._progress import Report
from ._arguments import Problem
from ._function import RightHandSide
from ._report import status_of
from ._result import IvpResult
from ._trial import Scale
from ._watched import reached_by
from .methods._discretisation import Linear
from .methods._explicit import dop853
from .output._dense_output import DenseOutput
from .sensitivities._derivatives import of_mesh
from .starts._start import Start
from .starts._wide_steps import Steps, march


def solve_ensemble(
    problem: Problem,
    make_rhs: Callable[[], RightHandSide],
    times: Array | None,
    *,
    dense_output: bool,
    report: Report | None = None,
) -> IvpResult | None:
    """The result, or None where the batch turned out to be stiff, steps were too many, or none succeeded."""
    scale = Scale(problem.rtols, problem.atol)
    rhs = make_rhs()
    reached = reached_by("DOP853", problem.span[0], report)
    steps = march(rhs, problem.span, problem.y0, scale, problem.max_step, reached)
    if steps.stiff or steps.gave_up or steps.t.shape[0] < 2:
        return None
    dense = cache(lambda: _dense(rhs, steps, scale))
    xp = array_namespace(steps.y)
    t, y = steps.t, xp.moveaxis(steps.y, -1, 0)
    if times is not None:
        t = times[_within(times, steps.t)]
        y = dense()(t)
    status = status_of(steps.failure)
    trouble = f" At t = {float(steps.t[-1])!r}: {steps.failure}." if steps.failure else ""
    taken = steps.t.shape[0] - 1
    return IvpResult(
        t=t,
        y=y,
        sol=dense() if dense_output else None,
        t_events=None,
        y_events=None,
        nfev=rhs.nfev,
        njev=0,
        nlu=0,
        status=status,
        message=f"{status.text}{trouble} DOP853, {taken} steps that all members of the batch took together.",
        success=status >= 0,
        method="DOP853",
        npoints=rhs.npoints,
        iterations=0,
        history=(),
        mesh=steps.t,
        meshes=(),
        continuous=dense,
        fun=rhs,
        derivatives=of_mesh(rhs, dop853(), lambda: steps.trial(dop853().output.stages), scale, even=True, exact=True),
    )


def by_ensemble(
    otherwise: Callable[..., Start],
    rhs: RightHandSide,
    span: tuple[float, float],
    y0: Array,
    *,
    rtol: float,
    atol: Array,
    max_step: float,
) -> Start:
    """A rough trajectory of a batch by such steps, or otherwise where they would be stiff."""
    scale = Scale(rtol, atol)
    steps = march(rhs, span, y0, scale, max_step)
    if steps.stiff or steps.t.shape[0] < 2:
        return otherwise(rhs, span, y0, rtol=rtol, atol=atol, max_step=max_step)
    return Start(steps.t, _dense(rhs, steps, scale).evaluate, steps.failure, group=1)


def _dense(rhs: RightHandSide, steps: Steps, scale: Scale) -> DenseOutput:
    """Polynomials between the steps."""
    method = dop853()
    trial, _ = method.assess(rhs, steps.trial(method.output.stages), Linear(steps.y[:0, ...]), scale)
    return DenseOutput(method.output, trial.t, trial.y, trial.stages)


def _within(times: Array, reached: Array) -> Array:
    """Which times were reached."""
    low, high = sorted((float(reached[0]), float(reached[-1])))
    return (times >= low) & (times <= high)
