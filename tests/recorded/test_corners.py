"""Corners of recorded functions in time, against those that are known."""

import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq

from parscan._recorded import corners as searched
from parscan._recorded.corners import TooManyError, corners, strengths
from parscan._recorded.record import record
from parscan._recorded.switches import switches

TABLE = np.array([0.0, 0.5, 0.75, 3.0, 9.5, 10.0])
VALUES = np.array([1.0, 4.0, 2.0, 2.5, -3.0, 0.0])

RISES = brentq(lambda t: np.sin(t) + t / 2 - 1, 0, 2, xtol=1e-14)


def found(fun, low=0.0, high=10.0, *numbers):
    recording = record(fun, [np.zeros(()), np.zeros(2), *map(np.asarray, numbers)])
    some = switches(recording.program)
    return [] if some is None else corners(some, numbers, low, high)


CASES = {
    "a comparison": (lambda t, y: np.where(t < 3.25, y, -y), [3.25]),
    "the other way round": (lambda t, y: np.where(np.greater(3.25, t), y, -y), [3.25]),
    "an affine function": (lambda t, y: np.where(3 - 2 * t < t / 4, y, -y), [4 / 3]),
    "outside of the span": (lambda t, y: np.where(t < 30, y, -y), []),
    "a state": (lambda t, y: np.where(y < t, y, -y), []),
    "a smooth function": (lambda t, y: y * np.sin(t) + t**2, []),
    "no time": (lambda t, y: np.abs(y), []),
    "the greater one": (lambda t, y: y * np.maximum(2 * t, 5), [2.5]),
    "limits": (lambda t, y: y + np.clip(t, 2, 7), [2, 7]),
    "the absolute value": (lambda t, y: y * abs(t - 6), [6]),
    "signs": (lambda t, y: y * np.sign(t - 4) + np.heaviside(8 - t, 0.5), [4, 8]),
    "whole numbers": (lambda t, y: y * np.floor(t / 2.5), [2.5, 5, 7.5, 10]),
    "integers": (lambda t, y: y * VALUES[(t / 2.5).astype(int)], [2.5, 5, 7.5, 10]),
    "the nearest whole number": (lambda t, y: y * np.rint(t / 4), [2, 6, 10]),
    "remainders": (lambda t, y: y * np.mod(t - 1, 4), [1, 5, 9]),
    "pulses in each period": (lambda t, y: np.where(np.mod(t, 4) < 0.5, y, -y), [0.5, 4, 4.5, 8, 8.5]),
    "a kink within a kink": (lambda t, y: y * abs(abs(t - 5) - 2), [3, 5, 7]),
    "a table": (lambda t, y: y * np.interp(t, TABLE, VALUES), TABLE),
    "a table of another time": (lambda t, y: y * np.interp(2 * t - 3, TABLE, VALUES), (TABLE + 3) / 2),
    "a place in a table": (lambda t, y: y * VALUES[np.clip(np.searchsorted(TABLE, t), 0, 5)], TABLE),
    "waves": (lambda t, y: y * np.sign(np.sin(2 * t)), np.arange(7) * np.pi / 2),
    "high waves": (
        lambda t, y: np.where(np.cos(t) > 0.999, y, 0),
        [np.arccos(0.999), 2 * np.pi - np.arccos(0.999), 2 * np.pi + np.arccos(0.999)],
    ),
    "a narrow bell": (lambda t, y: np.where(np.exp(-(((t - 6) / 1e-3) ** 2)) > 0.5, y, 0),
                      [6 - 1e-3 * np.log(2) ** 0.5, 6 + 1e-3 * np.log(2) ** 0.5]),
    "an exponential": (lambda t, y: np.where(np.exp(-t) < 0.25, y, 0), [np.log(4)]),
    "a sum of waves": (lambda t, y: np.maximum(np.sin(t) + t / 2, 1.0) + y, [RISES]),
    "a vector": (lambda t, y: np.where(t * np.array([1.0, 2.0]) < 3, y, -y), [1.5, 3]),
    "a product of matrices": (
        lambda t, y: np.maximum(np.array([[1.0, 0.5], [0.0, 1.0]]) @ np.stack([t, 1.0 - t]), 0.2) + y,
        [0.8],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_corners(name):
    fun, expected = CASES[name]
    np.testing.assert_allclose(found(fun), expected, rtol=1e-9)


def test_numbers():
    def fun(t, y, start, width):
        return np.where((t > start) & (t < start + width), y, 0 * y)

    np.testing.assert_allclose(found(fun, 0.0, 10.0, 2.0, 0.5), [2.0, 2.5])
    np.testing.assert_allclose(found(fun, -5.0, -1.0, -2.0, 5.0), [-2.0])


def test_ends_of_the_span():
    """A function that jumps at an end has there a value that is not that of the inside."""
    assert found(lambda t, y: y * np.floor(t), 1.0, 3.0).tolist() == [2.0, 3.0]
    assert found(lambda t, y: np.where(t <= 1, y, -y), 1.0, 3.0).tolist() == [1.0]
    assert found(lambda t, y: np.where(t < 3, y, -y), 1.0, 3.0).tolist() == [3.0]


def test_endless_spans():
    assert found(lambda t, y: np.where(t < 3, y, np.sign(np.sin(t))), 1.0, np.inf).tolist() == [3.0]


def test_too_many(monkeypatch):
    for fun in (lambda t, y: y * np.floor(1e9 * t), lambda t, y: y * np.sign(np.sin(1e9 * t))):
        with pytest.raises(TooManyError):
            found(fun)
    monkeypatch.setattr(searched, "MOST", 2)
    with pytest.raises(TooManyError):
        found(lambda t, y: y * np.interp(t, TABLE, VALUES))


def strong(fun, low=0.0, high=10.0):
    recording = record(fun, [np.zeros(()), np.zeros(2)])
    some = switches(recording.program)
    return strengths(some, (), low, high, corners(some, (), low, high))


def test_strengths():
    """Jumps are infinitely strong, and the kinks of smooth functions of time are not at all."""
    assert strong(lambda t, y: np.where(t < 3, y, -y)).tolist() == [np.inf]
    assert strong(lambda t, y: y * np.where(t < 3, 1.0, 2.0)).tolist() == [np.inf]
    assert strong(lambda t, y: y + abs(t - 4)) == pytest.approx([2 * 4 / 8 / 6])
    times = np.linspace(0, 10, 101)
    fine = strong(lambda t, y: y * np.interp(t, times, np.sin(times)))[1:-1]
    assert np.all(fine < 0.1**2 / 7)
    smooth = strong(lambda t, y: y + CubicSpline(times, np.sin(times))(t))[1:-1]
    assert np.all(smooth < 1e-4 * fine.max())
    pulse = strong(lambda t, y: y + np.interp(t, [0, 5, 5.001, 5.002, 10], [0, 0, 3.0, 0, 0]))
    assert np.all(pulse[1:-1] >= 1 / 9)


def test_a_jump_within_a_table():
    found = strong(lambda t, y: y + np.interp(t, [0, 5, 5, 10], [0, 1.0, 2.0, 2.0]))
    assert found[1] == np.inf


def test_rounding():
    """A corner is as exact as its own time, however long the span is."""
    early, *_ = found(lambda t, y: np.where(3 * t < 1e-3, y, -y), -1e6, 1e6)
    np.testing.assert_allclose(early, 1e-3 / 3, rtol=1e-14)
    first, second, *_ = found(lambda t, y: np.where(np.mod(t, 24.0) < 0.3, y, -y), 0.0, 1e5)
    np.testing.assert_allclose([first, second], [0.3, 24.0], rtol=1e-14)
