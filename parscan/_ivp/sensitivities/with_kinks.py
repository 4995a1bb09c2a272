"""Trajectories with nodes at kinks that no record shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf, prod

from ..._arrays.namespace import Array, machine_epsilon, quiet, to_numpy
from ..._functions.right_hand_side import RightHandSide
from ..core.mesh import Mesh, among
from ..core.polynomial import PiecewisePolynomial
from .aside import Aside, AsideCode
from .converge_fully import polished
from .crossing import warn_of_kinks
from .followed import TOGETHER
from .state_kinks import state_kinks
from .trajectory import Trajectory

ROUNDS, SETTLED, ENOUGH = 6, 1e-13, 1e-8
"""Largest number of times that kinks are located and the solution is solved with nodes there, the change of their times
at which that ends, as a share of the span, and the one that is accepted at last."""

GROWTH, CROWDED = 8.0, 64.0
"""Nodes beside a kink are left out up to the last one after which a step is longer by this factor than the distance
from the kink: they were made to find it. Breakpoints at which nothing jumps are left out from the second factor on."""


def warn_of_left(trajectory: Trajectory) -> None:
    """Warn of kinks at which a trajectory has no nodes, since there are too many in the record."""
    times = state_kinks(trajectory.rhs, trajectory.solution)
    if times.shape[0]:
        warn_of_kinks(float(times[0]), "beside its jumps, `fun` has more kinks than nodes can be put at")


def with_kinks(given: Trajectory) -> Trajectory:
    """
    A trajectory with nodes at all kinks of the right-hand side, where Jacobians are those of one side.

    If a node is off by ε, so is the solution by ε²: all nodes are put where the solution has its kinks, at once, and
    again where the new one has them.
    """
    solution, xp = given.solution, given.solution.xp
    times = state_kinks(given.rhs, solution)
    if not times.shape[0]:
        return given
    if prod(solution.y.shape[1:-1]) * times.shape[0] > TOGETHER:
        warn_of_kinks(float(times[0]), "members of the batch meet too many kinks of `fun` for one mesh")
        return given
    span, found = float(xp.abs(solution.t[-1] - solution.t[0])), given
    for _ in range(ROUNDS):
        found = _on(given, found.solution, times)
        last, times = times, state_kinks(given.rhs, found.solution)
        off = float(xp.max(xp.abs(times - last))) if times.shape == last.shape else float("inf")
        if off <= SETTLED * span:
            break
    if off > ENOUGH * span:
        warn_of_kinks(float(times[0]), "the times at which the solution meets kinks of `fun` could not be determined")
    return found


def _on(given: Trajectory, solution: PiecewisePolynomial, times: Array) -> Trajectory:
    """The trajectory, from another solution, with nodes at some times."""
    mesh = given.solution.mesh.broken_at(solution.xp.sort(times)).with_breaks()
    mesh = _uncrowded(mesh, set(to_numpy(times).tolist()), _held(given.rhs, solution.resampled(mesh), times))
    start = solution.resampled(mesh)
    rhs = given.rhs.without_jacobian().derived_by(AsideCode(given.rhs, Aside(start)))
    refined = polished(rhs, given.method, start).solution
    aside = Aside(refined)
    rhs = given.rhs.without_jacobian().derived_by(AsideCode(given.rhs, aside))
    return replace(given.on(refined), rhs=rhs, aside=aside)


def _held(rhs: RightHandSide, solution: PiecewisePolynomial, times: Array) -> dict[float, float]:
    """For nodes that are kept longer than others, the factor up to which they are: without end for kinks and jumps."""
    xp = solution.xp
    nodes = xp.nonzero(solution.mesh.at_breaks)[0]
    nodes = nodes[(nodes > 0) & (nodes < solution.intervals)]
    if not nodes.shape[0]:
        return {}
    states = xp.take(solution.y, nodes, axis=0)
    with quiet():
        before, after = rhs(xp.take(solution.ends, nodes - 1), states), rhs(xp.take(solution.begins, nodes), states)
    size = xp.max(xp.abs(before))
    leaps = xp.max(xp.reshape(xp.abs(after - before), (nodes.shape[0], -1)), axis=1)
    jumps = ~(leaps <= machine_epsilon(states.dtype) ** 0.5 * size)
    stays = jumps | among(xp.take(solution.t, nodes), xp.sort(times))
    return {
        node: inf if stay else CROWDED
        for node, stay in zip(to_numpy(xp.take(solution.t, nodes)).tolist(), to_numpy(stays).tolist(), strict=True)
    }


def _uncrowded(mesh: Mesh, kinks: set[float], held: Mapping[float, float]) -> Mesh:
    """The mesh without nodes that crowd beside kinks."""
    nodes = to_numpy(mesh.t).tolist()
    kept = _sparse(_sparse(nodes, kinks, held)[::-1], kinks, held)[::-1]
    xp, breaks = mesh.xp, mesh.breaks
    gone = xp.asarray(sorted(set(nodes) - set(kept)), dtype=mesh.t.dtype)
    if breaks is not None and gone.shape[0]:
        breaks = breaks[~among(breaks, gone)]
    return Mesh(xp.asarray(kept, dtype=mesh.t.dtype), breaks)


def _sparse(nodes: list[float], kinks: set[float], held: Mapping[float, float]) -> list[float]:
    """Nodes without those that crowd after kinks."""
    found, place, last = list[float](), 0, len(nodes) - 1
    while place <= last:
        found.append(node := nodes[place])
        place += 1
        if node in kinks:
            stop = next((k for k in range(place, last) if held.get(nodes[k], GROWTH) == inf), last)
            place = _after(nodes, node, place, stop, CROWDED)
            stop = next((k for k in range(place, stop) if nodes[k] in held), stop)
            place = _after(nodes, node, place, stop, GROWTH)
    return found


def _after(nodes: list[float], kink: float, place: int, stop: int, factor: float) -> int:
    """The first node after those that are too near to a kink, from a place on, of which those up to `stop` may be."""
    crowd = (
        k + 1 for k in range(stop - 1, place - 1, -1) if abs(nodes[k + 1] - nodes[k]) > factor * abs(nodes[k] - kink)
    )
    return next(crowd, place)
