"""Solves that repeat an earlier one: they leave out all that is the same, and none of the checks."""

import ctypes
import gc
import sys
import weakref
from contextlib import suppress
from dataclasses import fields
from itertools import count
from math import inf

import numpy as np
import pytest
from problems import loop

from parscan import solve_recurrence
from parscan._recorded.native import overlap as _overlap
from parscan._recorded.native import segments as _segments
from parscan._recorded.native.lanes import March
from parscan._recorded.native.watch import Watched
from parscan._recurrence import choose, decide
from parscan._recurrence import code as _code
from parscan._recurrence import compiled_segments as _compiled
from parscan._recurrence import repeat as _repeat
from parscan._recurrence import solve as _solve
from parscan._recurrence.systems import compiled as _systems

T = 3000
X = np.random.default_rng(1).uniform(0.5, 1, (T, 2))
START = np.full(2, 0.3)
RATE = 3.9
NUMBERS = count()


def make():
    """A function with a constant of its own, which does not forget its start: nothing is known of it."""
    rate = 3.9 - 1e-5 * next(NUMBERS)
    return lambda y, x: rate * x * y * (1 - y)


@pytest.fixture
def repeats(monkeypatch):
    """Whether each solve was a repetition."""
    found = []

    def noted(*arguments):
        sol = _repeat.repeated(*arguments)
        found.append(sol is not None)
        return sol

    monkeypatch.setattr(_solve, "repeated", noted)
    return found


def solved(step, x=X, y0=START, **options):
    return solve_recurrence(step, y0, x, **{"compile": True, **options})


def test_the_third_solve_is_repeated(repeats):
    step = make()
    _, second, third = (solved(step) for _ in range(3))
    assert repeats == [False, False, True]
    for field in fields(second):
        if field.name not in ("y", "_solution"):
            assert getattr(second, field.name) == getattr(third, field.name), field.name
    np.testing.assert_array_equal(third.y, loop(step, START, X))
    assert second.y is not third.y
    assert third.residual == 0
    np.testing.assert_allclose(second.tangent(None, np.eye(2)), third.tangent(None, np.eye(2)))


@pytest.mark.parametrize("steps", [2, 7, 8, 9, 63, 64, 100, 127])
def test_few_steps_are_repeated(repeats, steps):
    """The checks of a choice that is made anew would take as long as the steps."""
    step, called = make(), []
    found = [solved(step, X[:steps]) for _ in range(4)]
    sys.setprofile(lambda frame, event, _: called.append(frame.f_code) if event == "call" else None)
    found.append(solved(step, X[:steps]))
    sys.setprofile(None)
    assert repeats == [False, False, True, True, True]
    assert called.count(step.__code__) == 1  # on a sample of the trajectory
    assert len(called) <= 60
    for field in fields(found[1]):
        if field.name not in ("y", "_solution"):
            assert getattr(found[1], field.name) == getattr(found[4], field.name), field.name
    for sol in found:
        np.testing.assert_array_equal(sol.y, loop(step, START, X[:steps]))


def test_few_steps_whose_code_was_bought_are_repeated(repeats, monkeypatch):
    """By default as well: the straight way of brief loops comes after it."""
    for name in ("WORTH_RECORDING", "WORTH_RUNNING", "WORTH_SAVING"):
        monkeypatch.setattr(_code, name, 0.0)
    monkeypatch.setattr(_code.LEDGER, "buys", lambda *_: True)
    monkeypatch.setattr(_code.LEDGER, "buys_anew", lambda *_: True)
    step = make()
    found = [solved(step, X[:100], compile=None) for _ in range(4)]
    assert repeats[-2:] == [True, True]
    assert found[-1].compiled
    np.testing.assert_array_equal(found[-1].y, loop(step, START, X[:100]))


def test_a_result_does_not_change_with_the_state_that_was_given(repeats):
    step, y0 = make(), START.copy()
    for _ in range(3):
        sol = solved(step, y0=y0)
    y0[...] = 0
    assert repeats[-1]
    assert sol.residual == 0
    assert not np.shares_memory(sol._solved("tangent").y0, y0)


