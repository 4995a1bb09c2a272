"""Quick looks at whether a function gives the slopes of machine code."""

import numpy as np
import pytest

from parscan._ivp.compiled.alike import are_like, is_like, sample_of

T = np.linspace(0.0, 1.0, 7)
STATES = np.stack([np.sin(T), 2.0 + np.cos(T)], axis=1)
SHARE = 1e-8


def listed(t, y, rate):
    return [y[1] * rate, -y[0] + t]


def as_array(t, y, rate):
    return np.array(listed(t, y, rate))


def overwriting(t, y, rate):
    y[:] = listed(t, y.copy(), rate)
    return y


def slopes(rate):
    return listed(T, STATES.T, rate)


@pytest.mark.parametrize("stacks", [False, True])
@pytest.mark.parametrize("fun", [listed, as_array, overwriting])
def test_equal_slopes(fun, stacks):
    states, found = STATES.copy(), np.stack(slopes(1.5), axis=1)
    assert are_like(fun, (1.5,), T, states, found * (1 + 0.5 * SHARE), SHARE, stacks=stacks)
    np.testing.assert_array_equal(states, STATES)
    for row in range(T.shape[0]):
        assert is_like(fun, (1.5,), T[row], states[row], found[row], SHARE)


@pytest.mark.parametrize("stacks", [False, True])
@pytest.mark.parametrize("change", [2 * SHARE, np.nan, np.inf])
@pytest.mark.parametrize("place", [(0, 0), (3, 1), (6, 1)])
def test_one_other_number(place, change, stacks):
    found = np.stack(slopes(1.5), axis=1)
    found[place] *= 1 + change
    assert not are_like(listed, (1.5,), T, STATES, found, SHARE, stacks=stacks)
    assert not is_like(listed, (1.5,), T[place[0]], STATES[place[0]], found[place[0]], SHARE)


@pytest.mark.parametrize("expected", [[0.0, 1.0], [1e-30, 2.0], [0.0, 0.0]])
def test_each_number_has_its_own_size(expected):
    """Numbers far smaller than others count as much."""
    expected = np.array(expected)
    assert is_like(lambda t, y: list(expected), (), 0.0, STATES[0], expected, SHARE)
    for place in range(2):
        other = expected.copy()
        other[place] = other[place] * (1 + 2 * SHARE) + (other[place] == 0) * 1e-40
        for kind in (list, np.array, tuple):
            assert not is_like(lambda t, y, kind=kind, other=other: kind(other), (), 0.0, STATES[0], expected, SHARE)


@pytest.mark.parametrize("kind", [list, np.array])
def test_complex_numbers(kind):
    assert not is_like(lambda t, y: kind([y[0] + 1e-3j, y[1]]), (), 0.0, STATES[0], STATES[0], SHARE)


def raising(t, y):
    raise ValueError("no")


@pytest.mark.parametrize("stacks", [False, True])
@pytest.mark.parametrize("fun", [raising, lambda t, y: None, lambda t, y: y[:1], lambda t, y: [y[0], "a"]])
def test_other_answers(fun, stacks):
    assert not are_like(fun, (), T, STATES, STATES, SHARE, stacks=stacks)


def test_warnings_are_silent():
    def fun(t, y):
        return [1 / (1 + np.exp(800 + y[0])), y[1]]

    found = np.stack([np.zeros(7), STATES[:, 1]], axis=1)
    assert are_like(fun, (), T, STATES, found, SHARE, stacks=True)


@pytest.mark.parametrize("count", [0, 1, 5, 6, 7, 31, 32, 33, 1000])
@pytest.mark.parametrize(("stacks", "most"), [(True, 32), (False, 6)])
def test_a_sample_is_spread_and_has_the_last_row(count, stacks, most):
    rows = list(range(count))[sample_of(count, stacks=stacks)]
    assert len(rows) <= most
    assert not count or rows[-1] == count - 1
    assert len(rows) >= min(count, most // 2)
