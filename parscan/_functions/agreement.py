"""Whether two ways of calling a function agree, every number of what it returns on a scale of its own."""

from __future__ import annotations

from collections.abc import Callable

from .._arrays.namespace import Array, array_namespace, machine_epsilon, quiet, random_signs

PROBES = 4
"""Random directions in which arguments are moved, to see what their rounding does."""

ROUNDINGS = 1000.0
"""Roundings of the arguments that two ways of calling may differ by: sums in another order, for example."""

ENOUGH = 0.01
"""Share of the relative tolerance that two ways of calling may differ by, down to rounding."""

Evaluate = Callable[[Array, Array], Array]
"""A function of times `(m,)` and stacked states `(m, *batch, n)`, whose values have `m` rows."""


def share_of(rtol: float, like: Array) -> float:
    """The relative difference that is always granted: half the digits, or fewer where the tolerance is tight."""
    epsilon = machine_epsilon(like.dtype)
    return float(min(epsilon**0.5, max(ROUNDINGS * epsilon, ENOUGH * rtol)))


def agree(found: Array, expected: Array, share: float, t: Array, states: Array, evaluate: Evaluate) -> bool:
    """Whether all values that are finite in `expected` agree, by the share, or as far as rounding of arguments goes.

    `evaluate` gave the expected values for these times and states; it is called again where more than the share has to
    be explained. A small difference of large numbers, for example, carries their rounding.
    """
    xp = array_namespace(expected)
    with quiet():
        distance = xp.abs(found - expected)
        off = xp.isfinite(expected) & ~(distance <= share * xp.abs(expected))
        rows = xp.nonzero(xp.any(xp.reshape(off, (off.shape[0], -1)), axis=1))[0]
        for place in range(rows.shape[0]):
            row = slice(int(rows[place]), int(rows[place]) + 1)
            granted = ROUNDINGS * machine_epsilon(expected.dtype) * response(evaluate, t[row], states[row, ...])
            if bool(xp.any(off[row, ...] & ~(distance[row, ...] <= granted))):
                return False
    return True


def response(evaluate: Evaluate, t: Array, states: Array) -> Array:
    """How far the values move as all numbers of their arguments do, per relative movement; their size at least."""
    xp = array_namespace(states)
    size = machine_epsilon(states.dtype) ** 0.5
    with quiet():
        base = evaluate(t, states)
        largest = xp.abs(base)
        for probe in range(PROBES):
            signs = random_signs(states.shape, states, seed=probe)
            moved = states * (1 + size * signs * spread(states, probe))
            try:
                values = evaluate(t * (1 + size * (1 - 2 * (probe % 2))), moved)
            except Exception:  # a function may reject arguments beside those of the solution
                continue
            change = xp.abs(values - base) / size
            largest = xp.where(xp.isfinite(change), xp.maximum(largest, change), largest)
    return largest


def spread(states: Array, seed: int) -> Array:
    """Random factors, 1/3 or 1, for movements of different size."""
    return (2 + random_signs(states.shape, states, seed=1000 + seed)) / 3
