"""
Recurrences as an array function and as a loop over numbers, written by hand.

The loops have the states before, the inputs and the states to be written as one value or one sequence per component:
lists of Python's floats, or columns of arrays for Numba, which compiles the same loops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import exp, sin, sqrt, tanh
from operator import mul
from typing import Any

import numpy as np
from _hostile import mean_field as mean_field_problem
from _problem import by_numbers
from recurrences import Gru

import parscan

Array = Any
Function = Callable[..., Any]


@dataclass(frozen=True)
class Recurrence:
    """
    A recurrence from `y0` over `steps` steps, with inputs `x` or None.

    `by_hand(y0, x, y)` is the same as a loop over numbers.
    """

    name: str
    step: Function
    y0: Array
    steps: int
    by_hand: Function
    x: Array = None
    chaotic: bool = False

    def loop(self) -> Array:
        """The plain Python loop, one state per call."""
        y, states = self.y0, np.empty((self.steps, *self.y0.shape))
        for t in range(self.steps):
            states[t] = y = self.step(y) if self.x is None else self.step(y, self.x[t])
        return states

    @cached_property
    def lists(self) -> tuple[tuple[float, ...], tuple[list[float], ...]]:
        """State before the first step, and inputs, as Python's floats."""
        return tuple(self.y0.tolist()), () if self.x is None else tuple(self.x.T.tolist())

    def floats(self) -> list[list[float]]:
        """The loop over Python's floats. The result is not made an array: that is no part of the loop."""
        y = [[0.0] * self.steps for _ in self.y0]
        self.by_hand(*self.lists, y)
        return y

    @cached_property
    def _compiled(self) -> Function:
        return by_numbers(self.by_hand)

    def numba(self) -> Array:
        """The same loop compiled by Numba."""
        y = np.empty((self.steps, self.y0.size))
        columns = () if self.x is None else tuple(self.x.T)
        self._compiled(tuple(self.y0.tolist()), columns, tuple(y.T))
        return y

    def residual(self, y: Array) -> float:
        """Largest deviation of a state from the step of the one before, relative to the largest state."""
        given = () if self.x is None else (self.x[1:],)
        return float(np.max(np.abs(y[1:] - self.step(y[:-1], *given))) / np.max(np.abs(y)))

    def solve(self, **options: Any) -> Array:
        """The trajectory by parscan."""
        if self.x is None:
            return parscan.solve_recurrence(self.step, self.y0, length=self.steps, **options).y
        return parscan.solve_recurrence(self.step, self.y0, self.x, **options).y


# Maps


def lorenz(y: Array) -> Array:
    a, b, c = y[..., 0], y[..., 1], y[..., 2]
    return y + 0.01 * np.stack([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c], -1)


def lorenz_by_hand(y0: Any, x: Any, y: Any) -> None:
    (a, b, c), (ya, yb, yc) = y0, y
    for t in range(len(ya)):
        da, db, dc = 10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c
        a, b, c = a + 0.01 * da, b + 0.01 * db, c + 0.01 * dc
        ya[t], yb[t], yc[t] = a, b, c


def logistic(y: Array) -> Array:
    return 3.9 * y * (1 - y)


def logistic_by_hand(y0: Any, x: Any, y: Any) -> None:
    (s,), (ys,) = y0, y
    for t in range(len(ys)):
        ys[t] = s = 3.9 * s * (1 - s)


def henon(y: Array) -> Array:
    u, v = y[..., :1], y[..., 1:]
    return np.concatenate([1 - 1.4 * u**2 + v, 0.3 * u], -1)


def henon_by_hand(y0: Any, x: Any, y: Any) -> None:
    (u, v), (yu, yv) = y0, y
    for t in range(len(yu)):
        u, v = 1 - 1.4 * u * u + v, 0.3 * u
        yu[t], yv[t] = u, v


# Mechanics and noise


def leapfrog(y: Array) -> Array:
    """A pendulum with steps of 0.1: angle and momentum."""
    q, p = y[..., 0], y[..., 1]
    p = p - 0.05 * np.sin(q)
    q = q + 0.1 * p
    return np.stack([q, p - 0.05 * np.sin(q)], -1)


def leapfrog_by_hand(y0: Any, x: Any, y: Any) -> None:
    (q, p), (yq, yp) = y0, y
    force = sin(q)
    for t in range(len(yq)):
        p = p - 0.05 * force
        q = q + 0.1 * p
        force = sin(q)
        p = p - 0.05 * force
        yq[t], yp[t] = q, p


