"""The public functions on CuPy arrays: the results of the NumPy call, on the device, or on the stand-in for CuPy."""

import numpy as np
import pytest
from devices import DEVICES, cut

import parscan

pytestmark = pytest.mark.gpu


class Gru:
    """A GRU with its Jacobian, over the functions and arrays of a library."""

    def __init__(self, xp, n, dtype="float64"):
        rng, self.xp, self.n = np.random.default_rng(n), xp, n
        self.W, self.U = (xp.asarray((rng.uniform(-1, 1, (n, 3 * n)) / np.sqrt(n)).astype(dtype)) for _ in range(2))
        self.identity = xp.eye(n, dtype=dtype)

    def parts(self, y, x):
        n, xp = self.n, self.xp
        gx, gy = x @ self.U, y @ self.W
        gates = 1 / (1 + xp.exp(-gx[..., : 2 * n] - gy[..., : 2 * n]))
        r, z, h = gates[..., :n], gates[..., n:], gy[..., 2 * n :]
        return r, z, h, xp.tanh(gx[..., 2 * n :] + r * h)

    def step(self, y, x):
        _, z, _, c = self.parts(y, x)
        return c + z * (y - c)

    def jac(self, y, x):
        r, z, h, c = self.parts(y, x)
        Wr, Wz, Wc = (self.W[:, i * self.n : (i + 1) * self.n].T for i in range(3))
        dz, dc = z * (1 - z) * (y - c), (1 - z) * (1 - c * c)
        J = dz[..., None] * Wz + (dc * h * r * (1 - r))[..., None] * Wr + (dc * r)[..., None] * Wc
        return J + z[..., None] * self.identity


METHODS = {
    "default": {},
    "newton": {"method": "newton"},
    "DEER": {"method": "newton", "segment_length": 1},
    "quasi-newton": {"method": "quasi-newton"},
    "jacobi": {"method": "jacobi"},
    "elk": {"method": "elk"},
    "sequential": {"method": "sequential"},
}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_linear_recurrence(cp, rng, reverse, dtype):
    A = (rng.standard_normal((cut(10_000, 300), 3, 2, 2)) / 3).astype(dtype)
    b, h0 = rng.standard_normal((cut(10_000, 300), 3, 2)).astype(dtype), rng.standard_normal((3, 2)).astype(dtype)
    expected = parscan.linear_recurrence(A, b, h0, reverse=reverse)
    found = parscan.linear_recurrence(*map(cp.asarray, (A, b, h0)), reverse=reverse)
    assert isinstance(found, cp.ndarray)
    np.testing.assert_allclose(cp.asnumpy(found), expected, rtol=1e-4 if dtype == "float32" else 1e-11, atol=1e-5)


@pytest.mark.parametrize("with_jac", [False, True])
@pytest.mark.parametrize("options", METHODS)
@pytest.mark.parametrize(("n", "batch", "dtype"), [(1, (), "float64"), (4, (16,), "float32"), (8, (2,), "float64")])
def test_solve_recurrence(cp, rng, n, batch, dtype, options, with_jac):
    cell, oracle = Gru(cp, n, dtype), Gru(np, n, dtype)
    x = rng.standard_normal((cut(2000, 200), *batch, n)).astype(dtype)
    y0 = np.zeros((*batch, n), dtype)
    expected = parscan.solve_recurrence(oracle.step, y0, x, method="sequential").y
    jac = cell.jac if with_jac else None
    sol = parscan.solve_recurrence(cell.step, cp.asarray(y0), cp.asarray(x), jac=jac, **METHODS[options])
    assert sol.success, sol.message
    assert isinstance(sol.y, cp.ndarray)
    assert sol.y.dtype == dtype
    np.testing.assert_allclose(cp.asnumpy(sol.y), expected, atol=2e-4 if dtype == "float32" else 1e-8)


@pytest.mark.parametrize("method", ["auto", "newton", "sequential"])
@pytest.mark.parametrize(("n", "batch", "dtype"), [(4, (3,), "float32"), (8, (), "float64")])
def test_solve_recurrence_by_kernels_of_the_step(cp, rng, n, batch, dtype, method):
    cell, oracle = Gru(cp, n, dtype), Gru(np, n, dtype)
    x = rng.standard_normal((cut(2000, 300), *batch, n)).astype(dtype)
    y0 = np.zeros((*batch, n), dtype)
    expected = parscan.solve_recurrence(oracle.step, y0, x, method="sequential").y
    sol = parscan.solve_recurrence(cell.step, cp.asarray(y0), cp.asarray(x), method=method, compile=True)
    assert sol.success, sol.message
    assert "kernel of the device" in sol.decisions[0]
    assert sol.method == ("newton" if method == "auto" else method)
    np.testing.assert_allclose(cp.asnumpy(sol.y), expected, atol=2e-4 if dtype == "float32" else 1e-8)


