"""Functions that branch on values: all ways through them are recorded."""

import math

import numpy as np
import pytest
from scipy.optimize import brentq

from parscan._recorded.paths import MOST
from parscan._recorded.record import NotRecordedError, Wishes, record

WISHES = Wishes(branches_on=(0, 1), dtype=np.dtype(float))
STATES = np.array([[0.5, -2.0], [3.0, 0.0], [-1.0, 7.0], [-0.0, 1.0], [25.0, 25.0]])
TIMES = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 13.0, 25.0)


def recorded(fun, *constants):
    return record(fun, [np.zeros(()), np.zeros(2)], constants, wishes=WISHES)


def staged(t, y):
    if t < 1:
        return [1, -y[0]]
    if t < 2:
        return (y[0], 2.0)
    return 0, 0


def nested(t, y):
    x, v = y
    if x > 0 and not v > 1:
        force = -3.0 * x if t >= 1.5 else x
    elif abs(v) < 2 or x == 25:
        force = 0
    else:
        force = max(v, 1.0)
    return np.array([v, force])


def dosed(t, y):
    rate = 0.0
    for begin in range(0, 40, 2):
        if begin <= t < begin + 0.75:
            return [rate + 10.0, begin * y[1]]
    return [rate, y[1]]


def added(t, y):
    total = 0.0
    for begin in (0, 1, 2, 12, 20, 24, 30, 40):
        if t >= begin:
            total += math.exp(begin - t)
    return total - y


def filled(t, y):
    change = -y
    if np.any(change > 1):
        change[0] *= 3
    if (y > 2).all():
        change[:] = 5
    return change


def nothing_of_a_power(t, y):
    return [y[0] ** 0.5 if y[0] >= 0 else -((-y[0]) ** 0.5), y[1] or 3.0]


def in_a_loop(t, y):
    a, n = y[0], 0
    while a > 6 and n < 4:
        a -= 6
        n += 1
    return [a, n]


def looked_up(t, y):
    levels, names = [1.0, 2.0, 5.0], {0: 3.0, 1: 7.0, 2: 8.0}
    return [levels[int(np.minimum(t, 5.0) / 2.0)], names[int(np.clip(t, 0, 2))] * y[1]]


def since(t, y):
    times = np.array([0.0, 1.0, 2.0, 12.0, 20.0, 24.0])
    passed = t - times
    return [np.sum(np.exp(-passed[passed >= 0])), times[times <= t][-1]]


def nearest(t, y):
    times = np.linspace(0, 25, 21)
    change = -y
    change[np.argmax(y)] += np.sin(times)[np.argmin(np.abs(times - t))]
    return change


def following(t, y):
    return [next(level for time, level in [(20, 4.0), (2, 3.0), (0, 1.0)] if t >= time), 0.0]


@pytest.mark.parametrize(
    "fun",
    [staged, nested, dosed, added, filled, nothing_of_a_power, in_a_loop, looked_up, since, nearest, following],
)
def test_all_ways(fun):
    found = recorded(fun)
    for t in TIMES:
        expected = np.array([np.asarray(fun(t, y), float) for y in STATES])
        np.testing.assert_array_equal(found.program(np.full(len(STATES), t), STATES)[0], expected)


def test_what_earlier_branches_imply_is_no_branch():
    """A loop over doses has one way more than doses."""
    doses = np.arange(MOST - 2.0)

    def fun(t, y):
        return [sum(1.0 for dose in doses if t > dose), y[0]]

    found = recorded(fun).program(np.array([-1.0, 0.0, 0.5, 17.0, 100.0]), np.zeros((5, 2)))[0]
    np.testing.assert_array_equal(found[:, 0], [0, 0, 1, 17, MOST - 2])


def test_comparisons_with_nan_imply_nothing():
    def fun(t, y):
        if y[0] > 1:
            return [1, 0]
        return [2, 0] if y[0] <= 1 else [3, 0]

    found = recorded(fun).program(np.zeros(3), np.array([[2.0, 0], [0.0, 0], [np.nan, 0]]))[0]
    np.testing.assert_array_equal(found[:, 0], [1, 2, 3])


def test_ways_that_raise():
    """The result is NaN there, and the function itself will be called."""

    def fun(t, y):
        if y[0] < 0:
            raise ValueError("a concentration is negative")
        assert y[1] < 5
        level = [1.0, 2.0][2 if y[1] < -3 else 0]
        return [-y[0] * level, 1 / float(y[1]) if y[0] > 1 else 0.0]

    found = recorded(fun).program(np.zeros(5), np.array([[2.0, 4], [-1, 2], [1, 5], [2, -4], [1, 0]]))[0]
    np.testing.assert_array_equal(found, [[-2.0, 0.25], *[[np.nan] * 2] * 3, [-1.0, 0.0]])


