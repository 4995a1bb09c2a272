"""The CUDA scans, run by Numba's simulator, against the sequential loop."""

import numpy as np
import pytest

from parscan.scan import adjoint_by_scan, cuda, cuda_choice, sequential

DTYPES = ("float32", "float64", "complex64", "complex128")
SHAPES = {
    "one sequence": (1, 1),
    "channels": (5, 1),
    "2x2": (1, 2),
    "3x3, batch": (2, 3),
    "columns": (1, 7),
    "columns, batch": (2, 8),
}
LENGTHS = (1, 2, 4, 8, 9, 33)
"""Up to twice the shortest chunk and beyond, and long enough for three levels of chunks."""


@pytest.fixture(autouse=True)
def short_chunks(simulator, monkeypatch):
    """Chunks of four steps, and few of them resident: small problems are cut several times."""
    monkeypatch.setattr(cuda_choice, "SHORTEST", 4)


def tolerance(dtype):
    return 200 * float(np.finfo(dtype).eps)


def numbers(rng, dtype, *shape):
    values = rng.standard_normal(shape)
    if dtype.startswith("complex"):
        values = values + 1j * rng.standard_normal(shape)
    return values.astype(dtype)


def problem(rng, dtype, length, sequences, n):
    """Coefficients, offsets and a start of a recurrence that neither grows nor forgets at once."""
    A = numbers(rng, dtype, *((length, sequences, n, n) if n > 1 else (length, sequences)))
    A /= 2 * np.sqrt(n)
    b = numbers(rng, dtype, *((length, sequences, n) if n > 1 else (length, sequences)))
    return A, b, numbers(rng, dtype, *b.shape[1:])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_scan_is_the_loop(rng, dtype, shape):
    for length in LENGTHS:
        A, b, h0 = problem(rng, dtype, length, *SHAPES[shape])
        for start, reverse in ((None, False), (h0, False), (None, True), (h0, True)):
            expected = sequential.affine_scan(A, b, start, reverse=reverse)
            found = cuda.affine_scan(A, b, start, reverse=reverse)
            assert found.dtype == dtype
            np.testing.assert_allclose(found, expected, rtol=tolerance(dtype), atol=10 * tolerance(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_adjoint_is_the_scan_of_transposed_conjugates(rng, dtype, shape):
    for length in LENGTHS:
        A, b, _ = problem(rng, dtype, length, *SHAPES[shape])
        expected = adjoint_by_scan(A, b)
        np.testing.assert_allclose(cuda.adjoint_scan(A, b), expected, rtol=tolerance(dtype), atol=10 * tolerance(dtype))
