"""Derivatives by finite differences: the size of perturbations, and Jacobians by three formulas.

- `forward` and `forward_full`: with an error of about √ε, enough for Newton's method.
- `central`: with an error of ε^(2/3), for derivatives along a solution.
- `extrapolated`: with an error of about ε^(3/4), by Richardson extrapolation of central differences with two steps.

`forward` and `central` differentiate a function of states into the layout of a structure, with one perturbation for
each of its colours. `forward_full` and `extrapolated` differentiate a function of times and states into full matrices.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

from .._arrays.elementwise import finite_rows
from .._arrays.namespace import Array, array_namespace, machine_epsilon, quiet, smallest_normal
from .._linalg.structure import Structure, seeds

POWER = 1 / 3
"""The relative perturbation ε to this power balances truncation and rounding of central differences."""

SMALL, OFTEN = 0.01, 0.05
"""A component ranges over several scales if it is below the first share of its largest size at more than the second
share of the states."""

LITTLE = 0.01
"""Perturbations of a component below this share of the largest component may be lost in rounding."""

ROUNDINGS = 20
"""Rounding error of a difference, in roundings of the largest value."""

CHUNK = 1 << 21
"""Largest number of entries of a stack of perturbed states; larger stacks are evaluated in parts."""

EXTRAPOLATED_POWER, EXTRAPOLATED_CHUNK = 0.25, 1 << 19
"""Steps of differences of fourth order are ε to this power, so that rounding is ε^(3/4); numbers evaluated at once."""

AGREEMENT = 0.4
"""The quotients of the two steps of an extrapolation may differ by ε to this power, relative to their size."""

SHORTER, ROUNDS = 1 / 8, 5
"""Steps that were too long are shortened by this factor, and tried again this many times: down to about √ε."""

QUOTIENT_ROUNDINGS = 8
"""Rounding error of a quotient, in roundings of a value; a larger difference of quotients means that the function
bends."""

CURVED, SUSPICIOUS = 0.02, 16
"""A function bends within a change if its second difference exceeds a share of the first one, or of its mean size.
Above the share CURVED, first differences are wrong by about the square of the share. Above SUSPICIOUS times the
relative change, the function may have left a low and narrow bell."""

TYPICAL = 64
"""Number of states over which the mean size of differences is taken."""

SPACINGS = 4
"""Smallest perturbation that is tried, in spacings of the numbers at the state."""

BEND_ROUNDINGS = 4
"""Rounding error of differences of second differences, in rounding errors of quotients."""

Evaluate: TypeAlias = Callable[[Array, Array], Array]
"""A function of times `(m,)` and stacked states `(m, *batch, n)`, whose values have `m` rows."""

Difference: TypeAlias = Callable[[Array, Array], tuple[Array, Array, Array]]
"""A function of rows of the points and steps `(k, *batch)`: difference quotients `(k, *batch, n)`, second differences
divided by the same distances, and the rounding errors of the quotients."""


def curved(epsilon: float) -> float:
    """Ratio of second to first differences above which a function bends within a change of ε^(1/3)."""
    return min(CURVED, SUSPICIOUS * epsilon**POWER)


def shortenings(epsilon: float) -> int:
    """How often a change of ε^(1/3) can be shortened, down to a few spacings of the numbers."""
    return int(math.log(epsilon ** (POWER - 1) / SPACINGS, 1 / SHORTER))


def step_sizes(
    states: Array, share: float = 1.0, power: float = 0.5, among: Array | None = None, least: float = 0.1
) -> Array:
    """Perturbation of every component of the stacked `states` `(k, ..., n)`: ε to this power times its size.

    A size of at least a share `least` of the component's largest size `among` some stacked states, by default these, is
    assumed. If the component is zero everywhere, `share` times the largest of the other components is assumed; if all
    are zero, 1 is.
    """
    xp = array_namespace(states)
    size = xp.abs(states)
    sizes = size if among is None else xp.abs(among)
    axes = tuple(range(size.ndim - 1))
    largest = xp.max(sizes, axis=axes) if sizes.size else xp.ones(size.shape[-1], dtype=size.dtype)
    overall = xp.max(largest, keepdims=True) if largest.size else xp.zeros(1, dtype=largest.dtype)
    fallback = share * xp.where(overall > 0, overall, xp.ones_like(overall))
    typical = xp.where(largest > 0, least * largest, fallback)
    relative = machine_epsilon(states.dtype) ** power
    lowest = smallest_normal(states.dtype) / relative**2  # denormal states: keep h above 0
    return xp.astype(relative * xp.maximum(size, typical + lowest), states.dtype, copy=False)


def perturbed(states: Array, structure: Structure, share: float = 1.0) -> tuple[Array, Array]:
    """States with each colour perturbed, `(colours, k, ..., n)`, and the perturbations after rounding, `(k, ..., n)`.

    `share` as for `step_sizes`.
    """
    shifted = states + step_sizes(states, share)
    added = shifted - states  # the perturbation after rounding of the sum
    pattern = _patterns(states, structure)
    return states[None, ...] + pattern * added[None, ...], added


def _patterns(states: Array, structure: Structure) -> Array:
    """The perturbed components of each colour, broadcasting against the stacked states: `(colours, 1, ..., n)`."""
    pattern = seeds(array_namespace(states), structure, states.shape[-1], states.dtype)
    return array_namespace(states).reshape(pattern, (pattern.shape[0], *(1,) * (states.ndim - 1), pattern.shape[1]))


def quotients(responses: Array, base: Array, added: Array, structure: Structure) -> Array:
    """Matrices of difference quotients from values at perturbed, `(colours, k, ..., n)`, and other states `base`."""
    matrices = structure.from_differences(responses - base[None, ...])
    return structure.scale_columns(matrices, 1 / added)


def forward(function: Callable[[Array], Array], states: Array, structure: Structure) -> Array:
    """Jacobians of `function` at the stacked `states` in the layout of a structure, by one call for each colour."""
    xp = array_namespace(states)
    shifted, added = perturbed(states, structure)
    base = function(states)
    responses = xp.stack([function(shifted[c, ...]) for c in range(shifted.shape[0])])
    return quotients(responses, base, added, structure)


def forward_full(evaluate: Evaluate, t: Array, states: Array, values: Array | None) -> tuple[Array, Array]:
    """Values `(m, *batch, n)` and full Jacobians `(m, *batch, n, n)` of a function of times and states.

    All states are evaluated with each component perturbed, and without perturbation unless their `values` are known, in
    as few calls as memory allows.
    """
    xp, (m, *_, n) = array_namespace(states), states.shape
    added = (states + step_sizes(states)) - states  # the perturbation after rounding of the sum
    group = max(1, CHUNK // max(1, states.size))
    columns: list[Array] = []
    for first in range(0, n, group):
        some = range(first, min(first + group, n))
        unknown = values is None
        stacked = xp.concat([states] * (len(some) + unknown))
        for place, column in enumerate(some, start=unknown):
            stacked[place * m : (place + 1) * m, ..., column] += added[..., column]
        responses = evaluate(xp.concat([t] * (len(some) + unknown)), stacked)
        if values is None:
            values, responses = responses[:m, ...], responses[m:, ...]
        with quiet():
            changes = xp.reshape(responses, (len(some), *states.shape)) - values
            columns.append(xp.permute_dims(changes, (*range(1, changes.ndim), 0)) / added[..., None, first : some.stop])
    if values is None:
        values = evaluate(t, states)
    if len(columns) == 1:
        return values, columns[0]
    return values, xp.concat(columns, axis=-1) if columns else xp.zeros((*states.shape, n), dtype=states.dtype)


def central(
    function: Callable[[Array], Array], states: Array, structure: Structure, among: Array, values: Array | None = None
) -> Array:
    """Jacobians by central differences, two calls per colour, with an error of ε^(2/3).

    A component that is small compared with its own largest size `among` some states has two possible scales. If it
    passes through zero, or has decayed, a share of the largest size is a good perturbation. If it ranges over several
    orders of magnitude, and the function bends on the scale of each, only a share of its present size is good. If the
    component is often small, both are tried: the result of the larger perturbation is taken unless the two differ by
    more than the rounding error of the smaller one. In the same way, a share of the largest component is tried for a
    component that is everywhere small compared with another. A matrix depends on its own state and on `among`, not on
    the other stacked states.

    The `values` of the function at the states, if given, show where it bends within a perturbation, as in a narrow
    bell; smaller perturbations are tried there. They need to be accurate to the tolerance of a solution.
    """
    xp = array_namespace(states)
    sizes = step_sizes(states, power=POWER, among=among)
    matrices, noise = _resolved(function, states, structure, sizes, values)
    if _has_little(among):
        try:
            large, _ = _central(function, states, structure, xp.maximum(sizes, _least_of_all(states, among)))
        except Exception:  # the function may reject states this far from the trajectory
            large = matrices
        matrices = xp.where((xp.abs(large - matrices) <= noise) & xp.isfinite(large), large, matrices)
    if not _ranges(among):
        return matrices
    own_sizes = step_sizes(states, power=POWER, among=among, least=0.0)
    own, noise = _resolved(function, states, structure, own_sizes, values)
    return xp.where((xp.abs(matrices - own) <= noise) | ~xp.isfinite(own), matrices, own)


def _has_little(states: Array) -> bool:
    """Whether some component, not zero everywhere, is always small compared with the largest one."""
    xp = array_namespace(states)
    largest = xp.max(xp.abs(xp.reshape(states, (-1, states.shape[-1]))), axis=0)
    return bool(xp.any((largest > 0) & (largest < LITTLE * xp.max(largest))))


def _least_of_all(states: Array, among: Array) -> Array:
    """Perturbations of all components by a share of the largest one."""
    xp = array_namespace(states)
    share = 0.1 * machine_epsilon(states.dtype) ** POWER
    return xp.astype(xp.broadcast_to(share * xp.max(xp.abs(among)), states.shape), states.dtype)


def _central(
    function: Callable[[Array], Array],
    states: Array,
    structure: Structure,
    sizes: Array,
    inspect: Callable[[Array, Array, Array], None] | None = None,
) -> tuple[Array, Array]:
    """Central differences with perturbations of these sizes, and their rounding errors.

    For each colour, `inspect` gets the values for forward and backward perturbations, which it may overwrite, and their
    difference.
    """
    xp = array_namespace(states)
    up, down = states + sizes, states - sizes
    chosen = _patterns(states, structure) != 0
    changes, roundings = [], []
    for c in range(chosen.shape[0]):
        above, below = (function(xp.where(chosen[c, ...], end, states)) for end in (up, down))
        changes.append(above - below)
        largest = xp.max(xp.abs(above), axis=-1, keepdims=True)
        roundings.append(xp.broadcast_to(ROUNDINGS * machine_epsilon(states.dtype) * largest, states.shape))
        if inspect is not None:
            inspect(above, below, changes[-1])
    matrices, noise = (structure.from_differences(xp.stack(rows)) for rows in (changes, roundings))
    return structure.scale_columns(matrices, 1 / (up - down)), structure.scale_columns(noise, 1 / xp.abs(up - down))


def _resolved(
    function: Callable[[Array], Array], states: Array, structure: Structure, sizes: Array, values: Array | None
) -> tuple[Array, Array]:
    """Central differences, with smaller perturbations where the function bends, and their rounding errors.

    Bends are detected only if `values` are given.
    """
    if values is None:
        return _central(function, states, structure, sizes)
    xp, share, bent = array_namespace(states), curved(machine_epsilon(states.dtype)), False

    def inspect(above: Array, below: Array, change: Array) -> None:
        nonlocal bent
        if bent:
            return
        least = share * xp.mean(xp.abs(change[:: max(1, change.shape[0] // TYPICAL), ...]), axis=0)
        above += below
        above -= values
        above -= values
        bend = xp.abs(above)
        bent = bool(xp.max(bend) > xp.min(least)) and bool(xp.any(bend > least))

    found = _central(function, states, structure, sizes, inspect)
    return _with_smaller(function, states, structure, sizes) if bent else found


def _with_smaller(
    function: Callable[[Array], Array], states: Array, structure: Structure, sizes: Array
) -> tuple[Array, Array]:
    """Central differences with smaller and smaller perturbations, and their rounding errors.

    An entry is taken from the first perturbation within which the function does not bend, or from the next one if both
    agree. If there is no such perturbation, as at a kink, the entry keeps its first value.
    """
    xp, values, share = array_namespace(states), function(states), curved(machine_epsilon(states.dtype))

    def tried(sizes: Array) -> tuple[Array, Array, Array]:
        bends: list[Array] = []
        slopes, noise = _central(
            function, states, structure, sizes, lambda above, below, _: bends.append(above + below - 2 * values)
        )
        added = (states + sizes) - (states - sizes)
        return slopes, noise, structure.scale_columns(structure.from_differences(xp.stack(bends)), 1 / added)

    slopes, noise, bends = tried(sizes)
    typical = xp.mean(xp.abs(slopes), axis=0)

    def doubtful(slopes: Array, noise: Array, bends: Array) -> Array:
        return (xp.abs(bends) > share * xp.maximum(xp.abs(slopes), typical)) & (xp.abs(bends) > noise)

    doubt = doubtful(slopes, noise, bends)
    settling = xp.zeros_like(doubt)
    for _ in range(shortenings(machine_epsilon(states.dtype))):
        if not bool(xp.any(doubt | settling)):
            break
        sizes = sizes * SHORTER
        nearer, roundings, bends = tried(sizes)
        resolved = doubt & ~doubtful(nearer, roundings, bends) & xp.isfinite(nearer)
        settled = settling & (xp.abs(nearer - slopes) <= CURVED**2 * xp.abs(slopes))
        slopes = xp.where(resolved | settled, nearer, slopes)
        noise = xp.where(resolved | settled, roundings, noise)
        doubt, settling = doubt & ~resolved, resolved
    return slopes, noise


def _ranges(states: Array) -> bool:
    """Whether some component is often small compared with its own largest size."""
    xp = array_namespace(states)
    sizes = xp.reshape(xp.abs(states), (-1, states.shape[-1]))
    small = xp.astype(sizes < SMALL * xp.max(sizes, axis=0), sizes.dtype)
    return bool(xp.any(xp.mean(small, axis=0) > OFTEN))


def extrapolated(evaluate: Evaluate, t: Array, states: Array) -> Array:
    """Full Jacobians `(m, *batch, n, n)` by differences of fourth order.

    If the quotients of the two steps disagree, because the function bends within a step or is not defined at its end,
    shorter steps are tried.
    """
    xp, n = array_namespace(states), states.shape[-1]
    sizes = step_sizes(states, power=EXTRAPOLATED_POWER)
    chunk = max(1, EXTRAPOLATED_CHUNK // max(1, 4 * states[:1, ...].size))
    parts = []
    for first in range(0, states.shape[0], chunk):
        some = slice(first, min(first + chunk, states.shape[0]))
        parts.append(_extrapolated_columns(evaluate, t[some], states[some, ...], sizes[some, ...]))
    return xp.concat(parts) if parts else xp.zeros((*states.shape, n), dtype=states.dtype)


def _extrapolated_columns(evaluate: Evaluate, t: Array, states: Array, sizes: Array) -> Array:
    """The Jacobians of some points, column by column."""
    xp, values = array_namespace(states), evaluate(t, states)
    columns = []
    for j in range(states.shape[-1]):
        unit = xp.astype(xp.arange(states.shape[-1]) == j, states.dtype)

        def difference(rows: Array, shift: Array, unit: Array = unit) -> tuple[Array, Array, Array]:
            base, change = xp.take(states, rows, axis=0), shift[..., None] * unit
            up, down = base + change, base - change
            times = xp.take(t, rows)
            both = evaluate(xp.concat([times, times]), xp.concat([up, down]))
            ahead, behind = both[: rows.shape[0], ...], both[rows.shape[0] :, ...]
            added = xp.sum(up - down, axis=-1)[..., None]  # twice the change, after rounding
            roundings = QUOTIENT_ROUNDINGS * machine_epsilon(states.dtype) * xp.abs(ahead)
            bends = ahead + behind - 2 * xp.take(values, rows, axis=0)
            return (ahead - behind) / added, bends / added, roundings / xp.abs(added)

        columns.append(_without_doubt(difference, sizes[..., j]))
    with quiet():
        J = xp.stack(columns, axis=-1)
    lost = ~finite_rows(xp, J)
    if bool(xp.any(lost)):  # at the edge of the function's domain, one-sided differences may work
        rows = xp.nonzero(lost)[0]
        one_sided = forward_full(evaluate, xp.take(t, rows), xp.take(states, rows, axis=0), None)[1]
        J = _replaced(J, rows, xp.where(xp.isfinite(xp.take(J, rows, axis=0)), xp.take(J, rows, axis=0), one_sided))
    return J


def _without_doubt(difference: Difference, sizes: Array) -> Array:
    """Derivatives from central differences `difference(rows, shift)`, with shorter steps where they are doubtful.

    `sizes` `(m, *batch)` are the first steps. If the quotients of a component disagree, its derivatives are taken from
    shorter steps, however small the component is compared with others.
    """
    xp = array_namespace(sizes)
    rows = xp.arange(sizes.shape[0])
    enough = machine_epsilon(sizes.dtype) ** AGREEMENT
    with quiet():
        value, doubtful, typical = _fourth_order(difference, rows, sizes, None)
        for _ in range(ROUNDS):
            worst = xp.max(xp.reshape(doubtful, (doubtful.shape[0], -1)), axis=1)
            chosen = xp.nonzero(worst > enough)[0]
            if chosen.shape[0] == 0:
                break
            rows = xp.take(rows, chosen)
            before = xp.take(doubtful, chosen, axis=0)
            sizes = xp.take(sizes, chosen, axis=0) * SHORTER
            closer, doubtful, _ = _fourth_order(difference, rows, sizes, typical)
            better = (doubtful < before) & (before > enough)
            value = _replaced(value, rows, xp.where(better, closer, xp.take(value, rows, axis=0)))
            doubtful = xp.where(better, doubtful, before)  # steps as long as a narrow bell are worse than the first
        return value


def _fourth_order(
    difference: Difference, rows: Array, sizes: Array, typical: Array | None
) -> tuple[Array, Array, Array]:
    """Derivatives of fourth order, their estimated errors, and the typical sizes of components.

    The error is the difference of the two quotients beyond rounding. It also includes the difference of second
    differences, which shows a narrow bell that both quotients miss. It is relative to the largest component at the
    point, or to the `typical` size of the component if that is smaller: by default, its largest size at these points.
    The error is infinite where a quotient is not finite.
    """
    xp, count = array_namespace(sizes), rows.shape[0]
    both, bends, roundings = difference(xp.concat([rows, rows]), xp.concat([sizes, sizes / 2]))
    long, short, noise = both[:count, ...], both[count:, ...], roundings[count:, ...]
    size = xp.abs(short)
    if typical is None:
        typical = xp.max(xp.where(xp.isfinite(size), size, xp.zeros_like(size)), axis=tuple(range(size.ndim - 1)))
    quotients = xp.abs(short - long) - noise
    curves = xp.abs(bends[:count, ...] - 2 * bends[count:, ...]) - BEND_ROUNDINGS * noise
    beyond, largest = xp.maximum(quotients, curves), xp.max(size, axis=-1, keepdims=True)
    apart = beyond / xp.where(typical > 0, xp.minimum(largest, typical), largest)
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
