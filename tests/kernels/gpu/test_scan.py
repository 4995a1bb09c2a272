"""The CUDA scans and the condensing on a device at real sizes, or on the stand-in for CuPy, against the CPU."""

import faulthandler
from importlib import import_module

import numpy as np
import pytest
from condensing import assert_agree, oracle, precision
from condensing import problem as intervals
from devices import DEVICES, cut

import parscan
from parscan._ivp.core.tableaux import gauss, radau
from parscan._kernels import dispatch as condensing
from parscan._kernels.cpu import affine_scan as cpu
from parscan._kernels.dispatch import affine_scan

pytestmark = pytest.mark.gpu

DTYPES = ("float32", "float64", "complex64", "complex128")
SHAPES = {
    "one sequence": ((), 1),
    "channels": ((cut(3000, 300),), 1),
    "many channels": ((70_001,), 1),
    "2x2": ((), 2),
    "3x3, batch": ((7,), 3),
    "4x4, large batch": ((5000,), 4),
    "6x6": ((), 6),
    "columns, n = 7": ((), 7),
    "columns, n = 16, batch": ((33,), 16),
    "columns, n = 31": ((), 31),
    "library, n = 70": ((), 70),
}
ON_STAND_IN = ("one sequence", "channels", "2x2", "3x3, batch", "columns, n = 7", "library, n = 70")
"""Shapes whose kernels the tests of the emulator compile too."""

DTYPES_OF_SCANS, SHAPES_OF_SCANS = cut((DTYPES, (*SHAPES,)), (("float32",), ON_STAND_IN))
LENGTHS = {"": (1, 2, 31, 64, 65, 4095, 4096, 4097, 1_000_003), "batch": (1, 33, 129), "large": (1, 300)}
SHORT_LENGTHS = (1, 64, 65, 4097)
HANG = 300
"""Seconds after which a test that waits for a device for ever ends the process, with a traceback."""


@pytest.fixture
def watchdog():
    faulthandler.dump_traceback_later(HANG, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def numbers(rng, dtype, *shape):
    values = rng.standard_normal(shape)
    if dtype.startswith("complex"):
        values = values + 1j * rng.standard_normal(shape)
    return values.astype(dtype)


def problem(rng, dtype, length, batch, n):
    """Coefficients, offsets and a start of a recurrence that neither grows nor forgets at once."""
    state, matrix = ((n,), (n, n)) if n > 1 else ((), ())
    A = numbers(rng, dtype, length, *batch, *matrix)
    A = (A / (2 * np.sqrt(n) * (2 if dtype.startswith("complex") else 1))).astype(dtype)
    return A, numbers(rng, dtype, length, *batch, *state), numbers(rng, dtype, *batch, *state)


def wide(*arrays):
    """The arrays in double precision."""
    return [x if x is None else x.astype(np.result_type(x.dtype, np.float64)) for x in arrays]


def assert_close(found, expected, dtype):
    bound = 200 * float(np.finfo(dtype).eps)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=bound, atol=10 * bound)


def lengths(batch, n):
    if not DEVICES:
        return LENGTHS["batch"] if batch else SHORT_LENGTHS[: -1 if n > 1 else None]
    return LENGTHS[""][: -1 if n > 16 else None] if not batch else LENGTHS["batch" if batch[0] < 1000 else "large"]


@pytest.mark.parametrize("dtype", DTYPES_OF_SCANS)
@pytest.mark.parametrize("shape", SHAPES_OF_SCANS)
def test_scan_is_the_loop(cp, rng, dtype, shape):
    batch, n = SHAPES[shape]
    for length in lengths(batch, n):
        A, b, h0 = problem(rng, dtype, length, batch, n)
        on_device = [cp.asarray(x) for x in (A, b, h0)]
        for start, reverse in ((None, False), (h0, False), (None, True), (h0, True)):
            expected = cpu.affine_scan(*wide(A, b, start), reverse=reverse)
            found = affine_scan(*on_device[:2], None if start is None else on_device[2], reverse=reverse)
            assert isinstance(found, cp.ndarray)
            assert_close(cp.asnumpy(found), expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES_OF_SCANS)
