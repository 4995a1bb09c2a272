"""Solves on meshes by machine code: the values and Jacobians are those of the function, and so are the solutions."""

import pickle

import numpy as np
import pytest
from ode_methods import ON_ANY_MESH, ON_MESH

from parscan import solve_ivp
from parscan._ivp.compiled import account, on_mesh
from parscan._ivp.compiled.accuracy import LeftError
from parscan._ivp.compiled.on_mesh import code_on_mesh
from parscan._ivp.core.evaluation import Evaluation
from parscan._ivp.core.problem import Problem
from parscan._recorded.budget import paid_by
from parscan.warnings import JacobianWarning, PointByPointWarning

pytestmark = ON_ANY_MESH


def ring(t, y):
    """Any number of components, each of which depends on two others."""
    return -y + np.roll(y, 1, axis=0) * np.cos(t) - 0.1 * np.roll(y, -1, axis=0) * y


def jacobian_of_ring(t, y):
    n, ones = len(y), np.ones_like(y[0])
    rows = [[0.0 * ones for _ in range(n)] for _ in range(n)]
    for i in range(n):
        rows[i][i] = rows[i][i] - ones - 0.1 * y[(i + 1) % n]
        rows[i][i - 1] = rows[i][i - 1] + np.cos(t) * ones
        rows[i][(i + 1) % n] = rows[i][(i + 1) % n] - 0.1 * y[i]
    return rows


def start(n, dtype, batch=()):
    y = 0.5 + np.arange(n * np.prod(batch, dtype=int)).reshape(n, *batch) % 7 / 7
    return (y * (1 + 0.5j) if np.dtype(dtype).kind == "c" else y).astype(dtype)


MESH = np.linspace(0, 2, 9) ** 1.1


def both(method, y0, mesh=MESH, fun=ring, jac=jacobian_of_ring, **options):
    given = {"rtol": 1e-9, "atol": 1e-11, "mesh": mesh, **options}
    span = mesh[0], mesh[-1]
    by_calls = solve_ivp(fun, span, y0, method, jac=jac, compile=False, **given)
    by_code = solve_ivp(fun, span, y0, method, compile=True, **given)
    assert by_code.compiled
    assert not by_calls.compiled
    assert "machine code" in by_code.message
    assert "machine code" not in by_calls.message
    return by_calls, by_code


@pytest.mark.pairs(
    method=ON_MESH, n=(1, 2, 3, 5, 8, 20), dtype=(float, complex), batch=((), (3,), (2, 2)), way=("forward", "backward")
)
def test_solutions_are_those_of_calls(method, n, dtype, batch, way):
    mesh = MESH if way == "forward" else -MESH
    one, other = both(method, start(n, dtype, batch), mesh)
    np.testing.assert_allclose(one.y, other.y, rtol=2e-10, atol=1e-11)
    assert other.iterations <= one.iterations + 1
    assert other.success == one.success


@pytest.mark.parametrize("dtype", [float, complex, "float32"])
@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize("count", [1, 3, 500])
def test_values_and_jacobians(n, dtype, batch, count):
    rng = np.random.default_rng(n + count)
    y0 = np.moveaxis(start(n, dtype, batch), 0, -1)
    problem = Problem(ring, None, (), (0.0, 1.0), y0, 1e-3, 1e-3, np.asarray(1e-6), np.inf)
    rhs = code_on_mesh(problem, Evaluation(problem, None), None).right_hand_side()
    t = rng.uniform(0, 1, count)
    states = (rng.standard_normal((count, *y0.shape)) * (1 + 1j if y0.dtype.kind == "c" else 1)).astype(y0.dtype)
    values, matrices = rhs.linearise(t, states)
    times, y = t.reshape(-1, *[1] * len(batch)), np.moveaxis(states, -1, 0)
    rows = jacobian_of_ring(times, y)
    expected = np.moveaxis(
        np.array([[np.broadcast_to(entry, y.shape[1:]) for entry in row] for row in rows]), (0, 1), (-2, -1)
    )
    close = {"rtol": 1e-5 if dtype == "float32" else 1e-13, "atol": 1e-5 if dtype == "float32" else 1e-13}
    np.testing.assert_allclose(values, np.moveaxis(ring(times, y), 0, -1), **close)
    np.testing.assert_allclose(matrices, expected, **close)
    np.testing.assert_allclose(rhs(t, states), values, **close)
    np.testing.assert_array_equal(rhs.exact_jacobian(t, states), matrices)
    assert values.dtype == matrices.dtype == y0.dtype
    clipped = rhs.within(0.25, 0.5)
    np.testing.assert_array_equal(clipped(t, states), rhs(np.clip(t, 0.25, 0.5), states))


