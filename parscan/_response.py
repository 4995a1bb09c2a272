"""How far the values of a step move when its arguments do: what rounding may make of them, and what it may not."""

from __future__ import annotations

from ._arrays import Array, array_namespace, copy, machine_epsilon, quiet, random_signs
from .systems import Inputs, Step

DRAWS = 8
"""Random directions in which the arguments move."""

ROUNDINGS = 8
"""Roundings by which they move: those of a few operations."""

EXPLAINED = 4.0
"""Multiple of the largest movement seen that a difference may have: the directions are few."""


def roundings(states: Array) -> Array:
    """A few roundings of every number."""
    return ROUNDINGS * machine_epsilon(states.dtype) * array_namespace(states).abs(states)


def response(step: Step, states: Array, times: slice, sizes: Array | None = None) -> Array:
    """Largest change of the step's values at the stacked `states` as these change by ±`sizes`, entry by entry.

    By default `sizes` are a few roundings; those of the inputs always are. Zero where the step, called twice alike,
    gives two answers: that is no rounding.
    """
    xp = array_namespace(states)
    sizes = roundings(states) if sizes is None else sizes
    with quiet():
        base = copy(step(copy(states), times))
        moved = xp.zeros_like(sizes)
        for draw in range(DRAWS):
            shifted = states + xp.astype(sizes, states.dtype) * random_signs(states.shape, states, seed=draw)
            values = step.varied(shifted, _rounded(step.inputs(times), draw), step.args, times)
            moved = xp.maximum(moved, xp.abs(values - base))
        again = step(copy(states), times)
    alike = (again == base) | (xp.isnan(again) & xp.isnan(base))
    return xp.where(alike, moved, xp.zeros_like(moved))


def explains(moved: Array, difference: Array) -> Array:
    """Where a difference is no more than a step moves anyway."""
    return array_namespace(moved).abs(difference) <= EXPLAINED * moved


def _rounded(x: Inputs, seed: int) -> Inputs:
    """Inputs that are off by a few roundings; whole numbers are not."""
    if x is None:
        return None
    if isinstance(x, tuple):
        return tuple(_nudged(part, seed) for part in x)
    return _nudged(x, seed)


def _nudged(x: Array, seed: int) -> Array:
    """The same for one array."""
    xp = array_namespace(x)
    if not xp.isdtype(x.dtype, ("real floating", "complex floating")):
        return x
    signs = random_signs(x.shape, x, seed=DRAWS + seed)
    return x * (1 + ROUNDINGS * machine_epsilon(x.dtype) * signs)
