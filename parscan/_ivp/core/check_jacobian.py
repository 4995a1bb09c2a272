"""Whether the user's Jacobian can be that of `fun`: it is compared with differences, at the start and on the solution.

A wrong Jacobian makes Newton's method slow, no more. One that is far too large does worse: corrections are small since
they are divided by it, as if they had converged, and errors are small since stiff components are filtered out of them.
"""

from __future__ import annotations

from math import isfinite

from ..._arrays.namespace import Array, array_namespace, machine_epsilon, quiet, random_signs
from ..._functions.agreement import spread
from ..._functions.differences import step_sizes
from ..._functions.right_hand_side import RightHandSide

LARGE = 100.0
"""A Jacobian is far too large if it is so many times what it should be; up to a thousand, solutions are right."""

DIRECTIONS = (0, 1)
"""Seeds of random directions of change, by all of which a Jacobian must be too large."""

SHARES = (1.0, -1.0, 1e3, -1e3, 1e-2, 1e-4)
"""The changes, as shares of the usual one: a function may be steep within less, on one side only, or flat for long."""

LATER = 5
"""States from all over a solved trajectory at which a Jacobian is looked at again."""

NUMBERS = 1 << 22
"""Numbers in the Jacobians there, at most, but for that of one state."""


def is_transposed(rhs: RightHandSide, t: Array, states: Array, values: Array, matrices: Array) -> bool:
    """Whether the Jacobians are right only when their rows and columns change places."""
    try:
        differences = rhs.differences(t, states)
    except Exception:  # a function may reject states so near to the edge of where it is defined
        return False
    xp = array_namespace(states)
    sizes = xp.abs(states)[..., None, :]
    is_close = _close(xp.matrix_transpose(matrices), differences, sizes, values)
    return is_close and not _close(matrices, differences, sizes, values)


def is_far_too_large(
    rhs: RightHandSide, t: Array, states: Array, values: Array, matrices: Array, span: tuple[float, float]
) -> bool:
    """Whether the Jacobians at any of the states are far larger than differences of the function.

    A component's change is compared with its own rate, too, and with what makes a difference within the span.
    """
    xp = array_namespace(states)
    small, length = machine_epsilon(states.dtype) ** 0.5, abs(span[1] - span[0])
    with quiet():
        sizes = step_sizes(states)
        changes = [sizes * random_signs(states.shape, states, seed=seed) * spread(states, seed) for seed in DIRECTIONS]
        moved = xp.concat([states + share * change for change in changes for share in SHARES])
        try:
            found = rhs(xp.concat([t] * (len(DIRECTIONS) * len(SHARES))), moved)
        except Exception:  # as above
            return False
        found = xp.reshape(found, (len(DIRECTIONS), len(SHARES), *states.shape)) - values
        sizes = xp.abs(xp.stack([found[:, place, ...] / share for place, share in enumerate(SHARES)]))
        largest = xp.max(xp.where(xp.isfinite(sizes), sizes, xp.zeros_like(sizes)), axis=0)
        least = small * xp.maximum(xp.abs(values), xp.abs(states) / (length if isfinite(length) else 1.0))
        meant = xp.abs(xp.stack([(matrices @ change[..., None])[..., 0] for change in changes]))
        return bool(xp.any(xp.all(meant > LARGE * xp.maximum(largest, least), axis=0)))


def fits_trajectory(rhs: RightHandSide, t: Array, states: Array, span: tuple[float, float]) -> bool:
    """Whether the Jacobian is not far too large at some states of a solved trajectory either."""
    xp, (count, *_, n) = array_namespace(states), states.shape
    wanted = min(LATER, max(1, NUMBERS // max(1, n * states[0, ...].size)))
    some = xp.asarray(sorted({(2 * k + 1) * count // (2 * wanted) for k in range(wanted)}))
    times, places = xp.take(t, some), xp.take(states, some, axis=0)
    values = rhs(times, places)
    return not is_far_too_large(rhs, times, places, values, rhs.jacobian(times, places, values), span)


def _close(matrices: Array, differences: Array, sizes: Array, values: Array) -> bool:
    """Whether Jacobians agree as well as differences do: row by row, in the units of the values and the components."""
    xp = array_namespace(matrices)
    precision = 100 * machine_epsilon(matrices.dtype) ** 0.5
    with quiet():
        largest = xp.max(xp.abs(differences) * sizes, axis=-1, keepdims=True)
        bound = precision * xp.maximum(largest, xp.abs(values)[..., None])
        return bool(xp.all(xp.abs(matrices - differences) * sizes <= bound))
