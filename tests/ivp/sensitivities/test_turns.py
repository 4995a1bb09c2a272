"""Guards between places: all their passages are found, however short, and where they only touch a level."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parscan._ivp.core.polynomial import PiecewisePolynomial
from parscan._ivp.core.tableaux import gauss
from parscan._ivp.sensitivities.turns import WHOLE, ZERO, turns

EIGHTHS = (2 * np.arange(8) + 1) / 16


def along(guard, level=ZERO, intervals=2):
    """Sides on which a guard `g(t, y)` is along y = t in [0, 1], at eighths of intervals and places that are found."""

    def side(t, y):
        values = guard(t, y)
        return (np.floor(values) if level == WHOLE else np.sign(values))[:, None]

    found = SimpleNamespace(
        modes=SimpleNamespace(levels=np.array([level]), values=None),
        matters=np.array([True]),
        given=[],
        at=lambda t, states: side(t, states[:, 0]),
        evaluated=lambda *_: lambda t, states, modes: (guard(t, states[:, 0])[:, None],),
    )
    nodes = np.linspace(0, 1, intervals + 1)
    solution = PiecewisePolynomial(gauss(2), nodes, nodes[:, None], np.ones((intervals, 2, 1)))
    times = np.concatenate([[0.0], solution.times(EIGHTHS).ravel(), [1.0]])
    further, ended = turns(found, solution, times, found.at(times, times[:, None]))
    every = np.sort(np.concatenate([times, further]))
    return side(every, every)[:, 0], ended


GUARDS = {
    "parabola": lambda t, y: 1e-4 - (y - 0.47) ** 2,
    "parabola, hardly": lambda t, y: 1e-10 - (y - 0.47) ** 2,
    "fast forcing": lambda t, y: np.sin(200 * t) + 0.3 * y,
    "crest of a fast forcing": lambda t, y: 0.5 * np.sin(50 * t) + y - 0.94,
    "short pulse": lambda t, y: np.exp(-(((y - 0.43) / 0.012) ** 2)) - 0.5,
    "products": lambda t, y: (y - 0.31) * (y - 0.312) * (y - 0.8),
    "two crossings beside one": lambda t, y: (t - 0.4) * ((y - 0.403) ** 2 - 1e-8),
}


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
def test_all_passages_are_found(guard):
    dense = np.linspace(0, 1, 2_000_001)
    count = np.count_nonzero(np.diff(guard(dense, dense) > 0))
    sides, _ = along(guard)
    assert np.count_nonzero(np.diff(sides > 0)) == count > 1


@settings(max_examples=60)
@given(st.floats(5, 120), st.floats(0, 6), st.floats(0.05, 1.0), st.floats(-1, 1), st.floats(-2, 2))
def test_sums_of_waves(rate, phase, size, level, slope):
    def guard(t, y):
        return size * np.sin(rate * t + phase) + np.cos(3 * y) * slope - level

    dense = guard(t := np.linspace(0, 1, 200_001), t)
    peaks = (np.diff(dense)[1:] > 0) != (np.diff(dense)[:-1] > 0)
    if np.any(np.abs(dense[1:-1][peaks]) < 1e-6):
        return  # it touches its level, about
    sides, _ = along(guard)
    assert np.count_nonzero(np.diff(sides)) == np.count_nonzero(np.diff(np.sign(dense)))


def test_whole_numbers():
    """A stair is left upwards, and downwards, between places."""
    for sign in (1, -1):
        sides, _ = along(lambda t, y, sign=sign: 2.5 + sign * (0.5001 - 40 * (y - 0.47) ** 2), WHOLE)
        dense = np.linspace(0, 1, 1_000_001)
        exact = np.floor(2.5 + sign * (0.5001 - 40 * (dense - 0.47) ** 2))
        assert np.count_nonzero(np.diff(sides)) >= np.count_nonzero(np.diff(exact)[np.abs(dense[1:] - 0.47) < 0.01])
        assert np.min(sides) == np.min(exact)
        assert np.max(sides) == np.max(exact)


def test_a_level_that_is_touched():
    sides, ended = along(lambda t, y: (y - 0.47) ** 2)
    assert np.all(sides >= 0)
    assert np.any(ended.turn)
    np.testing.assert_allclose(ended.low[ended.turn], 0.47, atol=1e-5)
    _, ended = along(lambda t, y: (y - 0.47) ** 2 + 1e-3)
    assert ended.rows.size == 0


@pytest.mark.parametrize("guard", [lambda t, y: 3.0 - y**2, lambda t, y: y + 0.1 * y**2 - 0.4])
def test_smooth_guards_need_few_places(guard):
    """Those that stay away from their levels, and those that pass them at an angle."""
    calls = list[int]()
    sides, ended = along(lambda t, y: (calls.append(len(t)), guard(t, y))[1])
    assert np.count_nonzero(np.diff(sides > 0)) <= 1
    assert ended.rows.size == 0
    assert sum(calls) < 160
