"""What derivatives of solutions are asked for: forms that are taken, and what is said of those that are not."""

import copy
import math
import pickle
import re

import array_api_strict
import numpy as np
import pytest
from ode_methods import ON_MESH
from ode_problems import oscillator

from parscan import solve_ivp

pytestmark = pytest.mark.roads


def decay(t, y, k):
    return -k * y


SOL = solve_ivp(decay, (0, 1), [1.0], "Radau", args=(2.0,), rtol=1e-8)
PAIR = solve_ivp(oscillator, (0, 1), [1.0, 0.0], "Radau", rtol=1e-8)


@pytest.mark.parametrize(
    "forcing",
    [
        lambda t, y: [y[0], 1.0],
        lambda t, y: (y[0], 1),
        lambda t, y: [y[0], np.ones_like(t)],
        lambda t, y: np.stack([y[0], np.ones_like(y[0])]),
        lambda t, y: [[y[0]], [1]],
        lambda t, y: np.stack([y[0], np.ones_like(y[0])])[..., None],
        lambda t, y: [y[0][..., None], 1],
        lambda t, y: np.array([float(y[0]), 1.0]),  # not for many times
        lambda t, y: np.array([y[0], math.cos(0 * t)]),
        lambda t, y: [y[0] * (2 if np.max(t) > 0.99 and np.size(t) > 1 else 1), 1.0],  # something else for many
    ],
)
def test_forms_of_a_forcing(forcing):
    expected = PAIR.tangent(lambda t, y: [y[0], 1.0])
    found = PAIR.tangent(forcing)
    assert found.shape[:2] == expected.shape
    assert np.allclose(found.reshape(expected.shape), expected, rtol=1e-14, atol=0)  # sums in another order


def test_a_constant_matrix_is_not_for_many_times_but_works():
    matrix = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    found = PAIR.tangent(lambda t, y: matrix)
    assert np.allclose(found, PAIR.tangent(lambda t, y: matrix.tolist()), rtol=1e-14, atol=1e-15)


def test_starts_of_one_forcing_or_many():
    one, other = PAIR.tangent(lambda t, y: [y[0], 0]), PAIR.tangent(lambda t, y: [0, y[1]])
    starts = [PAIR.tangent(y0=start) for start in ([1.0, 0.0], [0.0, 1.0])]

    def both(t, y):
        return [[y[0], 0], [0, y[1]]]

    assert np.allclose(PAIR.tangent(both, [1.0, 0.0]), np.stack([one + starts[0], other + starts[0]], -1), atol=1e-14)
    assert np.allclose(PAIR.tangent(both, np.eye(2)), np.stack([one + starts[0], other + starts[1]], -1), atol=1e-14)
    assert PAIR.tangent(y0=np.ones((2, 0))).shape == (2, len(PAIR.t), 0)


def test_functions_for_one_time_only():
    def scalar(t, y, k):
        return [-k * math.sin(y[0])]

    for method, solver in (("auto", "DOP853"), ("LSODA", "LSODA")):
        sol = solve_ivp(scalar, (0, 2), [1.0], method, args=(1.0,), rtol=1e-8, atol=1e-10)
        assert sol.method == solver
        found = sol.tangent(lambda t, y, k: [-math.sin(y[0])])
        exact = -sol.t * np.sin(sol.y[0])  # y = g(k t), so dy/dk = t/k f
        assert np.allclose(found[0], exact, rtol=0, atol=1e-7)
        assert np.isclose(sol.gradient(np.ones_like(sol.y), "k"), found.sum(), rtol=1e-7)


def test_a_function_that_seems_to_be_for_many_times_at_the_start():
    """SciPy's solvers call it for one time only; a solution on a mesh must notice."""

    def hidden(t, y):
        return [-(3.0 if np.max(t) > 1 else 1.0) * y[0]]

    for method in ("LSODA", "RK45"):
        sol = solve_ivp(hidden, (0, 2), [1.0], method, rtol=1e-8, atol=1e-10)
        assert abs(sol.tangent(y0=[1.0], t=2.0)[0] - np.exp(-4.0)) <= 1e-6


