"""Meshes, windows, sensitivity, memory and large systems of solve_ivp."""

import sys
from itertools import pairwise

import array_api_strict
import numpy as np
import pytest
from ode_methods import COLLOCATION, ON_ANY_MESH, ON_MESH
from ode_problems import pendulum, robertson
from scipy import integrate as scipy_integrate
from scipy.integrate import solve_ivp as scipy_solve_ivp

import parscan
from parscan import solve_ivp
from parscan._ivp.core.mesh import Mesh
from parscan._ivp.core.polynomial import PiecewisePolynomial
from parscan._ivp.core.tableaux import gauss, radau
from parscan._ivp.mesh import window as _window
from parscan._ivp.mesh.refine import Assessed
from parscan._ivp.methods.collocation import Collocation


def arenstorf(t, y):
    moon = 0.012277471
    d1, d2 = ((y[0] + moon) ** 2 + y[1] ** 2) ** 1.5, ((y[0] - 1 + moon) ** 2 + y[1] ** 2) ** 1.5
    ax = y[0] + 2 * y[3] - (1 - moon) * (y[0] + moon) / d1 - moon * (y[0] - 1 + moon) / d2
    return [y[2], y[3], ax, y[1] - 2 * y[2] - (1 - moon) * y[1] / d1 - moon * y[1] / d2]


def chain(n):
    """Oscillators coupled to their neighbours, with a cubic spring."""

    def fun(t, y):
        ends = np.zeros_like(y[:1])
        stretch = np.diff(np.concatenate([ends, y[:n], ends]), axis=0)
        force = stretch + 0.25 * stretch**3
        return np.concatenate([y[n:], force[1:] - force[:-1]])

    return fun, np.concatenate([np.sin(np.pi * np.arange(1, n + 1) / (n + 1)), np.zeros(n)])


@pytest.mark.parametrize("window", [1, 7, 1000])
@pytest.mark.parametrize("method", [name for name in ("auto", *ON_MESH) if name != "DEER"])
def test_windows_bound_the_meshes_and_change_nothing_else(window, method):
    if window == 1 and method == "RK4":
        window = 3
    sol = solve_ivp(pendulum, (0, 10), [1.0, 0.0], method, window=window, rtol=1e-6, atol=1e-6)
    expected = scipy_solve_ivp(pendulum, (0, 10), [1.0, 0.0], "DOP853", rtol=1e-12, atol=1e-12).y[:, -1]
    assert sol.success
    assert max(sol.meshes) <= window
    assert np.abs(sol.y[:, -1] - expected).max() <= 2e-4


def test_windows_do_not_repeat_the_start():
    whole = solve_ivp(pendulum, (0, 50), [1.0, 0.0], "Radau", rtol=1e-6, atol=1e-6)
    cut = solve_ivp(pendulum, (0, 50), [1.0, 0.0], "Radau", window=10, rtol=1e-6, atol=1e-6)
    assert "in 1 window." in whole.message
    assert "windows." in cut.message
    assert cut.nfev < whole.nfev + 200


@pytest.mark.parametrize("compiled", [False, True])
def test_spans_of_coarse_solutions_grow_again_where_windows_are_shorter(compiled):
    """With a wrong Jacobian Newton's method converges on tiny intervals, until another one happens to be solved."""
    calls = []

    def progress(_):
        calls.append(1)
        assert len(calls) < 2000

    options = {"window": 2, "rtol": 2e-7, "atol": 1e-9, "compile": compiled, "progress": progress}
    wrong = {"jac": lambda t, y: np.zeros((3, 3))}
    sol = solve_ivp(robertson, (50, 50.2166), [1.0, 0.0, 0.0], "Radau", **options, **wrong)
    expected = scipy_solve_ivp(robertson, (50, 50.2166), [1.0, 0.0, 0.0], "Radau", rtol=1e-10, atol=1e-13).y[:, -1]
    assert sol.success
    assert np.all(np.abs(sol.y[:, -1] - expected) <= 10 * (2e-7 * np.abs(expected) + 1e-9))


@ON_ANY_MESH
def test_a_mesh_in_windows_is_kept():
    mesh = np.linspace(0, 5, 81)
    sol = solve_ivp(pendulum, (0, 5), [1.0, 0.0], "Gauss", mesh=mesh, window=11, stages=2, rtol=1e-10, atol=1e-12)
    whole = solve_ivp(pendulum, (0, 5), [1.0, 0.0], "Gauss", mesh=mesh, stages=2, rtol=1e-10, atol=1e-12)
    assert np.array_equal(sol.t, mesh)
    assert np.abs(sol.y - whole.y).max() <= 1e-9


