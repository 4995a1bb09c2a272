"""One long sequence of scalars on CUDA, in tiles, by both ways; run by the emulator, against the sequential loop.

A tile has 4096 steps in single precision, 1024 in complex double precision.
"""

import numpy as np
import pytest
from cuda_emulator import ORDERS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parscan._kernels.cuda import affine_scan as cuda
from parscan._kernels.cuda import choice as cuda_choice
from parscan._kernels.cuda import tiles as cuda_tiles
from parscan._kernels.generic import affine_scan as sequential

DTYPES = ("float32", "float64", "complex64", "complex128")
LAUNCHED = {"tiles": {"summarise", "march", "mend", "spoil"}, "look-back": {"scan", "repair"}}


@pytest.fixture(params=LAUNCHED)
def way(request, emulator, tune):
    """Every length is evaluated in tiles, and nothing else is launched."""
    tune(longest=0, single_pass=request.param == "look-back")
    yield request.param
    assert set(emulator.launched) <= LAUNCHED[request.param]


def problem(rng, dtype, length, sequences=1):
    """Coefficients, offsets and a start: some factors are larger than one, and some are zero."""
    A, b = rng.uniform(-1.2, 1.2, (length, sequences)), rng.standard_normal((length, sequences))
    A[rng.random((length, sequences)) < 0.02] = 0
    h0 = rng.standard_normal(sequences)
    if dtype.startswith("complex"):
        A, b, h0 = A * np.exp(1j * rng.uniform(0, 6, A.shape)), b * (1 + 0.5j), h0 * (1 - 1j)
    return A.astype(dtype), b.astype(dtype), h0.astype(dtype)


def assert_same(found, expected, dtype):
    eps = float(np.finfo(dtype).eps)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=200 * eps, atol=200 * eps)


def sizes(dtype):
    """Around everything that steps are grouped by."""
    tile = cuda_tiles.tile_of(dtype)
    groups = {tile.vector, tile.part, tile.part * tile.parts, tile.steps, 3 * tile.steps}
    return sorted({1, 2, *groups, *(size - 1 for size in groups if size > 1), *(size + 1 for size in groups)})


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_scan_is_the_loop(rng, emulator, way, dtype, order):
    emulator.order = order
    for length in sizes(dtype):
        A, b, h0 = problem(rng, dtype, length)
        for start, reverse in ((None, False), (h0, True)) if length % 2 else ((h0, False), (None, True)):
            expected = sequential.affine_scan(A, b, start, reverse=reverse)
            assert_same(cuda.affine_scan(A, b, start, reverse=reverse), expected, dtype)
    assert all(emulator.finite)


def test_operands_broadcast_without_being_written_out(rng, way):
    A, b, h0 = problem(rng, "float64", 5000)
    for a, v in ((A[:1] / 2, b), (A, b[:1])):
        for reverse in (False, True):
            expected = sequential.affine_scan(a, v, h0, reverse=reverse)
            assert_same(cuda.affine_scan(a, v, h0, reverse=reverse), expected, "float64")


def test_arrays_that_are_not_aligned(rng, emulator, tune):
    """Coefficients of a sequence that begins between two wide accesses: two sequences, one behind the other."""
    tune(longest=0)
    for sequences in (2, 3):
        A, b, h0 = problem(rng, "float32", 9001, sequences)
        expected = sequential.affine_scan(A, b, h0)
        assert_same(cuda.affine_scan(A, b, h0), expected, "float32")
    assert sequences > cuda_choice.TUNING.fewest


def test_without_a_start_the_first_coefficient_counts_for_nothing(rng, way):
    A, b, _ = problem(rng, "float32", 5000)
    expected = sequential.affine_scan(A, b)
    A[0] = np.nan
    assert_same(cuda.affine_scan(A, b), expected, "float32")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
class TestOverflow:
    """What the loop keeps finite stays finite; and what it does not, does not come back."""

    @staticmethod
    def scans(factors, offsets, start):
        A, b = np.asarray(factors, "float32")[:, None], np.asarray(offsets, "float32")[:, None]
        h0 = np.full(1, start, "float32")
        return cuda.affine_scan(A, b, h0)[:, 0], sequential.affine_scan(A, b, h0)[:, 0]

    def test_products_times_nothing(self, way):
        found, expected = self.scans([1.5] * 9000, [0.0] * 9000, 0.0)
        assert np.array_equal(found, expected)
        assert not found.any()

    def test_products_of_products_that_overflow(self, way):
        found, expected = self.scans([1.02] * 7000, [0.0] * 7000, 1e-30)
        assert np.isfinite(expected).all()
        np.testing.assert_allclose(found, expected, rtol=1e-4)

    @pytest.mark.parametrize("before", [0, 40, 4080, 4096, 6000])
    def test_products_of_a_tile_that_overflow(self, way, before):
        """Wherever it begins, and whether tiles stand behind it."""
        factors = [0.99] * before + [10.0] * 60 + [0.1] * 5000
        found, expected = self.scans(factors, [0.0] * len(factors), 1e-30 * 0.99**-before)
        assert np.isfinite(expected).all()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-37)

    @pytest.mark.parametrize("where", [3, 4094, 4095, 4096, 8300])
    def test_states_that_overflow_do_not_come_back(self, way, where):
        """The product of all steps is finite."""
        factors = np.ones(9000)
        factors[where : where + 2] = 1e30, 1e-30
        found, expected = self.scans(factors, np.zeros(9000), 1e20)
        assert np.isfinite(expected[:where]).all()
        assert not np.isfinite(expected[where:]).any()
        assert np.array_equal(np.isfinite(found), np.isfinite(expected))
        np.testing.assert_allclose(found[:where], expected[:where], rtol=1e-6)

    @pytest.mark.parametrize("where", [0, 5, 4095, 4096, 8999])
    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_numbers_that_are_not_finite(self, way, bad, where):
        for which in (0, 1):
            operands = np.full(9000, 0.5), np.ones(9000)
            operands[which][where] = bad
            found, expected = self.scans(*operands, 1.0)
            assert np.array_equal(np.isfinite(found), np.isfinite(expected))
            np.testing.assert_allclose(found[:where], expected[:where], rtol=1e-6)

    def test_infinity_times_nothing_is_no_number(self, way):
        """The skipped products are those of coefficients that overflow, not of coefficients that are infinite."""
        factors = np.full(5000, 0.5)
        factors[70] = np.inf
        found, expected = self.scans(factors, np.zeros(5000), 0.0)
        assert np.array_equal(np.isnan(found), np.isnan(expected))
        factors[90] = 0
        found, expected = self.scans(factors, np.zeros(5000), 1.0)
        assert np.array_equal(np.isfinite(found), np.isfinite(expected))

    def test_a_start_that_is_not_finite(self, way):
        found, expected = self.scans(np.full(5000, 0.5), np.ones(5000), np.nan)
        assert np.isnan(expected).all()
        assert np.isnan(found).all()


@given(
    length=st.integers(0, 10_000),
    dtype=st.sampled_from(DTYPES),
    constant=st.booleans(),
    reverse=st.booleans(),
    started=st.booleans(),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_length_is_the_loop(way, length, dtype, constant, reverse, started, seed):
    A, b, h0 = problem(np.random.default_rng(seed), dtype, length)
    A, start = A[:1] / 2 if constant else A, h0 if started else None
    expected = sequential.affine_scan(A, b, start, reverse=reverse)
    assert_same(cuda.affine_scan(A, b, start, reverse=reverse), expected, dtype)
