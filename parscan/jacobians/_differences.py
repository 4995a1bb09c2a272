"""Finite differences: step sizes, perturbed states, and the Jacobian of a function of stacked states."""

from __future__ import annotations

from collections.abc import Callable

from .._arrays import Array, array_namespace, machine_epsilon, smallest_normal
from ._structure import Structure, seeds


def step_sizes(states: Array, share: float = 1.0) -> Array:
    """Perturbation of every component of the stacked `states` `(k, ..., n)`: √ε of its own size.

    A component near zero takes a tenth of its largest size among the stacked states instead, a component that is
    zero everywhere `share` times the largest size of the others, an all-zero stack 1.
    """
    xp = array_namespace(states)
    size = xp.abs(states)
    axes = tuple(range(size.ndim - 1))
    largest = xp.max(size, axis=axes) if size.size else xp.ones(size.shape[-1], dtype=size.dtype)
    overall = xp.max(largest) if largest.size else xp.asarray(0.0, dtype=largest.dtype)
    fallback = share * xp.where(overall > 0, overall, xp.ones_like(overall))
    typical = xp.where(largest > 0, 0.1 * largest, fallback)
    relative = machine_epsilon(states.dtype) ** 0.5
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
    xp = array_namespace(states)
    shifted = states + step_sizes(states, share)
    added = shifted - states  # what the rounded sum really added
    pattern = seeds(xp, structure, states.shape[-1], added.dtype)
    pattern = xp.reshape(pattern, (pattern.shape[0], *(1,) * (states.ndim - 1), pattern.shape[1]))
    return states[None, ...] + pattern * added[None, ...], added


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
