"""Whether a right-hand side reads the time is known from its instructions."""

from functools import partial

import numpy as np
import pytest

from parscan._functions.reads import reads_first


def free(t, y):
    u, v = y
    return [v, -u]


def forced(t, y):
    return [y[1], np.cos(t) - y[0]]


def through(t, y):
    return forced(t, y)


def within(t, y):
    return [sum(t * k for k in range(3)) + 0 * y[0]]


def kept(t, y):
    def later():
        return t

    return [later() + y[0]]


def hidden(t, y):
    return [locals()["t"] + y[0]]


def any_of(*given):
    return [given[1][0]]


def of_global(s, y):
    return [free(0.0, y)[0]]


class System:
    def free(self, t, y):
        return [self.t * y[0]]

    def forced(self, t, y):
        return [t * y[0]]

    def __call__(self, t, y):
        return [y[0]]


@pytest.mark.parametrize("function", [free, of_global, lambda t, y: -y, lambda t, y, rate: -rate * y])
def test_functions_of_the_state_alone(function):
    assert not reads_first(function)


@pytest.mark.parametrize("function", [
    forced, through, within, kept, hidden, any_of, partial(free), System(), System().forced, np.add,
    lambda t, y: [y[0], t], lambda t, y: [y[0] if t > 1 else 0.0],
])  # fmt: skip
def test_others(function):
    assert reads_first(function)


def test_methods():
    """The first argument is the one after the object; an attribute of the same name may be the time."""
    assert reads_first(System().free)

    class Other:
        def fun(self, t, y):
            return [self.rate * y[0]]

    assert not reads_first(Other().fun)
