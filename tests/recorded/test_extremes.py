"""Machine code at extreme numbers, which only some steps meet: it gives what NumPy gives, or raises."""

import math

import numpy as np
import pytest
from scipy import special

from parscan import solve_recurrence

EXTREMES = [0.0, -0.0, 0.4, -0.4, 1.0, -1.0, 2.5, -7.0, 300.0, -300.0, 5e-324, 1e160, 1e308, -1e308, 2.0**31,
            2.0**53 + 2, 2.0**63, 2.0**63 + 4096, 2.0**64, 1e10, -1e19, np.inf, -np.inf, np.nan]  # fmt: skip
TABLE = np.array([1.0, 3.0, -2.0, 0.5, 7.0])

SAME = [
    "np.take(TABLE, a.astype(int), mode='clip')",
    "np.take(TABLE, np.clip(np.nan_to_num(a), -99, 99).astype(int), mode='wrap')",
    "TABLE[np.clip(np.nan_to_num(a), -5, 4).astype(int)]",
    "TABLE[np.searchsorted(TABLE[:2], a)]",
    "a.astype(np.uint8)",
    "a.astype(np.uint16) - np.uint16(7)",
    "a.astype(np.uint64)",
    "a.astype(np.float32).astype(np.uint64)",
    "np.isclose(a, b)",
    "np.isclose(a, b, equal_nan=True)",
    "np.modf(a)[0]",
    "np.modf(a)[1]",
    "np.maximum(a, 0.0)",
    "np.maximum(0.0, a)",
    "np.maximum(a, -0.0)",
    "np.minimum(a, 0.0)",
    "np.minimum(a, [[0.0]])",
    "np.maximum(np.concatenate([a, a], -1), [0.0, 1.0])[..., :1]",
    "np.clip(a, 0.0, None)",
    "np.mean(np.stack([a, b]).astype(int), axis=0)",
    "np.var(np.stack([a, b]).astype(int), axis=0)",
    "special.logsumexp(np.stack([a, b]), axis=0)",
    "math.isclose(a.item(), b.item()) + 0 * b",
    "math.fsum([a.item(), b.item(), -a.item()]) + 0 * b",
    "math.dist([a.item()], [b.item()]) + 0 * b",
    "math.hypot(a.item(), b.item(), 1.0) + 0 * b",
    "math.modf(a.item())[0] + 0 * b",
    "math.floor(a.item()) + 0 * b",
    "math.ceil(a.item()) + 0 * b",
    "math.trunc(a.item()) + 0 * b",
    "round(a.item()) + 0 * b",
    "round(a[0, 0]) + 0 * b",
    "np.choose(np.clip(np.nan_to_num(a), -9, 9).astype(int), [a, 2 * b, 3 * b], mode='clip')",
    "np.choose(np.clip(np.nan_to_num(a), -9, 9).astype(int), [a, 2 * b, 3 * b], mode='wrap')",
    "np.choose(a.astype(int), [a, 2 * b])",
    "np.clip(a, 0.0, np.inf)",
    "np.clip(a, -1.0, -0.0)",
    "np.exp(-1.0 / max(a.item(), 0.0)) + 0 * b",
    "np.exp(-1.0 / min(a.item() + 1, 2)) + 0 * b",
    "np.exp(-1.0 / (a > 0).item()) + 0 * b",
    "np.average(np.stack([a, b]), axis=0, weights=np.abs(a.ravel()[0]) * np.array([1.0, 1.0])) > 0",
    "a**-2",
    "a**-3",
    "a**-4",
    "a**-2 * 1e300",
    "np.sum(np.stack([a, b]), axis=0)",
    "np.sum(a, axis=-1, keepdims=True) + 0 * b",
    "np.stack([a, b, a]).mean(axis=0)",
    "np.add.reduce(np.stack([a, b], axis=-1), axis=-1)",
    "TABLE[a.astype(int)]",
    "TABLE[np.floor(a).astype(int)]",
    "np.take(TABLE, a.astype(int))",
]


def shown(value):
    """Finite numbers that tell NaN, infinities and the sign of zero apart."""
    value = np.asarray(value, float)
    value = np.where(value == 0, np.where(np.signbit(value), -3.5e-30, 3.5e-30), value)
    return np.where(np.isnan(value), 12345.5, np.where(np.isinf(value), np.sign(value) * 54321.5, value))


@pytest.mark.few(20)
@pytest.mark.parametrize("text", SAME)
def test_extremes(text):
    step = eval(
        f"lambda y, x: shown((lambda a, b: {text})(x[..., :1], x[..., 1:]))",
        {"np": np, "math": math, "special": special, "TABLE": TABLE, "shown": shown},
    )
    rng = np.random.default_rng(0)
    pairs = np.array([(a, b) for a in EXTREMES for b in EXTREMES])[rng.permutation(len(EXTREMES) ** 2)]
    expected, kept, raising = [], [], []
    with np.errstate(all="ignore"):
        for pair in pairs:
            try:
                expected.append(step(None, pair[None]).ravel())
                kept.append(pair)
            except Exception as error:
                raising.append((pair, type(error)))
    plain = np.column_stack([np.linspace(0.3, 1.4, 40), np.linspace(1.3, 0.4, 40)])
    sol = solve_recurrence(step, np.zeros(1), np.vstack([plain, kept, plain]), method="sequential", compile=True)
    assert sol.compiled
    np.testing.assert_allclose(sol.y[40:-40], expected, rtol=1e-13, atol=3.6e-30)
    for pair, kind in raising[::20]:
        with pytest.raises(kind):
            solve_recurrence(step, np.zeros(1), np.vstack([plain, [pair], plain]), method="sequential", compile=True)


def rows_where(y, x):
    y = 0.5 * y + np.abs(x)
    y[x[..., 0] < 0] = 7.0
    return y


def entries_where(y, x):
    y = 0.5 * y + np.abs(x)
    y[x < 0] = y[x < 0] * 2 + 1
    return y


def average_of_rows(y, x):
    return 0.5 * y + np.average((x > 0) * 1.0, axis=-1, weights=np.array([1.0, 2.0, 3.0]), keepdims=True)


@pytest.mark.parametrize("step", [rows_where, entries_where, average_of_rows])
@pytest.mark.parametrize("batch", [(), (3,), (16,)])
def test_what_few_states_show(step, batch):
    x = np.full((300, *batch, 3), 0.5)
    x[100, ..., 0], x[200, ..., 1] = -1.0, -1.0
    x.reshape(300, -1)[250, -1] = -1.0
    sol = solve_recurrence(step, np.zeros((*batch, 3)), x, method="sequential", compile=True)
    y = np.zeros((1, *batch, 3))
    for t in range(300):
        y = step(y, x[t : t + 1])
        np.testing.assert_allclose(sol.y[t], y[0], rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [4, 8, 40])
def test_conditions_in_the_loops_that_compute_long_states(n, dtype):
    def step(y, x):
        return np.where(np.isfinite(y), 0.5 * y, 0.1) + x

    x = np.random.default_rng(0).normal(size=(300, 2, n)).astype(dtype)
    x[200, 1, n - 1] = np.inf
    sol = solve_recurrence(step, np.zeros((2, n), dtype), x, method="sequential", compile=True)
    loop = solve_recurrence(step, np.zeros((2, n), dtype), x, method="sequential", compile=False)
    assert sol.compiled
    assert not sol.success
    np.testing.assert_allclose(sol.y, loop.y, rtol=1e-6)
