"""The breakpoints of a compiled solve: the user's jumps, and the corners in time that the recorded function shows."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Protocol

from ..._arrays.namespace import Array, array_namespace
from ..core.mesh import INSIDE, inside, union
from ..core.problem import Problem

if TYPE_CHECKING:
    from ..._recorded.switches import Switches


BESIDE = 2.0**-42
"""
How far inside of stretches times are clipped, as a share of the times: corners of functions that pass their levels at a
small angle are known to fewer digits than others, and machine code may round them in another way.
"""

FEW = 8
"""Corners that are all breakpoints, however weak they are."""

WEAK = 0.1
"""Kinks that are weaker than this share of the relative tolerance are no breakpoints; see `strengths`."""


class Switching(Protocol):
    """A recorded function with the values of its arguments after the state."""

    @property
    def parameters(self) -> tuple[Any, ...]: ...

    @property
    def notes(self) -> dict[Any, Any]: ...

    @property
    def switches(self) -> Switches | None: ...


def breaks_in(problem: Problem, recorded: Switching) -> Array | None:
    """
    Breakpoints within the span or at its ends, ascending; None if there are none.

    Left out are corners that are as near to a jump of the user's as rounding, kinks that are weak beside the tolerance,
    such as those of a fine table of a smooth function, and all, if there are more than can be dealt with. Corners that
    were found for the same span and parameters are remembered.
    """
    switches = recorded.switches
    if switches is None:
        return problem.breaks
    key = sorted(problem.span), [number.tobytes() for number in map(problem.xp.asarray, recorded.parameters)]
    known, found, strong = recorded.notes.get("corners", (None, None, None))
    if known != key:
        found, strong = _found(problem, recorded, switches)
        recorded.notes["corners"] = key, found, strong
    return union(problem.breaks, _apart(found[strong > WEAK * problem.rtol], problem.breaks))


def stretches_of_members(problem: Problem, switches: Switches, numbers: tuple[Array, ...]) -> Array:
    """
    Stretches `(members, m, 3)` of members whose corners differ: their ends, and limits of the times in them.

    `numbers` have a first axis for members. Those with fewer stretches have some without length at the end.
    """
    from ..._recorded.corners import TooManyError, corners_of_members  # noqa: PLC0415 - slow to import

    xp, (begin, end) = problem.xp, problem.span
    way = 1.0 if end > begin else -1.0
    try:
        found = way * corners_of_members(switches, numbers, min(begin, end), max(begin, end))
    except TooManyError:
        found = xp.zeros((numbers[0].shape[0], 0))
    if problem.breaks is not None:
        found = xp.concat(
            [xp.broadcast_to(way * problem.breaks, (found.shape[0], problem.breaks.shape[0])), found], axis=1
        )
    low, high = way * begin, way * end
    near = 4 * INSIDE * max(abs(begin), abs(end))
    found = xp.sort(xp.where((found > low + near) & (found < high - near), found, xp.full_like(found, high)), axis=1)
    before = xp.concat([xp.full_like(found[:, :1], low), found[:, :-1]], axis=1)
    found = xp.sort(xp.where(found - before <= near, xp.full_like(found, high), found), axis=1)
    edge = xp.ones((found.shape[0], 1))
    t = way * xp.concat([low * edge, found, high * edge], axis=1)
    first, last = inside(t[:, :-1], t[:, 1:], BESIDE)
    return xp.stack([t[:, 1:], xp.minimum(first, last), xp.maximum(first, last)], axis=-1)


def _found(problem: Problem, recorded: Switching, switches: Switches) -> tuple[Array, Array]:
    """Corners, and how strong they are."""
    from ..._recorded.corners import TooManyError, corners, strengths  # noqa: PLC0415 - slow to import

    begin, end = sorted(problem.span)
    try:
        found = corners(switches, recorded.parameters, begin, end)
    except TooManyError:
        found = problem.xp.zeros((0,))
    if found.shape[0] <= FEW:
        return found, problem.xp.full_like(found, inf)
    return found, strengths(switches, recorded.parameters, begin, end, found)


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
