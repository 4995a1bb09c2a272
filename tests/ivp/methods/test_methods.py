"""What every method for ODEs does, whatever its formula: output, events, batches, dtypes, warm starts, derivatives."""

import numpy as np
import pytest
from ode_methods import ON_MESH
from ode_problems import oscillator

from parscan import solve_ivp

RTOL = 1e-5
CLOSE = 100 * RTOL
"""Errors of intervals add up."""

METHODS = pytest.mark.parametrize("method", ON_MESH)


def exact(t):
    return np.stack([np.cos(t), -np.sin(t)])


def solved(method, fun=oscillator, span=(0.0, 5.0), y0=(1.0, 0.0), **options):
    sol = solve_ivp(fun, span, y0, method, **{"rtol": RTOL, "atol": RTOL, **options})
    assert sol.success
    assert sol.method == method
    return sol


@METHODS
@pytest.mark.parametrize("span", [(0.0, 5.0), (5.0, 0.0)], ids=["forwards", "backwards"])
def test_output_at_the_nodes_at_given_times_and_between(method, span):
    begin = exact(span[0])
    times = np.linspace(*span, 30)
    nodes = solved(method, span=span, y0=begin, dense_output=True)
    given = solved(method, span=span, y0=begin, t_eval=times)
    assert np.array_equal(given.t, times)
    for t, y in ((nodes.t, nodes.y), (times, nodes.sol(times)), (times, given.y)):
        assert np.abs(y - exact(t)).max() <= CLOSE


@METHODS
def test_the_error_follows_the_tolerance(method):
    errors = []
    for rtol in (1e-3, 1e-6):
        sol = solved(method, rtol=rtol, atol=rtol, dense_output=True)
        times = np.linspace(0, 5, 200)
        errors.append(np.abs(sol.sol(times) - exact(times)).max())
    assert errors[1] <= min(1e-4, errors[0] / 10)


@METHODS
def test_events(method):
    def crossing(t, y):
        return y[0]

    def last(t, y):
        return y[1]

    last.terminal, last.direction = True, -1
    sol = solved(method, span=(0.0, 9.0), y0=exact(0.5), events=[crossing, last], dense_output=True)
    assert sol.status == 1
    assert np.allclose(sol.t_events[0], np.pi / 2 + np.pi * np.arange(2) - 0.5, atol=CLOSE)
    assert np.allclose(sol.t[-1], 2 * np.pi - 0.5, atol=CLOSE)


@pytest.mark.slow
@METHODS
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_batches_of_any_dtype(method, dtype):
    y0 = np.array([[1.0, 2.0, 0.5], [0.0, 0.0, 0.0]], dtype)
    sol = solved(method, y0=y0, rtol=1e-4, atol=1e-4, t_eval=[1.0, 5.0])
    assert sol.y.dtype == dtype
    assert np.abs(sol.y - exact(np.array([1.0, 5.0]))[:, :, None] * y0[0]).max() <= 1e-2


@METHODS
@pytest.mark.parametrize("earlier", ON_MESH)
def test_warm_starts(method, earlier):
    """From a solution of a problem nearby, whatever its method."""

    def faster(t, y):  # the farther out
        square = y[0] ** 2 + y[1] ** 2
        return [square * y[1], -square * y[0]]

    first = solved(earlier, faster, y0=[1.01, 0.0])
    sol = solved(method, faster, guess=first)
    assert np.abs(sol.y - exact(sol.t)).max() <= 10 * CLOSE  # the phase drifts
    assert sol.meshes[0] == len(first.mesh) - 1
    if earlier == method:  # on another's mesh the iteration may not converge, and the start is made from scratch
        assert sol.nfev < solved(method, faster).nfev


@METHODS
def test_a_mesh_is_kept_and_windows_change_nothing(method):
    mesh = np.linspace(0, 5, 301)
    whole, cut = (solved(method, mesh=mesh, window=window, rtol=1e-8, atol=1e-8) for window in (None, 40))
    assert np.array_equal(whole.t, mesh)
    assert np.array_equal(cut.t, mesh)
    assert np.abs(whole.y - cut.y).max() <= 1e-6
    assert np.abs(whole.y - exact(mesh)).max() <= CLOSE


@METHODS
def test_derivatives(method):
    times = np.linspace(0.1, 5, 12)
    sol = solved(method, lambda t, y, rate: [rate * y[1], -rate * y[0]], args=(1.0,), t_eval=times, rtol=1e-6)
    by_start = sol.tangent(y0=[1.0, 0.0])
    by_rate = times * np.stack([-np.sin(times), -np.cos(times)])
    assert np.abs(by_start - exact(times)).max() <= CLOSE
    assert np.abs(sol.gradient(by_rate, 0) / np.sum(by_rate**2) - 1) <= CLOSE
    assert np.abs(sol.adjoint(exact(times)).y0[0] / len(times) - 1) <= CLOSE
    assert abs(sol.lyapunov) <= 0.1


@METHODS
def test_what_tells_how_it_went(method):
    sol = solved(method)
    assert method in sol.message
    assert len(sol.history) == sol.iterations > 0
    assert sol.residual <= CLOSE
    pytest.importorskip("matplotlib")
    assert sol.plot_convergence().axes[0].lines