@pytest.mark.parametrize("x", [X, (X, X[:, :1]), None])
def test_inputs_of_every_kind(repeats, x):
    def one(y, *given):
        return 3.8 * y * (1 - y)

    def several(y, x):
        return 3.8 * x[0] * x[1] * y * (1 - y)

    step = several if isinstance(x, tuple) else make() if x is not None else one
    options = {"length": T} if x is None else {}
    for _ in range(3):
        sol = solved(step, x, **options)
        assert sol.success
    assert repeats == [False, False, True]
    given = np.zeros((T, 1)) if x is None else x
    expected, y = np.empty_like(sol.y), START[None]
    for t in range(T):
        rows = tuple(part[t : t + 1] for part in given) if isinstance(given, tuple) else given[t : t + 1]
        expected[t] = y = step(y, rows)
    np.testing.assert_array_equal(sol.y, expected)


def test_what_the_step_reads_is_read_again(repeats, monkeypatch):
    table = np.array([3.9])

    def step(y, x):
        return RATE * x * y * (1 - y)

    def other(y, x):
        return table[0] * x * y * (1 - y)

    for function in (step, other):
        for _ in range(3):
            solved(function)
        assert repeats[-1]
    monkeypatch.setitem(globals(), "RATE", RATE * (1 + 1e-14))  # which the sample would not notice
    table[0] *= 1 + 1e-14
    for function in (step, other):
        np.testing.assert_array_equal(solved(function).y, loop(function, START, X))
        assert not repeats[-1]
    step.__code__ = (lambda y, x: (RATE - 0.2) * x * y * (1 - y)).__code__
    np.testing.assert_array_equal(solved(step).y, loop(step, START, X))
    assert not repeats[-1]


def test_arguments_are_compared(repeats):
    def step(y, x, rate):
        return rate * x * y * (1 - y)

    for rate in (3.9, 3.9, 3.9, 3.8, np.array([3.9, 3.7])):
        sol = solved(step, args=(rate,))
        np.testing.assert_array_equal(sol.y, loop(lambda y, x, rate=rate: step(y, x, rate), START, X))
    assert repeats == [False, False, True, False, False]


@pytest.mark.parametrize(
    "options",
    [{"rtol": 1e-9}, {"atol": 1e-9}, {"method": "sequential"}, {"jac": lambda y, x: 3.9 * x[..., None] * np.eye(2)},
     {"progress": lambda progress: None}, {"max_iterations": 7}, {"window": 500}, {"segment_length": 100},
     {"guess": np.full((T, 2), 0.5)}, {"compile": None}, {"compile": False}, {"y0": START.astype(np.float32)},
     {"x": X[:-1]}, {"x": X[::-1]}, {"y0": START.tolist()}],
)  # fmt: skip
def test_other_solves_are_no_repetitions(repeats, options):
    step = make()
    for _ in range(3):
        solved(step)
    with suppress(TypeError, ValueError):  # the wrong Jacobian, the other precision
        solved(step, **options)
    assert repeats == [False, False, True, False]


class Odd:
    """Looks like an array, and has no hash."""

    shape, dtype, strides = [3], {}, ()


WRONG = [({"x": Odd()}, TypeError), ({"y0": Odd()}, TypeError), ({"length": np.array(7)}, ValueError),
         ({"length": [7]}, ValueError),
         ({"compile": 1}, TypeError), ({"length": 7}, ValueError), ({"args": [1]}, TypeError),
         ({"method": "auto "}, ValueError)]  # fmt: skip


@pytest.mark.parametrize(("options", "error"), WRONG)
def test_wrong_arguments_raise_as_ever(options, error):
    step = make()
    for _ in range(3):
        solved(step)
    with pytest.raises(error):
        solved(step, **options)


class Sub(np.ndarray):
    """Arrays of a class of the user's, which steps never see."""


@pytest.mark.parametrize("kind", [Sub, np.matrix])
def test_subclasses_are_no_repetitions(repeats, kind):
    seen = set()

    def step(y, x):
        seen.update((type(y), type(x)))
        return 3.8 * x * y * (1 - y)

    for _ in range(3):
        np.testing.assert_array_equal(solved(step, X.view(kind)).y, loop(step, START, X))
        np.testing.assert_array_equal(solved(step, X, START.view(Sub)).y, loop(step, START, X))
    assert kind not in seen
    assert not any(repeats)


