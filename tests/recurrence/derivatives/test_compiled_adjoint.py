"""The adjoint by machine code: that of a loop over exact matrices, in one piece or in segments that overlap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_programs import SMOOTHLY
from recurrence_sensitivities import adjoint_loop, apart

from parscan import solve_recurrence
from parscan._functions import at_points
from parscan._recorded.budget import Ledger
from parscan._recorded.native import overlap
from parscan._recurrence.derivatives import compiled_adjoint, sweeps

ROUNDING = 1e-12


@pytest.fixture(autouse=True)
def _at_any_price(monkeypatch):
    monkeypatch.setattr(at_points.CODES, "pays_loading", lambda _: True)
    monkeypatch.setattr(at_points.CODES, "pays", lambda *_: True)
    monkeypatch.setattr(at_points.CODES, "buys", lambda *_: True)
    monkeypatch.setattr(compiled_adjoint, "WORTH_SWEEPING", 0)


@pytest.fixture
def ways(monkeypatch):
    """What was done: "segments" with whether they agreed, and "code" or None at the end."""
    found, march, whole = [], compiled_adjoint._Backwards._in_segments, sweeps.compiled_adjoint

    def spied(*args):
        found.append(("segments", march(*args)))
        return found[-1][1]

    def all_of_it(*args):
        adjoint = whole(*args)
        found.append("matrices" if adjoint is None else "code")
        return adjoint

    monkeypatch.setattr(compiled_adjoint._Backwards, "_in_segments", spied)
    monkeypatch.setattr(sweeps, "compiled_adjoint", all_of_it)
    return found


def jacobians(step, y0, x, y):
    """By complex steps."""
    before, n = np.concatenate([y0[None], y[:-1]]), y0.shape[-1]
    columns = [step(before + 1e-40j * np.eye(n)[j], x).imag / 1e-40 for j in range(n)]
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize("steps", [12001, 1, 2, 3, 100])  # the first, with the first of n, is a fast test
@pytest.mark.parametrize("n", [1, 2, 5, 17, 32])
def test_against_a_loop_over_matrices(n, steps, ways, rng):
    W, x, y0 = rng.standard_normal((n, n)) / np.sqrt(n) / 2, rng.standard_normal((steps, n)), rng.standard_normal(n)

    def step(y, x):
        return np.tanh(y @ W + x) + 0.3 * np.sin(y) * np.cos(x)

    sol = solve_recurrence(step, y0, x)
    g = rng.standard_normal(x.shape)
    states, start = adjoint_loop(jacobians(step, y0, x, sol.y), g)
    found = sol.adjoint(g)
    assert apart(found.states, states) <= ROUNDING
    assert apart(found.y0, start) <= ROUNDING
    assert ways[-1] == "code"
    assert steps < 12001 or ("segments", True) in ways


def test_what_is_not_forgotten_goes_step_by_step(ways, rng):
    turn = np.array([[np.cos(0.1), np.sin(0.1)], [-np.sin(0.1), np.cos(0.1)]])
    x = rng.standard_normal((5000, 2))
    sol = solve_recurrence(lambda y, x: y @ turn + x, np.zeros(2), x)
    g = rng.standard_normal(x.shape)
    expected = adjoint_loop(np.broadcast_to(turn.T, (5000, 2, 2)), g)[0]
    assert apart(sol.adjoint(g).states, expected) <= ROUNDING
    assert ways == [("segments", False), "code"]


def test_segments_that_disagree_are_not_believed(ways, monkeypatch, rng):
    monkeypatch.setattr(compiled_adjoint._Backwards, "_memory", lambda *_: 8)
    x = rng.standard_normal((5000, 2))
    sol = solve_recurrence(lambda y, x: 0.9 * y + x, np.zeros(2), x)
    g = rng.standard_normal(x.shape)
    expected = adjoint_loop(np.broadcast_to(0.9 * np.eye(2), (5000, 2, 2)), g)[0]
    assert apart(sol.adjoint(g).states, expected) <= ROUNDING
    assert ways == [("segments", False), "code"]


def test_a_loss_at_the_end_alone(ways, rng):
    """The adjoint decays, and never forgets where it began."""
    x, g = rng.standard_normal((5000, 2)), np.zeros((5000, 2))
    g[-1] = 1
    sol = solve_recurrence(lambda y, x: 0.99 * y + x, np.zeros(2), x)
    expected = 0.99 ** np.arange(5000)[::-1, None] * [1, 1]
    assert np.allclose(sol.adjoint(g).states, expected, rtol=1e-11, atol=0)


@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
def test_dtypes(batch, dtype, ways, rng):
    x = rng.standard_normal((3000, *batch, 2)).astype(dtype)
    if dtype == np.complex128:
        x += 1j * rng.standard_normal(x.shape)
    a = np.array([0.5, 0.3j]).astype(dtype) if dtype == np.complex128 else np.array([0.5, 0.3], dtype)
    sol = solve_recurrence(lambda y, x: a * y[..., ::-1] + x * dtype(2), np.zeros((*batch, 2), dtype), x)
    J = np.zeros((*x.shape, 2), dtype)
    J[..., [0, 1], [1, 0]] = a
    found = sol.adjoint(x)
    assert found.states.dtype == dtype
    assert apart(found.states, adjoint_loop(J, x)[0]) <= (1e-5 if dtype == np.float32 else ROUNDING)
    assert ways[-1] == "code"


def test_arrays_that_are_no_rows(ways, rng):
    """Inputs and gradients that are views with other strides."""
    x, g = np.asfortranarray(rng.standard_normal((3000, 3))), rng.standard_normal((3, 6000)).T[::2]
    sol = solve_recurrence(lambda y, x: 0.5 * np.sin(y) + x, np.zeros(3), x)
    before = np.concatenate([np.zeros((1, 3)), sol.y[:-1]])
    J = 0.5 * np.cos(before)[..., None] * np.eye(3)
    assert apart(sol.adjoint(g).states, adjoint_loop(J, g)[0]) <= ROUNDING
    assert ways[-1] == "code"


def test_wrong_machine_code_is_not_used(ways, monkeypatch, rng):
    real = compiled_adjoint._Backwards._run

    def wrong(self, start, given, out, begin, end):
        real(self, start, given, out, begin, end)
        out[begin:end] *= 1.001

    monkeypatch.setattr(compiled_adjoint._Backwards, "_run", wrong)
    x = rng.standard_normal((100, 2))
    sol = solve_recurrence(lambda y, x: 0.4321 * y + x, np.zeros(2), x)
    expected = adjoint_loop(np.broadcast_to(0.4321 * np.eye(2), (100, 2, 2)), x)[0]
    assert apart(sol.adjoint(x).states, expected) <= ROUNDING
    assert ways[-1] == "matrices"


def test_segments_are_marched_in_one_call(monkeypatch, rng):
    calls, real = [], overlap.march_overlapping
    x = rng.standard_normal((9000, 2))
    sol = solve_recurrence(lambda y, x: 0.5 * y + x, np.zeros(2), x)
    monkeypatch.setattr(overlap, "march_overlapping", lambda *args: calls.append(1) or real(*args))
    sol.adjoint(x)
    assert calls == [1]


@given(SMOOTHLY, st.sampled_from([1, 2, 5, 16]), st.integers(0, 2**32 - 1))
def test_random_programs(function, n, seed):
    """⟨g, δ⟩ = ⟨λ, f⟩ for the tangent δ of forcings f, which is computed with matrices."""
    rng = np.random.default_rng(seed)
    x, f, g = rng.uniform(-1, 1, (3, 30, n))

    def step(y, x):
        return 0.4 * np.tanh(np.stack([function(*pair) for pair in zip(y, x, strict=True)]))

    sol = solve_recurrence(step, np.zeros(n), x)
    states, tangent = sol.adjoint(g).states, sol.tangent(f)
    terms = np.abs(g * tangent).sum() + np.abs(states * f).sum()
    assert abs(np.sum(g * tangent) - np.sum(states * f)) <= ROUNDING * terms


def test_it_is_bought_sooner_while_scans_have_no_kernel(monkeypatch, ways, rng):
    """Without its kernel, a scan takes forty times as long."""
    sol = solve_recurrence(lambda y, x: np.tanh(0.5 * y + x), np.zeros(1), rng.standard_normal((20_000, 1)))

    def uses(loaded):
        monkeypatch.setattr(compiled_adjoint, "is_loaded", lambda _: loaded)
        monkeypatch.setattr(at_points.CODES, "buys", Ledger().buys)
        ways.clear()
        for _ in range(3):
            sol.adjoint(np.ones_like(sol.y))
        return "code" in ways

    assert [uses(loaded) for loaded in (True, False)] == [False, True]