@pytest.mark.parametrize("rtol", [1e-4, 1e-6, 1e-8])
def test_errors_that_grow_are_controlled_at_the_end(rtol, monkeypatch):
    """A periodic orbit on which errors grow by 1e5: without the look at the end they would be far too large."""
    y0, period = [0.994, 0.0, 0.0, -2.00158510637908252240537862224], 17.0652165601579625588917206249
    sol = solve_ivp(arenstorf, (0, period), y0, rtol=rtol, atol=rtol)
    error = np.abs(sol.y[:, -1] - y0) / (1 + np.abs(y0))
    assert error.max() <= 10 * rtol
    monkeypatch.setattr(_window, "LOOKS", -1)
    careless = solve_ivp(arenstorf, (0, period), y0, rtol=rtol, atol=rtol)
    assert len(careless.t) <= len(sol.t)


def trial_of(t, errors_like=None):
    y = np.sin(t)[:, None]
    times = t[:-1, None] + np.diff(t)[:, None] * radau(3).c
    return PiecewisePolynomial(radau(3), t, y, np.cos(times)[..., None])


def test_equidistribution_makes_errors_equal():
    t = np.sort(np.random.default_rng(0).uniform(0, 3, 40))
    method = Collocation(radau(3), 1)
    rate = lambda t: 1e4 * np.exp(-3 * t)  # noqa: E731 - error per h^4
    for _ in range(6):
        error = rate(t[:-1]) * np.diff(t) ** 4
        t = Assessed(Mesh(t), error, method.error_power).equidistributed().t
    error = rate(t[:-1]) * np.diff(t) ** 4
    assert error.min() >= 0.1
    assert error.max() <= 0.8


def test_few_bad_intervals_are_split_and_the_others_kept():
    t = np.linspace(0, 3, 31)
    error = np.full(30, 0.5)
    error[7], error[20] = 3.0, 1e6
    better = trial_of(t).resampled(Assessed(Mesh(t), error, Collocation(radau(3), 1).error_power).refined(2.0))
    assert set(t) <= set(better.t)
    inside = [np.sum((better.t > a) & (better.t < b)) for a, b in pairwise(t)]
    assert inside[7] >= 1
    assert inside[20] == 19
    assert sum(inside) == inside[7] + inside[20]
    assert np.abs(better.y[1:-1, 0] - np.sin(better.t[1:-1])).max() <= 1e-4


@pytest.mark.parametrize("factor", [1.5, 30.0])
def test_division_is_for_the_order_of_the_method(factor):
    better = Mesh(np.linspace(0, 1, 11)).divided(factor, gauss(2).order)
    assert better.intervals == np.ceil(10 * factor**0.25)


@pytest.mark.parametrize("n", [2, 8, 12])
def test_large_systems_share_a_jacobian(n):
    """From s n = 64 on one Jacobian serves an interval: the answer is the same, the iterations are few."""
    fun, y0 = chain(n)
    sol = solve_ivp(fun, (0, 5), y0, "Radau", rtol=1e-8, atol=1e-8)
    expected = scipy_solve_ivp(fun, (0, 5), y0, "DOP853", rtol=1e-12, atol=1e-12).y[:, -1]
    assert sol.success
    assert np.abs(sol.y[:, -1] - expected).max() <= 1e-7
    assert sol.iterations <= 25


def test_many_components_are_left_to_lsoda_and_told_of_their_zeros():
    fun, y0 = chain(30)
    auto = solve_ivp(fun, (0, 1), y0, rtol=1e-6, atol=1e-6)
    assert auto.method == "LSODA"
    assert (
        "because there are many components (pass `jac_sparsity` if most entries of the Jacobian are zero), with 0.1 of"
        in auto.message
    )
    named = solve_ivp(fun, (0, 1), y0, "Radau", rtol=1e-6, atol=1e-6)
    assert named.method == "Radau"
    assert "entries are not zero: with `jac_sparsity`" in named.message
    assert np.abs(auto.y[:, -1] - named.y[:, -1]).max() <= 1e-5


