"""Which results are affine in an argument, and colours of columns."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import diags, random_array

from parscan._recorded.record import record
from parscan._recorded.structure import colours, is_affine

M = np.random.default_rng(0).standard_normal((20, 20))

AFFINE = {
    "sums": lambda y, x: 3 * y - x[::-1] + 1,
    "a quotient": lambda y, x: -y / (1 + x * x),
    "a matrix": lambda y, x: M @ y + np.sin(x),
    "a small matrix": lambda y, x: M[:3, :3] @ y[:3] + x[0],
    "a choice by the other": lambda y, x: np.where(x > 0, y, 2 * y[::-1]),
    "a matrix of the other": lambda y, x: np.outer(x, np.exp(x)) @ y,
    "constants": lambda y, x: x * 2.0,
    "cumulated": lambda y, x: np.cumsum(y) + np.diff(x, prepend=0.0),
    "converted": lambda y, x: (y.astype(np.float32) * 2 + x).astype(np.float64),
}
OTHER = {
    "a product": lambda y, x: y * y[::-1],
    "a function": lambda y, x: x + np.sin(y),
    "a step": lambda y, x: y + np.floor(y),
    "a choice": lambda y, x: np.where(y > 0, y, 0),
    "the larger": np.maximum,
    "a divisor": lambda y, x: x / y,
    "a matrix of it": lambda y, x: np.outer(y, x) @ y,
    "a table": lambda y, x: np.array([1.0, 2.0, 3.0])[np.clip(y, 0, 2).astype(int)],
    "one of many": lambda y, x: np.concatenate([y[:-1], np.exp(y[-1:])]),
    "interpolation": lambda y, x: np.interp(y, [0.0, 1.0], [0.0, 2.0]),
    "rounding to whole numbers": lambda y, x: y.astype(int) * 1.0,
}


def program_of(function):
    return record(function, [np.zeros(20), np.zeros(20)]).program


@pytest.mark.parametrize("name", AFFINE)
def test_affine(name):
    program = program_of(AFFINE[name])
    assert is_affine(program, 0)
    rng = np.random.default_rng(1)
    x, a, b = rng.standard_normal((3, 1, 20))
    middle, ends = program((a + b) / 2, x)[0], (program(a, x)[0] + program(b, x)[0]) / 2
    np.testing.assert_allclose(middle, ends, atol=1e-5)


@pytest.mark.parametrize("name", OTHER)
def test_not_affine(name):
    assert not is_affine(program_of(OTHER[name]), 0)


def test_each_argument_is_its_own():
    program = program_of(lambda y, x: y * x)
    assert is_affine(program, 0)
    assert is_affine(program, 1)
    assert not is_affine(program_of(lambda y, x: y * np.exp(x)), 1)


def assert_colours(matrix, found):
    rows, columns = matrix.nonzero()
    assert found.shape == (matrix.shape[1],)
    assert len(set(zip(rows.tolist(), found[columns].tolist(), strict=True))) == len(rows)
    assert set(found.tolist()) == set(range(found.max(initial=0) + 1))


@pytest.mark.parametrize(("offsets", "count"), [([0], 1), ([-1, 0, 1], 3), ([-2, -1, 0, 1], 4), ([-50, 0, 50], 3)])
def test_bands(offsets, count):
    matrix = diags([1.0] * len(offsets), offsets, shape=(300, 300))
    found = colours(*matrix.nonzero(), 300)
    assert_colours(matrix, found)
    assert found.max() + 1 == count


def test_a_full_matrix_has_a_colour_per_column():
    matrix = np.ones((4, 7))
    assert colours(*matrix.nonzero(), 7).tolist() == list(range(7))


def test_an_arrow_takes_few_colours():
    matrix = np.eye(50)
    matrix[0, :3] = matrix[:, 0] = 1
    found = colours(*matrix.nonzero(), 50)
    assert_colours(matrix, found)
    assert found.max() + 1 == 3


def test_none():
    empty = np.empty(0, dtype=int)
    assert colours(empty, empty, 3).tolist() == [0, 0, 0]
    assert colours(empty, empty, 0).shape == (0,)


@given(st.integers(1, 30), st.integers(1, 30), st.floats(0, 1), st.integers(0, 9))
def test_columns_of_a_colour_share_no_row(m, n, density, seed):
    matrix = random_array((m, n), density=density, rng=np.random.default_rng(seed))
    found = colours(*matrix.nonzero(), n)
    assert_colours(matrix, found)
    values = np.zeros((m, n))
    groups = (matrix.toarray() @ (found[:, None] == np.arange(found.max() + 1))).T
    rows, columns = matrix.nonzero()
    values[rows, columns] = groups[found[columns], rows]
    np.testing.assert_array_equal(values, matrix.toarray())