def langevin(y: Array, x: Array) -> Array:
    """A particle with friction and noise in the potential of two wells: position and momentum (BAOAB)."""
    q, p = y[..., 0], y[..., 1]
    p = p + 0.025 * (q - q**3)
    q = q + 0.025 * p
    p = 0.95 * p + 0.3 * x[..., 0]
    q = q + 0.025 * p
    return np.stack([q, p + 0.025 * (q - q**3)], -1)


def langevin_by_hand(y0: Any, x: Any, y: Any) -> None:
    (q, p), (noise,), (yq, yp) = y0, x, y
    for t in range(len(yq)):
        p = p + 0.025 * (q - q**3)
        q = q + 0.025 * p
        p = 0.95 * p + 0.3 * noise[t]
        q = q + 0.025 * p
        p = p + 0.025 * (q - q**3)
        yq[t], yp[t] = q, p


SMALL = 0.1


def banana(u: Array, v: Array) -> tuple[Array, Array, Array]:
    """Potential, which is minus the logarithm of the density, and its gradient."""
    bend = 4 * (v - u * u)
    return u * u / 2 + bend * bend / 8, u - 2 * u * bend, bend


def mala(y: Array, x: Array) -> Array:
    """Metropolis-adjusted Langevin on a banana: `x` are the noise, and the logarithm of a uniform number."""
    u, v, noise = y[..., 0], y[..., 1], x[..., :2]
    here, gu, gv = banana(u, v)
    q = y - SMALL * np.stack([gu, gv], -1) + np.sqrt(2 * SMALL) * noise
    there, gu, gv = banana(q[..., 0], q[..., 1])
    back = y - q + SMALL * np.stack([gu, gv], -1)
    gain = here - there + (noise**2 / 2 - back**2 / (4 * SMALL)).sum(-1)
    return np.where((x[..., 2] < gain)[..., None], q, y)


def mala_by_hand(y0: Any, x: Any, y: Any) -> None:
    (u, v), (xu, xv, threshold), (yu, yv) = y0, x, y
    scale = sqrt(2 * SMALL)
    bend = 4 * (v - u * u)
    here, gu, gv = u * u / 2 + bend * bend / 8, u - 2 * u * bend, bend
    for t in range(len(yu)):
        nu, nv = xu[t], xv[t]
        qu, qv = u - SMALL * gu + scale * nu, v - SMALL * gv + scale * nv
        bend = 4 * (qv - qu * qu)
        there, hu, hv = qu * qu / 2 + bend * bend / 8, qu - 2 * qu * bend, bend
        bu, bv = u - qu + SMALL * hu, v - qv + SMALL * hv
        gain = here - there + (nu * nu / 2 - bu * bu / (4 * SMALL) + (nv * nv / 2 - bv * bv / (4 * SMALL)))
        if threshold[t] < gain:
            u, v, here, gu, gv = qu, qv, there, hu, hv
        yu[t], yv[t] = u, v


# Control


def pid(y: Array, x: Array) -> Array:
    """A controller with saturation and anti-windup, and its plant: output, integral, and the error before."""
    out, integral, last = y[..., 0], y[..., 1], y[..., 2]
    error = x[..., 0] - out
    wanted = 2.0 * error + integral + 0.5 * (error - last)
    u = np.clip(wanted, -1.0, 1.0)
    integral = np.where(u == wanted, integral + 0.05 * error, integral)
    return np.stack([out + 0.1 * (2.0 * u - out), integral, error], -1)


def pid_by_hand(y0: Any, x: Any, y: Any) -> None:
    (out, integral, last), (target,), (yo, yi, ye) = y0, x, y
    for t in range(len(yo)):
        error = target[t] - out
        wanted = 2.0 * error + integral + 0.5 * (error - last)
        u = min(max(wanted, -1.0), 1.0)
        if u == wanted:
            integral = integral + 0.05 * error
        out, last = out + 0.1 * (2.0 * u - out), error
        yo[t], yi[t], ye[t] = out, integral, error


def schmitt(y: Array, x: Array) -> Array:
    return np.where(x > 0.5, 1.0, np.where(x < -0.5, 0.0, y))


