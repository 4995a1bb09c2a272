"""Solves of wide batches by DOP853, with the same steps for all members."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

from ..._arrays.namespace import Array
from ..._engine.termination import Termination
from ..._functions.right_hand_side import RightHandSide
from ..._reporting.progress import Report
from ..coarse.dop853 import interpolated, march
from ..coarse.steps import Steps, followed
from ..coarse.wanted import Wanted
from ..core.problem import Problem
from ..core.scale import Scale
from ..core.stretches import stretches
from ..core.watched import Reached, reached_by
from ..methods.explicit import dop853
from ..output.dense_output import DenseOutput
from ..result.report import build_result, within
from ..result.result import IvpResult
from ..sensitivities.derivatives import of_mesh


def solve_ensemble(
    problem: Problem,
    make_rhs: Callable[[], RightHandSide],
    times: Array | None,
    *,
    dense_output: bool,
    report: Report | None = None,
) -> IvpResult | None:
    """
    The result; None if the batch is stiff, takes too many steps, or no step succeeds.

    Where states at some times are all that is asked for, no others are kept, and only the steps around these times have
    polynomials. Should others be needed after all, the march is repeated.
    """
    scale = Scale(problem.rtols, problem.atol)
    rhs = make_rhs()
    reached = reached_by("DOP853", problem.span[0], report)
    wanted = None if times is None or dense_output else Wanted(times, problem.span, problem.y0)
    steps = _march(problem, rhs, scale, reached, wanted)
    if steps.termination in (Termination.STIFF, Termination.LONG) or not steps.count:
        return None
    method, xp = dop853(), steps.xp
    all_steps = cache(lambda: steps if wanted is None else _march(problem, rhs, scale, None, None))
    dense = cache(lambda: interpolated(rhs, all_steps(), scale, problem.breaks))
    t = steps.t if times is None else within(times, steps.t)
    if wanted is not None:
        y = wanted.states
    elif times is None:
        y = xp.moveaxis(steps.y, -1, 0)
    else:
        y = dense().components(t)
    return build_result(
        "DOP853",
        t,
        y,
        steps.t,
        f"DOP853, {steps.count} steps that all members of the batch took together.",
        failure=steps.failure,
        failed_at=float(steps.t[-1]),
        sol=DenseOutput(dense()) if dense_output else None,
        nfev=rhs.counts.nfev,
        npoints=rhs.counts.npoints,
        error_estimate=steps.error,
        _polynomial=dense,
        _solution=of_mesh(
            rhs.strict(),
            method,
            lambda: all_steps().polynomial(method.output, problem.breaks),
            scale,
            even=True,
            exact=True,
        ),
    )


def _march(problem: Problem, rhs: RightHandSide, scale: Scale, reached: Reached | None, wanted: Wanted | None) -> Steps:
    """Steps over the span, restarted at each breakpoint, up to the end or to the first failure."""
    if problem.breaks is None:
        return march(rhs, problem.span, problem.y0, scale, problem.max_step, reached, wanted=wanted)
    parts: list[Steps] = []
    y = problem.y0
    for stretch in stretches(problem.span, problem.breaks):
        part, ends = rhs.within(stretch.low, stretch.high), (stretch.begin, stretch.end)
        parts.append(march(part, ends, y, scale, problem.max_step, reached, wanted=wanted))
        y = parts[-1].y[-1, ...]
        if parts[-1].failure:
            break
    found = followed(parts)
    return found if wanted is None else replace(found, y=parts[-1].y)
