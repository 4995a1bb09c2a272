"""Whether a user's Jacobian is the exact derivative of the right-hand side: Newton's method needs only a close one."""

from __future__ import annotations

from ..._arrays.elementwise import rows_of
from ..._arrays.namespace import Array, array_namespace, quiet, random_signs
from ..._functions.differences import POWER, step_sizes
from ..._functions.right_hand_side import RightHandSide
from ..._functions.verify import misses_change
from ..._linalg.dense import Dense

SAMPLE = 32
"""Points at which the Jacobian is checked."""

FEW = 0.25
"""Share of the points at which it may be wrong, for example because of a kink there."""


def exactly_linearised(rhs: RightHandSide, t: Array, states: Array) -> RightHandSide:
    """The right-hand side with the user's Jacobian if that is exact at a sample of points, else without it."""
    if not rhs.has_jacobian or states.size == 0:
        return rhs
    xp = array_namespace(states)
    count = states.shape[0]
    some = xp.arange(0, count, max(1, -(-count // SAMPLE)))
    try:
        with quiet():
            off = _off(rhs, xp.take(t, some), xp.take(states, some, axis=0))
    except Exception:  # `fun` may reject states beside the solution; no comparison is possible then
        return rhs
    return rhs.without_jacobian() if off > FEW * some.shape[0] else rhs


def _off(rhs: RightHandSide, t: Array, states: Array) -> int:
    """Number of points at which a change of all components changes the values otherwise than the Jacobian predicts."""
    xp = array_namespace(states)
    change = random_signs(states.shape, states, seed=0) * step_sizes(states, power=POWER)
    matrices = rhs.jacobian(t, states, states)

    def carried(values: Array) -> Array:  # large numbers may cancel in them
        return xp.maximum(xp.abs(values), xp.sum(xp.abs(matrices) * xp.abs(states)[..., None, :], axis=-1))

    return len(rows_of(xp, misses_change(lambda y: rhs(t, y), Dense(), matrices, states, change, carried)))
