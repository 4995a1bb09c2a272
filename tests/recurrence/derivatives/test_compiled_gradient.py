"""Gradients by one compiled sweep: those of adjoint states, in segments that overlap, for all kinds of parameters."""

from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_programs import SMOOTHLY
from recurrence_sensitivities import apart, gru

from parscan import solve_recurrence
from parscan._functions import at_points
from parscan._recorded import memo
from parscan._recorded.native import summed
from parscan._recurrence.derivatives import (
    compiled_gradient,
    gradient_of_members,
    joints,
    recorded_gradient,
)

ROUNDING = 1e-12

ALONE = compiled_gradient.ALONE


@pytest.fixture(autouse=True)
def _at_any_price(monkeypatch):
    monkeypatch.setattr(at_points.CODES, "pays_loading", lambda _: True)
    monkeypatch.setattr(at_points.CODES, "buys", lambda *_: True)
    monkeypatch.setattr(compiled_gradient, "WORTH_SWEEPING", 0)
    monkeypatch.setattr(gradient_of_members, "WORTH_SWEEPING", 0)
    monkeypatch.setattr(compiled_gradient, "TRIED", 16)
    monkeypatch.setattr(compiled_gradient, "ALONE", 0)


@pytest.fixture
def ways(monkeypatch):
    """Whether each gradient was by one sweep."""
    found, whole = [], recorded_gradient.compiled_gradient

    def spied(*args):
        result = whole(*args)
        found.append(result is not None)
        return result

    monkeypatch.setattr(recorded_gradient, "compiled_gradient", spied)
    return found


def in_two_ways(sol, g, params):
    """By one sweep, and by adjoint states."""
    return sol.gradient(g, params), (*sol.gradient(sol.adjoint(g), params[:-1]), sol.adjoint(g).y0)


@pytest.mark.parametrize(("n", "steps"), [(1, 20_000), (1, 12_345), (2, 20_001), (8, 15_000), (16, 10_000), (32, 9000)])
def test_against_complex_steps(n, steps, ways, rng):
    W, U = rng.uniform(-1, 1, (2, n, 3 * n)) / np.sqrt(n)
    args, x, y0 = (W, U, rng.uniform(-1, 1, 3 * n)), rng.standard_normal((steps, n)), rng.standard_normal(n)
    sol = solve_recurrence(gru, y0, x, args=args)
    g = rng.standard_normal(sol.y.shape)
    found = sol.gradient(g, ("W", "U", "b", "y0"))
    assert ways == [True]
    changes = [rng.standard_normal(one.shape) for one in (*args, y0)]
    *moved, y = (one + 1e-40j * change for one, change in zip((*args, y0), changes, strict=True))
    expected = 0.0
    for row, weight in zip(x, g, strict=True):
        y = gru(y[None], row[None], *moved)[0]
        expected += np.sum(weight * y.imag) / 1e-40
    total = sum(np.sum(one * change) for one, change in zip(found, changes, strict=True))
    terms = sum(np.sum(np.abs(one * change)) for one, change in zip(found, changes, strict=True))
    assert abs(total - expected) <= ROUNDING * terms


