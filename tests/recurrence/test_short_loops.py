"""Loops that `auto` chooses at once: they take little more than a plain loop, and all faults of the step are found."""

from math import inf

import numpy as np
import pytest
from problems import loop

from parscan import Diagonal, Status, solve_recurrence
from parscan._recurrence import choose
from parscan.warnings import NondeterministicStepWarning

RNG = np.random.default_rng(11)
X = 1 + RNG.uniform(0, 1, (100, 2))
W = RNG.standard_normal((2, 2)) / 3


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Whatever the first steps take, the loop is chosen."""
    monkeypatch.setattr(choose, "BRIEF", inf)


def mixing(y, x):
    return np.tanh(y @ W + x)


RIGHT = {
    "inputs": (mixing, np.zeros(2), X),
    "batch": (mixing, np.zeros((3, 2)), RNG.standard_normal((100, 3, 2))),
    "tuple": (lambda y, x: np.where(y > x[0], y - x[1], 1.01 * y + 0.1), np.zeros(2), (X, X[:, :1])),
    "single precision": (mixing, np.zeros(2, np.float32), X.astype(np.float32)),
    "complex": (lambda y, x: 0.9j * y + x, np.zeros(2, complex), X),
    "large states": (lambda y, x: np.sin(y) + x, np.zeros(3000), X[:, :1]),
}


@pytest.mark.parametrize("steps", [1, 2, 9, 63, 100])
@pytest.mark.parametrize("name", RIGHT)
def test_one_call_besides_those_of_the_loop(name, steps):
    step, y0, x = RIGHT[name]
    if name == "single precision":
        step = lambda y, x: np.tanh(y @ W.astype(np.float32) + x)  # noqa: E731
    x = tuple(part[:steps] for part in x) if isinstance(x, tuple) else x[:steps]
    sol = solve_recurrence(step, y0, x, compile=False)
    assert sol.success
    assert sol.status is Status.SEQUENTIAL
    assert sol.nfev == steps + 1
    np.testing.assert_array_equal(sol.y, loop(step, y0, x))


def test_slow_steps_that_are_too_few_for_sweeps(monkeypatch):
    monkeypatch.setattr(choose, "BRIEF", 0.0)
    sol = solve_recurrence(mixing, np.zeros(2), X, compile=False)
    assert sol.nfev == 101
    assert "sweeps do not pay over fewer than 128 steps" in sol.message


NOT_BROADCASTING = {
    "sum over all": lambda y, x: 0.5 * y + x / (1 + np.abs(x).sum()),
    "first row": lambda y, x: 0.5 * y + x[:1],
    "growing, mixed rows": lambda y, x: 0.1 * y @ y.T @ x + x,
    "a branch": lambda y, x: 0.5 * y + x if y[..., 0] > 0 else x,
    "one at a time": lambda y, x: 0.5 * y + x.reshape(1, 2),
}


@pytest.mark.parametrize("steps", [2, 8, 40, 100])
@pytest.mark.parametrize("name", NOT_BROADCASTING)
def test_a_step_that_does_not_broadcast(name, steps):
    with pytest.raises(ValueError, match="`step` does not broadcast over leading axes"):
        solve_recurrence(NOT_BROADCASTING[name], np.ones(2), X[:steps])


def test_a_small_component_that_does_not_broadcast():
    def step(y, x):
        small = 1e-12 * (0.5 * y[..., 1] * 1e12 + x[..., 1] - 0.1 * x[..., 1].mean())
        return np.stack([0.9 * y[..., 0] + x[..., 0], small], axis=-1)

    with pytest.raises(ValueError, match="does not broadcast"):
        solve_recurrence(step, np.zeros(2), X)


def test_random_numbers():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="without random numbers or memory"):
        solve_recurrence(lambda y: 0.5 * y + rng.standard_normal(y.shape), np.zeros(1), length=100)


def test_noise_that_begins_late():
    rng, calls = np.random.default_rng(0), []

    def step(y, x):
        calls.append(1)
        return 0.5 * y + x + (rng.standard_normal(y.shape) if 40 < len(calls) <= 101 or len(calls) > 110 else 0)

    with pytest.warns(NondeterministicStepWarning, match="differs by .* tolerances at step"):
        sol = solve_recurrence(step, np.zeros(2), X)
    assert not sol.success


def test_a_wrong_jacobian():
    def jac(y, x):
        return 1 - np.tanh(0.5 * y + x) ** 2

    arguments = (lambda y, x: np.tanh(0.5 * y + x), np.zeros(2), X)
    assert solve_recurrence(*arguments, jac=lambda y, x: 0.5 * jac(y, x), structure=Diagonal).success
    with pytest.raises(ValueError, match="`jac` disagrees with finite differences"):
        solve_recurrence(*arguments, jac=jac, structure=Diagonal)


def test_a_step_that_writes_to_its_argument():
    def step(y, x):
        y *= 0.5
        y += x
        return y

    sol = solve_recurrence(step, np.zeros(2), X)
    assert sol.success
    np.testing.assert_array_equal(sol.y, loop(lambda y, x: 0.5 * y + x, np.zeros(2), X))


def test_states_that_are_not_finite():
    x = X.copy()
    for time in (3, 12, 50):
        x[time] = np.inf
        sol = solve_recurrence(lambda y, x: 0.5 * y + x, np.zeros(2), x)
        assert f"step {time} of 100" in sol.message
        x[time] = 1.0
