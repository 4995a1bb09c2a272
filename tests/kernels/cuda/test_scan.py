"""The CUDA scans, run by the emulator, against the sequential loop."""

import numpy as np
import pytest
from cuda_emulator import ORDERS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parscan._kernels.cuda import affine_scan as cuda
from parscan._kernels.cuda import choice, groups
from parscan._kernels.cuda.operand import operand
from parscan._kernels.cuda.recurrence import Recurrence
from parscan._kernels.generic import affine_scan as sequential

DTYPES = ("float32", "float64", "complex64", "complex128")
SHAPES = {
    "one sequence": (1, 1),
    "channels": (5, 1),
    "2x2": (1, 2),
    "3x3, batch": (2, 3),
    "columns": (1, 7),
    "columns, batch": (2, 8),
    "columns, three lanes": (9, 11),
}
LENGTHS = (1, 2, 4, 8, 9, 33, 700)
"""Up to twice the shortest chunk and beyond, and long enough for several blocks and levels of chunks."""


@pytest.fixture(autouse=True, params=ORDERS)
def short_chunks(request, emulator, tune):
    """Chunks of four steps: small problems are cut several times. Threads take turns in each order."""
    emulator.order = request.param
    tune(shortest=4)


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


@pytest.mark.pairs(dtype=DTYPES, shape=SHAPES, length=LENGTHS, reverse=[False, True], started=[False, True])
def test_scan_is_the_loop(rng, emulator, dtype, shape, length, reverse, started):
    A, b, h0 = problem(rng, dtype, length, *shape)
    start = h0 if started else None
    found = cuda.affine_scan(A, b, start, reverse=reverse)
    assert found.dtype == dtype
    expected = sequential.affine_scan(A, b, start, reverse=reverse)
    np.testing.assert_allclose(found, expected, rtol=tolerance(dtype), atol=10 * tolerance(dtype))
    assert all(emulator.finite)