@pytest.mark.parametrize("most", [0, summed.MOST_SUMS], ids=["factors", "sums"])
@pytest.mark.parametrize("batch", [(), (3,), (2, 2)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_dtypes_and_batches(batch, dtype, most, ways, monkeypatch, rng):
    monkeypatch.setattr(summed, "MOST_SUMS", most)
    monkeypatch.setattr(memo, "_kept", OrderedDict())  # code is kept with recordings

    def numbers(*shape):
        found = rng.standard_normal(shape)
        return (found + 1j * rng.standard_normal(shape) if dtype == np.complex128 else found).astype(dtype)

    def step(y, x, p, c):
        return (y @ p["A"]) * x[..., :1] + p["b"] * x**2 + c * y

    p = {"A": numbers(2, 2) * dtype(0.2), "b": numbers(2)}
    x, y0 = np.cos(numbers(20_000, *batch, 2).real).astype(dtype), numbers(*batch, 2)
    sol = solve_recurrence(step, y0, x, args=(p, 0.25))
    g = numbers(*x.shape)
    found, expected = in_two_ways(sol, g, ("p", "c", "y0"))
    limit = 1e-5 if dtype == np.float32 else ROUNDING
    assert apart(found[0]["A"], expected[0]["A"]) <= limit
    assert apart(found[0]["b"], expected[0]["b"]) <= limit
    assert type(found[1]) is float
    assert apart(found[1], expected[1]) <= limit
    assert apart(found[2], expected[2]) <= limit
    assert ways == [True]


def test_many_steps_in_single_precision(ways):
    """Sums in single precision do not lose what is added late."""
    x = np.full((1_000_000, 1), 1 / 3, np.float32)  # whose sums are rounded to the same side
    sol = solve_recurrence(lambda y, x, a: np.float32(0.5) * y + a * x, np.zeros(1, np.float32), x, args=(1.0,))
    expected = np.sum((2 - 0.5 ** np.arange(len(x))) * x[::-1, 0])
    assert abs(sol.gradient(np.ones_like(x), 0) - expected) <= 3e-6 * expected
    assert ways == [True]


def test_what_is_not_forgotten(ways, monkeypatch, rng):
    x = rng.standard_normal((20_000, 2))

    def step(y, x, angle):
        turn = np.stack([np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)]).reshape(2, 2)
        return y @ turn + x

    sol = solve_recurrence(step, np.ones(2), x, args=(0.1,))
    monkeypatch.setattr(at_points.CODES, "buys", lambda key, *_: key[0] != "chain")  # for states at joints
    found, expected = in_two_ways(sol, x, (0, "y0"))
    assert ways == [False]
    assert apart(found[0], expected[0]) <= ROUNDING
    assert apart(found[1], expected[1]) <= ROUNDING


@pytest.mark.parametrize("kept", [joints.OVERWRITTEN, 1000], ids=["at once", "in pieces"])
@pytest.mark.parametrize("steps", [20_000, 12_345])
def test_what_is_not_forgotten_has_segments_that_begin_with_states_found_one_by_one(
    steps, kept, ways, monkeypatch, rng
):
    monkeypatch.setattr(joints, "OVERWRITTEN", kept)
    monkeypatch.setattr(memo, "_kept", OrderedDict())  # notes are kept with recordings
    probes, probe = [], compiled_gradient._Backwards._memory
    monkeypatch.setattr(
        compiled_gradient._Backwards, "_memory", lambda own, longest: probes.append(longest) or probe(own, longest)
    )
    x = rng.standard_normal((steps, 2))

    def step(y, x, angle):
        turn = np.stack([np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)]).reshape(2, 2)
        return y @ turn + x

    for angle in (0.1, 0.2, 0.3):
        sol = solve_recurrence(step, np.ones(2), x, args=(angle,))
        found, expected = in_two_ways(sol, np.sin(x), (0, "y0"))
        assert apart(found[0], expected[0]) <= ROUNDING
        assert apart(found[1], expected[1]) <= ROUNDING
    assert ways == [True, True, True]
    assert len(probes) == 1  # that they do not meet is known


def test_joints_that_do_not_meet_are_no_gradient(ways, monkeypatch, rng):
    x = rng.standard_normal((20_000, 1))
    whole = compiled_gradient.states_at
    monkeypatch.setattr(compiled_gradient, "states_at", lambda *given: whole(*given) * [[1 + 1e-6]])
    sol = solve_recurrence(lambda y, x, a: a * y + x, np.ones(1), x, args=(-1.0,))
    found, expected = in_two_ways(sol, x, (0, "y0"))
    assert ways == [False]
    assert apart(found[0], expected[0]) <= ROUNDING


