"""Sparse Jacobians by differences, entries that a pattern lacks, and patterns that are found."""

import numpy as np
import pytest
import scipy.sparse as sp

from parscan._functions.coloured import Coloured, MissingEntryError
from parscan._functions.sparsity_found import found_pattern
from parscan._linalg.pattern import Pattern

N = 60
Y = 1 + 0.5 * np.sin(np.arange(N))
FLOOR = np.full(N, 1e-3)


def chain(t, y):
    """A reaction with its neighbours."""
    value = -(y**3)
    value[1:] += 2 * y[:-1] * y[1:]
    value[:-1] += t * y[1:]
    return value


def of_chain(t, y):
    own = -3 * y**2
    own[1:] += 2 * y[:-1]
    return sp.diags([2 * y[1:], own, np.full(N - 1, t)], [-1, 0, 1]).toarray()


def brusselator(m):
    """Two species on a square that is periodic."""

    def fun(t, y):
        u, v = y.reshape(2, m, m)
        spread = [sum(np.roll(w, k, axis) for k in (-1, 1) for axis in (0, 1)) - 4 * w for w in (u, v)]
        return np.concatenate([(1 + u * u * v - 4 * u + spread[0]).ravel(), (3 * u - u * u * v + spread[1]).ravel()])

    line = sp.diags([1.0, 1.0, 1.0, 1.0, 1.0], [1 - m, -1, 0, 1, m - 1], shape=(m, m))
    own, other = sp.kron(line, sp.eye(m)) + sp.kron(sp.eye(m), line), sp.eye(m * m)
    return fun, Pattern.of(sp.bmat([[own, other], [other, own]]))


def test_differences_are_the_jacobian():
    coloured = Coloured(chain, Pattern.of_bands(N, 1, 1), FLOOR)
    data = coloured(0.7, Y, chain(0.7, Y))
    assert np.abs(coloured.pattern.matrix(data).toarray() - of_chain(0.7, Y)).max() <= 1e-6
    coloured.check(0.7, Y, chain(0.7, Y), data)


def test_negative_directions_where_the_function_ends():
    fun = lambda t, y: np.sqrt(1 - y)  # noqa: E731
    coloured = Coloured(fun, Pattern.of_bands(3, 0, 0), np.ones(3))
    y = np.array([0.0, 0.5, 1 - 1e-12])
    with np.errstate(invalid="ignore"):
        assert np.isfinite(coloured(0.0, y, fun(0.0, y))).all()


@pytest.mark.parametrize(("lower", "upper", "entry"), [(0, 1, 1), (1, 0, -1), (0, 0, None)])
def test_entries_that_a_pattern_lacks_are_told(lower, upper, entry):
    coloured = Coloured(chain, Pattern.of_bands(N, lower, upper), FLOOR)
    with pytest.raises(MissingEntryError) as told:
        coloured.check(0.7, Y, chain(0.7, Y), coloured(0.7, Y, chain(0.7, Y)))
    row, column = told.value.entry
    assert abs(row - column) == 1
    assert entry is None or row - column == entry


def test_an_entry_that_shares_a_colour_is_told():
    """Column 3 has the colour of column 0, so that row 0 seems to be right."""
    fun = lambda t, y: y + 0.01 * np.where(np.arange(N) == 0, y[3], 0.0)  # noqa: E731
    coloured = Coloured(fun, Pattern.of_bands(N, 1, 1), FLOOR)
    data = coloured(0.0, Y, fun(0.0, Y))
    with pytest.raises(MissingEntryError) as told:
        coloured.check(0.0, Y, fun(0.0, Y), data)
    assert told.value.entry == (0, 3)


def test_kinks_are_no_missing_entries():
    y = np.zeros(N)
    fun = lambda t, y: np.abs(y)  # noqa: E731
    coloured = Coloured(fun, Pattern.of_bands(N, 0, 0), FLOOR)
    coloured.check(0.0, y, fun(0.0, y), coloured(0.0, y, fun(0.0, y)))


def test_patterns_are_found():
    found = found_pattern(chain, 0.7, Y, FLOOR)
    assert np.array_equal(found.keys, Pattern.of_bands(N, 1, 1).keys)
    fun, pattern = brusselator(11)
    found = found_pattern(fun, 0.0, np.zeros(242), np.full(242, 1e-3))
    assert np.array_equal(found.keys, pattern.keys)


@pytest.mark.slow
def test_patterns_of_large_grids_are_found_by_few_calls():
    fun, pattern = brusselator(64)
    calls = []
    found = found_pattern(lambda t, y: calls.append(0) or fun(t, y), 0.0, np.ones(8192), np.full(8192, 1e-3))
    assert np.array_equal(found.keys, pattern.keys)
    assert len(calls) <= 400


@pytest.mark.parametrize(
    "fun", [lambda t, y: y - y.mean(), lambda t, y: y[::-1] * 1.0, lambda t, y: np.full(N, np.nan)]
)
def test_others_have_no_pattern(fun):
    assert found_pattern(fun, 0.0, Y, FLOOR) is None
