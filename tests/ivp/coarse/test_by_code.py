"""Machine code between calls of the function: the same steps as by arrays."""

from itertools import count

import numpy as np
import pytest

from parscan._functions.raised import Raised
from parscan._functions.right_hand_side import RightHandSide
from parscan._ivp.coarse import by_code, dop853, rows
from parscan._ivp.coarse.wanted import Wanted
from parscan._ivp.core.scale import Scale

MEMBERS = 517
"""Vectors, and some members that fill none; and more than one block of errors."""

A = np.linspace(0.5, 2.0, MEMBERS)
BUFFER = np.empty((2, MEMBERS))


def listed(t, y):
    return [y[1] * A, -y[0] + 0.1 * np.sin(t)]


def views(t, y):
    """Parts of the state itself."""
    return y[1], y[0], np.sin(2 * t) - y[2]


def array(t, y):
    return np.stack(listed(t, y))


def transposed(t, y):
    return np.stack(listed(t, y), axis=1).T


def numbers(t, y):
    return [1.5, np.sin(y[0]) - y[1]]


def single(t, y):
    return [np.sin(y[1]) - y[0], np.full(MEMBERS, 1.5, np.float32)]


def whole(t, y):
    """Integers, as long as doubles."""
    return [np.sin(y[1]) - y[0], np.full(MEMBERS, 2)]


def short(t, y):
    """A component that all members have in common."""
    return [np.sin(y[1]) - y[0], np.ones(1)]


def reused(t, y):
    """The same memory at each call."""
    BUFFER[0], BUFFER[1] = y[1] * A, -y[0]
    return [BUFFER[0], BUFFER[1]]


def writing(t, y):
    """Writes to its state."""
    found = listed(t, y)
    y[...] = np.nan
    return found


def read_only(t, y):
    return [np.broadcast_to(1.5, y[0].shape), np.sin(y[0]) - y[1]]


FUNCTIONS = (listed, views, array, transposed, numbers, single, whole, short, reused, writing, read_only)


def steps(fun, y0, monkeypatch, code, *, span=(0.0, 3.0), rtol=1e-6, raised=None, times=None):
    """Steps with machine code from the first attempt on, or without; whether there was any; and states at times."""
    made = []
    attempts = by_code.attempts
    monkeypatch.setattr(by_code, "attempts", lambda *given: made.append(attempts(*given)) or made[-1])
    monkeypatch.setattr(dop853.CODES, "pays_loading", lambda saved: code)
    monkeypatch.setattr(dop853, "CODE_PRICE", 0.0)
    rhs = RightHandSide(fun, None, (), y0, raised=raised)
    wanted = None if times is None else Wanted(times, span, y0)
    found = dop853.march(rhs, span, y0, Scale(rtol, np.asarray(rtol)), wanted=wanted)
    monkeypatch.undo()
    assert bool(made) == code
    assert None not in made
    return found, None if wanted is None else wanted.states


