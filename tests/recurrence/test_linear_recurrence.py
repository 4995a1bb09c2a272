"""The public function: shapes, dtypes, layouts, invariants, and what it says to bad input."""

import array_api_strict
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parscan import linear_recurrence
from parscan._kernels.generic import affine_scan as sequential


def problem(rng, shape, dense, dtype="float64"):
    n = shape[-1]
    A = rng.normal(size=(*shape, n) if dense else shape) / (2 * n**0.5 if dense else 1.5)
    b, h0 = rng.normal(size=shape), rng.normal(size=shape[1:])
    return A.astype(dtype), b.astype(dtype), h0.astype(dtype)


def assert_close(actual, expected, rtol=1e-12):
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=rtol * max(1.0, np.abs(expected).max(initial=0)))


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("with_h0", [False, True], ids=["zero start", "h0"])
@pytest.mark.parametrize(
    ("shape", "dense"),
    [((1000,), False)]
    + [(s, d) for s in [(1000, 1), (1000, 2), (64, 3, 4), (7, 2, 3, 5), (1, 4), (2, 1)] for d in (False, True)],
)
def test_is_the_loop(shape, dense, with_h0, reverse, rng):
    A, b, h0 = problem(rng, shape, dense)
    h0 = h0 if with_h0 else None
    h = linear_recurrence(A, b, h0, reverse=reverse)
    assert type(h) is np.ndarray
    assert h.flags.c_contiguous
    assert_close(h, sequential.affine_scan(A, b, h0, reverse=reverse))


