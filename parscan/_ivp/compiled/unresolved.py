"""
Whether the steps of a solution are short enough for its adjoint.

Steps follow the solution. Where the solution is at rest, or slow, they may be far longer than small changes of it take
to grow or to turn, and then the adjoint of the steps is not that of the equations. The adjoint itself shows this: if
steps are short enough for a method of high order, it changes by a small share of itself in each. It does not show waves
in time that are shorter than the steps: `waves` looks for these.
"""

from __future__ import annotations

from math import factorial, pi, sin

from ..._arrays.namespace import Array, array_namespace, quiet
from ..sensitivities.looks import sizes_of

ORDER = 8
"""Of DOP853."""


def are_too_long(adjoint: Array, given: Array, states: Array, error: float) -> bool:
    """
    Whether an adjoint changes by more within a step than a method of high order resolves with such an error.

    Parameters
    ----------
    adjoint, given, states : arrays, shapes (N + 1, ..., n)
        Gradients by the states at nodes, the parts of these that are due to output there, and the states.
    error : float
    """
    xp = array_namespace(adjoint)
    sizes = sizes_of(states)
    angle = min((error * factorial(ORDER + 1)) ** (1 / (ORDER + 1)), pi / 2)
    with quiet():
        before, after = (adjoint - given)[:-1, ...] * sizes, adjoint[1:, ...] * sizes
        change, *ends = (xp.max(xp.abs(one), axis=-1) for one in (before - after, before, after))
        return not bool(xp.all(change <= 2 * sin(angle / 2) * xp.minimum(*ends)))
