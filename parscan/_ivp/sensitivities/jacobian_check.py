"""Checks that a user's Jacobian is exact: derivatives need an exact one, Newton's method only a close one."""

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
"""Share of the points at which the Jacobian may be wrong, at a kink for example."""


def exactly_linearised(rhs: RightHandSide, t: Array, states: Array) -> RightHandSide:
    """The right-hand side, without the user's Jacobian unless this is exact at a sample of points."""
    if not rhs.has_jacobian or states.size == 0:
        return rhs
    xp = array_namespace(states)
    count = states.shape[0]
    some = xp.arange(0, count, max(1, -(-count // SAMPLE)))
    try:
        with quiet():
            off = _off(rhs, xp.take(t, some), xp.take(states, some, axis=0))
    except Exception:  # `fun` may reject states beside the solution; then no comparison is possible
        return rhs
    return rhs.without_jacobian() if off > FEW * some.shape[0] else rhs


def _off(rhs: RightHandSide, t: Array, states: Array) -> int:
    """Number of points at which the Jacobian does not predict the effect of a change of all components."""
    xp = array_namespace(states)
    change = random_signs(states.shape, states, seed=0) * step_sizes(states, power=POWER)
    matrices = rhs.jacobian(t, states, states)

    def carried(values: Array) -> Array:  # large terms may cancel in a value: rounding is relative to them
        return xp.maximum(xp.abs(values), xp.sum(xp.abs(matrices) * xp.abs(states)[..., None, :], axis=-1))

    return len(rows_of(xp, misses_change(lambda y: rhs(t, y), Dense(), matrices, states, change, carried)))
