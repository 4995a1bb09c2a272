"""A function is recorded by one call only where a second one could not give anything else."""

import collections
import functools
import itertools
import math
import sys
import time
import types

import numpy as np
import pytest

from parscan._recorded import record as module
from parscan._recorded.record import NotRecordedError, Wishes, record

CALLS = []

HISTORY = [0.5, np.ones(2)]

TABLE = {"rate": 0.3, "weights": np.array([0.1, 0.2])}

BUFFER = np.zeros(2)

COUNT = 0

SETTINGS = types.ModuleType("settings_of_a_test")


@pytest.fixture
def calls_of(monkeypatch):
    """How often a function is called while it is recorded."""
    called, seen = module._called, []

    def counted(*args):
        seen.append(args)
        return called(*args)

    def count(function):
        seen.clear()
        record(function, [np.array([0.3, 0.4])])
        return len(seen)

    monkeypatch.setattr(module, "_called", counted)
    return count


def by_globals(y):
    return TABLE["rate"] * y + TABLE["weights"] * math.pi + HISTORY[0] * HISTORY[1]


def by_helpers(y):
    return by_globals(np.where(y > 0.2, y, -y)) + sum(k * np.sin(y) for k in range(3))


def by_default(y, weights=(0.1, HISTORY)):
    return weights[0] * y + weights[1][0]


def closure(rate, matrix):
    return lambda y: np.clip(matrix @ y, -1.0, rate)


def writes_to_its_own(y):
    found = np.zeros_like(y)
    found[0], found[1] = y[1], max(float(k) for k in range(3)) * y[0]
    return found


ONCE = [by_globals, by_helpers, by_default, closure(0.5, np.eye(2)),
        functools.partial(by_default, weights=(0.3, [1.0])), writes_to_its_own]  # fmt: skip


@pytest.mark.parametrize("function", ONCE)
def test_one_call_is_enough(function, calls_of):
    assert calls_of(function) == 1


def writes_a_buffer(y):
    BUFFER[0] = y[0]
    return y + BUFFER[0]


def keeps_what_it_read(y):
    HISTORY[1] = np.ones(2)
    return y * HISTORY[1]


def imports(y):
    import cmath

    return y * cmath.pi


class Model:
    rate = 0.1

    def step(self, y):
        return self.rate * y


TWICE = [writes_a_buffer, keeps_what_it_read, imports, Model().step, lambda y: y * len(sys.argv[0][:0])]


@pytest.mark.parametrize("function", TWICE)
def test_what_writes_or_uses_objects_is_called_again(function, calls_of):
    assert calls_of(function) == 2


def counts_in_a_global(y):
    global COUNT  # noqa: PLW0603 - that is the point
    COUNT += 1
    return COUNT * y


def counts_in_a_list(y):
    CALLS.append(1.0)
    return y * len(CALLS)


def counts_in_a_dictionary(y, seen={}):  # noqa: B006 - that is the point
    seen[len(seen)] = 1
    return y * len(seen)


def counts_in_itself(y):
    counts_in_itself.calls = getattr(counts_in_itself, "calls", 0) + 1
    return y * counts_in_itself.calls


def counts_in_a_helper(y):
    return counts_in_a_list(y)


def counts_in_an_array(y):
    BUFFER[1] += 1.0
    return y * BUFFER[1]


def counts_in_a_cell():
    count = 0

    def step(y):
        nonlocal count
        count += 1
        return y * count

    return step


def counts_in_a_module(y):
    SETTINGS.count = getattr(SETTINGS, "count", 0) + 1
    return y * SETTINGS.count


def counts_by_an_iterator():
    numbers = itertools.count()
    return lambda y: y * next(numbers)


def keeps_a_history():
    past = collections.deque([0.0, 0.0], maxlen=2)

    def step(y):
        past.append(past[0] + 1.0)
        return y * past[-1]

    return step


STATEFUL = [counts_in_a_global, counts_in_a_list, counts_in_a_dictionary, counts_in_itself, counts_in_a_helper,
            counts_in_an_array, counts_in_a_cell(), counts_in_a_module, counts_by_an_iterator(), keeps_a_history(),
            lambda y: y * time.monotonic()]  # fmt: skip


@pytest.mark.parametrize("function", STATEFUL)
def test_functions_with_a_state_are_not_recorded(function):
    with pytest.raises(NotRecordedError):
        record(function, [np.array([0.3, 0.4])])


def test_what_a_later_way_writes_back_was_written():
    """A relay: the last way through it leaves what there was before all of them."""
    position = [1.0]

    def step(y):
        if y > 2.0:
            position[0] = -1.0
        elif y < 1.0:
            position[0] = 1.0
        return y + position[0]

    with pytest.raises(NotRecordedError, match="history"):
        record(step, [np.array(0.3)], wishes=Wishes(branches_on=(0,)))
