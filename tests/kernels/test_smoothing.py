"""The associative scan against a fold, and the smoothing scan against dense least squares."""

import array_api_strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parscan._kernels.generic.associative_scan import associative_scan
from parscan._kernels.generic.smoothing import smooth

DTYPES = ["float32", "float64", "complex64", "complex128"]
WEIGHTS = [0.0, 1e-8, 1e-2, 1.0, 1e4]
LIBRARIES = {"numpy": np, "strict": array_api_strict}

each_structure = pytest.mark.parametrize("dense", [False, True], ids=["elementwise", "dense"])
each_library = pytest.mark.parametrize("xp", LIBRARIES.values(), ids=LIBRARIES.keys())


def random(rng, shape, dtype):
    x = rng.normal(size=shape)
    return (x + 1j * rng.normal(size=shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


def problem(rng, shape, dense, dtype="float64", growth=1.0):
    """Coefficients of the given size, the first not a number, and offsets."""
    n = shape[-1]
    A = random(rng, (*shape, n) if dense else shape, dtype) * np.dtype(dtype).type(growth / (n**0.5 if dense else 1))
    A[:1] = np.nan
    return A, random(rng, shape, dtype)


def matrices(A, b):
    """Coefficients as matrices in double precision, those of the first node zero."""
    A = A.astype(np.result_type(A.dtype, "float64"))
    A = A if A.ndim > b.ndim else A[..., None] * np.eye(A.shape[-1])
    A[:1] = 0
    return A


def least_squares(A, b, weight):
    """All equations and all states in one dense matrix; no batches."""
    A, (length, n) = matrices(A, b), b.shape
    equations = np.eye(length * n, dtype=A.dtype)
    for p in range(1, length):
        equations[p * n : (p + 1) * n, (p - 1) * n : p * n] = -A[p]
    known = np.concatenate([equations[n:, :n], np.zeros(((length - 1) * n, n))]) @ b[0]
    rows = np.concatenate([equations[n:, n:], np.sqrt(weight) * np.eye((length - 1) * n)])
    right = np.concatenate([b[1:].ravel(), np.zeros((length - 1) * n)]) - known
    return np.concatenate([b[:1].astype(A.dtype), np.linalg.lstsq(rows, right)[0].reshape(-1, n)])


def march_back_and_forth(A, b, weight):
    """Dynamic programming, step by step, with the inverses spelt out: the oracle for many nodes and for batches."""
    A, b = matrices(A, b), b.astype(np.result_type(b.dtype, "float64"))[..., None]
    one = np.eye(b.shape[-2])
    P, q = np.zeros_like(one), np.zeros_like(b[0])
    inverses, pulls = [], []
    for p in range(len(b) - 1, 0, -1):
        M, H = np.linalg.inv((1 + weight) * one + P), A[p].conj().swapaxes(-1, -2)
        inverses.insert(0, M)
        pulls.insert(0, q)
        rest = M @ (weight * one + P)
        P, q = H @ rest @ A[p], H @ (M @ q - rest @ b[p])
    states = [b[0]]
    for p in range(1, len(b)):
        states.append(inverses[p - 1] @ (A[p] @ states[-1] + b[p] + pulls[p - 1]))
    return np.stack(states)[..., 0]


def assert_near(actual, expected, tolerance):
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("dtype", DTYPES)
@each_structure
def test_least_squares(dense, dtype, weight, rng):
    for length in (1, 2, 3, 7, 8, 9):
        for n in (1, 2, 3, 5):
            A, b = problem(rng, (length, n), dense, dtype)
            expected = least_squares(A, b, weight)
            assert_near(march_back_and_forth(A, b, weight), expected, 1e-11)
            delta = smooth(A, b, weight)
            assert delta.dtype == dtype
            assert delta[0].tobytes() == b[0].tobytes()
            assert_near(delta, expected, 1e-11 if np.finfo(dtype).bits == 64 else 2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("dtype", DTYPES)
@each_structure
def test_many_nodes_and_batches(dense, dtype, weight, rng):
    for length in (9, 64, 100):
        for n in (1, 3):
            A, b = problem(rng, (length, 3, n), dense, dtype, growth=0.8)
            delta = smooth(A, b, weight)
            assert delta[0].tobytes() == b[0].tobytes()
            assert_near(delta, march_back_and_forth(A, b, weight), 1e-11 if np.finfo(dtype).bits == 64 else 2e-6)
            np.testing.assert_allclose(delta[:, 1], smooth(A[:, 1], b[:, 1], weight), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("weight", [0.0, 1.0])
@each_structure
@each_library
def test_no_nodes_and_no_batch(xp, dense, weight):
    for shape in ((0, 2), (0, 3, 2), (5, 0, 2)):
        A, b = problem(np.random.default_rng(0), shape, dense, "complex64")
        delta = smooth(xp.asarray(A), xp.asarray(b), weight)
        assert delta.shape == shape
        assert delta.dtype == xp.complex64


@pytest.mark.parametrize("weight", [0.0, 1e-2])
@pytest.mark.parametrize("dtype", DTYPES)
@each_structure
def test_any_array_library(dense, dtype, weight, rng):
    xp = array_api_strict
    for length in (1, 2, 7, 20):
        A, b = problem(rng, (length, 2, 3), dense, dtype)
        delta = smooth(xp.asarray(A), xp.asarray(b), weight)
        assert type(delta) is type(xp.asarray(b))
        assert np.asarray(delta[0, ...]).tobytes() == b[0].tobytes()
        assert_near(np.asarray(delta), smooth(A, b, weight), 1e-11 if np.finfo(dtype).bits == 64 else 2e-6)


@each_structure
def test_axes_of_length_one(dense, rng):
    A, b = rng.normal(size=(1, 1, 3, 3) if dense else (1, 1, 3)), rng.normal(size=(20, 2, 3))
    full = np.broadcast_to(A, (20, 2, *A.shape[2:]))
    np.testing.assert_array_equal(smooth(A, b, 0.1), smooth(full, b, 0.1))


@pytest.mark.parametrize("first", [np.nan, np.inf])
@pytest.mark.parametrize("weight", [0.0, 1e-2])
@each_structure
def test_first_coefficient_is_not_used(dense, weight, first, rng):
    A, b = problem(rng, (20, 3), dense)
    A[0] = 0
    expected = smooth(A, b, weight)
    A[0] = first
    np.testing.assert_array_equal(smooth(A, b, weight), expected)


def test_nothing_is_changed_or_shared(rng):
    for length in (1, 2, 30):
        A, b = problem(rng, (length, 3), dense=True)
        kept = A.copy(), b.copy()
        delta = smooth(A, b, 0.5)
        np.testing.assert_array_equal(b, kept[1])
        np.testing.assert_array_equal(A, kept[0])
        assert not np.shares_memory(delta, b)


def test_coefficients_that_are_not_finite_raise_nothing(rng):
    """The loop above tells such corrections by their values."""
    for dense in (False, True):
        for bad in (np.nan, np.inf):
            A, b = problem(rng, (9, 3), dense)
            A[4] = bad
            np.testing.assert_array_equal(smooth(A, b, 1.0)[0], b[0])


@pytest.mark.slow
@pytest.mark.parametrize("weight", [1e-8, 1e-2, 1.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("growth", [1.5, 30.0, 1e3])
def test_large_propagators(growth, dtype, weight):
    """Products of the coefficients overflow; the minimiser is of the size of the offsets."""
    rng = np.random.default_rng(3)
    b = rng.normal(size=(2000, 3)).astype(dtype)
    A = (growth * np.linalg.qr(rng.normal(size=(2000, 3, 3)))[0]).astype(dtype)
    diagonal = np.full((2000, 3), growth, dtype)
    assert_near(smooth(A, b, weight), march_back_and_forth(A, b, weight), 1e-5)
    assert_near(smooth(diagonal, b, weight), march_back_and_forth(diagonal, b, weight), 1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_large_propagators_of_many_scales(seed):
    """Joined without square roots of the curvatures, singular matrices turn up here, or 1e104."""
    rng = np.random.default_rng(seed)
    n = (2, 3, 5)[seed]
    U, V = np.linalg.qr(rng.normal(size=(2, 600, n, n)))[0]
    A, b = U @ (np.array([1e3, 0.5, 0.01, 2, 0.3])[:n, None] * V), rng.normal(size=(600, n))
    assert_near(smooth(A, b, 1e-2), march_back_and_forth(A, b, 1e-2), 1e-5)
    for weight in (1e-8, 1e-6):
        assert np.abs(smooth(A, b, weight)).max() < 1e4


@pytest.mark.slow
@settings(max_examples=60)
@given(
    length=st.integers(2, 60),
    n=st.integers(1, 4),
    dense=st.booleans(),
    dtype=st.sampled_from(["float64", "complex128"]),
    growth=st.floats(0, 3),
    exponent=st.floats(-6, 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_gradient_is_zero(length, n, dense, dtype, growth, exponent, seed):
    A, b = problem(np.random.default_rng(seed), (length, n), dense, dtype, growth)
    weight = 10.0**exponent
    delta, A = smooth(A, b, weight), matrices(A, b)
    misfit = delta[1:] - np.einsum("pij,pj->pi", A[1:], delta[:-1]) - b[1:]
    gradient = misfit + weight * delta[1:]
    gradient[:-1] -= np.einsum("pji,pj->pi", A[2:].conj(), misfit[1:])
    scale = np.abs(b).max() * (1 + np.abs(A).max()) ** 2 + (1 + weight) * np.abs(delta[1:]).max()
    assert np.abs(gradient).max() <= 1e-8 * scale


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@each_library
def test_associative_scan_is_a_fold(xp, reverse, rng):
    """Pairs of a matrix, whose product does not commute, and a sum."""

    def combine(earlier, later):
        assert earlier[0].shape == later[0].shape
        assert earlier[0].shape[0] > 0
        return later[0] @ earlier[0], earlier[1] + later[1]

    for length in range(41):
        M, s = rng.normal(size=(length, 2, 2)), rng.normal(size=length)
        products, sums = associative_scan(combine, (xp.asarray(M), xp.asarray(s)), reverse=reverse)
        assert products.shape == M.shape
        assert sums.shape == s.shape
        done = np.eye(2)
        for t in reversed(range(length)) if reverse else range(length):
            done = done @ M[t] if reverse else M[t] @ done
            assert_near(np.asarray(products[t, ...]), done, 1e-11)
        expected = np.cumsum(s[::-1])[::-1] if reverse else np.cumsum(s)
        np.testing.assert_allclose(np.asarray(sums), expected, atol=1e-13)


def test_associative_scan_takes_few_calls():
    calls = []

    def combine(earlier, later):
        calls.append(len(later[0]))
        return (earlier[0] + later[0],)

    associative_scan(combine, (np.ones(1024),))
    assert len(calls) <= 20
    assert sum(calls) <= 2048