@pytest.mark.parametrize(("dtype", "n"), [("float64", 7), ("float32", 16), ("complex128", 9)])
@pytest.mark.parametrize("started", [False, True])
def test_summaries_are_the_maps_of_chunks(rng, emulator, dtype, n, started):
    """Also that of the last chunk, which is shorter, and which no scan needs."""
    length, sequences, chunk = 22, 3, 5
    chunks = -(-length // chunk)
    A, b, _ = problem(rng, dtype, length, sequences, n)
    maps = chunks * sequences
    P, q = np.full(maps * n * n, np.nan, dtype), np.full(maps * n, np.nan, dtype)
    known = Recurrence(
        operand(A, (length, sequences, n, n), 2),
        operand(b, b.shape, 1),
        np.zeros(sequences * n, dtype),
        started,
        length,
        sequences,
        n,
    ).known(chunk, chunks)
    way = choice.choose(dtype, n, sequences, length)
    kernel, grid = way.kernels["summarise"](dtype, n), way.grids["summarise"](dtype, n, maps)
    emulator.launch(kernel, *grid, *known, P, q)
    if not started:
        A[0] = 0
    zeros, unit = np.zeros_like(b), np.eye(n, dtype=dtype)
    for k in range(chunks):
        part = slice(k * chunk, (k + 1) * chunk)
        expected = sequential.affine_scan(A[part], b[part], zeros[0])[-1]
        columns = [sequential.affine_scan(A[part], zeros[part], zeros[0] + unit[j])[-1] for j in range(n)]
        np.testing.assert_allclose(q.reshape(chunks, *b.shape[1:])[k], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(P.reshape(chunks, *A.shape[1:])[k], np.stack(columns, -1), rtol=1e-4, atol=1e-5)


def test_matrices_of_few_numbers_are_written_out_for_groups_of_threads(rng):
    T, S, n = 17, 2, 7
    b = rng.standard_normal((T, S, n))
    for shape in ((T, S, 1, n), (T, 1, n, 1), (1, 1, 1, 1), (T, S, n, n), (1, S, n, n)):
        A = rng.standard_normal(shape) / n
        expected = sequential.affine_scan(np.broadcast_to(A, (T, S, n, n)).copy(), b)
        for matrices in (A, np.broadcast_to(A, (T, S, n, n))):
            np.testing.assert_allclose(cuda.affine_scan(matrices, b), expected, rtol=1e-11, atol=1e-11)


def test_more_sequences_than_groups_can_be_counted_go_through_products(rng, emulator, monkeypatch):
    monkeypatch.setattr(groups, "MOST", 2)
    for sequences in (2, 3):
        A, b, h0 = problem(rng, "float64", 9, sequences, 7)
        emulator.launched.clear()
        expected = sequential.affine_scan(A, b, h0)
        np.testing.assert_allclose(cuda.affine_scan(A, b, h0), expected, rtol=1e-11, atol=1e-11)
        assert bool(emulator.launched) == (sequences == 2)


def test_operands_broadcast_without_being_written_out(rng):
    T, S, n = 17, 3, 2
    b = rng.standard_normal((T, S, n))
    for A in (rng.standard_normal((1, 1, n, n)), rng.standard_normal((T, 1, n, n)), rng.standard_normal((1, S, n, n))):
        expected = sequential.affine_scan(A / 3, b)
        np.testing.assert_allclose(cuda.affine_scan(A / 3, b), expected, rtol=1e-12, atol=1e-12)
    for shape in ((1, S, n), (T, 1, n), (T, S, 1)):
        A, part = rng.standard_normal((T, S, n, n)) / 3, rng.standard_normal(shape)
        expected = sequential.affine_scan(A, part)
        np.testing.assert_allclose(cuda.affine_scan(A, part), expected, rtol=1e-12, atol=1e-12)


def test_a_batch_that_broadcasts_in_part(rng):
    A, b = rng.standard_normal((9, 1, 3, 2)) / 3, rng.standard_normal((9, 2, 1, 2))
    expected = sequential.affine_scan(A, b)
    np.testing.assert_allclose(cuda.affine_scan(A, b), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(0, 3), (5, 0), (0, 2, 2), (4, 0, 2)])
def test_nothing_to_do(shape):
    b = np.ones(shape)
    assert cuda.affine_scan(np.ones(shape), b).shape == shape
    assert cuda.affine_scan(np.ones((*shape, shape[-1])), b, np.ones(shape[1:])).shape == shape


def test_other_memory_orders_and_read_only_arrays(rng):
    A, b = rng.standard_normal((20, 2, 3, 3)) / 3, rng.standard_normal((20, 2, 3))
    expected = sequential.affine_scan(A, b)
    for ordered in (np.asfortranarray, lambda x: np.repeat(x, 2, axis=0)[::2], lambda x: x[::-1].copy()[::-1]):
        a, v = ordered(A), ordered(b)
        a.flags.writeable = v.flags.writeable = False
        np.testing.assert_allclose(cuda.affine_scan(a, v), expected, rtol=1e-12, atol=1e-12)


def test_without_a_start_the_first_coefficient_counts_for_nothing(rng):
    for n in (1, 2, 7):
        A, b = rng.standard_normal((20, n, n)) / 3, rng.standard_normal((20, n))
        expected = sequential.affine_scan(A, b)
        A[0] = np.nan
        np.testing.assert_allclose(cuda.affine_scan(A, b), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 7])