def test_complex_states(repeats):
    turn = np.exp(0.1j)

    def step(y):
        return turn * y + 0.01 * y * abs(y) * (1 - abs(y))

    for _ in range(3):
        sol = solve_recurrence(step, START + 0.1j, length=T, compile=True)
        np.testing.assert_allclose(sol.y[1:], step(sol.y[:-1]), rtol=1e-14)
        assert sol.residual < 1e-14
    assert repeats[-1]


def test_other_inputs_are_solved_as_others(repeats):
    step = make()
    for shift in (0, 0, 0, 1, 2, 3, 3, 4):
        x = X - 0.01 * shift
        np.testing.assert_array_equal(solved(step, x).y, loop(step, START, x))
    # New inputs are tried for the first time and for the second, the fourth, ...; so is the solve after a new choice.
    assert repeats[2]
    assert not all(repeats[3:])


def test_a_trajectory_that_ends_early_ends_as_ever(repeats, monkeypatch):
    for module in (choose, decide):  # without code, it is the loop that ends, whatever its first steps take
        monkeypatch.setattr(module, "BRIEF", inf)
    step = make()
    for _ in range(3):
        solved(step)
    x = X.copy()
    x[1700] = 1e200
    sol, expected = solved(step, x), solved(step, x, compile=False)
    assert repeats == [False, False, True, False, False]
    assert not sol.success
    assert sol.message.partition("auto")[0] == expected.message.partition("auto")[0]
    np.testing.assert_array_equal(sol.y, expected.y)


def test_wrong_code_is_withdrawn(repeats, monkeypatch):
    step, call = make(), Watched.__call__
    for _ in range(3):
        solved(step)

    def wrong(self, memory, arrays, steps, *, watches):
        states = (ctypes.c_double * (steps * START.size)).from_address(arrays[-3])
        found = call(self, memory, arrays, steps, watches=watches)
        np.asarray(states)[...] *= 1 + 1e-6
        return found

    monkeypatch.setattr(Watched, "__call__", wrong)
    sol = solved(step)
    assert repeats == [False, False, True, False]
    assert "computed again without it" in sol.decisions[0]
    np.testing.assert_array_equal(sol.y, loop(step, START, X))
    monkeypatch.setattr(Watched, "__call__", call)
    solved(step)
    assert not repeats[-1]  # the recording was forgotten


def test_a_function_that_changes_unseen_is_found_out(repeats):
    """By the sample, if its witness is blind."""

    def step(y, x):
        return 3.85 * x * y * (1 - y)

    for _ in range(3):
        solved(step)
    [one] = [one for one in _repeat._known.values() if one.function() is step]
    object.__setattr__(one, "witness", type("Blind", (), {"holds": lambda *_: True})())
    step.__code__ = (lambda y, x: 3.5 * x * y * (1 - y)).__code__
    sol = solved(step)
    assert not repeats[-1]
    np.testing.assert_array_equal(sol.y, loop(step, START, X))


def test_exceptions_of_the_sample_are_left_to_others(repeats):
    raises = []

    def step(y, x):
        if raises:
            raise ArithmeticError("now")
        return 3.9 * x * y * (1 - y)

    for _ in range(3):
        solved(step)
    assert repeats[-1]
    raises.append(1)
    with pytest.raises(ArithmeticError):
        solved(step)
    assert not repeats[-1]


def test_functions_are_not_kept_alive():
    step = make()
    for _ in range(3):
        solved(step)
    gone = weakref.ref(step)
    del step
    gc.collect()
    assert gone() is None


def test_few_are_kept(monkeypatch, repeats):
    monkeypatch.setattr(_repeat, "KEPT", 2)
    steps = [make() for _ in range(3)]
    for step in (*steps, *steps):
        solved(step)
    assert len(_repeat._known) <= 2
    for step in (steps[2], steps[1], steps[0]):
        solved(step)
    assert repeats[-3:] == [True, True, False]


# Sweeps over segments


@pytest.fixture
def swept(monkeypatch):
    """Segments are taken however short the loop is, and compiling them costs nothing."""
    monkeypatch.setattr(_compiled, "WORTH_SWEEPING", 0.0)
    monkeypatch.setattr(_compiled, "GAINS", np.inf)
    monkeypatch.setattr(_compiled, "LEAST_GAIN", 0.0)
    monkeypatch.setattr(_compiled.LANES, "pays", lambda program, seconds: True)
    monkeypatch.setattr(_segments, "PER_THREAD", 1000)


