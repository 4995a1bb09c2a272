"""One long sequence in tiles by both ways, at full size, out of range, and from several threads.

Where there is no device, shorter ones on the stand-in for CuPy.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from devices import cut

from parscan._kernels.cpu import affine_scan as cpu

pytestmark = pytest.mark.gpu

WIDE = {"float32": "float64", "complex64": "complex128"}


@pytest.fixture(params=["tiles", "look-back"])
def way(request, tune):
    tune(single_pass=request.param == "look-back")
    return request.param


def numbers(rng, dtype, *shape):
    values = rng.standard_normal(shape)
    return (values + 1j * rng.standard_normal(shape) if dtype.startswith("complex") else values).astype(dtype)


def bound(A, states):
    """Error of the loop in units of the precision, at most: every step rounds its product and its sum.

    `m_t = |a_t| m_{t-1} + |a_t h_{t-1}| + |h_t|`, once more a scan.
    """
    A, states = np.abs(A).astype("float64"), np.abs(states).astype("float64")
    before = np.concatenate([np.zeros_like(states[:1]), states[:-1]])
    return cpu.affine_scan(A, A * before + states)


def assert_as_good_as_the_loop(found, A, expected, dtype):
    error = np.abs(found - expected).astype("float64")
    assert (error <= 8 * np.finfo(dtype).eps * bound(A, expected)).all()


@pytest.mark.parametrize(
    ("dtype", "length"),
    cut(
        [("float32", 10**6), ("float32", 10**7), ("float32", 10**8 + 1), ("complex64", 10**7 + 1)],
        [("float32", 10**4)],
    ),
)
@pytest.mark.parametrize("factors", [(0.0, 1.0), (0.999, 1.0), (-1.0, 1.0)])
def test_long_sequences(cp, way, dtype, length, factors):
    """Against the loop in twice the precision."""
    from parscan._kernels.cuda import affine_scan as cuda

    rng = np.random.default_rng(length)
    A, b = rng.uniform(*factors, length).astype(dtype), numbers(rng, dtype, length)
    found = cp.asnumpy(cuda.affine_scan(cp.asarray(A), cp.asarray(b)))
    expected = cpu.affine_scan(A.astype(WIDE[dtype]), b.astype(WIDE[dtype]))
    assert_as_good_as_the_loop(found, A, expected, dtype)
    found = cp.asnumpy(cuda.affine_scan(cp.asarray(A), cp.asarray(b), reverse=True))
    expected = cpu.affine_scan(A[::-1].astype(WIDE[dtype]), b[::-1].astype(WIDE[dtype]))
    assert_as_good_as_the_loop(found[::-1], A[::-1], expected, dtype)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("where", cut([10, 4095, 4096, 500_000, 999_999], [4096]))
def test_numbers_that_are_not_finite(cp, way, where):
    from parscan._kernels.cuda import affine_scan as cuda

    A, b = np.full(cut(1_000_000, 10_000), 0.5, "float32"), np.ones(cut(1_000_000, 10_000), "float32")
    for factor, offset in ((np.nan, 1), (np.inf, 1), (0.5, np.inf), (0.5, 1)):
        A[where], b[where] = factor, offset
        expected = cpu.affine_scan(A, b)
        found = cp.asnumpy(cuda.affine_scan(cp.asarray(A), cp.asarray(b)))
        assert np.array_equal(np.isfinite(found), np.isfinite(expected))
        np.testing.assert_allclose(found[:where], expected[:where], rtol=1e-5)


def test_products_that_overflow(cp, way):
    """Of a tile, which is then evaluated step by step, and of all tiles."""
    from parscan._kernels.cuda import affine_scan as cuda

    length = cut(100_000, 10_000)
    for factors, h0 in ((np.r_[np.full(60, 10.0), np.full(length - 60, 0.9)], 1e-30), (np.full(length, 1.5), 0.0)):
        A, b = factors.astype("float32"), np.zeros(length, "float32")
        found = cuda.affine_scan(cp.asarray(A), cp.asarray(b), cp.asarray(h0, dtype="float32"))
        expected = cpu.affine_scan(A, b, np.float32(h0))
        assert np.isfinite(expected).all()
        np.testing.assert_allclose(cp.asnumpy(found), expected, rtol=1e-3, atol=1e-37)


@pytest.mark.parametrize(("what", "count"), [("launches", 10_000), ("streams", 2_000)])
def test_blocks_that_wait_for_each_other(what, count):
    """Under varying occupancy, and from two streams. If they wait for ever, the process is stopped, and this fails."""
    root = Path(__file__).parents[3]
    path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    run = subprocess.run(
        [sys.executable, root / "tests" / "support" / "gpu_stress.py", what, str(count)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-4000:]
