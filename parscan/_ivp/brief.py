"""The first attempt of `auto` on brief problems: a few explicit steps, which take less time than the smallest mesh."""

from __future__ import annotations

from math import inf, isfinite

import numpy as np

from .._arrays.namespace import Array, quiet
from .choose import Workload
from .core.choice import Choice
from .core.problem import Problem
from .mesh.task import TIGHTER
from .output.monitor import Event

FEW_STEPS = 40
"""Number of DOP853 steps that take about as long as the smallest problem on a mesh."""

FEWEST_STEPS, LONGEST = 20, 1 / 10
"""For problems with a short span: the largest number of steps, and the longest step as a share of the span.

Longer steps pass over pulses that the intervals of a mesh see. Of 600 pulses of a tenth of the span, steps of a sixth
of the span missed 5 that meshes saw, steps of a tenth missed none.
"""

STEPS = 60
"""The span is short if it is at most this many first steps long; later steps of DOP853 are about six times as long."""

REACHED = 1 / 10
"""A component that is small at first counts as large as its first slope makes it within this share of the span, but not
as larger than the largest component: the tolerance of a component that is zero would make the first step far too short.
"""

MOST_BENT = 10.0
"""Largest change of the slope over the span, relative to the slope, as its first change predicts it, with which such
a component counts as that large. Of 13 problems on four spans each, those beyond were stiff or took too many steps.
"""

ORDER = 8
"""Order of the method whose first step is estimated."""


def shortly(work: Workload, events: tuple[Event, ...] | None, slope: Array | None) -> Choice | None:
    """The first attempt of `auto` if a few steps may suffice: the span is short, or an event may end the solve early.

    A mesh would be made for the whole span, before anything is known about the event. `slope` is the value of `fun` at
    the initial state, or None if `fun` raised.
    """
    problem = work.problem
    settled = work.is_settled or any(name != "vectorized" for name in work.options)
    small = problem.is_plain and not work.has_many_components
    if settled or problem.is_endless or not small or work.is_loose:
        return None
    if any(event.terminal < inf for event in events or ()):
        return Choice("DOP853", True, "an event ends the integration", TIGHTER, most_steps=FEW_STEPS)
    brief = Choice(
        "DOP853",
        True,
        "it takes only a few steps",
        TIGHTER,
        longest=LONGEST,
        most_steps=FEWEST_STEPS,
        is_checked=True,
        is_sampled=True,
    )
    return None if problem.is_complex or not is_brief(problem, slope) else brief


def is_brief(problem: Problem, slope: Array | None) -> bool:
    """Whether the span is at most `STEPS` first steps long; False if the function raises or does not return a state.

    A stiff problem may seem brief if its solution changes slowly at first; DOP853 then runs out of steps.
    """
    if problem.breaks is not None or problem.jac is not None or problem.max_step < inf or slope is None:
        return False  # a user who gives a Jacobian expects stiffness
    try:
        with quiet():
            step = _first_step(problem, slope)
    except Exception:  # the solve calls the function again, and the user sees its exception
        return False
    return isfinite(step) and abs(problem.span[1] - problem.span[0]) <= STEPS * step


def _first_step(problem: Problem, slope: Array, share: float = REACHED) -> float:
    """A step whose error should be small (Hairer, Nørsett, Wanner, "Solving ODEs I", section II.4).

    Components that are small at first count as large as their slopes make them within a share of the span, unless the
    slopes change too much to predict that.
    """
    t, y, length = problem.span[0], problem.y0, problem.span[1] - problem.span[0]
    reached = np.minimum(share * np.abs(length * slope), np.max(np.abs(y)))
    tolerance = problem.atol + problem.rtols * np.maximum(np.abs(y), reached)
    size, rate = _norm(y / tolerance), _norm(slope / tolerance)
    h = min(0.01 * size / rate if min(size, rate) >= 1e-5 else 1e-6, abs(length))
    if rate > 0 and abs(length) > STEPS * 100 * h:  # no step is longer than a hundred of these
        return h
    rhs = problem.right_hand_side()
    way = float(np.copysign(h, length))
    bend = _norm((rhs.sequential()(t + way, y + way * slope) - slope) / tolerance) / h
    if np.any(reached > np.abs(y)) and bend * abs(length) > MOST_BENT * rate:
        return _first_step(problem, slope, share=0.0)
    largest = max(rate, bend)
    return min(100 * h, (0.01 / largest) ** (1 / ORDER)) if largest > 0 else abs(length)


def _norm(errors: Array) -> float:
    """Root mean square."""
    return float(np.mean(np.abs(errors) ** 2)) ** 0.5
