"""ODEs with complex states by machine code: real systems of twice the size."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp as by_scipy

from parscan import solve_ivp

HERMITIAN = np.array([[1, 0.5j, 0], [-0.5j, 2, 0.3], [0, 0.3, -1]])


def linear(t, y):
    return -1j * (HERMITIAN @ y)


def nonlinear(t, z):
    return -1j * (HERMITIAN @ z + np.abs(z) ** 2 * z)


def oscillator(t, z):
    """It has no complex derivative."""
    return (0.5 + 1j) * z - z * np.abs(z) ** 2 + 0.1 * np.conj(z)


def followed(t, z):
    return [-30 * (z[0] - np.exp(1j * t)), z[0] - 0.5j * z[1]]


CASES = {
    "linear": (linear, [1, 0, 0], 10.0),
    "nonlinear": (nonlinear, [1, 0.5j, 0.2], 8.0),
    "oscillator": (oscillator, [0.1 + 0.2j], 10.0),
    "backwards": (oscillator, [0.5 + 0.2j], -1.0),
    "list": (followed, [1, 1j], 3.0),
}
OPTIONS = {
    "steps": {},
    "times": {"t_eval": 5},
    "dense": {"dense_output": True},
    "tolerances of components": {"atol": 2, "rtol": 1e-8},
}


def reference(name, times):
    fun, y0, end = CASES[name]
    return by_scipy(fun, (0, end), np.array(y0, complex), "DOP853", times, rtol=1e-12, atol=1e-13).y


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", CASES)
def test_the_solution_is_that_of_scipy(name, options):
    fun, y0, end = CASES[name]
    given = dict(OPTIONS[options])
    if "t_eval" in given:
        given["t_eval"] = np.linspace(0, end, given["t_eval"])
    if "atol" in given:
        given["atol"] = np.full(len(y0), 1e-9)
    sol = solve_ivp(fun, (0, end), np.array(y0, complex), compile=True, **{"rtol": 1e-7, "atol": 1e-9, **given})
    assert sol.success
    assert sol.compiled
    assert sol.y.dtype == complex
    wanted = reference(name, np.sort(sol.t)[:: 1 if end > 0 else -1])
    assert np.abs(sol.y - wanted).max() < 2e-6
    if sol.sol is not None:
        between = (sol.t[1:] + sol.t[:-1]) / 2
        assert np.abs(sol.sol(between) - reference(name, between)).max() < 2e-6


def test_stiff_problems_are_solved_by_the_stiff_method():
    def fun(t, z, rate):
        return -rate * (z - np.exp(1j * t)) + 1j * np.exp(1j * t) + 0 * np.conj(z)

    sol = solve_ivp(fun, (0, 20), np.array([1.5 + 1j]), compile=True, args=(1e5,), rtol=1e-6, atol=1e-9)
    assert sol.success
    assert "Radau13" in sol.message
    np.testing.assert_allclose(sol.y[:, -1], np.exp(20j), atol=1e-5)


def test_single_precision_stays():
    sol = solve_ivp(oscillator, (0, 5), np.array([0.1 + 0.2j], np.complex64), compile=True)
    assert sol.compiled
    assert sol.y.dtype == np.complex64


def test_events_are_found():
    def grown(t, z):
        return np.abs(z[0]) - 0.5

    grown.terminal = True
    found = [
        solve_ivp(oscillator, (0, 20), np.array([0.1 + 0.2j]), events=grown, compile=one, rtol=1e-8, atol=1e-10)
        for one in (True, False)
    ]
    assert found[0].compiled
    np.testing.assert_allclose(found[0].t_events[0], found[1].t_events[0], rtol=1e-6)


def test_jumps_are_kept():
    def pulse(t, z):
        return 1j * z + np.where(t < 1.0, 1.0, 0.0)

    sol = solve_ivp(pulse, (0, 3), np.array([0j]), jumps=[1.0], compile=True, rtol=1e-8, atol=1e-10)
    assert sol.compiled
    wanted = (np.exp(1j) - 1) / 1j * np.exp(2j)
    np.testing.assert_allclose(sol.y[0, -1], wanted, rtol=1e-7)


def test_real_slopes_of_complex_states():
    sol = solve_ivp(lambda t, y: np.abs(y), (0, 1), [1j], compile=True, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(sol.y[0, -1], np.sinh(1) + 1j, rtol=1e-7)


@pytest.mark.parametrize(
    ("fun", "y0", "reason"),
    [
        (lambda t, y: 1j * y, [1.0], "returns complex128"),
        (lambda t, y: 1j * np.append(y, y), [1j], "returns the shape"),
    ],
)
def test_what_is_not_compiled_says_why(fun, y0, reason):
    with pytest.raises(TypeError, match=f"it {reason}"):
        solve_ivp(fun, (0, 1), np.array(y0), compile=True)
