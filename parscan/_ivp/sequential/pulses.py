"""Pulses of `fun` that the steps of a solver passed over: values between the nodes show them, and it stops there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..._arrays.namespace import Array, quiet
from ..core.problem import Problem
from .course import Course

SAMPLES = 400
"""
Values of `fun` along the whole solution: steps shorter than such a part of it are not looked at. With those at the ends
of steps there are twice as many at most, or as many as the solve had: the longest steps come first.
"""

EDGE = 1e-6
"""Share of a step from either end within which none are taken: `fun` may jump at nodes."""

SUDDEN = 1000.0
"""
What a value is beyond the straight line between those at the ends of its step, times the step, in tolerances. Others
are those of a smooth function; a few more stops do no harm but take time.
"""

TINY = float(np.finfo(float).tiny)
"""Least tolerance."""

MOST = 32
"""Largest number of places at which a solver stops."""


def with_stops(problem: Problem, course: Course, fun: Callable[[float, Array], Array]) -> tuple[Problem, int]:
    """
    The problem with stops at the pulses that the steps of a solve passed over, or itself if there are none.

    And the number of calls of `fun`.
    """
    try:
        with quiet():
            places, calls = _places(problem, course, fun)
    except Exception:  # these times and states are no solution, and `fun` need not be defined there
        return problem, 0
    if not places.size:
        return problem, calls
    known = places if problem.breaks is None else np.union1d(places, problem.breaks)
    return replace(problem, breaks=known), calls


def _places(problem: Problem, course: Course, fun: Callable[[float, Array], Array]) -> tuple[Array, int]:
    """
    Times of the pulses, sorted, and the number of calls.

    The state is kept from the begin of a step: what changes within it is what `fun` does by itself, and not the error
    of a state between the nodes, which stiff components would make large.
    """
    nodes, states = np.asarray(course.nodes), np.asarray(course.states)
    lengths, whole = np.diff(nodes), float(np.abs(nodes[-1] - nodes[0]))
    parts = np.ceil(np.abs(lengths) / whole * SAMPLES).astype(int)
    steps = np.argsort(-parts, kind="stable")
    steps = steps[(parts[steps] > 1) & (np.cumsum(parts[steps] + 1) <= max(2 * SAMPLES, course.nfev))]
    if not steps.size:
        return np.empty(0), 0
    counts = parts[steps] + 1
    ends = np.cumsum(counts)
    begins, of = ends - counts, np.repeat(np.arange(steps.size), counts)
    shares = np.clip((np.arange(ends[-1]) - begins[of]) / parts[steps][of], EDGE, 1 - EDGE)
    times = nodes[steps][of] + shares * lengths[steps][of]
    values = np.asarray([fun(t, states[k]) for t, k in zip(times.tolist(), steps[of].tolist(), strict=True)])
    first, last = values[begins][of], values[ends - 1][of]
    tolerances = problem.atol + problem.rtols * np.maximum(np.abs(states[steps]), np.abs(states[steps + 1]))
    beyond = np.abs(values - first - shares[:, None] * (last - first)) / np.maximum(tolerances, TINY)[of]
    sizes = np.abs(lengths[steps])[of] * np.max(beyond, axis=1)  # zero at the ends of each step
    before, after = np.append(0.0, sizes[:-1]), np.append(sizes[1:], 0.0)
    peaks = np.flatnonzero((sizes > SUDDEN) & (sizes >= before) & (sizes > after))
    largest = peaks[np.argsort(-sizes[peaks])][:MOST]
    return np.sort(times[largest]), int(ends[-1])
