"""The response of a user's function to small movements of its arguments: bounds the effect of their rounding."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from .._arrays.elementwise import same
from .._arrays.namespace import Array, Namespace, array_namespace, machine_epsilon, quiet, random_moves, random_signs
from .differences import Evaluate
from .step import Inputs, Step, each_input

PROBES = 4
"""Number of random directions in which the arguments of a right-hand side are moved."""

GROUPS = 7
"""Number of groups of components that are moved one after the other: movements of several components may cancel."""

ROUNDINGS = 8
"""Movement of the arguments of a step, in roundings: those of a few operations."""


def relative_response(evaluate: Evaluate, t: Array, states: Array) -> Array:
    """Movement of the values divided by the relative movement of the times and all numbers of the states.

    The result is at least the size of the values.
    """
    xp = array_namespace(states)
    size = machine_epsilon(states.dtype) ** 0.5
    with quiet():
        base = evaluate(t, states)
        largest = xp.abs(base)
        for probe in range(PROBES):
            moved = states * (1 + size * random_moves(states.shape, states, seed=probe))
            try:
                values = evaluate(t * (1 + size * (1 - 2 * (probe % 2))), moved)
            except Exception:  # the function may reject arguments beside those of the solution
                continue
            change = xp.abs(values - base) / size
            largest = xp.where(xp.isfinite(change), xp.maximum(largest, change), largest)
    return largest


def roundings(xp: Namespace, states: Array) -> Array:
    """A few roundings of every number."""
    return ROUNDINGS * machine_epsilon(states.dtype) * xp.abs(states)


def response(
    step: Step, states: Array, times: slice, sizes: Array | None = None, *, signs: tuple[int, ...] = (1, -1),
    moves_inputs: bool = True,
) -> Array:  # fmt: skip
    """Changes of a step's values at the stacked `states` as components move by ±`sizes`, summed over groups of them.

    By default `sizes` are a few roundings; the inputs move by a few roundings if `moves_inputs`. Of the changes for
    several `signs`, the largest counts. The response is zero where two calls with the same arguments give two answers:
    this is not due to rounding.
    """
    xp, n = step.xp, states.shape[-1]
    sizes = roundings(xp, states) if sizes is None else sizes
    change = xp.astype(sizes, states.dtype) * random_signs(states.shape, states, seed=0)
    own, count = step.inputs(times), min(n, GROUPS)
    moves = [xp.astype(xp.arange(n) % count == group, states.dtype) for group in range(count)]

    def largest(moved: Iterable[tuple[Array, Inputs]]) -> Array:
        changes = [step.varied(y, x, step.args, times) - base for y, x in moved]
        return xp.max(xp.abs(xp.stack(changes)), axis=0)

    with quiet():
        base = step.varied(states, own, step.args, times)
        total = xp.zeros_like(sizes)
        for move in moves:
            total += largest((states + sign * move * change, own) for sign in signs)
        if own is not None and moves_inputs:
            total += largest((states, each_input(partial(_nudged, sign), own)) for sign in signs)
        again = step.varied(states, own, step.args, times)
    return xp.where(same(xp, again, base), total, xp.zeros_like(total))


def _nudged(sign: int, x: Array) -> Array:
    """Inputs moved by a few roundings, unless they are integers."""
    if not array_namespace(x).isdtype(x.dtype, ("real floating", "complex floating")):
        return x
    return x * (1 + sign * ROUNDINGS * machine_epsilon(x.dtype) * random_signs(x.shape, x, seed=1))
