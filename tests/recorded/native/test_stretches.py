"""Solvers whose steps end on given times, with the function of each side behind them."""

import numpy as np
import pytest

from parscan._recorded.linearised import linearised
from parscan._recorded.native.explicit import explicit
from parscan._recorded.native.members import DENSE, NOTHING, STATES, Form
from parscan._recorded.native.radau import radau
from parscan._recorded.native.rosenbrock import rosenbrock
from parscan._recorded.record import record

MAKERS = {
    "explicit": lambda recording, form: explicit(recording.program, form),
    "rosenbrock": lambda recording, form: rosenbrock(recording.program, linearised(recording), form),
    "radau": lambda recording, form: radau(recording.program, linearised(recording), form),
}

TINY = 1e-13


def jumping(t, y):
    """Both states jump in their rates, and depend on time and state."""
    return np.where(t < 3, 1.0, -2.0) * np.array([1.0, 3.0]) + t - 0.5 * y


def exact(t):
    """For the first state, from 0 on; the second one from `second` on."""
    before = 2 * (1 - 2) + 2 * t + (0 - 2 * (1 - 2)) * np.exp(-t / 2)
    at = 2 * (1 - 2) + 6 + 2 * np.exp(-1.5)
    return np.where(t <= 3, before, 2 * (-2 - 2) + 2 * t + (at - 2 * (-2 - 2) - 6) * np.exp(-(t - 3) / 2))


def stretches(*ends):
    return np.array([[3.0, 0.0, 3.0 - TINY], *[[end, low, end] for low, end in ends]])


def run(solver, end, count=1, given=None):
    found = solver.start(0.0, end, np.zeros((count, 2)), rtol=1e-9, atol=1e-9, stretches=given)
    while found.advance(1000):
        pass
    return found


@pytest.mark.parametrize("log", [NOTHING, STATES, DENSE])
@pytest.mark.parametrize("name", MAKERS)
def test_steps_end_on_the_ends(name, log):
    solver = MAKERS[name](record(jumping, [np.zeros(()), np.zeros(2)]), Form(log=log, has_stretches=True))
    found = run(solver, 5.0, given=stretches((3.0, 5.0)))
    np.testing.assert_allclose(found.y[0, 0], exact(5.0), rtol=1e-8)
    assert found.counts[0, 2] <= 6
    if log != NOTHING:
        assert 3.0 in found.log[1]
        np.testing.assert_allclose(found.log[2][:, 0], exact(found.log[1]), rtol=1e-7)


@pytest.mark.parametrize("name", MAKERS)
def test_without_stretches(name):
    """The whole span is one."""
    solver = MAKERS[name](record(jumping, [np.zeros(()), np.zeros(2)]), Form(has_stretches=True))
    other = MAKERS[name](record(jumping, [np.zeros(()), np.zeros(2)]), Form())
    np.testing.assert_allclose(run(solver, 2.5).y, run(other, 2.5).y, rtol=1e-8)


@pytest.mark.parametrize("name", ["explicit", "rosenbrock"])
def test_members_have_stretches_of_their_own(name):
    ends = 5.0 + np.arange(11.0)
    given = np.stack([stretches((3.0, 4.0), (4.0, end)) for end in ends])
    solver = MAKERS[name](record(jumping, [np.zeros(()), np.zeros(2)]), Form(lanes=8, has_stretches=True))
    found = run(solver, ends, 11, given)
    np.testing.assert_allclose(found.y[:, 0], exact(ends), rtol=1e-8)


def test_times_are_not_beyond_the_limits():
    """Where the function is not defined at the end of a stretch, it is not evaluated there."""
    recording = record(lambda t, y: np.where(t < 1, y, np.nan), [np.zeros(()), np.zeros(2)])
    solver = explicit(recording.program, Form(has_stretches=True))
    found = solver.start(0.0, 1.0, np.ones((1, 2)), rtol=1e-9, atol=1e-9, stretches=np.array([[1.0, 0.0, 1 - TINY]]))
    while found.advance(1000):
        pass
    np.testing.assert_allclose(found.y, np.e, rtol=1e-8)