def schmitt_by_hand(y0: Any, x: Any, y: Any) -> None:
    (state,), (signal,), (ys,) = y0, x, y
    for t in range(len(ys)):
        now = signal[t]
        if now > 0.5:
            state = 1.0
        elif now < -0.5:
            state = 0.0
        ys[t] = state


# Hydrology and queues


def bucket(y: Array, x: Array) -> Array:
    """Soil that spills, dries and drains: storage, and water in the ground below."""
    soil, ground = y[..., 0], y[..., 1]
    rain, demand = x[..., 0], x[..., 1]
    soil = soil + rain
    soil = soil - np.minimum(demand * np.minimum(soil / 60.0, 1.0), soil)
    spilt = np.maximum(soil - 80.0, 0.0)
    soil = soil - spilt
    drained = 0.05 * soil * (soil / 80.0) ** 2
    return np.stack([soil - drained, 0.98 * ground + drained + 0.3 * spilt], -1)


def bucket_by_hand(y0: Any, x: Any, y: Any) -> None:
    (soil, ground), (rain, demand), (ys, yg) = y0, x, y
    for t in range(len(ys)):
        soil = soil + rain[t]
        soil = soil - min(demand[t] * min(soil / 60.0, 1.0), soil)
        spilt = max(soil - 80.0, 0.0)
        soil = soil - spilt
        drained = 0.05 * soil * (soil / 80.0) ** 2
        soil, ground = soil - drained, 0.98 * ground + drained + 0.3 * spilt
        ys[t], yg[t] = soil, ground


def lindley(y: Array, x: Array) -> Array:
    """How long customers wait: `x` are times of service less those between arrivals."""
    return np.maximum(y + x, 0.0)


def lindley_by_hand(y0: Any, x: Any, y: Any) -> None:
    (wait,), (more,), (ys,) = y0, x, y
    for t in range(len(ys)):
        ys[t] = wait = max(wait + more[t], 0.0)


# Neurons


def neuron(y: Array, x: Array) -> Array:
    """Exponential integrate-and-fire, with reset and refractory time: voltage, and what is left of that time."""
    v, rest = y[..., 0], y[..., 1]
    fires = v > 30.0
    grown = v + 0.02 * (-(v + 65.0) + 2.0 * np.exp((v + 50.0) / 2.0) + 15.0 + 10.0 * x[..., 0])
    v = np.where(fires, -68.0, np.where(rest > 0.0, -68.0, np.minimum(grown, 31.0)))
    rest = np.where(fires, 2.0, np.maximum(rest - 0.02, 0.0))
    return np.stack([v, rest], -1)


def neuron_by_hand(y0: Any, x: Any, y: Any) -> None:
    (v, rest), (current,), (yv, yr) = y0, x, y
    for t in range(len(yv)):
        if v > 30.0:
            v, rest = -68.0, 2.0
        else:
            if rest > 0.0:
                v = -68.0
            else:
                v = v + 0.02 * (-(v + 65.0) + 2.0 * exp((v + 50.0) / 2.0) + 15.0 + 10.0 * current[t])
                v = min(v, 31.0)
            rest = rest - 0.02 if rest > 0.02 else 0.0
        yv[t], yr[t] = v, rest


def leaky_neuron(y: Array, x: Array) -> Array:
    """Leaky integrate-and-fire, with reset and refractory time."""
    v, rest = y[..., 0], y[..., 1]
    grown = np.where(rest > 0.0, 0.0, v + 0.05 * (1.2 + x[..., 0] - v))
    fires = grown > 1.0
    return np.stack([np.where(fires, 0.0, grown), np.where(fires, 2.0, np.maximum(rest - 0.05, 0.0))], -1)


def leaky_neuron_by_hand(y0: Any, x: Any, y: Any) -> None:
    (v, rest), (current,), (yv, yr) = y0, x, y
    for t in range(len(yv)):
        v = 0.0 if rest > 0.0 else v + 0.05 * (1.2 + current[t] - v)
        if v > 1.0:
            v, rest = 0.0, 2.0
        else:
            rest = max(rest - 0.05, 0.0)
        yv[t], yr[t] = v, rest


# Filters


def holt_winters(y: Array, x: Array) -> Array:
    """Level, trend, and four seasons, the oldest first."""
    level, trend, season = y[..., 0], y[..., 1], y[..., 2]
    new = 0.3 * (x[..., 0] - season) + 0.7 * (level + trend)
    trend = 0.1 * (new - level) + 0.9 * trend
    season = 0.2 * (x[..., 0] - new) + 0.8 * season
    return np.concatenate([np.stack([new, trend], -1), y[..., 3:], season[..., None]], -1)


