"""Whether the user's functions can be called for many times at once."""

from __future__ import annotations

from collections.abc import Callable
from math import copysign, isfinite
from typing import Any

from .._arrays import Array, array_namespace, machine_epsilon, quiet
from ._function import RightHandSide

SAMPLE = 5
"""States that both ways of calling are compared on, at least: as many as no dimension has."""

LATER = 3
"""States of a solved trajectory that are looked at again."""

SPREAD = 1e-3
"""How far, relative to its components, the sampled states are from the initial one."""


def functions_stack(
    make: Callable[[bool, bool], RightHandSide], span: tuple[float, float], y0: Array, *, jac: Any
) -> tuple[bool, bool]:
    """Whether `fun`, and whether `jac`, gives the same for all of a few states at once as for each.

    `make(stacks, jac_stacks)` makes a right-hand side. What a call on one state raises is the user's to see.
    """
    times, states = _sample(span, y0)
    alone, together = make(False, False), make(True, True)
    values = alone(times, states)
    stacks = _same(lambda: together(times, states), values)
    if jac is None:
        return stacks, stacks
    matrices = alone.jacobian(times, states, values)
    _reject_transposed(alone, times[:1], states[:1, ...], matrices[:1, ...])
    return stacks, not callable(jac) or _same(lambda: together.jacobian(times, states, values), matrices)


def trajectory_stacks(rhs: RightHandSide, alone: RightHandSide, t: Array, states: Array) -> bool:
    """Whether `fun` gives the same for all states of a solved trajectory as for some of them alone.

    At the start it did; a branch on all the times or states shows only later.
    """
    xp, count = array_namespace(states), t.shape[0]
    some = xp.asarray(sorted({k * (count - 1) // (LATER - 1) for k in range(LATER)}))
    together = xp.take(rhs(t, states), some, axis=0)
    return _same(lambda: together, alone(xp.take(t, some), xp.take(states, some, axis=0)))


def _reject_transposed(rhs: RightHandSide, times: Array, states: Array, matrices: Array) -> None:
    """Raise if `jac` is right only when its rows and columns change places."""
    differences = rhs.differences(times, states)
    swapped = array_namespace(matrices).matrix_transpose(matrices)
    if _close(swapped, differences) and not _close(matrices, differences):
        raise ValueError(
            "`jac` is transposed: entry [i, j] must be the derivative of component i of `fun` by component j of `y`, "
            "and differences of `fun` say that it is the other way round."
        )


def _close(matrices: Array, differences: Array) -> bool:
    """Whether Jacobians agree as well as differences do."""
    xp = array_namespace(matrices)
    precision = 100 * machine_epsilon(matrices.dtype) ** 0.5
    return bool(xp.all(xp.abs(matrices - differences) <= precision * xp.max(xp.abs(differences))))


def _sample(span: tuple[float, float], y0: Array) -> tuple[Array, Array]:
    """Times near the start of the span, and states near the initial one, all different."""
    xp = array_namespace(y0)
    real = xp.abs(y0).dtype
    count = next(count for count in range(SAMPLE, SAMPLE + y0.ndim + 1) if count not in y0.shape)
    share = xp.arange(count, dtype=real)
    length = span[1] - span[0]
    times = span[0] + (length if isfinite(length) else copysign(1.0, length)) * SPREAD * share / count
    factors = xp.reshape(1 + SPREAD * share, (-1, *(1,) * y0.ndim))
    return times, y0[None, ...] * xp.astype(factors, y0.dtype)


def _same(evaluate: Callable[[], Array], expected: Array) -> bool:
    """Whether a call on all states gives what single calls gave; false if it raises."""
    xp = array_namespace(expected)
    try:
        found: Any = evaluate()
    except Exception:  # a function that was written for one state may do anything with many
        return False
    with quiet():
        scale = xp.max(xp.abs(xp.where(xp.isfinite(expected), expected, xp.zeros_like(expected))))
        close = xp.abs(found - expected) <= machine_epsilon(expected.dtype) ** 0.5 * scale
        return bool(xp.all(close | ~xp.isfinite(expected)))
