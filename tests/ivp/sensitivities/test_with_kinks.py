"""Kinks of functions that are not recorded: they are found along the solution, and become nodes."""

from dataclasses import replace

import array_api_strict as strict
import numpy as np
import pytest

from parscan import solve_ivp
from parscan._ivp.sensitivities import crossings, followed, jumping, with_kinks
from parscan._ivp.sensitivities.state_kinks import state_kinks
from parscan.warnings import KinkWarning
from tests.ivp.sensitivities.test_moving import ACTIVATIONS, KINKED, by_complex_steps, relay

pytestmark = pytest.mark.roads


@pytest.mark.parametrize("method", ["Radau", "DOP853", "Gauss", "LSODA"])
@pytest.mark.parametrize("name", KINKED)
def test_limits_and_sizes(name, method):
    """Without nodes, derivatives are wrong by a tenth with DOP853, by 1e-5 with LSODA."""
    fun, exact, args, start = KINKED[name]
    sol = solve_ivp(fun, (0, 5), [start], method, t_eval=[5.0], args=args, rtol=1e-9, atol=1e-11, compile=False)
    expected = by_complex_steps(exact, *args)
    assert np.allclose(sol.gradient(np.ones((1, 1))), expected, rtol=3e-8)
    assert np.allclose([float(each[0, -1]) for each in sol.jacobian()], expected, rtol=3e-8)