def holt_winters_by_hand(y0: Any, x: Any, y: Any) -> None:
    (level, trend, s1, s2, s3, s4), (seen,), (yl, yt, y1, y2, y3, y4) = y0, x, y
    for t in range(len(yl)):
        new = 0.3 * (seen[t] - s1) + 0.7 * (level + trend)
        trend = 0.1 * (new - level) + 0.9 * trend
        level = new
        s1, s2, s3, s4 = s2, s3, s4, 0.2 * (seen[t] - new) + 0.8 * s1
        yl[t], yt[t], y1[t], y2[t], y3[t], y4[t] = level, trend, s1, s2, s3, s4


TRANSITION, LESS, NOISE = np.array([[1.0, 0.1], [0.0, 1.0]]), np.array([[1.0, 0.0]]), 0.01 * np.eye(2)


def kalman(y: Array, x: Array) -> Array:
    """Filter of two states, position and speed, and their covariance."""
    mean, P = y[..., :2], y[..., 2:].reshape(*y.shape[:-1], 2, 2)
    mean, P = mean @ TRANSITION.T, TRANSITION @ P @ TRANSITION.T + NOISE
    gain = P[..., 0] / (P[..., 0, :1] + 0.5)
    mean = mean + gain * (x - mean[..., :1])
    P = P - gain[..., None] * P[..., :1, :]
    return np.concatenate([mean, P.reshape(*y.shape[:-1], 4)], -1)


def kalman_by_hand(y0: Any, x: Any, y: Any) -> None:
    (q, v, a, b, c, d), (seen,), (yq, yv, ya, yb, yc, yd) = y0, x, y
    for t in range(len(yq)):
        q = q + 0.1 * v
        a, b = a + 0.1 * c, b + 0.1 * d
        a, c, d = a + 0.1 * b + 0.01, c + 0.1 * d, d + 0.01
        gq, gv = a / (a + 0.5), c / (a + 0.5)
        rest = seen[t] - q
        q, v = q + gq * rest, v + gv * rest
        a, b, c, d = a - gq * a, b - gq * b, c - gv * a, d - gv * b
        yq[t], yv[t], ya[t], yb[t], yc[t], yd[t] = q, v, a, b, c, d


# Stable but slow

COS, SIN = float(np.cos(0.1)), float(np.sin(0.1))
TURN = np.array([[COS, SIN], [-SIN, COS]])


def rotation(y: Array, x: Array) -> Array:
    return y @ TURN + x


def rotation_by_hand(y0: Any, x: Any, y: Any) -> None:
    (u, v), (xu, xv), (yu, yv) = y0, x, y
    for t in range(len(yu)):
        u, v = u * COS - v * SIN + xu[t], u * SIN + v * COS + xv[t]
        yu[t], yv[t] = u, v


def leaky(y: Array, x: Array) -> Array:
    return 0.9999 * y + x


def leaky_by_hand(y0: Any, x: Any, y: Any) -> None:
    (u, v), (xu, xv), (yu, yv) = y0, x, y
    for t in range(len(yu)):
        u, v = 0.9999 * u + xu[t], 0.9999 * v + xv[t]
        yu[t], yv[t] = u, v


def saturated(y: Array, x: Array) -> Array:
    return y - 2e-4 * np.tanh(0.5 * y) + 0.01 * x


def saturated_by_hand(y0: Any, x: Any, y: Any) -> None:
    (u, v), (xu, xv), (yu, yv) = y0, x, y
    for t in range(len(yu)):
        u = u - 2e-4 * tanh(0.5 * u) + 0.01 * xu[t]
        v = v - 2e-4 * tanh(0.5 * v) + 0.01 * xv[t]
        yu[t], yv[t] = u, v


# Networks


class Network(Recurrence):
    """One whose loop over numbers has other arguments."""

    def floats(self) -> Any:
        return self.by_hand()

    def numba(self) -> Array:
        raise NotImplementedError


def sums(columns: Any, row: Any) -> list[float]:
    """A row times a matrix."""
    return [sum(map(mul, column, row)) for column in columns]