@pytest.mark.parametrize("copied", [0, 1 << 20], ids=["first", "all"])
@pytest.mark.parametrize("most", [0, summed.MOST_SUMS], ids=["factors", "sums"])
@pytest.mark.parametrize("steps", [65, 66, 129, 1000])
def test_few_steps_are_marched_in_one_lane(steps, most, copied, ways, monkeypatch, rng):
    """Without segments, whether or not the past is forgotten; the first step among the others, or for itself."""
    monkeypatch.setattr(compiled_gradient, "ALONE", 1 << 19)
    monkeypatch.setattr(compiled_gradient, "COPIED", copied)
    monkeypatch.setattr(summed, "MOST_SUMS", most)
    monkeypatch.setattr(memo, "_kept", OrderedDict())  # code is kept with recordings
    x = rng.standard_normal((steps, 2))
    sol = solve_recurrence(
        lambda y, x, A: y @ A + np.sin(x), np.ones(2), x, args=(np.array([[0.6, 0.8], [-0.8, 0.6]]),)
    )
    found, expected = in_two_ways(sol, x, (0, "y0"))
    assert ways == [True]
    assert apart(found[0], expected[0]) <= ROUNDING
    assert apart(found[1], expected[1]) <= ROUNDING


def test_segments_that_disagree_are_not_believed(ways, monkeypatch, rng):
    monkeypatch.setattr(compiled_gradient._Backwards, "_memory", lambda *_: 8)
    monkeypatch.setattr(at_points.CODES, "buys", lambda key, *_: key[0] != "chain")  # for states at joints
    x = rng.standard_normal((20_000, 2))
    sol = solve_recurrence(lambda y, x, a: a * y + x, np.zeros(2), x, args=(0.9,))
    found, expected = in_two_ways(sol, x, (0, "y0"))
    assert ways == [False]
    assert apart(found[0], expected[0]) <= ROUNDING


def test_what_was_forgotten_before_need_not_be_now(ways, rng):
    """Other parameters need a longer beginning than the last ones did, or states at joints found one by one."""
    x, step = rng.standard_normal((100_000, 2)), lambda y, x, a: a * y + x
    for a in (0.1, 0.9, 0.999, 0.2):
        sol = solve_recurrence(step, np.zeros(2), x, args=(a,))
        found, expected = in_two_ways(sol, x, (0, "y0"))
        assert apart(found[0], expected[0]) <= ROUNDING
    assert ways == [True] * 4


def test_wrong_machine_code_is_not_used(ways, monkeypatch, rng):
    real = summed.Sweep._run

    def wrong(self, *args, **options):
        found = real(self, *args, **options)
        self._sums *= 1.001
        return found

    monkeypatch.setattr(summed.Sweep, "_run", wrong)
    x = rng.standard_normal((20_000, 2))
    sol = solve_recurrence(lambda y, x, a: a * y + 1.2345 * x, np.zeros(2), x, args=(0.4321,))
    found, expected = in_two_ways(sol, x, (0, "y0"))
    assert ways == [False]
    assert apart(found[0], expected[0]) <= ROUNDING


def test_other_values_on_which_the_text_depends(ways, rng):
    """Exponents, divisors and limits, whose spelling depends on their values."""

    def step(y, x, p):
        return np.maximum(np.abs(0.5 * y + x) ** p["power"] / p["scale"], p["least"])

    x, found = rng.standard_normal((20_000, 2)), []
    for power, scale, least in ((1.0, 2.0, 0.1), (1.5, 3.0, np.float64(0.2)), (0.9, 4.0, 0.3)):
        p = {"power": power, "scale": scale, "least": least}
        sol = solve_recurrence(step, np.zeros(2), x, args=(p,))
        both = sol.gradient(x, "p"), sol.gradient(sol.adjoint(x), "p")
        found.append(all(apart(both[0][name], both[1][name]) <= ROUNDING for name in p))
    assert found == [True] * 3
    assert ways == [True] * 3


