"""Checks of a user's function, one of each kind.

- Do two ways of calling the function agree? Differences beyond about half the digits are accepted only if rounding of
  the arguments changes the values as much: see `agree`, `apart` and `unexplained`.
- Is a matrix its Jacobian? See `misses_change`, `is_transposed`, `is_far_too_large`, and `beyond` for single entries.
- Has it a complex derivative? See `has_no_derivative`.
- Does it give equal values for equal arguments? See `repeats`.

Every number has its own scale in these checks: a small component, or a small member of a batch, must be right, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import inf, isfinite

from .._arrays.elementwise import rows_of, same
from .._arrays.namespace import Array, Namespace, array_namespace, few_on_host, machine_epsilon, quiet, random_moves
from .._linalg.structure import Structure, apply
from .differences import ROUNDINGS, Evaluate, step_sizes
from .response import PROBES, relative_response, response
from .step import Step

REORDERED = 1000.0
"""Accepted difference between two ways of calling, in roundings of the arguments: sums may be in another order."""

FEW = 8
"""Distance, in roundings of the arguments, within which it does not matter on which side of a jump a function is."""

ENOUGH = 0.01
"""Accepted difference between two ways of calling, as a share of the relative tolerance, but at least rounding."""

EXPLAINED = 4.0
"""Accepted difference, in responses of the step: changes may cancel within a group of components."""

REPEATED = 16
"""Accepted difference of two answers for equal arguments, in roundings: the alignment of an array may matter."""

UNEQUAL = 1e-3
"""Share of a change by which those along both axes of the complex plane differ where there is no derivative."""

LARGE = 100.0
"""Factor from which a Jacobian is far too large; solutions are right up to a factor of a thousand."""

DIRECTIONS = (0, 1)
"""Seeds of random directions; a Jacobian must be too large along all of them."""

SHARES = (1.0, -1.0, 1e3, -1e3, 1e-2, 1e-4)
"""Changes along these directions, as shares of the usual change: a function may be steep only close by or on one side,
or flat over a long distance."""


def share_of(rtol: float, like: Array) -> float:
    """Relative difference that is always accepted: half the digits, or less if the tolerance is tight."""
    epsilon = machine_epsilon(like.dtype)
    return float(min(epsilon**0.5, max(REORDERED * epsilon, ENOUGH * rtol)))


def agree(found: Array, expected: Array, share: float, t: Array, states: Array, evaluate: Evaluate) -> bool:
    """Whether all values that are finite in `expected` agree to a share of their size, or as well as rounding allows.

    `evaluate` gave the expected values for these times and states. It is called again for rows with larger differences,
    to see whether rounding explains them: a small difference of large numbers carries their rounding, for example.
    """
    xp = array_namespace(expected)

    def granted(row: slice) -> Array:
        return REORDERED * machine_epsilon(expected.dtype) * relative_response(evaluate, t[row], states[row, ...])

    with quiet():
        distance = xp.abs(found - expected)
        off = xp.isfinite(expected) & ~(distance <= share * xp.abs(expected))
        if not bool(xp.any(off)):
            return True
        return next(unexplained(xp, off, distance, granted), None) is None


def are_beside_jumps(found: Array, expected: Array, share: float, t: Array, states: Array, evaluate: Evaluate) -> bool:
    """Whether all values that differ from those expected are values of the function a few roundings away.

    Where a function jumps, rounding decides on which side of the jump a state is, and no small response explains it.
    """
    xp, size = array_namespace(expected), FEW * machine_epsilon(states.dtype)
    with quiet():
        left = xp.any(~(xp.abs(found - expected) <= share * xp.abs(expected)), axis=-1)
        for probe in range(2 * PROBES):
            sign = 1 - 2 * (probe % 2)
            moves = random_moves(states.shape, states, seed=probe // 2)
            later = t * (1 + sign * size * (1 - probe // 2 % 2 * 2))
            try:
                values = evaluate(later, states * (1 + sign * size * moves))
            except Exception:  # the function may reject arguments beside those of the solution
                continue
            left = left & xp.any(~(xp.abs(found - values) <= share * xp.abs(values)), axis=-1)
    return not bool(xp.any(left))


def unexplained(xp: Namespace, off: Array, distance: Array, granted: Callable[[slice], Array]) -> Iterator[int]:
    """Rows in which a distance marked `off` is larger than the distance `granted(row)`."""
    for number in rows_of(xp, off):
        row = slice(number, number + 1)
        if bool(xp.any(off[row, ...] & ~(distance[row, ...] <= granted(row)))):
            yield number


def unlike_step(
    step: Step, states: Array, times: Sequence[int], difference: Array, off: Array, sizes: Array | None = None, *,
    moves_inputs: bool = True,
) -> list[int]:  # fmt: skip
    """Rows in which entries marked `off` differ by more than the response of the step explains.

    `difference` is the difference of two stacks of values at these states and times. For the response, the states move
    by `sizes`, by default a few roundings, and the inputs by a few roundings if `moves_inputs`.
    """

    def granted(row: slice) -> Array:
        moved, time = None if sizes is None else sizes[row, ...], times[row.start]
        try:
            return EXPLAINED * response(step, states[row, ...], slice(time, time + 1), moved, moves_inputs=moves_inputs)
        except Exception:  # a step may reject states beside its trajectory
            return step.xp.zeros_like(distance[row, ...])

    distance = step.xp.abs(difference)
    return list(unexplained(step.xp, off, distance, granted))


def alike(xp: Namespace, one: Array, other: Array, share: float) -> bool:
    """Whether all values of two stacks are finite and differ by no more than a share of their size: a quick test."""
    first, second = few_on_host(one, other)
    if first is one:
        return bool(xp.all(xp.abs(one - other) <= share * xp.abs(other)))
    with quiet():
        return bool((abs(first - second) <= share * abs(second)).all())


def apart(xp: Namespace, one: Array, other: Array) -> Array:
    """Flags of the values of two stacks that differ by more than half the digits, or only one of which is finite.

    The digits are relative to the largest value of the same component and member in `other`, over all rows.
    """
    finite = xp.isfinite(one) & xp.isfinite(other)
    unlike = xp.isfinite(one) != xp.isfinite(other)
    zero = xp.zeros_like(one)
    one, other = xp.where(finite, one, zero), xp.where(finite, other, zero)
    scale = xp.max(xp.abs(other), axis=0, keepdims=True)
    return unlike | (xp.abs(one - other) > machine_epsilon(one.dtype) ** 0.5 * scale)


def distances(one: Array, other: Array) -> Array:
    """Distances of two answers: zero where both are NaN, infinite where only one of them is."""
    xp = array_namespace(one)
    distance = xp.abs(one - other)
    distance = xp.where(same(xp, one, other), xp.zeros_like(distance), distance)
    return xp.where(xp.isnan(distance), xp.full_like(distance, inf), distance)


def repeats(one: Array, other: Array, response: Callable[[], Array]) -> bool:
    """Whether two answers for equal arguments are equal up to rounding.

    If they differ by more than a few roundings of the values, they may still differ by roundings of the arguments:
    `response()` is the movement of the values divided by the relative movement of the arguments.
    """
    xp, distance = array_namespace(one), distances(one, other)

    def within(size: Array) -> bool:
        return bool(xp.all((distance == 0) | (distance <= REPEATED * machine_epsilon(one.dtype) * size)))

    return within(xp.abs(one)) or within(response())


def beyond(xp: Namespace, one: Array, other: Array, share: float, noise: Array, size: Array | None = None) -> Array:
    """Flags of the numbers that differ by more than a share of their sizes plus the noise; False if one is not finite.

    `size`, if given, replaces the size of `other`.
    """
    size = xp.abs(other) if size is None else size
    return xp.abs(one - other) > share * (xp.abs(one) + size) + noise


def misses_change(
    values: Callable[[Array], Array],
    structure: Structure,
    matrices: Array,
    states: Array,
    change: Array,
    carried: Callable[[Array], Array],
) -> Array:
    """Flags of the values whose change, from `states - change` to `states + change`, the Jacobians do not predict.

    `carried(values)` are the sizes of the numbers whose rounding errors the values carry.
    """
    xp, epsilon = array_namespace(states), machine_epsilon(states.dtype)
    up, down = states + change, states - change
    above = values(up)
    found, predicted = above - values(down), apply(structure, matrices, up - down)
    terms = xp.abs(apply(structure, _sizes(matrices), _sizes(up - down)))
    return beyond(xp, found, predicted, 100 * epsilon**0.5, ROUNDINGS * epsilon * carried(above), terms)


def _sizes(x: Array) -> Array:
    """Absolute values, in the same dtype even if that is complex."""
    xp = array_namespace(x)
    return xp.astype(xp.abs(x), x.dtype, copy=False)


def is_transposed(by_differences: Evaluate, t: Array, states: Array, values: Array, matrices: Array) -> bool:
    """Whether Jacobians agree with differences only after they are transposed."""
    try:
        differences = by_differences(t, states)
    except Exception:  # the states may be at the edge of the function's domain
        return False
    xp = array_namespace(states)
    sizes = xp.abs(states)[..., None, :]
    is_close = _are_close(xp.matrix_transpose(matrices), differences, sizes, values)
    return is_close and not _are_close(matrices, differences, sizes, values)


def _are_close(matrices: Array, differences: Array, sizes: Array, values: Array) -> bool:
    """Whether Jacobians agree to the accuracy of differences: by rows, in the units of the values and components."""
    xp = array_namespace(matrices)
    precision = 100 * machine_epsilon(matrices.dtype) ** 0.5
    with quiet():
        largest = xp.max(xp.abs(differences) * sizes, axis=-1, keepdims=True)
        bound = precision * xp.maximum(largest, xp.abs(values)[..., None])
        return bool(xp.all(xp.abs(matrices - differences) * sizes <= bound))


def is_far_too_large(
    evaluate: Evaluate, t: Array, states: Array, values: Array, matrices: Array, span: tuple[float, float]
) -> bool:
    """Whether Jacobians of a right-hand side are far larger than its differences at any of the states.

    A Jacobian is not too large where its effect is small compared with the value itself, or with a rate that matters
    within the span.

    Most wrong Jacobians only make Newton's method slow. One that is far too large makes solutions wrong: corrections
    are divided by it and seem to have converged, and the filter for stiff components removes errors.
    """
    xp = array_namespace(states)
    small, length = machine_epsilon(states.dtype) ** 0.5, abs(span[1] - span[0])
    with quiet():
        sizes = step_sizes(states)
        changes = [sizes * random_moves(states.shape, states, seed=seed) for seed in DIRECTIONS]
        moved = xp.concat([states + share * change for change in changes for share in SHARES])
        try:
            found = evaluate(xp.concat([t] * (len(DIRECTIONS) * len(SHARES))), moved)
        except Exception:  # as in `is_transposed`
            return False
        found = xp.reshape(found, (len(DIRECTIONS), len(SHARES), *states.shape)) - values
        sizes = xp.abs(xp.stack([found[:, place, ...] / share for place, share in enumerate(SHARES)]))
        largest = xp.max(xp.where(xp.isfinite(sizes), sizes, xp.zeros_like(sizes)), axis=0)
        least = small * xp.maximum(xp.abs(values), xp.abs(states) / (length if isfinite(length) else 1.0))
        meant = xp.abs(xp.stack([(matrices @ change[..., None])[..., 0] for change in changes]))
        return bool(xp.any(xp.all(meant > LARGE * xp.maximum(largest, least), axis=0)))


def has_no_derivative(function: Callable[[Array], Array], states: Array, change: Array) -> Array:
    """Flags `(m,)` of complex states whose real `change`, turned by a right angle, does not turn that of the values."""
    xp, axes = array_namespace(states), tuple(range(1, states.ndim))
    values = [function(states + step * change) for step in (1, -1, 1j, -1j)]
    real, imaginary = values[0] - values[1], values[2] - values[3]
    size = xp.max(xp.maximum(xp.abs(real), xp.abs(imaginary)), axis=axes)
    rounding = machine_epsilon(states.dtype) / UNEQUAL * xp.max(xp.abs(values[0]), axis=axes)
    flags: Array = xp.max(xp.abs(imaginary - 1j * real), axis=axes) > UNEQUAL * size + rounding
    return flags