def gru_by_hand(W: Any, U: Any, b: Any, x: Any) -> list[list[float]]:
    """Lists of the columns of the matrices, and of the rows of inputs of one sequence."""
    n, states = len(b) // 3, []
    y = [0.0] * n
    for row in x:
        gates, carried = sums(U, row), sums(W, y)
        for i in range(n):
            r = 1 / (1 + exp(-gates[i] - b[i] - carried[i]))
            z = 1 / (1 + exp(-gates[n + i] - b[n + i] - carried[n + i]))
            c = tanh(gates[2 * n + i] + b[2 * n + i] + r * carried[2 * n + i])
            y[i] = c + z * (y[i] - c)
        states.append(y.copy())
    return states


class GruNetwork(Network):
    """See `recurrences.Gru`."""

    model: Gru

    def numba(self) -> Array:
        return self.model.compiled()


def gru(n: int, batch: int, steps: int) -> Recurrence:
    """One of several states, or of several sequences."""
    model = Gru.make(n, batch, steps)
    W, U, b = model.W.T.tolist(), model.U.T.tolist(), model.b.tolist()
    sequences = [model.x[:, k].tolist() for k in range(batch)] if batch > 1 else [model.x.tolist()]
    name = f"GRU, n={n}" + (f", batch {batch}" if batch > 1 else "")
    found = GruNetwork(
        name, model.step, model.y0, steps, lambda: [gru_by_hand(W, U, b, one) for one in sequences], model.x
    )
    object.__setattr__(found, "model", model)
    return found


def one_gru(steps: int) -> Recurrence:
    """One state: all of it by numbers."""
    model = Gru.make(1, 1, steps)
    (w1, w2, w3), (u1, u2, u3), (b1, b2, b3) = model.W[0].tolist(), model.U[0].tolist(), model.b.tolist()

    def by_hand(y0: Any, x: Any, y: Any) -> None:
        (s,), (given,), (ys,) = y0, x, y
        for t in range(len(ys)):
            v = given[t]
            r = 1 / (1 + exp(-(v * u1 + b1) - s * w1))
            z = 1 / (1 + exp(-(v * u2 + b2) - s * w2))
            c = tanh(v * u3 + b3 + r * (s * w3))
            ys[t] = s = c + z * (s - c)

    return Recurrence("GRU, n=1", model.step, model.y0, steps, by_hand, model.x)


class MeanField(Network):
    """See `_hostile.mean_field`."""

    def numba(self) -> Array:
        return mean_field_problem(0.9, self.steps).loop_by_numbers()


def mean_field(steps: int) -> Recurrence:
    """100 states that are connected with each other."""
    problem = mean_field_problem(0.9, steps)
    columns, y0 = problem.parameters.T.tolist(), problem.y0.tolist()

    def by_hand() -> list[list[float]]:
        y, states = y0, []
        for _ in range(steps):
            y = [tanh(total) for total in sums(columns, y)]
            states.append(y)
        return states

    return MeanField("mean-field network, n=100", problem.step, problem.y0, steps, by_hand)


# Many of one kind


def buckets(sets: int, steps: int) -> Recurrence:
    """The bucket model with other parameters in every sequence of a batch."""
    rng = np.random.default_rng(1)
    size, pace = rng.uniform(40, 120, sets), rng.uniform(0.01, 0.1, sets)
    weather = next(one.x for one in recurrences(steps) if one.name == "bucket model")

    def step(y: Array, x: Array) -> Array:
        soil, ground = y[..., 0], y[..., 1]
        rain, demand = x[..., 0], x[..., 1]
        soil = soil + rain
        soil = soil - np.minimum(demand * np.minimum(soil / (0.75 * size), 1.0), soil)
        spilt = np.maximum(soil - size, 0.0)
        soil = soil - spilt
        drained = pace * soil * (soil / size) ** 2
        return np.stack([soil - drained, 0.98 * ground + drained + 0.3 * spilt], -1)

    def by_hand() -> list[list[tuple[float, float]]]:
        found, (rain, demand) = [], weather.T.tolist()
        for most, rate in zip(size.tolist(), pace.tolist(), strict=True):
            states: list[tuple[float, float]] = []
            soil, ground = 40.0, 5.0
            for t in range(steps):
                soil = soil + rain[t]
                soil = soil - min(demand[t] * min(soil / (0.75 * most), 1.0), soil)
                spilt = max(soil - most, 0.0)
                soil = soil - spilt
                drained = rate * soil * (soil / most) ** 2
                soil, ground = soil - drained, 0.98 * ground + drained + 0.3 * spilt
                states.append((soil, ground))
            found.append(states)
        return found

    y0 = np.broadcast_to([40.0, 5.0], (sets, 2)).copy()
    found = Buckets(f"bucket model, {sets} parameter sets", step, y0, steps, by_hand, weather[:, None])
    object.__setattr__(found, "parameters", (size, pace))
    return found


