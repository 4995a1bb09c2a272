"""Patterns of sparse matrices, their colours, and elimination in them, against dense linear algebra."""

import numpy as np
import pytest
import scipy.sparse as sp

from parscan._linalg.elimination import SingularError, _Banded, _Sparse, elimination
from parscan._linalg.pattern import Pattern


def grid(m):
    """The five-point stencil on a square."""
    line = sp.diags([1.0, 1.0, 1.0], [-1, 0, 1], shape=(m, m))
    return sp.kron(line, sp.eye(m)) + sp.kron(sp.eye(m), line)


def shuffled(n):
    """Three diagonals in a random order of rows and columns."""
    order = np.random.default_rng(0).permutation(n)
    return sp.csc_array(sp.diags([1.0, 1.0, 1.0], [-1, 0, 1], shape=(n, n)))[order][:, order]


MATRICES = {
    "bands": sp.diags([1.0, 1.0, 1.0, 1.0], [-2, 0, 1, 3], shape=(30, 30)),
    "a band in another order": shuffled(150),
    "a grid": grid(12),
    "random": sp.random(60, 60, 0.05, random_state=np.random.RandomState(1)) + sp.eye(60),
    "two arrays": sp.bmat([[grid(7), sp.eye(49)], [sp.eye(49), grid(7)]]),
    "full": np.ones((9, 9)),
    "one": np.ones((1, 1)),
}


@pytest.fixture(params=MATRICES)
def matrix(request):
    return MATRICES[request.param]


def dense(matrix):
    return matrix.toarray() if sp.issparse(matrix) else matrix


def test_a_pattern_has_the_entries_and_the_diagonal(matrix):
    pattern = Pattern.of(matrix)
    expected = (dense(matrix) != 0) | np.eye(matrix.shape[0], dtype=bool)
    assert np.array_equal(pattern.matrix(np.ones(pattern.rows.size)).toarray(), expected)
    assert np.array_equal(pattern.rows[pattern.diagonal], np.arange(pattern.size))
    rows, columns = np.nonzero(expected)
    assert pattern.bandwidths == (max((rows - columns).max(), 0), max((columns - rows).max(), 0))


def test_columns_of_a_colour_share_no_row(matrix):
    pattern = Pattern.of(matrix)
    given = pattern.matrix(np.ones(pattern.rows.size)).toarray()
    for colour in range(pattern.colours.max() + 1):
        assert given[:, pattern.colours == colour].sum(axis=1).max() <= 1


def test_stencils_have_few_colours():
    assert Pattern.of(grid(40)).colours.max() + 1 <= 8
    assert Pattern.of_bands(50, 2, 1).colours.max() + 1 == 4


@pytest.mark.parametrize("kind", [float, complex])
def test_elimination_solves(matrix, kind):
    pattern, random = Pattern.of(matrix), np.random.default_rng(2)
    factor = elimination(pattern)
    for _ in range(3):  # later matrices are put into the order of the first one
        data = random.normal(size=pattern.rows.size).astype(kind) * (1 + (1j if kind is complex else 0))
        data[pattern.diagonal] += 10
        right = random.normal(size=pattern.size).astype(kind)
        given = right.copy()
        found = factor(data)(right)
        expected = np.linalg.solve(pattern.matrix(data).toarray(), right)
        assert np.abs(found - expected).max() <= 1e-12
        assert np.array_equal(right, given)


def test_bands_are_found_in_any_order():
    assert isinstance(elimination(Pattern.of(shuffled(150))), _Banded)
    assert isinstance(elimination(Pattern.of(grid(50))), _Sparse)


@pytest.mark.parametrize("name", ["bands", "a grid"])
def test_singular_matrices_are_told(name):
    pattern = Pattern.of(MATRICES[name])
    factor = _Sparse(pattern) if name == "a grid" else elimination(pattern)
    with pytest.raises(SingularError):
        factor(np.zeros(pattern.rows.size))
    if name == "a grid":
        with pytest.raises(SingularError):
            factor(np.full(pattern.rows.size, np.nan))


def test_places_of_other_matrices():
    pattern = Pattern.of_bands(6, 1, 1)
    upper = sp.diags([1.0, 2.0], [0, 1], shape=(6, 6)).tocsr()
    found, where = pattern.places(upper)
    data = np.zeros(pattern.rows.size)
    data[where] = found.data
    assert np.array_equal(pattern.matrix(data).toarray(), upper.toarray())
    assert pattern.places(sp.diags([1.0], [2], shape=(6, 6))) is None
    both = pattern.union(Pattern.of_diagonals(6, [2]))
    assert both.bandwidths == (2, 1)
    assert both.places(sp.diags([1.0], [-2], shape=(6, 6))) is not None
    assert Pattern.of_stored(sp.csc_array(([0.0], ([1], [0])), shape=(2, 2))).rows.size == 3
