"""Programs that are recorded again: they compute the same, and can be derived."""

import numpy as np
import pytest

from parscan._recorded.graph import TooLarge
from parscan._recorded.linearised import linearised
from parscan._recorded.record import record
from parscan._recorded.replay import replayed

TABLE = np.linspace(0.0, 1.0, 5), np.array([0.0, 2.0, 1.0, 3.0, 1.0])


def fun(t, y, rate):
    matrix = np.arange(16.0).reshape(4, 4) / 10
    return np.where(y > 0, np.sin(y) * rate, matrix @ y) + np.interp(t, *TABLE) + y[::-1] ** 3


EXAMPLES = [np.zeros(()), np.zeros(4), np.zeros(4)]


def test_it_computes_the_same():
    recording = record(fun, EXAMPLES)
    again = replayed(recording.program)
    t, y, rate = np.linspace(0, 1, 6), *np.random.default_rng(0).normal(size=(2, 6, 4))
    np.testing.assert_array_equal(again.program(t, y, rate)[0], recording.program(t, y, rate)[0])
    one, other = linearised(recording), linearised(again)
    np.testing.assert_array_equal(other.rows, one.rows)
    np.testing.assert_array_equal(other.columns, one.columns)
    for mine, theirs in zip(other.program(t, y, rate), one.program(t, y, rate), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-14)


def test_limit():
    with pytest.raises(TooLarge):
        replayed(record(fun, EXAMPLES).program, 10)