def test_integers_without_a_way():
    """The result is NaN there."""
    found = recorded(lambda t, y: [[1.0, 2.0, 4.0][int(t)], y[0]]).program(np.array([0.5, 2.0, 3.0, 40.0]), STATES[:4])
    np.testing.assert_array_equal(found[0][:, 0], [1, 4, np.nan, np.nan])


def test_differences_from_numbers_are_compared_like_the_numbers():
    """So that a loop over doses has one way more than doses."""

    def fun(t, y):
        return [sum(np.exp(dose - t) for dose in range(40) if t - dose >= 0), sum(1 for k in range(20) if k - t > 0)]

    times = np.array([-1.0, 0.0, 0.5, 17.0, 100.0])
    found = recorded(fun).program(times, np.zeros((5, 2)))[0]
    np.testing.assert_allclose(found, [fun(t, None) for t in times], rtol=1e-14)


def test_refusals_within_functions_of_c():
    with pytest.raises(NotRecordedError, match=r"calls float\(\) .* on a value \(test_paths"):
        recorded(lambda t, y: [brentq(lambda z: z - y[0], -10, 10), 0.0])


def test_shared_results_are_chosen_nowhere():
    found = recorded(lambda t, y: [np.sin(y[0]), 1.0 if t < 2 else -1.0])
    assert found.program.operations == 3  # the sine, the comparison and the choice


class Storing:
    """Its results depend on nothing that it writes."""

    def __init__(self):
        self.force, self.change = 0.0, np.zeros(2)

    def __call__(self, t, y):
        self.force = -y[0] if y[0] > 0 else 0.0
        if t < 1:
            self.change[0] = 1.0
        else:
            self.change[0] = y[1]
        self.change[1] = self.force
        return self.change


def test_what_is_written_on_a_way_and_not_read_later():
    fun = Storing()
    found = recorded(fun)
    for t in TIMES:
        expected = np.array([fun(t, y).copy() for y in STATES])
        np.testing.assert_array_equal(found.program(np.full(len(STATES), t), STATES)[0], expected)


class Late(Storing):
    """It reads what the call before left."""

    def __call__(self, t, y):
        before = self.force
        self.force = -y[0] if y[0] > 0 else 0.0
        return [before, y[1]]


class Keeping(Storing):
    """It is right, but its history would be lost."""

    def __init__(self):
        self.history = []

    def __call__(self, t, y):
        self.history.append(t)
        return y if t < 1 else -y


class Thermostat:
    def __init__(self):
        self.heats = True

    def __call__(self, t, y):
        if y[0] > 21:
            self.heats = False
        elif y[0] < 19:
            self.heats = True
        return [float(self.heats) - y[0], 0.0]


def wrapped(t, y):
    angle = y[0]
    while angle > 2 * np.pi:
        angle -= 2 * np.pi
    return [np.sin(angle), 0.0]


def many(t, y):
    return [sum(k for k in range(9) if np.sin(k * y[0]) > 0), 0.0]


def of_shapes(t, y):
    return y if y[0] > 0 else y[:1]


def always_raising(t, y):
    raise RuntimeError("never" if y[0] > 0 else "nowhere")


@pytest.mark.parametrize(
    ("fun", "reason"),
    [
        (Thermostat(), "counts its calls, or keeps a history of them"),
        (Late(), "counts its calls, or keeps a history of them"),
        (Keeping(), "counts its calls, or keeps a history of them"),
        (wrapped, f"branches on values in more than {MOST} ways .test_paths"),
        (many, f"branches on values in more than {MOST} ways"),
        (of_shapes, "returns the shapes"),
        (always_raising, "raises RuntimeError"),
    ],
)
def test_reasons(fun, reason):
    with pytest.raises(NotRecordedError, match=reason):
        recorded(fun)


def test_conditions_must_depend_on_the_arguments_that_are_named():
    def fun(t, y, rate):
        return y * (rate if rate > 1 else 1.0)

    examples = [np.zeros(()), np.zeros(2), np.zeros(())]
    with pytest.raises(NotRecordedError, match=r"branches on a value"):
        record(fun, examples, wishes=WISHES)
    record(fun, examples, wishes=Wishes(branches_on=(2,)))
    with pytest.raises(NotRecordedError, match=r"branches on a value"):
        record(staged, examples[:2])