LONG = 12_000
SIGNAL = np.random.default_rng(2).standard_normal((LONG, 20))


def forgetful(rate=0.4):
    """A function that forgets its start, with a constant of its own."""
    rate = rate - 1e-5 * next(NUMBERS)
    return lambda y, x: np.tanh(rate * y + x)


def mixing(n):
    """A network whose sweeps meet up to rounding errors only, for a while."""
    weights = np.random.default_rng(next(NUMBERS)).standard_normal((n, n)) * 0.5 / np.sqrt(n)
    return lambda y, x: np.tanh(y @ weights + x)


def compared(one, other, *, exactly=True):
    """Two results of the same solve."""
    for field in fields(one):
        if field.name not in ("y", "_solution"):
            assert getattr(one, field.name) == getattr(other, field.name), field.name
    np.testing.assert_allclose(one.y, other.y, rtol=0 if exactly else 1e-13, atol=0 if exactly else 1e-14)


@pytest.mark.parametrize("steps", [LONG, LONG - 1, LONG - 37, 3001])
def test_sweeps_are_repeated(swept, repeats, steps):
    step, x = forgetful(), SIGNAL[:steps, :2]
    _, second, third, fourth = (solved(step, x) for _ in range(4))
    assert repeats == [False, False, True, True]
    assert third.method == "jacobi"
    compared(second, third)
    compared(third, fourth)
    np.testing.assert_allclose(third.y, loop(step, START, x), rtol=1e-12, atol=1e-14)
    assert third.residual < 1e-14


