"""How far the values of a step move when its arguments do: what rounding may make of them, and what it may not."""

from __future__ import annotations

from .._arrays.namespace import Array, array_namespace, copy, machine_epsilon, quiet, random_signs
from .step import Inputs, Step

GROUPS = 7
"""Groups of components that move one after the other: what moves together may cancel."""

ROUNDINGS = 8
"""Roundings by which the arguments move: those of a few operations."""

EXPLAINED = 4.0
"""Multiple of the movement that a difference may have: within a group, changes may have cancelled."""


def roundings(states: Array) -> Array:
    """A few roundings of every number."""
    return ROUNDINGS * machine_epsilon(states.dtype) * array_namespace(states).abs(states)


def response(
    step: Step, states: Array, times: slice, sizes: Array | None = None, *, signs: tuple[int, ...] = (1, -1)
) -> Array:
    """Changes of the step's values at the stacked `states` as components move by ±`sizes`, in sum over all of them.

    By default `sizes` are a few roundings; those of the inputs always are. Of the changes by several `signs`, the
    larger counts. Zero where the step, called twice alike, gives two answers: that is no rounding.
    """
    xp, n = array_namespace(states), states.shape[-1]
    sizes = roundings(states) if sizes is None else sizes
    change = xp.astype(sizes, states.dtype) * random_signs(states.shape, states, seed=0)
    own, count = step.inputs(times), min(n, GROUPS)
    moves = [xp.astype(xp.arange(n) % count == group, states.dtype) for group in range(count)]

    def values(y: Array, x: Inputs) -> Array:
        return copy(step.varied(copy(y), x, step.args, times))

    with quiet():
        base = values(states, own)
        total = xp.zeros_like(sizes)
        for move in moves:
            total += _largest([values(states + sign * move * change, own) - base for sign in signs])
        if own is not None:
            total += _largest([values(states, _nudged(own, sign)) - base for sign in signs])
        again = values(states, own)
    alike = (again == base) | (xp.isnan(again) & xp.isnan(base))
    return xp.where(alike, total, xp.zeros_like(total))


def explains(moved: Array, difference: Array) -> Array:
    """Where a difference is no more than a step moves anyway."""
    return array_namespace(moved).abs(difference) <= EXPLAINED * moved


def _largest(changes: list[Array]) -> Array:
    """Largest sizes, entry by entry."""
    xp = array_namespace(changes[0])
    largest = xp.abs(changes[0])
    for change in changes[1:]:
        largest = xp.maximum(largest, xp.abs(change))
    return largest


def _nudged(x: Array | tuple[Array, ...], sign: int) -> Inputs:
    """Inputs that are off by a few roundings; whole numbers are not."""
    if isinstance(x, tuple):
        return tuple(_nudged(part, sign) for part in x)
    if not array_namespace(x).isdtype(x.dtype, ("real floating", "complex floating")):
        return x
    return x * (1 + sign * ROUNDINGS * machine_epsilon(x.dtype) * random_signs(x.shape, x, seed=1))
