"""Explicit Runge-Kutta methods and DEER on a mesh: order, the sequential loop, the exponential, stiffness."""

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
from ode_methods import COLLOCATION, ON_ANY_MESH, STEP_MAPS
from ode_problems import lotka_volterra, pendulum

from parscan import solve_ivp
from parscan._ivp.methods.explicit import dop853, rk4
from parscan._linalg.exponential import exponential


def riccati(t, y):
    """y = 1 / (1 + sin t) from 1."""
    return [-(y[0] ** 2) * np.cos(t)]


def riccati_jac(t, y):
    return [[-2 * y[0] * np.cos(t)]]


def loop(scheme, fun, mesh, y0):
    """The method step after step."""
    y = np.array(y0, dtype=float)
    states = [y]
    for t, h in zip(mesh, np.diff(mesh), strict=False):
        K = []
        for a, c in zip(scheme.A, scheme.c, strict=True):
            K.append(
                np.array(fun(t + c * h, y + h * sum((w * k for w, k in zip(a, K, strict=False)), np.zeros_like(y))))
            )
        y = y + h * np.tensordot(scheme.b, K, 1)
        states.append(y)
    return np.stack(states, axis=1)


@ON_ANY_MESH
@pytest.mark.parametrize(("name", "scheme"), [("RK4", rk4), ("DOP853", dop853)])
@pytest.mark.parametrize("jac", [None, lambda t, y: [[1.5 - y[1], -y[0]], [y[1], -3 + y[0]]]])
def test_a_mesh_gives_what_the_loop_gives(name, scheme, jac):
    mesh = np.sort(np.random.default_rng(1).uniform(0, 4, 120))
    mesh = np.concatenate([[0.0], mesh, [4.0]])
    sol = solve_ivp(lotka_volterra, (0, 4), [10.0, 5.0], name, mesh=mesh, jac=jac, rtol=1e-11, atol=1e-13)
    assert sol.success
    assert sol.method == name
    assert np.array_equal(sol.t, mesh)
    expected = loop(scheme(), lotka_volterra, mesh, [10.0, 5.0])
    assert np.abs(sol.y - expected).max() <= 1e-9 * np.abs(expected).max()


ORDERS = {"RK4": (4, 64), "DOP853": (8, 4), "DEER": (2, 64)}
"""Orders, and numbers of intervals at which they are seen."""


@ON_ANY_MESH
@pytest.mark.parametrize("name", STEP_MAPS)
@pytest.mark.parametrize("span", [(0.0, 2.0), (2.0, 0.0)])
def test_the_order_is_that_of_the_method(name, span):
    """Halving the step divides the error by two to the order, or somewhat more before errors are small."""
    order, intervals = ORDERS[name]
    begin, end = (1 / (1 + np.sin(t)) for t in span)
    errors = []
    for count in (intervals, 2 * intervals):
        mesh = np.linspace(*span, count + 1)
        sol = solve_ivp(riccati, span, [begin], name, mesh=mesh, jac=riccati_jac, rtol=1e-12, atol=1e-12)
        assert sol.success
        errors.append(abs(sol.y[0, -1] - end))
    assert order - 0.3 <= np.log2(errors[0] / errors[1]) <= order + 1.2


@pytest.mark.parametrize("name", STEP_MAPS)
@pytest.mark.parametrize("rtol", [1e-4, 1e-6])
def test_meshes_adapt_to_the_tolerance(name, rtol):
    times = np.linspace(0, 10, 101)
    sol = solve_ivp(pendulum, (0, 10), [1.0, 0.0], name, rtol=rtol, atol=rtol, t_eval=None if name == "DEER" else times)
    exact = scipy.integrate.solve_ivp(pendulum, (0, 10), [1.0, 0.0], "DOP853", rtol=1e-12, atol=1e-12, t_eval=sol.t).y
    assert sol.success
    assert np.abs(sol.y - exact).max() <= 2 * rtol * (len(sol.mesh) - 1)  # local errors add up
    assert np.abs(sol.y - exact).max() >= 1e-4 * rtol  # not by a mesh that is far too fine


