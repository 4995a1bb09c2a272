"""Launches of kernels, counted on the stand-in for CuPy: those of parscan's kernels and of CuPy's functions."""

import numpy as np
import pytest
from cuda_emulator import MISSING, Emulator
from cupy_arrays import COUNTS
from cupy_device import DEVICE
from cupy_stand_in import installed

import parscan

pytestmark = [pytest.mark.slow, pytest.mark.emulator, pytest.mark.skipif(MISSING is not None, reason=MISSING or "")]


@pytest.fixture
def cupy():
    with installed(Emulator(processors=4)) as stand_in:
        yield stand_in


def launches():
    """All until now."""
    return len(DEVICE.launched) + sum(COUNTS.launches.values())


def gru(xp, n, dtype):
    """The step of a GRU, which calls `tanh` once."""
    rng = np.random.default_rng(n)
    W, U = (xp.asarray((rng.uniform(-1, 1, (n, 3 * n)) / np.sqrt(n)).astype(dtype)) for _ in range(2))

    def step(y, x):
        gx, gy = x @ U, y @ W
        gates = 1 / (1 + xp.exp(-gx[..., : 2 * n] - gy[..., : 2 * n]))
        c = xp.tanh(gx[..., 2 * n :] + gates[..., :n] * gy[..., 2 * n :])
        return c + gates[..., n:] * (y - c)

    return step


def solved(cupy, n, batch, dtype, guess=None, **options):
    """A solve, its launches outside of the function, and the calls of the function."""
    step, shape = gru(cupy, n, dtype), (2000, *batch, n)
    x = cupy.asarray(np.random.default_rng(0).standard_normal(shape).astype(dtype))
    before = launches()
    step(x[0], x[0])
    of_call, start = launches() - before, cupy.zeros(shape[1:], dtype)
    before, calls = launches(), COUNTS.launches["tanh"]
    sol = parscan.solve_recurrence(step, start, x, guess=guess, compile=True, **options)
    assert sol.success, sol.message
    calls = COUNTS.launches["tanh"] - calls
    return sol, launches() - before - calls * of_call, calls


@pytest.mark.parametrize(("n", "batch", "dtype"), [(1, (), "float64"), (4, (16,), "float32"), (8, (), "float32")])
@pytest.mark.parametrize("method", ["auto", "newton"])
def test_a_gru_by_segments(cupy, n, batch, dtype, method):
    """Sixty launches and twelve calls of the function, which check its kernels and the solution."""
    sol, count, calls = solved(cupy, n, batch, dtype, method=method)
    assert "kernel of the device; segments of" in sol.decisions[0]
    assert count <= 60
    assert 0 < calls <= 12


def test_an_iteration(cupy):
    """Launches of a solve that takes several iterations more than another one."""
    far = cupy.asarray(np.random.default_rng(1).standard_normal((2000, 8)).astype("float32"))
    options = {"method": "newton", "segment_length": 16}
    first, many, _ = solved(cupy, 8, (), "float32", guess=far, **options)
    near, few, _ = solved(cupy, 8, (), "float32", guess=first.y, **options)
    assert first.iterations > near.iterations
    assert many - few <= 12 * (first.iterations - near.iterations)


@pytest.mark.parametrize("members", [3, 3000])
def test_an_ensemble(cupy, members):
    """A launch for every chunk of time, and a read of one flag behind it; the rest does not grow with the members."""
    y0 = cupy.asarray(np.array([2.0, 0.0])[:, None] * np.ones(members))

    def fun(t, y, mu):
        x, v = y
        return [v, mu * (1 - x * x) * v - x]

    before = launches()
    sol = parscan.solve_ivp(fun, (0, 3), y0, args=(cupy.linspace(1, 3, members),), rtol=1e-6, atol=1e-8, compile=True)
    assert sol.success, sol.message
    assert "by threads of the device" in sol.decisions[0]
    assert len(DEVICE.launched) <= 6
    assert launches() - before <= 100
    assert sum(COUNTS.reads.values()) <= 30
