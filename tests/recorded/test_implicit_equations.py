"""Jacobians of recorded implicit equations, and the order of their rows."""

import numpy as np
import pytest

from parscan._recorded.implicit_equations import diagonal, pencil
from parscan._recorded.record import record
from tests.support.daes import DAES


def dense(found, entries, n):
    matrix = np.zeros((n, n))
    matrix[found.rows, found.columns] = entries
    return matrix


@pytest.mark.parametrize("dae", DAES, ids=lambda dae: dae.name)
def test_jacobians_are_those_of_differences(dae):
    n, rng = len(dae.y0), np.random.default_rng(0)
    recording = record(dae.fun, [np.zeros(()), np.ones(n), np.ones(n)])
    found, t, y, yp = pencil(recording), np.array(0.3), rng.normal(size=n), rng.normal(size=n)

    def values(y, yp):
        return np.array(dae.fun(t, y, yp))[found.order]

    np.testing.assert_allclose(found.equations(t[None], y[None], yp[None])[0][0], values(y, yp), rtol=1e-14)
    of_state, of_slope = (dense(found, one[0], n) for one in found.program(t[None], y[None], yp[None]))
    change = 1e-6
    for k, unit in enumerate(change * np.eye(n)):
        by_state = (values(y + unit, yp) - values(y - unit, yp)) / (2 * change)
        by_slope = (values(y, yp + unit) - values(y, yp - unit)) / (2 * change)
        np.testing.assert_allclose(of_state[:, k], by_state, atol=1e-7)
        np.testing.assert_allclose(of_slope[:, k], by_slope, atol=1e-7)
    assert set(found.rows * n + found.columns) >= set(range(0, n * n, n + 1))  # the diagonal, in this order


def test_zeros_of_a_mass_matrix_are_no_entries():
    mass = np.diag([1.0, 2.0, 0.0])
    found = pencil(record(lambda t, y, yp: mass @ yp - y, [np.zeros(()), np.ones(3), np.ones(3)]))
    np.testing.assert_array_equal(found.rows, [0, 1, 2])
    np.testing.assert_array_equal(found.columns, [0, 1, 2])


def test_rows_are_moved_only_where_the_diagonal_is_empty():
    full = np.ones((3, 3), bool)
    np.testing.assert_array_equal(diagonal(*np.nonzero(full), 3), [0, 1, 2])
    swapped = np.eye(4, dtype=bool)[[0, 2, 1, 3]]
    np.testing.assert_array_equal(diagonal(*np.nonzero(swapped), 4), [0, 2, 1, 3])
    singular = np.eye(3, dtype=bool)[[0, 1, 1]]
    np.testing.assert_array_equal(diagonal(*np.nonzero(singular), 3), [0, 1, 2])
