"""Pencils: the three ways of taking derivatives agree, and recorded equations are checked."""

import numpy as np

from parscan._ivp.compiled.equations import record_equations
from parscan._ivp.implicit.mass import as_mass
from parscan._ivp.implicit.pencil import Pencils
from parscan._ivp.implicit.prepared import prepared
from parscan._ivp.implicit.problem import ImplicitProblem
from tests.support.implicit import pendulum


def fun(t, y):
    return [np.sin(y[0]) * y[1] + t, y[0] ** 2 - y[1]]


def jac(t, y):
    return [[np.cos(y[0]) * y[1], np.sin(y[0])], [2 * y[0], -1.0]]


def made(function, given, y0, jacobian=None, yp0=None):
    mass = None if given is None else as_mass(given, len(y0), function, ())
    state = np.asarray(y0, dtype=float)
    return ImplicitProblem(function, mass, jacobian, (), (0.0, 1.0), state, yp0, 1e-6, 1e-6, np.asarray(1e-6))


def test_all_ways_agree():
    """With a mass that depends on the state, whose derivative times the slopes is part of the pencil."""
    t, y, yp = 0.4, np.array([0.7, -1.3]), np.array([2.0, 5.0])
    for mass in (
        np.array([[1.0, 2.0], [0.0, 0.5]]),
        lambda t: np.array([[1.0, t], [0.0, 0.5]]),
        lambda t, y: np.array([[1.0 + y[1] ** 2, t * y[0]], [np.sin(y[1]), 0.5]]),
    ):
        problem, other = made(fun, mass, [0.7, -1.3]), made(fun, mass, [0.7, -1.3], jac)
        exact = Pencils(problem, record_equations(problem))(t, y, yp)
        for pencils in (Pencils(other, "it is not"), Pencils(problem, "it is not")):
            for found, expected in zip(pencils(t, y, yp), exact, strict=True):
                assert np.allclose(found, expected, rtol=1e-7, atol=1e-7)


def test_recorded_equations_of_another_function_are_not_used():
    problem = made(fun, [1.0, 0.0], [0.7, -1.3])
    other = made(lambda t, y: [np.sin(y[0]) * y[1] + t, y[0] ** 2 - 1.001 * y[1]], [1.0, 0.0], [0.7, -1.3])
    assert Pencils(problem, record_equations(problem)).is_exact
    pencils = Pencils(problem, record_equations(other))
    assert not pencils.is_exact
    assert "gives something else than its recorded operations" in pencils.way


def test_the_index_of_components_is_that_of_states_nearby():
    """Where the pendulum is horizontal, its constraint does not depend on the vertical velocity."""
    problem = made(pendulum(3), [1, 1, 1, 1, 0], [1, 0, 0, 0, 0])
    ready = prepared(problem, record_equations(problem), moves=True)
    assert ready.problem.index.tolist() == [1, 1, 2, 2, 3]
