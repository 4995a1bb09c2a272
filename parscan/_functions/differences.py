"""Finite differences: step sizes, perturbed states, and the Jacobian of a function of stacked states."""

from __future__ import annotations

from collections.abc import Callable

from .._arrays.namespace import Array, array_namespace, machine_epsilon, quiet, smallest_normal
from .._linalg.structure import Structure, seeds

POWER = 1 / 3
"""Power of ε that balances the errors of central differences."""

SMALL, OFTEN = 0.01, 0.05
"""A component that is below this share of its largest size, at such a share of the states, may be small by nature."""

LITTLE = 0.01
"""Share of the largest component below which perturbations of another may be lost in its roundings."""

ROUNDINGS = 20
"""Roundings of the largest value that a difference may be off."""


CHUNK = 1 << 21
"""Numbers in a stack of perturbed states, above which it is evaluated in parts."""


def step_sizes(
    states: Array, share: float = 1.0, power: float = 0.5, among: Array | None = None, least: float = 0.1
) -> Array:
    """Perturbation of every component of the stacked `states` `(k, ..., n)`: ε to this power of its own size.

    A component near zero takes a share (`least`, a tenth) of its largest size `among` stacked states instead, by
    default these; a component that is zero everywhere `share` times the largest size of the others, an all-zero stack
    1.
    """
    xp = array_namespace(states)
    size = xp.abs(states)
    sizes = size if among is None else xp.abs(among)
    axes = tuple(range(size.ndim - 1))
    largest = xp.max(sizes, axis=axes) if sizes.size else xp.ones(size.shape[-1], dtype=size.dtype)
    overall = xp.max(largest) if largest.size else xp.asarray(0.0, dtype=largest.dtype)
    fallback = share * xp.where(overall > 0, overall, xp.ones_like(overall))
    typical = xp.where(largest > 0, least * largest, fallback)
    relative = machine_epsilon(states.dtype) ** power
    lowest = smallest_normal(states.dtype) / relative**2  # denormal states: keep h above 0
    return xp.astype(relative * xp.maximum(size, typical + lowest), states.dtype, copy=False)


def perturbed(states: Array, structure: Structure, share: float = 1.0) -> tuple[Array, Array]:
    """States with each colour perturbed, `(colours, k, ..., n)`, and what was really added, `(k, ..., n)`.

    `share` as for `step_sizes`.
    """
    shifted = states + step_sizes(states, share)
    added = shifted - states  # what the rounded sum really added
    pattern = _patterns(states, structure)
    return states[None, ...] + pattern * added[None, ...], added


def _patterns(states: Array, structure: Structure) -> Array:
    """Perturbed components per colour, broadcasting against the stacked states: `(colours, 1, ..., n)`."""
    pattern = seeds(array_namespace(states), structure, states.shape[-1], states.dtype)
    return array_namespace(states).reshape(pattern, (pattern.shape[0], *(1,) * (states.ndim - 1), pattern.shape[1]))


def quotients(responses: Array, base: Array, added: Array, structure: Structure) -> Array:
    """Matrices of difference quotients from the responses `(colours, k, ..., n)` and the unperturbed `(k, ..., n)`."""
    matrices = structure.from_differences(responses - base[None, ...])
    return structure.scale_columns(matrices, 1 / added)


def differentiate(function: Callable[[Array], Array], states: Array, structure: Structure) -> Array:
    """Jacobians of `function` at the stacked `states`, called once per colour."""
    xp = array_namespace(states)
    shifted, added = perturbed(states, structure)
    base = function(states)
    responses = xp.stack([function(shifted[c, ...]) for c in range(shifted.shape[0])])
    return quotients(responses, base, added, structure)


def forward(
    evaluate: Callable[[Array, Array], Array], t: Array, states: Array, values: Array | None
) -> tuple[Array, Array]:
    """Values `(m, *batch, n)` and full Jacobians `(m, *batch, n, n)` of a function of times and states.

    All states are evaluated with one component after the other perturbed, in as few calls as memory allows, and with
    the unperturbed ones unless their `values` are known.
    """
    xp, (m, *_, n) = array_namespace(states), states.shape
    added = (states + step_sizes(states)) - states  # what the rounded sum really added
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


def differentiate_centrally(
    function: Callable[[Array], Array], states: Array, structure: Structure, among: Array
) -> Array:
    """The same by central differences, two calls per colour: the error is ε^(2/3) where `differentiate` has √ε.

    A component that is small beside its own largest size `among` some states passes through zero there, or has
    decayed: then a share of that size is a good perturbation. Or it ranges over many sizes, with functions that bend
    on the scale of each. Where it is small often, both are tried: the larger perturbation is right unless the two
    differ by more than the roundings of the smaller one. So it is with a share of the largest component, where one is
    small beside that everywhere. A matrix depends on its own state and on `among`, not on the other stacked states.
    """
    xp = array_namespace(states)
    sizes = step_sizes(states, power=POWER, among=among)
    matrices, noise = _central(function, states, structure, sizes)
    if _has_little(among):
        try:
            large, _ = _central(function, states, structure, xp.maximum(sizes, _least_of_all(states, among)))
        except Exception:  # so far from the trajectory the function may reject states
            large = matrices
        matrices = xp.where((xp.abs(large - matrices) <= noise) & xp.isfinite(large), large, matrices)
    if not _ranges(among):
        return matrices
    own, noise = _central(function, states, structure, step_sizes(states, power=POWER, among=among, least=0.0))
    return xp.where((xp.abs(matrices - own) <= noise) | ~xp.isfinite(own), matrices, own)


def _has_little(states: Array) -> bool:
    """Whether some component, not zero everywhere, is small beside the others wherever it is."""
    xp = array_namespace(states)
    largest = xp.max(xp.abs(xp.reshape(states, (-1, states.shape[-1]))), axis=0)
    return bool(xp.any((largest > 0) & (largest < LITTLE * xp.max(largest))))


def _least_of_all(states: Array, among: Array) -> Array:
    """Perturbation by a share of the largest component."""
    xp = array_namespace(states)
    share = 0.1 * machine_epsilon(states.dtype) ** POWER
    return xp.astype(xp.broadcast_to(share * xp.max(xp.abs(among)), states.shape), states.dtype)


def _central(
    function: Callable[[Array], Array], states: Array, structure: Structure, sizes: Array
) -> tuple[Array, Array]:
    """Central differences, and the size of their roundings."""
    xp = array_namespace(states)
    up, down = states + sizes, states - sizes
    chosen = _patterns(states, structure) != 0
    changes, roundings = [], []
    for c in range(chosen.shape[0]):
        above, below = (function(xp.where(chosen[c, ...], end, states)) for end in (up, down))
        changes.append(above - below)
        largest = xp.max(xp.abs(above), axis=-1, keepdims=True)
        roundings.append(xp.broadcast_to(ROUNDINGS * machine_epsilon(states.dtype) * largest, states.shape))
    matrices, noise = (structure.from_differences(xp.stack(rows)) for rows in (changes, roundings))
    return structure.scale_columns(matrices, 1 / (up - down)), structure.scale_columns(noise, 1 / xp.abs(up - down))


def _ranges(states: Array) -> bool:
    """Whether some component is often small beside its own largest size."""
    xp = array_namespace(states)
    sizes = xp.reshape(xp.abs(states), (-1, states.shape[-1]))
    small = xp.astype(sizes < SMALL * xp.max(sizes, axis=0), sizes.dtype)
    return bool(xp.any(xp.mean(small, axis=0) > OFTEN))
