"""Derivatives by the recorded operations of the step: exact, compared with the step, and left where they differ."""

import numpy as np
import pytest
from recurrence_sensitivities import adjoint_loop, apart, tangent_loop

from parscan import Diagonal, solve_recurrence
from parscan._functions import at_points

ROUNDING = 1e-13


@pytest.fixture(params=["numpy", "code"])
def way(request, monkeypatch):
    """By NumPy, or by machine code from the first call on."""
    monkeypatch.setattr(at_points.CODES, "pays_loading", lambda _: request.param == "code")
    monkeypatch.setattr(at_points.CODES, "pays", lambda *_: True)
    return request.param


def jacobians(step, y0, x, y):
    """By complex steps."""
    before, n = np.concatenate([y0[None], y[:-1]]), y0.shape[-1]
    columns = [step(before + 1e-40j * np.eye(n)[j], x).imag / 1e-40 for j in range(n)]
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize("n", [1, 2, 5, 8, 32])
def test_exact_where_the_step_is_recorded(n, way, rng):
    W, x, y0 = rng.standard_normal((n, n)) / np.sqrt(n), rng.standard_normal((400, n)), rng.standard_normal(n)

    def step(y, x):
        return np.tanh(y @ W + x) + 0.3 * np.sin(y) * x

    sol = solve_recurrence(step, y0, x, method="sequential")
    assert sol.derivatives.startswith("exact")
    J, g = jacobians(step, y0, x, sol.y), rng.standard_normal(sol.y.shape)
    states, start = adjoint_loop(J, g)
    adjoint = sol.adjoint(g)
    assert apart(adjoint.states, states) <= ROUNDING
    assert apart(adjoint.y0, start) <= ROUNDING
    assert apart(sol.tangent(g), tangent_loop(J, g, 0 * y0)) <= ROUNDING


@pytest.mark.parametrize("batch", [(), (3,)])
def test_complex_states(batch, way, rng):
    a = np.array([0.5 + 0.3j, -0.2 + 0.6j])
    y0 = np.ones((*batch, 2), complex)
    x = rng.standard_normal((200, *batch, 2)) + 1j * rng.standard_normal((200, *batch, 2))
    sol = solve_recurrence(lambda y, x: a * y[..., ::-1] + 0.01 * y**2 + x, y0, x, method="sequential")
    assert sol.derivatives.startswith("exact")
    before = np.concatenate([y0[None], sol.y[:-1]])
    J = np.zeros((*before.shape, 2), complex)
    J[..., [0, 1], [1, 0]] = a
    J[..., [0, 1], [0, 1]] += 0.02 * before
    assert apart(sol.adjoint(x).states, adjoint_loop(J, x)[0]) <= ROUNDING


def test_members_that_seem_to_depend_on_each_other_are_differentiated_together(rng):
    x = rng.standard_normal((50, 2, 1))
    alone = solve_recurrence(lambda y, x: 0.5 * y + x, np.zeros((2, 1)), x)
    coupled = solve_recurrence(lambda y, x: 0.5 * y + x + 0 * y[..., ::-1, :], np.zeros((2, 1)), x)
    assert coupled.derivatives.startswith("exact")
    assert apart(coupled.adjoint(x).states, alone.adjoint(x).states) <= ROUNDING


def test_by_differences_where_it_is_not_recorded(rng):
    x = rng.standard_normal((100, 2))

    def step(y, x):
        return np.tanh(y) * 0.5 + x if np.all(y < 1e9) else y

    sol = solve_recurrence(step, np.zeros(2), x)
    assert sol.derivatives.startswith("by differences: the step ")
    recorded = solve_recurrence(lambda y, x: np.tanh(y) * 0.5 + x, np.zeros(2), x)
    assert recorded.derivatives.startswith("exact")
    assert 0 < apart(sol.adjoint(x).states, recorded.adjoint(x).states) <= 1e-9
    refused = solve_recurrence(lambda y, x: np.tanh(y) * 0.5 + x, np.zeros(2), x, compile=False)
    assert "compile=False" in refused.derivatives


