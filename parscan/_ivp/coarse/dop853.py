"""Starts by steps of DOP853: quicker than implicit ones on wide batches that are not stiff."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from ..._arrays.namespace import Array
from ..._functions.right_hand_side import RightHandSide
from ..core.trial import Scale, Trial
from ..methods.discretisation import Linear
from ..methods.explicit import dop853
from ..output.dense_output import DenseOutput
from .batch_steps import Steps, march
from .coarse_solution import CoarseSolution


def by_dop853(
    otherwise: Callable[..., CoarseSolution],
    rhs: RightHandSide,
    span: tuple[float, float],
    y0: Array,
    *,
    rtol: float,
    atol: Array,
    max_step: float = inf,
) -> CoarseSolution:
    """Trajectory from `y0` `(*batch, n)` by such steps, or otherwise where they would be stiff."""
    scale = Scale(rtol, atol)
    steps = march(rhs, span, y0, scale, max_step)
    if steps.stiff or steps.t.shape[0] < 2:
        return otherwise(rhs, span, y0, rtol=rtol, atol=atol, max_step=max_step)
    return CoarseSolution(steps.t, dense_between(rhs, steps, scale).evaluate, steps.failure, group=1)


def dense_between(rhs: RightHandSide, steps: Steps, scale: Scale) -> DenseOutput:
    """Polynomials between the steps."""
    trial = solved(rhs, steps, scale)
    return DenseOutput.of(dop853().output, trial)


def solved(rhs: RightHandSide, steps: Steps, scale: Scale) -> Trial:
    """The steps with the slopes of these polynomials."""
    method = dop853()
    return method.assess(rhs, steps.trial(method.output.stages), Linear(steps.y[:0, ...]), scale)[0]
