"""Meshes and their breakpoints: times at which the right-hand side, or a derivative of it, may jump.

Breakpoints are arrays of ascending times `(k,)` in float64, or None where there are none. `Problem.breaks` are the
user's `jumps`; `Task.breaks` are the nodes that every mesh must have: the jumps, and the nodes of a mesh that the user
gave; `Mesh.breaks` are those of one mesh. Further breakpoints are added to a task by `union`, and to a mesh by
`Mesh.broken_at`. Every function that makes a mesh from another one keeps breakpoints as nodes. An interval that begins
or ends at a breakpoint evaluates the right-hand side there at a time a little inside the interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from ..._arrays.cached import cached_property
from ..._arrays.namespace import Array, Namespace, array_namespace, machine_epsilon

INSIDE = 16 * machine_epsilon("float64")
"""Distance from the breakpoint, as a share of the larger end: times of jumps are rounded, sums of times repeatedly."""

MOST_INSIDE = 1 / 256
"""Largest distance from the breakpoint, as a share of the interval."""

NEAR = 1 / 8
"""Share of an interval: an end that is nearer than this to a breakpoint inside is replaced by the breakpoint."""


def inside(begin: Array, end: Array, share: float = INSIDE) -> tuple[Array, Array]:
    """Both ends of intervals, in either direction, moved inside by a few spacings, or another share, of the times."""
    xp = array_namespace(begin)
    length = end - begin
    moved = xp.minimum(share * xp.maximum(xp.abs(begin), xp.abs(end)), MOST_INSIDE * xp.abs(length))
    moved = xp.where(length < 0, -moved, moved)
    return begin + moved, end - moved


def among(values: Array, ascending: Array) -> Array:
    """Flags of the values that are in an ascending array."""
    xp = array_namespace(values)
    place = xp.clip(xp.searchsorted(ascending, values), 0, ascending.shape[0] - 1)
    return xp.take(ascending, place) == values


def union(*some: Array | None) -> Array | None:
    """All breakpoints of several arrays."""
    given = [breaks for breaks in some if breaks is not None and breaks.shape[0]]
    if not given:
        return None
    if len(given) > 1 and all(breaks is given[0] for breaks in given):
        return given[0]
    return _distinct(*given)


def _distinct(*some: Array) -> Array:
    """All numbers of several arrays, ascending, each once."""
    xp = array_namespace(some[0])
    ascending = xp.sort(xp.concat(some))
    return xp.concat([ascending[:1], ascending[1:][ascending[1:] != ascending[:-1]]])


@dataclass(frozen=True, eq=False)
class Mesh:
    """A mesh with its breakpoints, some or all of which are nodes.

    The nodes `t` `(N + 1,)` ascend or descend, or are twice the same time.
    """

    t: Array
    breaks: Array | None = None

    @property
    def xp(self) -> Namespace:
        """The array library."""
        return array_namespace(self.t)

    @property
    def intervals(self) -> int:
        """Number of intervals."""
        return int(self.t.shape[0]) - 1

    @cached_property
    def direction(self) -> float:
        """1 forwards in time, -1 backwards."""
        return -1.0 if bool(self.t[-1] < self.t[0]) else 1.0

    @cached_property
    def at_breaks(self) -> Array:
        """Flags of the nodes that are breakpoints."""
        if self.breaks is None:
            return self.xp.zeros(self.t.shape, dtype=self.xp.bool)
        return among(self.t, self.breaks)

    @cached_property
    def inner_ends(self) -> tuple[Array, Array]:
        """Left and right ends of the intervals, `(N,)` both; a little inside of them at breakpoints."""
        begin, end = self.t[:-1], self.t[1:]
        if self.breaks is None:
            return begin, end
        low, high = inside(begin, end)
        where, flags = self.xp.where, self.at_breaks
        return where(flags[:-1], low, begin), where(flags[1:], high, end)

    def head(self, intervals: int) -> Mesh:
        """The leading intervals."""
        return self if intervals >= self.intervals else Mesh(self.t[: intervals + 1], self.breaks)

    def containing(self, times: Array) -> Array:
        """Flags `(N,)` of the intervals that some of the times are in; a node belongs to the interval that it ends."""
        xp = self.xp
        within = xp.searchsorted(self.direction * self.t, self.direction * times, side="left") - 1
        return among(xp.arange(self.intervals), xp.sort(within))

    def broken_at(self, times: Array) -> Mesh:
        """The mesh with further breakpoints. They become nodes of the meshes that are made from it, not of this one."""
        return Mesh(self.t, union(self.breaks, times))

    def with_breaks(self, near: float = NEAR) -> Mesh:
        """The mesh with the breakpoints inside it as further nodes.

        Other inner nodes that are nearer to a new node than a share of the interval, or than rounding, are left out.
        """
        if self.breaks is None:
            return self
        xp, nodes = self.xp, self.direction * self.t
        wanted = xp.sort(self.direction * self.breaks)
        wanted = wanted[(wanted > nodes[0]) & (wanted < nodes[-1])]
        new = wanted[~among(wanted, nodes)] if wanted.shape[0] else wanted
        if not new.shape[0]:
            return self
        after = xp.searchsorted(nodes, new)
        low, high = xp.take(nodes, after - 1), xp.take(nodes, after)
        reach = xp.maximum(near * (high - low), 2 * INSIDE * xp.abs(new))
        begins, ends = low[new - low < reach], high[high - new < reach]
        leaves = xp.sort(xp.concat([begins, ends]))
        kept = nodes
        if leaves.shape[0]:
            inner = (nodes > nodes[0]) & (nodes < nodes[-1])
            kept = nodes[~(among(nodes, leaves) & inner & ~among(nodes, wanted))]
        return Mesh(self.direction * _distinct(kept, new), self.breaks)

    def thinned(self, group: int) -> Mesh:
        """Every `group`-th node, counted anew from each breakpoint; breakpoints and the end stay."""
        xp, t = self.xp, self.t
        if self.breaks is None:
            some = t[::group]
            return Mesh(some if bool(some[-1] == t[-1]) else xp.concat([some, t[-1:]]))
        places, fixed = xp.arange(t.shape[0]), self.at_breaks
        begins = xp.concat([places[:1], places[1:][fixed[1:]]])
        before = xp.take(begins, xp.searchsorted(begins, places, side="right") - 1)
        return Mesh(t[fixed | ((places - before) % group == 0) | (places == t.shape[0] - 1)], self.breaks)

    def shortened(self, longest: float) -> Mesh:
        """The mesh with intervals that are longer than `longest` divided into equal parts."""
        if longest == inf:
            return self
        xp = self.xp
        parts = xp.ceil(xp.abs(self.t[1:] - self.t[:-1]) / longest * (1 - 1e-12))
        return self.split(xp.astype(parts, xp.int64)) if bool(xp.any(parts > 1)) else self

    def split(self, parts: Array) -> Mesh:
        """The mesh with each interval divided into its number of equal parts, `(N,)`."""
        return Mesh(self._split(self.t, parts), self.breaks)

    def denser(self, ratio: Array) -> Mesh:
        """A mesh with about `ratio` `(N,)` intervals in place of each; all breakpoints are nodes of it.

        The number of intervals between two breakpoints is the sum of the ratios there, rounded up.
        """
        xp = self.xp
        wanted, nodes = xp.concat([xp.zeros_like(ratio[:1]), xp.cumulative_sum(ratio)]), self.with_breaks(near=0.0)
        if nodes is not self:
            wanted = self._interpolated(self.direction * self.t, wanted, self.direction * nodes.t)
        kept = xp.concat([wanted[:1], wanted[1:-1][nodes.at_breaks[1:-1]], wanted[-1:]])
        counts = xp.astype(xp.clip(xp.ceil(kept[1:] - kept[:-1]), 1.0, None), xp.int64)
        return Mesh(self._interpolated(wanted, nodes.t, self._split(kept, counts)), self.breaks)

    def divided(self, factor: float, order: int) -> Mesh:
        """The mesh with all intervals shorter, so that a global error of this order falls by the factor."""
        return self.denser(self.xp.full_like(self.t[1:], factor ** (1 / order)))

    def _split(self, t: Array, parts: Array) -> Array:
        """Ascending or descending numbers, with the interval between two of them in equal parts."""
        xp = self.xp
        ends = xp.cumulative_sum(parts)
        places = xp.arange(int(ends[-1]))
        interval = xp.searchsorted(ends, places, side="right")
        number = xp.astype(xp.take(parts, interval), t.dtype)
        share = (xp.astype(places - xp.take(ends, interval), t.dtype) + number) / number
        begin = xp.take(t, interval)
        return xp.concat([begin + share * (xp.take(t, interval + 1) - begin), t[-1:]])

    def _interpolated(self, x: Array, y: Array, places: Array) -> Array:
        """The piecewise linear function through `y` at the ascending `x`, at places from end to end; exact at both."""
        xp = self.xp
        index = xp.clip(xp.searchsorted(x, places, side="right") - 1, 0, x.shape[0] - 2)
        low, high = xp.take(x, index), xp.take(x, index + 1)
        left, right = xp.take(y, index), xp.take(y, index + 1)
        inner = left + (right - left) * ((places - low) / (high - low))
        return xp.concat([y[:1], inner[1:-1], y[-1:]])