@pytest.mark.skipif(DEVICES > 0, reason="the stand-in for CuPy counts launches")
def test_an_iteration_takes_few_launches(cp, rng):
    """By kernels: one march, the identity that it begins with, and what copies start states."""
    from cupy_arrays import COUNTS
    from cupy_device import DEVICE

    cell, x = Gru(cp, 8), cp.asarray(3 * rng.standard_normal((500, 8)))

    def solved(guess):
        before = sum(COUNTS.launches.values()) + len(DEVICE.launched)
        sol = parscan.solve_recurrence(cell.step, cp.zeros(8), x, method="newton", compile=True, guess=guess,
                                       segment_length=10)  # fmt: skip
        assert sol.success
        return sol, sum(COUNTS.launches.values()) + len(DEVICE.launched) - before

    far, most = solved(cp.asarray(10 * rng.standard_normal((500, 8))))
    near, least = solved(far.y)
    assert far.iterations > near.iterations + 1
    assert most - least <= 12 * (far.iterations - near.iterations)
    assert least <= 240


def van_der_pol(t, y, mu):
    x, v = y
    return [v, mu * (1 - x * x) * v - x]


@pytest.mark.parametrize("method", ["auto", "Radau", "Gauss", "RK4"])
def test_solve_ivp(cp, method):
    options = {"args": (5.0,), "rtol": 1e-6, "atol": 1e-8, "method": method}
    expected = parscan.solve_ivp(van_der_pol, (0, 10), np.array([2.0, 0.0]), t_eval=np.linspace(0, 10, 50), **options)
    sol = parscan.solve_ivp(van_der_pol, (0, 10), cp.asarray([2.0, 0.0]), t_eval=np.linspace(0, 10, 50), **options)
    assert sol.success, sol.message
    assert isinstance(sol.y, cp.ndarray)
    np.testing.assert_allclose(cp.asnumpy(sol.y), expected.y, atol=1e-3)


def test_an_ensemble(cp):
    members = cut(1000, 10)
    mu, y0 = np.linspace(1.0, 20.0, members), np.array([2.0, 0.0])[:, None] * np.ones(members)
    options = {"rtol": 1e-6, "atol": 1e-8}
    expected = parscan.solve_ivp(van_der_pol, (0, 3), y0, args=(mu,), **options).y[:, -1]
    sol = parscan.solve_ivp(van_der_pol, (0, 3), cp.asarray(y0), args=(cp.asarray(mu),), **options)
    assert sol.success, sol.message
    assert isinstance(sol.y, cp.ndarray)
    np.testing.assert_allclose(cp.asnumpy(sol.y[:, -1]), expected, atol=1e-3)


def test_layouts_of_the_operands(cp, rng):
    A, b = rng.standard_normal((500, 4, 4)) / 4, rng.standard_normal((500, 4))
    expected = parscan.linear_recurrence(A, b)
    columns, every_second = cp.asarray(np.asfortranarray(A), order="F"), cp.asarray(np.repeat(b, 2, axis=0))[::2]
    np.testing.assert_allclose(cp.asnumpy(parscan.linear_recurrence(columns, every_second)), expected, rtol=1e-12)


def test_what_came_is_not_changed(cp, rng):
    A, b, h0 = (cp.asarray(rng.standard_normal(shape) / 4) for shape in ((500, 4, 4), (500, 4), (4,)))
    copies = [x.copy() for x in (A, b, h0)]
    parscan.linear_recurrence(A, b, h0, reverse=True)
    assert all(bool((x == y).all()) for x, y in zip((A, b, h0), copies, strict=True))


def test_numpy_and_cupy_mixed(cp):
    with pytest.raises(TypeError, match="`A` is cupy, `b` is numpy"):
        parscan.linear_recurrence(cp.ones(3), np.ones(3))


def test_a_step_that_returns_numpy_is_named(cp):
    with pytest.raises((TypeError, ValueError), match=r"step.*numpy"):
        parscan.solve_recurrence(lambda y: cp.asnumpy(y) / 2, cp.ones(2), length=100)


def test_another_device_than_the_current_one(cp):
    if cp.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("needs two devices")
    with cp.cuda.Device(1):
        b = cp.ones(3)
    with pytest.raises(ValueError, match="`b` is on device 1, but the current one is 0"):
        parscan.linear_recurrence(0.5, b)
    with cp.cuda.Device(1):
        np.testing.assert_allclose(cp.asnumpy(parscan.linear_recurrence(0.5, b)), [1, 1.5, 1.75])


def test_more_than_the_memory_is_refused_with_the_bytes(cp):
    with pytest.raises(MemoryError, match=r"bytes|[KMGT]i?B"):
        parscan.solve_recurrence(lambda y: y / 2, cp.ones(1), length=2**44, method="sequential")
    with pytest.raises(MemoryError, match=r"bytes|[KMGT]i?B"):
        parscan.linear_recurrence(0.5, cp.broadcast_to(cp.ones(1), (2**44,)))
