"""Functions with frozen branches are the function itself where the modes are what the state says."""

import numpy as np
import pytest

from parscan._recorded.frozen import MOST, frozen
from parscan._recorded.record import record


def nested(t, y):
    inner = np.where(y[0] > 0, y[1], -y[1])
    return np.stack(
        [np.where((inner >= 0.2) & (y[0] <= t), np.abs(y[1]), np.minimum(y[0], y[1])), np.sign(y[1]) * y[0]]
    )


def ufuncs(t, y):
    return np.stack([np.clip(y[0], -0.5, t) + np.heaviside(y[1], 0.5), np.maximum(y[0], y[1]) * np.signbit(y[0])])


def vectors(t, y):
    return np.abs(y) - (y < y[::-1])


def stairs(t, y):
    phase = np.where(y[0] % 1.0 < 0.3, np.floor(3 * y[1]), np.ceil(y[1]))
    return np.stack([phase, y[0] // 0.5 - (y[0] + t) % 1.5])


def more_stairs(t, y):
    return np.stack([np.fmod(y[0], 0.7) * np.trunc(2 * y[1]), np.rint(y[0] + y[1])])


def program_of(function, n=2):
    return record(function, [np.zeros(()), np.zeros(n)]).program


def settled(found, t, y):
    """Modes as states say: those of which others depend come first."""
    count = found.comparisons
    modes = np.zeros((len(t), count + found.stairs))
    for _ in range(count):
        values, levels = found.switches(t, y, modes)
        modes = np.concatenate([np.where(values > 0, 1.0, -1.0), levels], axis=1)
    return modes


@pytest.mark.parametrize("function", [nested, ufuncs, vectors, stairs, more_stairs])
def test_values_in_the_modes_of_the_state(function, rng):
    program = program_of(function)
    found = frozen(program)
    assert found is not None
    t, y = rng.normal(size=200), rng.normal(size=(200, 2))
    y[:20, 0], y[10:30, 1] = 0.0, y[10:30, 0]
    modes = settled(found, t, y)
    exact, away = program(t, y)[0], np.arange(200) >= 30 * (function is more_stairs)  # `rint` rounds halves to even
    np.testing.assert_allclose(found.recording.program(t, y, modes)[0][away], exact[away], rtol=1e-13, atol=1e-15)


def test_stairs_are_on_their_steps():
    found = frozen(program_of(lambda t, y: np.floor(y) + y % 1.0, 1))
    assert found.stairs == 2
    assert found.comparisons == 4
    y = np.array([[-1.5], [-1.0], [0.0], [0.25], [2.0]])
    modes = settled(found, np.zeros(5), y)
    np.testing.assert_array_equal(modes[:, -2], np.floor(y[:, 0]))
    np.testing.assert_array_equal(modes[:, :2], np.array([[-1.0, 1.0]] * 5))


def test_a_mode_holds_beyond_its_place():
    found = frozen(program_of(lambda t, y: np.abs(y), 1))
    value = found.recording.program
    ones = np.ones((1, 1))
    assert value(np.zeros(1), 2 * ones, ones)[0] == -2.0  # as for numbers below zero
    assert value(np.zeros(1), -2 * ones, -ones)[0] == -2.0


def test_that_modes_depend_on_others_is_known():
    assert frozen(program_of(nested)).is_nested
    assert not frozen(program_of(vectors)).is_nested


@pytest.mark.parametrize(
    "function",
    [
        lambda t, y: -y,
        lambda t, y: np.where(t > 0.5, -y, y),
        lambda t, y: np.where(y == 0, 1.0, y),
        lambda t, y: np.sqrt(np.floor(y)),
        lambda t, y: -np.sqrt(np.maximum(y, 0.0)),
        lambda t, y: np.where(y > 0, np.log(y), 0.0),
        lambda t, y: -np.sqrt(np.abs(y)),
        lambda t, y: np.abs(y) ** 1.5,
    ],
)
def test_nothing_is_frozen(function):
    """Not where nothing compares states, where there is no other side, and where that is outside of a domain."""
    assert frozen(program_of(function, 1)) is None


def test_what_guards_a_domain_still_decides_by_the_state():
    function = lambda t, y: np.stack([np.sqrt(np.maximum(y[0], 0.0)), np.abs(y[1])])  # noqa: E731
    found = frozen(program_of(function))
    assert found.switches.results[0].size == 1
    state, below = np.array([[-1.0, -2.0]]), np.ones((1, 1))
    np.testing.assert_array_equal(found.recording.program(np.zeros(1), state, below)[0], [[0.0, 2.0]])


def test_too_many_modes():
    assert frozen(program_of(np_abs, MOST)) is not None
    assert frozen(program_of(np_abs, MOST + 1)) is None


def np_abs(t, y):
    return np.abs(y)
