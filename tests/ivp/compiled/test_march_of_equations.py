"""Machine code through implicit problems, against exact solutions, and against the user's function."""

import numpy as np
import pytest

from parscan._engine.termination import Termination
from parscan._ivp.compiled.equations import record_equations
from parscan._ivp.compiled.march_of_equations import march_by_code, steps_of
from parscan._recorded.budget import NoCodeError
from tests.support.daes import DAES, GRAVITY, posed, swung


def marched(problem, until=lambda: None):
    found = march_by_code(problem, record_equations(problem), until)
    return steps_of(found), found


def end_of(problem):
    steps, found = marched(problem)
    assert steps.failure is None, steps.failure
    return steps, found


def apart(problem, steps, exact):
    """Largest error at the ends of steps, in tolerances."""
    last = steps.polynomial.y[-1]
    return float(np.max(np.abs(last - exact) / problem.bound(exact)))


@pytest.mark.parametrize("dae", DAES, ids=lambda dae: dae.name)
@pytest.mark.parametrize("rtol", [1e-4, 1e-7, 1e-10])
def test_solutions(dae, rtol):
    problem = posed(dae.fun, (0.0, dae.end), dae.y0, dae.yp0, rtol=rtol, atol=rtol, index=dae.index)
    steps, found = end_of(problem)
    assert steps.compiled
    assert steps.polynomial.t[-1] == dae.end
    assert apart(problem, steps, dae.exact(dae.end)) <= max(10.0, 3 * found.end)


