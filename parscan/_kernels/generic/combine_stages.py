"""Polynomials of many intervals at many times: sums of stages whose weights are Legendre series."""

from __future__ import annotations

from importlib import import_module

from ..._arrays.namespace import Array, array_namespace, library

_IMPLEMENTATIONS = {"numpy": "parscan._kernels.cpu.combine_stages"}
"""Module for the arrays of a library; imported on first use, as the scans are."""


def combine(theta: Array, intervals: Array, coefficients: Array, K: Array) -> Array:
    """
    Sums `Σ_j w_j(θ) K[p, j]` with the weights `w_j(θ) = Σ_k P_k(2θ - 1) C[k, j]`.

    Nothing is checked.

    Parameters
    ----------
    theta : array, shape (m,)
        Shares of the intervals, in [0, 1] or beyond.
    intervals : array, shape (m,)
        The interval p of each.
    coefficients : NumPy array, shape (s, s)
        C, float64.
    K : array, shape (N, s, F)
        Stages of the intervals; float32, float64, complex64 or complex128.

    Returns
    -------
    array, shape (m, F)
        In the precision of K.
    """
    module = _IMPLEMENTATIONS.get(library(K))
    return (import_module(module).combine if module else combine_by_terms)(theta, intervals, coefficients, K)


def combine_by_terms(theta: Array, intervals: Array, coefficients: Array, K: Array) -> Array:
    """Combine stage after stage; see :func:`combine`."""
    xp = array_namespace(K)
    weights = xp.astype(legendre_series(theta, coefficients), K.dtype, copy=False)
    s = coefficients.shape[1]
    rows = xp.reshape(K, (-1, K.shape[-1]))
    return sum(weights[:, j, None] * xp.take(rows, intervals * s + j, axis=0) for j in range(s))


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
