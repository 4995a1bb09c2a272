"""Whether the user's Jacobian still can be that of `fun` on the solution, where it is compared with differences."""

from __future__ import annotations

from ..._arrays.namespace import Array, array_namespace
from ..._functions.right_hand_side import RightHandSide
from ..._functions.verify import is_far_too_large

LATER = 5
"""States from all over a solved trajectory at which a Jacobian is checked again."""

NUMBERS = 1 << 22
"""Numbers in the Jacobians there, at most, but for that of one state."""


def fits_trajectory(rhs: RightHandSide, t: Array, states: Array, span: tuple[float, float]) -> bool:
    """Whether the Jacobian is not far too large at some states of a solved trajectory either."""
    xp, (count, *_, n) = array_namespace(states), states.shape
    wanted = min(LATER, max(1, NUMBERS // max(1, n * states[0, ...].size)))
    some = xp.asarray(sorted({(2 * k + 1) * count // (2 * wanted) for k in range(wanted)}))
    times, places = xp.take(t, some), xp.take(states, some, axis=0)
    values = rhs(times, places)
    return not is_far_too_large(rhs, times, places, values, rhs.jacobian(times, places, values), span)
