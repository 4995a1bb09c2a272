"""Jumps of the right-hand side in time that a solver has stepped over.

Where a problem is stiff, the right-hand side may be arbitrarily large even close to the trajectory. Therefore it is
sampled within a step with the state held fixed: then it changes little between neighbouring times, unless it jumps.
"""

from __future__ import annotations

from ..._arrays.namespace import Array, array_namespace, quiet
from ..._functions.right_hand_side import RightHandSide
from ..core.polynomial import PiecewisePolynomial
from ..core.scale import Scale
from ..methods.defect import DEFECT_LIMIT
from ..methods.filter import filtered

PLACES = 16
"""Number of equal parts of a step; the right-hand side is sampled at their ends."""

DAMPED = 0.25
"""The filter that damps stiff components uses this share of the step."""


def jumped(rhs: RightHandSide, polynomial: PiecewisePolynomial, scale: Scale) -> Array:
    """Flags of the steps within which the right-hand side jumps by more than their errors allow, `(N,)`."""
    found = [_jumped(rhs, part, scale) for _, part in polynomial.groups(PLACES + 1)]
    return polynomial.xp.concat(found)


def _jumped(rhs: RightHandSide, polynomial: PiecewisePolynomial, scale: Scale) -> Array:
    """The flags of a group of steps."""
    xp = polynomial.xp
    N, *state = polynomial.stages[:, 0, ...].shape
    shares = xp.arange(PLACES + 1, dtype=polynomial.t.dtype) / PLACES
    times = polynomial.times(shares)
    with quiet():
        states = xp.broadcast_to(polynomial.y[:-1, None, ...], (N, PLACES + 1, *state))
        values = rhs(xp.reshape(times, (-1,)), xp.reshape(states, (-1, *state)))
        jumps = _spikes(xp.reshape(values, (N, PLACES + 1, *state)))
        effects = polynomial.lengths[..., None] * xp.moveaxis(jumps, 1, -1)
        _, jacobians = rhs.linearise(polynomial.t[:-1], polynomial.y[:-1, ...])
        errors = xp.max(filtered(effects, polynomial, jacobians, DAMPED), axis=-1)
        return scale.relative(errors, polynomial) > DEFECT_LIMIT


def _spikes(values: Array) -> Array:
    """Changes between neighbouring samples that exceed the sum of the two changes beside them; zero elsewhere."""
    xp = array_namespace(values)
    changes = values[:, 1:, ...] - values[:, :-1, ...]
    sizes = xp.abs(changes)
    before = xp.concat([sizes[:, 1:2, ...], sizes[:, :-1, ...]], axis=1)
    after = xp.concat([sizes[:, 1:, ...], sizes[:, -2:-1, ...]], axis=1)
    return xp.where(sizes > before + after, changes, xp.zeros_like(changes))