@pytest.mark.parametrize("dae", DAES, ids=lambda dae: dae.name)
def test_polynomials_and_their_slopes(dae):
    problem = posed(dae.fun, (0.0, dae.end), dae.y0, dae.yp0, rtol=1e-9, atol=1e-9, index=dae.index)
    polynomial = end_of(problem)[0].polynomial
    t = np.linspace(0.0, dae.end, 41)[1:-1]
    some = np.array(dae.index) < 3  # the tension of a rod is known less well between the ends of steps
    states, exact = polynomial.evaluate(t), np.array([dae.exact(s) for s in t])
    np.testing.assert_allclose(states[:, some], exact[:, some], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(states, exact, rtol=1e-3, atol=1e-3)
    residuals = [problem.residual(s, y, yp) for s, y, yp in zip(
        polynomial.t[1:], polynomial.y[1:], polynomial.stages[:, -1], strict=True)]  # fmt: skip
    assert np.abs(residuals).max() < 1e-6


def test_backwards():
    dae = DAES[0]
    y0, yp0 = dae.exact(dae.end), np.zeros(3)
    yp0[:] = [-y0[1], y0[0], y0[0] ** 2 - y0[1] ** 2]
    problem = posed(dae.fun, (dae.end, 0.0), y0, yp0)
    assert apart(problem, end_of(problem)[0], np.array(dae.y0)) <= 10


def heavy(t, y, mass, force):
    return [y[1], -force * y[0] * mass]


MASSES = (
    np.array([1.0, 2.0]),
    np.array([[1.0, 0.5], [0.0, 2.0]]),
    lambda t: np.array([[1.0, 0.1 * np.sin(t)], [0.0, 2.0]]),
    lambda t, y: np.array([[1.0, 0.1 * y[0]], [0.0, 2.0 + y[1] ** 2]]),
)


@pytest.mark.parametrize("mass", MASSES)
def test_masses(mass):
    def slopes(t, y, args):
        given = mass if not callable(mass) else mass(*(t, y)[: mass.__code__.co_argcount])
        return np.linalg.solve(np.diag(given) if given.ndim == 1 else given, heavy(t, y, *args))

    from scipy.integrate import solve_ivp

    y0, args = np.array([1.0, 0.0]), (2.0, 3.0)
    exact = solve_ivp(lambda t, y: slopes(t, y, args), (0.0, 4.0), y0, "DOP853", rtol=1e-13, atol=1e-13).y[:, -1]
    problem = posed(heavy, (0.0, 4.0), y0, slopes(0.0, y0, args), mass=mass, args=args)
    assert apart(problem, end_of(problem)[0], exact) <= 10


def test_singular_mass_of_robertson():
    def fun(t, y):
        slow, fast = 0.04 * y[0] - 1e4 * y[1] * y[2], 3e7 * y[1] ** 2
        return [-slow, slow - fast, y[0] + y[1] + y[2] - 1]

    atol = 1e-7 * np.array([1e-4, 1e-10, 1e-2])
    y0, yp0 = (1.0, 0.0, 0.0), (-0.04, 0.04, 0.0)
    problem = posed(fun, (0.0, 1e11), y0, yp0, mass=np.array([1.0, 1.0, 0.0]), rtol=1e-7, atol=atol)
    steps, _ = end_of(problem)
    exact = np.array([0.2083340149701255e-07, 0.8333360770334713e-13, 0.9999999791665050])
    assert apart(problem, steps, exact) <= 10
    assert np.abs(steps.polynomial.y.sum(axis=1) - 1).max() <= 2 * np.finfo(float).eps


def test_a_large_system_is_solved_by_its_pattern():
    n = 60

    def fun(t, y):
        flows = np.diff(y)
        out = np.concatenate([flows, [0.0]]) - np.concatenate([[0.0], flows])
        return np.concatenate([50 * out[:-1], [np.sum(y) - 1.0 - 0 * t]])

    mass = np.diag(np.append(np.ones(n - 1), 0.0))
    y0 = np.zeros(n)
    y0[0] = 1.0
    yp0 = fun(0.0, y0)
    yp0[-1] = -yp0[:-1].sum()
    problem = posed(fun, (0.0, 1.0), y0, yp0, mass=mass)
    steps, _ = end_of(problem)
    from scipy.integrate import solve_ivp

    def reduced(t, y):
        return fun(t, np.append(y, 1 - y.sum()))[:-1]

    exact = solve_ivp(reduced, (0.0, 1.0), y0[:-1], "LSODA", rtol=1e-12, atol=1e-14).y[:, -1]
    assert apart(problem, steps, np.append(exact, 1 - exact.sum())) <= 10


def test_other_parameters_take_the_same_record():
    def fun(t, y, yp, rate):
        return [yp[0] + rate * y[0], y[1] - rate * y[0]]

    records = []
    for rate in (1.0, 2.5):
        problem = posed(fun, (0.0, 2.0), (1.0, rate), (-rate, -(rate**2)), args=(rate,))
        exact = np.exp(-2 * rate) * np.array([1.0, rate])
        assert apart(problem, end_of(problem)[0], exact) <= 10
        records.append(record_equations(problem).recording)
    assert records[0] is records[1]


def test_parts_are_given_in_order_until_no_more_are_wanted():
    dae, seen = DAES[0], []

    def until(part):
        seen.append(part)
        return part.t[-1] > 0.0

    problem = posed(dae.fun, (0.0, dae.end), dae.y0, dae.yp0)
    steps, _ = marched(problem, lambda: until)
    assert seen
    assert steps.failure is None


def test_functions_that_cannot_be_recorded():
    def fun(t, y, yp):
        return [yp[0] + np.linalg.eigvalsh(np.diag(y))[0]]

    with pytest.raises(NoCodeError, match="eigvalsh"):
        marched(posed(fun, (0.0, 1.0), (1.0,), (-1.0,)))


class Drifting:
    """Differs from what it gave when it was recorded."""

    def __init__(self):
        self.rate = 1.0

    def __call__(self, t, y, yp):
        return [yp[0] + self.rate * y[0]]


def test_contradictions_are_found():
    problem = posed(DAES[0].fun, (0.0, 1.0), DAES[0].y0, DAES[0].yp0)
    recorded = record_equations(problem)
    polynomial = end_of(problem)[0].polynomial
    given = polynomial.t[1:], polynomial.y[1:], polynomial.stages[:, -1]
    assert not recorded.is_contradicted(problem, *given)
    other = posed(lambda t, y, yp: [yp[0] + y[1], yp[1] - y[0], y[2] - 1.000001 * y[0] * y[1]], (0.0, 1.0),
                  DAES[0].y0, DAES[0].yp0)  # fmt: skip
    assert recorded.is_contradicted(other, *given)


def test_a_solution_that_ends_is_told():
    def fun(t, y, yp):
        return [yp[0] - y[1], y[1] - y[0] ** 2]

    steps, _ = marched(posed(fun, (0.0, 2.0), (1.0, 1.0), (1.0, 2.0)))
    assert steps.failure is not None
    assert steps.failure.termination in (Termination.TOO_SMALL, Termination.NOT_FINITE)
    assert abs(steps.failed_at - 1.0) < 1e-6


def test_constraints_hold():
    dae = DAES[-1]
    problem = posed(dae.fun, (0.0, dae.end), dae.y0, dae.yp0, index=dae.index)
    x, z, *_ = end_of(problem)[0].polynomial.y.T
    assert np.abs(x * x + z * z - 1).max() < 1e-9
    np.testing.assert_allclose(swung(0.5)[4], swung(0.5)[2:4] @ swung(0.5)[2:4] - GRAVITY * swung(0.5)[1])
