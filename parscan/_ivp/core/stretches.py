"""A span in stretches, from one breakpoint to the next."""

from __future__ import annotations

from dataclasses import dataclass

from ..._arrays.namespace import Array, array_namespace
from .mesh import INSIDE, among, inside


@dataclass(frozen=True)
class Stretch:
    """The time between two neighbouring breakpoints; `low` and `high` are its ends, moved a little inside at breaks."""

    begin: float
    end: float
    low: float
    high: float


def stretches(span: tuple[float, float], breaks: Array | None) -> list[Stretch]:
    """A span, in either direction, cut at the breakpoints within it, in the order of integration."""
    if breaks is None:
        return [Stretch(*span, min(span), max(span))]
    t, begins, stops = cut(span, breaks)
    found = []
    for p in range(t.shape[0] - 1):
        within_ends = float(begins[p]), float(stops[p])
        found.append(Stretch(float(t[p]), float(t[p + 1]), min(within_ends), max(within_ends)))
    return found


def cut(span: tuple[float, float], breaks: Array, share: float = INSIDE) -> tuple[Array, Array, Array]:
    """Ends `(k + 1,)` of the stretches of a span, and both ends `(k,)` of each, a little inside at breakpoints."""
    xp = array_namespace(breaks)
    ends = xp.asarray(span, dtype=breaks.dtype)
    within = breaks[(breaks > min(span)) & (breaks < max(span))]
    within = within if span[1] > span[0] else xp.flip(within)
    t = xp.concat([ends[:1], within, ends[1:]])
    flags = among(t, breaks)
    near = xp.where(xp.isinf(t[1:]), t[:-1] + xp.sign(t[1:]) * (1 + xp.abs(t[:-1])), t[1:])  # the span may be endless
    begins, stops = inside(t[:-1], near, share)
    return t, xp.where(flags[:-1], begins, t[:-1]), xp.where(flags[1:], stops, t[1:])