def alike(one, other):
    assert one.failure == other.failure
    assert one.t.shape == other.t.shape
    np.testing.assert_allclose(one.t, other.t, rtol=1e-5)  # first errors are mostly rounding
    np.testing.assert_allclose(one.y, other.y, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("span", [(0.0, 3.0), (3.0, 0.0)])
@pytest.mark.parametrize("fun", FUNCTIONS, ids=lambda fun: fun.__name__)
def test_steps_are_those_by_arrays(fun, span, rng, monkeypatch):
    y0 = rng.uniform(1, 2, (MEMBERS, 3 if fun is views else 2))
    one, other = (steps(fun, y0, monkeypatch, code, span=span)[0] for code in (True, False))
    assert one.count > 3
    alike(one, other)


@pytest.mark.parametrize("fun", [listed, reused], ids=lambda fun: fun.__name__)
def test_values_within_steps(fun, rng, monkeypatch):
    """Further stages read the slope at the end, which is in its row only if it is asked for."""
    y0, times = rng.uniform(1, 2, (MEMBERS, 2)), np.linspace(0.0, 3.0, 41)
    one, other = (steps(fun, y0, monkeypatch, code, times=times)[1] for code in (True, False))
    assert one.shape == (2, 41, MEMBERS)
    np.testing.assert_allclose(one, other, rtol=1e-7)


def test_batches_of_several_axes(rng, monkeypatch):
    y0 = rng.uniform(1, 2, (11, 47, 3))

    def lorenz(t, y):
        return [10 * (y[1] - y[0]), y[0] * (2.0 - y[2]) - y[1], y[0] * y[1] - y[2]]

    alike(*(steps(lorenz, y0, monkeypatch, code)[0] for code in (True, False)))


def test_parts_of_other_shapes_are_refused_as_by_arrays(rng, monkeypatch):
    """As many numbers in another shape."""
    y0 = rng.uniform(1, 2, (11, 47, 2))
    for code in (True, False):
        calls = iter(range(1000))
        fun = lambda t, y, calls=calls: [y[1], -y[0] if next(calls) != 9 else y[0].T.copy()]  # noqa: E731
        with pytest.raises(ValueError, match="shape"):
            steps(fun, y0, monkeypatch, code)


def test_steps_that_are_rejected(rng, monkeypatch):
    """A pulse that steps run into: the slopes of the attempt before are not those of the next one."""
    y0 = rng.uniform(1, 2, (MEMBERS, 2))
    fun = lambda t, y: [y[1] * A, -y[0] + 40 * np.exp(-((t - 1.5) ** 2) * 400)]  # noqa: E731
    attempts, attempt = [], by_code.Attempts.attempt
    monkeypatch.setattr(by_code.Attempts, "attempt", lambda self, *a, **k: attempts.append(1) or attempt(self, *a, **k))
    one = steps(fun, y0, monkeypatch, True)[0]
    assert len(attempts) > one.count
    alike(one, steps(fun, y0, monkeypatch, False)[0])


def test_slopes_that_come_in_turns_as_lists_and_in_other_ways(rng, monkeypatch):
    """After an attempt that is rejected, its last slope is not that of the first stage, which is in its row."""
    y0, ways, found = rng.uniform(1, 2, (MEMBERS, 2)), (list, lambda parts: np.stack(parts, axis=1).T), []
    for code in (True, False, True, False):
        calls = count(len(found) // 2)
        pulse = lambda t, y: [y[1] * A, -y[0] + 40 * np.exp(-((t - 1.5) ** 2) * 400)]  # noqa: E731
        fun = lambda t, y, calls=calls, pulse=pulse: ways[next(calls) % 2](pulse(t, y))  # noqa: E731
        found.append(steps(fun, y0, monkeypatch, code)[0])
    alike(*found[:2])
    alike(*found[2:])


def test_states_that_are_not_finite(rng, monkeypatch):
    """Members whose values become NaN shorten the steps until they are too short, also if one of many does."""
    y0 = rng.uniform(1, 2, (MEMBERS, 2))
    fun = lambda t, y: [y[1], np.where((np.arange(MEMBERS) == MEMBERS - 2) & (t > 1.5), np.nan, -y[0])]  # noqa: E731
    one, other = (steps(fun, y0, monkeypatch, code)[0] for code in (True, False))
    assert one.failure is not None
    assert one.failure == other.failure
    assert one.t[-1] == pytest.approx(other.t[-1], abs=1e-9)


def test_exceptions_are_passed_over(rng, monkeypatch):
    """What a function raises is noted, and the values are NaN, whatever was taken before."""
    y0 = rng.uniform(1, 2, (MEMBERS, 2))

    def fun(t, y):
        if 1.0 < t < 1.2:
            raise ArithmeticError
        return listed(t, y)

    one, other = (steps(fun, y0, monkeypatch, code, raised=Raised())[0] for code in (True, False))
    assert one.failure is not None
    assert one.failure == other.failure
    assert one.t[-1] == pytest.approx(other.t[-1], abs=1e-9)


def test_stiffness_is_seen(rng, monkeypatch):
    y0 = rng.uniform(1, 2, (MEMBERS, 2))

    def fun(t, y):
        found = [-3000 * (y[0] - np.cos(t)), -y[1]]
        y[...] = 1e9  # which is none of the states that are compared
        return found

    one, other = (steps(fun, y0, monkeypatch, code, rtol=1e-3)[0] for code in (True, False))
    assert one.failure == other.failure == dop853.STIFF


def test_states_that_a_function_keeps_stay(rng, monkeypatch):
    y0, kept = rng.uniform(1, 2, (MEMBERS, 2)), []

    def fun(t, y):
        kept.append((y, y.copy()))
        return listed(t, y)

    steps(fun, y0, monkeypatch, True)
    assert all(np.array_equal(one, other) for one, other in kept)


def test_code_is_bought_within_a_march(rng, monkeypatch):
    """The first attempts are by arrays, and go on from the same rows."""
    y0 = rng.uniform(1, 2, (MEMBERS, 2))
    expected = steps(listed, y0, monkeypatch, False)[0]
    spent = iter(range(10_000))
    monkeypatch.setattr(dop853.CODES, "pays_loading", lambda saved: True)
    monkeypatch.setattr(dop853.CODES, "buys", lambda key, price, saved: next(spent) == 5)
    rhs = RightHandSide(listed, None, (), y0)
    alike(dop853.march(rhs, (0.0, 3.0), y0, Scale(1e-6, np.asarray(1e-6))), expected)
    assert next(spent) == 6


@pytest.mark.parametrize(
    ("y0", "atol"),
    [
        (np.ones((MEMBERS, 2), np.float32), 1e-6),
        (np.ones((MEMBERS, 2), complex), 1e-6),
        (np.ones((MEMBERS, 2)), 0.0),
        (np.ones((dop853.WIDE - 1, 2)), 1e-6),
    ],
)
def test_others_stay_on_arrays(y0, atol, monkeypatch):
    monkeypatch.setattr(dop853.CODES, "pays_loading", lambda saved: pytest.fail("asked for"))
    rhs = RightHandSide(lambda t, y: [y[1], -y[0]], None, (), y0)
    assert dop853.march(rhs, (0.0, 1.0), y0, Scale(1e-3, np.asarray(atol))).failure is None


def test_rows_are_those_of_arrays():
    """The rows do not share lines of a cache."""
    held = dop853._rows(np, 14, np.zeros((512, 2)))
    assert held.shape == (14, 1024)
    assert held.strides[0] % 4096
    assert len(rows.SLOPES) == 13


def test_tolerances_that_have_no_reciprocal_are_for_arrays(monkeypatch):
    """A component that stays zero, with the smallest tolerance of all."""
    monkeypatch.setattr(dop853.CODES, "pays_loading", lambda saved: True)
    monkeypatch.setattr(dop853, "CODE_PRICE", 0.0)
    y0 = np.stack([np.ones(MEMBERS), np.zeros(MEMBERS)], axis=1)
    rhs = RightHandSide(lambda t, y: [-y[0], 0 * y[1]], None, (), y0)
    found = dop853.march(rhs, (0.0, 1.0), y0, Scale(1e-6, np.asarray(5e-324)))
    assert found.failure is None
    assert found.count < 5
    np.testing.assert_allclose(found.y[-1, :, 0], np.exp(-1), rtol=1e-6)
