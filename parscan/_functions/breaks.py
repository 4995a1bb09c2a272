"""Breakpoints: times at which the right-hand side, or a derivative of it, may jump.

They are arrays of ascending times `(k,)` in float64, or None where there are none. `Problem.breaks` are the user's
`jumps`; `Task.breaks` are the nodes that every mesh must have: the jumps, and the nodes of a mesh that the user gave;
`PiecewisePolynomial.breaks` are the breakpoints of its mesh. Further breakpoints are added to a task, or to a
polynomial, by `union`, and to a mesh by `with_breaks`. Every function that makes a mesh from another one keeps
breakpoints as nodes. An interval that begins or ends at a breakpoint evaluates the right-hand side there at a time a
little inside the interval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .._arrays.namespace import Array, array_namespace, machine_epsilon

INSIDE = 16 * machine_epsilon("float64")
"""Distance from the breakpoint, as a share of the larger end: times of jumps are rounded, sums of times repeatedly."""

MOST_INSIDE = 1 / 256
"""Largest distance from the breakpoint, as a share of the interval."""

NEAR = 1 / 8
"""Share of an interval: an end that is nearer to a breakpoint within the interval makes way for the breakpoint."""


def inside(begin: Array, end: Array) -> tuple[Array, Array]:
    """Both ends of intervals, in either direction, moved inside by a few spacings of the numbers there."""
    xp = array_namespace(begin)
    length = end - begin
    moved = xp.minimum(INSIDE * xp.maximum(xp.abs(begin), xp.abs(end)), MOST_INSIDE * xp.abs(length))
    moved = xp.where(length < 0, -moved, moved)
    return begin + moved, end - moved


def are_breaks(t: Array, breaks: Array) -> Array:
    """Flags of the times that are breakpoints."""
    xp = array_namespace(t)
    place = xp.clip(xp.searchsorted(breaks, t), 0, breaks.shape[0] - 1)
    return xp.take(breaks, place) == t


def are_nodes(times: Array, mesh: Array) -> bool:
    """Whether all of the times are nodes of a mesh in either direction."""
    xp = array_namespace(mesh)
    return times.shape[0] == 0 or bool(xp.all(are_breaks(times, xp.sort(mesh))))


def union(*some: Array | None) -> Array | None:
    """All breakpoints of several arrays."""
    given = [breaks for breaks in some if breaks is not None and breaks.shape[0]]
    if not given:
        return None
    if len(given) > 1 and all(breaks is given[0] for breaks in given):
        return given[0]
    xp = array_namespace(given[0])
    return _distinct(xp.sort(xp.concat(given)))


def with_breaks(t: Array, breaks: Array | None, near: float = NEAR) -> Array:
    """The mesh with the breakpoints inside it as further nodes.

    Other inner nodes that are nearer to a new node than a share of the interval, or than rounding, are left out.
    """
    if breaks is None:
        return t
    xp = array_namespace(t)
    direction = 1.0 if bool(t[-1] > t[0]) else -1.0
    nodes = direction * t
    wanted = xp.sort(direction * breaks)
    wanted = wanted[(wanted > nodes[0]) & (wanted < nodes[-1])]
    new = wanted[~are_breaks(wanted, nodes)] if wanted.shape[0] else wanted
    if not new.shape[0]:
        return t
    after = xp.searchsorted(nodes, new)
    low, high = xp.take(nodes, after - 1), xp.take(nodes, after)
    reach = xp.maximum(near * (high - low), 2 * INSIDE * xp.abs(new))
    begins, ends = low[new - low < reach], high[high - new < reach]
    leaves = xp.sort(xp.concat([begins, ends]))
    kept = nodes
    if leaves.shape[0]:
        inner = (nodes > nodes[0]) & (nodes < nodes[-1])
        kept = nodes[~(are_breaks(nodes, leaves) & inner & ~are_breaks(nodes, wanted))]
    return direction * _distinct(xp.sort(xp.concat([kept, new])))


def thinned(t: Array, group: int, breaks: Array | None) -> Array:
    """Every `group`-th node of a mesh, counted anew from each breakpoint; breakpoints and the end stay."""
    xp = array_namespace(t)
    if breaks is None:
        some = t[::group]
        return some if bool(some[-1] == t[-1]) else xp.concat([some, t[-1:]])
    places, fixed = xp.arange(t.shape[0]), are_breaks(t, breaks)
    begins = xp.concat([places[:1], places[1:][fixed[1:]]])
    before = xp.take(begins, xp.searchsorted(begins, places, side="right") - 1)
    return t[fixed | ((places - before) % group == 0) | (places == t.shape[0] - 1)]


@dataclass(frozen=True)
class Stretch:
    """Time between two neighbouring breakpoints; `low` to `high` are within it where an end itself is a breakpoint."""

    begin: float
    end: float
    low: float
    high: float


def stretches(span: tuple[float, float], breaks: Array | None) -> list[Stretch]:
    """A span, in either direction, cut at the breakpoints within it, in order; other ends are not moved inside."""
    if breaks is None:
        return [Stretch(*span, min(span), max(span))]
    xp = array_namespace(breaks)
    ends = xp.asarray(span, dtype=breaks.dtype)
    within = breaks[(breaks > min(span)) & (breaks < max(span))]
    within = within if span[1] > span[0] else xp.flip(within)
    t = xp.concat([ends[:1], within, ends[1:]])
    flags = are_breaks(t, breaks)
    near = xp.where(xp.isinf(t[1:]), t[:-1] + xp.sign(t[1:]) * (1 + xp.abs(t[:-1])), t[1:])  # for a span without end
    begins, stops = inside(t[:-1], near)
    begins, stops = xp.where(flags[:-1], begins, t[:-1]), xp.where(flags[1:], stops, t[1:])
    found = []
    for p in range(t.shape[0] - 1):
        within_ends = float(begins[p]), float(stops[p])
        found.append(Stretch(float(t[p]), float(t[p + 1]), min(within_ends), max(within_ends)))
    return found


def _distinct(ascending: Array) -> Array:
    """Without repetitions."""
    xp = array_namespace(ascending)
    return xp.concat([ascending[:1], ascending[1:][ascending[1:] != ascending[:-1]]])


def limited(function: Callable[..., Any], low: float, high: float) -> Callable[..., Any]:
    """A user's function of `t` (a number or an array), `y` and `args`, called with times within the limits only."""

    def at_most(t: Any, y: Any, *args: Any) -> Any:
        time = min(max(t, low), high) if isinstance(t, float) else array_namespace(t).clip(t, low, high)
        return function(time, y, *args)

    return at_most
