"""Steps that return instances of subclasses of NumPy's arrays, which keep to rules of their own."""

import numpy as np
import pytest
from problems import loop

from parscan import solve_recurrence

X = np.sin(np.arange(3000.0))[:, None]

pytestmark = pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")


def squares(y, x):
    """Products of matrices are no products of their entries."""
    return np.asmatrix(0.1 * y * y + x)


def as_array(y, x):
    return np.asarray(squares(y, x))


@pytest.mark.parametrize("method", ["auto", "sequential", "jacobi", "newton"])
@pytest.mark.parametrize("steps", [5, 100, 3000])
@pytest.mark.parametrize("n", [1, 2])
def test_matrices_are_taken_as_arrays(method, steps, n):
    sol = solve_recurrence(squares, np.full(n, 0.3), X[:steps], method=method)
    assert sol.success
    np.testing.assert_allclose(sol.y, loop(as_array, np.full(n, 0.3), X[:steps]), rtol=1e-9)


def test_later_steps_receive_arrays():
    kinds = set()

    def step(y, x):
        kinds.add(type(y))
        return squares(y, x)

    solve_recurrence(step, np.zeros(1), X)
    solve_recurrence(step, np.zeros(1), X, method="newton")
    assert kinds == {np.ndarray}


def test_jacobians_may_be_matrices():
    def jac(y, x):
        return np.asmatrix(0.5 * np.eye(2))

    sol = solve_recurrence(lambda y, x: 0.5 * y + x, np.zeros(2), X, jac=jac, method="newton")
    np.testing.assert_allclose(sol.y, loop(lambda y, x: 0.5 * y + x, np.zeros(2), X), rtol=1e-9)


@pytest.mark.parametrize("steps", [5, 100, 3000])
def test_masks_are_not_lost(steps):
    def step(y, x):
        return np.ma.masked_greater(0.5 * y + x, 0.5)

    with pytest.raises(TypeError, match="`step` returned a masked array"):
        solve_recurrence(step, np.zeros(1), X[:steps])


def test_masked_arrays_without_masks_are_arrays():
    def step(y, x):
        return np.ma.masked_greater(0.5 * y + x, 50)

    sol = solve_recurrence(step, np.zeros(1), X)
    np.testing.assert_allclose(sol.y, loop(lambda y, x: 0.5 * y + x, np.zeros(1), X), rtol=1e-9)