def test_a_jacobian_that_is_not_exact_is_for_newton_only():
    def frozen(t, y):
        return [[0, 1.02], [-0.98, 0]]

    calls = []

    def exact(t, y):
        calls.append(np.size(t))
        return [[0, 1], [-1, 0]]

    expected = PAIR.tangent(y0=np.eye(2))
    sol = solve_ivp(oscillator, (0, 1), [1.0, 0.0], "Radau", mesh=PAIR.mesh, jac=frozen, rtol=1e-8)
    assert np.allclose(sol.tangent(y0=np.eye(2)), expected, rtol=0, atol=1e-9)
    sol = solve_ivp(oscillator, (0, 1), [1.0, 0.0], "Radau", mesh=PAIR.mesh, jac=exact, rtol=1e-8)
    before = len(calls)
    assert np.allclose(sol.tangent(y0=np.eye(2)), expected, rtol=0, atol=1e-9)
    assert max(calls[before:]) == 7 * (len(sol.mesh) - 1)


def test_nothing_to_integrate():
    for span, shape in (((1, 1), (2,)), ((0, 1), (0,)), ((0, 1), (2, 0))):
        sol = solve_ivp(lambda t, y, k: k * y, span, np.ones(shape), args=(2.0,))
        assert sol.tangent(y0=np.ones(shape)).shape == sol.y.shape
        assert np.array_equal(sol.tangent(y0=np.ones(shape)), np.ones_like(sol.y))
        assert not sol.tangent(lambda t, y, k: y).any()
        adjoint = sol.adjoint(np.ones_like(sol.y))
        assert np.array_equal(adjoint.y0, 2 * np.ones(shape))
        assert adjoint.states.shape == (shape[0], 2, *shape[1:])
        assert sol.gradient(np.ones_like(sol.y)) == (0.0,)
        assert math.isnan(sol.lyapunov)


@pytest.mark.parametrize("method", [*ON_MESH, "LSODA"])
def test_little_output(method):
    mesh = None if method == "LSODA" else np.linspace(0, 1, 200)
    for times in ([], [0.0], [1.0], [0.5]):
        sol = solve_ivp(decay, (0, 1), [1.0], method, times, args=(2.0,), mesh=mesh, rtol=1e-8, atol=1e-9)
        ones = np.ones_like(sol.y)
        assert np.allclose(sol.tangent(lambda t, y, k: -y)[0], -sol.t * np.exp(-2 * sol.t), rtol=0, atol=1e-4)
        assert np.allclose(sol.adjoint(ones).y0, np.sum(np.exp(-2 * sol.t)), rtol=0, atol=1e-4)
        assert np.isclose(sol.gradient(ones, 0), -np.sum(sol.t * np.exp(-2 * sol.t)), rtol=0, atol=1e-4)


def test_one_interval():
    sol = solve_ivp(decay, (0, 1), [1.0], "Gauss", mesh=[0, 1], stages=9, args=(2.0,), rtol=1e-10)
    assert np.allclose(sol.tangent(lambda t, y, k: -y), [[0, -np.exp(-2)]], rtol=0, atol=1e-12)
    assert np.allclose(sol.adjoint([[0.0, 1.0]]).states, [[np.exp(-2), 1]], rtol=0, atol=1e-12)


def test_jumps_of_the_time_are_stepped_over():
    """A jump in `fun` at a fixed time leaves the solution differentiable; Newton's windows cannot follow it."""

    def jump(t, y, k):
        return [np.where(t < 1, -k, -3 * k) * y[0] + np.where(t < 1.5, 0, 50 * k * np.sign(y[0]))]

    for method in ("Radau", "LSODA"):
        sol = solve_ivp(jump, (0, 2), [1.0], method, args=(1.0,), rtol=1e-8, atol=1e-10)
        assert abs(sol.tangent(y0=[1.0], t=2.0)[0] - np.exp(-4.0)) <= 1e-6


def test_nan_stays_nan():
    assert np.isnan(SOL.adjoint(np.full_like(SOL.y, np.nan)).y0).all()
    assert np.isnan(SOL.tangent(lambda t, y, k: y * np.nan)[0, 1:]).all()