def test_arrays_that_are_no_rows(ways, rng):
    """Inputs and gradients that are views with other strides."""
    x, g = np.asfortranarray(rng.standard_normal((20_000, 3))), rng.standard_normal((3, 40_000)).T[::2]
    sol = solve_recurrence(lambda y, x, W: 0.5 * np.sin(y @ W) + x, np.zeros(3), x, args=(rng.uniform(-1, 1, (3, 3)),))
    found, expected = in_two_ways(sol, g, ("W", "y0"))
    assert apart(found[0], expected[0]) <= ROUNDING
    assert ways == [True]


def test_several_inputs_and_none(ways, rng):
    a, x = np.array([0.5, 0.4]), (rng.standard_normal((20_000, 2)), rng.standard_normal((20_000, 1)))
    sol = solve_recurrence(lambda y, x, a: np.sin(a * y + x[0]) * x[1], np.zeros(2), x, args=(a,))
    found, expected = in_two_ways(sol, x[0], ("a", "y0"))
    assert apart(found[0], expected[0]) <= ROUNDING
    sol = solve_recurrence(lambda y, a: np.sin(a * y + 1.0), np.zeros(2), length=20_000, args=(a,))
    found, expected = in_two_ways(sol, x[0], ("a", "y0"))
    assert apart(found[0], expected[0]) <= ROUNDING
    assert ways == [True, True]


@pytest.mark.parametrize("steps", [0, 1, 2, 40])
def test_short_solutions(steps, rng):
    x = rng.standard_normal((steps, 2))
    sol = solve_recurrence(lambda y, x, a: a * y + x, np.ones(2), x, args=(0.5,))
    found, expected = in_two_ways(sol, x, (0, "y0"))
    assert np.allclose(found[0], expected[0], rtol=ROUNDING)
    assert np.allclose(found[1], expected[1], rtol=ROUNDING)


def test_by_the_initial_state(ways, rng):
    x = rng.standard_normal((50, 2))
    sol = solve_recurrence(lambda y, x, y0: y0 * y + x, np.ones(2), x, args=(0.5,))
    assert type(sol.gradient(x, "y0")) is float  # the step's own argument
    sol = solve_recurrence(lambda y, x, a: a * y + x, np.ones(2), x, args=(0.5,))
    expected = np.sum(0.5 ** np.arange(1, 51)[:, None] * x, axis=0)
    assert np.allclose(sol.gradient(x, "y0"), expected, rtol=ROUNDING)
    assert np.allclose(sol.gradient(x, ("x", "y0"))[1], expected, rtol=ROUNDING)
    found = sol.gradient(x, ("y0", "a"), vjp=lambda adjoint, y, x, a: (np.sum(adjoint * y),))
    assert np.allclose(found[0], expected, rtol=ROUNDING)
    assert np.allclose(found[1], sol.gradient(x, "a"), rtol=ROUNDING)


@pytest.fixture
def members(monkeypatch):
    """Whether each gradient was by members in lanes."""
    found, whole = [], recorded_gradient.gradient_of_members

    def spied(*args):
        result = whole(*args)
        found.append(result is not None)
        return result

    monkeypatch.setattr(recorded_gradient, "gradient_of_members", spied)
    return found


