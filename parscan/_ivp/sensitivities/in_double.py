"""Trajectories of single precision in double: crossings of thresholds are located to more digits than it has."""

from __future__ import annotations

from dataclasses import replace

from ..._arrays.namespace import Array, array_namespace
from .recorded_gradient import wide
from .trajectory import Trajectory


def in_double(given: Trajectory) -> Trajectory:
    """The trajectory with states of double precision, and the right-hand side for these."""
    solution = given.solution
    if wide(solution.y) is solution.y and wide(given.rhs.y0) is given.rhs.y0:
        return given
    states = replace(solution, y=wide(solution.y), stages=wide(solution.stages))
    return Trajectory(given.rhs.from_start(wide(given.rhs.y0)), given.method, states)


def like(given: Array, other: Array) -> Array:
    """Numbers in the precision of others."""
    return array_namespace(given).astype(given, other.dtype, copy=False)