def test_warm_starts():
    def decay(t, y):
        return [-y[0] + np.cos(t)]

    options = {"method": "Radau", "rtol": 1e-8, "atol": 1e-10, "compile": True}
    first = solve_ivp(decay, (0, 10), [1.0], **options)
    again = solve_ivp(decay, (0, 10), [1.1], guess=first, **options)
    assert again.compiled
    assert again.iterations <= 3
    exact = solve_ivp(decay, (0, 10), [1.1], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(again.y[:, -1], exact.y[:, -1], rtol=1e-8)


def test_functions_that_take_no_stacks_are_recorded():
    matrix = np.array([[-1.0, 2.0], [0.5, -3.0]])

    def loops(t, y):
        return [sum(matrix[i, j] * y[j] for j in range(2)) + (1.0 if t < 0.5 else 0.0) for i in range(2)]

    options = {"method": "Radau", "rtol": 1e-8, "atol": 1e-10, "jumps": [0.5]}
    with pytest.warns(PointByPointWarning):
        one = solve_ivp(loops, (0, 1), [1.0, 2.0], compile=False, **options)
    other = solve_ivp(loops, (0, 1), [1.0, 2.0], compile=True, **options)
    np.testing.assert_allclose(other.y[:, -1], one.y[:, -1], rtol=1e-8)


@pytest.mark.parametrize("kind", ["function", "array"])
def test_the_users_jacobian_wins(kind):
    seen = []

    def jac(t, y):
        seen.append(np.shape(y))
        return [[-1.0, 0.0], [0.0, -2.0]]

    given = jac if kind == "function" else np.diag([-1.0, -2.0])
    sol = solve_ivp(lambda t, y: [-y[0], -2 * y[1]], (0, 3), [1.0, 1.0], "Radau", jac=given, rtol=1e-8, compile=True)
    assert sol.compiled
    assert bool(seen) == (kind == "function")
    np.testing.assert_allclose(sol.y[:, -1], np.exp([-3.0, -6.0]), rtol=1e-5)


def test_a_jacobian_that_is_far_too_large_is_left_out():
    with pytest.warns(JacobianWarning):
        sol = solve_ivp(
            lambda t, y: [-y[0], -2 * y[1]], (0, 3), [1.0, 1.0], "Radau", rtol=1e-8,
            jac=1e4 * np.diag([-1.0, -2.0]), compile=True,
        )  # fmt: skip
    assert sol.compiled
    np.testing.assert_allclose(sol.y[:, -1], np.exp([-3.0, -6.0]), rtol=1e-5)


@pytest.mark.parametrize("method", ["Radau", "auto"])
def test_what_cannot_be_recorded_is_refused_or_called(method, monkeypatch):
    monkeypatch.setattr(account, "PRICES", account.Prices(loading=0.0, share=0.0))

    def winding(t, y):
        turns = y[0]
        while turns > 1:
            turns = turns - 1
        return [-turns]

    options = {"method": method, "mesh": np.linspace(0, 1, 5), "rtol": 1e-6}
    with pytest.raises(TypeError, match="`fun` cannot be compiled"):
        solve_ivp(winding, (0, 1), [0.9], compile=True, **options)
    with pytest.warns(PointByPointWarning):
        sol = solve_ivp(winding, (0, 1), [0.9], **options)
    assert not sol.compiled
    assert "`fun` is called: it" in sol.decisions[0]


def test_a_function_that_contradicts_its_record_is_called(monkeypatch):
    monkeypatch.setattr(on_mesh._OfOne, "is_contradicted", lambda self, pieces: True)
    with pytest.raises(TypeError, match="other values than its recorded operations"):
        solve_ivp(lambda t, y: -y, (0, 1), [1.0], "Radau", compile=True)


def test_nodes_are_compared_with_the_function():
    problem = Problem(ring, None, (), (0.0, 2.0), start(2, float), 1e-6, 1e-6, np.asarray(1e-8), np.inf)
    sol = solve_ivp(ring, (0, 2), start(2, float), "Radau", rtol=1e-6, atol=1e-8, compile=True)
    code = code_on_mesh(problem, Evaluation(problem, None), None)
    assert not code.is_contradicted([sol._polynomial])
    other = Problem(
        lambda t, y: 1.01 * ring(t, y), None, (), (0.0, 2.0), start(2, float), 1e-6, 1e-6, np.asarray(1e-8), np.inf
    )
    code._problem = other
    assert code.is_contradicted([sol._polynomial])


def test_derivatives_of_solutions():
    one, other = both("Radau", start(3, float))
    for_y = np.ones_like(one.y)
    np.testing.assert_allclose(one.adjoint(for_y).y0, other.adjoint(for_y).y0, rtol=1e-6)
    again = pickle.loads(pickle.dumps(other))
    np.testing.assert_array_equal(again.y, other.y)


def test_numbers_in_args_need_no_other_code():
    def rated(t, y, rate, weights):
        return -rate * weights * y

    options = {"method": "Radau", "rtol": 1e-8, "atol": 1e-10, "compile": True}
    for rate in (0.5, 1.5):
        weights = np.array([1.0, 2.0 * rate])
        sol = solve_ivp(rated, (0, 1), [1.0, 1.0], args=(rate, weights), **options)
        np.testing.assert_allclose(sol.y[:, -1], np.exp(-rate * weights), rtol=1e-7)


def test_the_coarse_solution_is_made_by_code_too():
    def decay(t, y):
        return [-y[0] + np.cos(t)]

    problem = Problem(decay, None, (), (0.0, 50.0), np.ones(1), 1e-10, 1e-10, np.asarray(1e-12), np.inf)
    code = code_on_mesh(problem, Evaluation(problem, None), None)

    coarse = code.coarse((0.0, 50.0), np.ones(1), rtol=1e-4, atol=np.asarray(1e-6), max_step=np.inf)
    assert coarse.t[-1] == 50
    times = np.linspace(0, 50, 77)
    exact = (np.exp(-times) + np.cos(times) + np.sin(times)) / 2
    np.testing.assert_allclose(coarse.states(times)[:, 0], exact, atol=1e-6)


def test_where_code_has_no_coarse_solution_the_function_is_called():
    problem = Problem(lambda t, y: y**2, None, (), (0.0, 2.0), np.ones(1), 1e-6, 1e-6, np.asarray(1e-8), np.inf)
    code = code_on_mesh(problem, Evaluation(problem, None), None)
    with pytest.raises(LeftError, match="left the solution at t = 1.0"):
        code.coarse((0.0, 2.0), np.ones(1), rtol=1e-4, atol=np.asarray(1e-6), max_step=np.inf)
    sol = solve_ivp(lambda t, y: y**2, (0, 2), [1.0], "Radau", rtol=1e-6, atol=1e-8, compile=True)
    assert not sol.success
    assert not sol.compiled
    assert "Machine code of `fun` left the solution" in sol.message
    assert 0.999 < sol.t[-1] < 1.0001


def test_a_solve_that_fails_before_the_first_time_of_the_output():
    """Then there is no mesh that could tell how far it came."""
    sol = solve_ivp(
        lambda t, y: [y[1], -180 * np.sin(y[0])], (0, 28), [1.0, 4.0], "DEER", [14.0, 28.0], rtol=1e-4, compile=True
    )
    assert not sol.compiled
    assert "left the solution at t = 0.0" in sol.decisions[0]


def test_where_the_record_lacks_a_branch_the_function_is_called():
    rates, levels = np.full((40, 1, 1), -1.0), np.cos(np.arange(40.0))[:, None]

    def held(t, y):
        k = np.clip(np.floor(t * 4).astype(int), 0, 39)
        a, b = np.moveaxis(rates[k], (-2, -1), (0, 1)), np.moveaxis(levels[k], -1, 0)
        return [a[0, 0] * y[0] + b[0]]

    times = np.linspace(0, 10, 41)
    sol = solve_ivp(held, (0, 10), [1.0], "DEER", times, rtol=1e-6, atol=1e-9, jumps=times, compile=True)
    exact = 1.0
    for level in levels[:, 0]:
        exact = level + (exact - level) * np.exp(-0.25)
    assert sol.success
    assert not sol.compiled
    assert "left the solution" in sol.decisions[0]
    np.testing.assert_allclose(sol.y[0, -1], exact, rtol=1e-6)


def test_other_constants_are_not_paid_again():
    class Purse:
        def __init__(self):
            self.bought = []

        def pay(self, what, seconds):
            self.bought.append(what)

        def note(self, what, seconds):
            pass

    def bought(rate):
        purse = Purse()
        problem = Problem(
            lambda t, y: -rate * y * np.cos(t), None, (), (0.0, 2.0), np.ones(1), 1e-6, 1e-6, np.asarray(1e-8), np.inf
        )
        with paid_by(purse):
            rhs = code_on_mesh(problem, Evaluation(problem, None), None).right_hand_side()
            _, matrices = rhs.linearise(np.zeros(1), np.ones((1, 1)))
        assert matrices[0, 0, 0] == -rate
        return purse.bought

    assert bought(1.25) == ["recording", "on mesh", "Jacobians on mesh"]
    assert bought(1.5) == ["recording"]


@pytest.mark.parametrize("method", ["Radau", "Gauss", "DOP853"])
@pytest.mark.parametrize("sign", [1, -1])
def test_corners_in_time_are_nodes(method, sign):
    """A brief pulse between the points at which calls of the function would look."""

    def dose(t, y):
        return [sign * (-y[0] + np.where((sign * t > 3.3) & (sign * t < 3.3 + 1e-5), 1e5, 0.0))]

    sol = solve_ivp(dose, (0, 10 * sign), [1.0], method, rtol=1e-8, atol=1e-10, compile=True)
    share = -np.expm1(-1e-5) * 1e5
    np.testing.assert_allclose(sol.y[0, -1], np.exp(-10) + share * np.exp(-10 + 3.3 + 1e-5), rtol=1e-7)
    assert {3.3 * sign, (3.3 + 1e-5) * sign} <= set(sol.mesh.tolist())
    by_mesh = solve_ivp(
        dose, (0, 10 * sign), [1.0], method, mesh=sign * np.linspace(0, 10, 50), rtol=1e-8, compile=True
    )
    assert len(by_mesh.mesh) == 50


def test_narrow_pulses_are_seen():
    def pulse(t, y):
        return [-y[0] + 1e4 * np.exp(-(((t - 4.0) / 1e-4) ** 2))]

    sol = solve_ivp(pulse, (0, 10), [1.0], "Radau", rtol=1e-8, atol=1e-10, compile=True)
    np.testing.assert_allclose(sol.y[0, -1], np.exp(-10) + np.sqrt(np.pi) * np.exp(-6 + 0.25e-8), rtol=1e-6)
