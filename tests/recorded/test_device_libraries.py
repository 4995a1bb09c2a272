"""Functions that use a library with the functions of NumPy are recorded with NumPy in its place."""

import array_api_strict as strict
import numpy as np
import pytest
from array_api_strict import tanh

from parscan._recorded.record import NotRecordedError, record

MATRIX = strict.asarray([[1.0, 2.0], [3.0, 4.0]])


def with_names(y):
    return strict.stack([strict.sin(y[0]) + tanh(y[1]), strict.exp(-y[0]) * MATRIX[1, 0]])


def with_linear_algebra(y):
    return strict.linalg.matmul(MATRIX, y) + strict.pi


def with_arrays_of_its_own(y):
    return strict.concat([strict.zeros(1) + y[:1], strict.asarray([2.0]) * y[1:]])


@pytest.mark.parametrize("function", [with_names, with_linear_algebra, with_arrays_of_its_own])
def test_its_functions_and_arrays(function):
    y = np.array([0.3, -0.7])
    (found,) = record(function, [y]).program(y[None])
    np.testing.assert_allclose(found[0], np.asarray(function(strict.asarray(y))), rtol=1e-14)


def without(y):
    strict.set_array_api_strict_flags(boolean_indexing=True)
    return y


def test_what_numpy_lacks():
    with pytest.raises(NotRecordedError):
        record(without, [np.ones(2)])