class TestOverflow:
    """What the loop keeps finite stays finite; and what it does not, does not come back."""

    @staticmethod
    def scans(factors, offsets, start, n):
        """A recurrence of the same numbers in all components, by both ways, in single precision."""
        A = np.asarray(factors, "float32")[:, None, None] * np.eye(n, dtype="float32")
        b = np.asarray(offsets, "float32")[:, None] * np.ones(n, "float32")
        h0 = np.full(n, start, "float32")
        with np.errstate(all="ignore"):
            return cuda.affine_scan(A, b, h0), sequential.affine_scan(A, b, h0)

    pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

    @pytest.mark.parametrize("start", [0.0, 1e-30])
    def test_products_that_overflow(self, n, start, tune):
        """The product of a chunk is infinite, and the states are not."""
        tune(shortest=100)
        found, expected = self.scans([10.0] * 60 + [0.1] * 300, [0.0] * 360, start, n)
        assert np.isfinite(expected).all()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-37)

    def test_products_of_products_that_overflow(self, n):
        found, expected = self.scans([10.0] * 60, [0.0] * 60, 1e-30, n)
        assert np.isfinite(expected).all()
        np.testing.assert_allclose(found, expected, rtol=1e-4)

    def test_states_that_overflow_do_not_come_back(self, n):
        """The product of the chunk is one."""
        found, expected = self.scans([1, 1, 1, 1, 1, 1e30, 1e-30, 1] + [0.5] * 30, [0.0] * 38, 1e20, n)
        finite = np.isfinite(expected)
        assert finite[:5].all()
        assert not finite[5:].any()
        assert np.array_equal(np.isfinite(found), finite)
        np.testing.assert_allclose(found[:5], expected[:5], rtol=1e-6)

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    @pytest.mark.parametrize("where", ["A", "b"])
    def test_numbers_that_are_not_finite(self, n, bad, where):
        factors, offsets = np.full(40, 0.5), np.ones(40)
        (factors if where == "A" else offsets)[21] = bad
        found, expected = self.scans(factors, offsets, 1.0, n)
        assert np.array_equal(np.isfinite(found), np.isfinite(expected))
        np.testing.assert_allclose(found[:21], expected[:21], rtol=1e-6)


def test_matrices_too_large_for_kernels_go_through_products(rng, emulator):
    n = 70
    A, b, h0 = rng.standard_normal((9, n, n)) / n**0.5 / 2, rng.standard_normal((9, n)), rng.standard_normal(n)
    for reverse in (False, True):
        expected = sequential.affine_scan(A, b, h0, reverse=reverse)
        np.testing.assert_allclose(cuda.affine_scan(A, b, h0, reverse=reverse), expected, rtol=1e-11, atol=1e-11)
    assert not emulator.launched
    A[:] = 1e30
    with np.errstate(all="ignore"):
        expected = sequential.affine_scan(A, 0 * b)
        assert np.array_equal(cuda.affine_scan(A, 0 * b), expected)


@given(
    length=st.integers(0, 70),
    sequences=st.integers(1, 4),
    n=st.sampled_from([1, 2, 3, 7, 8]),
    reverse=st.booleans(),
    started=st.booleans(),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_length_is_the_loop(length, sequences, n, reverse, started, seed):
    A, b, h0 = problem(np.random.default_rng(seed), "float64", length, sequences, n)
    start = h0 if started else None
    expected = sequential.affine_scan(A, b, start, reverse=reverse)
    np.testing.assert_allclose(cuda.affine_scan(A, b, start, reverse=reverse), expected, rtol=1e-11, atol=1e-11)


def test_an_axis_of_one_number_is_not_written_out(rng, emulator, monkeypatch):
    """Its indices share their memory, of time, of the batch, or of the state; the results are those of copies."""
    from parscan._kernels.cuda import operand

    sizes, original = [], operand.contiguous

    def watched(x):
        sizes.append(x.size)
        return original(x)

    monkeypatch.setattr(operand, "contiguous", watched)
    number, row, A = np.ones(()), rng.standard_normal((3, 1)), rng.standard_normal((40, 3, 2, 2)) / 3
    for b, size in ((np.broadcast_to(number, (40, 3, 2)), 1), (np.broadcast_to(row, (40, 3, 2)), 3)):
        sizes.clear()
        found = cuda.affine_scan(A, b)
        assert size in sizes
        assert b.size not in sizes or b.size == found.size
        np.testing.assert_allclose(found, sequential.affine_scan(A, b.copy()), rtol=1e-12, atol=1e-12)
    sizes.clear()
    found = cuda.affine_scan(np.broadcast_to(number / 2, (40, 2)), np.broadcast_to(number, (40, 2)))
    assert sizes[:2] == [1, 1]
    np.testing.assert_allclose(found, sequential.affine_scan(np.full((40, 2), 0.5), np.ones((40, 2))), rtol=1e-12)
