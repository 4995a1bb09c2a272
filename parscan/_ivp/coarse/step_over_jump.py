"""Accurate steps through places that Newton's method cannot solve, such as jumps of the right-hand side.

These are steps of DOP853. A one-step method evaluates the right-hand side anew in each step, while multistep methods
such as LSODA extrapolate: their steps can be longer than the time between two jumps. A pulse may still fall between two
stages, so every accepted step is checked by sampling its defect.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil, copysign, inf

import numpy as np

from ..._arrays.namespace import Array
from ..._engine.termination import Termination
from ..._functions.right_hand_side import RightHandSide
from ..core.mesh import Mesh
from ..core.scale import Scale
from ..methods.defect import overlooked, samples_of
from ..methods.explicit import dop853
from ..methods.newton import leading
from .dop853 import STIFF, interpolated, march
from .jumps import jumped
from .steps import CoarseSolution

TELLING = 200
"""Steps, taken or rejected, that suffice to see whether a problem is stiff."""

CLOSER = 16
"""Parts of a step, at least, between which its defect is sampled; a step that is long in its span has more."""

SHORTER, TRIES = 1 / 4, 8
"""After a step that missed a pulse or jump, steps are limited to this share of it; number of such limits at most."""


def follow(
    otherwise: Callable[..., CoarseSolution],
    rhs: RightHandSide,
    span: tuple[float, float],
    y0: Array,
    *,
    rtol: float,
    atol: Array,
    max_step: float = inf,
    most: int,
) -> CoarseSolution:
    """Coarse solution from `y0` `(*batch, n)` of `most` steps at most; by `otherwise` where the problem is stiff."""
    scale, longest = Scale(rtol, atol), max_step
    for _ in range(TRIES):
        steps = march(rhs, span, y0, scale, longest, most=max(most, TELLING))
        if steps.failure == STIFF or not steps.count:
            break
        polynomial = interpolated(rhs, steps, scale).head(most)
        share = float(polynomial.xp.max(polynomial.xp.abs(polynomial.steps))) / abs(span[1] - span[0])
        parts = max(CLOSER, ceil(samples_of(rhs) * share))
        places = dop853().output.places(np.arange(1, parts) / parts)
        seen = leading(overlooked(rhs, places, polynomial, scale) <= 1)
        if seen:
            ends = seen == steps.count and steps.termination is not Termination.LONG
            return CoarseSolution(
                polynomial.t[: seen + 1], polynomial.evaluate, steps.failure if ends else None, group=1
            )
        longest = SHORTER * abs(float(polynomial.steps[0]))

    def implicit(end: float, longest: float) -> CoarseSolution:
        return otherwise(rhs, (span[0], end), y0, rtol=rtol, atol=atol, max_step=longest)

    return _over_no_jump(implicit, rhs, span, y0, scale, max_step, most)


def _over_no_jump(
    solve: Callable[[float, float], CoarseSolution],
    rhs: RightHandSide,
    span: tuple[float, float],
    y0: Array,
    scale: Scale,
    longest: float,
    most: int,
) -> CoarseSolution:
    """The first steps of `solve(end, longest)`, up to the first one that passes over a jump in time."""
    begin, end = span
    for _ in range(TRIES):
        start = solve(end, longest)
        steps = min(most, start.t.shape[0] - 1)
        if steps < 1:
            break
        polynomial = start.polynomial(dop853().output, Mesh(start.t[: steps + 1]), y0)
        seen = leading(~jumped(rhs, polynomial, scale))
        if seen == steps:
            break
        if seen:
            return replace(start, t=polynomial.t[: seen + 1], failure=None)
        longest = SHORTER * abs(float(polynomial.steps[0]))
        end = begin + copysign(min(most * longest, abs(end - begin)), end - begin)
    return start
