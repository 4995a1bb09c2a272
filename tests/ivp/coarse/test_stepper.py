"""The array-generic Rosenbrock stepper: coefficients, stiffness, batches, libraries, and as the start of Newton."""

from functools import partial

import array_api_strict
import numpy as np
import pytest
from ode_problems import lotka_volterra
from scipy.integrate import solve_ivp

import parscan
from parscan._functions.evaluators import ONE_BY_ONE
from parscan._functions.right_hand_side import RightHandSide
from parscan._ivp.coarse import rodas3 as _stepper
from parscan._ivp.coarse.hermite import interpolated
from parscan._ivp.coarse.lsoda import by_lsoda
from parscan._ivp.coarse.rodas3 import by_stepping
from parscan._ivp.coarse.steps import Steps
from parscan._ivp.core.failures import NOT_FINITE
from parscan._ivp.core.mesh import Mesh
from parscan._ivp.core.scale import Scale
from parscan._ivp.core.tableaux import radau
from parscan._ivp.mesh.march import solve
from parscan._ivp.mesh.window import Task
from parscan._ivp.methods.collocation import Collocation
from parscan._ivp.result.result import IvpStatus


def robertson(t, y):
    made, burnt, fast = 0.04 * y[0], 1e4 * y[1] * y[2], 3e7 * y[1] ** 2
    return [burnt - made, made - burnt - fast, fast]


def van_der_pol(t, y):
    return [y[1], 1000 * (1 - y[0] ** 2) * y[1] - y[0]]


def run(fun, span, y0, rtol=1e-3, atol=1e-6, jac=None, **options):
    y0 = np.asarray(y0) if isinstance(y0, list) else y0
    return by_stepping(RightHandSide(fun, jac, (), y0, **options), span, y0, rtol, atol)


def matrices():
    """α, Γ, b and the embedded b of the method in the form without 1/h (Hairer and Wanner, IV.7)."""
    a, c = np.zeros((2, 4, 4))
    for matrix, rows in ((a, _stepper.A), (c, _stepper.C)):
        for i, row in enumerate(rows):
            for j, weight in row:
                matrix[i, j] = weight
    m = np.zeros(4)
    for j, weight in _stepper.M:
        m[j] = weight
    gamma = np.linalg.inv(np.eye(4) / _stepper.GAMMA - c)
    return a @ gamma, gamma, m @ gamma, (m - [0, 0, 0, 1]) @ gamma


def test_order_conditions():
    alpha, gamma, b, embedded = matrices()
    beta = alpha + gamma
    assert np.allclose(gamma.sum(axis=1), _stepper.GAMMAS, rtol=0, atol=1e-15)
    assert np.allclose(alpha.sum(axis=1), [1.0 if row else 0.0 for row in _stepper.A], rtol=0, atol=1e-15)
    for weights in (b, embedded):
        assert np.allclose([weights.sum(), weights @ beta.sum(axis=1)], [1, 1 / 2], rtol=0, atol=1e-15)
    third = [b @ alpha.sum(axis=1) ** 2, b @ beta @ beta.sum(axis=1)]
    assert np.allclose(third, [1 / 3, 1 / 6], rtol=0, atol=1e-15)
    assert np.allclose(beta[3], b, rtol=0, atol=1e-15)  # stiffly accurate
    assert np.allclose(beta[2], embedded, rtol=0, atol=1e-15)


def test_stability_function_is_below_one_on_the_left():
    alpha, gamma, b, embedded = matrices()
    for z in [*(1j * np.logspace(-2, 4, 200)), -1e-3, -1.0, -1e9]:
        stages = np.linalg.solve(np.eye(4) - z * (alpha + gamma), np.ones(4))
        assert abs(1 + z * b @ stages) <= 1 + 1e-12
    assert abs(1 + z * b @ stages) <= 1e-8
    assert abs(1 + z * embedded @ stages) <= 1e-8


def fixed_step_error(intervals):
    """Error at the end of y' = -y² cos t after equal steps."""
    y0 = np.array([[1.0]])
    rhs = RightHandSide(lambda t, y: [-(y[0] ** 2) * np.cos(t)], None, (), y0[0])
    problem = _stepper._Problem(rhs, 2.0, 1e-3, 1e-6, np.inf, np.eye(1))
    y, h = y0, 2.0 / intervals
    for i in range(intervals):
        y, _ = _stepper._attempt(problem, _stepper._linearise(rhs, i * h, y, h), (i + 1) * h, h)
    return abs(y[0, 0] - 1 / (1 + np.sin(2.0)))


