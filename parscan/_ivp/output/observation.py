"""The output of a solution as a linear function of nodes and slopes, for derivatives."""

from __future__ import annotations

from ..._arrays.cached import cached_property
from ..._arrays.namespace import Array, array_namespace
from ..._kernels.dispatch import affine_scan, combine_stages
from ..core.polynomial import PiecewisePolynomial


class Observation:
    """The states at output times `(m,)`, as a linear function of the nodes and slopes of a polynomial.

    At a time that is a node, the state is that of the node. At every other time, it depends on the left node of its
    interval and on the slopes there. Gradients are summed over times in the order of the mesh.
    """

    def __init__(self, polynomial: PiecewisePolynomial, times: Array) -> None:
        mesh, xp = polynomial.t, array_namespace(polynomial.t)
        self._tableau, self._mesh = polynomial.tableau, mesh
        self._intervals, self._theta = polynomial.locate(times)
        self._lengths = xp.take(mesh[1:] - mesh[:-1], self._intervals)
        at_begin, at_end = (xp.take(mesh, self._intervals + shift) == times for shift in (0, 1))
        self._nodes = xp.where(at_end & ~at_begin, self._intervals + 1, self._intervals)
        self._hits = at_begin | at_end

    @cached_property
    def inside(self) -> bool:
        """Whether at least one time is not a node."""
        xp = array_namespace(self._mesh)
        return not bool(xp.all(self._hits))

    @property
    def count(self) -> int:
        """Number of times."""
        return int(self._nodes.shape[0])

    @property
    def nodes(self) -> Array:
        """The node of each time, if all are nodes."""
        return self._nodes

    def of(self, nodes: Array, begins: Array, slopes: Array) -> Array:
        """
        Changes `(m, B, k, n)` of the output.

        They are due to changes of nodes `(N + 1, B, k, n)`, at the begins of intervals `(N, B, k, n)`, which may be
        others right after a jump, and of slopes `(N, q, B, k, n)`.
        """
        xp = array_namespace(nodes)
        at_nodes = xp.take(nodes, self._nodes, axis=0)
        if not self.inside:
            return at_nodes
        shape = slopes.shape
        flat = xp.reshape(slopes, (*shape[:2], -1))
        means = combine_stages(self._theta, self._intervals, self._tableau.means, flat)
        passed = xp.reshape(xp.astype(self._theta * self._lengths, flat.dtype), (-1, 1, 1, 1))
        starts = xp.take(begins, self._intervals, axis=0)
        between = starts + passed * xp.reshape(means, starts.shape)
        return xp.where(xp.reshape(self._hits, (-1, 1, 1, 1)), at_nodes, between)

    def at_nodes(self, gradient: Array) -> Array:
        """Sums `(N + 1, B, n)` of a gradient `(m, B, n)` over the times that are nodes."""
        return _sums(self._nodes, gradient, self._hits, self._mesh.shape[0])

    def at_starts(self, gradient: Array) -> Array:
        """Sums `(N, B, n)` of a gradient over the times inside each interval."""
        return _sums(self._intervals, gradient, ~self._hits, self._mesh.shape[0] - 1)

    def at_slopes(self, gradient: Array) -> Array:
        """Gradient `(N, q, B, n)` with respect to the slopes."""
        xp, N = array_namespace(gradient), self._mesh.shape[0] - 1
        weights = xp.astype(self._lengths[:, None] * self._tableau.integrals(self._theta), gradient.dtype)
        parts = [
            _sums(self._intervals, weights[:, j, None, None] * gradient, ~self._hits, N)
            for j in range(self._tableau.stages)
        ]
        return xp.stack(parts, axis=1)


def _sums(places: Array, values: Array, chosen: Array, count: int) -> Array:
    """Sums of the chosen values at each of `count` places, which ascend: a scan that starts anew at each place."""
    xp = array_namespace(values)
    if values.shape[0] == 0:
        return xp.zeros((count, *values.shape[1:]), dtype=values.dtype)
    column = (-1, *(1,) * (values.ndim - 1))
    again = xp.concat([xp.zeros_like(places[:1]) != 0, places[1:] == places[:-1]])
    kept = xp.where(xp.reshape(chosen, column), values, xp.zeros_like(values))
    totals = affine_scan(xp.astype(xp.reshape(again, column), values.dtype), kept)
    every = xp.arange(count, dtype=places.dtype)
    last = xp.searchsorted(places, every, side="right") - 1
    found = xp.take(places, xp.clip(last, 0, None)) == every
    sums = xp.take(totals, xp.clip(last, 0, None), axis=0)
    return xp.where(xp.reshape(found, column), sums, xp.zeros_like(sums))
