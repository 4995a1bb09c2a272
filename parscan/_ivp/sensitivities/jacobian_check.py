"""Whether a user's Jacobian is the derivative of the right-hand side: for Newton's method, something near it does."""

from __future__ import annotations

from ..._arrays.namespace import Array, array_namespace, machine_epsilon, quiet, random_signs
from ..._functions.differences import step_sizes
from ..._functions.right_hand_side import RightHandSide

SAMPLE = 32
"""Points that are looked at."""

FEW = 0.25
"""Share of them at which it may be off, for example for a kink there."""

ROUNDINGS = 20
"""Roundings of a value that a change of it may be off."""


def exactly_linearised(rhs: RightHandSide, t: Array, states: Array) -> RightHandSide:
    """The right-hand side with the user's Jacobian if it is exact, as far as a sample tells; else without it."""
    if not rhs.has_jacobian or states.size == 0:
        return rhs
    xp = array_namespace(states)
    count = states.shape[0]
    some = xp.arange(0, count, max(1, -(-count // SAMPLE)))
    try:
        with quiet():
            off = _off(rhs, xp.take(t, some), xp.take(states, some, axis=0))
    except Exception:  # `fun` may reject states beside the solution: then there is nothing to compare with
        return rhs
    return rhs.without_jacobian() if off > FEW * some.shape[0] else rhs


def _off(rhs: RightHandSide, t: Array, states: Array) -> int:
    """At how many points a change of all components changes the values otherwise than the Jacobian tells."""
    xp, epsilon = array_namespace(states), machine_epsilon(states.dtype)
    change = random_signs(states.shape, states, seed=0) * step_sizes(states, power=1 / 3)
    up, down = states + change, states - change
    above = rhs(t, up)
    found = above - rhs(t, down)
    matrices = rhs.jacobian(t, states, states)
    predicted = (matrices @ (up - down)[..., None])[..., 0]
    size = xp.sum(xp.abs(matrices) * xp.abs(up - down)[..., None, :], axis=-1) + xp.abs(found)
    carried = xp.sum(xp.abs(matrices) * xp.abs(states)[..., None, :], axis=-1)  # roundings of large numbers that cancel
    noise = ROUNDINGS * epsilon * xp.maximum(xp.abs(above), carried)
    off = xp.abs(found - predicted) > 100 * epsilon**0.5 * size + noise
    return int(xp.sum(xp.astype(xp.any(xp.reshape(off, (off.shape[0], -1)), axis=1), xp.int64)))
