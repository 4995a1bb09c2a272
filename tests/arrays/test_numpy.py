"""The functions that stand in for NumPy's give the same."""

import tracemalloc

import numpy as np
import pytest

from parscan._arrays import numpy as quick
from parscan._arrays.namespace import array_namespace

X = np.random.default_rng(0).normal(size=(3, 4, 2))
PLACES = np.asarray([2, 0])

CASES = [
    ("reshape", (X, (4, -1)), {}),
    ("astype", (X, np.float32), {"copy": False}),
    ("take", (X, PLACES), {"axis": 1}),
    *(("take", (x, PLACES), {"axis": 0}) for x in (X, X[:, ::2], X[::-1])),
    ("permute_dims", (X, (2, 0, 1)), {}),
    *(("moveaxis", (X, source, target), {}) for source in (0, 1, -1) for target in (0, 1, -2, -1)),
    ("moveaxis", (X, (0, 1), (1, 2)), {}),
    *(("stack", ([X, 2 * X],), {"axis": axis}) for axis in (0, 1, 2, -1)),
    ("zeros_like", (X,), {}),
    ("ones_like", (X > 0,), {}),
    *(("full_like", (x, value), {}) for x in (X, np.float32(X), X > 0) for value in (np.inf, 1, np.zeros(2))),
    ("searchsorted", (np.asarray([0.0, 1.0, 1.0]), np.asarray([1.0, -1.0])), {"side": "right"}),
    *((name, (X,), {"axis": axis}) for name in ("argmax", "argmin") for axis in (None, 1)),
    *(
        (name, (x,), {"axis": axis, "keepdims": kept})
        for name in ("max", "min", "sum", "mean", "all", "any")
        for x in (X, X > 0, np.asarray([np.nan, 1.0, 2.0]).reshape(3, 1, 1))
        for axis in (None, -1, (0, 2))
        for kept in (False, True)
        if not (name in ("all", "any") and x is X)
    ),
    *(("clip", (X, low, high), {}) for low in (None, -0.1, np.zeros(2)) for high in (None, 0.5)),
    ("isdtype", (X.dtype, ("integral", "complex floating")), {}),
]


@pytest.mark.parametrize(("name", "args", "options"), CASES)
def test_the_same_as_numpy(name, args, options):
    expected, found = (getattr(library, name)(*args, **options) for library in (np, quick.xp))
    np.testing.assert_array_equal(found, expected)
    assert np.asarray(found).dtype == np.asarray(expected).dtype


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value")
def test_means_of_nothing_and_of_whole_numbers():
    assert np.isnan(quick.xp.mean(np.empty(0)))
    assert quick.xp.mean(np.asarray([1, 2])) == 1.5


def test_numbers_of_numpy():
    number = np.float64(2.0)
    xp = array_namespace(number)
    assert xp is quick.xp
    assert xp.max(number) == xp.sum(number) == xp.mean(number) == xp.astype(number, np.float32) == 2
    assert xp.reshape(number, (1,)).shape == (1,)


def test_rows_of_a_column_are_taken_without_a_copy_of_it():
    columns = np.zeros((100_000, 2))
    tracemalloc.start()
    try:
        quick.xp.take(columns[:, :1], PLACES, axis=0)
        assert tracemalloc.get_traced_memory()[1] < columns.nbytes // 10
    finally:
        tracemalloc.stop()
