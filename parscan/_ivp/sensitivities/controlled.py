"""
Trajectories whose steps are short enough for derivatives: these are compared with those on steps of half the length.

Steps of a solver follow the solution. Near a state at rest, or along a slow solution, they may be far longer than
changes of the solution take to grow or to turn. Changes that decay within them do not matter, whatever becomes of them:
what counts is the derivative at the times of the output.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial, prod

from ..._arrays.cached import cached_property
from ..._arrays.namespace import Array, array_namespace, machine_epsilon, quiet, random_signs
from ..output.observation import Observation
from .converge_fully import polished
from .crossing import warn_of_changes
from .layers import rates_of
from .looks import allowed, sizes_of
from .trajectory import Trajectory

AIM = 1.0
"""Errors that are left, in relative tolerances, once steps are divided."""

DIRECTIONS = 2
"""Changes of the start whose growth is compared."""

FLOOR = 1e-3
"""Share of the largest change up to its time to which a change has to decay to count no more."""

ROUNDS, PARTS, MOST_INTERVALS = 24, 64, 1 << 15
"""How often steps are divided, into how many parts at most, and how many there may be."""

SURE = 0.5
"""Share of the product of step and rate up to which errors of a method are small by their order."""


def controlled(trajectory: Trajectory, times: Array, rtol: float) -> Trajectory:
    """The trajectory with its steps divided as far as derivatives at the times `(m,)` of the output need that."""
    solution = trajectory.solution
    if not solution.y.size or solution.intervals < 1 or not times.shape[0]:
        return trajectory
    xp = solution.xp
    least = max(AIM * rtol, 1e3 * machine_epsilon(solution.y.dtype))
    bound, now = allowed(rtol), _Compared(trajectory, times)
    if not bool(xp.any(now.parts > 1)):
        return trajectory
    for _ in range(ROUNDS):
        with quiet():
            at_times, grows = now.errors()
        if not at_times > bound:
            return now.trajectory
        bound = least
        parts = xp.where(grows > least / (2 * grows.shape[0]), now.parts, xp.ones_like(now.parts))
        if not bool(xp.any(parts > 1)) or int(xp.sum(parts)) > MOST_INTERVALS:
            break
        now = _Compared(_on_parts(now.trajectory, parts), times)
    if at_times > allowed(rtol):
        warn_of_changes(float(solution.t[0]))
    return now.trajectory


def _on_parts(trajectory: Trajectory, parts: Array) -> Trajectory:
    """The trajectory with each interval divided into its number of parts."""
    solution = trajectory.solution
    refined = polished(trajectory.rhs, trajectory.method, solution.resampled(solution.mesh.split(parts)))
    return trajectory.on(refined.solution)


@dataclass(frozen=True)
class _Compared:
    """Changes along a trajectory, and those on steps of half the length."""

    trajectory: Trajectory
    times: Array

    @cached_property
    def parts(self) -> Array:
        """Into how many parts intervals have to be divided to be as short as the fastest changes, `(N,)`."""
        solution, rhs, order = self.trajectory.solution, self.trajectory.rhs, self.trajectory.method.order
        xp, ends = solution.xp, solution.both_ends
        rates = rates_of(rhs.exact_jacobian(ends.t, ends.y))
        rates = xp.maximum(rates[ends.left], rates[ends.right])
        short = SURE * (factorial(order + 1) * 1e-5) ** (1 / (order + 1))
        wanted = xp.abs(solution.t[1:] - solution.t[:-1]) * rates / short
        wanted = xp.where(xp.isfinite(wanted), wanted, xp.ones_like(wanted))
        return xp.astype(xp.ceil(xp.clip(wanted, 1.0, float(PARTS))), xp.int64)

    def errors(self) -> tuple[float, Array]:
        """The largest error at times of the output, and by how much each interval makes it grow, `(N,)`, as shares."""
        xp, sizes = self.trajectory.solution.xp, sizes_of(self.trajectory.solution.y)
        halved = _on_parts(self.trajectory, 0 * self.parts + 2)
        (nodes, found), (fine, exact) = (self._changes(one, sizes) for one in (self.trajectory, halved))
        fine = fine[::2, ...]
        size = _norm(fine, sizes)
        largest = _running(size)
        at_nodes = _share(_norm(fine - nodes, sizes), xp.maximum(size, FLOOR * largest))
        at_times = _share(_norm(exact - found, sizes), xp.maximum(_norm(exact, sizes), FLOOR * largest[-1:, :]))
        return float(xp.max(at_times)), at_nodes[1:] - at_nodes[:-1]

    def _changes(self, trajectory: Trajectory, sizes: Array) -> tuple[Array, Array]:
        """Changes of nodes `(N + 1, B, k, n)` and at the times of the output, by those of the start."""
        y = trajectory.solution.y
        B, n = prod(y.shape[1:-1]), y.shape[-1]
        signs = [random_signs((B, 1, n), y, seed=k) for k in range(DIRECTIONS)]
        start = array_namespace(y).concat(signs, axis=1) * array_namespace(y).reshape(sizes, (B, 1, n))
        observed = Observation(trajectory.solution, self.times)
        nodes, begins, slopes = trajectory.tangent(None, start, inside=observed.inside)
        return nodes, observed.of(nodes, begins, slopes)


def _norm(changes: Array, sizes: Array) -> Array:
    """Sizes `(m, B k)` of changes `(m, B, k, n)`."""
    xp, (m, B, k, n) = array_namespace(changes), changes.shape
    return xp.reshape(xp.max(xp.abs(changes) / xp.reshape(sizes, (B, 1, n)), axis=-1), (m, B * k))


def _share(error: Array, size: Array) -> Array:
    """The largest share of any change, `(m,)`."""
    xp = array_namespace(error)
    share = xp.where(error > 0, error / xp.where(size > 0, size, xp.ones_like(size)), xp.zeros_like(error))
    return xp.max(xp.where(xp.isfinite(share), share, xp.zeros_like(share)), axis=1)


def _running(sizes: Array) -> Array:
    """The largest ones up to each row."""
    xp, shift = array_namespace(sizes), 1
    while shift < sizes.shape[0]:
        sizes = xp.maximum(sizes, xp.concat([sizes[:shift, ...], sizes[:-shift, ...]]))
        shift *= 2
    return sizes
