"""Recurrences by machine code of the recorded step: the loop of the user's function, and nothing else, is right."""

import math
import time
import warnings
from array import array
from collections import deque
from functools import cache
from itertools import count
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
from problems import loop, lorenz
from scipy.stats import norm

from parscan import solve_recurrence, trace
from parscan._recorded import budget
from parscan._recorded import witness as _witness
from parscan._recorded.budget import COMPILING, PER_OPERATION, Ledger, Measurements
from parscan._recorded.native import loop as _loop
from parscan._recorded.record import record
from parscan._recurrence import choose
from parscan._recurrence import code as _code


def forgetful(y, x):
    return np.tanh(0.8 * y + x)


def switched(y, x):
    level, slope = x
    return np.where(y > level, y - slope, 1.01 * y + 0.1)


def scaled(y, x, gain, table):
    return gain * y + np.interp(x, np.linspace(-3, 3, 7), table)


RNG = np.random.default_rng(5)
T = 3000
PROBLEMS = {
    "chaotic": (lorenz, np.ones(3), None, T, ()),
    "chaotic batch": (lorenz, 1 + 0.1 * RNG.standard_normal((4, 3)), None, T, ()),
    "inputs": (forgetful, np.zeros(2), RNG.standard_normal((T, 2)), None, ()),
    "inputs, batch of two axes": (forgetful, np.zeros((2, 3, 1)), RNG.standard_normal((T, 2, 3, 1)), None, ()),
    "inputs that broadcast": (forgetful, np.zeros((3, 2)), RNG.standard_normal((T, 1, 2)), None, ()),
    "tuple": (switched, np.zeros(1), (RNG.random((T, 1)), RNG.random((T, 1))), None, ()),
    "arguments": (scaled, np.zeros(1), RNG.standard_normal((T, 1)), None, (0.9, RNG.random(7))),
    "integer inputs": (forgetful, np.zeros(1), RNG.integers(-2, 3, (T, 1)), None, ()),
    "Boolean inputs": (lambda y, x: np.where(x, y + 1, 0.5 * y), np.zeros(1), RNG.random((T, 1)) > 0.5, None, ()),
}


@cache
def looped(name):
    step, y0, x, length, args = PROBLEMS[name]
    return loop(step, y0, x if length is None else length, args)


