"""Recurrences driven by noise: Langevin dynamics and two Markov chains that accept or reject."""

from __future__ import annotations

import numpy as np
from _problem import Array, Function, Problem, by_numbers, loop_of

LEFT, RIGHT = np.array([-1.4, 0.0]), np.array([1.6, 0.0])


def wells(q: Array) -> tuple[Array, Array]:
    """Density of the mixture but for a constant factor, and the gradient of minus its logarithm."""
    a, b = q - LEFT, q - RIGHT
    left = 0.49 * np.exp(-0.5 * (a**2).sum(-1, keepdims=True))
    right = 0.51 * np.exp(-0.5 * (b**2).sum(-1, keepdims=True))
    density = left + right
    return density, (left * a + right * b) / density


@by_numbers
def wells_by_numbers(u: float, v: float) -> tuple[float, float, float]:
    left = 0.49 * np.exp(-0.5 * ((u + 1.4) ** 2 + v**2))
    right = 0.51 * np.exp(-0.5 * ((u - 1.6) ** 2 + v**2))
    density = left + right
    return density, (left * (u + 1.4) + right * (u - 1.6)) / density, v


def langevin(y: Array, x: Array) -> Array:
    return y - 0.01 * wells(y)[1] + np.sqrt(0.02) * x


@loop_of
def langevin_loop(y: Array, t: int, x: Array) -> None:
    _, gu, gv = wells_by_numbers(y[t, 0], y[t, 1])
    y[t + 1, 0] = y[t, 0] - 0.01 * gu + np.sqrt(0.02) * x[t, 0]
    y[t + 1, 1] = y[t, 1] - 0.01 * gv + np.sqrt(0.02) * x[t, 1]


HMC_STEP, HMC_STEPS = 0.3, 5


def hmc(y: Array, x: Array) -> Array:
    """Hamiltonian Monte Carlo: `x` are the momenta, and the logarithm of a uniform number."""
    density, gradient = wells(y)
    q, start = y, x[..., :2]
    p = start - HMC_STEP / 2 * gradient
    for left in reversed(range(HMC_STEPS)):
        q = q + HMC_STEP * p
        proposed, gradient = wells(q)
        p = p - (HMC_STEP if left else HMC_STEP / 2) * gradient
    gain = np.log(proposed / density) + 0.5 * (start**2 - p**2).sum(-1, keepdims=True)
    return np.where(x[..., 2:] < gain, q, y)


@loop_of
def hmc_loop(y: Array, t: int, x: Array) -> None:
    u, v, pu, pv = y[t, 0], y[t, 1], x[t, 0], x[t, 1]
    density, gu, gv = wells_by_numbers(u, v)
    share = HMC_STEP / 2
    proposed = density
    for left in range(HMC_STEPS, 0, -1):
        pu, pv = pu - share * gu, pv - share * gv
        u, v = u + HMC_STEP * pu, v + HMC_STEP * pv
        proposed, gu, gv = wells_by_numbers(u, v)
        share = HMC_STEP if left > 1 else HMC_STEP / 2
    pu, pv = pu - share * gu, pv - share * gv
    gain = np.log(proposed / density) + 0.5 * (x[t, 0] ** 2 + x[t, 1] ** 2 - pu**2 - pv**2)
    accepted = x[t, 2] < gain
    y[t + 1, 0] = u if accepted else y[t, 0]
    y[t + 1, 1] = v if accepted else y[t, 1]


# Metropolis-adjusted Langevin on a banana.

MALA_STEP = 0.1


def banana(q: Array) -> tuple[Array, Array]:
    """Potential, which is minus the logarithm of the density, and its gradient."""
    u, v = q[..., :1], q[..., 1:]
    bend = 4 * (v - u * u)
    return u * u / 2 + bend * bend / 8, np.concatenate([u - 2 * u * bend, bend], -1)


@by_numbers
def banana_by_numbers(u: float, v: float) -> tuple[float, float, float]:
    bend = 4 * (v - u * u)
    return u * u / 2 + bend * bend / 8, u - 2 * u * bend, bend


def mala(y: Array, x: Array) -> Array:
    """Metropolis-adjusted Langevin: `x` are the noise, and the logarithm of a uniform number."""
    noise = x[..., :2]
    here, gradient = banana(y)
    q = y - MALA_STEP * gradient + np.sqrt(2 * MALA_STEP) * noise
    there, gradient = banana(q)
    back = y - q + MALA_STEP * gradient
    gain = here - there + (noise**2 / 2 - back**2 / (4 * MALA_STEP)).sum(-1, keepdims=True)
    return np.where(x[..., 2:] < gain, q, y)


@loop_of
def mala_loop(y: Array, t: int, x: Array) -> None:
    here, gu, gv = banana_by_numbers(y[t, 0], y[t, 1])
    u = y[t, 0] - MALA_STEP * gu + np.sqrt(2 * MALA_STEP) * x[t, 0]
    v = y[t, 1] - MALA_STEP * gv + np.sqrt(2 * MALA_STEP) * x[t, 1]
    there, gu, gv = banana_by_numbers(u, v)
    back = (y[t, 0] - u + MALA_STEP * gu) ** 2 + (y[t, 1] - v + MALA_STEP * gv) ** 2
    gain = here - there + (x[t, 0] ** 2 + x[t, 1] ** 2) / 2 - back / (4 * MALA_STEP)
    accepted = x[t, 2] < gain
    y[t + 1, 0] = u if accepted else y[t, 0]
    y[t + 1, 1] = v if accepted else y[t, 1]


def noisy(name: str, step: Function, compiled: Function, steps: int) -> Problem:
    """Two states from zero, and normal inputs; those who accept or reject also get the logarithm of a uniform one."""
    rng = np.random.default_rng(0)
    x, log_uniform = rng.standard_normal((steps, 2)), np.log(rng.uniform(size=(steps, 1)))
    if step is not langevin:
        x = np.concatenate([x, log_uniform], 1)
    return Problem(name, step, np.zeros(2), steps, compiled, x)