CALLS = {
    "tangent": lambda sol: sol.tangent(y0=[1.0]),
    "adjoint": lambda sol: sol.adjoint(sol.y),
    "gradient": lambda sol: sol.gradient(sol.y),
    "jacobian": lambda sol: sol.jacobian("y0"),
    "lyapunov": lambda sol: sol.lyapunov,
    "derivatives": lambda sol: sol.derivatives,
}
FAILING = {
    "a pole": (lambda t, y, k: k * y**2, (0, 2)),
    "not finite": (lambda t, y, k: np.where(t < 1, -k * y, np.nan), (0, 3)),
}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto", "Radau", "RK45", "LSODA"])
@pytest.mark.parametrize("case", FAILING)
def test_solutions_that_failed_have_no_derivatives(case, method):
    fun, span = FAILING[case]
    failed = solve_ivp(fun, span, [1.0], method, args=(1.0,), rtol=1e-6)
    assert not failed.success
    for name, call in CALLS.items():
        says = f"`{name}` needs the whole solution, and this solve did not succeed: {failed.message}"
        with pytest.raises(RuntimeError, match=re.escape(says)):
            call(failed)


@pytest.mark.parametrize("name", CALLS)
def test_solutions_that_were_copied_have_no_derivatives(name):
    for other in (copy.copy(SOL), pickle.loads(pickle.dumps(SOL))):
        with pytest.raises(RuntimeError, match=f"`{name}` needs the functions that were solved.*copied or pickled"):
            CALLS[name](other)


@pytest.mark.parametrize("method", [*ON_MESH, "LSODA", "RK45"])
def test_what_was_changed_since_is_noticed(method):
    rate = [2.0]
    sol = solve_ivp(lambda t, y: -rate[0] * y, (0, 2), [1.0], method, rtol=1e-6, atol=1e-8)
    again = solve_ivp(lambda t, y: -rate[0] * y, (0, 2), [1.0], method, rtol=1e-6, atol=1e-8)
    assert abs(sol.tangent(y0=[1.0])[0, -1] - np.exp(-4)) <= 1e-4
    rate[0] = 2.1
    for each in (sol, again):
        with pytest.raises(RuntimeError, match="`fun` no longer gives this solution"):
            each.tangent(y0=[1.0])
    rate[0] = 2.0
    assert abs(sol.tangent(y0=[1.0])[0, -1] - np.exp(-4)) <= 1e-4