@pytest.mark.parametrize("dense", [False, True], ids=["diagonal", "dense"])
def test_float32_against_float64(dense, rng):
    A, b, h0 = problem(rng, (1000, 3), dense, "float32")
    h = linear_recurrence(A, b, h0)
    assert h.dtype == np.float32
    assert_close(h, linear_recurrence(A.astype(float), b.astype(float), h0.astype(float)), 1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_dtypes_are_kept(dtype):
    b = np.ones(5, dtype)
    for A in (0.5, 1, True, np.full(5, 0.5, dtype), np.array(0.5, dtype)):
        for h0 in (None, 2, 2.0, np.array(2.0, dtype)):
            assert linear_recurrence(A, b, h0).dtype == dtype


@pytest.mark.parametrize(
    ("A", "b", "expected"),
    [
        (np.ones(5, "int32"), np.ones(5, "int8"), "float64"),
        (np.ones(5, bool), np.ones(5, "float32"), "float64"),
        (np.ones(5, "float32"), np.ones(5, "float64"), "float64"),
        (np.float64(0.5), np.ones(5, "float32"), "float64"),
        (0.5j, np.ones(5, "float32"), "complex64"),
        (0.5j, np.ones(5, "float64"), "complex128"),
        (np.ones(5, "complex64"), np.ones(5, "float64"), "complex128"),
        (2, [1, 2, 3], "float64"),
    ],
)
def test_common_dtype(A, b, expected):
    h = linear_recurrence(A, b)
    assert h.dtype == expected
    assert_close(h, sequential.affine_scan(np.broadcast_to(np.asarray(A, expected), h.shape), np.asarray(b, expected)))


def test_python_numbers_beyond_the_dtype():
    """They become infinite as in NumPy, without a warning; those beyond any dtype are refused."""
    b = np.ones(3, "float32")
    np.testing.assert_array_equal(linear_recurrence(1e300, b), [1, np.inf, np.inf])
    np.testing.assert_array_equal(linear_recurrence(0.5, b, 1e300), [np.inf] * 3)
    np.testing.assert_array_equal(linear_recurrence(10**20, [1.0, 0.0]), [1, 1e20])
    np.testing.assert_array_equal(linear_recurrence(True, b, False), [1, 2, 3])


@pytest.mark.parametrize("growth", [2, 7, 1e3, 1e5, 1e6, 3e6])
def test_an_unstable_fixed_point(growth):
    """The loop cancels exactly; products of coefficients would not."""
    np.testing.assert_array_equal(linear_recurrence(growth, np.full(100, 1 - growth), 1.0), np.ones(100))


LAYOUTS = {
    "contiguous": lambda x: x.copy(),
    "Fortran": np.asfortranarray,
    "backwards": lambda x: x[::-1].copy()[::-1],
    "every other": lambda x: np.repeat(x, 2, axis=0)[::2],
    "axes moved": lambda x: np.moveaxis(np.moveaxis(x, 0, -1).copy(), -1, 0),
    "foreign byte order": lambda x: x.astype(x.dtype.newbyteorder()),
    "misaligned": lambda x: np.frombuffer(b"\0" + x.tobytes(), x.dtype, offset=1).reshape(x.shape),
    "read-only": lambda x: np.broadcast_to(x, x.shape),
    "subclass": lambda x: x.view(type("Subclass", (np.ndarray,), {})),
}


@pytest.mark.pairs(
    shape=[(50, 1), (50, 3), (20, 2, 4)],
    layout=LAYOUTS,
    dense={"diagonal": False, "dense": True},
    reverse={"forward": False, "reverse": True},
)
def test_any_layout_and_inputs_stay_as_they_are(shape, layout, dense, reverse, rng):
    operands = problem(rng, shape, dense)
    laid_out = [layout(x) for x in operands]
    h = linear_recurrence(*laid_out, reverse=reverse)
    assert_close(h, sequential.affine_scan(*operands, reverse=reverse))
    for before, after in zip(operands, laid_out, strict=True):
        np.testing.assert_array_equal(after, before)
        assert not np.shares_memory(h, after)
    h[...] = 7  # and is the caller's to write to


@pytest.mark.parametrize("shape", [(0,), (0, 3), (4, 0), (4, 0, 2), (4, 2, 0), (1, 1)])
def test_empty_and_single(shape):
    for reverse in (False, True):
        h = linear_recurrence(0.5, np.ones(shape), 2.0, reverse=reverse)
        assert h.shape == shape
        assert np.all(h == 2.0)
    n = shape[-1]
    if len(shape) > 1:
        assert linear_recurrence(np.ones((1, *(1 for _ in shape[1:-1]), n, n)), np.ones(shape)).shape == shape


def test_a_single_offset_does_not_alias(rng):
    b = rng.normal(size=(1, 3))
    h = linear_recurrence(0.5, b)
    assert not np.shares_memory(h, b)
    np.testing.assert_array_equal(h, b)


def test_constant_operands_broadcast(rng):
    A, h0 = rng.normal(size=(3, 3)) / 3, rng.normal(size=3)
    assert_close(
        linear_recurrence(A[None], np.zeros((5, 3)), h0),
        np.array([np.linalg.matrix_power(A, t + 1) @ h0 for t in range(5)]),
    )
    times = linear_recurrence(np.ones((6, 1)), np.array([[1.0, 2.0]]))
    np.testing.assert_array_equal(times, np.outer(np.arange(1, 7), [1.0, 2.0]))


def test_the_first_coefficient_is_unused_without_h0():
    A = np.array([np.nan, 0.5, 0.5])
    np.testing.assert_array_equal(linear_recurrence(A, np.ones(3)), [1, 1.5, 1.75])
    np.testing.assert_array_equal(linear_recurrence(A[::-1], np.ones(3), reverse=True), [1.75, 1.5, 1])


def test_lists_and_series(rng):
    b = rng.normal(size=20)
    expected = sequential.affine_scan(np.full(20, 0.5), b)
    assert_close(linear_recurrence([0.5] * 20, list(b)), expected)
    assert_close(linear_recurrence(pd.Series([0.5] * 20), pd.Series(b)), expected)


@pytest.mark.parametrize("dense", [False, True], ids=["diagonal", "dense"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_array_api_strict(dense, reverse, rng):
    A, b, h0 = problem(rng, (9, 2, 3), dense, "float32")
    xp = array_api_strict
    h = linear_recurrence(xp.asarray(A), xp.asarray(b), xp.asarray(h0), reverse=reverse)
    assert h.dtype == xp.float32
    assert_close(np.asarray(h), sequential.affine_scan(A, b, h0, reverse=reverse), 1e-6)
    h = linear_recurrence(0.5, xp.asarray(b), 1, reverse=reverse)
    assert h.dtype == xp.float32
    assert_close(np.asarray(h), linear_recurrence(0.5, b, 1, reverse=reverse), 1e-6)


shapes = st.tuples(st.integers(1, 80), st.integers(1, 3), st.integers(1, 4))
cases = st.tuples(shapes, st.booleans(), st.integers(0, 2**32 - 1))


@given(case=cases, cut=st.floats(0, 1))
def test_splitting_the_time_axis(case, cut):
    shape, dense, seed = case
    A, b, h0 = problem(np.random.default_rng(seed), shape, dense)
    s = 1 + int(cut * (len(b) - 1))
    first = linear_recurrence(A[:s], b[:s], h0)
    second = linear_recurrence(A[s:], b[s:], first[-1])
    assert_close(np.concatenate([first, second]), linear_recurrence(A, b, h0))


@given(case=cases)
def test_time_reversal(case):
    shape, dense, seed = case
    A, b, h0 = problem(np.random.default_rng(seed), shape, dense)
    assert_close(linear_recurrence(A[::-1], b[::-1], h0, reverse=True)[::-1], linear_recurrence(A, b, h0))


@given(case=cases)
def test_batch_order_is_irrelevant(case):
    shape, dense, seed = case
    rng = np.random.default_rng(seed)
    A, b, h0 = problem(rng, shape, dense)
    order = rng.permutation(shape[1])
    h = linear_recurrence(A, b, h0)
    assert_close(linear_recurrence(A[:, order], b[:, order], h0[order]), h[:, order])
    for k in range(shape[1]):
        assert_close(linear_recurrence(A[:, k], b[:, k], h0[k]), h[:, k])


@given(case=cases)
def test_linearity(case):
    shape, dense, seed = case
    rng = np.random.default_rng(seed)
    A, b, h0 = problem(rng, shape, dense)
    _, c, g0 = problem(rng, shape, dense)
    combined = linear_recurrence(A, 2 * b - 3 * c, 2 * h0 - 3 * g0)
    assert_close(combined, 2 * linear_recurrence(A, b, h0) - 3 * linear_recurrence(A, c, g0), 1e-11)


@given(case=cases)
def test_a_diagonal_matrix_is_a_diagonal(case):
    shape, _, seed = case
    a, b, h0 = problem(np.random.default_rng(seed), shape, False)
    assert_close(linear_recurrence(a[..., None] * np.eye(shape[-1]), b, h0), linear_recurrence(a, b, h0))


BAD = [
    (1.0, 2.0, None, ValueError, r"`b` is a scalar; it needs a time axis"),
    (np.ones((4, 4)), np.ones(4), None, ValueError, r"`A` has shape \(4, 4\) and `b` has shape \(4,\); .*one more"),
    (np.ones(4), np.ones((4, 2)), None, ValueError, r"`A` has shape \(4,\) .*as many axes as `b`"),
    (np.ones((4, 2, 3)), np.ones((4, 2)), None, ValueError, r"`A` has shape \(4, 2, 3\) .*n×n"),
    (np.ones((4, 3, 3)), np.ones((4, 2)), None, ValueError, r"last of `b` n"),
    (np.ones((4, 1, 1)), np.ones((4, 2)), None, ValueError, r"last of `b` n"),
    (np.ones((5, 2)), np.ones((4, 2)), None, ValueError, r"do not broadcast; each axis of `A`"),
    (np.ones((5, 2, 2)), np.ones((4, 2)), None, ValueError, r"do not broadcast; each axis of `A`"),
    (0.5, np.ones((4, 2)), np.ones((4, 2)), ValueError, r"`h0` has shape \(4, 2\), .*one state, \(2,\)"),
    (0.5, np.ones((4, 2)), np.ones(3), ValueError, r"`h0` has shape \(3,\)"),
    (0.5, np.ones(4), np.ones(1), ValueError, r"`h0` has shape \(1,\), .*one state, \(\)"),
    (0.5, np.ones(4, "float16"), None, TypeError, r"`b` has dtype float16.*[Cc]ast"),
    (np.ones(4, "float16"), np.ones(4), None, TypeError, r"`A` has dtype float16"),
    (0.5, np.ones(4), np.longdouble(1), TypeError, r"`h0` has dtype"),
    (0.5, np.array([1, None]), None, TypeError, r"`b` has dtype object"),
    (0.5, ["a", "b"], None, TypeError, r"`b` has dtype <U1"),
    (10**400, np.ones(4), None, ValueError, r"`A` is an integer beyond the largest float"),
    (0.5, np.ones(4), -(10**400), ValueError, r"`h0` is an integer beyond the largest float"),
    (None, np.ones(4), None, TypeError, r"`A` has dtype object"),
    (0.5, [[1.0], [1.0, 2.0]], None, ValueError, r"`b` cannot be made an array"),
    (array_api_strict.ones(4), np.ones(4), None, TypeError, r"`A` is array_api_strict, `b` is numpy"),
]


@pytest.mark.parametrize(("A", "b", "h0", "error", "message"), BAD, ids=[case[-1][:30] for case in BAD])
def test_bad_input(A, b, h0, error, message):
    with pytest.raises(error, match=message):
        linear_recurrence(A, b, h0)


def test_too_large_is_told_in_bytes():
    with pytest.raises(MemoryError, match="takes 80000000000000000 bytes"):
        linear_recurrence(np.ones((10**7, 1)), np.broadcast_to(1.0, (1, 10**9)))
