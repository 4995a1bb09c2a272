"""Recurrences of complex states by machine code: they are those of the user's function."""

from functools import cache

import numpy as np
import pytest
from problems import loop

from parscan import BlockDiagonal, Diagonal, solve_recurrence

RNG = np.random.default_rng(11)
T = 3000
STRETCHED = RNG.standard_normal((4, 4)) + 1j * RNG.standard_normal((4, 4))
HAMILTONIAN = STRETCHED + STRETCHED.conj().T
UNITARY = np.linalg.solve(np.eye(4) + 0.05j * HAMILTONIAN, np.eye(4) - 0.05j * HAMILTONIAN)


def noise(*shape):
    return RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)


def rotation(z):
    return z * np.exp(0.1j)


def mandelbrot(z, c):
    return z * z + c


def leaky(z, x):
    return 0.9 * np.exp(0.3j) * z + x


def walk(z):
    return z @ UNITARY.T


def nonlinear_walk(z):
    return (z * np.exp(-0.01j * np.abs(z) ** 2)) @ UNITARY.T


def saturating(z, x):
    """It is no holomorphic function."""
    size = np.abs(z)
    return 0.8 * z / (1 + size) + 0.1 * np.conj(z) + x


def kuramoto(z, x):
    mean = np.mean(z, axis=-1, keepdims=True)
    found = np.empty_like(z)
    found[..., 0] = z[..., 0] * np.exp(1j * (0.01 + np.imag(mean[..., 0] * np.conj(z[..., 0]))))
    found[..., 1:] = 0.99 * z[..., 1:] + 0.1 * x * z[..., :1] / (2 + np.sqrt(z[..., 1:] + 3))
    return found


def by_parts(z, inputs):
    gain, offset = inputs
    u, v = z.real, z.imag
    return gain * (np.tanh(u) + 1j * np.sin(v)) + offset


PHASES = np.exp(-0.005j * (2 * np.pi * np.fft.fftfreq(8, 1.0)) ** 2)


def split(z):
    """A step of the nonlinear Schroedinger equation."""
    z = z * np.exp(0.01j * np.abs(z) ** 2)
    return np.fft.ifft(np.fft.fft(z) * PHASES)


PROBLEMS = {
    "split walk": (split, 1 / np.cosh(np.linspace(-4, 4, 8)) + 0j, None),
    "rotation": (rotation, np.ones(1, complex), None),
    "Mandelbrot": (mandelbrot, np.zeros((3, 1), complex), np.array([[-0.1 + 0.2j], [0.2 + 0.3j], [-0.9 + 0.1j]])[None]),
    "leaky": (leaky, np.zeros(1, complex), noise(T, 1)),
    "leaky, real inputs": (leaky, np.zeros(1, complex), RNG.standard_normal((T, 1))),
    "leaky, batch": (leaky, np.zeros((20, 2), complex), noise(T, 20, 2)),
    "leaky, batch of two axes": (leaky, np.zeros((2, 5, 1), complex), noise(T, 2, 5, 1)),
    "walk": (walk, np.eye(4)[0].astype(complex), None),
    "nonlinear walk": (nonlinear_walk, np.eye(4)[0].astype(complex), None),
    "not holomorphic": (saturating, np.zeros(2, complex), noise(T, 2)),
    "not holomorphic, batch": (saturating, np.zeros((16, 1), complex), noise(T, 1, 1)),
    "written": (kuramoto, np.exp(1j * np.arange(3)), noise(T, 1)),
    "parts": (by_parts, np.zeros(1, complex), (RNG.random((T, 1)), noise(T, 1))),
}


@cache
def solved_by_loop(name):
    step, y0, x = PROBLEMS[name]
    return loop(step, y0, inputs(x))


def inputs(x):
    if x is None:
        return T
    return np.repeat(x, T, axis=0) if not isinstance(x, tuple) and x.shape[0] == 1 else x


