"""What reviewers found by attacking solve_ivp."""

import numpy as np
import pytest
from ode_methods import ON_ANY_MESH, ON_MESH
from ode_problems import oscillator, robertson
from scipy.integrate import solve_ivp as scipy_solve_ivp

from parscan import solve_ivp

pytestmark = pytest.mark.roads


def van_der_pol(t, y):
    return [y[1], 100 * (1 - y[0] ** 2) * y[1] - y[0]]


@pytest.mark.filterwarnings("ignore::parscan.warnings.PointByPointWarning")
@pytest.mark.parametrize("method", ["auto", *ON_MESH])
@pytest.mark.parametrize("memory", ["one buffer", "a buffer per shape", "views of a larger one"])
def test_functions_may_use_their_memory_again(method, memory):
    buffers = {}
    large = np.empty((2, 1_000_000))

    def fun(t, y):
        if memory == "one buffer":
            out = buffers.setdefault("", np.empty(2))
        elif memory == "a buffer per shape":
            out = buffers.setdefault(y.shape, np.empty(y.shape))
        else:
            out = large[:, : y[0].size].reshape(y.shape)
        out[0], out[1] = y[1], -y[0]
        return out

    sol = solve_ivp(fun, (0, 5), [1.0, 0.0], method, rtol=1e-6, atol=1e-6)
    assert np.abs(sol.y[:, -1] - [np.cos(5), -np.sin(5)]).max() <= 1e-3


def test_jacobians_may_use_their_memory_again():
    J = np.zeros((2, 2))

    def jac(t, y):
        J[:] = [[0, 1], [-np.cos(float(y[0])), 0]]
        return J

    sol = solve_ivp(lambda t, y: [y[1], -np.sin(y[0])], (0, 5), [1.0, 0.0], "Radau", jac=jac, rtol=1e-8, atol=1e-8)
    plain = solve_ivp(lambda t, y: [y[1], -np.sin(y[0])], (0, 5), [1.0, 0.0], "Radau", rtol=1e-8, atol=1e-8)
    assert np.abs(sol.y[:, -1] - plain.y[:, -1]).max() <= 1e-7


@pytest.mark.parametrize("method", ON_MESH)
def test_functions_may_write_to_their_time(method):
    def fun(t, y):
        t -= 0.5
        return [t + 0.5 - 0.1 * y[0]]

    sol = solve_ivp(fun, (0, 1.5), [1.0], method, rtol=1e-8, atol=1e-8)
    exact = scipy_solve_ivp(lambda t, y: [t - 0.1 * y[0]], (0, 1.5), [1.0], rtol=1e-10, atol=1e-10).y[0, -1]
    assert abs(sol.y[0, -1] - exact) <= 1e-5


@pytest.mark.parametrize(("fun", "end", "exact"), [(np.cos, 100.0, np.sin(100.0)), (np.exp, 5.0, np.exp(5) - 1)])
def test_rk4_sees_errors_of_quadratures(fun, end, exact):
    """RK4 is Simpson's rule then, and in the middle of an interval its cubic misses nothing."""
    sol = solve_ivp(lambda t, y: [fun(t)], (0, end), [0.0], "RK4", rtol=1e-8, atol=1e-10)
    assert abs(sol.y[0, -1] - exact) <= 1e-5 * max(1, abs(exact))


@pytest.mark.slow
@pytest.mark.parametrize("fun", [oscillator, lambda t, y: -1e5 * (y - np.cos(t))])
def test_small_windows_are_not_taken_for_stuck_ones(fun):
    y0 = [1.0, 0.0] if fun is oscillator else [0.0]
    sol = solve_ivp(fun, (0, 100), y0, "Radau", rtol=1e-6, window=1)
    assert sol.success
    assert sol.t[-1] == 100


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "rtol", "atol"), [(1e6, 1e-7, 1e-7), (1e6, 1e-5, 1e-5), (1e9, 1e-10, 1e-10), (1e9, 1e-7, 1e-10)]
)
def test_robertson_with_loose_absolute_tolerances(end, rtol, atol):
    """The second component is below the tolerance, and anything: windows are many, but get to the end."""
    sol = solve_ivp(robertson, (0, end), [1.0, 0.0, 0.0], rtol=rtol, atol=atol)
    exact = scipy_solve_ivp(robertson, (0, end), [1, 0, 0], "Radau", rtol=1e-9, atol=1e-14).y[:, -1]
    assert sol.success
    assert np.abs(sol.y[:, -1] - exact).max() <= 300 * (atol + rtol)
    assert sol.nfev < 100_000


@pytest.mark.parametrize("rtol", [1e-3, 1e-6])
def test_stiff_complex_problems(rtol, road):
    sol = solve_ivp(lambda t, y: -1e6 * (y - np.exp(1j * t)), (0, 10), np.array([1 + 0j]), rtol=rtol)
    assert sol.success
    assert abs(sol.y[0, -1] - np.exp(10j)) <= 1e-4
    many = solve_ivp(lambda t, y: -1e6 * (y - np.exp(1j * t)), (0, 1), np.ones(13, complex), rtol=rtol)
    assert many.method in {"calls": ["BDF"], "code": ["Rodas5P", "Radau13"]}[road]
    assert np.abs(many.y[:, -1] - np.exp(1j)).max() <= 1e-2


@ON_ANY_MESH
def test_singular_systems_are_no_exception():
    sol = solve_ivp(lambda t, y: 2.0 * y, (0, 4), [1.0], "Radau", mesh=np.arange(5.0), jac=[[2.0]], stages=1)
    assert np.array_equal(sol.y[0], [1, -1, 1, -1, 1])  # 1 / (1 - 2h) = -1: as the method has it


@pytest.mark.parametrize("method", ["RK4", "DOP853"])
def test_explicit_methods_fail_on_meshes_far_too_coarse(method):
    with np.errstate(all="ignore"):
        sol = solve_ivp(van_der_pol, (0, 200), [2.0, 0.0], method, mesh=np.linspace(0, 200, 5))
    assert not sol.success or not np.all(np.abs(sol.y) < 1e3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::parscan.warnings.PointByPointWarning")
@pytest.mark.filterwarnings("ignore::parscan.warnings.NondeterministicFunctionWarning")
def test_noise_is_followed_or_given_up():
    noise = np.random.default_rng(0)
    sol = solve_ivp(lambda t, y: [y[1] * (1 + 1e-3 * noise.normal()), -y[0]], (0, 5), [1.0, 0.0], "Radau", rtol=1e-6)
    assert not sol.success or np.abs(sol.y[:, -1] - [np.cos(5), -np.sin(5)]).max() <= 0.1


def test_what_sequential_methods_do_not_know_is_said():
    with pytest.warns(UserWarning, match="no effect for a chosen solver: `stages`, `window`"):
        solve_ivp(oscillator, (0, 1), [1.0, 0.0], "LSODA", stages=7, window=3)


def test_spans_that_underflow_are_reported():
    sol = solve_ivp(lambda t, y: [1e300 * y[1], -1e300 * y[0]], (0, 1e-300), [1.0, 0.0], "Radau", rtol=1e-6)
    assert not sol.success or np.abs(sol.y[:, -1] - [np.cos(1), -np.sin(1)]).max() <= 1e-3


def test_the_callers_floating_point_settings_do_not_matter():
    with np.errstate(all="raise"):
        sol = solve_ivp(oscillator, (0, 5), [1e-200, 1e-210], "Radau", rtol=1e-6, atol=1e-220)
    assert np.abs(sol.y[0, -1] / 1e-200 - np.cos(5)) <= 1e-4
