"""Launches of kernels, counted on the stand-in for CuPy: those of parscan's kernels and of CuPy's functions."""

import numpy as np
import pytest
from cuda_emulator import MISSING, Emulator
from cupy_arrays import COUNTS
from cupy_device import DEVICE
from cupy_stand_in import installed

import parscan
from parscan._ivp.methods.collocation import Collocation

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


def solved(cupy, n, batch, dtype, guess=None, compiles=True, **options):
    """A solve, its launches, those of a call of the function, and how many calls there were."""
    step, shape = gru(cupy, n, dtype), (2000, *batch, n)
    x = cupy.asarray(np.random.default_rng(0).standard_normal(shape).astype(dtype))
    before = launches()
    step(x[0], x[0])
    of_call, start = launches() - before, cupy.zeros(shape[1:], dtype)
    before, calls = launches(), COUNTS.launches["tanh"]
    sol = parscan.solve_recurrence(step, start, x, guess=guess, compile=compiles, **options)
    assert sol.success, sol.message
    return sol, launches() - before, of_call, COUNTS.launches["tanh"] - calls


@pytest.mark.parametrize(("n", "batch", "dtype"), [(1, (), "float64"), (4, (16,), "float32"), (8, (), "float64")])
@pytest.mark.parametrize("method", ["auto", "newton"])
def test_a_gru_by_segments(cupy, n, batch, dtype, method):
    """Sixty launches in all, with the calls of the function that check its kernels and the solution."""
    sol, count, of_call, calls = solved(cupy, n, batch, dtype, method=method)
    assert "kernel of the device; segments of" in sol.decisions[0]
    assert of_call > 10
    assert calls == 3
    assert 3 * of_call < count <= 60


def test_a_gru_whose_kernels_are_paid_for(cupy):
    """Once its kernels were made, solves that do not ask for them have as few calls."""
    *_, many = solved(cupy, 2, (), "float64", compiles=None)
    solved(cupy, 2, (), "float64")
    sol, count, of_call, few = solved(cupy, 2, (), "float64", compiles=None)
    assert "kernel of the device; segments of" in sol.decisions[0]
    assert 3 * of_call < count <= 60
    assert few == 3 < many


def test_an_iteration(cupy):
    """Launches of a solve that takes several iterations more than another one."""
    far = cupy.asarray(np.random.default_rng(1).standard_normal((2000, 8)).astype("float32"))
    options = {"method": "newton", "segment_length": 16}
    first, many, *_ = solved(cupy, 8, (), "float32", guess=far, **options)
    near, few, *_ = solved(cupy, 8, (), "float32", guess=first.y, **options)
    assert first.iterations > near.iterations
    assert many - few <= 2 * (first.iterations - near.iterations)


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


def on_mesh(cupy, guess=None, batch=(), **options):
    """Van der Pol's equation by Radau on a mesh, and the launches of the solve: all, and those of parscan's texts."""

    def fun(t, y, mu):
        x, v = y[0], y[1]
        return cupy.stack([v, mu * ((1 - x * x) * v) - x])

    y0, mu = cupy.asarray(np.tile([2.0, 0.0], (*batch[::-1], 1)).T), 1.5
    given = {"method": "Radau", "rtol": 1e-6, "atol": 1e-8, "compile": True, "guess": guess} | options
    before, loaded = launches(), len(DEVICE.launched)
    sol = parscan.solve_ivp(fun, (0, 3), y0, args=(cupy.linspace(1, 2, batch[0]) if batch else mu,), **given)
    assert sol.success, sol.message
    assert sol.compiled
    return sol, launches() - before, len(DEVICE.launched) - loaded


@pytest.mark.parametrize("batch", [(), (4,)])
def test_an_iteration_on_a_mesh(cupy, batch, monkeypatch):
    """One launch evaluates all stages with their Jacobians, one condenses them, and a few correct them."""
    counts, correct = [], Collocation.correct

    def counted(*arguments):
        before, loaded = launches(), len(DEVICE.launched)
        found = correct(*arguments)
        names = [name for name, _, _ in DEVICE.launched[loaded:]]
        counts.append((launches() - before, names.count("parscan_kernel")))
        return found

    monkeypatch.setattr(Collocation, "correct", counted)
    sol, _, _ = on_mesh(cupy, batch=batch)
    assert len(counts) == sol.iterations > 1
    assert {own for _, own in counts} == {3}
    assert max(every for every, _ in counts[1:]) <= (13 if batch else 11)


def test_a_single_problem_on_a_mesh(cupy):
    """Whatever the length of the mesh."""
    for options in ({}, {"rtol": 1e-10, "atol": 1e-12}):
        sol, count, _ = on_mesh(cupy, **options)
        assert sol.nfev <= 20
        assert count <= 1000
