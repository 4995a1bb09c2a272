"""Where steps are to end beside narrow pulses of recorded functions of time."""

import numpy as np
import pytest

from parscan._recorded import pulses
from parscan._recorded.corners import TooManyError, places
from parscan._recorded.pulses import stops, stops_of_members
from parscan._recorded.record import record
from parscan._recorded.switches import switches


def recorded(fun, *numbers):
    return switches(record(fun, [np.zeros(()), np.zeros(2), *map(np.asarray, numbers)]).program)


def found(fun, low=0.0, high=10.0, *numbers):
    some = recorded(fun, *numbers)
    cuts = places(some, numbers, low, high)[0]
    return [] if some is None else stops(some, numbers, low, high, cuts)


CASES = {
    "a bell": lambda x: np.exp(-(x**2)),
    "another bell": lambda x: np.exp(-x * x),
    "a flat bell": lambda x: np.exp(-(x**8)),
    "hyperbolic": lambda x: 1 / np.cosh(x),
    "rational": lambda x: 1 / (1 + x**2),
    "a wave": np.tanh,
    "another wave": lambda x: 1 / (1 + np.exp(-x)),
    "rounded": lambda x: np.sqrt(x**2 + 1),
}


@pytest.mark.parametrize("width", [1e-2, 1e-4, 1e-6, 1e-8])
@pytest.mark.parametrize("name", CASES)
def test_stops(name, width):
    """At the centre, within a few widths on both sides, and at some distance."""
    times = found(lambda t, y: y * CASES[name]((t - 7) / width))
    x = (np.asarray(times) - 7) / width
    assert np.abs(x).min() < 1e-3
    for side in (x, -x):
        assert np.any((side > 0.2) & (side < 8))
        assert np.any((side > 5) & (side < 130))
    assert len(x) < 24


SMOOTH = {
    "wide": lambda t, y: y * np.exp(-(((t - 7) / 3) ** 2)),
    "a decay": lambda t, y: y * np.exp(-t),
    "a polynomial": lambda t, y: y + t**2 - 3 * t * t * t,
    "waves": lambda t, y: y * np.sin(300 * t),
    "of the state": lambda t, y: np.exp(-(((y - t) / 1e-3) ** 2)),
    "outside": lambda t, y: y * np.exp(-(((t - 70) / 1e-3) ** 2)),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_none(name):
    some = recorded(SMOOTH[name])
    assert some is None or not len(found(SMOOTH[name]))


def test_no_corners():
    """Pulses alone are no corners."""
    assert not recorded(lambda t, y: y * np.exp(-(t**2))).has_corners
    assert recorded(lambda t, y: y * np.exp(-abs(t))).has_corners


def test_members():
    some = recorded(lambda t, y, c, w: y * np.tanh((t - c) / w), 0.0, 0.0)
    centres, widths = np.array([2.0, 30.0, 7.0]), np.array([1e-3, 1e-3, 1e-5])
    each = stops_of_members(some, [centres, widths], 0.0, 10.0)
    assert np.isnan(each[1]).all()
    for k in (0, 2):
        alone = stops(some, [centres[k], widths[k]], 0.0, 10.0)
        np.testing.assert_allclose(each[k][: len(alone)], alone)
        assert np.abs(alone - centres[k]).min() < 1e-12


def test_too_many(monkeypatch):
    monkeypatch.setattr(pulses, "LOOKED", 100)
    with pytest.raises(TooManyError):
        found(lambda t, y: y * np.exp(-(((t - 7) / 1e-4) ** 2)))
    some = recorded(lambda t, y, w: y * np.exp(-((np.mod(t, 3) / w) ** 2)), 0.0)
    with pytest.raises(TooManyError):
        stops_of_members(some, [np.ones(1000)], 0.0, 10.0)