def test_memory_bounds_the_windows(limit_memory):
    fun, y0 = chain(6)
    free = solve_ivp(fun, (0, 10), y0, "Radau", rtol=1e-6, atol=1e-6)
    limit_memory(unasked=0, free=2**17)
    tight = solve_ivp(fun, (0, 10), y0, "Radau", rtol=1e-6, atol=1e-6)
    assert max(tight.meshes) < max(free.meshes)
    assert np.abs(tight.y[:, -1] - free.y[:, -1]).max() <= 1e-5


def test_options_of_scipys_solvers_reach_them():
    fun, y0 = chain(10)
    pattern = np.abs(np.subtract.outer(np.arange(20), np.arange(20))) <= 11
    for method, name in (("auto", "BDF"), ("Radau", "Radau"), ("BDF", "BDF")):
        sol = solve_ivp(fun, (0, 1), y0, method, jac_sparsity=pattern, rtol=1e-6)
        theirs = scipy_solve_ivp(fun, (0, 1), y0, name, jac_sparsity=pattern, rtol=1e-6)
        assert sol.method == name
        assert np.array_equal(sol.y, theirs.y)
    banded = solve_ivp(fun, (0, 1), y0, lband=11, uband=11, rtol=1e-6)
    assert banded.method == "LSODA"
    assert "the bandwidths of the Jacobian were given" in banded.message
    with pytest.warns(UserWarning, match="no effect for a chosen solver: `min_step`, `lband`"):
        solve_ivp(pendulum, (0, 1), [1.0, 0.0], "Radau", min_step=0.1, lband=1)


def test_what_only_meshes_know_makes_auto_use_one():
    for given in ({"mesh": np.linspace(0, 1, 5)}, {"stages": 4}, {"window": 50}):
        assert solve_ivp(pendulum, (0, 1), [1.0, 0.0], **given).method == "Radau"
    with pytest.raises(TypeError, match="`guess` was solved by LSODA, step after step"):
        solve_ivp(pendulum, (0, 1), [1.0, 0.0], guess=solve_ivp(pendulum, (0, 1), [1.0, 0.0]))


def test_import_of_the_package_does_not_load_scipy():
    assert "parscan._ivp" in sys.modules
    assert parscan.solve_ivp is solve_ivp


@pytest.mark.parametrize("method", ["LSODA", "RK45", scipy_integrate.BDF])
def test_scipys_methods_take_single_numpy_problems(method):
    with pytest.raises(ValueError, match=r"takes NumPy arrays of shape \(n,\), but `y0` has the shape \(2, 3\)"):
        solve_ivp(pendulum, (0, 1), np.ones((2, 3)), method)
    with pytest.raises(ValueError, match=f"is of array_api_strict; name one of {', '.join(ON_MESH)}"):
        solve_ivp(pendulum, (0, 1), array_api_strict.ones(2), method)


def test_meshes_are_split_on_any_array_library():
    xp = array_api_strict
    jump = lambda t, y: xp.astype(xp.asarray(t) > 1, y.dtype) - y  # noqa: E731
    sol = solve_ivp(jump, (0, 3), xp.asarray([1.0]), "Radau", rtol=1e-8, atol=1e-10)
    assert sol.success
    assert abs(float(sol.y[0, -1]) - np.exp(-3) - 1 + np.exp(-2)) <= 1e-6


@pytest.mark.parametrize("method", COLLOCATION)
@pytest.mark.parametrize("rtol", [1e-5, 1e-9])
def test_stiff_solutions_are_right_between_the_nodes_too(method, rtol):
    """A slow oscillation that a fast decay holds on to: at the nodes it is right even where the polynomial is not."""
    sol = solve_ivp(
        lambda t, y: [-1e4 * (y[0] - np.cos(t)) - np.sin(t)],
        (0, 20),
        [1.0],
        method,
        rtol=rtol,
        atol=rtol,
        dense_output=True,
    )
    times = np.linspace(0, 20, 2001)
    assert np.abs(sol.sol(times)[0] - np.cos(times)).max() <= 3 * rtol


def test_a_guess_that_failed_at_once_is_refused():
    failed = solve_ivp(lambda t, y: y * np.nan, (0, 2), [1.0], "Radau", rtol=1e-6)
    with pytest.raises(ValueError, match="`guess` has no solution to start from"):
        solve_ivp(lambda t, y: -y, (0, 2), [1.0], guess=failed)