class Buckets(Network):
    """Parameters of each sequence."""

    parameters: tuple[Array, Array]

    def numba(self) -> Array:
        return buckets_by_numbers(*self.parameters, self.x[:, 0])


@by_numbers
def buckets_by_numbers(size: Array, pace: Array, x: Array) -> Array:
    y = np.empty((len(x), len(size), 2))
    for k in range(len(size)):
        soil, ground = 40.0, 5.0
        for t in range(len(x)):
            soil = soil + x[t, 0]
            soil = soil - min(x[t, 1] * min(soil / (0.75 * size[k]), 1.0), soil)
            spilt = max(soil - size[k], 0.0)
            soil = soil - spilt
            drained = pace[k] * soil * (soil / size[k]) ** 2
            soil, ground = soil - drained, 0.98 * ground + drained + 0.3 * spilt
            y[t, k, 0], y[t, k, 1] = soil, ground
    return y


def recurrences(steps: int) -> Iterator[Recurrence]:
    """All of them."""
    rng = np.random.default_rng(0)
    noise, uniform = rng.standard_normal((steps, 2)), rng.uniform(size=(steps, 2))
    one, two, three = np.zeros(1), np.zeros(2), np.zeros(3)
    chain = np.column_stack([noise, np.log(uniform[:, 0])])
    times = np.arange(steps)[:, None]
    setpoint = np.where(times // 500 % 2 == 0, 1.0, -0.5) + 0.05 * noise[:, :1]
    weather = np.column_stack([np.where(uniform[:, 0] < 0.3, 25 * uniform[:, 1], 0.0), 3 + np.sin(times[:, 0] / 58)])
    wave = np.sin(times / 20) + 0.2 * noise[:, :1]
    queue = -0.95 * np.log(uniform[:, :1]) + np.log(uniform[:, 1:])
    sales = 50 + times / 1000 + 5 * np.sin(times * np.pi / 2) + noise[:, :1]
    seen = np.sin(times / 100) + noise[:, :1] / 2
    yield Recurrence("Lorenz map", lorenz, np.ones(3), steps, lorenz_by_hand, chaotic=True)
    yield Recurrence("logistic map", logistic, one + 0.3, steps, logistic_by_hand, chaotic=True)
    yield Recurrence("Hénon map", henon, two, steps, henon_by_hand, chaotic=True)
    yield Recurrence("leapfrog, pendulum", leapfrog, np.array([1.0, 0.0]), steps, leapfrog_by_hand)
    yield Recurrence("Langevin, two wells", langevin, two + 0.5, steps, langevin_by_hand, noise[:, :1])
    yield Recurrence("MALA on a banana", mala, two, steps, mala_by_hand, chain)
    yield Recurrence("PID with saturation", pid, three, steps, pid_by_hand, setpoint)
    yield Recurrence("bucket model", bucket, np.array([40.0, 5.0]), steps, bucket_by_hand, weather)
    yield Recurrence("Lindley's waiting times", lindley, one, steps, lindley_by_hand, queue)
    yield Recurrence("Schmitt trigger", schmitt, one, steps, schmitt_by_hand, wave)
    resting = np.array([-65.0, 0.0])
    yield Recurrence("neuron, exponential", neuron, resting, steps, neuron_by_hand, 1 + noise[:, :1])
    yield Recurrence("neuron, leaky", leaky_neuron, two, steps, leaky_neuron_by_hand, noise[:, :1])
    yield Recurrence("Holt-Winters", holt_winters, np.array([50.0, 0, 0, 5, 0, -5]), steps, holt_winters_by_hand, sales)
    yield Recurrence("Kalman filter", kalman, np.array([0.0, 0, 1, 0, 0, 1]), steps, kalman_by_hand, seen)
    yield Recurrence("rotation", rotation, two, steps, rotation_by_hand, noise)
    yield Recurrence("leaky integrator", leaky, two, steps, leaky_by_hand, noise)
    yield Recurrence("leaky integrator, saturated", saturated, two, steps, saturated_by_hand, noise)