def test_sweeps_that_meet_up_to_rounding_are_repeated(swept, repeats, monkeypatch):
    step, x = mixing(20), SIGNAL
    seen = []
    real = _repeat._swept
    monkeypatch.setattr(_repeat, "_swept", lambda loop, lanes, *rest: seen.append(lanes) or real(loop, lanes, *rest))
    monkeypatch.setattr(_systems, "LONG", 1000)  # they meet to the last bit later
    _, second, third = (solved(step, x, np.zeros(20)) for _ in range(3))
    assert repeats == [False, False, True]
    assert seen[0].rounded
    compared(second, third, exactly=False)
    np.testing.assert_allclose(third.y, loop(step, np.zeros(20), x), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", ["single", "tuple", "no inputs", "the same input", "complex", "batch"])
def test_sweeps_of_every_kind(swept, repeats, kind):
    y0, x, options = START, SIGNAL[:, :2], {}
    step = forgetful()
    if kind == "single":
        y0, x = y0.astype("f4"), np.tile(x, (3, 1)).astype("f4")  # twice as many segments
    elif kind == "tuple":
        x = (x, x[:, :1].copy())
        step = lambda y, x: np.tanh(0.4 * y * x[1] + x[0])  # noqa: E731
    elif kind == "no inputs":
        x, options, step = None, {"length": LONG}, lambda y: np.cos(0.9 * y)
    elif kind == "the same input":
        x = np.broadcast_to(x[0], x.shape)
    elif kind == "complex":
        y0, step = y0 + 0.1j, lambda y, x: 0.3j * y + 0.1 * np.exp(-abs(y)) * x
    else:
        y0, x = np.zeros((3, 1)), SIGNAL[:, :3, None].copy()
    results = [solved(step, x, y0, **options) for _ in range(4)]
    compared(results[1], results[2], exactly=kind not in ("complex", "no inputs"))
    if kind != "batch":  # whose loop fills vectors
        assert repeats == [False, False, True, True]
        assert results[2].method == "jacobi"
    given = LONG if x is None else x
    tolerance = 1e-5 if kind == "single" else 1e-12
    np.testing.assert_allclose(results[2].y, loop(step, y0, given), rtol=tolerance, atol=tolerance)


class Model:
    """Has a step, which is another object each time."""

    def __init__(self, rate):
        self.rate = rate

    def step(self, y, x):
        return np.tanh(self.rate * y + x)


def test_methods_are_repeated(swept, repeats):
    models, x = [Model(0.4), Model(0.3)], SIGNAL[:, :2]
    for _ in range(3):
        for model in models:
            np.testing.assert_allclose(solved(model.step, x).y, loop(model.step, START, x), rtol=1e-12, atol=1e-14)
    assert repeats == [False] * 4 + [True] * 2
    models[0].rate = 0.2
    np.testing.assert_allclose(solved(models[0].step, x).y, loop(models[0].step, START, x), rtol=1e-12, atol=1e-14)
    assert not repeats[-1]
    gone = weakref.ref(models.pop())
    del model
    gc.collect()
    assert gone() is None


def test_segments_that_need_longer_are_swept_as_ever(swept, repeats):
    """The recurrence forgets fast, where the inputs of the first solves are, and slowly with others."""
    x, slow = np.ones((LONG, 2)), SIGNAL[:, :2].copy()
    x[:, 1] = slow[:, 1] = SIGNAL[:, 1]
    slow[:, 0] = 1.5

    def step(y, x):
        return y * x[..., :1] / (x[..., :1] + 1) + x[..., 1:]

    for _ in range(3):
        solved(step, x, np.zeros(1))
    assert repeats == [False, False, True]
    for _ in range(6):
        sol = solved(step, slow, np.zeros(1))
        assert sol.success
        np.testing.assert_allclose(sol.y, loop(step, np.zeros(1), slow), rtol=1e-12, atol=1e-12)
    assert not repeats[3]
    assert repeats[-1]


def test_sweeps_that_end_early_end_as_ever(swept, repeats):
    step = lambda y, x: 0.3 * y * y + 0.1 * np.tanh(x) * y + 0.1 * x  # noqa: E731
    for _ in range(3):
        solved(step, np.tanh(SIGNAL[:, :2]))
    x = np.tanh(SIGNAL[:, :2])
    x[7000] = 1e200
    sol, expected = solved(step, x), solved(step, x, compile=False)
    assert repeats == [False, False, True, False, False]
    assert not sol.success
    assert sol.message.partition("auto")[0] == expected.message.partition("auto")[0]
    np.testing.assert_allclose(sol.y, expected.y, rtol=1e-12, atol=1e-14)


def test_wrong_code_of_segments_is_withdrawn(swept, repeats, monkeypatch):
    step, x, tasks = forgetful(), SIGNAL[:, :2], March.tasks
    for _ in range(3):
        solved(step, x)

    def wrong(self, steps, threads=1):
        def run(task):
            task()
            self._outs[0][...] *= 1 + 1e-6

        return [lambda task=task: run(task) for task in tasks(self, steps, threads)]

    monkeypatch.setattr(March, "tasks", wrong)
    sol = solved(step, x)
    assert repeats == [False, False, True, False]
    np.testing.assert_allclose(sol.y, loop(step, START, x), rtol=1e-12, atol=1e-14)


def test_repeated_sweeps_by_any_number_of_threads(swept, repeats, monkeypatch):
    for threads in (1, 2, 3, 5):
        monkeypatch.setattr(_repeat, "available_threads", lambda threads=threads: threads)
        monkeypatch.setattr(_compiled, "available_threads", lambda threads=threads: threads)
        step, x = forgetful(), SIGNAL[:, :2]
        _, second, third = (solved(step, x) for _ in range(3))
        assert repeats[-3:] == [False, False, True]
        compared(second, third)


def test_segments_that_do_not_agree_are_given_more_steps(swept, repeats, monkeypatch):
    """Where they begin in repeated solves, they may need more than in sweeps, which would be repeated in vain."""
    step, x, real, memories = forgetful(), SIGNAL[:, :2], _overlap.march_overlapping, []

    def apart(lanes, y0, inputs, out, begin, memory, threads):
        memories.append(memory)
        joints = real(lanes, y0, inputs, out, begin, memory, threads)
        return joints._replace(states=joints.states + 1e-9)

    for _ in range(2):
        solved(step, x)
    monkeypatch.setattr(_overlap, "march_overlapping", apart)
    for _ in range(3):
        np.testing.assert_allclose(solved(step, x).y, loop(step, START, x), rtol=1e-12, atol=1e-14)
    assert not any(repeats)
    assert memories == [memories[0] + 8 * k for k in range(3)]