@ON_ANY_MESH
@pytest.mark.parametrize("name", STEP_MAPS)
def test_dense_output_is_as_good_as_the_nodes(name):
    mesh = np.linspace(0, 2, 41)
    sol = solve_ivp(riccati, (0, 2), [1.0], name, mesh=mesh, dense_output=True, rtol=1e-10, atol=1e-12)
    times = np.linspace(0, 2, 333)
    at_nodes = np.abs(sol.y[0] - 1 / (1 + np.sin(mesh))).max()
    between = np.abs(sol.sol(times)[0] - 1 / (1 + np.sin(times))).max()
    assert between <= 20 * at_nodes + 1e-9
    assert np.abs(sol.sol(mesh) - sol.y).max() <= 1e-12


@ON_ANY_MESH
def test_dop853_interpolates_as_scipys():
    """On SciPy's own mesh the nodes and the polynomials are SciPy's."""
    theirs = scipy.integrate.solve_ivp(lotka_volterra, (0, 5), [10.0, 5.0], "DOP853", rtol=1e-8, dense_output=True)
    mine = solve_ivp(
        lotka_volterra, (0, 5), [10.0, 5.0], "DOP853", mesh=theirs.t, dense_output=True, rtol=1e-12, atol=1e-12
    )
    times = np.linspace(0, 5, 400)
    assert np.abs(mine.y - theirs.y).max() <= 1e-10
    assert np.abs(mine.sol(times) - theirs.sol(times)).max() <= 1e-10


@ON_ANY_MESH
def test_deer_takes_t_eval_as_its_mesh():
    times = np.linspace(0.5, 3, 26)
    sol = solve_ivp(lotka_volterra, (0, 4), [3.0, 2.0], "DEER", times)
    assert np.array_equal(sol.t, times)
    assert np.array_equal(sol.mesh, np.concatenate([[0], times, [4]]))


def test_deer_is_exact_for_linear_problems_and_stable_for_stiff_ones():
    """The published series of four terms has no chance at h λ = 1e5."""
    A = np.array([[-1e6, 1e6, 0], [0, -1.0, 2.0], [0, -2.0, -1.0]])
    mesh = np.linspace(0, 3, 31)
    sol = solve_ivp(lambda t, y: np.tensordot(A, y, 1), (0, 3), [1.0, 1, 0], "DEER", mesh=mesh, jac=A, rtol=1e-8)
    exact = np.stack([scipy.linalg.expm(A * t) @ [1, 1, 0] for t in mesh], axis=1)
    assert sol.success
    assert np.abs(sol.y - exact).max() <= 1e-8


@pytest.mark.slow
@pytest.mark.parametrize("size", [1e-12, 1e-3, 0.5, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_exponential(size, dtype, rng):
    """Against SciPy's, with eigenvalues in the left half plane; φ₁ by the exponential of a larger matrix."""
    n = 3
    M = rng.normal(size=(20, n, n)) + (1j * rng.normal(size=(20, n, n)) if dtype == "complex128" else 0)
    M = size * (M - 2 * np.abs(np.linalg.eigvals(M)).max(axis=-1)[:, None, None] * np.eye(n)) / 5
    found, phi = exponential(M.astype(dtype))
    block = np.zeros((20, 2 * n, 2 * n), M.dtype)
    block[:, :n, :n], block[:, :n, n:] = M, np.eye(n)
    exact = scipy.linalg.expm(block)
    precision = 200 * np.finfo(dtype).eps * max(1, size) ** 0.5
    assert found.dtype == phi.dtype == dtype
    assert np.abs(found - exact[:, :n, :n]).max() <= precision
    assert np.abs(phi - exact[:, :n, n:]).max() <= precision


def test_exponential_of_zero_of_mixed_sizes_and_of_what_is_not_finite():
    M = np.stack([np.zeros((2, 2)), -1e6 * np.eye(2), np.full((2, 2), np.nan), np.diag([1e-14, 1.0])])
    found, phi = exponential(M)
    assert np.array_equal(found[0], np.eye(2))
    assert np.array_equal(phi[0], np.eye(2))
    assert np.abs(found[1]).max() == 0
    assert np.abs(phi[1] - 1e-6 * np.eye(2)).max() <= 1e-18
    assert np.isnan(found[2]).all()
    assert np.allclose(np.diag(phi[3]), [1, np.e - 1], rtol=1e-14)


def test_stages_belong_to_collocation():
    with pytest.raises(ValueError, match=f"`stages` is for {', '.join(COLLOCATION)}; RK4 has its own"):
        solve_ivp(riccati, (0, 1), [1.0], "RK4", stages=3)
