"""Legendre polynomials by their recurrence, and series of them."""

from __future__ import annotations

from typing import Any

from ..._arrays.namespace import Array, array_namespace


def legendre(x: Any, degree: int) -> list[Any]:
    """Legendre polynomials P_0 … P_degree at x in [-1, 1], a number of any type or an array."""
    values = [x * 0 + 1, x]
    for k in range(1, degree):
        values.append(((2 * k + 1) * x * values[k] - k * values[k - 1]) / (k + 1))
    return values[: degree + 1]


def legendre_series(theta: Array, coefficients: Array) -> Array:
    """Sums of the Legendre polynomials of [0, 1], with the coefficients (degree, j); shape (*theta.shape, s)."""
    xp = array_namespace(theta)
    values = legendre(2 * theta - 1, coefficients.shape[0] - 1)
    return xp.stack(values, axis=-1) @ xp.asarray(coefficients, dtype=theta.dtype)
