"""Recurrences as JAX users write them, in double precision: `lax.scan`; linear ones by `lax.associative_scan`, too.

Arguments are closed over as arrays of JAX, so that no transfer is timed; results come back as NumPy arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Array = Any
Run = Callable[[], Array]
Function = Callable[[Array, Array], Array]

jax.config.update("jax_enable_x64", True)


def compiled(function: Callable[..., Array], *arguments: Array) -> Run:
    """The function, compiled at its first call."""
    fast, given = jax.jit(function), tuple(map(jnp.asarray, arguments))
    return lambda: np.asarray(fast(*given))


def scanned(step: Callable[[Array, Array], Array], y0: Array, x: Array) -> Run:
    """Any recurrence, step after step."""

    def run(y0: Array, x: Array) -> Array:
        def advance(y: Array, x: Array) -> tuple[Array, Array]:
            y = step(y, x)
            return y, y

        return lax.scan(advance, y0, x)[1]

    return compiled(run, y0, x)


def elementwise(A: Array, b: Array) -> dict[str, Run]:
    """`h_t = A_t h_{t-1} + b_t` by both scans."""
    return _linear(A, b, jnp.multiply, jnp.multiply, jnp.multiply)


def dense(A: Array, b: Array) -> dict[str, Run]:
    """The same with matrices."""
    return _linear(A, b, jnp.matmul, jnp.matmul, lambda A, h: jnp.einsum("tij,tj->ti", A, h))


def _linear(A: Array, b: Array, apply: Function, product: Function, apply_all: Function) -> dict[str, Run]:
    """`apply` a coefficient to a state, make the `product` of stacked ones, and apply those to stacked states."""

    def along(A: Array, b: Array) -> Array:
        def advance(h: Array, pair: tuple[Array, Array]) -> tuple[Array, Array]:
            h = apply(pair[0], h) + pair[1]
            return h, h

        return lax.scan(advance, jnp.zeros_like(b[0]), (A, b))[1]

    def join(left: tuple[Array, Array], right: tuple[Array, Array]) -> tuple[Array, Array]:
        return product(right[0], left[0]), apply_all(right[0], left[1]) + right[1]

    return {
        "jax.lax.scan": compiled(along, A, b),
        "jax.lax.associative_scan": compiled(lambda A, b: lax.associative_scan(join, (A, b))[1], A, b),
    }


def gru(W: Array, U: Array, b: Array, x: Array) -> Run:
    """A GRU by `lax.scan`; what depends on the inputs alone is computed before, for all steps at once."""
    return compiled(lambda *given: _gru(jnp.zeros(x.shape[-1]), *given), W, U, b, x)


def gru_gradient(weights: tuple[Array, Array, Array], y0: Array, x: Array, g: Array) -> Run:
    """The gradient of `sum(g * y)` by all weights and the initial state, in a row."""

    def loss(W: Array, U: Array, b: Array, y0: Array, x: Array, g: Array) -> Array:
        return jnp.sum(g * _gru(y0, W, U, b, x))

    def run(*given: Array) -> Array:
        return jnp.concatenate([jnp.ravel(part) for part in jax.grad(loss, argnums=(0, 1, 2, 3))(*given)])

    return compiled(run, *weights, y0, x, g)


def _gru(y0: Array, W: Array, U: Array, b: Array, x: Array) -> Array:
    n = x.shape[-1]

    def advance(y: Array, gx: Array) -> tuple[Array, Array]:
        gy = y @ W
        gates = 1 / (1 + jnp.exp(-gx[: 2 * n] - gy[: 2 * n]))
        c = jnp.tanh(gx[2 * n :] + gates[:n] * gy[2 * n :])
        y = c + gates[n:] * (y - c)
        return y, y

    return lax.scan(advance, y0, x @ U + b)[1]
