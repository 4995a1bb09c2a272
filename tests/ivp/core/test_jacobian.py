"""A Jacobian that is far too large is not used; one that is right, or an approximation, is."""

import warnings

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st
from ode_problems import ODES

from parscan import solve_ivp
from parscan.warnings import JacobianWarning

METHODS = ("auto", "Radau", "Gauss", "DOP853", "RK4")


def solved(*arguments, **options):
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        sol = solve_ivp(*arguments, **options)
    return sol, any(word.category is JacobianWarning for word in heard)


@pytest.mark.slow
@pytest.mark.pairs(method=METHODS, value=[-1e4, 1e4, -1e6, 1e6, -1e9, 1e12], vectorized=[None, False])
def test_decay_with_a_jacobian_far_too_large(method, value, vectorized):
    options = {"mesh": np.linspace(0, 5, 201)} if method == "RK4" else {}
    for jac in ([[value]], lambda t, y: [[value + 0 * y[0]]]):
        sol, told = solved(
            lambda t, y: -y, (0, 5), [1.0], method, jac=jac, rtol=1e-8, atol=1e-10, vectorized=vectorized, **options
        )
        assert sol.success
        assert np.all(np.abs(sol.y[0] - np.exp(-sol.t)) < 3e-8)
        assert told or sol.method not in METHODS


@pytest.mark.slow
@given(
    st.integers(0, 10**6),
    st.integers(1, 4),
    st.floats(4, 10),
    st.lists(st.floats(-14, 14), min_size=4, max_size=4),
    st.sampled_from(["auto", "Radau", "Gauss"]),
)
def test_one_row_too_large_beside_others_of_any_size(seed, n, power, sizes, method):
    rng = np.random.default_rng(seed)
    scale = 10.0 ** np.array(sizes[:n])
    matrix = rng.uniform(-1, 1, (n, n))
    matrix = scale[:, None] * matrix / scale
    y0 = scale * rng.choice([-1, 1], n) * rng.uniform(0.5, 1, n)
    row, wrong = rng.integers(n), matrix.copy()
    wrong[row] += 10**power * scale[row] * rng.choice([-1, 1], n) / scale
    sol, told = solved(
        lambda t, y: np.tensordot(matrix, y, 1), (0, 2), y0, method, jac=wrong, rtol=1e-7, atol=1e-9 * scale
    )
    assert told
    assert sol.success
    assert np.all(np.abs(sol.y[:, -1] - scipy.linalg.expm(2 * matrix) @ y0) < 1e-5 * scale)


def test_a_jacobian_that_is_too_large_only_later():
    def jac(t, y):
        return [[-np.where(t > 3, 1e8, 1.0) + 0 * y[0]]]

    for method in ("auto", "Radau"):
        sol, told = solved(lambda t, y: -y, (0, 5), [1.0], method, jac=jac, rtol=1e-8, atol=1e-10)
        assert told
        assert sol.success
        assert np.all(np.abs(sol.y[0] - np.exp(-sol.t)) < 3e-8)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto", "Radau"])
@pytest.mark.parametrize("problem", ODES, ids=lambda problem: problem.name)
def test_right_jacobians_are_used(problem, method):
    def jac(t, y):
        steps = y[:, None] + 1e-30j * np.eye(len(y))
        return np.stack([np.imag(problem.fun(t, column)) for column in steps.T], axis=1) / 1e-30

    rtol = 1e-6
    _, told = solved(problem.fun, (0, problem.end), problem.y0, method, jac=jac, rtol=rtol, atol=problem.scale * rtol)
    assert not told


@pytest.mark.parametrize("rate", [1e2, 1e4, 1e7])
def test_approximations_that_leave_something_out_are_used(rate):
    """The stiff part alone, and nothing at all."""

    def fun(t, y):
        return [-rate * (y[0] - np.cos(t)) + y[1], y[0] - 0.1 * y[1]]

    for jac in ([[-rate, 0.0], [0.0, 0.0]], [[-2 * rate, 0.0], [0.0, 0.0]]):
        sol, told = solved(fun, (0, 3), [1.0, 0.0], "auto", jac=jac, rtol=1e-6, atol=1e-8)
        exact = solve_ivp(fun, (0, 3), [1.0, 0.0], "auto", rtol=1e-10, atol=1e-12)
        assert not told
        assert sol.success
        assert np.allclose(sol.y[:, -1], exact.y[:, -1], rtol=1e-5, atol=1e-7)
    _, told = solved(lambda t, y: [y[1], -y[0]], (0, 3), [1.0, 0.0], "Radau", jac=np.zeros((2, 2)), rtol=1e-6)
    assert not told


@pytest.mark.parametrize(("width", "v0"), [(1e-3, 0.0), (1e-6, 0.0), (1e-9, 0.0), (1e-3, 1.0), (1e-6, 1.0)])
def test_steep_functions_are_believed(width, v0):
    """Dry friction, smoothed: the Jacobian is large within less than the step of a difference."""

    def fun(t, y):
        return [0.5 * np.sin(t) - np.tanh(y[0] / width)]

    def jac(t, y):
        with np.errstate(over="ignore"):
            return [[-1 / (width * np.cosh(y[0] / width) ** 2)]]

    _, told = solved(fun, (0, 1.5), [v0], "auto", jac=jac, rtol=1e-6, atol=1e-9)
    assert not told


@pytest.mark.parametrize("method", ["auto", "Radau"])
def test_one_sided_and_rounded_functions_keep_their_jacobians(method):
    """At rest on a kink, and where float32 numbers within are flat for the step of a difference."""

    def valve(t, y):
        return np.stack([-1000.0 * np.maximum(y[0] - 1, 0), -y[1] + y[0]])

    def of_valve(t, y):
        return np.array([[-1000.0 * (y[0] >= 1), 0 * y[0]], [1 + 0 * y[0], -1 + 0 * y[0]]])

    _, told = solved(valve, (0, 5), [1.0, 0.0], method, jac=of_valve, rtol=1e-6, atol=1e-9)
    assert not told

    def coarse(t, y):
        return (-1000 * (np.float32(y) - np.cos(t))).astype(float)

    _, told = solved(coarse, (0, 1), [1.0], method, jac=[[-1000.0]], rtol=1e-4, atol=1e-5)
    assert not told


def test_large_states_and_warnings_of_states_outside_are_no_matter():
    def fun(t, y):
        if np.any(np.abs(y) > 2e200):
            warnings.warn("outside", stacklevel=1)
        return -y

    for method in ("RK45", "LSODA", "BDF"):
        with warnings.catch_warnings(), np.errstate(over="raise"):
            warnings.simplefilter("error")
            assert solve_ivp(fun, (0, 1), [1e200, 1.0], method).success
