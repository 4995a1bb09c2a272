"""Solvers of diffrax, compiled by JAX in double precision: the state at the end, by start, parameters, tolerances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffrax
import jax
import jax.numpy as jnp

Array = Any
Run = Callable[[Array, Array, float, float], Array]

jax.config.update("jax_enable_x64", True)

MOST_STEPS = 1_000_000


def _solve(fun: Callable[..., Any], solver: Any, end: float) -> Run:
    term = diffrax.ODETerm(lambda t, y, parameters: jnp.stack(fun(t, y, parameters)))

    def solve(y0: Array, parameters: Array, rtol: float, atol: float) -> Array:
        controller = diffrax.PIDController(rtol=rtol, atol=atol)
        options = {"stepsize_controller": controller, "max_steps": MOST_STEPS, "throw": False}
        return diffrax.diffeqsolve(term, solver, 0.0, end, None, y0, parameters, **options).ys[-1]

    return solve


def solver_of(fun: Callable[..., Any], solver: Any, end: float) -> Run:
    """One problem."""
    return jax.jit(_solve(fun, solver, end))


def batch_solver_of(fun: Callable[..., Any], solver: Any, end: float) -> Run:
    """Many, with steps of their own."""
    return jax.jit(jax.vmap(_solve(fun, solver, end), in_axes=(0, 0, None, None)))


def states_of(
    fun: Callable[..., Any], solver: str, y0: Any, times: Any, rtol: float, atol: float
) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """States (m, n) at some times as a function of the parameters, and their derivatives by them, forwards."""
    term = diffrax.ODETerm(lambda t, y, parameters: jnp.stack(fun(t, y, parameters)))

    def states(parameters: Array) -> Array:
        options: dict[str, Any] = {
            "saveat": diffrax.SaveAt(ts=jnp.asarray(times)),
            "stepsize_controller": diffrax.PIDController(rtol=rtol, atol=atol),
            "max_steps": MOST_STEPS,
            "adjoint": diffrax.ForwardMode(),
        }
        own = getattr(diffrax, solver)()
        return diffrax.diffeqsolve(term, own, 0.0, times[-1], None, jnp.asarray(y0), parameters, **options).ys

    return jax.jit(states), jax.jit(jax.jacfwd(states))


def gradients_of_members(
    fun: Callable[..., Any], solver: str, times: Any, rtol: float, atol: float
) -> Callable[[Array, Array, Array], Array]:
    """The gradient by parameters `(B, p)`, of `grad_y` `(B, m, n)` times states at some times, from starts `(B, n)`."""
    term = diffrax.ODETerm(lambda t, y, parameters: jnp.stack(fun(t, y, parameters)))

    def loss(parameters: Array, y0: Array, grad_y: Array) -> Array:
        options: dict[str, Any] = {
            "saveat": diffrax.SaveAt(ts=jnp.asarray(times)),
            "stepsize_controller": diffrax.PIDController(rtol=rtol, atol=atol),
            "max_steps": 4096,
        }
        own = getattr(diffrax, solver)()
        found = diffrax.diffeqsolve(term, own, 0.0, times[-1], None, y0, parameters, **options).ys
        return jnp.sum(found * grad_y)

    return jax.jit(jax.vmap(jax.grad(loss)))
