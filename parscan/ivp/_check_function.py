"""Whether the user's functions can be called for many times at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._arrays import Array, array_namespace, machine_epsilon
from ._function import RightHandSide

SAMPLE = 5
"""States that both ways of calling are compared on; a number that no dimension is likely to have."""

SPREAD = 1e-3
"""How far, relative to its components, the sampled states are from the initial one."""


def functions_stack(
    make: Callable[[bool, bool], RightHandSide], span: tuple[float, float], y0: Array, *, has_jac: bool
) -> tuple[bool, bool]:
    """Whether `fun`, and whether `jac`, gives the same for all of a few states at once as for each.

    `make(stacks, jac_stacks)` makes a right-hand side. What a call on one state raises is the user's to see.
    """
    times, states = _sample(span, y0)
    alone, together = make(False, False), make(True, True)
    values = alone(times, states)
    stacks = _same(lambda: together(times, states), values)
    if not has_jac:
        return stacks, stacks
    matrices = alone.jacobian(times, states, values)
    return stacks, _same(lambda: together.jacobian(times, states, values), matrices)


def _sample(span: tuple[float, float], y0: Array) -> tuple[Array, Array]:
    """Times near the start of the span, and states near the initial one, all different."""
    xp = array_namespace(y0)
    real = xp.abs(y0).dtype
    share = xp.arange(SAMPLE, dtype=real)
    times = span[0] + (span[1] - span[0]) * SPREAD * share / SAMPLE
    factors = xp.reshape(1 + SPREAD * share, (-1, *(1,) * y0.ndim))
    return times, y0[None, ...] * xp.astype(factors, y0.dtype)


def _same(evaluate: Callable[[], Array], expected: Array) -> bool:
    """Whether a call on all states gives what single calls gave; false if it raises."""
    xp = array_namespace(expected)
    try:
        found: Any = evaluate()
    except Exception:  # a function that was written for one state may do anything with many
        return False
    scale = xp.max(xp.abs(xp.where(xp.isfinite(expected), expected, xp.zeros_like(expected))))
    close = xp.abs(found - expected) <= machine_epsilon(expected.dtype) ** 0.5 * scale
    return bool(xp.all(close | ~xp.isfinite(expected)))
