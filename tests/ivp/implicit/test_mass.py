"""The mass matrices that users give."""

import numpy as np
import pytest
from scipy import sparse

from parscan._ivp.implicit.mass import as_mass
from parscan._ivp.implicit.problem import Equations, ImplicitProblem
from parscan._recorded.trace import trace


def fun(t, y, k=2.0):
    return [y[1], -k * y[0] + t]


MATRIX = np.array([[1.0, 2.0], [0.5, 0.0]])


@pytest.mark.parametrize(
    "given", [MATRIX, MATRIX.tolist(), sparse.csr_array(MATRIX), lambda t: MATRIX, lambda t, y: MATRIX]
)
def test_kinds(given):
    mass = as_mass(given, 2, fun, ())
    assert np.array_equal(mass.matrix(0.5, np.ones(2), ()), MATRIX)
    assert mass.is_constant == (not callable(given))


def test_a_diagonal():
    mass = as_mass([2, 0], 2, fun, ())
    assert np.array_equal(mass.matrix(0.0, np.ones(2), ()), [[2.0, 0.0], [0.0, 0.0]])


def test_what_the_user_gave_is_copied():
    given = MATRIX.copy()
    mass = as_mass(given, 2, fun, ())
    given[:] = 7.0
    assert np.array_equal(mass.matrix(0.0, np.ones(2), ()), MATRIX)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda t: [t, 0], [3.0, 0.0]),
        (lambda t, y: [y[0], 0], [5.0, 0.0]),
        (lambda t, k: [k, 0], [7.0, 0.0]),
        (lambda t, y, k: [y[1] * k, 0], [42.0, 0.0]),
        (lambda t, y, *rest: [rest[0], 0], [7.0, 0.0]),
    ],
)
def test_functions_take_what_they_name(function, expected):
    mass = as_mass(function, 2, fun, (7.0,))
    assert np.array_equal(mass.matrix(3.0, np.array([5.0, 6.0]), (7.0,)), np.diag(expected))


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (np.ones(3), ValueError, r"`mass` has shape \(3,\) where `y0` has 2 components"),
        (np.ones((2, 3)), ValueError, r"`mass` has shape \(2, 3\)"),
        (np.ones((1, 2, 2)), ValueError, r"`mass` has shape"),
        ([[1.0], [1.0, 2.0]], ValueError, "`mass` cannot be made an array"),
        (np.eye(2) * 1j, TypeError, "`mass` has the dtype complex128"),
        ("mass", TypeError, "`mass` has the dtype"),
        (np.array([1.0, np.nan]), ValueError, "All entries of `mass` must be finite"),
        (lambda t, y, k, extra: MATRIX, TypeError, "`mass` takes 4 arguments"),
    ],
)
def test_bad_input(given, error, words):
    with pytest.raises(error, match=words):
        as_mass(given, 2, fun, ())


def test_values_of_a_function_are_checked():
    mass = as_mass(lambda t, y: np.eye(3), 2, fun, ())
    with pytest.raises(ValueError, match=r"`mass` has shape \(3, 3\)"):
        mass.matrix(0.0, np.ones(2), ())


@pytest.mark.parametrize("given", [MATRIX, np.array([1.0, 0.0]), lambda t, y: np.array([[1.0, y[0]], [t, 0.0]])])
def test_equations_are_recorded(given):
    """The recorded equations are those that are called."""
    mass = as_mass(given, 2, fun, ())
    problem = ImplicitProblem(fun, mass, None, (), (0.0, 1.0), np.ones(2), None, 1e-3, 1e-3, np.asarray(1e-6))
    t, y, yp = 0.3, np.array([0.2, -1.5]), np.array([3.0, 4.0])
    traced = trace(problem.equations, np.asarray(t), y, yp)
    expected = mass.matrix(t, y, ()) @ yp - np.array(fun(t, y))
    assert np.allclose(traced(np.asarray(t), y, yp), expected, rtol=1e-15)
    assert np.allclose(problem.residual(t, y, yp), expected, rtol=1e-15)


def test_equations_of_an_implicit_function():
    def residual(t, y, yp):
        return yp[0] * y[1] - t, y[0] ** 2 - 1

    made = Equations(residual, None)
    assert np.array_equal(made(1.0, np.array([2.0, 3.0]), np.array([4.0, 5.0])), [11.0, 3.0])
