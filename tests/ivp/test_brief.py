"""Problems that `auto` solves by a few steps of DOP853, since a mesh would take longer."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ode_problems import pendulum

from parscan import solve_ivp

BRIEF = {
    "pendulum": (pendulum, (0, 0.5), [1.0, 0.0]),
    "from rest": (pendulum, (0, 2), [1.0, 0.0]),
    "backwards": (pendulum, (0, -0.5), [1.0, 0.0]),
    "decay": (lambda t, y: -y, (0, 1), [1.0]),
    "at epoch seconds": (lambda t, y: -y, (1.7e9, 1.7e9 + 1), [1.0]),
    "scales": (lambda t, y: [-y[0], -2 * y[1]], (0, 1), [1e12, 1e-12]),
    "no change": (lambda t, y: 0 * y, (0, 1), [1.0]),
}


@pytest.mark.parametrize("name", BRIEF)
@pytest.mark.parametrize("rtol", [1e-4, 1e-6, 1e-9])
def test_brief_problems_are_solved_by_steps(name, rtol):
    fun, span, y0 = BRIEF[name]
    atol = rtol * min(np.abs(part) for part in y0 if part)
    sol = solve_ivp(fun, span, y0, rtol=rtol, atol=atol, dense_output=True)
    assert sol.success
    assert sol.method == "DOP853"
    assert "it takes only a few steps" in sol.message
    exact = solve_ivp(fun, span, y0, "Radau", rtol=1e-12, atol=1e-6 * atol, dense_output=True)
    times = np.linspace(*span, 33)
    assert np.all(np.abs(sol.sol(times) - exact.sol(times)) <= 2 * (atol + rtol * np.abs(exact.sol(times))))


LONG = {
    "longer": (pendulum, (0, 50), [1.0, 0.0], {}),
    "loose": (pendulum, (0, 0.5), [1.0, 0.0], {"rtol": 1e-3}),
    "on a mesh": (pendulum, (0, 0.5), [1.0, 0.0], {"mesh": np.linspace(0, 0.5, 9)}),
    "by name": (pendulum, (0, 0.5), [1.0, 0.0], {"method": "Radau"}),
    "with a Jacobian": (lambda t, y: -y, (0, 0.5), [1.0], {"jac": [[-1.0]]}),
    "with jumps": (lambda t, y: np.where(t < 0.3, -y, y), (0, 0.5), [1.0], {"jumps": [0.3]}),
    "stiff": (lambda t, y: -1e4 * (y - np.cos(t)), (0, 2), [1.0], {}),
    "stiff from rest": (lambda t, y: [y[1], 100 * (1 - y[0] ** 2) * y[1] - y[0]], (0, 1), [2.0, 0.0], {}),
    "a batch": (lambda t, y: -y, (0, 0.5), [[1.0, 2.0]], {}),
}


@pytest.mark.parametrize("name", LONG)
def test_others_are_not(name):
    fun, span, y0, options = LONG[name]
    sol = solve_ivp(fun, span, y0, **{"rtol": 1e-6, **options})
    assert sol.success
    assert sol.method != "DOP853"


def test_a_function_that_raises_or_returns_too_much_is_the_users_to_see():
    def raises(t, y):
        raise LookupError("its own words")

    with pytest.raises(LookupError, match="its own words"):
        solve_ivp(raises, (0, 0.5), [1.0], rtol=1e-6)
    with pytest.raises(ValueError, match="fun"):
        solve_ivp(lambda t, y: [1.0, 2.0, 3.0], (0, 0.5), [1.0, 2.0], rtol=1e-6)


def test_nothing_is_written_to():
    def rude(t, y):
        y *= -1.0
        return y

    y0 = np.ones(2)
    sol = solve_ivp(rude, (0, 0.5), y0, rtol=1e-6)
    assert sol.method == "DOP853"
    assert np.array_equal(y0, np.ones(2))
    assert np.allclose(sol.y[:, -1], np.exp(-0.5), rtol=1e-6)


@pytest.mark.slow
@settings(max_examples=40)
@given(place=st.floats(0.02, 0.9), width=st.floats(0.08, 0.2), height=st.floats(1.0, 1e3))
def test_pulses_are_seen(place, width, height):
    """Steps are no longer than a tenth of the span, and their stages nearer: whatever is this wide is met."""

    def dosed(t, y):
        return np.where((t > place) & (t < place + width), height, 0.0) - 0.3 * y

    sol = solve_ivp(dosed, (0, 1), [1.0], rtol=1e-6, atol=1e-8)
    end = min(place + width, 1.0)
    exact = np.exp(-0.3) + height / 0.3 * (np.exp(0.3 * (end - 1)) - np.exp(0.3 * (place - 1)))
    assert sol.success
    assert abs(sol.y[0, -1] - exact) <= 1e-5 * (1 + height)


def test_results_may_be_a_guess_that_is_none():
    first = solve_ivp(pendulum, (0, 0.5), [1.0, 0.0], rtol=1e-8)
    again = solve_ivp(pendulum, (0, 0.5), [1.1, 0.0], rtol=1e-8, guess=first)
    assert again.success
    assert again.method == "Radau"
    alone = solve_ivp(pendulum, (0, 0.5), [1.1, 0.0], rtol=1e-10)
    assert np.allclose(again.y[:, -1], alone.y[:, -1], rtol=1e-7)
    with pytest.raises(ValueError, match="states of shape"):
        solve_ivp(lambda t, y: -y, (0, 0.5), [1.1], rtol=1e-8, guess=first)


@pytest.mark.parametrize("vectorized", [None, False, True])
def test_how_the_function_is_called_does_not_matter(vectorized):
    sol = solve_ivp(
        lambda t, y: np.array([y[1], -np.sin(y[0])]), (0, 0.5), [1.0, 0.0], rtol=1e-8, vectorized=vectorized
    )
    assert sol.method == "DOP853"
    assert np.array_equal(sol.y, solve_ivp(pendulum, (0, 0.5), [1.0, 0.0], rtol=1e-8).y)


def falls_to(level):
    """An event that ends the solve, so that DOP853 is tried first."""

    def event(t, y):
        return y[0] - level

    event.terminal = True
    return event


ABANDONED = {
    "stiff decay": (lambda t, y: [-1e3 * y[0] * np.exp(y[0] ** 2)], [3.0], falls_to(-0.1)),
    "stiff balance": (lambda t, y: 1e3 * (np.exp(-100 * y) - np.exp(100 * y)), [1.0], falls_to(-0.1)),
    "stiff tracking": (lambda t, y: -1e4 * (np.exp(10 * y) - np.exp(10 * np.cos(t))), [1.0], falls_to(0.1)),
}


@pytest.mark.parametrize("name", ABANDONED)
@pytest.mark.parametrize("rtol", [1e-4, 1e-6])
def test_warnings_of_an_abandoned_attempt_are_not_shown(name, rtol):
    fun, y0, event = ABANDONED[name]
    with warnings.catch_warnings(record=True) as issued:
        warnings.simplefilter("always")
        sol = solve_ivp(fun, (0, 2), y0, rtol=rtol, events=event)
    assert sol.success
    assert sol.method == "Radau"
    assert issued == []


def test_warnings_of_an_accepted_attempt_are_shown_where_they_arise():
    def drains(t, y):
        return -np.sqrt(y)

    with pytest.warns(RuntimeWarning, match="invalid value encountered in sqrt") as issued:
        sol = solve_ivp(drains, (0, 3), [1.0], rtol=1e-4, events=falls_to(1e-3))
    assert sol.success
    assert sol.method == "DOP853"
    assert {one.filename for one in issued} == {__file__}


def forced_for_a_moment(centre, width):
    """A decay with a pulse of area √π, and its exact solution from 1 on at the time 10."""

    def fun(t, y):
        return [np.exp(-(((t - centre) / width) ** 2)) / width - y[0]]

    moments = np.linspace(centre - 8 * width, centre + 8 * width, 2001)
    pulse = np.exp(moments - 10 - ((moments - centre) / width) ** 2) / width
    return fun, np.exp(-10) + np.sum(pulse) * (moments[1] - moments[0])


@pytest.mark.parametrize("method", ["auto", "DOP853", "Radau", "RK4"])
@pytest.mark.parametrize("width", [0.25, 0.05, 0.0125])
def test_a_pulse_far_shorter_than_the_steps(method, width):
    for centre in (3.7, 7.31):
        fun, exact = forced_for_a_moment(centre, width)
        sol = solve_ivp(fun, (0, 10), [1.0], method, rtol=1e-5, atol=1e-5, compile=False)
        assert sol.success
        assert abs(sol.y[0, -1] - exact) <= 1e-4


def takes_off(t, y):
    return [y[0] * (1 - y[0])]


def test_errors_that_grow_are_looked_at():
    """Small changes of a population that takes off late grow by e²⁷: few steps have errors of a hundred tolerances."""
    sol = solve_ivp(takes_off, (0, 30), [1e-12], rtol=1e-6, atol=1e-9, compile=False)
    exact = 1 / (1 + (1e12 - 1) * np.exp(-30))
    assert sol.success
    assert abs(sol.y[0, -1] - exact) <= 10 * (1e-9 + 1e-6 * exact)


def test_a_brief_solve_is_compared_with_none_where_errors_hardly_grow():
    """Twelve calls a step, two values at each node, and the values between the steps are not counted."""
    sol = solve_ivp(pendulum, (0, 0.5), [1.0, 0.0], rtol=1e-6, compile=False)
    assert sol.nfev <= 16 * len(sol.mesh) + 2
    assert np.isnan(sol.error_estimate)
