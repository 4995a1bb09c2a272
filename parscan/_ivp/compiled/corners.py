"""The breakpoints of a compiled solve: the user's jumps, and the corners in time that the recorded function shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ..._arrays.namespace import Array, array_namespace
from ..core.mesh import INSIDE, among, inside, union
from ..core.problem import Problem
from ..core.stretches import cut

if TYPE_CHECKING:
    from ..._recorded.switches import Switches


BESIDE = 2.0**-42
"""
How far inside of stretches times are clipped, as a share of the times: corners of functions that pass their levels at a
small angle are known to fewer digits than others, and machine code may round them in another way.
"""

LEFT_OUT = (
    " Not all times at which `fun` jumps, or has a pulse, were looked for: there are too many, or the span has no end. "
    "Steps may pass over brief ones; `max_step` limits them."
)
"""Said where steps may not end at all corners in time."""


class Switching(Protocol):
    """A recorded function with the values of its arguments after the state."""

    @property
    def parameters(self) -> tuple[Any, ...]: ...

    @property
    def notes(self) -> dict[Any, Any]: ...

    @property
    def switches(self) -> Switches | None: ...


class Places(NamedTuple):
    """
    Where steps end.

    Attributes
    ----------
    breaks : array or None
        Breakpoints within the span or at its ends, ascending.
    stops : array or None
        Further times, of narrow pulses of a smooth function.
    are_all : bool
        Whether none are left out because there are more than can be dealt with.
    """

    breaks: Array | None
    stops: Array | None = None
    are_all: bool = True

    @property
    def left_out(self) -> str:
        """What the message says of it."""
        return "" if self.are_all else LEFT_OUT

    def stretches(self, begin: float, end: float) -> Array | None:
        """Stretches `(m, 3)` from place to place: their ends, and limits of the times in them; None if it is one."""
        every = union(self.breaks, self.stops)
        if every is None or begin == end:
            return None
        xp = array_namespace(every)
        t, first, last = cut((begin, end), every, BESIDE)
        if self.stops is not None:
            is_soft = among(t, self.stops)
            first, last = xp.where(is_soft[:-1], t[:-1], first), xp.where(is_soft[1:], t[1:], last)
        return xp.stack([t[1:], xp.minimum(first, last), xp.maximum(first, last)], axis=-1)


def places_in(problem: Problem, recorded: Switching) -> Places:
    """
    Where steps end in the span of a problem.

    Left out are corners that are as near to a jump of the user's as rounding, kinks that are weak beside the tolerance,
    such as those of a fine table of a smooth function, and all, if there are more than can be dealt with. What was
    found for the same span and parameters is remembered.
    """
    switches = recorded.switches
    if switches is None:
        return Places(problem.breaks)
    key = sorted(problem.span), [number.tobytes() for number in map(problem.xp.asarray, recorded.parameters)]
    known, found = recorded.notes.get("corners", (None, None))
    if known != key:
        from ..._recorded.ends_of_steps import ends_of_steps  # noqa: PLC0415 - slow to import

        found = ends_of_steps(switches, recorded.parameters, *sorted(problem.span))
        recorded.notes["corners"] = key, found
    breaks = union(problem.breaks, _apart(found.strong(problem.rtol), problem.breaks))
    stops = _apart(found.stops, breaks)
    return Places(breaks, stops if stops.shape[0] else None, found.are_all)


def stretches_of_members(problem: Problem, switches: Switches, numbers: tuple[Array, ...]) -> tuple[Array, bool]:
    """
    Stretches `(members, m, 3)` of members whose corners differ: their ends, and limits of the times in them.

    Also, whether no places are left out. `numbers` have a first axis for members. Those with fewer stretches have some
    without length at the end.
    """
    xp, (begin, end) = problem.xp, problem.span
    way = 1.0 if end > begin else -1.0
    found, soft, are_all = _of_members(switches, numbers, min(begin, end), max(begin, end))
    if problem.breaks is not None:
        found = xp.concat([xp.broadcast_to(problem.breaks, (found.shape[0], problem.breaks.shape[0])), found], axis=1)
    low, high = way * begin, way * end
    near = 4 * INSIDE * max(abs(begin), abs(end))

    def ascending(given: Array) -> Array:
        """Times within the span, and its end in place of others and of those that come again."""
        within = (given > low + near) & (given < high - near)
        given = xp.sort(xp.where(within, given, xp.full_like(given, high)), axis=1)
        before = xp.concat([xp.full_like(given[:, :1], low), given[:, :-1]], axis=1)
        return xp.sort(xp.where(given - before <= near, xp.full_like(given, high), given), axis=1)

    hard, every = ascending(way * found), ascending(way * xp.concat([found, soft], axis=1))
    edge = xp.ones((every.shape[0], 1))
    t = xp.concat([low * edge, every, high * edge], axis=1)
    first, last = inside(t[:, :-1], t[:, 1:], BESIDE)
    if soft.shape[1]:
        is_soft = _apart_in_rows(t, xp.concat([low * edge, hard, high * edge], axis=1), near)
        first, last = xp.where(is_soft[:, :-1], t[:, :-1], first), xp.where(is_soft[:, 1:], t[:, 1:], last)
    t, first, last = way * t, way * first, way * last
    return xp.stack([t[:, 1:], xp.minimum(first, last), xp.maximum(first, last)], axis=-1), are_all


def _of_members(switches: Switches, numbers: tuple[Array, ...], begin: float, end: float) -> tuple[Array, Array, bool]:
    """Corners and stops of members, and whether none are left out."""
    from ..._recorded.corners import TooManyError, corners_of_members  # noqa: PLC0415 - slow to import
    from ..._recorded.pulses import stops_of_members  # noqa: PLC0415

    xp, count = array_namespace(numbers[0]), numbers[0].shape[0]
    none = xp.zeros((count, 0))
    try:
        found, are_all = corners_of_members(switches, numbers, begin, end)
    except TooManyError:
        found, are_all = none, False
    try:
        return found, stops_of_members(switches, numbers, begin, end), are_all
    except TooManyError:
        return found, none, False


def _apart_in_rows(values: Array, others: Array, near: float) -> Array:
    """Which values `(m, k)` are not within a distance of any of the others in their row."""
    xp = array_namespace(values)
    found = xp.ones(values.shape, dtype=xp.bool)
    for k in range(others.shape[1]):
        found = found & (xp.abs(values - others[:, k : k + 1]) > near)
    return found


def _apart(corners: Array, breaks: Array | None) -> Array:
    """The corners that are not breakpoints, up to rounding."""
    if breaks is None or not breaks.shape[0]:
        return corners
    xp = array_namespace(breaks)
    place = xp.searchsorted(breaks, corners)
    low = xp.take(breaks, xp.clip(place - 1, 0, None))
    high = xp.take(breaks, xp.clip(place, None, breaks.shape[0] - 1))
    near = 4 * INSIDE * xp.abs(corners)
    return corners[(xp.abs(corners - low) > near) & (xp.abs(corners - high) > near)]
