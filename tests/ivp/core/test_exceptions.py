"""Functions that raise: at states that only guesses visit, and at states of the solution."""

import math
from functools import cache

import numpy as np
import pytest
import scipy.integrate
from numpy.testing import assert_allclose

import parscan

pytestmark = pytest.mark.roads

TIGHT = {"rtol": 1e-8, "atol": 1e-10}
MESHES = ("Radau", "Gauss", "DOP853", "RK4")


def ended_by(function, direction=0):
    """A terminal event."""

    def event(t, y):
        return function(t, y)

    event.terminal, event.direction = True, direction
    return event


def table(y):
    """Density from a table that ends at the ground."""
    heights = np.linspace(0, 200e3, 2001)
    if np.any((y < 0) | (y > 200e3)):
        raise ValueError("outside of the table")
    return np.interp(y, heights, 1.2 * np.exp(-heights / 7200.0))


def fall(t, y):
    return [y[1], -9.8 - 0.002 * table(y[0]) * y[1] * np.abs(y[1])]


def cold(t, y):
    """Cooling by a law that is only there above 1, where it ends."""
    assert np.all(np.asarray(y) >= 1 - 1e-3), "below the range of the law"
    return -y


def root(t, y):
    """y' = -1 where the square of y is computed by a root that raises below zero."""
    if np.any(np.asarray(y) < 0):
        raise ZeroDivisionError("no level")
    return [-1.0 + 0 * np.sqrt(y[0])]


def scalar(t, y):
    return [-math.sqrt(y[0])]


GUESSED = {
    "fall": (fall, (0, 1000.0), [150e3, -100.0], ended_by(lambda t, y: y[0] - 100e3, -1)),
    "law": (cold, (0, 1.0), [2.0], ended_by(lambda t, y: y[0] - 1.0)),
    "level": (root, (0, 10.0), [2.0], ended_by(lambda t, y: y[0] - 0.25)),
    "scalar": (scalar, (0, 10.0), [1.0], ended_by(lambda t, y: y[0] - 0.25)),
}


@cache
def end_of(name):
    """The solution of SciPy, by short steps."""
    fun, span, y0, event = GUESSED[name]
    return scipy.integrate.solve_ivp(fun, span, y0, "DOP853", events=event, max_step=1e-3 * span[1], **TIGHT)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::parscan.warnings.PointByPointWarning")
@pytest.mark.parametrize("method", ["auto", *MESHES])
@pytest.mark.parametrize("name", GUESSED)
def test_a_terminal_event_before_the_states_that_raise_is_found(name, method):
    fun, span, y0, event = GUESSED[name]
    expected = end_of(name)
    sol = parscan.solve_ivp(fun, span, y0, method, events=event, **TIGHT)
    assert sol.status == 1
    assert_allclose(sol.t_events[0], expected.t_events[0], rtol=1e-6)
    assert_allclose(sol.y[:, -1], expected.y[:, -1], rtol=1e-5)


@pytest.mark.filterwarnings("ignore::parscan.warnings.PointByPointWarning")
@pytest.mark.parametrize("method", ["auto", *MESHES, "LSODA"])
@pytest.mark.parametrize("error", [ValueError, ZeroDivisionError, np.linalg.LinAlgError, AssertionError, OSError])
def test_what_is_raised_on_the_solution_reaches_the_user(error, method):
    def fun(t, y):
        if np.any(np.asarray(t) > 0.5):
            raise error("too late")
        return -y

    with pytest.raises(error, match="too late") as caught:
        parscan.solve_ivp(fun, (0, 5), [1.0], method, **TIGHT)
    if method in MESHES:
        assert any("NaN beyond its domain" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("method", ["auto", *MESHES, "LSODA"])
@pytest.mark.parametrize("vectorized", [None, False])
def test_what_is_raised_at_the_begin_is_raised_at_once(method, vectorized):
    calls = []

    def fun(t, y):
        calls.append(t)
        raise KeyError("name")

    with pytest.raises(KeyError, match="name"):
        parscan.solve_ivp(fun, (0, 5), [1.0], method, vectorized=vectorized, **TIGHT)
    assert len(calls) < 10


@pytest.mark.parametrize("dtype", [float, complex])
def test_auto_names_what_was_raised_where_scipys_solver_took_over(dtype):
    def jac(t, y):  # the explicit solver for complex states has no use for it, and LSODA none here
        raise_it = np.any(np.asarray(t) > 0.3)
        if raise_it:
            raise np.linalg.LinAlgError("no Jacobian")
        return [[-1.0 + 0 * y[0]]]

    sol = parscan.solve_ivp(lambda t, y: -y, (0, 1), np.ones(1, dtype), jac=jac, **TIGHT)
    assert sol.success
    assert sol.method in ("LSODA", "DOP853")
    assert ("LinAlgError was raised for t = " in sol.message) == (dtype is float)  # nobody calls it for complex states
    assert_allclose(sol.y[0, -1], np.exp(-1), rtol=1e-6)


@pytest.mark.parametrize("method", ["auto", "Radau", "DOP853"])
def test_what_is_no_exception_of_the_function_passes_at_once(method):
    def stop(progress):
        raise StopIteration("enough")

    def interrupted(t, y):
        if np.any(np.asarray(t) > 0.5):
            raise KeyboardInterrupt
        return -y

    with pytest.raises(StopIteration, match="enough"):
        parscan.solve_ivp(lambda t, y: -y, (0, 5), [1.0], method, progress=stop, **TIGHT)
    with pytest.raises(KeyboardInterrupt):
        parscan.solve_ivp(interrupted, (0, 5), [1.0], method, **TIGHT)


def test_an_event_that_raises_behind_a_terminal_one_is_not_asked():
    def second(t, y):
        if np.any(np.asarray(t) > 2):
            raise ValueError("too late")
        return y[0] - 0.5

    sol = parscan.solve_ivp(lambda t, y: -y, (0, 5), [1.0], events=[ended_by(lambda t, y: y[0] - 0.2), second], **TIGHT)
    assert sol.status == 1
    assert_allclose(sol.t_events[1], [math.log(2)], rtol=1e-6)


def test_derivatives_do_not_hide_what_is_raised():
    calls = []

    def fun(t, y):
        if calls:
            raise ValueError("later on")
        return [-y[0] * y[0]]

    sol = parscan.solve_ivp(fun, (0, 1), [1.0], "Radau", **TIGHT)
    calls.append(1)
    with pytest.raises(ValueError, match="later on"):
        sol.tangent(y0=np.ones(1))
