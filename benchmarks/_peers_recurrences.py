"""Linear and other recurrences against loops, filters, moving averages and scans."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from _peers import PARSCAN, Comparison, installed
from _problem import by_numbers
from linear import compiled as by_compiled_loop
from linear import dense_loop, diagonal_loop
from recurrences import Gru
from scipy.signal import lfilter

import parscan

Array = Any
Run = Callable[[], Array]
LOOP, NUMBA = "plain loop", "Numba loop"
LINEAR, NONLINEAR = "linear", "recurrence"

ALPHA = 0.03
"""Weight of the newest value in the moving average."""


def moving_average_by_loop(x: Array) -> Array:
    y = np.empty_like(x)
    last = y[0] = x[0]
    for t in range(1, len(x)):
        last = y[t] = (1 - ALPHA) * last + ALPHA * x[t]
    return y


compiled_moving_average = by_numbers(moving_average_by_loop)


def moving_average_by_parscan(x: Array) -> Array:
    b = ALPHA * x
    b[0] = x[0]
    return parscan.linear_recurrence(1 - ALPHA, b)


def moving_average_by_filter(x: Array) -> Array:
    return lfilter([ALPHA], [1, ALPHA - 1], x, zi=[(1 - ALPHA) * x[0]])[0]


def moving_average(length: int, rng: np.random.Generator) -> Comparison:
    """An exponential moving average: the one problem that all of them solve."""
    x = rng.standard_normal(length)
    contenders: dict[str, Run] = {
        LOOP: partial(moving_average_by_loop, x),
        PARSCAN: partial(moving_average_by_parscan, x),
        NUMBA: partial(compiled_moving_average, x),
        "scipy.signal.lfilter": partial(moving_average_by_filter, x),
    }
    if installed("pandas"):
        import pandas as pd  # noqa: PLC0415 - need not be there

        series = pd.Series(x)
        contenders["pandas ewm"] = lambda: series.ewm(alpha=ALPHA, adjust=False).mean().to_numpy()
    if installed("jax"):
        from _peers_jax import elementwise  # noqa: PLC0415 - need not be there

        b = ALPHA * x
        b[0] = x[0]
        contenders |= elementwise(np.full(length, 1 - ALPHA), b)
    return Comparison(LINEAR, f"moving average, {length} steps", contenders)


def changing(length: int, channels: int, rng: np.random.Generator) -> Comparison:
    """Coefficients that change with time: no filter, no moving average."""
    shape = (length, channels) if channels > 1 else (length,)
    a, b = rng.uniform(-1, 1, shape), rng.standard_normal(shape)
    contenders: dict[str, Run] = {PARSCAN: partial(parscan.linear_recurrence, a, b)}
    contenders[NUMBA] = partial(by_compiled_loop, channel_loop if channels > 1 else diagonal_loop, a, b)
    if installed("jax"):
        from _peers_jax import elementwise  # noqa: PLC0415 - need not be there

        contenders |= elementwise(a, b)
    name = f"changing coefficient, {length} steps, {channels} channel{'s' * (channels > 1)}"
    return Comparison(LINEAR, name, contenders, contenders[NUMBA])


@by_numbers
def channel_loop(a: Array, b: Array, out: Array) -> None:
    out[0] = b[0]
    for t in range(1, b.shape[0]):
        for i in range(b.shape[1]):
            out[t, i] = a[t, i] * out[t - 1, i] + b[t, i]


def matrices(length: int, n: int, rng: np.random.Generator) -> Comparison:
    A, b = rng.uniform(-1, 1, (length, n, n)) / n, rng.standard_normal((length, n))
    contenders: dict[str, Run] = {
        PARSCAN: partial(parscan.linear_recurrence, A, b),
        NUMBA: partial(by_compiled_loop, dense_loop, A, b),
    }
    if installed("jax"):
        from _peers_jax import dense  # noqa: PLC0415 - need not be there

        contenders |= dense(A, b)
    return Comparison(LINEAR, f"changing {n}×{n} matrix, {length} steps", contenders, contenders[NUMBA])


def gru(n: int, steps: int) -> Comparison:
    """A recurrence that forgets its past."""
    problem = Gru.make(n, 1, steps)
    contenders: dict[str, Run] = {LOOP: problem.loop, PARSCAN: problem.solve, NUMBA: problem.compiled}
    if installed("jax"):
        from _peers_jax import gru as scanned_gru  # noqa: PLC0415 - need not be there

        contenders["jax.lax.scan"] = scanned_gru(problem.W, problem.U, problem.b, problem.x)
    return Comparison(NONLINEAR, f"GRU, {n} state{'s' * (n > 1)}, {steps} steps", contenders)


def slipping(steps: int) -> Comparison:
    """A phase that never forgets: parscan needs Newton's method."""
    x = np.random.default_rng(0).standard_normal((steps, 2))
    y0 = np.zeros(2)

    def step(y: Array, x: Array) -> Array:
        return y + 0.1 * np.sin(y) + 0.1 * x

    def loop() -> Array:
        y, states = y0, np.empty_like(x)
        for t in range(steps):
            states[t] = y = step(y, x[t])
        return states

    contenders: dict[str, Run] = {
        LOOP: loop,
        PARSCAN: lambda: parscan.solve_recurrence(step, y0, x).y,
        NUMBA: partial(compiled_slipping, x),
    }
    if installed("jax"):
        import jax.numpy as jnp  # noqa: PLC0415 - need not be there
        from _peers_jax import scanned  # noqa: PLC0415

        contenders["jax.lax.scan"] = scanned(lambda y, x: y + 0.1 * jnp.sin(y) + 0.1 * x, y0, x)
    return Comparison(NONLINEAR, f"phase slips, 2 states, {steps} steps", contenders)


@by_numbers
def compiled_slipping(x: Array) -> Array:
    y = np.empty_like(x)
    for i in range(x.shape[1]):
        last = 0.0
        for t in range(x.shape[0]):
            last = last + 0.1 * np.sin(last) + 0.1 * x[t, i]
            y[t, i] = last
    return y


def comparisons(quick: bool) -> Iterator[Comparison]:
    """One after the other: each holds its arrays."""
    rng = np.random.default_rng(0)
    less = 50 if quick else 1
    yield moving_average(1_000_000 // less, rng)
    yield changing(1_000_000 // less, 1, rng)
    yield changing(50_000 // less, 64, rng)
    for n in (2, 8):
        yield matrices(100_000 // less, n, rng)
    for n, steps in ((1, 100_000), (4, 100_000), (32, 17_984)):
        yield gru(n, steps // less)
    yield slipping(100_000 // less)
