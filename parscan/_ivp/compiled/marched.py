"""Trajectories of compiled solves on their own steps, which end where the state switches the function."""

from __future__ import annotations

from collections.abc import Callable

from ..._arrays.namespace import all_finite
from ..coarse.steps import Steps
from ..core.evaluation import Evaluation
from ..core.polynomial import PiecewisePolynomial
from ..core.scale import Scale
from ..core.tableaux import gauss, radau
from ..methods.collocation import Collocation
from ..sensitivities.converge_fully import polished
from ..sensitivities.stale_check import has_changed
from ..sensitivities.trajectory import Trajectory
from ..sequential.on_mesh import TIGHTER, retrace
from .march import March
from .outcome import between
from .path import NODES

TIGHT = 1e-9
"""Relative tolerance of another explicit march, at most: its crossings of thresholds are where nodes should be, so that
equations need not be solved again and again for them, and steps of high order are few."""


def traced(
    evaluation: Evaluation, march: March, share: float, end: float | None, steps: Steps, stands: Callable[[], bool], *,
    is_stiff: bool,
) -> Trajectory:  # fmt: skip
    """
    The trajectory of a march that had a share of the tolerances: on its steps, or else solved by Radau from these.

    `end` is that of a march that an event ended. `stands` tells whether all that `fun` reads is known to be as it was.
    """
    tightest = float(evaluation.problem.xp.min(evaluation.problem.xp.asarray(evaluation.problem.rtols)))
    factor = TIGHTER if is_stiff else min(TIGHTER, TIGHT / tightest)
    found = _on_steps(evaluation, between(march, share * factor, end), steps, is_stiff=is_stiff)
    return found or retrace(evaluation, steps, stands)


def _on_steps(
    evaluation: Evaluation, given: PiecewisePolynomial, steps: Steps, *, is_stiff: bool
) -> Trajectory | None:  # fmt: skip
    """The solution of the equations on the steps of a march; None if that does not solve them nearly."""
    problem = evaluation.problem
    if float(given.t[-1]) != float(steps.t[-1]) or not all_finite(given.y):
        return None
    table = radau(NODES) if is_stiff else gauss(NODES)
    method = Collocation(table, problem.y0.shape[-1])
    solution = given.resampled(given.mesh, table) if is_stiff else given
    rhs, scale = evaluation.right_hand_side(), Scale(problem.rtols, problem.atol)
    if has_changed(rhs, method, solution, scale):
        return None
    found = polished(rhs.strict(), method, solution)
    return None if has_changed(rhs, method, found.solution, scale) else found
