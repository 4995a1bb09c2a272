"""Finite differences: step sizes, perturbed states, and the Jacobian of a function of stacked states."""

from __future__ import annotations

from collections.abc import Callable

from .._arrays import Array, array_namespace, machine_epsilon, smallest_normal
from ._structure import Structure, seeds


def step_sizes(states: Array, share: float = 1.0, power: float = 0.5, among: Array | None = None) -> Array:
    """Perturbation of every component of the stacked `states` `(k, ..., n)`: ε to this power of its own size.

    A component near zero takes a tenth of its largest size `among` stacked states instead, by default these; a
    component that is zero everywhere `share` times the largest size of the others, an all-zero stack 1.
    """
    xp = array_namespace(states)
    size, sizes = xp.abs(states), xp.abs(states if among is None else among)
    axes = tuple(range(size.ndim - 1))
    largest = xp.max(sizes, axis=axes) if sizes.size else xp.ones(size.shape[-1], dtype=size.dtype)
    overall = xp.max(largest) if largest.size else xp.asarray(0.0, dtype=largest.dtype)
    fallback = share * xp.where(overall > 0, overall, xp.ones_like(overall))
    typical = xp.where(largest > 0, 0.1 * largest, fallback)
    relative = machine_epsilon(states.dtype) ** power
    least = smallest_normal(states.dtype) / relative  # denormal states: keep h above 0
    return xp.astype(
        relative * xp.maximum(size, xp.maximum(typical, xp.full_like(typical, least / relative))),
        states.dtype,
        copy=False,
    )


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


def differentiate_centrally(
    function: Callable[[Array], Array], states: Array, structure: Structure, among: Array
) -> Array:
    """The same by central differences, two calls per colour: the error is ε^(2/3) where `differentiate` has √ε.

    A matrix depends on its own state and on `among` (see `step_sizes`), not on the other stacked states.
    """
    xp = array_namespace(states)
    sizes = step_sizes(states, power=1 / 3, among=among)
    up, down = states + sizes, states - sizes
    chosen = _patterns(states, structure) != 0
    responses = [
        function(xp.where(chosen[c, ...], up, states)) - function(xp.where(chosen[c, ...], down, states))
        for c in range(chosen.shape[0])
    ]
    return structure.scale_columns(structure.from_differences(xp.stack(responses)), 1 / (up - down))
