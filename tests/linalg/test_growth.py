"""Products of long sequences of matrices, and their growth."""

import numpy as np
import pytest
from problems import STRUCTURES, N, each_structure

from parscan import Dense, Diagonal
from parscan._linalg.growth import log_growth, scaled_product


@pytest.mark.pairs(structure=STRUCTURES, count=[1, 2, 3, 7, 8, 33], dtype=[np.float64, np.complex128])
def test_products_are_those_of_the_matrices_one_by_one(structure, count, dtype, rng):
    A = rng.standard_normal((count, 3, *structure.shape(N))).astype(dtype)
    product, logarithm = scaled_product(structure, A)
    expected = structure.to_dense(A[0])
    for matrix in A[1:]:
        expected = structure.to_dense(matrix) @ expected
    assert np.allclose(structure.to_dense(product * np.exp(logarithm)), expected)
    assert np.allclose(structure.norm(product), 1)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_growth_beyond_the_range_of_the_numbers(scale, rng):
    A = scale * np.linalg.qr(rng.standard_normal((50, 3, 3)))[0]
    assert log_growth(Dense(), A) == pytest.approx(49 * np.log(scale), rel=1e-12)


@each_structure
def test_growth_of_many_propagators_is_estimated_from_stretches(structure, rng):
    """Half of them grow, half decay; stretches from all over tell what remains."""
    A = np.broadcast_to(structure.from_dense(np.eye(N)), (20_001, *structure.shape(N)))
    factor = np.exp(np.where(np.arange(20_001) < 10_000, 0.01, -0.004))
    growth = log_growth(structure, A * factor.reshape(-1, *(1,) * (A.ndim - 1)))
    assert growth == pytest.approx(60, rel=0.02)


def test_growth_at_the_edges():
    assert log_growth(Dense(), np.empty((0, 2, 2))) == 0
    assert log_growth(Dense(), np.full((1, 2, 2), np.nan)) == 0  # that of the first is never used
    assert log_growth(Diagonal(), np.zeros((3, 2))) == -np.inf
    assert np.isnan(log_growth(Dense(), np.full((3, 2, 2), np.nan)))
