"""Where rounding of large components is more than the tolerance of small ones, a solve ends there, and nowhere else."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import loop

from parscan import solve_recurrence

STEPS = 4000


def tracker(size, dtype=np.float64):
    """A filter of position and velocity, whose velocity passes through zero beside large positions."""
    t = np.arange(STEPS)
    x = (size * np.sin(t / 5000) + np.random.default_rng(0).standard_normal(STEPS))[:, None].astype(dtype)

    def step(y, z):
        p = y[..., 0] + dtype(0.1) * y[..., 1]
        r = z[..., 0] - p
        return np.stack([p + dtype(0.3) * r, y[..., 1] + dtype(0.4) * r], axis=-1)

    return step, np.zeros(2, dtype), x


def kalman(size, dtype=np.float64):
    """A Kalman filter of two positions far from zero, and velocities near it, with its steady gain."""
    rng = np.random.default_rng(1)
    F, H, P = np.eye(4) + 0.1 * np.eye(4, k=2), np.eye(2, 4), np.eye(4)
    for _ in range(500):
        P = F @ P @ F.T + 0.01 * np.eye(4)
        K = P @ H.T @ np.linalg.inv(H @ P @ H.T + np.eye(2))
        P = P - K @ H @ P
    walk = np.cumsum(0.05 * rng.standard_normal((STEPS, 2)), axis=0) + rng.standard_normal((STEPS, 2))
    x = (size * np.array([1, -0.7]) + walk).astype(dtype)
    F, H, K = F.astype(dtype), H.astype(dtype), K.astype(dtype)

    def step(y, z):
        m = y @ F.T
        return m + (z - m @ H.T) @ K.T

    return step, np.concatenate([x[0], np.zeros(2, dtype)]), x


PROBLEMS = {
    "tracker 1": tracker(1.0),
    "tracker 1e4": tracker(1e4),
    "tracker 1e8": tracker(1e8),
    "Kalman 4e4": kalman(4e4),
    "Kalman 1e6": kalman(1e6),
    "Kalman 1e8": kalman(1e8),
    "Kalman 100, single": kalman(100.0, np.float32),
    "tracker 100, single": tracker(100.0, np.float32),
    "tracker 1e4, single": tracker(1e4, np.float32),
}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto", "jacobi"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_solves_end_at_rounding(name, method):
    step, y0, x = PROBLEMS[name]
    sol = solve_recurrence(step, y0, x, method=method, segment_length=80)
    expected, epsilon = loop(step, y0, x), np.finfo(y0.dtype).eps
    rtol, atol = (1e-10, 1e-12) if y0.dtype == np.float64 else (1e-5, 1e-6)
    rounding = 8 * epsilon * np.abs(expected).max(axis=-1, keepdims=True)
    assert (np.abs(sol.y - expected) <= 10 * (atol + rtol * np.abs(expected)) + rounding).all()
    if method == "jacobi":
        assert sol.method == "jacobi"
        assert sol.iterations <= 30


def test_the_message_says_so():
    step, y0, x = PROBLEMS["Kalman 1e6"]
    assert "rounding of larger components" in solve_recurrence(step, y0, x, method="jacobi", segment_length=80).message


HONEST = {
    "slow": (lambda y: (1 - 1e-9) * y + 1e-9, [0.0, 1.0]),
    "leak beside a large one": (
        lambda y: np.stack([0.5 * y[..., 0] + 5e5, (1 - 1e-6) * y[..., 1] + 1e-7], -1),
        [1e6, 0.0],
    ),
    "drift beside a large one": (lambda y: np.stack([0.5 * y[..., 0] + 5e7, y[..., 1] + 1e-9], -1), [1e8, 0.0]),
    "tiny growth": (lambda y: (1 + 1e-12) * y, [1.0, 1e6]),
    "drift of a few roundings": (lambda y: np.stack([0.5 * y[..., 0] + 0.5, y[..., 1] + 4e-16], -1), [3.0, 1.0]),
    "chaos": (lambda y: 3.9 * y * (1 - y), [0.3, 0.4]),
    "rotation": (lambda y: y @ TURN, [1.0, 1e3]),
    "fed drift": (
        lambda y: np.stack([0.9 * y[..., 0] + 1e3, y[..., 1] + 1e-3 * (y[..., 0] - 1e4) + 1e-7], -1),
        [0.0, 0.0],
    ),
}
ADDED = {
    "drift in the same components as a fast mode": (0.5, 1e-9, 1e4),
    "slow mode in the same components": (0.5, -1e-6, 1e4),
    "drift of a few roundings of both": (0.3, 1e-13, 1e3),
}
"""Two modes, the sum and the difference of the components: one dies out at this rate, one drifts so much per step."""


def mixed(rate, drift, size):
    def step(y):
        fast, slow = y[..., 0] + y[..., 1], y[..., 0] - y[..., 1]
        fast, slow = rate * fast + (1 - rate) * size, slow + drift * size
        return np.stack([(fast + slow) / 2, (fast - slow) / 2], axis=-1)

    return step, [2 * size, -size]


HONEST |= {name: mixed(*values) for name, values in ADDED.items()}
TURN = np.array([[np.cos(0.01), -np.sin(0.01)], [np.sin(0.01), np.cos(0.01)]])


@cache
def states_of(name):
    step, y0 = HONEST[name]
    return loop(step, np.array(y0), STEPS)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::parscan.warnings.SlowConvergenceWarning")
@pytest.mark.pairs(name=HONEST.keys(), method=["auto", "jacobi", "quasi-newton", "newton", "elk"], length=[1, 40])
def test_what_is_not_at_rounding_is_not_taken_for_it(name, method, length):
    step, y0 = HONEST[name]
    steps = 600 if name == "chaos" else STEPS
    sol = solve_recurrence(step, np.array(y0), length=steps, method=method, segment_length=length, max_iterations=20)
    if name == "chaos":
        assert np.max(np.abs(step(sol.y[:-1]) - sol.y[1:])) <= 1e-9
        return
    expected = states_of(name)
    assert (np.abs(sol.y - expected) <= 10 * (1e-12 + 1e-10 * np.abs(expected).max(axis=0))).all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::parscan.warnings.SlowConvergenceWarning")
@pytest.mark.parametrize("method", ["auto", "jacobi", "newton"])
@pytest.mark.parametrize("drift", [2e-7, 5e-7, 9e-7])
@pytest.mark.parametrize("size", [1.0, 1e3])
def test_a_drift_of_a_few_roundings_per_step_adds_up(drift, size, method):
    """Each step's is no more than rounding in single precision, and together they are a hundred tolerances."""

    def step(y):
        return np.stack([np.float32(0.5) * y[..., 0] + np.float32(size), y[..., 1] + np.float32(drift)], axis=-1)

    y0 = np.array([3 * size, 1.0], dtype=np.float32)
    sol = solve_recurrence(step, y0, length=STEPS, method=method, segment_length=1, max_iterations=30)
    assert np.abs(sol.y - loop(step, y0, STEPS))[:, 1].max() <= 1e-4