@pytest.mark.parametrize("batch", [(64,), (4, 25), (77,)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_members_in_lanes(batch, dtype, members, rng):
    """Inputs of their own and common ones; a number of members that is no multiple of that of the lanes."""

    def numbers(*shape):
        found = rng.standard_normal(shape)
        return (found + 1j * rng.standard_normal(shape) if dtype == np.complex128 else found).astype(dtype)

    def step(y, x, A, b):
        return (y @ A) * x[0] + b * y * x[1]

    x = (np.cos(numbers(40, *batch, 1).real).astype(dtype), np.ones((40, *[1] * len(batch), 1), dtype))
    y0, A, b = numbers(*batch, 2), numbers(2, 2) * dtype(0.4), numbers(2) * dtype(0.4)
    sol = solve_recurrence(step, y0, x, args=(A, b))
    g = numbers(40, *batch, 2)
    found, expected = in_two_ways(sol, g, ("A", "b", "y0"))
    assert members == [True]
    for one, other in zip(found, expected, strict=True):
        assert apart(one, other) <= (1e-5 if dtype == np.float32 else ROUNDING)


@pytest.mark.parametrize("steps", [2, 3])
def test_members_of_few_steps(steps, members, rng):
    x = rng.standard_normal((steps, 64, 2))
    sol = solve_recurrence(lambda y, x, a: np.sin(a * y + x), np.ones((64, 2)), x, args=(0.5,))
    found, expected = in_two_ways(sol, x, ("a", "y0"))
    assert apart(found[0], expected[0]) <= ROUNDING
    assert apart(found[1], expected[1]) <= ROUNDING
    assert members == [True]


COUPLED = {
    "mean": lambda y, x, a: a * y + 0.1 * y.mean(axis=1, keepdims=True) + x,
    "own": lambda y, x, a: a * y * np.linspace(0.5, 1, 64)[:, None] + x,
    "first": lambda y, x, a: a * y + 0.1 * y[:, :1] + x,
}


@pytest.mark.parametrize("name", COUPLED)
def test_members_that_are_not_alike_are_solved_together(name, members, rng):
    x = rng.standard_normal((40, 64, 2))
    sol = solve_recurrence(COUPLED[name], np.ones((64, 2)), x, args=(0.5,))
    found, expected = in_two_ways(sol, x, ("a", "y0"))
    assert apart(found[0], expected[0]) <= ROUNDING
    assert apart(found[1], expected[1]) <= ROUNDING
    assert members == [False]


def test_members_with_parameters_of_their_own(members, rng):
    x, a = rng.standard_normal((40, 64, 2)), rng.uniform(0.1, 0.9, (64, 1))
    sol = solve_recurrence(lambda y, x, a: np.sin(a * y + x), np.ones((64, 2)), x, args=(a,))
    found, expected = in_two_ways(sol, x, ("a", "y0"))
    assert apart(found[0], expected[0]) <= ROUNDING
    assert members == [False]


@settings(max_examples=30, deadline=None)
@given(SMOOTHLY, st.sampled_from([1, 2, 3]), st.integers(0, 2**32 - 1))
def test_random_programs(function, n, seed):
    """⟨g, δ⟩ = ⟨gradient, change⟩ for the tangent δ of a change of all parameters and of the start."""
    rng = np.random.default_rng(seed)
    x, g = rng.uniform(-1, 1, (2, 8000, n))
    theta, y0, change, moved = rng.uniform(-1, 1, (4, n))

    def step(y, x, theta):
        return 0.2 * np.sin(y + x) + 0.2 * np.tanh(
            np.stack([function(*pair) for pair in zip(y, 0 * y + theta, strict=True)])
        )

    sol = solve_recurrence(step, y0, x, args=(theta,))
    before, tiny = np.concatenate([y0[None], sol.y[:-1]]), 1e-30j
    forcing = step(before + 0j, x, theta + tiny * change).imag / tiny.imag
    parts = sol.gradient(g, (0, "y0"))
    terms = [g * sol.tangent(forcing, moved), -change * parts[0], -moved * parts[1]]
    size = sum(np.abs(one).sum() for one in terms)
    assert abs(sum(one.sum() for one in terms)) <= ROUNDING * max(size, 1e-3)


def test_a_short_series_through_a_network_needs_one_code(ways, monkeypatch, rng):
    """Of 1500 steps without segments: by the code of one sweep, not by more code for adjoint states."""
    monkeypatch.setattr(compiled_gradient, "ALONE", ALONE)
    monkeypatch.setattr(compiled_gradient, "TRIED", 1 << 20)
    W, U = rng.uniform(-1, 1, (2, 8, 24)) / 3
    sol = solve_recurrence(gru, np.zeros(8), rng.standard_normal((1500, 8)), args=(W, U, rng.uniform(-1, 1, 24)))
    sol.gradient(np.ones_like(sol.y))
    assert ways == [True]
