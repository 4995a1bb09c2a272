"""solve_recurrence against the plain Python loop over the same step, and a compiled loop.

python benchmarks/recurrences.py [--quick] [--json benchmarks/results/recurrences.json]
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numba
import numpy as np
from _harness import Case, Target, load_kernels, main

import parscan

GRUS = ((1, 1, 100_000, 100), (4, 1, 100_000, 30), (8, 1, 100_000, 20), (32, 1, 17_984, 7), (2, 16, 10_000, 5))
"""States, batch, steps, and how many times faster than the plain loop the default shall be."""

Function = Callable[..., Any]


def gru_by_numbers(W: Any, U: Any, b: Any, x: Any) -> Any:
    """The same GRU as a hand-written loop over numbers."""
    steps, batch, n = x.shape
    y = np.empty_like(x)
    gates, carried = np.empty(3 * n, x.dtype), np.empty(3 * n, x.dtype)
    for k in range(batch):
        state = np.zeros(n, x.dtype)
        for t in range(steps):
            for i in range(3 * n):
                gates[i] = b[i]
                carried[i] = 0
                for j in range(n):
                    gates[i] += U[j, i] * x[t, k, j]
                    carried[i] += W[j, i] * state[j]
            for i in range(n):
                r = 1 / (1 + np.exp(-gates[i] - carried[i]))
                z = 1 / (1 + np.exp(-gates[n + i] - carried[n + i]))
                c = np.tanh(gates[2 * n + i] + r * carried[2 * n + i])
                y[t, k, i] = c + z * (state[i] - c)
            state[:] = y[t, k]
    return y


compiled_gru = numba.njit(cache=True)(gru_by_numbers)


@dataclass(frozen=True)
class Gru:
    """Weights U(-1/√n, 1/√n) and inputs N(0, 1), as in the speed benchmark of Lim et al. (ICLR 2024)."""

    W: Any
    U: Any
    b: Any
    x: Any

    @classmethod
    def make(cls, n: int, batch: int, steps: int) -> Gru:
        rng = np.random.default_rng(n)
        bound = 1 / np.sqrt(n)
        W, U = (rng.uniform(-bound, bound, (n, 3 * n)) for _ in range(2))
        shape = (steps, batch, n) if batch > 1 else (steps, n)
        return cls(W, U, rng.uniform(-bound, bound, 3 * n), rng.standard_normal(shape))

    @property
    def y0(self) -> Any:
        return np.zeros(self.x.shape[1:])

    def _parts(self, y: Any, x: Any) -> tuple[Any, Any, Any, Any]:
        n = y.shape[-1]
        gx, gy = x @ self.U + self.b, y @ self.W
        gates = 1 / (1 + np.exp(-gx[..., : 2 * n] - gy[..., : 2 * n]))
        r, z, h = gates[..., :n], gates[..., n:], gy[..., 2 * n :]
        return r, z, h, np.tanh(gx[..., 2 * n :] + r * h)

    def step(self, y: Any, x: Any) -> Any:
        _, z, _, c = self._parts(y, x)
        return c + z * (y - c)

    def step_and_jacobian(self, y: Any, x: Any) -> tuple[Any, Any]:
        n = y.shape[-1]
        r, z, h, c = self._parts(y, x)
        Wr, Wz, Wc = (self.W[:, i * n : (i + 1) * n].T for i in range(3))
        dz, dc = z * (1 - z) * (y - c), (1 - z) * (1 - c * c)
        jacobian = dz[..., None] * Wz + (dc * h * r * (1 - r))[..., None] * Wr + (dc * r)[..., None] * Wc
        index = np.arange(n)
        jacobian[..., index, index] += z
        return c + z * (y - c), jacobian

    def loop(self) -> Any:
        y, states = self.y0, np.empty_like(self.x)
        for t in range(len(self.x)):
            states[t] = y = self.step(y, self.x[t])
        return states

    def compiled(self) -> Any:
        x = self.x if self.x.ndim == 3 else self.x[:, None]
        return compiled_gru(self.W, self.U, self.b, x).reshape(self.x.shape)

    def solve(self, **options: Any) -> Any:
        step = self.step_and_jacobian if options.get("jac") else self.step
        solution = parscan.solve_recurrence(step, self.y0, self.x, **options)
        assert solution.success, solution.message
        return solution.y


def gru_cases(quick: bool) -> Iterator[Case]:
    for n, batch, steps, target in GRUS:
        gru = Gru.make(n, batch, steps // 50 if quick else steps)
        contenders: dict[str, Function] = {
            "plain loop": gru.loop,
            "parscan": gru.solve,
            "parscan newton, jac": lambda gru=gru: gru.solve(method="newton", jac=True),
            "parscan newton": lambda gru=gru: gru.solve(method="newton"),
            "parscan DEER, jac": lambda gru=gru: gru.solve(method="newton", jac=True, segment_length=1),
            "numba loop": gru.compiled,
        }
        name = f"GRU, n={n}, batch {batch}, {len(gru.x)} steps, float64"
        yield Case(name, contenders, targets=(Target("parscan", "plain loop", target),))


def slow_memory_cases(quick: bool) -> Iterator[Case]:
    """Where Jacobi cannot work: the past is forgotten slowly, or never."""
    steps = 2000 if quick else 100_000
    x = np.random.default_rng(0).standard_normal((steps, 2))
    turn = np.array([[np.cos(0.1), np.sin(0.1)], [-np.sin(0.1), np.cos(0.1)]])
    steppers: dict[str, Function] = {
        "rotation by 0.1 with noise": lambda y, x: y @ turn + x,
        "leaky integrator, forgets over 10 000 steps": lambda y, x: 0.9999 * y + x,
        "phase with a bent frequency": lambda y, x: y + 0.1 * np.sin(y) + 0.1 * x,
    }
    for name, step in steppers.items():

        def loop(step: Function = step) -> Any:
            y, states = np.zeros(2), np.empty_like(x)
            for t in range(len(x)):
                states[t] = y = step(y, x[t])
            return states

        def solve(step: Function = step) -> Any:
            return parscan.solve_recurrence(step, np.zeros(2), x).y

        yield Case(f"{name}, n=2, {steps} steps", {"plain loop": loop, "parscan": solve})


WEEK = np.array([0.3, -0.2, 0.1, 0.15, -0.1, 0.05, 0.2])


def week(states: Any, x: Any, weights: Any) -> Any:
    """An autoregression of the last seven states."""
    return sum(weight * state for weight, state in zip(weights, states, strict=True)) + x


def delayed(states: Any, x: Any, pace: Any) -> Any:
    """Feedback that comes late: a state, and a much earlier one, with noise."""
    now, then = states
    return now + pace * (0.5 * then / (1 + then**2) - 0.6 * now) + x


def week_by_numbers(weights: Any, x: Any) -> Any:
    """The autoregression as a hand-written loop over numbers."""
    rows = len(weights)
    y = np.zeros(rows + len(x))
    for t in range(len(x)):
        total = x[t, 0]
        for k in range(rows):
            total += weights[k] * y[rows + t - 1 - k]
        y[rows + t] = total
    return y[rows:].reshape(-1, 1)


compiled_week = numba.njit(cache=True)(week_by_numbers)


def lagged_cases(quick: bool) -> Iterator[Case]:
    """Several lags: the last seven states, and one of a year ago."""
    steps = 20_000 if quick else 1_000_000
    x = np.random.default_rng(0).standard_normal((steps, 1))
    several: dict[str, tuple[Function, tuple[int, ...], Any]] = {
        "AR(7)": (week, tuple(range(1, 8)), WEEK),
        "delay of 365 steps": (delayed, (1, 365), 0.5),
    }
    for name, (step, lags, parameter) in several.items():
        first = max(lags)

        def loop(step: Function = step, lags: tuple[int, ...] = lags, first: int = first, p: Any = parameter) -> Any:
            y = np.zeros((first + len(x), 1))
            for t in range(len(x)):
                y[first + t] = step(tuple(y[first + t - lag] for lag in lags), x[t], p)
            return y[first:]

        def solve(step: Function = step, lags: tuple[int, ...] = lags, first: int = first, p: Any = parameter) -> Any:
            return parscan.solve_recurrence(step, np.zeros((first, 1)), x, lags=lags, args=(p,)).y

        contenders: dict[str, Function] = {"plain loop": loop, "parscan": solve}
        if step is week:
            contenders["numba loop"] = partial(compiled_week, WEEK, x)
        yield Case(
            f"{name}, {steps} steps", contenders, targets=(Target("parscan", "plain loop", 3 if quick else 300),)
        )


def double_well(y: Any, x: Any) -> Any:
    """Noise in the potential y⁴/4 - y²/2, by Euler's method: unstable on the ridge between its wells."""
    return y + 0.02 * (y - y**3) + 0.1 * x