@pytest.mark.parametrize("method", ["sequential", "jacobi", "newton", "auto"])
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * ("walk" in name)) for name in PROBLEMS])
@pytest.mark.filterwarnings("ignore::parscan.warnings.SlowConvergenceWarning")
def test_every_method_gives_the_loop(name, method):
    step, y0, x = PROBLEMS[name]
    x = inputs(x)
    given = {"length": x} if isinstance(x, int) else {"x": x}
    sol = solve_recurrence(step, y0, **given, method=method, compile=True)
    assert sol.success
    assert sol.compiled or (method == "newton" and (y0.ndim > 1 or y0.size > 4))
    assert sol.y.dtype == y0.dtype
    wanted = solved_by_loop(name)
    tolerance = 1e-12 if method in ("sequential", "auto") else 1e-9
    assert np.abs(sol.y - wanted).max() <= tolerance * np.abs(wanted).max() * (10 if "walk" in name else 1)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("y0", [np.zeros(2), np.zeros((12, 2))], ids=["states", "batch"])
def test_precision_stays(y0, dtype):
    x = noise(500, *y0.shape).astype(dtype)

    def step(z, x):
        return (0.5 - 0.2j) * np.sqrt(z + 4) + x / (1 + np.abs(z))

    sol = solve_recurrence(step, y0.astype(dtype), x, method="sequential", compile=True)
    assert sol.compiled
    assert sol.y.dtype == dtype
    wanted = loop(step, y0.astype(dtype), x)
    np.testing.assert_allclose(sol.y, wanted, rtol=2e-5 if dtype == np.complex64 else 1e-12)


@pytest.mark.parametrize("structure", [Diagonal, BlockDiagonal(2)])
@pytest.mark.parametrize("method", ["newton", "quasi-newton", "jacobi"])
def test_structures(structure, method):
    x = noise(800, 4)
    sol = solve_recurrence(leaky, np.zeros(4, complex), x, structure=structure, method=method, compile=True)
    assert sol.success
    np.testing.assert_allclose(sol.y, loop(leaky, np.zeros(4, complex), x), rtol=1e-9)


def test_views_of_inputs_are_taken_as_they_are():
    x = noise(600, 2, 2)[:, 0, ::-1]
    for given in (x, x.imag, np.asfortranarray(x)):
        sol = solve_recurrence(leaky, np.zeros(2, complex), given, method="sequential", compile=True)
        np.testing.assert_allclose(sol.y, loop(leaky, np.zeros(2, complex), given), rtol=1e-12)


def test_states_that_diverge_end_the_solve():
    with np.errstate(all="ignore"):
        sol = solve_recurrence(lambda z: z * z, np.full(1, 1.0 + 1j), length=2000, method="sequential", compile=True)
        wanted = loop(lambda z: z * z, np.full(1, 1.0 + 1j), 20)
    assert not sol.success
    finite = np.isfinite(wanted[:, 0])
    reached = int(np.argmin(finite))
    np.testing.assert_allclose(sol.y[:reached], wanted[:reached], rtol=1e-12)
    assert np.isnan(sol.y[reached + 1 :]).all()


def test_real_states_may_be_calculated_by_complex_numbers():
    def step(y):
        z = (y[..., 0] + 1j * y[..., 1]) * np.exp(0.02j)
        return np.stack([z.real, z.imag], axis=-1)

    sol = solve_recurrence(step, np.array([1.0, 0.0]), length=T, compile=True)
    assert sol.compiled
    angle = 0.02 * np.arange(1, T + 1)
    np.testing.assert_allclose(sol.y, np.stack([np.cos(angle), np.sin(angle)], axis=-1), atol=1e-11)


def test_a_step_that_returns_real_numbers_is_not_compiled():
    with pytest.raises(TypeError):
        solve_recurrence(np.abs, np.ones(1, complex), length=T, method="sequential", compile=True)