def test_parameters_with_which_it_is_not_recorded_are_named(rng):
    """Gradients by them are differences, though the Jacobian by the state is exact, or given."""
    x = rng.standard_normal((100, 2))

    def step(y, x, a, b, name):
        return a * np.tanh(y) * float(f"{b}") + x

    def jac(y, x, a, b, name):
        return a * (1 - np.tanh(y) ** 2) * b

    sol = solve_recurrence(step, np.zeros(2), x, args=(0.5, 0.7, "name"))
    given = solve_recurrence(step, np.zeros(2), x, args=(0.5, 0.7, "name"), jac=jac, structure=Diagonal())
    for one, start in ((sol, "exact, by the recorded operations of the step"), (given, "by `jac`")):
        assert one.derivatives.startswith(f"{start}; with respect to `b` by differences: the step ")
        assert "`a`" not in one.derivatives
        by_a, by_b = one.gradient(x, ("a", "b"))
        assert 0 < abs(0.5 * by_a - 0.7 * by_b) <= 1e-7 * abs(by_a)


def test_a_given_jacobian_keeps_its_place(rng):
    x = rng.standard_normal((100, 2))
    calls = []

    def jac(y, x):
        calls.append(1)
        return 0.5 * (1 - np.tanh(y) ** 2)

    sol = solve_recurrence(lambda y, x: np.tanh(y) * 0.5 + x, np.zeros(2), x, jac=jac, structure=Diagonal())
    assert sol.derivatives == "by `jac`"
    before = len(calls)
    sol.adjoint(x)
    assert len(calls) > before


def test_recorded_operations_that_differ_from_the_step_are_not_used(monkeypatch, rng):
    """Their values are compared with those of the step on a sample of the solution."""
    x = rng.standard_normal((100, 2))
    sol = solve_recurrence(lambda y, x: np.tanh(y) * 0.5 + x, np.zeros(2), x)
    real = at_points.AtPoints.__call__
    monkeypatch.setattr(at_points.AtPoints, "__call__", lambda *args: tuple(1.001 * one for one in real(*args)))
    assert "other values" in sol.derivatives


def test_wrong_machine_code_is_not_used(way, monkeypatch, rng):
    if way == "numpy":
        pytest.skip("no machine code")
    from parscan._recorded.native.evaluate import Evaluator

    x = rng.standard_normal((100, 2))
    sol = solve_recurrence(lambda y, x: np.tanh(y) * 0.51 + x, np.zeros(2), x)
    real = Evaluator.__call__
    expected = sol.adjoint(x).states
    other = solve_recurrence(lambda y, x: np.tanh(y) * 0.51 + x, np.zeros(2), x)
    monkeypatch.setattr(Evaluator, "__call__", lambda *args: tuple(1.001 * one for one in real(*args)))
    assert apart(other.adjoint(x).states, expected) <= ROUNDING


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_short_solutions(steps, way, rng):
    x = rng.standard_normal((steps, 3))

    def step(y, x):
        return np.sin(y) + x

    sol = solve_recurrence(step, np.ones(3), x)
    adjoint = sol.adjoint(np.ones((steps, 3)))
    J = jacobians(step, np.ones(3), x, sol.y) if steps else np.zeros((0, 3, 3))
    expected = adjoint_loop(J, np.ones((steps, 3)))[1] if steps else np.zeros(3)
    assert np.allclose(adjoint.y0, expected, rtol=1e-14)


def test_in_single_precision(way, rng):
    x = rng.standard_normal((300, 4)).astype(np.float32)
    W = (rng.standard_normal((4, 4)) / 4).astype(np.float32)
    sol = solve_recurrence(lambda y, x: np.tanh(y @ W + x), np.zeros(4, np.float32), x)
    before = np.concatenate([np.zeros((1, 4), np.float32), sol.y[:-1]]).astype(float)
    J = (1 - np.tanh(before @ W + x) ** 2)[..., None] * W.T
    found = sol.adjoint(x)
    assert found.states.dtype == np.float32
    assert np.abs(found.states - adjoint_loop(J, x.astype(float))[0]).max() <= 1e-5


def test_what_is_not_chosen_does_not_matter(way, rng):
    """Derivatives of square roots of negative numbers that `np.where` does not choose."""
    x = np.abs(rng.standard_normal((100, 1))) - 0.5

    def step(y, x):
        return np.where(y > 0, np.sqrt(np.where(y > 0, y, 1.0)), 0.1 * y) * 0.5 + x

    sol = solve_recurrence(step, np.array([0.3]), x, method="sequential")
    before = np.concatenate([[[0.3]], sol.y[:-1]])
    J = 0.5 * np.where(before > 0, 0.5 / np.sqrt(np.abs(before)), 0.1)[..., None]
    assert apart(sol.adjoint(np.ones((100, 1))).states, adjoint_loop(J, np.ones((100, 1)))[0]) <= ROUNDING
