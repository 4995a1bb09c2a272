"""Checks of the user's functions at a few states: does the step broadcast, is the Jacobian the step's own."""

from __future__ import annotations

import numpy as np

from ._arrays import Array, array_namespace, copy, machine_epsilon, quiet, random_signs
from .jacobians import apply, differentiate, step_sizes
from .systems import Step

COLUMNS = 8
"""Columns of the Jacobian that are compared with differences."""

MOST_DENSE = 64
"""Components up to which a wrong Jacobian is also tried as a transposed one, for which it is made a full matrix."""

SAME_BY_CHANCE = 8
"""States of which one may differ without a reason: a step that rounds to whole numbers may sit on an edge there."""

STEP_SIZES = ((1.0, 0.0), (1e-4, 0.0), (1e-8, 0.0), (1.0, 0.1))
"""Sizes to try, as shares of the largest component's: for components that are zero at all states, and so do not tell
their scale; and for all at least. A component may be small by chance, and lost in the rounding of sums with others."""


def check_broadcasting(step: Step, states: Array, steps: int) -> None:
    """Raise unless one call on the stacked `states` equals a call for each.

    Inputs are taken from all over the time, or, if the step rejects those in these states, the states' own.
    """
    count = states.shape[0]
    try:
        equal = _broadcasts(step, states, max(1, steps // count))
    except Exception:
        equal = _broadcasts(step, states, 1)
    if not equal:
        raise ValueError(
            f"`step` does not broadcast over leading axes: one call on {count} stacked states gave other values than "
            f"{count} calls on one state each. Let it work on y[..., i] and on the last axes only "
            "(`y.sum(axis=-1)`, `y @ W`, `np.where` for `if`), without random numbers or memory of earlier calls; give "
            'inputs of one number per time an axis for it, x[:, None]; or use method="sequential".'
        )


def _broadcasts(step: Step, states: Array, stride: int) -> bool:
    """Whether one call on all states equals a call for each, with every `stride`-th input."""
    count = states.shape[0]
    with quiet():
        # Copies of all: a step may write to what it is given, and to what it returned before.
        together = copy(step(copy(states), slice(0, count * stride, stride)))
        rows = (copy(states[i : i + 1, ...]) for i in range(count))
        alone = [copy(step(row, slice(i * stride, i * stride + 1))) for i, row in enumerate(rows)]
    return rows_apart(together, array_namespace(states).concat(alone)) <= count // SAME_BY_CHANCE


def rows_apart(one: Array, other: Array) -> int:
    """Number of rows (first axis) that differ by more than rounding.

    By more than half the digits, relative to the largest entries of a component, or in being finite.
    """
    xp = array_namespace(one)
    finite = xp.isfinite(one) & xp.isfinite(other)
    unlike = xp.isfinite(one) != xp.isfinite(other)
    zero = xp.zeros_like(one)
    one, other = xp.where(finite, one, zero), xp.where(finite, other, zero)
    scale = xp.max(xp.abs(other), axis=tuple(range(other.ndim - 1)), keepdims=True)
    off = unlike | (xp.abs(one - other) > machine_epsilon(one.dtype) ** 0.5 * scale)
    return int(xp.sum(xp.astype(xp.any(xp.reshape(off, (off.shape[0], -1)), axis=1), xp.int64)))


def check_jacobian(step: Step, states: Array) -> None:
    """Raise unless the given Jacobian agrees with differences of the step at most of the stacked `states`."""
    with quiet():
        values, jacobian = map(copy, step.with_jacobian(copy(states), slice(0, states.shape[0])))
        tried = []
        for share, least in STEP_SIZES:
            try:
                wrong, transposed = _compare(step, states, values, jacobian, _sizes(states, share, least))
            except Exception:  # a step may reject states beside its trajectory: then there is nothing to compare with
                return
            if not wrong:
                return
            tried.append(transposed)
    hint = "check its formula, layout and scaling" if all(tried) else "it looks transposed"
    raise ValueError(
        f"`jac` disagrees with finite differences of `step` near the start: {hint}. Expected "
        f"∂step_i/∂y_j in the layout of {step.structure}, with trailing axes {step.structure.shape(states.shape[-1])}."
    )


def _sizes(states: Array, share: float, least: float) -> Array:
    """Perturbations of every component; `share` as for `step_sizes`."""
    xp = array_namespace(states)
    sizes = xp.abs(step_sizes(states, share))
    return xp.astype(xp.maximum(sizes, least * xp.max(sizes)), states.dtype)


def structure_covers(step: Step, states: Array) -> bool:
    """Whether the step's structure holds all of its derivative, as far as one direction of change tells.

    The matrices that differences give within the structure are applied to a change with alternating signs. Where the
    step couples components that the structure keeps apart, that is not the change of its values.
    """
    family = step.structure
    if family.is_full(states.shape[-1]):
        return True
    xp, times = array_namespace(states), slice(0, states.shape[0])

    def values(y: Array) -> Array:
        return copy(step(copy(y), times))

    try:
        with quiet():
            matrices = differentiate(values, states, family)
            change = step_sizes(states) * random_signs(states.shape, states, seed=0)
            predicted = apply(family, matrices, change)
            found = values(states + change) - values(states)
            bound = 0.01 * (_largest(predicted) + _largest(found))
            bound = bound + 20 * machine_epsilon(states.dtype) * _largest(values(states))
            off = xp.abs(predicted - found) > bound
    except Exception:  # a step may reject states beside its trajectory
        return False
    return not bool(xp.any(off))


def _compare(step: Step, states: Array, values: Array, jacobian: Array, sizes: Array) -> tuple[bool, bool]:
    """Whether the Jacobian, and whether its transpose, is wrong at half of the states or more."""
    xp = array_namespace(states)
    n, epsilon, family = states.shape[-1], machine_epsilon(states.dtype), step.structure
    rows = family.to_dense(jacobian) if n <= MOST_DENSE else None
    straight, transposed = 0, 0
    for j in sorted({int(j) for j in np.linspace(0, n - 1, min(n, COLUMNS))}):
        unit = xp.broadcast_to(xp.astype(xp.arange(n) == j, states.dtype), states.shape)
        shifted = states + sizes * unit
        h = (shifted - states)[..., j : j + 1]  # what the rounded sum really added
        column = (step(copy(shifted), slice(0, states.shape[0])) - values) / h
        given, pattern = apply(family, jacobian, unit), apply(family, xp.ones_like(jacobian), unit) != 0
        noise = 20 * epsilon * xp.max(xp.abs(values), axis=0, keepdims=True) / xp.abs(h)
        bound = 200 * epsilon**0.5 * (_largest(given) + _largest(column)) + noise
        straight = max(straight, _mismatches(given, column, pattern, bound))
        if rows is not None:
            transposed = max(transposed, _mismatches(rows[..., j, :], column, pattern, bound))
    transposed = straight if rows is None else transposed
    half = max(1, states.shape[0] // 2)
    return straight >= half, transposed >= half


def _largest(values: Array) -> Array:
    """Largest size along the last axis, kept."""
    xp = array_namespace(values)
    return xp.max(xp.abs(values), axis=-1, keepdims=True)


def _mismatches(column: Array, expected: Array, pattern: Array, bound: Array) -> int:
    """Number of states (first axis) at which a column is wrong within the pattern of the structure."""
    xp = array_namespace(column)
    off = pattern & (xp.abs(column - expected) > bound)  # false where a difference is not finite
    return int(xp.sum(xp.astype(xp.any(xp.reshape(off, (off.shape[0], -1)), axis=1), xp.int64)))