strict = array_api_strict.asarray
BAD = [
    (SOL.tangent, ValueError, "neither `forcing` nor `y0` is given"),
    (lambda: SOL.tangent(np.ones((1, 5))), TypeError, "`forcing` must be callable.*got ndarray"),
    (lambda: SOL.tangent(lambda t, y: -y), TypeError, "takes 2 positional arguments but 3 were given"),
    (lambda: SOL.tangent(lambda t, y, k: np.ones((3, 4))), ValueError, r"`forcing` returned shape \(3, 4\)"),
    (lambda: SOL.tangent(lambda t, y, k: [1, 2]), ValueError, "`forcing` returned a list of 2 components"),
    (lambda: SOL.tangent(lambda t, y, k: 1j * y), TypeError, "`forcing` returned complex values"),
    (lambda: SOL.tangent(lambda t, y, k: "no"), TypeError, "`forcing` has dtype"),
    (lambda: SOL.tangent(lambda t, y, k: strict(y)), TypeError, "different libraries: `forcing` is array_api_strict"),
    (lambda: SOL.tangent(lambda t, y, k: -y, np.ones((1, 3))), ValueError, "1 forcings, but `y0` has 3"),
    (lambda: SOL.tangent(y0=[1.0, 2.0]), ValueError, r"`y0` has shape \(2,\)"),
    (lambda: SOL.tangent(y0=1.0), ValueError, r"`y0` has shape \(\)"),
    (lambda: SOL.tangent(y0=[1j]), TypeError, "`y0` is complex128 but `y` is float64"),
    (lambda: SOL.tangent(y0=strict([1.0])), TypeError, "different libraries: `y0` is array_api_strict"),
    (lambda: SOL.tangent(y0=[1.0], t=3.0), ValueError, "`t` has times outside of the solution.*from 0.0 to 1.0"),
    (lambda: SOL.tangent(y0=[1.0], t=np.nan), ValueError, "`t` has times outside"),
    (lambda: SOL.tangent(y0=[1.0], t=[[0.5]]), ValueError, r"`t` has shape \(1, 1\)"),
    (lambda: SOL.tangent(y0=[1.0], t=strict([0.5])), TypeError, "different libraries: `t` is array_api_strict"),
    (lambda: SOL.adjoint([1.0]), ValueError, r"`grad_y` has shape \(1,\)"),
    (lambda: SOL.adjoint(1j * SOL.y), TypeError, "`grad_y` is complex128 but `y` is float64"),
    (lambda: SOL.adjoint(strict(SOL.y)), TypeError, "different libraries: `grad_y` is array_api_strict"),
    (lambda: SOL.gradient(SOL.y[:, 1:]), ValueError, "`grad_y` has shape"),
    (lambda: SOL.gradient(SOL.adjoint(SOL.y)), TypeError, "`grad_y` is an Adjoint"),
    (lambda: SOL.adjoint(SOL.adjoint(SOL.y)), TypeError, "`grad_y` is an Adjoint"),
    (lambda: SOL.gradient(SOL.y, "z"), ValueError, "`params` is 'z'; .* 0, 'k'"),
    (lambda: SOL.gradient(SOL.y, 1), ValueError, "`params` is 1;"),
    (lambda: SOL.gradient(SOL.y, vjp=3), TypeError, r"`vjp` must be callable as vjp\(adjoint, t, y\), got int"),
    (lambda: SOL.gradient(SOL.y, forcing=3), TypeError, r"`forcing` must be callable as forcing\(t, y\), got int"),
    (lambda: SOL.gradient(SOL.y, "k", forcing=lambda t, y, k: -y), ValueError, "without `params` and `vjp`"),
    (lambda: SOL.gradient(SOL.y, vjp=lambda adjoint, t, y, k: [1, 2]), ValueError, "`vjp` returned a tuple of 2"),
    (lambda: SOL.gradient(SOL.y, "k", lambda adjoint, t, y, k: [1.0]), ValueError, "`vjp` returned a tuple of 1"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("method", [*ON_MESH, "LSODA"])
def test_no_parameters_at_all(method):
    options = {"rtol": 1e-4} | ({"t_eval": np.linspace(0, 2, 9)} if method == "DEER" else {})
    sol = solve_ivp(lambda t, y: -y, (0.0, 2.0), [1.0, 2.0], method=method, **options)

    def nothing(t, y):
        return np.ones((*y.shape, 0))

    assert sol.tangent(nothing).shape == (*sol.y.shape, 0)
    assert sol.tangent(nothing, t=1.0).shape == (2, 0)
    assert sol.gradient(np.ones_like(sol.y), forcing=nothing).shape == (0,)


@pytest.mark.parametrize("method", ["auto", "Radau"])
def test_complex_functions_without_a_complex_derivative(method):
    """A Jacobian of one number for each component would be wrong, and nothing would tell."""

    def rotating(t, y, k):
        return 1j * k * y * np.abs(y)

    sol = solve_ivp(rotating, (0, 1), [1.0 + 0.5j], method, args=(2.0,), rtol=1e-8, compile=True)
    for derivative in (lambda: sol.gradient(np.ones_like(sol.y)), sol.jacobian, lambda: sol.adjoint(sol.y)):
        with pytest.raises(RuntimeError, match="not complex differentiable"):
            derivative()
    smooth = solve_ivp(lambda t, y, k: 1j * k * y * y, (0, 1), [0.5j], method, args=(0.2,), rtol=1e-9, atol=1e-11)
    assert smooth.jacobian()[0][0, -1] == pytest.approx(1j * smooth.y[0, -1] ** 2, rel=1e-6)