@pytest.mark.parametrize("length", cut([65, 4096, 65_537, 10_000_001], [65, 9001]))
def test_a_single_pass_is_the_loop(cp, rng, watchdog, tune, dtype, length):
    """Look-back, many times on the same operands: each time its blocks meet others."""
    tune(single_pass=True)
    A, b, h0 = problem(rng, dtype, length, (), 1)
    on_device = [cp.asarray(x) for x in (A, b, h0)]
    for reverse in (False, True):
        found = affine_scan(*on_device, reverse=reverse)
        assert_close(cp.asnumpy(found), cpu.affine_scan(*wide(A, b, h0), reverse=reverse), dtype)
        assert all(bool((affine_scan(*on_device, reverse=reverse) == found).all()) for _ in range(cut(20, 2)))


@pytest.mark.real_device
def test_more_than_2_to_the_31_numbers(cp):
    """The offsets are one number that is broadcast; only the states, 8 GiB, are there."""
    length = 2**31 + 1000
    if cp.cuda.runtime.memGetInfo()[0] < 3 * 4 * length:
        pytest.skip("needs 26 GB of free memory")
    a = cp.full(1, 0.5, dtype=cp.float32)
    h = parscan.linear_recurrence(a, cp.broadcast_to(cp.ones(1, dtype=cp.float32), (length,)))
    assert h.shape == (length,)
    assert float(h[0]) == 1
    assert float(cp.abs(h[100:] - 2).max()) < 1e-6


@pytest.mark.parametrize("shape", ["one sequence", "channels", "2x2", cut("columns, n = 16, batch", "columns, n = 7")])
def test_numbers_that_overflow(cp, rng, shape):
    """A product may overflow where the states do not; behind a state that is not finite, none is."""
    batch, n = SHAPES[shape]
    A, b, _ = problem(rng, "float32", cut(5000, 500), batch, n)
    middle = len(b) // 2
    still = affine_scan(cp.asarray(A * 0 + 1e30), cp.asarray(b * 0))
    assert float(cp.abs(still).max()) == 0
    b[middle] = np.inf
    found = cp.asnumpy(affine_scan(cp.asarray(A), cp.asarray(b)))
    assert np.all(np.isfinite(found[:middle]))
    assert not np.any(np.isfinite(found[middle:]))


def test_nothing_waits_for_the_device(cp, rng):
    """Without `assert`: CuPy raises where the host would wait."""
    cupyx = import_module("cupyx")
    for n in (1, 3, cut(9, 7)):
        A, b, h0 = (cp.asarray(x) for x in problem(rng, "float32", cut(10_000, 1000), (), n))
        affine_scan(A, b, h0)
        with cupyx.allow_synchronize(False):
            affine_scan(A, b, h0)
            affine_scan(A, b, reverse=True)


@pytest.mark.real_device
def test_the_current_stream_is_taken(cp, rng):
    """The operands become right late in that stream; whoever reads them in another one reads zeros."""
    a, b, _ = problem(rng, "float32", 100_000, (), 1)
    expected = cpu.affine_scan(*wide(a, b))
    heavy = cp.ones((4000, 4000), dtype=cp.float32)
    for _ in range(3):
        late_a, late_b = cp.zeros_like(cp.asarray(a)), cp.zeros_like(cp.asarray(b))
        source = cp.asarray(a), cp.asarray(b)
        cp.cuda.Device().synchronize()
        with cp.cuda.Stream(non_blocking=True) as stream:
            for _ in range(10):
                heavy = heavy @ heavy * 1e-4
            late_a[...], late_b[...] = source
            h = affine_scan(late_a, late_b)
        stream.synchronize()
        assert_close(cp.asnumpy(h), expected, "float32")