@pytest.mark.parametrize("method", ["sequential", "auto", "newton"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_the_loop_by_machine_code_is_the_loop(name, method):
    step, y0, x, length, args = PROBLEMS[name]
    if method == "newton" and name.startswith(("chaotic", "tuple")):
        pytest.skip("Newton's method is not for these")
    sol = solve_recurrence(step, y0, x, length=length, args=args, method=method, compile=True)
    exact = looped(name)
    assert sol.success
    assert sol.y.dtype == exact.dtype
    early = slice(0, 500 if name.startswith("chaotic") else None)
    np.testing.assert_allclose(sol.y[early], exact[early], rtol=1e-9, atol=1e-9)
    assert sol.compiled == (sol.looped > 0 or (method == "newton" and y0.ndim == 1))
    if method == "sequential":
        assert sol.compiled
        assert sol.nfev < T // 2


@pytest.mark.parametrize("shape", [(3,), (2, 5, 3)])
def test_arithmetic_is_that_of_the_loop_to_the_last_bit(shape):
    """Sums and products are rounded one by one, so that even chaos agrees."""
    y0 = 1 + np.random.default_rng(0).random(shape)
    sol = solve_recurrence(lorenz, y0, length=T, method="sequential", compile=True)
    assert sol.compiled
    np.testing.assert_array_equal(sol.y, loop(lorenz, y0, T))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_step_follows_from_the_one_before(dtype):
    """The deviation of a chaotic trajectory says nothing; that of a single step does."""
    sol = solve_recurrence(lorenz, np.ones(3, dtype), length=T, method="sequential", compile=True)
    assert sol.y.dtype == dtype
    after = lorenz(sol.y[:-1])
    np.testing.assert_allclose(sol.y[1:], after, rtol=20 * np.finfo(dtype).eps, atol=20 * np.finfo(dtype).eps * 50)


def test_a_few_steps_are_not_compiled(clock):
    step = clock.timed(lorenz)
    sol = solve_recurrence(step, np.ones(3), length=10, method="sequential", compile=None)
    assert sol.nfev == 10
    assert not sol.compiled


def test_a_step_that_cannot_be_recorded_is_called():
    def jumping(y):
        return y - 0.4 if y[0, 0] > 0.5 else 1.1 * y

    sol = solve_recurrence(jumping, np.array([0.3]), length=T, method="sequential", compile=None)
    assert sol.nfev >= T
    assert "branches on a value (test_code.py:" in sol.decisions[0]
    np.testing.assert_array_equal(sol.y, loop(jumping, np.array([0.3]), T))
    with pytest.raises(TypeError, match="`step` cannot be compiled, as `compile=True` asks: it branches on a value"):
        solve_recurrence(jumping, np.array([0.3]), length=T, compile=True)


def test_short_loops_are_compiled_once_they_took_as_long_together():
    ledger, (one, other) = Ledger(), (record(step, [np.zeros((1, 3))]).program for step in (lorenz, np.tanh))
    price = COMPILING + PER_OPERATION * one.operations
    assert [ledger.pays(one, price / 3.5) for _ in range(6)] == [False, False, False, True, True, True]
    assert not ledger.pays(other, price / 3.5), "another step has an account of its own"
    assert Ledger().pays(one, price)


def solves(step, count, length=200, **options):
    return [solve_recurrence(step, np.ones(3), length=length, **options) for _ in range(count)]


EACH = choose.WARM * 1e-5 * (200 - choose.FIRST_STEPS)
"""Seconds of a loop of 200 steps at least, each of which takes ten microseconds."""

DUE = math.ceil(_code.SAVED / EACH) - 1
"""Number of the loop at which they took long enough together."""


def test_short_loops_are_recorded_once_they_took_long_together():
    found = solves(lambda y: lorenz(0.5 * y), DUE + 9)
    assert [sol.compiled for sol in found] == [False] * DUE + [True] * 9
    assert {sol.nfev for sol in found[:DUE]} == {201}
    assert [sol.nfev for sol in found[DUE + 1 : DUE + 6]] == [1] * 5
    np.testing.assert_allclose(found[-1].y, found[0].y, rtol=1e-12)


def test_short_loops_of_steps_that_are_not_recorded_pay_for_each_attempt(monkeypatch):
    attempts, record_step = [], _code.record_step
    monkeypatch.setattr(_code, "record_step", lambda *given: attempts.append(1) or record_step(*given))

    def printing(y):
        return 0.5 * y * bool(str(y))

    found = solves(printing, 2 * DUE + 4)
    assert [k for k, sol in enumerate(found) if sol.nfev != 201] == [DUE, 2 * DUE + 1]
    assert len(attempts) == 2
    assert "is not compiled: it" in found[DUE].message
    assert not any(sol.compiled for sol in found)


SAVERS = {"a millisecond": {"length": 100}, "few steps": {"length": 70}, "a window": {"window": 50},
          "segments": {"segment_length": 5}, "a guess": {"guess": np.ones((200, 3))}, "never": {"compile": False},
          "another method": {"method": "jacobi"}}  # fmt: skip


@pytest.mark.parametrize("name", SAVERS)
def test_other_loops_do_not_count(name, monkeypatch):
    options = {"length": 200} | SAVERS[name]
    if name == "few steps":
        monkeypatch.setattr(_code, "WORTH_SAVING", 0.0)
    monkeypatch.setattr(_code, "SAVED", 1e-9)
    assert not any(sol.compiled for sol in solves(lambda y: 0.5 * y + 0.1, 4, **options))
    assert not [key for key in _code.LEDGER._spent if key[0] == "saved"]


def test_what_is_bought_anew_is_paid_for_each_time():
    ledger = Ledger()
    assert [ledger.buys_anew("key", 1.0, 0.4) for _ in range(7)] == [False, False, True, False, False, True, False]
    assert [ledger.buys_anew("other", 1.0, 1.0) for _ in range(2)] == [True, True]


def test_steps_of_wide_batches_are_recorded_once_loops_took_as_long_together(monkeypatch):
    monkeypatch.setattr(_code, "LEDGER", Ledger())
    monkeypatch.setattr(_code, "WORTH_RECORDING", 1e-9)
    monkeypatch.setattr(_code, "PER_NUMBER", 1e9)
    monkeypatch.setattr(budget, "COMPILING", 0.0)
    monkeypatch.setattr(budget, "PER_OPERATION", 0.0)

    def solved():
        return solve_recurrence(lambda y: 0.5 * y, np.ones((20, 2)), length=T, method="sequential").compiled

    assert not solved()
    assert not solved()
    (account,) = (key for key in _code.LEDGER._spent if key[0] == "recording")
    assert account[2] == (20, 2)
    _code.LEDGER._spent[account] = 1e12  # seconds of other loops
    assert solved()


def test_llvm_is_loaded_once_loops_took_as_long_together(monkeypatch):
    """In a process without LLVM, loops of different steps share the time of loading it."""
    monkeypatch.setattr(_code, "LEDGER", Ledger())
    monkeypatch.setattr(budget, "COMPILER", "a module that is not loaded")
    monkeypatch.setattr(budget, "LOADING", 1e9)
    sol = solve_recurrence(lorenz, np.ones(3), length=T, method="sequential")
    assert not sol.compiled
    monkeypatch.setattr(budget, "LOADING", 0.0)
    assert solve_recurrence(lorenz, np.ones(3), length=T, method="sequential").compiled
    monkeypatch.setattr(budget, "LOADING", 1e9)
    assert solve_recurrence(lorenz, np.ones(3), length=T, method="sequential", compile=True).compiled


NUMBERS, draw = count(), Random(0).random


def raising(operation):
    """A step that goes on at once where an operation on numbers of Python gives infinity or NaN."""

    def step(y, x):
        return 0.5 * y + np.tanh(np.fmax(operation(x), -1.0))

    return step


def catching(operation):
    def step(y, x):
        try:
            value = operation(x)
        except (ZeroDivisionError, OverflowError, ValueError):
            value = 5.0
        return 0.5 * y + np.tanh(value)

    return step


OF_PYTHON = {
    "division by float": (lambda x: 1.0 / float(x[0, 0]), 0.0),
    "division by item": (lambda x: 1.0 / x.item(), 0.0),
    "division by tolist": (lambda x: 1.0 / x.tolist()[0][0], 0.0),
    "remainder": (lambda x: 3.0 % float(x[0, 0]), 0.0),
    "whole division": (lambda x: 3.0 // (float(x[0, 0]) * 2.0), 0.0),
    "power": (lambda x: (float(x[0, 0]) + 1.0) ** 2, 1e200),
    "negative power": (lambda x: float(x[0, 0]) ** -1.0, 0.0),
    "exp": (lambda x: math.exp(x[0, 0]), 800.0),
    "sqrt": (lambda x: math.sqrt(x[0, 0]), -1.0),
    "log": (lambda x: math.log(x[0, 0]), 0.0),
    "log of a sum": (lambda x: math.log(float(x[0, 0]) - 0.25), 0.25),
    "sin": (lambda x: math.sin(x[0, 0]), np.inf),
    "inverse": (lambda x: np.linalg.inv(np.array([[x[0, 0], 1.0], [0.0, 1.0]]))[0, 0], 0.0),
}


@pytest.mark.parametrize("name", OF_PYTHON)
def test_exceptions_at_rare_states_are_those_of_the_function(name):
    operation, bad = OF_PYTHON[name]
    x = np.random.default_rng(0).uniform(0.5, 1.5, (T, 1))
    options = {"method": "sequential", "compile": True}
    assert solve_recurrence(raising(operation), np.zeros(1), x, **options).compiled
    x[[1001, 1002, 1777]] = bad
    kinds = (ZeroDivisionError, OverflowError, ValueError)  # LinAlgError is one of them
    with pytest.raises(kinds) as expected:
        loop(raising(operation), np.zeros(1), x)
    with pytest.raises(kinds) as found:
        solve_recurrence(raising(operation), np.zeros(1), x, **options)
    assert found.type is expected.type
    sol = solve_recurrence(catching(operation), np.zeros(1), x, **options)
    assert sol.success
    assert sol.compiled
    assert sol.nfev < T // 2
    np.testing.assert_allclose(sol.y, loop(catching(operation), np.zeros(1), x), rtol=1e-14, atol=1e-15)


def test_numbers_of_numpy_do_not_raise():
    x = np.random.default_rng(0).uniform(0.5, 1.5, (T, 1))
    x[1001] = 0.0
    step = raising(lambda x: 1.0 / x[0, 0])
    sol = solve_recurrence(step, np.zeros(1), x, method="sequential", compile=True)
    assert sol.nfev < 50
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(sol.y, loop(step, np.zeros(1), x), rtol=1e-14)


def keeps(container):
    def step(y):
        container.append(y)
        return 0.5 * y + 1

    return step


def counting(counter, key="calls"):
    def step(y):
        counter[key] += 1
        return 0.5 * y + 1

    return step


def caught(y):
    try:
        with np.errstate(divide="raise"):
            return np.log(y) / (y - 0.5) + 1
    except FloatingPointError:
        return y


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (keeps(deque()), "uses an object of the type `deque`"),
        (keeps(array("d")), "uses an object of the type `array`"),
        (lambda y: 0.5 * y + 0 * next(NUMBERS), "uses an object of the type `count`"),
        (lambda y: 0.5 * y + 0 * draw(), "uses an object of the type `Random`"),
        (caught, "lets NumPy raise exceptions"),
        (keeps([]), "counts its calls, or keeps a history"),
        (counting({"calls": 0}), "counts its calls, or keeps a history"),
        (counting(np.zeros(1, complex), 0), "counts its calls, or keeps a history"),
        (lambda y: y * 0.5 + 0 * norm.rvs(), "draws random numbers"),
        (lambda y: y * 0.5 + 0 * norm(1, 2).rvs(), "draws random numbers"),
        (lambda y: (warnings.warn("said", stacklevel=1), y)[1], "warns"),
        (lambda y: y + 0 * time.time(), "asks for the time"),
    ],
)
def test_what_recording_might_change_is_not_recorded(step, reason):
    with pytest.raises(TypeError, match=reason):
        trace(step, np.ones((1, 1)))


def test_containers_of_the_users_hold_what_calls_put_there():
    seen, names, numbers = list(range(30_000)), set(), {}

    def step(y):
        seen.append(y)
        names.add(y.shape)
        numbers[len(numbers)] = y
        return 0.5 * y + 1

    solve_recurrence(step, np.ones(2), length=T, method="sequential", compile=None)
    assert all(isinstance(one, int | np.ndarray) for one in seen)
    assert all(isinstance(one, np.ndarray) for one in numbers.values())


@pytest.mark.parametrize("wrong", ["yes", 1, 0.0])
def test_compile_is_none_or_a_bool(wrong):
    with pytest.raises(TypeError, match="`compile` is"):
        solve_recurrence(lorenz, np.ones(3), length=10, compile=wrong)


def spoil(monkeypatch, first):
    """Let compiled loops give wrong values in one component, from a step on, if they reach it."""
    compiled_loop = _loop.compiled_loop

    class Wrong:
        def __init__(self, program):
            self._loop = compiled_loop(program)

        def run(self, state, inputs, out, begin, end, report=None):
            self._loop.run(state, inputs, out, begin, end, report)
            out[max(begin, first) : max(end, first), ..., 1] *= 1 + 1e-6

        def each(self, states, inputs, out):
            self._loop.each(states, inputs, out)
            out[first:, ..., 1] *= 1 + 1e-6

    monkeypatch.setattr(_loop, "compiled_loop", Wrong)


@pytest.mark.parametrize(("first", "said"), [(0, "gave other values"), (2000, "computed again without it")])
def test_code_that_is_wrong_is_not_used(monkeypatch, first, said):
    spoil(monkeypatch, first)
    monkeypatch.setattr(_code, "WORTH_RECORDING", 0.0)
    monkeypatch.setattr(_code.LEDGER, "buys_anew", lambda key, price, seconds: True)
    monkeypatch.setattr(_code.LEDGER, "pays", lambda program, seconds: True)
    sol = solve_recurrence(lorenz, np.ones(3), length=T, method="sequential", compile=None)
    assert said in sol.decisions[0]
    assert not sol.compiled
    np.testing.assert_array_equal(sol.y, loop(lorenz, np.ones(3), T))


@pytest.mark.parametrize("method", ["sequential", "auto"])
def test_code_that_is_wrong_once_a_day_is_not_used(monkeypatch, method):
    """The steps that are compared have no period in common with the inputs."""
    compiled_loop, hours = _loop.compiled_loop, 24 * 64 * 10
    x = np.tile(np.arange(24.0)[:, None], (hours // 24, 1))

    class Wrong:
        def __init__(self, program):
            self._loop = compiled_loop(program)

        def run(self, state, inputs, out, begin, end, report=None):
            self._loop.run(state, inputs, out, begin, end, report)
            out[begin:end][inputs[0][begin:end, 0] == 5] *= 1 + 1e-6

        each = property(lambda self: self._loop.each)

    monkeypatch.setattr(_loop, "compiled_loop", Wrong)
    sol = solve_recurrence(lambda y, x: 0.4 * y + np.sin(x), np.zeros(1), x, method=method, compile=True)
    assert "computed again without it" in " ".join(sol.decisions)
    np.testing.assert_allclose(sol.y, loop(lambda y, x: 0.4 * y + np.sin(x), np.zeros(1), x), rtol=1e-10)


def test_an_array_in_a_cache_that_a_step_changes_makes_the_plain_loop():
    """Attempts to compile must not call such a step: each call changes the array."""

    @cache
    def total():
        return np.zeros((1, 2))

    def step(y):
        sums = total()
        sums += 1e-3 * y
        return 0.5 * y + 0.1 * sums + 0.01

    expected = loop(step, np.ones(2), T)
    total.cache_clear()
    sol = solve_recurrence(step, np.ones(2), length=T, method="sequential")
    np.testing.assert_array_equal(sol.y, expected)


def test_parameters_are_read_again_at_every_solve():
    gain = 0.5

    def step(y):
        return gain * y + 1

    one = solve_recurrence(step, np.ones(1), length=T, method="sequential", compile=True)
    gain = 0.25
    other = solve_recurrence(step, np.ones(1), length=T, method="sequential", compile=True)
    assert one.y[-1, 0] == pytest.approx(2)
    assert other.y[-1, 0] == pytest.approx(4 / 3)


def test_a_state_that_is_not_finite_ends_the_trajectory():
    def explodes(y):
        return y**2

    sol = solve_recurrence(explodes, np.array([1.01]), length=T, method="sequential", compile=True)
    reference = solve_recurrence(explodes, np.array([1.01]), length=T, method="sequential", compile=False)
    assert not sol.success
    assert sol.message.startswith(reference.message)
    np.testing.assert_array_equal(np.isfinite(sol.y), np.isfinite(reference.y))


def test_progress_is_reported():
    seen = []
    solve_recurrence(
        lorenz, np.ones(3), length=500_000, method="sequential", compile=True, progress=lambda p: seen.append(p.done)
    )
    assert seen == sorted(seen)
    assert seen[-1] == 500_000


def test_the_pace_is_measured_at_the_first_uses_and_then_rarely():
    paces, measured, found = Measurements(), [], []
    seconds = iter([3.0, 1.0, 2.0, 0.5, 9.0])

    def measure():
        measured.append(len(found) + 1)
        return next(seconds)

    for _ in range(16):
        found.append(paces.of("key", measure, min))
    assert measured == [1, 2, 4, 8, 16]
    assert found == [3.0, *[1.0] * 6, *[0.5] * 9]
    assert paces.of("another", lambda: 7.0, min) == 7.0


def test_new_parameters_are_not_measured_anew(monkeypatch):
    paces, measured = Measurements(), []
    monkeypatch.setattr(_code, "PACES", paces)
    real = _code.Code.pace
    monkeypatch.setattr(_code.Code, "pace", lambda *args: measured.append(1) or real(*args))
    for rate in np.linspace(0.2, 0.9, 8):
        solve_recurrence(lambda y, rate: rate * y + 0.1, np.ones(2), length=200, args=(rate,), compile=True,
                         method="sequential")  # fmt: skip
    assert len(measured) == 4


def test_single_steps_are_those_of_the_loop():
    program = record(lambda y, x: np.tanh(y[..., ::-1] * x) + x, [np.zeros((1, 3)), np.zeros((1, 3))]).program
    states, x, out, one = (RNG.standard_normal((5, 1, 3)) for _ in range(4))
    code = _loop.compiled_loop(program)
    for inputs in (x, np.broadcast_to(x[:1], x.shape), x.astype(np.float32), np.asfortranarray(x)):
        code.each(states, [inputs], out)
        for t in range(5):
            code.run(states[t], [inputs], one, t, t + 1)
            assert np.array_equal(one[t], out[t])
    code.each(np.asfortranarray(states[:, 0]), [x], out)
    code.each(states, [x], one)
    assert np.array_equal(one, out)


def test_short_loops_run_code_only_of_steps_recorded_before(monkeypatch):
    monkeypatch.setattr(_code, "WORTH_RECORDING", 1e9)
    monkeypatch.setattr(_code, "WORTH_RUNNING", 0.0)
    rates = [0.5, 0.1]

    def step(y):
        return rates[0] * y + rates[1]

    def solved(method, compiles=None):
        sol = solve_recurrence(step, np.ones(2), length=100, method=method, compile=compiles)
        np.testing.assert_allclose(sol.y, loop(step, np.ones(2), 100), rtol=1e-14)
        return sol.compiled

    assert not solved("sequential")
    assert solved("sequential", True)
    assert solved("sequential")
    assert solved("auto")
    rates[1] = 0.2
    assert not solved("sequential")
    assert not solved("auto")
    monkeypatch.setattr(_code, "WORTH_RUNNING", 1e9)
    rates[1] = 0.1
    assert not solved("sequential")


def test_steps_that_cannot_be_recorded_are_tried_again_rarely(monkeypatch):
    attempts, real = [], _code.record_step
    monkeypatch.setattr(_code, "record_step", lambda *args: attempts.append(1) or real(*args))
    monkeypatch.setattr(_code, "REFUSALS", budget.Refusals())
    monkeypatch.setattr(_code, "WORTH_RECORDING", 0.0)
    monkeypatch.setattr(_code.LEDGER, "buys_anew", lambda key, price, seconds: True)
    monkeypatch.setattr(budget, "PATIENCE", 1e9)
    branches = True

    def step(y):
        return y + 0.1 if branches and y[0, 0] > 0 else 0.5 * y + 0.1

    def solved(compiles=None):
        return solve_recurrence(step, np.ones(2), length=T, method="sequential", compile=compiles)

    for _ in range(3):
        assert "branches on a value" in solved().decisions[0]
    assert len(attempts) == 1
    for _ in range(2):
        with pytest.raises(TypeError, match="branches on a value"):
            solved(True)
    assert len(attempts) == 3
    branches = False
    assert not solved().compiled
    assert solved(True).compiled
    assert solved().compiled
    branches = True
    monkeypatch.setattr(budget, "PATIENCE", 0.0)
    for _ in range(2):
        assert "branches on a value" in solved().decisions[0]
    assert len(attempts) == 7


def test_recordings_that_take_long_are_bought_as_compiling_is(monkeypatch):
    """What cannot be compared is recorded again, but not at every solve: loops take as long as that in between."""
    record_step, recorded, now = _code.record_step, [], [0.0]

    def slow(step, states):
        recorded.append(solves)
        now[0] += 0.1
        return record_step(step, states)

    monkeypatch.setattr(_code, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(_code, "record_step", slow)
    monkeypatch.setattr(_code, "WORTH_RECORDING", 1e-9)
    for solves in range(24):  # noqa: B007 - of a hundredth of a second each
        solve_recurrence(lambda y: 0.5 * y + 0 * hash("a"), np.ones(1), length=1000, method="sequential")
    assert recorded == [0, 11, 22]


def test_what_takes_longer_to_compare_than_the_loop_is_not_compared(monkeypatch):
    def step(y):
        return 0.5 * y + 1.0

    for _ in range(2):
        solve_recurrence(step, np.ones(1), length=1000, method="sequential", compile=True)
    looks = []
    holds = _witness.Witness.holds

    def slow(self, function, constants):
        looks.append(function)
        found = holds(self, function, constants)
        self.seconds = 1e3
        return found

    monkeypatch.setattr(_witness.Witness, "holds", slow)
    monkeypatch.setattr(_code, "WORTH_RECORDING", 1e9)
    for _ in range(3):
        assert solve_recurrence(step, np.ones(1), length=1000, method="sequential").success
    assert len(looks) <= 2


@pytest.mark.parametrize(("n", "is_compiled"), [(64, True), (100, False)])
def test_operations_in_loops_are_many_before_they_are_too_many(n, is_compiled):
    """A GRU of 64 states has 25 792 operations, nearly all in products, one of 100 more than twice as many."""
    rng = np.random.default_rng(n)
    W, U = (rng.uniform(-1, 1, (n, 3 * n)) / np.sqrt(n) for _ in range(2))

    def step(y, x):
        gx, gy = x @ U, y @ W
        gates = 1 / (1 + np.exp(-gx[..., : 2 * n] - gy[..., : 2 * n]))
        r, z, h = gates[..., :n], gates[..., n:], gy[..., 2 * n :]
        c = np.tanh(gx[..., 2 * n :] + r * h)
        return c + z * (y - c)

    x = rng.standard_normal((200, n))
    if not is_compiled:
        with pytest.raises(TypeError, match="operations, more than 50000"):
            solve_recurrence(step, np.zeros(n), x, compile=True)
        return
    sol = solve_recurrence(step, np.zeros(n), x, method="sequential", compile=True)
    assert sol.compiled
    np.testing.assert_allclose(sol.y, loop(step, np.zeros(n), x), rtol=1e-12, atol=1e-12)


def test_operations_that_are_written_out_are_too_many_earlier():
    def step(y):
        for _ in range(11):
            y = np.concatenate([y[..., k::2] + 0.1 * np.sin(y[..., 1 - k :: 2]) for k in (0, 1)], -1)
            y = np.stack([y[..., k] * y[..., k - 1] for k in range(y.shape[-1])], -1)
        return y

    with pytest.raises(TypeError, match="operations, more than 20000"):
        solve_recurrence(step, np.full(1800, 0.1), length=100, compile=True)
