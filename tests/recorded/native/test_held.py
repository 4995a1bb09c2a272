"""Steps that keep a state or replace it: several at a time are the same steps, to the last bit."""

import numpy as np
import pytest
from problems import loop

from parscan import solve_recurrence
from parscan._recorded.native.held import has_permutations, how_held
from parscan._recorded.native.loop import Loop
from parscan._recorded.record import record

RNG = np.random.default_rng(8)


def schmitt(y, x):
    return np.where(x[..., :1] > 0.5, 1.0, np.where(x[..., :1] < -0.5, -0.0, y))


def sampled(y, x):
    """Two numbers, replaced by values of inputs, and one that never changes."""
    first = np.where(x[..., 0] > 0.9, x[..., 1] * 2.0, y[..., 0])
    second = np.where(x[..., 1] < 0.7, y[..., 2], np.sqrt(abs(x[..., 0])))
    return np.stack([first, y[..., 1], second], -1)


def nested(y, x):
    """Choices in both values of a choice, one of them shared, beside a number that has no past."""
    a, u, v = y[..., 0], x[..., 0], x[..., 1]
    shared = np.where(v > 0.2, a, u)
    new = np.where(u > 0.0, np.where(v > u, a, shared), np.where(abs(u) < 1.0, shared, 3.0))
    return np.stack([new, u + v, y[..., 2]], -1)


STEPS = {"schmitt": (schmitt, 1), "sampled": (sampled, 3), "nested": (nested, 3)}


def program_of(step, n, dtype=np.float64):
    return record(step, [np.zeros((1, n), dtype), np.zeros((1, 2), dtype)]).program


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", STEPS)
def test_steps_are_those_of_the_function(name, dtype):
    step, n = STEPS[name]
    compiled = Loop(program_of(step, n, dtype))
    assert (compiled._several is not compiled._watched) == has_permutations()
    for steps in (1, 2, 7, 8, 9, 31, 32, 33, 500):
        x, y0 = RNG.standard_normal((steps, 2)).astype(dtype), RNG.standard_normal(n).astype(dtype)
        found = np.full((steps + 1, n), 7.0, dtype)
        assert compiled.run(y0, [x], found[:steps], 0, steps)
        np.testing.assert_array_equal(found[:steps], loop(step, y0, x))
        np.testing.assert_array_equal(np.signbit(found[:steps]), np.signbit(loop(step, y0, x)))
        assert (found[steps] == 7.0).all()  # nothing is written behind them


@pytest.mark.parametrize("y0", [np.nan, np.inf, 0.5])
def test_states_and_inputs_that_are_not_finite(y0):
    x = RNG.standard_normal((300, 2))
    x[::3, 0] = np.nan
    found = np.empty((300, 1))
    assert Loop(program_of(schmitt, 1)).run(np.array([y0]), [x], found, 0, 300) == bool(np.isfinite(y0))
    if np.isfinite(y0):
        np.testing.assert_array_equal(found, loop(schmitt, np.array([y0]), x))


@pytest.mark.parametrize("name", STEPS)
def test_from_any_step_and_with_inputs_in_pieces(name):
    step, n = STEPS[name]
    compiled, x, y0 = Loop(program_of(step, n)), RNG.standard_normal((200, 2)), np.zeros(n)
    expected = loop(step, y0, x)
    apart = np.zeros((200, 5))
    apart[:, 1:3] = x
    for given in (x, apart[:, 1:3]):
        found = np.empty((200, n))
        assert compiled.run(y0, [given], found, 0, 83)
        assert compiled.run(found[82], [given], found, 83, 200)
        np.testing.assert_array_equal(found, expected)


def test_inputs_of_other_dtypes_and_several_of_them():
    def step(y, x):
        on, value = x
        return np.where(on, value, y)

    on, value = RNG.random((1000, 1)) < 0.1, RNG.integers(-5, 5, (1000, 1))
    sol = solve_recurrence(step, np.zeros(1), (on, value), method="sequential", compile=True)
    np.testing.assert_array_equal(sol.y, loop(step, np.zeros(1), (on, value)))


@pytest.mark.parametrize(
    "step",
    [
        lambda y, x: np.where(y > x[..., :2], 1.0, y),  # by the state
        lambda y, x: np.where(x > 0.5, y[..., ::-1], y),  # by another number of it
        lambda y, x: np.where(x > 0.5, -y, y),
        lambda y, x: np.where(x > 0.5, y + x, 1.0),
        lambda y, x: np.where(x > 0.5, 1.0, x),  # without a past
    ],
)
def test_what_is_not_held(step):
    assert how_held(program_of(step, 2)) is None