def several(cp, rng):
    """Problems that fill the device a little, partly, and wholly."""
    for length, batch, n in ((40, (), 1), (70_001, (), 1), (300, (999,), 1), (5000, (), 3), (700, (5,), 9)):
        A, b, h0 = (cp.asarray(x) for x in problem(rng, "float32", length, batch, n))
        yield (A, b, h0), affine_scan(A, b, h0)


@pytest.mark.real_device
@pytest.mark.parametrize("single_pass", [False, True])
def test_ten_thousand_launches(cp, rng, watchdog, tune, single_pass):
    """Bit for bit the same every time, whatever else runs; differences are counted on the device."""
    tune(single_pass=single_pass)
    problems = list(several(cp, rng))
    wrong = cp.zeros((), dtype=cp.int64)
    streams = [cp.cuda.Stream(non_blocking=True) for _ in range(2)]
    cp.cuda.Device().synchronize()
    for k in range(10_000):
        operands, expected = problems[int(rng.integers(len(problems)))]
        if k % 7 == 0:  # something else that takes multiprocessors for a while
            with streams[1]:
                expected @ expected if expected.ndim == 1 else expected * expected
        with streams[0]:
            wrong += (affine_scan(*operands) != expected).sum()
    cp.cuda.Device().synchronize()
    assert int(wrong) == 0


@pytest.mark.real_device
@pytest.mark.parametrize("single_pass", [False, True])
def test_two_streams_at_once(cp, rng, watchdog, tune, single_pass):
    tune(single_pass=single_pass)
    problems = list(several(cp, rng))
    streams = [cp.cuda.Stream(non_blocking=True) for _ in range(2)]
    counts = [cp.zeros((), dtype=cp.int64) for _ in streams]
    cp.cuda.Device().synchronize()
    for k in range(2000):
        for place, stream in enumerate(streams):
            operands, expected = problems[(k + place) % len(problems)]
            with stream:
                counts[place] += (affine_scan(*operands) != expected).sum()
    cp.cuda.Device().synchronize()
    assert [int(count) for count in counts] == [0, 0]


@pytest.mark.parametrize("dtype", cut(DTYPES, ("float32", "float64", "complex128")))
@pytest.mark.parametrize(("s", "n"), cut([(1, 1), (3, 2), (3, 3), (5, 6), (3, 12), (1, 60)], [(1, 1), (3, 2), (1, 60)]))
def test_condensing(cp, rng, dtype, s, n):
    tableau = radau(s)
    for N in (0, 1, 33, cut(5000 if s * n < 12 else 100, 34)):
        J, h, r = intervals(rng, N, s, n, dtype)
        result = condensing.condense(cp.asarray(J), tableau.A, tableau.b, cp.asarray(h), cp.asarray(r))
        assert all(isinstance(x, cp.ndarray) and x.dtype == dtype for x in result)
        on_host = condensing.Condensed(*map(cp.asnumpy, result))
        assert_agree(on_host, oracle(J, tableau.A, tableau.b, h, r), 1000 * precision(dtype))


def test_condensing_keeps_bad_intervals_apart(cp, rng):
    J, h, r = intervals(rng, 1000, 2, 3)
    tableau = gauss(2)
    before = condensing.condense(cp.asarray(J), tableau.A, tableau.b, cp.asarray(h), cp.asarray(r))
    J[::7], r[3] = np.nan, np.inf
    after = condensing.condense(cp.asarray(J), tableau.A, tableau.b, cp.asarray(h), cp.asarray(r))
    bad = (np.arange(1000) % 7 == 0) | (np.arange(1000) == 3)
    for old, new in zip(map(cp.asnumpy, before), map(cp.asnumpy, after), strict=True):
        np.testing.assert_array_equal(new[~bad], old[~bad])
    assert not np.any(np.isfinite(cp.asnumpy(after.offsets)[bad]).all(axis=1))
