"""Steps that are affine in the state: smoothing, filters, autoregression; by machine code, loops or segments."""

from functools import cache

import numpy as np
import pytest

from parscan import linear_recurrence, solve_recurrence
from parscan._recorded.record import record
from parscan._recorded.structure import is_affine

RNG = np.random.default_rng(7)
T = 5000


def holt_winters(y, x):
    """Level, trend and twelve seasons."""
    level, trend, season = y[..., 0], y[..., 1], y[..., 2:]
    new = 0.3 * (x[..., 0] - season[..., 0]) + 0.7 * (level + trend)
    slope = 0.05 * (new - level) + 0.95 * trend
    last = 0.1 * (x[..., 0] - new) + 0.9 * season[..., 0]
    return np.concatenate([np.stack([new, slope], axis=-1), season[..., 1:], last[..., None]], axis=-1)


def filtered(y, x):
    return np.stack([x[..., 0] + 1.6 * y[..., 0] - 0.81 * y[..., 1], y[..., 0]], axis=-1)


def autoregression(y, x):
    return np.concatenate([(y @ np.array([0.5, 0.2, -0.1, 0.05]))[..., None] + x, y[..., :-1]], axis=-1)


def leaky(y, x):
    """Its coefficient depends on the input."""
    return y * np.exp(-np.abs(x)) + x


def hardly_forgets(y, x):
    return 0.999999 * y + 1e-6 * x


def switched(y, x):
    """Between growth by a factor of 8 and decay to nothing: products of coefficients overflow, states do not."""
    return np.where(x > 1.5, 0.0 * y, 8.0 * y) + 1.0


STEPS = {
    holt_winters: (14, 1), filtered: (2, 1), autoregression: (4, 1), leaky: (2, 2), hardly_forgets: (1, 1),
    switched: (1, 1),
}  # fmt: skip


@cache
def looped(step):
    """A start, inputs, and the trajectory of the loop."""
    n, m = STEPS[step]
    x, y0 = RNG.standard_normal((T, m)), np.zeros(n)
    return y0, x, solve_recurrence(step, y0, x, method="sequential", compile=False)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto", "sequential", "newton"])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_they_agree_with_the_loop(step, method):
    y0, x, expected = looped(step)
    assert is_affine(record(step, [y0[None], x[:1]]).program, 0)
    sol = solve_recurrence(step, y0, x, method=method, compile=True)
    assert sol.success
    assert sol.compiled
    np.testing.assert_allclose(sol.y, expected.y, rtol=1e-8, atol=1e-8 * np.abs(expected.y).max())


def test_a_linear_recurrence_is_the_same():
    x = RNG.standard_normal((T, 1))
    sol = solve_recurrence(hardly_forgets, np.ones(1), x, method="sequential", compile=True)
    expected = linear_recurrence(np.array([[0.999999]]), 1e-6 * x, np.ones(1))
    np.testing.assert_allclose(sol.y, expected, rtol=1e-12)
