"""Pulses of the time that SciPy's solvers pass over: they stop there, in another solve."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp as scipy_solve_ivp

from parscan import solve_ivp
from parscan._ivp.sequential import pulses

pytestmark = pytest.mark.roads("calls")

METHODS = ["RK23", "RK45", "BDF", "LSODA"]


def box(t, centre, width):
    return np.where(np.abs(t - centre) < width / 2, 1.0, 0.0)


def bell(t, centre, width):
    return np.exp(-(((t - centre) / (0.6 * width)) ** 2))


def table(t, centre, width):
    return np.interp(t, centre + width * np.array([-1.0, -0.5, 0.5, 1.0]), [0.0, 1.0, 1.0, 0.0])


def saw(t, centre, width):
    x = (t - centre) / width + 0.5
    return np.where((x > 0) & (x < 1), x, 0.0)


AREAS = {box: 1.0, bell: 0.6 * math.sqrt(math.pi), table: 1.5, saw: 0.5}


def error(sol, exact, rtol, atol):
    return abs(sol.y[0, -1] - exact) / (atol + rtol * abs(exact))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", AREAS)
@pytest.mark.parametrize("part", [50, 500])
def test_narrow_pulses_are_seen(method, form, part):
    """SciPy's solvers alone pass over most of them, as nothing happens before."""
    for centre, height, rtol in ((3.71, 3.0, 1e-3), (8.13, 500.0, 1e-4)):

        def fun(t, y, centre=centre, height=height):
            return [height * form(t, centre, 10 / part) + 0 * y[0], -0.1 * y[1]]

        sol = solve_ivp(fun, (0, 10), [1.0, 1.0], method, rtol=rtol, atol=1e-6)
        assert sol.success
        assert error(sol, 1 + height * AREAS[form] * 10 / part, rtol, 1e-6) <= 100


@pytest.mark.parametrize("method", ["Radau", "DOP853", "auto"])
@pytest.mark.parametrize("centre", [3.717, 5.05, 8.131])
def test_meshes_see_them_too(method, centre):
    def fun(t, y):
        return [500 * saw(t, centre, 0.02) - 0.3 * y[0], -0.6 * y[2], 0.6 * y[1]]

    sol = solve_ivp(fun, (0, 10), [1.0, 1.0, 0.0], method, rtol=1e-6, atol=1e-9, compile=False)
    times = np.linspace(centre - 0.01, centre + 0.01, 2001)
    exact = math.exp(-3) + np.trapezoid(500 * (times - times[0]) / 0.02 * np.exp(0.3 * (times - 10)), times)
    assert sol.success
    assert error(sol, exact, 1e-6, 1e-9) <= 50


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("places", [[1.2345], [2.0, 2.1, 9.4], list(np.arange(0.55, 10, 0.9))])
def test_functions_of_one_time(method, places):
    """They are called for one time after the other, and pulses of a 200th of the span are seen, also many."""

    def fun(t, y):
        return [100.0 if any(abs(t - place) < 0.025 for place in places) else 0.0]

    sol = solve_ivp(fun, (0, 10), [1.0], method, rtol=1e-4, atol=1e-6)
    assert sol.success
    assert error(sol, 1 + 5 * len(places), 1e-4, 1e-6) <= 100


def test_nothing_is_called_where_the_time_does_not_matter():
    def fun(t, y):
        return [y[1], -y[0] * 400]

    for method in METHODS:
        sol = solve_ivp(fun, (0, 10), [1.0, 0.0], method)
        assert sol.nfev == scipy_solve_ivp(fun, (0, 10), [1.0, 0.0], method).nfev


JUMPING = [
    lambda t, y: [np.abs(np.sin(t)) - y[0], np.exp(-t)],
    lambda t, y: [np.where(t < 4, 1.0, -1.0) - y[0], 1 / (1 + t)],
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rtol", [1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize(
    "fun",
    [
        lambda t, y: [y[1], np.cos(1.3 * t) - y[0]],
        lambda t, y: [np.cos(t) - 100 * (y[0] - np.sin(t)), y[0] * t],
        *JUMPING,
    ],
)
def test_smooth_functions_and_jumps_are_no_pulses(method, rtol, fun):
    """One further call for many times, and the same steps as SciPy's. RK45 passes over some jumps: it stops there."""
    if method == "RK45" and fun in JUMPING:
        return
    sol = solve_ivp(fun, (0, 10), [1.0, 0.0], method, rtol=rtol)
    assert sol.nfev <= scipy_solve_ivp(fun, (0, 10), [1.0, 0.0], method, rtol=rtol).nfev + 3
    assert sol.success


def test_what_is_passed_over_in_spite_of_all_stops_is_no_success(monkeypatch):
    monkeypatch.setattr(pulses, "LOOKS", 0)
    sol = solve_ivp(lambda t, y: [9 * box(t, 5.3, 0.05) + 0 * y[0]], (0, 10), [1.0], "LSODA", rtol=1e-6)
    assert not sol.success
    assert "passed over a pulse" in sol.message


def test_further_solves_see_them_too():
    """A solve that sees a pulse by chance is compared with others that stop there."""
    for centre in np.linspace(9.37, 9.39, 9):

        def fun(t, y, centre=centre):
            return [15 * bell(t, centre, 0.02), np.cos(0.6 * t) / 10 - 100 * (y[1] - np.sin(0.6 * t))]

        sol = solve_ivp(fun, (0, 10), [1.0, 0.0], rtol=1e-3, atol=1e-6, compile=False)
        assert sol.success
        assert error(sol, 1 + 15 * AREAS[bell] * 0.02, 1e-3, 1e-6) <= 10


def test_kinks_everywhere_do_not_cost_ever_more():
    """Each solve passes over other kinks: further ones have some more than twice the calls of the first one."""
    values, times = np.random.default_rng(0).normal(size=1000), np.linspace(0, 3, 1000)

    def fun(t, y):
        return [np.interp(t, times, values) - 0.1 * y[0]]

    sol = solve_ivp(fun, (0, 3), [0.0], "RK45", rtol=1e-5, atol=1e-8)
    first = scipy_solve_ivp(fun, (0, 3), [0.0], "RK45", rtol=1e-5, atol=1e-8)
    assert sol.nfev <= 4.5 * first.nfev
    tight = scipy_solve_ivp(fun, (0, 3), [0.0], "DOP853", rtol=1e-5, atol=1e-8, max_step=1e-3)
    assert not sol.success or error(sol, tight.y[0, -1], 1e-5, 1e-8) <= 100


def test_what_looks_like_pulses_and_changes_nothing_is_a_success():
    """Between its nodes a stiff function is far from zero, as the states there are no solution."""
    sol = solve_ivp(lambda t, y: [-1e6 * (y[0] - np.cos(t)) - np.sin(t)], (0, 10), [1.0], "BDF", rtol=1e-8, atol=1e-8)
    assert sol.success
    assert error(sol, np.cos(10), 1e-8, 1e-8) <= 10
    assert sol.nfev <= 10_000
