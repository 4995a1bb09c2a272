"""Recurrences on segments by machine code: results are those of the loop, whatever the shapes, dtypes and lengths."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import loop

from parscan import solve_recurrence
from parscan._recorded.budget import Ledger, Measurements
from parscan._recorded.native import segments as _segments
from parscan._recorded.native.lanes import Lanes
from parscan._recorded.native.libm import vector_bytes
from parscan._recorded.record import record
from parscan._recurrence import code as _code
from parscan._recurrence import compiled_segments as _compiled
from parscan._recurrence.code import Code, record_step
from parscan._recurrence.compiled_segments import memory_of


@pytest.fixture(autouse=True)
def bought(monkeypatch):
    """Compiling costs nothing, segments are taken however short the loop is, and threads share the shortest ones."""
    for module in (_code, _compiled):
        monkeypatch.setattr(module.LEDGER if module is _code else module.LANES, "pays", lambda program, seconds: True)
    monkeypatch.setattr(_code, "WORTH_RECORDING", 0.0)
    monkeypatch.setattr(_code, "PER_NUMBER", 0.0)
    monkeypatch.setattr(_compiled, "WORTH_SWEEPING", 0.0)
    monkeypatch.setattr(_compiled, "GAINS", np.inf)
    monkeypatch.setattr(_compiled, "TRIED_SHARE", 1)
    monkeypatch.setattr(_compiled, "LEAST_GAIN", 0.0)
    monkeypatch.setattr(_segments, "PER_THREAD", 1000)


def forgetful(y, x):
    return np.tanh(0.5 * y + x)


def mixed(y, x):
    one, two = x
    return np.stack([np.tanh(0.5 * y[..., 1] + one[..., 0]), 0.3 * np.cos(y[..., 0]) * two], axis=-1)


def still(y):
    return np.cos(0.9 * y)


def matrix(y, x, A):
    return np.tanh(y @ A + x)


RNG = np.random.default_rng(5)
T = 12_000
PROBLEMS = {
    "inputs": (forgetful, np.zeros(2), RNG.standard_normal((T, 2)), None, ()),
    "one component": (forgetful, np.zeros(1), RNG.standard_normal((T, 1)), None, ()),
    "ragged": (forgetful, np.zeros(2), RNG.standard_normal((T + 13, 2)), None, ()),
    "batch of two axes": (forgetful, np.zeros((2, 3, 1)), RNG.standard_normal((T, 2, 3, 1)), None, ()),
    "inputs that broadcast": (forgetful, np.zeros((3, 2)), RNG.standard_normal((T, 1, 2)), None, ()),
    "tuple": (mixed, np.zeros(2), (RNG.random((T, 1)), RNG.random(T)), None, ()),
    "no inputs": (still, np.array([0.3, 2.0]), None, T, ()),
    "arguments": (matrix, np.zeros(20), RNG.standard_normal((T, 20)), None, (0.1 * RNG.standard_normal((20, 20)),)),
    "integer inputs": (forgetful, np.zeros(1), RNG.integers(-2, 3, (T, 1)), None, ()),
    "strided inputs": (forgetful, np.zeros(2), RNG.standard_normal((T, 5, 2))[:, 3].T.copy().T, None, ()),
    "reversed inputs": (forgetful, np.zeros(2), RNG.standard_normal((2 * T, 2))[::-2], None, ()),
    "the same input ever": (forgetful, np.zeros(2), np.broadcast_to(RNG.random(2), (T, 2)), None, ()),
    "single precision": (forgetful, np.zeros(3, "f4"), RNG.standard_normal((T, 3)).astype("f4"), None, ()),
}


@cache
def looped(name):
    step, y0, x, length, args = PROBLEMS[name]
    return loop(step, y0, x if length is None else length, args)


@pytest.mark.parametrize("method", ["auto", "jacobi"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_segments_are_the_loop(name, method):
    step, y0, x, length, args = PROBLEMS[name]
    for part in x if isinstance(x, tuple) else () if x is None else (x,):
        part.flags.writeable = False
    sol = solve_recurrence(step, y0, x, length=length, args=args, method=method, compile=True)
    expected = looped(name)
    assert sol.success
    assert sol.compiled
    assert sol.method == "jacobi"
    assert 2 <= sol.iterations <= 4
    assert sol.nfev < 200
    assert sol.y.dtype == expected.dtype
    tolerance = 1e-12 if expected.dtype == np.float64 else 1e-5
    np.testing.assert_allclose(sol.y, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("method", ["auto", "jacobi"])
@pytest.mark.parametrize("steps", [0, 1, 2, 7, 65, 100, 1001])
def test_few_steps(steps, method):
    x = RNG.standard_normal((steps, 2))
    sol = solve_recurrence(forgetful, np.zeros(2), x, method=method, compile=True)
    assert sol.success
    np.testing.assert_allclose(sol.y, loop(forgetful, np.zeros(2), x).reshape(steps, 2), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", [{"segment_length": 1}, {"segment_length": 37}, {"window": 3001}, {"rtol": 1e-4}])
def test_options_are_kept(options):
    x = RNG.standard_normal((T, 2))
    sol = solve_recurrence(forgetful, np.zeros(2), x, method="jacobi", compile=True, **options)
    assert sol.success
    assert sol.compiled
    assert sol.segment_length == options.get("segment_length", sol.segment_length)
    if "window" in options:
        assert [attempt.end for attempt in sol.attempts] == [3001, 6002, 9003, T]
    np.testing.assert_allclose(sol.y, loop(forgetful, np.zeros(2), x), rtol=1e-9, atol=1e-9)


def test_a_guess_is_used():
    x = RNG.standard_normal((T, 2))
    first = solve_recurrence(forgetful, np.zeros(2), x, method="jacobi", compile=True)
    again = solve_recurrence(forgetful, np.zeros(2), x, method="jacobi", compile=True, guess=first)
    assert again.history[0] <= 1e-3 < first.history[0]
    np.testing.assert_allclose(again.y, first.y, rtol=1e-12, atol=1e-14)


def test_progress_is_reported():
    seen = []
    solve_recurrence(
        forgetful, np.zeros(2), RNG.standard_normal((T, 2)), method="jacobi", compile=True, progress=seen.append
    )
    assert [one.method for one in seen] == ["jacobi"] * len(seen)
    assert seen[-1].done == T


def test_a_long_memory_has_few_segments(monkeypatch):
    """As many as one vector has for each thread; with several vectors beside each other, segments are too short."""
    monkeypatch.setattr(_compiled, "TRIED_SHARE", 8)
    monkeypatch.setattr(_compiled, "available_threads", lambda: 2)

    def step(y, x):
        return 0.96 * y + x

    x = RNG.random((40_000, 1))
    sol = solve_recurrence(step, np.zeros(1), x, compile=True)
    assert sol.method == "jacobi"
    assert sol.iterations == 2
    assert sol.segment_length == (40_000 - 8) // (2 * vector_bytes() // 8)
    np.testing.assert_allclose(sol.y, loop(step, np.zeros(1), x), rtol=1e-13)


def test_resets_let_trajectories_meet_at_once():
    x = RNG.random((T, 1))

    def step(y, x):
        return np.where(x > 0.95, 0.0, y + x)

    sol = solve_recurrence(step, np.zeros(1), x, compile=True)
    assert sol.method == "jacobi"
    np.testing.assert_array_equal(sol.y, loop(step, np.zeros(1), x))


def chaotic(y, x):
    return 3.9 * y * (1 - y) + 0 * x


def slow(y, x):
    return 0.9999 * y + x


@pytest.mark.parametrize("step", [chaotic, slow])
def test_what_does_not_forget_is_looped_at_once(step):
    x = RNG.random((T, 1))
    sol = solve_recurrence(step, np.array([0.3]), x, compile=True)
    assert sol.method == "sequential"
    assert sol.compiled
    assert not sol.attempts


def test_what_forgets_at_some_places_only_is_right():
    """In the middle, where it is tried, the past is forgotten; elsewhere it is not."""
    gain = np.ones((T, 1))
    gain[4000:8000] = 0.1

    def step(y, x):
        return 0.05 + 3.6 * x * y * (1 - y)

    sol = solve_recurrence(step, np.array([0.3]), gain, compile=True)
    assert sol.success
    assert sol.compiled
    assert sol.looped > 0
    np.testing.assert_allclose(sol.y, loop(step, np.array([0.3]), gain), rtol=1e-9)


def test_the_memory_is_measured():
    x = RNG.standard_normal((T, 1))
    for factor, low, high in ((0.5, 30, 60), (0.9, 200, 400), (0.99, np.inf, np.inf)):

        def step(y, x, factor=factor):
            return factor * y + x

        code = _code_of(step, x)
        assert low <= memory_of(code, np.array([[0.3]]), T, 1000) <= high


def _code_of(step, x):
    from parscan._arrays.namespace import array_namespace
    from parscan._functions.step import Step
    from parscan._linalg.dense import Dense
    from parscan._recorded.native.loop import compiled_loop

    made = Step(step, x, (), None, Dense(), array_namespace(x))
    program = record_step(made, np.array([[0.3]])).program
    return Code(made, program, compiled_loop(program))


def exploding(y, x):
    return y**2 + x


@pytest.mark.parametrize("method", ["auto", "jacobi"])
def test_a_state_that_is_not_finite_ends_the_trajectory(method):
    x = np.full((T, 1), 0.1)
    x[7000] = 1e200
    sol = solve_recurrence(exploding, np.array([0.1]), x, method=method, compile=True)
    with np.errstate(all="ignore"):
        expected = loop(exploding, np.array([0.1]), x)
    assert not sol.success
    np.testing.assert_allclose(sol.y[:7002], expected[:7002], rtol=1e-12)
    assert np.isnan(sol.y[7002:]).all()


def spoil(monkeypatch, lanes_only, first):
    """Let code for segments give wrong values from a step on."""
    run = _segments.Segments.run

    def wrong(self, starts, begin, end):
        are_finite = run(self, starts, begin, end)
        if len(self._outs[0]) >= lanes_only:
            with np.errstate(invalid="ignore"):  # rows that are not written yet may be anything
                self._outs[0][first:, ..., 0] *= 1 + 1e-6
        return are_finite

    monkeypatch.setattr(_segments.Segments, "run", wrong)


@pytest.mark.parametrize(
    ("long", "first", "said"), [(0, 0, "not marched by machine code"), (1000, 5000, "computed again without it")]
)
def test_code_that_is_wrong_is_not_used(monkeypatch, long, first, said):
    spoil(monkeypatch, long, first)

    def step(y, x):
        return np.tanh(0.45 * y + x)

    x = RNG.standard_normal((T, 2))
    sol = solve_recurrence(step, np.zeros(2), x, compile=True)
    assert said in sol.decisions[0]
    np.testing.assert_allclose(sol.y, loop(step, np.zeros(2), x), rtol=1e-12, atol=1e-14)


def test_lanes_are_bought_once_loops_took_as_long_as_compiling(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(_compiled, "LANES", Ledger())
    monkeypatch.setattr(_compiled, "WORTH_SWEEPING", 0.0)
    monkeypatch.setattr(_compiled, "GAINS", np.inf)

    def step(y, x):
        return np.tanh(0.4125 * y + x)

    x = RNG.standard_normal((50_000, 2))
    found = [solve_recurrence(step, np.zeros(2), x, compile=True).method for _ in range(60)]
    assert found[0] == "sequential"
    assert found[-1] == "jacobi"
    assert found == sorted(found, reverse=True)


NODES = st.sampled_from(["tanh", "sin", "cos", "sum", "product", "maximum", "where", "roll"])
CONTRACTIONS = {
    "operations": st.lists(NODES, min_size=1, max_size=6),
    "n": st.integers(1, 5),
    "steps": st.integers(200, 3000),
    "length": st.integers(1, 400),
    "seed": st.integers(0, 100),
    "dtype": st.sampled_from(["float32", "float64"]),
}


@settings(max_examples=5)
@given(**CONTRACTIONS)
def test_some_random_contractions(**contraction):
    compare_contraction(**contraction)


@pytest.mark.slow
@settings(max_examples=25)
@given(**CONTRACTIONS)
def test_random_contractions(**contraction):
    compare_contraction(**contraction)


def compare_contraction(operations, n, steps, length, seed, dtype):
    rng = np.random.default_rng(seed)
    weights = rng.uniform(-1, 1, (len(operations), n)).astype(dtype)
    functions = {
        "tanh": lambda v, w: np.tanh(v + w), "sin": lambda v, w: np.sin(v * w), "cos": lambda v, w: np.cos(v + w),
        "sum": lambda v, w: v * w + np.sum(v, axis=-1, keepdims=True) / n, "product": lambda v, w: v * w * np.cos(v),
        "maximum": np.maximum, "where": lambda v, w: np.where(v > w, v, w),
        "roll": lambda v, w: np.roll(v, 1, axis=-1),
    }  # fmt: skip

    def step(y, x):
        for name, weight in zip(operations, weights, strict=True):
            y = functions[name](y, weight)
        return (0.1 * np.tanh(y) + x).astype(y.dtype)

    y0, x = np.zeros(n, dtype), rng.standard_normal((steps, n)).astype(dtype)
    sol = solve_recurrence(step, y0, x, method="jacobi", segment_length=length, compile=True)
    assert sol.success
    assert sol.y.dtype == dtype
    tolerance = 1e-10 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(sol.y, loop(step, y0, x), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("members", [17, 20, 25])
def test_states_of_fewer_elements_than_lanes(members):
    """Inputs of a loop are copied for the lanes several at a time, but not more than there are."""
    program = record(lambda y, x: 0.5 * y + x, [np.zeros((1, members)), np.zeros((1, members))]).program
    lanes = Lanes(program, several=True)
    steps, sequences = 3, lanes.width(64)
    assert sequences > members
    rng = np.random.default_rng(members)
    states, x = rng.standard_normal((sequences, 1, members)), rng.standard_normal((steps, sequences, 1, members))
    outs = np.empty_like(x)
    lanes.run(states, [x], [outs], 0, steps)
    for t in range(steps):
        states = 0.5 * states + x[t]
        np.testing.assert_allclose(outs[t], states, rtol=1e-13)


def test_new_parameters_are_checked_but_not_measured_anew(monkeypatch):
    measured, checked = [], []
    real_pace, real_check = _compiled.pace, _compiled.CompiledSegments._is_wrong
    monkeypatch.setattr(_compiled, "MEASURED", Measurements())
    monkeypatch.setattr(_compiled, "pace", lambda *args: measured.append(1) or real_pace(*args))
    monkeypatch.setattr(_compiled.CompiledSegments, "_is_wrong", lambda *args: checked.append(1) or real_check(*args))
    x = np.random.default_rng(1).standard_normal((3000, 2))
    for rate in np.linspace(0.31, 0.59, 8):
        args = lambda y, x, rate: np.tanh(rate * y + x), np.zeros(2), x
        found = solve_recurrence(*args, args=(rate,), method="jacobi", compile=True)
        wanted = solve_recurrence(*args, args=(rate,), method="sequential", compile=False)
        assert found.compiled
        np.testing.assert_allclose(found.y, wanted.y, atol=1e-12)
    assert len(measured) == 4 * _compiled.ROUNDS
    assert len(checked) == 8
