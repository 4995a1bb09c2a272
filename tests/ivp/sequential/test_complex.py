"""Complex states: by DOP853 where they are not stiff, by BDF on their parts where they are."""

import numpy as np
import pytest
import scipy.linalg
from scipy import integrate

from parscan import solve_ivp

pytestmark = pytest.mark.roads

TOLERANCES = pytest.mark.parametrize("rtol", [1e-3, 1e-6, 1e-9])

H = np.diag([0.0, 1.0, 2.3, 3.1]) + 0.3 * (np.eye(4, k=1) + np.eye(4, k=-1))


def commutator(t, y):
    rho = y.reshape(4, 4)
    return (-1j * (H @ rho - rho @ H)).ravel()


@TOLERANCES
def test_a_density_matrix(rtol):
    rho = np.zeros((4, 4), complex)
    rho[0, 0] = 1
    sol = solve_ivp(commutator, (0, 20), rho.ravel(), rtol=rtol, atol=rtol / 100, dense_output=True)
    U = scipy.linalg.expm(-10j * H)
    assert sol.method == "DOP853"
    assert np.abs(sol.sol(10.0) - (U @ rho @ U.conj().T).ravel()).max() <= 10 * rtol


@pytest.mark.roads("calls")
@TOLERANCES
@pytest.mark.parametrize("components", [1, 13])
def test_what_is_stiff(components, rtol):
    rates = np.logspace(6, 3, components)
    fun = lambda t, y: (-rates * (y.T - np.reshape(np.exp(1j * t), (-1, 1)))).T.reshape(y.shape)  # noqa: E731
    sol = solve_ivp(fun, (0, 10), np.zeros(components, complex), rtol=rtol, atol=rtol / 100)
    assert sol.method == "BDF"
    assert sol.nfev < 20_000
    assert "from t = " in sol.message
    assert np.abs(sol.y[:, -1] - rates / (rates + 1j) * np.exp(10j)).max() <= 10 * rtol


@pytest.mark.slow
@TOLERANCES
@pytest.mark.parametrize("jac", [False, True])
def test_conjugates_and_jacobians(rtol, jac):
    """Stiff by a term that has no complex derivative, with and without a Jacobian of the rest."""

    def fun(t, y):
        return [-1e4 * (y[0] - np.exp(1j * t)) - 3e3 * (np.conj(y[0]) - np.exp(-1j * t)), 1j * y[1]]

    given = (lambda t, y: np.array([[-1e4, 0], [0, 1j]])) if jac else None
    sol = solve_ivp(fun, (0, 5), [0j, 1 + 0j], jac=given, rtol=rtol, atol=rtol / 100, t_eval=[2.5, 5.0])
    parts = lambda t, v: np.array(fun(t, v.copy().view(complex))).view(float)  # noqa: E731
    exact = integrate.solve_ivp(parts, (0, 5), [0, 0, 1, 0], "Radau", rtol=1e-11, atol=1e-13, t_eval=[2.5, 5.0])
    assert sol.success
    assert np.abs(sol.y - (exact.y[0::2] + 1j * exact.y[1::2])).max() <= 10 * rtol


@pytest.mark.parametrize("atol", [0.0, 1e-9])
def test_an_imaginary_part_of_zero_needs_no_tolerance_of_its_own(atol):
    sol = solve_ivp(lambda t, y: 1j * y, (0, 1), [1 + 0j], "LSODA", rtol=1e-6, atol=atol)
    assert np.abs(sol.y[0, -1] - np.exp(1j)) <= 1e-5


@pytest.mark.parametrize("options", [{"lband": 1, "uband": 1}, {"lband": 1, "uband": 1, "rtol": 1e-7}])
def test_bandwidths(options):
    n = 30
    A = 300 * (1 + 0.1j) * (np.eye(n, k=1) - 2 * np.eye(n) + np.eye(n, k=-1))
    y0 = np.sin(np.pi * np.arange(1, n + 1) / (n + 1)).astype(complex)
    sol = solve_ivp(lambda t, y: A @ y, (0, 1), y0, **options)
    assert sol.method == "LSODA"
    assert np.allclose(sol.y[:, -1], scipy.linalg.expm(A) @ y0, rtol=0, atol=1e-3)


def test_singles_stay_single():
    sol = solve_ivp(lambda t, y: 1j * y, (0, 1), np.array([1], np.complex64), dense_output=True, rtol=1e-4)
    assert sol.y.dtype == sol.sol(0.5).dtype == np.complex64


@pytest.mark.parametrize("rate", [1e3, 1e4, 1e5])
def test_a_function_that_is_analytic_at_the_start_only(rate):
    """BDF on whole states builds on complex derivatives: without them it would take tens of thousands of steps."""

    def fun(t, z):
        moved = np.exp(1j * t)
        return -rate * (z - moved) + 1j * moved + (t > 1) * rate * 0.9 * (np.conj(z) - np.conj(moved))

    sol = solve_ivp(fun, (0, 3), [1 + 0j], rtol=1e-6, atol=1e-9)
    assert sol.success
    assert sol.nfev < 20_000
    assert abs(sol.y[0, -1] - np.exp(3j)) < 1e-4
