"""Steps of SciPy's implicit solvers whose Jacobian is wrong, as it was made by differences across a jump."""

import numpy as np
import pytest
from scipy.integrate import BDF, Radau

from parscan import solve_ivp
from parscan._ivp.sequential import scipy_solvers

pytestmark = pytest.mark.roads("calls")


def relay(t, y):
    return [y[1] - 0.2 * y[0], -1.3 * np.sign(y[0] + y[1]) - 0.1 * y[1]]


def steep(t, y):
    return [y[1] - 0.2 * y[0], -1.3 * np.tanh((y[0] + y[1]) / 1e-9) - 0.1 * y[1]]


def friction(t, y):
    return [y[1], 2 * np.sin(t) - 1.2 * np.sign(y[1]) - y[0]]


def pursuit(t, y):
    return [-np.sign(y[0] - 0.3 * np.sin(t)), y[0] - y[1]]


CASES = [
    (relay, 10, 1e-3),
    (relay, 50, 1e-6),
    (relay, 10, 1e-5),
    (steep, 10, 1e-6),
    (friction, 20, 1e-3),
    (friction, 20, 1e-8),
    (pursuit, 20, 1e-3),
    (pursuit, 20, 1e-5),
]
"""SciPy's BDF reports success at states that are away by 100 000 tolerances and more."""


@pytest.mark.parametrize(("fun", "end", "rtol"), CASES)
def test_wrong_jacobians_are_no_success(fun, end, rtol):
    sol = solve_ivp(fun, (0, end), [1.0, 0.0], "BDF", rtol=rtol)
    assert not sol.success
    assert "slopes of the solution are not those of `fun`" in sol.message


def test_those_of_radau_are_none_either():
    sol = solve_ivp(relay, (0, 10), [1.0, 0.0], Radau, rtol=1e-3)
    assert not sol.success


@pytest.mark.parametrize(("fun", "end", "rtol"), [(pursuit, 20, 1e-3), (relay, 10, 1e-5), (friction, 20, 1e-8)])
def test_lsoda_follows_jumps_until_it_is_given_up(fun, end, rtol):
    """It takes ever shorter steps where its Jacobian is that of a jump, so that slopes need no look."""
    sol = solve_ivp(fun, (0, end), [1.0, 0.0], "LSODA", rtol=rtol)
    assert not sol.success
    assert "jumps to and fro" in sol.message


def test_a_slide_that_is_found_is_a_success():
    """BDF stays within the steep layer; the slope of the solution is among those of `fun` nearby."""
    sol = solve_ivp(steep, (0, 10), [1.0, 0.0], BDF, rtol=1e-5)
    assert sol.success
    assert np.abs(sol.y[:, -1]).max() < 1e-4


def robertson(t, y):
    slow, fast, square = 0.04 * y[0], 1e4 * y[1] * y[2], 3e7 * y[1] ** 2
    return [fast - slow, slow - fast - square, square]


def van_der_pol(t, y):
    return [y[1], 1000 * (1 - y[0] ** 2) * y[1] - y[0]]


def e5(t, y):
    one, two, three, four = 7.89e-10 * y[0], 1.1e7 * y[0] * y[2], 1.13e9 * y[1] * y[2], 1.13e3 * y[3]
    return [-one - two, one - three, one - two - three + four, two - four]


def oregonator(t, y):
    return [
        77.27 * (y[1] + y[0] * (1 - 8.375e-6 * y[0] - y[1])),
        (y[2] - (1 + y[0]) * y[1]) / 77.27,
        0.161 * (y[0] - y[2]),
    ]


STIFF = [
    (robertson, 1e11, [1.0, 0.0, 0.0], 1e-10),
    (van_der_pol, 3000, [2.0, 0.0], 1e-6),
    (e5, 1e11, [1.76e-3, 0.0, 0.0, 0.0], 1e-24),
    (oregonator, 360, [1.0, 2.0, 3.0], 1e-6),
]


@pytest.mark.parametrize("method", [BDF, Radau])
@pytest.mark.parametrize("rtol", [1e-3, 1e-5, pytest.param(1e-8, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("fun", "end", "y0", "atol"), STIFF)
def test_stiff_problems_are_solved_as_before(method, rtol, fun, end, y0, atol, monkeypatch):
    """By the same steps, with a tenth more calls at most."""
    sol = solve_ivp(fun, (0, end), y0, method, rtol=rtol, atol=atol)
    monkeypatch.setattr(scipy_solvers, "IMPLICIT", ())
    before = solve_ivp(fun, (0, end), y0, method, rtol=rtol, atol=atol)
    assert sol.success
    np.testing.assert_array_equal(sol.y, before.y)
    assert before.nfev <= sol.nfev <= 1.1 * before.nfev