@pytest.mark.parametrize("method", ["Radau", "DOP853", "LSODA"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_network(name, method, rng):
    W, y0, direction = rng.standard_normal((4, 4)) / 2, rng.standard_normal(4), rng.standard_normal((4, 4))

    def fun(t, y, W):
        return ACTIVATIONS[name](W @ y) - y

    sol = solve_ivp(fun, (0, 3), y0, method, t_eval=[3.0], args=(W,), rtol=1e-9, atol=1e-11, compile=False)
    ones = np.ones_like(sol.y)
    ends = [
        solve_ivp(fun, (0, 3), y0, args=(W + change * direction,), rtol=1e-12, atol=1e-13).y[:, -1].sum()
        for change in (1e-5, -1e-5)
    ]
    assert np.sum(sol.gradient(ones)[0] * direction) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6)
    by_tangents = sol.tangent(y0=np.eye(4))[:, -1].sum(axis=0)
    assert np.allclose(sol.adjoint(ones).y0, by_tangents, rtol=1e-9, atol=1e-10)


def limit(t, y, k, most):
    return [-(k * y[0] if k * y[0] < most else most)]


def test_a_branch_of_python():
    _, exact, args, start = KINKED["minimum"]
    sol = solve_ivp(limit, (0, 5), [start], "DOP853", [5.0], args=args, rtol=1e-9, atol=1e-11, vectorized=False)
    assert np.allclose(sol.gradient(np.ones((1, 1))), by_complex_steps(exact, *args), rtol=1e-8)


def test_a_jacobian_of_the_users():
    fun, exact, args, start = KINKED["minimum"]
    sol = solve_ivp(
        fun, (0, 5), [start], "DOP853", [5.0], args=args, rtol=1e-9, atol=1e-11, compile=False,
        jac=lambda t, y, k, most: np.where(k * y < most, -k, 0.0)[None],
    )  # fmt: skip
    assert sol.derivatives.startswith("by `jac`")
    assert np.allclose(sol.gradient(np.ones((1, 1))), by_complex_steps(exact, *args), rtol=1e-8)


def test_backwards_and_by_a_forcing():
    """`y' = min(k y, most)` backwards from 3: the same curve."""
    _, exact, args, start = KINKED["minimum"]
    sol = solve_ivp(
        lambda t, y, k, most: np.minimum(k * y, most), (0, -5), [start], "DOP853", [-5.0], args=args,
        rtol=1e-9, atol=1e-11, compile=False,
    )  # fmt: skip
    by_k, by_most = by_complex_steps(exact, *args)
    assert np.allclose(sol.gradient(np.ones((1, 1))), (by_k, by_most), rtol=1e-8)

    def by_limit(t, y, k, most):
        return (k * y > most) * 1.0

    assert sol.gradient(np.ones((1, 1)), forcing=by_limit) == pytest.approx(by_most, rel=1e-8)
    assert sol.tangent(by_limit)[0, -1] == pytest.approx(by_most, rel=1e-8)


def test_members_of_a_batch():
    fun, _exact, args, _ = KINKED["minimum"]
    starts = np.array([[3.0, 2.5, 2.0]])
    sol = solve_ivp(fun, (0, 5), starts, "DOP853", [5.0], args=args, rtol=1e-9, atol=1e-11, compile=False)
    found = sol.tangent(y0=np.ones((1, 3)))[0, -1, :]
    expected = [args[0] / args[1] * sol.y[0, -1, k] for k in range(3)]  # by the time at which the limit ends
    assert np.allclose(found, np.asarray(expected) * 1.0, rtol=1e-7)


def test_another_array_library():
    def fun(t, y):
        return -strict.minimum(0.7 * y, 0.9 * strict.ones_like(y))

    y0 = 3 * strict.ones(1, dtype=strict.float64)
    sol = solve_ivp(fun, (0, 5), y0, "DOP853", strict.asarray([5.0]), rtol=1e-9, atol=1e-11)
    assert float(sol.adjoint(strict.ones_like(sol.y)).y0[0]) == pytest.approx(0.11455884399266, rel=1e-8)


def test_smooth_functions_have_none():
    for fun in (lambda t, y: [-1e9 * (y[0] - np.cos(t))], lambda t, y: [np.sin(9 * t) - np.tanh(20 * y[0])]):
        sol = solve_ivp(fun, (0, 5), [1.0], "Radau", rtol=1e-6, atol=1e-9, compile=False)
        assert state_kinks(sol._solution.fun, _polynomial(sol)).shape == (0,)


def _polynomial(sol):
    return sol._solution._found.solution


def test_too_many_are_warned_of(monkeypatch):
    fun, _, args, _ = KINKED["minimum"]
    monkeypatch.setattr(with_kinks, "TOGETHER", 1)
    monkeypatch.setattr(followed, "TOGETHER", 1)
    for compiles in (None, False):
        sol = solve_ivp(fun, (0, 5), [[3.0, 2.5]], "Radau", [5.0], args=args, rtol=1e-7, atol=1e-9, compile=compiles)
        with pytest.warns(KinkWarning, match="too many kinks"):
            sol.adjoint(np.ones_like(sol.y))


@pytest.mark.parametrize("method", ["Radau", "DOP853", "LSODA"])
def test_more_modes_than_can_be_looked_at(method, monkeypatch):
    """The record has kinks, but they are found by values."""
    monkeypatch.setattr(jumping, "LARGEST", 0)
    fun, exact, args, start = KINKED["minimum"]
    sol = solve_ivp(fun, (0, 5), [start], method, t_eval=[5.0], args=args, rtol=1e-9, atol=1e-11)
    expected = by_complex_steps(exact, *args)
    assert np.allclose(sol.gradient(np.ones((1, 1))), expected, rtol=1e-8)
    assert np.allclose([float(each[0, -1]) for each in sol.jacobian()], expected, rtol=1e-8)


def test_kinks_that_are_left_beside_jumps_are_warned_of(monkeypatch):
    def fun(t, y, a, b):
        return relay(t, y, a, b) + sum(0.1 * np.maximum(y[0] - 0.1 * k, 0.0) for k in range(1, 8))

    sol = solve_ivp(fun, (0, 2), [0.0], "Radau", args=(0.35, 0.3), t_eval=[2.0], rtol=1e-7, atol=1e-9)
    monkeypatch.setattr(jumping, "LARGEST", 4 * len(jumping.SHARES) * sol._solution._found.solution.intervals)
    with pytest.warns(KinkWarning, match="beside its jumps"):
        sol.adjoint(np.ones((1, 1)))


def test_more_kinks_than_can_be_located_are_warned_of(monkeypatch):
    monkeypatch.setattr(crossings, "LARGEST", 0)
    fun, _, args, start = KINKED["minimum"]
    sol = solve_ivp(fun, (0, 5), [start], "Radau", t_eval=[5.0], args=args, rtol=1e-7, atol=1e-9)
    with pytest.warns(KinkWarning, match="more kinks of `fun` than can be located"):
        sol.adjoint(np.ones((1, 1)))


def test_kinks_at_the_ends_of_the_span_add_no_nodes():
    sol = solve_ivp(lambda t, y: [-y[0]], (0, 1), [1.0], "Radau", rtol=1e-6, compile=False)
    found = sol._solution._found
    for end in (0, -1):
        times = found.solution.t[[end]]
        kinked = replace(found.solution, breaks=times)
        assert with_kinks._held(found.rhs, kinked, times) == {}