def two_wells(y: Any, x: Any) -> Any:
    """Noise in the potential of two Gaussians, as in Gonzalez et al. (NeurIPS 2024)."""
    a, b = y - np.array([-1.4, 0]), y - np.array([1.6, 0])
    wa, wb = (w * np.exp(-0.5 * (v * v).sum(-1, keepdims=True)) for w, v in ((0.49, a), (0.51, b)))
    return y - 0.01 * (wa * a + wb * b) / (wa + wb) + np.sqrt(0.02) * x


def unstable_cases(quick: bool) -> Iterator[Case]:
    """Locally unstable, stable on average: where Newton's corrections are bounded or damped."""
    ways: dict[str, dict[str, Any]] = {
        "parscan": {},
        "parscan newton": {"method": "newton"},
        "parscan clipped": {"method": "newton", "damping": parscan.Clipping()},
        "parscan elk": {"method": "elk"},
    }
    for name, step, n, steps in (("double well", double_well, 1, 100_000), ("pair of wells", two_wells, 2, 20_000)):
        x = np.random.default_rng(0).standard_normal((steps // 20 if quick else steps, n))

        def loop(step: Function = step, x: Any = x) -> Any:
            y, states = np.zeros(x.shape[1]), np.empty_like(x)
            for t in range(len(x)):
                states[t] = y = step(y, x[t])
            return states

        def solve(step: Function = step, x: Any = x, **options: Any) -> Any:
            return parscan.solve_recurrence(step, np.zeros(x.shape[1]), x, **options).y

        contenders = {"plain loop": loop} | {way: partial(solve, **options) for way, options in ways.items()}
        yield Case(f"noise in a {name}, n={n}, {len(x)} steps", contenders)


def peak_memory(steps: int, n: int) -> float:
    """Peak memory of a solve in a process of its own, less what was held before it, in units of the trajectory."""
    load_kernels()
    Gru.make(n, 1, 1000).solve()  # loads whatever else is loaded once
    gru = Gru.make(n, 1, steps)
    before = high_water()
    nbytes = gru.solve().nbytes
    return (high_water() - before) / nbytes


def high_water() -> int:
    """Most bytes that this process has held; Linux only (getrusage counts the parent's)."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def figures(quick: bool) -> dict[str, float]:
    """`peak_memory` of a long solve, measured in a process of its own; shall be below 6."""
    steps = 50_000 if quick else 1_000_000
    code = f"import recurrences; print(recurrences.peak_memory({steps}, 8))"
    here = Path(__file__).parent
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=here)
    return {f"peak memory of a GRU, n=8, {steps} steps, in trajectories": float(run.stdout)}


def cases(quick: bool) -> Iterator[Case]:
    yield from gru_cases(quick)
    yield from slow_memory_cases(quick)
    yield from lagged_cases(quick)
    yield from unstable_cases(quick)


if __name__ == "__main__":
    main(__doc__ or "", cases, repeats=7, figures=figures)
