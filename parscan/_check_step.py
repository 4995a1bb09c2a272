"""Checks of the user's functions at a few states: does the step broadcast, is the Jacobian the step's own."""

from __future__ import annotations

import numpy as np

from ._arrays import Array, array_namespace, copy, machine_epsilon, quiet
from .jacobians import Dense, perturbed
from .systems import Step

COLUMNS = 8
"""Columns of the Jacobian that are compared with differences."""


def check_broadcasting(step: Step, states: Array, steps: int) -> None:
    """Raise unless one call on the stacked `states` equals a call for each; inputs are taken from all over the time."""
    count = states.shape[0]
    stride = max(1, steps // count)
    xp = array_namespace(states)
    with quiet():
        together = step(copy(states), slice(0, count * stride, stride))
        rows = (copy(states[i : i + 1, ...]) for i in range(count))  # copies: a step may write to what it is given
        alone = xp.concat([step(row, slice(i * stride, i * stride + 1)) for i, row in enumerate(rows)])
    if not _close(together, alone):
        raise ValueError(
            f"`step` does not broadcast over leading axes: one call on {count} stacked states gave other values than "
            f"{count} calls on one state each. Let it work on y[..., i] and on the last axes only "
            "(`y.sum(axis=-1)`, `y @ W`), without random numbers or memory of earlier calls; "
            'or use method="sequential".'
        )


def _close(one: Array, other: Array) -> bool:
    """Whether two arrays agree but for rounding: half the digits, relative to the largest entries of a component."""
    xp = array_namespace(one)
    finite = xp.isfinite(one) & xp.isfinite(other)
    if not bool(xp.all(xp.isfinite(one) == xp.isfinite(other))):
        return False
    zero = xp.zeros_like(one)
    one, other = xp.where(finite, one, zero), xp.where(finite, other, zero)
    scale = xp.max(xp.abs(other), axis=tuple(range(other.ndim - 1)), keepdims=True)
    return bool(xp.all(xp.abs(one - other) <= machine_epsilon(one.dtype) ** 0.5 * scale))


def check_jacobian(step: Step, states: Array) -> None:
    """Raise unless the given Jacobian agrees with differences of the step at most of the stacked `states`."""
    xp = array_namespace(states)
    n = states.shape[-1]
    times = slice(0, states.shape[0])
    with quiet():
        values, jacobian = step.with_jacobian(copy(states), times)
        dense = step.structure.to_dense(jacobian)
        pattern = step.structure.to_dense(xp.ones_like(jacobian)) != 0
        shifted, added = perturbed(states, Dense())
        wrong, transposed = [], []
        for j in sorted({int(j) for j in np.linspace(0, n - 1, min(n, COLUMNS))}):
            column = (step(shifted[j, ...], times) - values) / added[..., j : j + 1]
            noise = 20 * machine_epsilon(states.dtype) * _largest(values) / xp.abs(added[..., j : j + 1])
            bound = 200 * machine_epsilon(states.dtype) ** 0.5 * (_largest(dense[..., :, j]) + _largest(column)) + noise
            wrong.append(_mismatch(dense[..., :, j], column, pattern[..., :, j], bound))
            transposed.append(_mismatch(dense[..., j, :], column, pattern[..., j, :], bound))
    points = max(1, states.shape[0] // 2)
    if max(map(_count, wrong)) < points:
        return
    hint = "it looks transposed" if max(map(_count, transposed)) < points else "check its formula, layout and scaling"
    raise ValueError(
        f"`jac` disagrees with finite differences of `step` near the start: {hint}. Expected "
        f"∂step_i/∂y_j in the layout of {step.structure}, with trailing axes {step.structure.shape(n)}."
    )


def _largest(values: Array) -> Array:
    """Largest size along the last axis, kept."""
    xp = array_namespace(values)
    return xp.max(xp.abs(values), axis=-1, keepdims=True)


def _mismatch(column: Array, expected: Array, pattern: Array, bound: Array) -> Array:
    """Points (first axis) at which a column is wrong within the pattern of the structure."""
    xp = array_namespace(column)
    off = pattern & (xp.abs(column - expected) > bound)  # false where a difference is not finite
    return xp.any(xp.reshape(off, (off.shape[0], -1)), axis=1)


def _count(flags: Array) -> int:
    """Number of set flags."""
    xp = array_namespace(flags)
    return int(xp.sum(xp.astype(flags, xp.int64)))
