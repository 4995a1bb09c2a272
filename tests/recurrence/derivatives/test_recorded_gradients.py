"""Gradients by the recorded step: exact, whatever its parameters are; by differences where it cannot be recorded."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_programs import ANY, SMOOTHLY
from recurrence_sensitivities import gru

from parscan import solve_recurrence
from parscan._functions import at_points
from parscan._recurrence.derivatives import gradient
from parscan.warnings import DiscontinuousParameterWarning

ROUNDING = 1e-12


@pytest.fixture(params=["numpy", "code"])
def way(request, monkeypatch):
    """By NumPy, or by machine code from the first call on."""
    monkeypatch.setattr(at_points.CODES, "pays_loading", lambda _: request.param == "code")
    monkeypatch.setattr(at_points.CODES, "pays", lambda *_: True)
    return request.param


@pytest.fixture
def exactly(monkeypatch):
    """Differences are not an option."""

    def refuse(*_):
        raise AssertionError("by differences")

    monkeypatch.setattr(gradient, "of_argument", refuse)
    monkeypatch.setattr(gradient, "of_inputs", refuse)


def by_complex_step(step, y0, x, args, g, place):
    """Derivative of `sum(g * y)` by an entry of an argument."""
    moved = [np.array(one, dtype=complex) for one in args]
    moved[place[0]][place[1]] += 1e-40j
    y, total = y0 + 0j, 0.0
    for row, weight in zip(x, g, strict=True):
        y = step(y[None], row[None], *moved)[0]
        total += np.sum(weight * y.imag) / 1e-40
    return total


@pytest.mark.parametrize("n", [1, 2, 4, 8, 32])
def test_against_complex_steps(n, way, exactly, rng):
    W, U = rng.uniform(-1, 1, (2, n, 3 * n)) / np.sqrt(n)
    args, x, y0 = (W, U, rng.uniform(-1, 1, 3 * n)), rng.standard_normal((150, n)), rng.standard_normal(n)
    sol = solve_recurrence(gru, y0, x, args=args)
    g = rng.standard_normal(sol.y.shape)
    found = sol.gradient(g)
    for k, part in enumerate(found):
        assert part.shape == args[k].shape
        for place in {tuple(rng.integers(0, part.shape)) for _ in range(6)}:
            expected = by_complex_step(gru, y0, x, args, g, (k, place))
            assert abs(part[place] - expected) <= ROUNDING * np.abs(part).max()


@pytest.mark.parametrize("n", [1, 3, 17])
def test_by_inputs(n, way, exactly, rng):
    x, y0, W = rng.standard_normal((80, n)), np.zeros(n), rng.standard_normal((n, n)) / n

    def step(y, x):
        return np.tanh(y @ W) * np.sin(x)

    sol = solve_recurrence(step, y0, x)
    adjoint = sol.adjoint(np.ones_like(x))
    before = np.concatenate([y0[None], sol.y[:-1]])
    assert np.allclose(sol.gradient(adjoint, "x"), adjoint.states * np.tanh(before @ W) * np.cos(x), rtol=ROUNDING)


def test_structures(way, exactly, rng):
    args = (
        {"a": 0.5, "b": [np.full(3, 0.1), (np.float64(2.0),)]},
        0.25,
        np.float32(0.5),
    )
    x = rng.standard_normal((60, 3))

    def step(y, x, p, q, r):
        return p["a"] * np.sin(y) + p["b"][0] * x * p["b"][1][0] + q * r

    sol = solve_recurrence(step, np.zeros(3), x, args=args)
    adjoint = sol.adjoint(np.ones_like(x))
    states, before = adjoint.states, np.concatenate([np.zeros((1, 3)), sol.y[:-1]])
    found, q, r = sol.gradient(adjoint)
    assert isinstance(found["b"], list)
    assert isinstance(found["b"][1], tuple)
    assert type(found["a"]) is type(q) is float
    assert type(r) is np.float32
    assert np.isclose(found["a"], np.sum(states * np.sin(before)), rtol=ROUNDING)
    assert np.allclose(found["b"][0], np.sum(states * x * 2, axis=0), rtol=ROUNDING)
    assert np.isclose(found["b"][1][0], np.sum(states * x * 0.1), rtol=ROUNDING)
    assert np.isclose(q, 0.5 * states.sum(), rtol=ROUNDING)
    assert np.isclose(r, 0.25 * states.sum(), rtol=1e-6)
    assert np.isclose(sol.gradient(adjoint, 1), q, rtol=ROUNDING)


@pytest.mark.parametrize("batch", [(), (3,)])
def test_complex_numbers(batch, way, exactly, rng):
    """Gradients are `∂L/∂Re + i ∂L/∂Im`; a real parameter has a real one."""
    x = rng.standard_normal((60, *batch, 2)) + 1j * rng.standard_normal((60, *batch, 2))
    args = (0.5 + 0.2j, np.array([0.3, -0.4j]), 0.7)
    sol = solve_recurrence(
        lambda y, x, a, b, c: a * y[..., ::-1] + b * x * c, np.zeros((*batch, 2), complex), x, args=args
    )
    adjoint = sol.adjoint(2 * sol.y)
    states, before = adjoint.states, np.concatenate([np.zeros((1, *batch, 2)), sol.y[:-1]])
    a, b, c = sol.gradient(adjoint)
    assert np.isclose(a, np.sum(np.conj(before[..., ::-1]) * states), rtol=ROUNDING)
    over = tuple(range(states.ndim - 1))
    assert np.allclose(b, np.sum(np.conj(x * 0.7) * states, axis=over), rtol=ROUNDING)
    assert type(c) is float
    assert np.isclose(c, np.sum(np.conj(args[1] * x) * states).real, rtol=ROUNDING)
    assert np.allclose(sol.gradient(adjoint, "x"), np.conj(args[1] * 0.7) * states, rtol=ROUNDING)


def test_in_single_precision(way, exactly, rng):
    x = rng.standard_normal((200, 4)).astype(np.float32)
    W = (rng.standard_normal((4, 4)) / 4).astype(np.float32)
    sol = solve_recurrence(lambda y, x, W, a: np.tanh(y @ W + a * x), np.zeros(4, np.float32), x, args=(W, 0.5))
    wide = solve_recurrence(lambda y, x, W, a: np.tanh(y @ W + a * x), np.zeros(4), x.astype(float), args=(W, 0.5))
    g = np.ones_like(x)
    for found, expected in zip(sol.gradient(g), wide.gradient(g.astype(float)), strict=True):
        assert np.allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert sol.gradient(g, "W").dtype == np.float32


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_short_solutions(steps, way, rng):
    x = rng.standard_normal((steps, 3))
    sol = solve_recurrence(lambda y, x, a: a * y + x, np.ones(3), x, args=(0.5,))
    adjoint = sol.adjoint(np.ones((steps, 3)))
    before = np.concatenate([np.ones((1, 3)), sol.y])[:steps]
    assert np.isclose(sol.gradient(adjoint, 0), np.sum(before * adjoint.states), rtol=ROUNDING)


def test_parameters_with_which_it_is_not_recorded_are_differenced(rng):
    """The others are exact."""
    x = rng.standard_normal((60, 2))

    def step(y, x, a, k):
        return a * y + x * (2.0 if k > 0 else 1.0) + k

    sol = solve_recurrence(step, np.zeros(2), x, args=(0.5, 0.25))
    adjoint = sol.adjoint(np.ones_like(x))
    before = np.concatenate([np.zeros((1, 2)), sol.y[:-1]])
    a, k = sol.gradient(adjoint)
    assert np.isclose(a, np.sum(before * adjoint.states), rtol=ROUNDING)
    assert np.isclose(k, adjoint.states.sum(), rtol=1e-8)


def test_parameters_that_move_jumps_are_named(exactly, rng):
    x = 0.3 + np.linspace(-1e-5, 1e-5, 4001)[:, None]
    sol = solve_recurrence(lambda y, x, p, q: 0.5 * y + q * np.where(x > p, 1.0, 0.0), np.zeros(1), x, args=(0.3, 2.0))
    with pytest.warns(DiscontinuousParameterWarning, match="args"):
        p, _ = sol.gradient(np.ones_like(x))
    assert p == 0


def test_parameters_are_not_recorded_again(exactly, monkeypatch, rng):
    """Other numbers are arguments of the same operations."""
    from parscan._recorded import memo

    x, recordings, real = rng.standard_normal((50, 2)), [], memo.recorded
    monkeypatch.setattr(memo, "recorded", lambda *args, **options: recordings.append(1) or real(*args, **options))

    def step(y, x, p):
        return np.tanh(p["W"] @ y[..., None])[..., 0] + p["b"] + x

    counts = []
    for k in range(3):
        p = {"W": rng.standard_normal((2, 2)), "b": float(k)}
        sol = solve_recurrence(step, np.zeros(2), x, args=(p,), compile=False)
        sol._solved("gradient").compiles = None
        adjoint = sol.adjoint(np.ones_like(x))
        before = len(recordings)
        sol.gradient(adjoint)
        counts.append(len(recordings) - before)
    assert counts == [1, 0, 0]


@given(SMOOTHLY, st.sampled_from([1, 2, 3, 5, 16]), st.integers(0, 2**32 - 1))
def test_forwards_and_backwards_agree(function, n, seed):
    """⟨g, δ⟩ = ⟨gradient, change⟩ for the tangent δ of a change of all parameters, by exact derivatives of both."""
    rng = np.random.default_rng(seed)
    x, theta, change = rng.uniform(-1, 1, (20, n)), rng.uniform(-1, 1, n), rng.uniform(-1, 1, n)

    def step(y, x, theta):
        return 0.3 * np.sin(y + x) + 0.3 * np.tanh(
            np.stack([function(*pair) for pair in zip(y, 0 * y + theta, strict=True)])
        )

    sol = solve_recurrence(step, np.zeros(n), x, args=(theta,))
    g = rng.uniform(-1, 1, x.shape)
    before, step_ = np.concatenate([np.zeros((1, n)), sol.y[:-1]]), 1e-30j
    forcing = step(before + 0j, x, theta + step_ * change).imag / step_.imag
    one, other = np.sum(g * sol.tangent(forcing)), np.sum(change * sol.gradient(g, 0))
    terms = np.abs(change * sol.gradient(g, 0)).sum() + np.abs(g * sol.tangent(forcing)).sum()
    assert abs(one - other) <= ROUNDING * max(terms, 1e-3)


@given(ANY, st.sampled_from([1, 2, 5]), st.integers(0, 2**32 - 1))
def test_against_differences(function, n, seed):
    rng = np.random.default_rng(seed)
    x, theta = rng.uniform(-1, 1, (10, n)), rng.uniform(-1, 1, n)

    def step(y, x, theta):
        return 0.3 * np.sin(y + x) + 0.3 * np.tanh(
            np.stack([function(*pair) for pair in zip(y, 0 * y + theta, strict=True)])
        )

    with np.errstate(all="ignore"):
        sol = solve_recurrence(step, np.zeros(n) + 0.1, x, args=(theta,))
        if not sol.success:
            return
        g = rng.uniform(-1, 1, x.shape)
        adjoint = sol.adjoint(g)
        exact = sol.gradient(adjoint, 0)
        sol._solved("gradient").compiles = False
        found = sol.gradient(adjoint, 0)
    some = np.isfinite(found) & np.isfinite(exact)
    assert np.abs(found - exact)[some].max(initial=0) <= 1e-4 * max(1, np.abs(exact[some]).max(initial=0))


def test_conditions_that_depend_on_parameters_are_named(rng):
    """Gradients are those of the branches that were taken, and say so."""

    def step(y, x, level, a):
        return np.where(y > level, 0.5 * y, a * y) + x

    x = rng.standard_normal((200, 1))
    sol = solve_recurrence(step, np.zeros(1), x, args=(0.3, 0.8))
    assert sol.derivatives.endswith("; conditions depend on `level`: derivatives are those of the branches taken")
    before = np.concatenate([np.zeros((1, 1)), sol.y[:-1]])
    by_level, by_a = sol.gradient(np.ones_like(sol.y))
    assert by_level == 0
    assert np.isclose(by_a, np.sum(np.where(before > 0.3, 0.0, before) * sol.adjoint(np.ones_like(sol.y)).states))
    plain = solve_recurrence(lambda y, x, a: a * np.maximum(y, 0.1) + x, np.zeros(1), x, args=(0.8,))
    assert "conditions" not in plain.derivatives
