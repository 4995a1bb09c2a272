"""Solutions of SciPy's solvers that chatter along a threshold have no derivatives; those that cross it often do."""

import numpy as np
import pytest

from parscan import solve_ivp
from parscan._ivp.compiled.derived import recorded_code
from parscan._ivp.core.problem import Problem
from parscan._ivp.sensitivities.chattering import slide_of

SLIDES = {
    "up and down": (lambda t, y, a: [np.where(y[0] > 1, -a, 1.0)], [0.0], 1.0),
    "friction": (lambda t, y, a: [a * np.sin(t) - np.sign(y[0])], [0.3], 0.5),
    "relay": (lambda t, y, a: [y[1] - 0.2 * y[0], -a * np.sign(y[0] + y[1]) - 0.1 * y[1]], [1.0, 0.0], 1.3),
}


@pytest.mark.parametrize("method", ["RK45", "LSODA"])
@pytest.mark.parametrize("name", SLIDES)
def test_steps_that_chatter(name, method, monkeypatch):
    """They are seen before a mesh follows them."""

    def refuse(*args):
        raise AssertionError

    monkeypatch.setattr("parscan._ivp.sequential.on_mesh._solved", refuse)
    fun, y0, a = SLIDES[name]
    sol = solve_ivp(fun, (0, 3), y0, method, args=(a,), rtol=1e-3, atol=1e-3)
    assert sol.success
    g = np.ones_like(sol.y)
    for derivative in (
        lambda: sol.gradient(g),
        lambda: sol.adjoint(g),
        sol.jacobian,
        lambda: sol.tangent(y0=np.ones(len(y0))),
        lambda: sol.lyapunov,
    ):
        with pytest.raises(RuntimeError, match="the solution stays on a threshold of `fun` and slides along it"):
            derivative()


def switched(t, y, a, b):
    return [a * np.where(np.sin(2 * np.pi * y[1]) > b, 1.0, -0.5) - 0.1 * y[0], 1 + 0 * y[1]]


@pytest.mark.parametrize("method", ["RK45", "LSODA"])
def test_thresholds_crossed_often(method):
    """Steps as long as half a period flip at nearly each node; slopes on both sides lead across."""
    options = {"t_eval": [10.0], "rtol": 1e-8, "atol": 1e-8, "max_step": 0.4}
    sol = solve_ivp(switched, (0, 10), [0.0, 0.1], method, args=(1.3, 0.2), **options)
    found = sol.gradient([[1.0], [0.0]])

    # exactly: y' = u(t) - 0.1 y, u = a on (first, last) of each period and -a / 2 elsewhere
    def value(a, b):
        ends = np.arange(11)[:, None] + np.array([np.arcsin(b), np.pi - np.arcsin(b)]) / (2 * np.pi) - 0.1
        weight = lambda lo, hi: 10 * (np.exp(-0.1 * (10 - hi)) - np.exp(-0.1 * (10 - lo)))  # noqa: E731
        ends = np.clip(ends, 0, 10)
        return -0.5 * a * weight(0, 10) + 1.5 * a * np.sum(weight(ends[:, 0], ends[:, 1]))

    h = 1e-5
    by_a, by_b = (
        (value(1.3 + h, 0.2) - value(1.3 - h, 0.2)) / (2 * h),
        (value(1.3, 0.2 + h) - value(1.3, 0.2 - h)) / (2 * h),
    )
    np.testing.assert_allclose(found, [by_a, by_b], rtol=1e-6)


def test_nodes_on_both_sides_in_turn():
    """Of a solution that crosses the threshold, they are no slide; of one that stays on it, they are."""
    t = np.arange(0.0, 10.0, 0.4)

    def slide(fun, args, states):
        problem = Problem(
            fun, None, args, (0.0, 10.0), states[0], 1e-6, 1e-6, np.array(1e-6), np.inf, record=recorded_code
        )
        return slide_of(problem.right_hand_side(), t, states)

    assert slide(switched, (1.3, 0.2), np.stack([0 * t, t + 0.1], axis=1)) is None
    fun, _, a = SLIDES["up and down"]
    found = slide(fun, (a,), (1 + 1e-3 * np.cos(np.pi * np.arange(t.size)))[:, None])
    assert found is not None
    assert found.time == 0.0
