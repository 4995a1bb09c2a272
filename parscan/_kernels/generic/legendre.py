"""Legendre polynomials of [0, 1] by their recurrence, and series of them."""

from __future__ import annotations

from ..._arrays.namespace import Array, array_namespace


def legendre(theta: float, count: int) -> list[float]:
    """The first Legendre polynomials of [0, 1] at one place."""
    x = 2 * theta - 1
    values = [1.0, x]
    for k in range(1, count - 1):
        values.append(((2 * k + 1) * x * values[k] - k * values[k - 1]) / (k + 1))
    return values[:count]


def legendre_series(theta: Array, coefficients: Array) -> Array:
    """Sums of the Legendre polynomials of [0, 1], with the coefficients (degree, j); shape (*theta.shape, s)."""
    xp = array_namespace(theta)
    x = 2 * theta - 1
    values = [xp.ones_like(x), x]
    for k in range(1, coefficients.shape[0] - 1):
        values.append(((2 * k + 1) * x * values[k] - k * values[k - 1]) / (k + 1))
    return xp.stack(values[: coefficients.shape[0]], axis=-1) @ xp.asarray(coefficients, dtype=theta.dtype)