@pytest.mark.slow
@given(
    st.floats(-0.95, 0.95),
    st.floats(-16, -2),
    st.floats(-3, 8),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from(["auto", "jacobi"]),
    st.integers(0, 10**6),
)
def test_fast_and_slow_modes_in_any_basis(fast, leak, scale, dtype, method, seed):
    """What is called solved is so, beside the roundings that a loop makes, too."""
    rng = np.random.default_rng(seed)
    basis = rng.standard_normal((3, 3)) + 2 * np.eye(3)
    matrix = basis @ np.diag([fast, fast / 2, 1 - 10**leak]) @ np.linalg.inv(basis)
    x = (10**scale * (1 + rng.standard_normal((2000, 3)))).astype(dtype)
    y0 = x[0] / dtype(7)

    def step(y, x):
        return (y @ matrix.T.astype(y.dtype) + x) if y.dtype == dtype else y @ matrix.T + x

    sol = solve_recurrence(step, y0, x, method=method, segment_length=40)
    exact = loop(step, y0.astype(np.float64), x.astype(np.float64))
    looped = loop(step, y0, x)
    rtol = 1e-10 if dtype == np.float64 else 1e-5
    size = np.abs(exact).max()
    assert np.abs(sol.y - exact).max() <= 10 * (np.abs(looped - exact).max() + rtol * size)
