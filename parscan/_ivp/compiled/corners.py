"""The breakpoints of a compiled solve: the user's jumps, and the corners in time that the recorded function shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._arrays.namespace import Array, array_namespace
from ..core.mesh import INSIDE, union
from ..core.problem import Problem
from .recorded import Recorded

if TYPE_CHECKING:
    from ..._recorded.switches import Switches


def breaks_in(problem: Problem, recorded: Recorded) -> Array | None:
    """
    Breakpoints within the span or at its ends, ascending; None if there are none.

    Corners that are as near to a jump of the user's as rounding are left out, and so are all, if there are more than
    can be dealt with. Those that were found for the same span and parameters are remembered.
    """
    switches = recorded.switches
    if switches is None:
        return problem.breaks
    key = sorted(problem.span), [number.tobytes() for number in map(problem.xp.asarray, recorded.parameters)]
    known, found = recorded.notes.get("corners", (None, None))
    if known != key:
        found = _found(problem, recorded, switches)
        recorded.notes["corners"] = key, found
    return union(problem.breaks, _apart(found, problem.breaks))


def _found(problem: Problem, recorded: Recorded, switches: Switches) -> Array:
    from ..._recorded.corners import TooManyError, corners  # noqa: PLC0415 - slow to import

    try:
        return corners(switches, recorded.parameters, *sorted(problem.span))
    except TooManyError:
        return problem.xp.zeros((0,))


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
