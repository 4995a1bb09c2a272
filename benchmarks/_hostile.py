"""Recurrences that resist being solved in parallel, each as an array function and as a loop over numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from _noisy import hmc, hmc_loop, langevin, langevin_loop, mala, mala_loop, noisy
from _problem import Array, Problem, by_numbers, loop_of
from recurrences import Gru

# Recurrent networks: a GRU with large recurrent weights, and the mean-field network.


def gru(scale: float, steps: int) -> Problem:
    """8 states; only the recurrent weights are scaled. Lyapunov exponents with x1, x2, x4: -0.46, -0.27, -0.06."""
    rng = np.random.default_rng(6)
    bound = 1 / np.sqrt(8)
    W, U = (rng.uniform(-bound, bound, (8, 24)) for _ in range(2))
    model = Gru(scale * W, U, rng.uniform(-bound, bound, 24), rng.standard_normal((steps, 8)))
    return Problem(f"GRU, weights x{scale:g}", model.step, model.y0, steps, lambda *_: model.compiled(), model.x)


@loop_of
def mean_field_loop(y: Array, t: int, W: Array) -> None:
    n = y.shape[1]
    y[t + 1] = 0
    for j in range(n):
        for i in range(n):
            y[t + 1, i] += y[t, j] * W[j, i]
    for i in range(n):
        y[t + 1, i] = np.tanh(y[t + 1, i])


def mean_field(gain: float, steps: int) -> Problem:
    """100 states; without inputs."""
    rng = np.random.default_rng(0)
    W, y0 = gain * rng.standard_normal((100, 100)) / 10, rng.standard_normal(100)
    name = f"mean-field RNN, g={gain:g}"
    return Problem(name, lambda y: np.tanh(y @ W), y0, steps, mean_field_loop, parameters=W, chaotic=gain == 2)


# Chaos, periods, and a divergence.


def lorenz_63(y: Array) -> Array:
    a, b, c = y[..., 0], y[..., 1], y[..., 2]
    return y + 0.01 * np.stack([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c], -1)


@loop_of
def lorenz_63_loop(y: Array, t: int, _: Array) -> None:
    a, b, c = y[t, 0], y[t, 1], y[t, 2]
    y[t + 1, 0] = a + 0.01 * (10 * (b - a))
    y[t + 1, 1] = b + 0.01 * (a * (28 - c) - b)
    y[t + 1, 2] = c + 0.01 * (a * b - 8 / 3 * c)


def lorenz_96(y: Array) -> Array:
    return y + 0.01 * ((np.roll(y, -1, -1) - np.roll(y, 2, -1)) * np.roll(y, 1, -1) - y + 8)


@loop_of
def lorenz_96_loop(y: Array, t: int, _: Array) -> None:
    n = y.shape[1]
    for i in range(n):
        slope = (y[t, (i + 1) % n] - y[t, i - 2]) * y[t, i - 1] - y[t, i] + 8
        y[t + 1, i] = y[t, i] + 0.01 * slope


@loop_of
def logistic_loop(y: Array, t: int, r: Array) -> None:
    y[t + 1, 0] = r[0] * y[t, 0] * (1 - y[t, 0])


def logistic(r: float, steps: int) -> Problem:
    name, y0, parameters = f"logistic map, r={r:g}", np.array([0.3]), np.array([r])
    return Problem(name, lambda y: r * y * (1 - y), y0, steps, logistic_loop, parameters=parameters, chaotic=r == 3.9)


@loop_of
def overflow_loop(y: Array, t: int, _: Array) -> None:
    y[t + 1, 0] = y[t, 0] * y[t, 0] + 1


# Mechanics: nothing is forgotten, and phases drift apart.


def gravity(y: Array) -> Array:
    q, p = y[..., :2], y[..., 2:]
    return np.concatenate([p, -q / (q**2).sum(-1, keepdims=True) ** 1.5], -1)


def two_body(y: Array) -> Array:
    """The classical Runge-Kutta method with steps of 0.02."""
    k1 = gravity(y)
    k2 = gravity(y + 0.01 * k1)
    k3 = gravity(y + 0.01 * k2)
    k4 = gravity(y + 0.02 * k3)
    return y + 0.02 / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


@by_numbers
def shifted_gravity(y: Array, t: int, h: float, k: Any) -> Any:
    """Right-hand side at `y[t]` + `h` `k`."""
    qx, qy, px, py = y[t, 0] + h * k[0], y[t, 1] + h * k[1], y[t, 2] + h * k[2], y[t, 3] + h * k[3]
    cubed = (qx**2 + qy**2) ** 1.5
    return px, py, -qx / cubed, -qy / cubed


@loop_of
def two_body_loop(y: Array, t: int, _: Array) -> None:
    k1 = shifted_gravity(y, t, 0.0, (0.0, 0.0, 0.0, 0.0))
    k2 = shifted_gravity(y, t, 0.01, k1)
    k3 = shifted_gravity(y, t, 0.01, k2)
    k4 = shifted_gravity(y, t, 0.02, k3)
    for i in range(4):
        y[t + 1, i] = y[t, i] + 0.02 / 6 * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i])


def pendulums(y: Array) -> Array:
    """Leapfrog with steps of 0.1: angles at the even places, momenta at the odd ones."""
    q, p = y[..., ::2], y[..., 1::2]
    p = p - 0.05 * np.sin(q)
    q = q + 0.1 * p
    return np.stack([q, p - 0.05 * np.sin(q)], -1).reshape(y.shape)


@loop_of
def pendulums_loop(y: Array, t: int, _: Array) -> None:
    for i in range(0, y.shape[1], 2):
        p = y[t, i + 1] - 0.05 * np.sin(y[t, i])
        q = y[t, i] + 0.1 * p
        y[t + 1, i], y[t + 1, i + 1] = q, p - 0.05 * np.sin(q)


def problems(quick: bool) -> Iterator[Problem]:
    """All of them; the quick ones are one short problem of each kind."""

    def lengths(*steps: int) -> tuple[int, ...]:
        return (min(steps[0], 1000),) if quick else steps

    for scale, steps in ((1, lengths(20_000)), (2, lengths(2000, 100_000)), (4, lengths(2000, 100_000))):
        yield from (gru(scale, T) for T in steps)
    yield from (mean_field(gain, T) for gain in (0.5, 0.9, 1.2, 2) for T in lengths(3000))
    for T in lengths(100, 1000, 10_000, 100_000):
        yield noisy("two-well Langevin", langevin, langevin_loop, T)
    for T in lengths(100, 300, 1000, 2000, 100_000):
        allowed = 5 if T == 2000 else None
        yield Problem("Lorenz-63", lorenz_63, np.ones(3), T, lorenz_63_loop, chaotic=True, states_per_step=allowed)
    y0 = 8 + 0.01 * np.random.default_rng(0).standard_normal(8)
    yield from (Problem("Lorenz-96, D=8", lorenz_96, y0, T, lorenz_96_loop, chaotic=True) for T in lengths(3000))
    yield from (logistic(r, T) for r in (2.9, 3.5, 3.9) for T in lengths(1000, 100_000))
    y0 = np.array([0.5, 0, 0, np.sqrt(3)])
    yield from (Problem("two bodies, RK4, e=0.5", two_body, y0, T, two_body_loop) for T in lengths(5000))
    y0 = np.array([1, 0, 2, 0.5])
    yield from (Problem("two pendulums, leapfrog", pendulums, y0, T, pendulums_loop) for T in lengths(10_000))
    yield from (noisy("MALA on a banana", mala, mala_loop, T) for T in lengths(10_000))
    yield from (noisy("HMC on two wells", hmc, hmc_loop, T) for T in lengths(10_000))
    for T in lengths(10_000):
        yield Problem("y^2 + 1, overflows", lambda y: y * y + 1, np.array([0.5]), T, overflow_loop)
