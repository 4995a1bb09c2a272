"""Trajectories of implicit methods on meshes that are finer where derivatives change fast, for times of the output."""

from __future__ import annotations

from ..._arrays.namespace import Array
from ..core.mesh import among
from ..methods.collocation import Collocation
from .converge_fully import with_nodes
from .layers import graded, rates_of
from .trajectory import Trajectory

RESOLVED, DECAYED = 5.0, 20.0
"""
Products of times and the largest rate: of the length of an interval, up to which it is left as it is, and of the time
since the start, after which nothing is left of fast changes.

Intervals that follow changes of the solution itself by loose tolerances are as long. Where none is longer, nor are
those that follow divided.
"""

FEW = 0.25
"""Share of the nodes that breakpoints are at most, if they are jumps: all nodes of a mesh that was given are, too."""


def layered(trajectory: Trajectory, times: Array) -> Trajectory:
    """The trajectory with further nodes in long intervals after its start and its jumps, if these times see that."""
    solution = trajectory.solution
    if not isinstance(trajectory.method, Collocation) or not solution.y.size or solution.intervals < 1:
        return trajectory
    xp, starts = solution.xp, _starts(trajectory)
    y, begins = xp.take(solution.y, starts, axis=0), xp.take(solution.begins, starts)
    own = xp.searchsorted(starts, xp.arange(solution.intervals), side="right") - 1
    of_starts = rates_of(trajectory.rhs.exact_jacobian(begins, y))
    rates, lengths = xp.take(of_starts, own), xp.abs(solution.t[1:] - solution.t[:-1])
    passed = xp.abs(solution.t[:-1] - xp.take(xp.take(solution.t, starts), own))
    is_long = (lengths * rates > RESOLVED) & (passed * rates < DECAYED)
    if not bool(xp.any(is_long)):
        return trajectory
    rates = xp.where(among(own, own[is_long]), rates, xp.zeros_like(rates))
    nodes = graded(solution.t, times, passed, rates)
    return trajectory if nodes is None else with_nodes(trajectory, nodes)


def _starts(trajectory: Trajectory) -> Array:
    """Nodes, ascending, after which changes begin anew."""
    solution = trajectory.solution
    xp, places = solution.xp, solution.xp.arange(solution.intervals)
    begins = places == 0
    breaks = solution.mesh.at_breaks[:-1]
    if int(xp.count_nonzero(breaks)) <= FEW * solution.intervals:
        begins = begins | breaks
    for node in trajectory.kicks:
        begins = begins | (places == node)
    return places[begins]
