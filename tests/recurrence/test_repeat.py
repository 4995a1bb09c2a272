"""Solves that repeat an earlier one: they leave out all that is the same, and none of the checks."""

import gc
import weakref
from contextlib import suppress
from dataclasses import fields
from itertools import count

import numpy as np
import pytest
from problems import loop

from parscan import solve_recurrence
from parscan._recorded.native.loop import Loop
from parscan._recurrence import repeat as _repeat
from parscan._recurrence import solve as _solve

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


def test_a_result_does_not_change_with_the_state_that_was_given(repeats):
    step, y0 = make(), START.copy()
    for _ in range(3):
        sol = solved(step, y0=y0)
    y0[...] = 0
    assert repeats[-1]
    assert sol.residual == 0
    assert not np.shares_memory(sol._solution.y0, y0)


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


def test_a_trajectory_that_ends_early_ends_as_ever(repeats):
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
    step, run = make(), Loop.run
    for _ in range(3):
        solved(step)

    def wrong(self, state, inputs, out, begin, end, report=None):
        found = run(self, state, inputs, out, begin, end, report)
        out[begin:end] *= 1 + 1e-6
        return found

    monkeypatch.setattr(Loop, "run", wrong)
    sol = solved(step)
    assert repeats == [False, False, True, False]
    assert "computed again without it" in sol.decisions[0]
    np.testing.assert_array_equal(sol.y, loop(step, START, X))
    monkeypatch.setattr(Loop, "run", run)
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
