"""Stiff batches on arrays, with steps of its own for every member."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp as scipy_solve_ivp

from parscan import solve_ivp
from parscan._ivp.coarse.rodas5p import NoHeadwayError, OwnSteps, Tolerances

MEMBERS = 40
MU = np.linspace(90, 110, MEMBERS)


def van_der_pol(t, y, mu):
    return [y[1], mu * (1 - y[0] ** 2) * y[1] - y[0]]


def relaxing(t, y, rate):
    """The solution from cos(0) on is the cosine."""
    return [-rate * (y[0] - np.cos(t)) - np.sin(t)]


@pytest.mark.parametrize("shape", [(MEMBERS,), (5, 8)])
def test_members_are_as_exact_as_alone(shape):
    y0, times = np.stack([np.full(shape, 2.0), np.zeros(shape)]), [0.0, 30.0, 100.0, 200.0]
    options = {"t_eval": times, "rtol": 1e-4, "atol": 1e-6}
    sol = solve_ivp(van_der_pol, (0, 200), y0, args=(MU.reshape(shape),), compile=False, **options)
    assert sol.success
    assert sol.method == "Rodas5P"
    assert sol.y.shape == (2, 4, *shape)
    y = sol.y.reshape(2, 4, -1)
    for member in (0, 17, MEMBERS - 1):
        exact = scipy_solve_ivp(
            van_der_pol, (0, 200), [2, 0], "Radau", times, args=(MU[member],), rtol=1e-9, atol=1e-11
        )
        assert np.all(np.abs(y[:, :, member] - exact.y) <= 10 * (1e-6 + 1e-4 * np.abs(exact.y)))
    assert 0 < sol.error_estimate <= 2


def test_without_times_the_nodes_are_those_of_the_first_member():
    y0 = np.stack([np.full(MEMBERS, 2.0), np.zeros(MEMBERS)])
    sol = solve_ivp(van_der_pol, (0, 200), y0, args=(MU,), compile=False)
    assert sol.method == "Rodas5P"
    assert sol.t[0] == 0
    assert sol.t[-1] == 200
    assert np.all(np.diff(sol.t) > 0)
    assert np.array_equal(sol.mesh, sol.t)
    assert np.all(np.isfinite(sol.y))
    assert np.array_equal(sol.y[:, 0], y0)


def test_jumps_are_ends_of_steps():
    """Without them, both sides of the jump would be in one step of some members."""
    rates = np.linspace(900, 1100, MEMBERS)
    jump = 1 / 3

    def fun(t, y, rate):
        return [-rate * (y[0] - np.where(t < jump, 1.0, 3.0))]

    sol = solve_ivp(
        fun, (0, 1), np.zeros((1, MEMBERS)), args=(rates,), t_eval=[jump, jump + 1e-3, 1], rtol=1e-5, atol=1e-7,
        jumps=[jump], compile=False,
    )  # fmt: skip
    assert sol.method == "Rodas5P"
    exact = np.stack([np.ones(MEMBERS), 3 - 2 * np.exp(-rates * 1e-3), np.full(MEMBERS, 3.0)])
    assert np.abs(sol.y[0] - exact).max() <= 1e-4


@pytest.mark.filterwarnings("ignore::parscan.warnings.PointByPointWarning")
def test_coupled_members_take_common_steps():
    """Each is drawn to the mean of all: with times of their own, they could not tell it."""

    def fun(t, y, rate):
        return [-rate * (y[0] - y[0].mean()) - (y[0] - np.cos(t))]

    y0 = np.linspace(-1, 1, MEMBERS)[None]
    sol = solve_ivp(fun, (0, 0.05), y0, args=(np.full(MEMBERS, 1e4),), rtol=1e-4, atol=1e-6, compile=False)
    assert sol.success
    assert sol.method == "Radau"


@pytest.mark.filterwarnings("ignore::parscan.warnings.PointByPointWarning")
@pytest.mark.parametrize("branch", [lambda t: 2.0 if np.max(t) > 2 else 1.0, lambda t: 2.0 if t > 2 else 1.0])
def test_functions_of_one_time_take_common_steps(branch):
    """The first of these accepts a time for each member near the begin, but it is not the same function then."""

    def fun(t, y, rate):
        return [-rate * (y[0] - np.cos(t)) * branch(t)]

    rates = np.geomspace(10, 1e5, MEMBERS)
    sol = solve_ivp(fun, (0, 5), np.ones((1, MEMBERS)), args=(rates,), rtol=1e-4, atol=1e-6, compile=False)
    assert sol.method != "Rodas5P"


@pytest.mark.filterwarnings("ignore::parscan.warnings.PointByPointWarning")
def test_exceptions_on_the_way_are_left_to_other_methods():
    """A function that raises for states that are not near the solution."""

    def fun(t, y, rate):
        if np.shape(t) == (MEMBERS,) and np.max(t) > 1:
            raise ValueError("only one time")
        return [-rate * (y[0] - np.cos(t))]

    sol = solve_ivp(fun, (0, 5), np.ones((1, MEMBERS)), args=(np.full(MEMBERS, 1e3),), rtol=1e-4, compile=False)
    assert sol.success
    assert sol.method != "Rodas5P"


def test_derivatives_are_those_of_a_solution_on_a_mesh():
    rates = np.linspace(900, 1100, MEMBERS)
    sol = solve_ivp(relaxing, (0, 0.01), np.full((1, MEMBERS), 2.0), args=(rates,), rtol=1e-5, atol=1e-7, compile=False)
    assert sol.success
    tangent = sol.tangent(y0=np.ones((1, MEMBERS)))
    assert np.abs(tangent[0, -1] - np.exp(-rates * 0.01)).max() <= 1e-3


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_order_five(way):
    """Halving the step divides the error by 32; so does it between the ends, by 32 or 16."""
    times, errors = np.array([0.513, 1.97]), []
    for step in (0.1, 0.05):
        march = OwnSteps(
            lambda t, y: -way * np.cos(t) * y**2,
            (0.0, 2 * way),
            np.ones((1, 1)),
            Tolerances(1e3, 1e3),
            step,
            times * way,
        )
        march.run()
        exact = 1 / (1 + np.sin(times))
        errors.append((abs(march.y[0, 0] - 1 / (1 + np.sin(2))), np.abs(march.values[0, :, 0] - exact).max()))
    (end, between), (finer, finer_between) = errors
    assert 20 <= end / finer <= 60
    assert finer_between < between / 12


def test_no_headway_at_a_pole():
    march = OwnSteps(lambda t, y: y**2, (0.0, 2.0), np.ones((1, 3)), Tolerances(1e-6, 1e-6), np.inf, np.zeros(0))
    with pytest.raises(NoHeadwayError):
        march.run()
