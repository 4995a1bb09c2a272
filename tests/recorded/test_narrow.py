"""Guards of removable singularities are no modes; other narrow branches are."""

import numpy as np
import pytest

from parscan._recorded.frozen import frozen
from parscan._recorded.record import Wishes, record


def gate(t, y):
    x, z = y[0] + 40.0, y[0] + 55.0
    opens = np.where(np.abs(x) < 1e-7, 1.0, 0.1 * x / (1 - np.exp(-x / 10)))
    others = np.where(np.abs(z) > 1e-6, 0.01 * z / (1 - np.exp(-z / 10)), 0.1)
    return [opens * (1 - y[1]), others * (1 - y[0])]


def sinc(t, y):
    return [y[1], np.where(np.abs(y[0]) < 1e-4, 1 - y[0] ** 2 / 6, np.sin(y[0]) / y[0])]


def branches(t, y):
    x = 0.3 * y[0]
    if abs(x) < 1e-8:
        return [y[1], 1.0 + x / 2]
    return [y[1], np.expm1(x) / x]


def dead_band(t, y):
    return [y[1], np.where(np.abs(y[1]) < 1e-3, 0.0, -y[0])]


def steep(t, y):
    return [y[1], np.where(np.abs(y[1]) < 1e-3, -1e3 * y[1], np.where(y[1] > 0, -1.0, 1.0))]


def safe(t, y):
    """A pole that is cut off."""
    return [y[1], 1 / np.where(np.abs(y[0]) < 1e-4, 1e-4, y[0])]


def wide(t, y):
    return [y[1], np.where(np.abs(y[0]) < 0.1, 1.0, np.expm1(y[0]) / y[0])]


def size_used(t, y):
    size = np.abs(y[0])
    return [y[1], np.where(size < 1e-8, 1.0, np.sin(y[0]) / y[0]) * size]


def comparisons(function):
    wishes = Wishes((0, 1), np.dtype(np.float64))
    found = frozen(record(function, [np.zeros(()), np.zeros(2)], wishes=wishes).program)
    return 0 if found is None else found.comparisons


@pytest.mark.parametrize("function", [gate, sinc, branches])
def test_none_is_watched(function):
    assert comparisons(function) == 0


@pytest.mark.parametrize(("function", "count"), [(dead_band, 2), (steep, 3), (safe, 2), (wide, 2), (size_used, 1)])
def test_what_matters_is(function, count):
    assert comparisons(function) == count
