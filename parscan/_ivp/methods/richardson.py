"""Derivatives by differences that are right to more digits than Newton's method needs.

Central differences with two steps, extrapolated to fourth order (Richardson); where the two disagree, because the
function bends within the step or is not defined at its end, shorter steps are tried.
"""

from __future__ import annotations

from collections.abc import Callable

from ..._arrays.namespace import Array, array_namespace, machine_epsilon, quiet
from ..._functions.differences import step_sizes
from ..._functions.right_hand_side import RightHandSide

POWER = 0.25
"""Steps are so large relative to a component, as a power of ε: with fourth order, rounding is ε^(3/4) then."""

AGREEMENT = 0.4
"""Up to this power of ε, the quotients of both steps may differ."""

SHORTER, ROUNDS = 1 / 8, 5
"""What is left of steps that were too long, and how often they are tried again: down to about √ε."""

ROUNDINGS = 8
"""Roundings of its value that an entry of a quotient may be off: so much tells nothing of how the function bends."""

POINTS = 1 << 19
"""Numbers of perturbed states that are evaluated at once."""


def exact_jacobian(rhs: RightHandSide, t: Array, states: Array) -> Array:
    """Jacobians `(m, *batch, n, n)` at the stacked states: the user's own, or by accurate differences."""
    if rhs.has_jacobian:
        return rhs.jacobian(t, states, states)
    xp, n = array_namespace(states), states.shape[-1]
    sizes = step_sizes(states, power=POWER)
    chunk = max(1, POINTS // max(1, 4 * states[:1, ...].size))
    parts = []
    for first in range(0, states.shape[0], chunk):
        some = slice(first, min(first + chunk, states.shape[0]))
        parts.append(_jacobian(rhs, t[some], states[some, ...], sizes[some, ...]))
    return xp.concat(parts) if parts else xp.zeros((*states.shape, n), dtype=states.dtype)


def _jacobian(rhs: RightHandSide, t: Array, states: Array, sizes: Array) -> Array:
    """Column after column."""
    xp = array_namespace(states)
    columns = []
    for j in range(states.shape[-1]):
        unit = xp.astype(xp.arange(states.shape[-1]) == j, states.dtype)

        def difference(rows: Array, shift: Array, unit: Array = unit) -> tuple[Array, Array]:
            base, change = xp.take(states, rows, axis=0), shift[..., None] * unit
            up, down = base + change, base - change
            times = xp.take(t, rows)
            both = rhs(xp.concat([times, times]), xp.concat([up, down]))
            count = rows.shape[0]
            added = xp.sum(up - down, axis=-1)  # what rounding has left of twice the change
            roundings = ROUNDINGS * machine_epsilon(states.dtype) * xp.abs(both[:count, ...])
            return (both[:count, ...] - both[count:, ...]) / added[..., None], roundings / xp.abs(added)[..., None]

        columns.append(differentiate(difference, sizes[..., j]))
    with quiet():
        J = xp.stack(columns, axis=-1)
    lost = ~xp.all(xp.reshape(xp.isfinite(J), (J.shape[0], -1)), axis=-1)
    if bool(xp.any(lost)):  # at the edge of where the function is defined, differences to one side may do
        rows = xp.nonzero(lost)[0]
        one_sided = rhs.differences(xp.take(t, rows), xp.take(states, rows, axis=0))
        J = _replaced(J, rows, xp.where(xp.isfinite(xp.take(J, rows, axis=0)), xp.take(J, rows, axis=0), one_sided))
    return J


Difference = Callable[[Array, Array], tuple[Array, Array]]
"""Quotients `(k, *batch, n)` at some of the points, for the steps `(k, *batch)`, and what rounding may make of them."""


def differentiate(difference: Difference, sizes: Array) -> Array:
    """Derivatives from central differences `difference(rows, shift)`.

    `sizes` `(m, *batch)` are steps to begin with. Where the quotients of one component disagree, that component gets
    shorter ones, however small it is beside the others.
    """
    xp = array_namespace(sizes)
    rows = xp.arange(sizes.shape[0])
    enough = machine_epsilon(sizes.dtype) ** AGREEMENT
    with quiet():
        value, doubtful, typical = _extrapolated(difference, rows, sizes, None)
        for _ in range(ROUNDS):
            worst = xp.max(xp.reshape(doubtful, (doubtful.shape[0], -1)), axis=1)
            chosen = xp.nonzero(worst > enough)[0]
            if chosen.shape[0] == 0:
                break
            rows = xp.take(rows, chosen)
            before = xp.take(doubtful, chosen, axis=0)
            sizes = xp.take(sizes, chosen, axis=0) * SHORTER
            closer, doubtful, _ = _extrapolated(difference, rows, sizes, typical)
            better = (doubtful < before) & (before > enough)
            value = _replaced(value, rows, xp.where(better, closer, xp.take(value, rows, axis=0)))
            doubtful = xp.where(better, doubtful, xp.zeros_like(doubtful))  # shorter steps do not help there
        return value


def _extrapolated(
    difference: Difference, rows: Array, sizes: Array, typical: Array | None
) -> tuple[Array, Array, Array]:
    """Derivatives of fourth order; how far both quotients of each component are apart; and the components' sizes.

    Both are apart by what is beyond rounding, relative to the largest component at the point, or to the `typical` size
    of the component if that is smaller: by default, its largest at these points. No numbers are infinitely far apart.
    """
    xp = array_namespace(sizes)
    both, roundings = difference(xp.concat([rows, rows]), xp.concat([sizes, sizes / 2]))
    long, short = both[: rows.shape[0], ...], both[rows.shape[0] :, ...]
    size = xp.abs(short)
    if typical is None:
        typical = xp.max(xp.where(xp.isfinite(size), size, xp.zeros_like(size)), axis=tuple(range(size.ndim - 1)))
    beyond = xp.abs(short - long) - roundings[rows.shape[0] :, ...]
    apart = beyond / xp.minimum(xp.max(size, axis=-1, keepdims=True), typical)
    apart = xp.where(beyond <= 0, xp.zeros_like(apart), apart)
    apart = xp.where(xp.isfinite(apart), apart, xp.full_like(apart, float("inf")))
    return short + (short - long) / 3, apart, typical


def _replaced(values: Array, rows: Array, others: Array) -> Array:
    """The values with some rows, in ascending order, replaced."""
    xp = array_namespace(values)
    every = xp.arange(values.shape[0], dtype=rows.dtype)
    place = xp.clip(xp.searchsorted(rows, every), 0, rows.shape[0] - 1)
    replaced = xp.take(rows, place) == every
    return xp.where(xp.reshape(replaced, (-1, *(1,) * (values.ndim - 1))), xp.take(others, place, axis=0), values)
