"""Questions about arrays that are asked in the same way of every library."""

import numpy as np
import pytest

from parscan._arrays.namespace import all_finite


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("size", [0, 10, 10_000])
def test_all_finite_sees_every_entry(size, dtype):
    x = np.random.default_rng(0).standard_normal(size).astype(dtype)
    assert all_finite(x)
    for bad in (np.nan, np.inf, -np.inf):
        for place in range(0, size, max(size // 7, 1)):
            y = x.copy()
            y[place] = bad
            assert not all_finite(y)


def test_all_finite_of_numbers_whose_sum_overflows():
    x = np.full(10_000, np.finfo(float).max)
    assert all_finite(x)
    x[:2] = np.inf, -np.inf
    assert not all_finite(x)