def test_order_three_on_equal_steps():
    errors = [fixed_step_error(intervals) for intervals in (16, 32, 64)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(3, abs=0.3)
    assert np.log2(errors[1] / errors[2]) == pytest.approx(3, abs=0.2)


@pytest.mark.parametrize("span", [(0.0, 6.0), (6.0, 0.0)])
def test_error_falls_with_the_tolerance_at_nodes_and_between(span):
    """y = 2 + sin t, forwards and backwards."""
    at = np.random.default_rng(1).permutation(np.linspace(*span, 301))
    errors, steps = [], []
    for rtol in (1e-3, 1e-5, 1e-7):
        found = run(
            lambda t, y: [(y[0] - 2 - np.sin(t)) * (1 - y[0]) + np.cos(t)], span, [2 + np.sin(span[0])], rtol, 0
        )
        assert found.t[0] == span[0]
        assert found.t[-1] == span[1]
        exact = 2 + np.sin(at)
        errors.append(np.abs(found.states(at)[:, 0] - exact).max())
        steps.append(len(found.t))
        if span[0] < span[1]:
            assert errors[-1] <= 30 * rtol
    assert steps[2] < 6.5 * steps[1]  # 100 ** (1 / 3) = 4.6
    if span[0] < span[1]:
        assert errors[0] > 10 * errors[1] > 100 * errors[2]


@pytest.mark.slow
def test_backwards_in_time():
    there = run(lotka_volterra, (0.0, 3.0), [10.0, 5.0], 1e-7, 1e-9)
    back = run(lotka_volterra, (3.0, 0.0), there.states(there.t[-1:])[0], 1e-7, 1e-9)
    assert (np.diff(back.t) < 0).all()
    at = np.linspace(0, 3, 200)
    assert np.abs(back.states(at) / there.states(at) - 1).max() <= 1e-4


def test_steps_of_a_stiff_problem_are_not_those_of_its_stiffness():
    """y' = -1e8 (y - cos t), from the curve and from off it; between steps, the right-hand side must not count."""

    def fun(t, y):
        return [-1e8 * (y[0] - np.cos(t))]

    for start in (1.0, 0.0):
        y0 = np.array([start])
        rhs = RightHandSide(fun, None, (), y0)
        found = by_stepping(rhs, (0.0, 10.0), y0, 1e-3, 1e-6, max_step=0.1)
        assert len(found.t) < 140
        at = np.concatenate([np.logspace(-10, -1, 400), np.linspace(0.1, 10.0, 1001)])
        exact = np.cos(at) + (start - 1) * np.exp(-1e8 * at)
        assert np.abs(found.states(at)[:, 0] - exact).max() <= 1e-2


def test_behind_a_fast_decay_the_right_hand_side_does_not_bend_the_solution():
    t, y, f = [0, 1e-8, 2e-8, 1, 2, 3], [1, 0.5, 1, 1, 1, 1], [-1e8, 1e8, 1e4, -1e4, 1e4, np.nan]
    states, slopes = (np.array(values, float)[:, None] for values in (y, f))
    found = interpolated(Steps(np.array(t, float), states, slopes), 1e-3, 1e-6)
    assert np.abs(found.states(np.linspace(2e-8, 3, 100)) - 1).max() <= 1.1e-3


def test_robertson():
    found = run(robertson, (0.0, 1e6), [1.0, 0.0, 0.0], 1e-3, 1e-10)
    at = np.logspace(-3, 6, 100)
    exact = solve_ivp(robertson, (0, 1e6), [1, 0, 0], method="Radau", rtol=1e-8, atol=1e-14, t_eval=at).y.T
    assert np.abs(found.states(at) / exact - 1).max() <= 0.02
    assert len(found.t) < 120


def test_van_der_pol():
    found = run(van_der_pol, (0.0, 100.0), [2.0, 0.0])
    at = np.linspace(0, 100, 100)
    exact = solve_ivp(van_der_pol, (0, 100), [2, 0], method="Radau", rtol=1e-8, atol=1e-12, t_eval=at).y.T
    assert np.abs(found.states(at) - exact)[:, 0].max() <= 1e-3
    assert len(found.t) < 60


@pytest.mark.slow
def test_a_batch_is_as_accurate_as_its_elements(rng):
    y0 = rng.uniform(1.0, 8.0, size=(50, 2))
    at = np.linspace(0, 5, 57)
    found = run(lotka_volterra, (0.0, 5.0), y0, 1e-5, 1e-8).states(at)
    assert found.shape == (57, 50, 2)
    for i in (0, 17, 49):
        single = run(lotka_volterra, (0.0, 5.0), y0[i], 1e-5, 1e-8).states(at)
        assert np.abs(found[:, i] - single).max() <= 1e-3
    fastest = max(len(run(lotka_volterra, (0.0, 5.0), one, 1e-5, 1e-8).t) for one in y0[:10])
    assert len(run(lotka_volterra, (0.0, 5.0), y0[:10], 1e-5, 1e-8).t) >= fastest - 1


def test_batch_of_two_axes_and_tolerances_per_component(rng):
    y0 = rng.uniform(1.0, 3.0, size=(2, 3, 2))
    found = run(lotka_volterra, (0.0, 1.0), y0, 1e-4, np.array([1e-6, 1e-7]))
    flat = run(lotka_volterra, (0.0, 1.0), y0.reshape(6, 2), 1e-4, np.array([1e-6, 1e-7]))
    assert np.array_equal(found.t, flat.t)
    assert np.allclose(found.states(found.t).reshape(-1, 6, 2), flat.states(flat.t), rtol=1e-12)


def test_complex():
    found = run(lambda t, y: 1j * y, (0.0, 10.0), np.array([1.0 + 0j]), 1e-5, 1e-8)
    at = np.linspace(0, 10, 100)
    assert np.abs(found.states(at)[:, 0] - np.exp(1j * at)).max() <= 1e-3


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_single_precision_stays(dtype):
    found = run(lotka_volterra, (0.0, 2.0), np.array([3.0, 2.0], dtype=dtype))
    states = found.states(found.t)
    assert states.dtype == dtype
    assert found.t.dtype == np.float64
    double = run(lotka_volterra, (0.0, 2.0), [3.0, 2.0], 1e-8, 1e-10)
    assert np.abs(states - double.states(found.t)).max() <= 2e-2
    assert found.polynomial(radau(3), Mesh(found.t), states[0]).stages.dtype == dtype


@pytest.mark.parametrize("dtype", ["float64", "float32", "complex128"])
def test_another_library_gives_the_same(dtype):
    y0 = np.array([[3.0, 2.0], [1.0, 1.0]]).astype(dtype)
    xp = array_api_strict
    strict = run(lambda t, y: lotka_volterra(t, [y[0, ...], y[1, ...]]), (0.0, 2.0), xp.asarray(y0))
    found = run(lotka_volterra, (0.0, 2.0), y0)
    assert strict.states(strict.t).dtype == getattr(xp, dtype)
    assert np.allclose(np.asarray(strict.t), found.t, rtol=1e-3 if dtype == "float32" else 1e-9)
    assert np.allclose(np.asarray(strict.states(strict.t)), found.states(found.t), rtol=1e-3)
    ours = found.polynomial(radau(3), Mesh(found.t), y0)
    theirs = strict.polynomial(radau(3), Mesh(strict.t), xp.asarray(y0))
    assert np.allclose(np.asarray(theirs.stages), ours.stages, rtol=1e-2, atol=1e-2)


def test_jacobians_and_functions_of_one_state():
    def jac(t, y):
        return [[1.5 - y[1], -y[0]], [y[1], y[0] - 3]]

    plain = run(lotka_volterra, (0.0, 2.0), [3.0, 2.0])
    for options in (
        {"jac": jac},
        {"evaluator": ONE_BY_ONE},
        {"jac": jac, "evaluator": ONE_BY_ONE, "jac_evaluator": ONE_BY_ONE},
    ):
        found = run(lotka_volterra, (0.0, 2.0), [3.0, 2.0], **options)
        assert np.allclose(found.t, plain.t, rtol=1e-4)


@pytest.mark.slow
def test_a_pole_stops_it():
    found = run(lambda t, y: y**2, (0.0, 2.0), [1.0], 1e-6, 1e-9)
    assert "smaller than the spacing" in str(found.failure)
    assert 0.999 < found.t[-1] < 1.001
    at = np.linspace(0, 0.99, 50)
    assert np.abs(found.states(at)[:, 0] * (1 - at) - 1).max() <= 1e-2


def test_values_that_are_not_finite():
    def fun(t, y):
        return [np.where(np.broadcast_to(t, y[0].shape) > 2.0, np.nan, -y[0])]

    found = run(fun, (0.0, 4.0), [1.0])
    assert "not finite" in str(found.failure)
    assert 1.99 < found.t[-1] <= 2.0
    assert np.isfinite(found.states(found.t)).all()
    at_once = run(lambda t, y: y * np.nan, (0.0, 4.0), [1.0])
    assert "not finite" in str(at_once.failure)
    assert at_once.t.shape == (1,)


def test_it_steps_back_from_where_a_function_ends():
    """sqrt(y) is not defined where a rough step may lead: y' = -sqrt(y), y = (1 - t/2)²."""
    found = run(lambda t, y: -np.sqrt(y), (0.0, 1.99), [1.0], 1e-3, 1e-3)
    assert not found.failure
    assert np.abs(found.states(found.t)[:, 0] - (1 - found.t / 2) ** 2).max() <= 1e-2


def test_it_steps_back_from_where_a_jacobian_ends():
    def jac(t, y):
        return [[np.where(y[0] < 0.5, np.nan, -1.0)]]

    found = run(lambda t, y: -y, (0.0, 4.0), [1.0], jac=jac)
    assert "not finite" in str(found.failure)
    assert found.states(found.t)[-1, 0] == pytest.approx(0.5, abs=1e-9)
    assert found.states(found.t)[-1, 0] >= 0.5


def test_it_gives_up_after_many_steps():
    y0 = np.array([10.0, 5.0])
    found = by_stepping(RightHandSide(lotka_volterra, None, (), y0), (0.0, 15.0), y0, 1e-3, 1e-6, most=20)
    assert "more than 20 steps" in str(found.failure)
    assert 10 < len(found.t) <= 21


@pytest.mark.parametrize("span", [(0.0, 1.0), (1.0, 0.0)])
def test_the_longest_step_is_respected(span):
    y0 = np.array([1.0])
    found = by_stepping(RightHandSide(lambda t, y: 0 * y, None, (), y0), span, y0, 1e-3, 1e-6, max_step=0.03)
    steps = np.abs(np.diff(found.t))
    assert steps.max() <= 0.03 * (1 + 1e-12)
    assert len(steps) == pytest.approx(38, abs=4)


@pytest.mark.slow
def test_newton_starts_from_it(rng):
    y0 = rng.uniform(2.0, 8.0, size=(5, 2))
    rtol, atol, end = 1e-8, 1e-11, 15.0
    rhs = RightHandSide(lotka_volterra, None, (), y0)
    start = partial(by_stepping, rhs, rtol=1e-3, atol=1e-6)
    task = Task(rhs, Collocation(radau(5), 2), Scale(rtol, np.asarray(atol)), start)
    record = solve(task, (0.0, end), y0)
    assert not record.failure
    assert record.windows == 1
    for i in range(5):
        exact = solve_ivp(lotka_volterra, (0, end), y0[i], method="DOP853", rtol=1e-12, atol=1e-14).y[:, -1]
        assert np.abs(record.pieces[-1].y[-1, i] / exact - 1).max() <= 3e-7


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_a_coarse_solution_from_a_state_that_is_not_finite_ends_at_once(bad):
    y0 = np.array([bad, 1.0])
    rhs = RightHandSide(lambda t, y: [y[1], -y[0]], None, (), y0)
    start = by_lsoda(rhs, (0.0, 1.0), y0, 1e-3, np.asarray(1e-6), np.inf)
    assert start.failure is NOT_FINITE
    assert np.array_equal(start.t, [0.0])
    assert rhs.counts.nfev < 10


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("fun", [lotka_volterra, robertson, van_der_pol])
def test_the_coarse_solution_has_the_steps_of_scipys_lsoda(fun, backwards):
    y0 = np.array([1.0, 0.5, 0.2])[: 3 if fun is robertson else 2]
    span = (2.0, 0.0) if backwards and fun is lotka_volterra else (0.0, 2.0)
    rhs = RightHandSide(fun, None, (), y0)
    start = by_lsoda(rhs, span, y0, 1e-4, np.asarray(1e-6), np.inf)
    steps = solve_ivp(fun, span, y0, "LSODA", rtol=1e-4, atol=1e-6)
    assert np.array_equal(start.t, steps.t)
    assert np.allclose(start.states(start.t), steps.y.T, rtol=1e-15, atol=0)
    assert rhs.counts.npoints == steps.nfev + len(steps.t) + 1  # slopes at all steps, and a look at what `fun` returns


def test_rodas3_steps_where_scipys_lsoda_is_another(monkeypatch):
    y0, span = np.array([1.0, 0.5]), (0.0, 2.0)
    monkeypatch.setattr("scipy.integrate.ode.set_integrator", lambda self, *_, **__: self)
    rhs = RightHandSide(lotka_volterra, None, (), y0)
    start = by_lsoda(rhs, span, y0, 1e-4, np.asarray(1e-6), np.inf)
    assert np.array_equal(start.t, by_stepping(rhs, span, y0, 1e-4, np.asarray(1e-6), np.inf).t)


def test_the_edge_of_a_domain_is_not_crept_to():
    """Just below 1 there are states, but no forward differences of the square root: every second step was rejected."""
    calls = []

    def fun(t, y):
        calls.append(1)
        return np.sqrt(1 - y**2)

    sol = parscan.solve_ivp(fun, (0, 10), [0.0], "Radau", rtol=1e-6, atol=1e-6, compile=False)
    assert sol.status == IvpStatus.NOT_FINITE
    assert sol.t[-1] == pytest.approx(np.pi / 2, abs=1e-2)
    assert len(calls) < 5000
