"""Derivatives that change fast after a start or a jump, where the solution does not: against exact values."""

import numpy as np
import pytest

from parscan import solve_ivp
from parscan._ivp.sensitivities.layers import graded, rates_of

RATE = 1e6
PASSED = np.array([1e-2, 0.3, 1.0, 3.0, 30.0]) / RATE


def drawn(t, y, p):
    """The parameters drive it from a jump on."""
    return [-RATE * (y[0] - np.cos(t)) - np.sin(t) + np.where(t < 1.0, 0.0, 1.0) * p.sum(), 0.5 * y[0] - y[1]]


def smooth(t, y, rates, p):
    return (-rates * (y - np.cos(t)).T + p).T - np.sin(t)


def weighted(sol):
    """A gradient by the first component."""
    gradient = np.zeros_like(sol.y)
    gradient[0] = np.cos(np.arange(sol.t.size))
    return gradient


@pytest.mark.parametrize("method", ["Radau", "Gauss", "LSODA"])
def test_after_the_start(method):
    times, n = np.append(PASSED, [0.5, 1.0]), 2
    args = RATE * np.linspace(1, 2, n), np.zeros(n)
    sol = solve_ivp(smooth, (0, 1), np.ones(n), method, t_eval=times, args=args, rtol=1e-8, atol=1e-10)
    by_start = np.exp(-RATE * times)
    np.testing.assert_allclose(sol.tangent(y0=np.eye(n)[0])[0], by_start, atol=2e-6)
    weights = weighted(sol)
    assert sol.adjoint(weights).y0[0] == pytest.approx(weights[0] @ by_start, abs=1e-5)
    assert sol.gradient(weights, "p")[0] * RATE == pytest.approx(weights[0] @ (1 - by_start), abs=1e-5)


@pytest.mark.parametrize("method", ["auto", "Radau"])
@pytest.mark.parametrize("jumps", [None, [1.0]])
def test_after_a_jump_that_the_solution_does_not_feel(method, jumps):
    times, args = np.concatenate([[0.3], 1 + PASSED, [1.5]]), (np.zeros(20),)
    sol = solve_ivp(
        drawn, (0, 2), [1.0, 0.5], method, t_eval=times, args=args, rtol=1e-8, atol=1e-10, jumps=jumps, compile=True
    )  # fmt: skip
    expected = np.where(times < 1, 0.0, -np.expm1(-RATE * np.maximum(times - 1, 0)))
    weights = weighted(sol)
    np.testing.assert_allclose(sol.gradient(weights, "p") * RATE, np.full(20, weights[0] @ expected), atol=1e-5)


def test_backwards_in_time():
    """In a batch, of which only one member is fast."""
    rates, times = np.array([RATE, 1.0]), -np.append(PASSED, 1.0)
    sol = solve_ivp(
        lambda t, y: rates * (y - np.cos(t)) - np.sin(t), (0, -1), [[1.0, 1.0]], "Radau", t_eval=times, rtol=1e-8,
    )  # fmt: skip
    np.testing.assert_allclose(sol.jacobian("y0")[0, ..., 0], np.exp(np.outer(times, rates)), atol=2e-6)


def test_rates_of_second_order_equations_are_far_below_norms():
    oscillator, nilpotent = [[0.0, 1.0], [-1e8, 0.0]], [[0.0, 1e8], [0.0, 0.0]]
    assert rates_of(np.array([oscillator, nilpotent, np.diag([-3.0, 5.0])])) == pytest.approx([1e4, 0.0, 5.0], rel=0.5)


@pytest.mark.parametrize("way", [1.0, -1.0])
@pytest.mark.parametrize("rate", [1e3, np.inf])
def test_nodes_that_are_added(way, rate):
    nodes, times = way * np.array([5.0, 6.0, 7.0, 50.0]), way * np.array([5.5])
    found = graded(nodes, times, np.abs(nodes[:-1] - nodes[0]), np.full(3, rate))
    lengths = np.abs(np.diff(found))
    assert np.isin(nodes, found).all()
    assert (lengths[1:-2] <= np.abs(found[1:-3] - found[0]) * (1 + 1e-3)).all()
    assert lengths[0] == pytest.approx(1e-3) if rate < np.inf else lengths[0] > 0
    assert (found[-2:] == nodes[-2:]).all()  # only later times would see more


@pytest.mark.parametrize("rate", [0.0, 0.5, np.nan])
def test_no_nodes_are_added_for_slow_changes(rate):
    nodes = np.array([0.0, 1.0, 2.0])
    assert graded(nodes, nodes[1:], nodes[:-1], np.full(2, rate)) is None
