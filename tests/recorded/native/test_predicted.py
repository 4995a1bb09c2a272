"""Branches that are predicted badly are given up; the states are the same."""

from array import array

import numpy as np
import pytest
from problems import loop

from parscan._recorded.native import predicted as _predicted
from parscan._recorded.native.branches import latency
from parscan._recorded.native.kernel import kernel
from parscan._recorded.native.loop import Loop
from parscan._recorded.native.predicted import ANEW, PART, PARTS, PRICE, TICK, Predicted
from parscan._recorded.record import record

CYCLES = 10
LONG = 100_000
TRIED = 2 * PARTS * PART


class Machine:
    """A clock, and codes that take some time for a step."""

    def __init__(self, monkeypatch):
        self.now, self.calls, self.made = 0.0, [], 0
        self.pace = {"branching": TICK * CYCLES, "selecting": TICK * CYCLES}
        self.ends = None
        monkeypatch.setattr(_predicted.time, "perf_counter", lambda: self.now)
        self.steps = Predicted(self.code("branching"), self.make, CYCLES)

    def make(self):
        self.made += 1
        return self.code("selecting")

    def code(self, name):
        def run(memory, arrays, steps, *, watches):
            self.now += self.pace[name] * steps
            self.calls.append((name, steps))
            return len(self.calls) != self.ends

        return run

    def run(self, steps=LONG):
        """The codes of a call, each once, in order, and the verdict."""
        self.calls = []
        is_finite = self.steps(None, array("q"), steps, watches=True)
        return list(dict.fromkeys(name for name, _ in self.calls)), sum(steps for _, steps in self.calls), is_finite


@pytest.fixture
def machine(monkeypatch):
    return Machine(monkeypatch)


def test_branches_that_are_predicted_stay(machine):
    for _ in range(200):
        assert machine.run() == (["branching"], LONG, True)
    assert machine.made == 0


def test_other_code_is_made_once_branches_have_cost_as_much(machine):
    machine.pace["branching"] *= 4
    calls = int(PRICE / (3 * LONG * TICK * CYCLES))
    for _ in range(calls):
        machine.run()
    assert machine.made == 0
    machine.run()
    assert machine.made == 1
    assert machine.run() == (["branching", "selecting"], LONG, True)
    assert machine.calls[:-1] == [("branching", PART), ("selecting", PART)] * PARTS
    assert machine.run() == (["selecting"], LONG, True)
    assert machine.run(TRIED - 1) == (["selecting"], TRIED - 1, True)


def test_one_disturbance_is_not_taken_for_branches(machine):
    machine.pace["branching"] *= 10_000
    machine.run(LONG // 10)
    machine.pace["branching"] /= 10_000
    machine.run()
    assert machine.made == 0


def test_the_choice_is_made_anew(machine):
    machine.pace["branching"] *= 4
    while not machine.made:
        machine.run()
    machine.run()
    machine.pace["branching"] /= 8
    for _ in range(ANEW - 2):
        assert machine.run()[0] == ["selecting"]
    assert machine.run()[0] == ["branching", "selecting"]
    assert machine.run() == (["branching"], LONG, True)


@pytest.mark.parametrize("end", [1, 2, 2 * PARTS, 2 * PARTS + 1])
def test_it_ends_at_a_state_that_is_not_finite(machine, end):
    machine.pace["branching"] *= 10
    while not machine.made:
        machine.run()
    machine.ends = end
    _, steps, is_finite = machine.run()
    assert not is_finite
    assert len(machine.calls) == end
    assert steps == min(end, 2 * PARTS) * PART + (end > 2 * PARTS) * (LONG - TRIED)


def thresholds(y, x):
    a, b = y[..., 0], y[..., 1]
    return np.stack(
        [np.where(a * a * a > x[..., 0], 0.3 * a, a + 0.1), np.where(b * b * b > x[..., 1], 0.3 * b, b + a)], -1
    )


def test_states_are_those_of_the_function(monkeypatch):
    monkeypatch.setattr(_predicted, "PRICE", -1.0)
    monkeypatch.setattr(_predicted, "PART", 50)
    x, y0 = np.random.default_rng(0).uniform(-1, 1, (1500, 2)), np.array([0.1, -0.0])
    program = record(thresholds, [y0[None], x[:1]]).program
    steps, expected = Loop(program), loop(thresholds, y0, x)
    for share in (0.5, 10.0, 1.0):  # the second one is always chosen, or never
        monkeypatch.setattr(_predicted, "MARGIN", share)
        for _ in range(ANEW + 2):
            found = np.empty_like(expected)
            assert steps.run(y0, [x], found, 0, 1500)
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("count", [TRIED - 1, TRIED, TRIED + 1])
def test_nothing_is_written_behind_the_last_state(monkeypatch, count):
    """When as many steps as are timed are all that there are, none is left for the code that is chosen."""
    monkeypatch.setattr(_predicted, "PRICE", -1.0)
    x = np.random.default_rng(1).uniform(-1, 1, (count, 2))
    steps = Loop(record(thresholds, [np.zeros((1, 2)), x[:1]]).program)
    for _ in range(2):
        rows = np.full((count + 4, 2), 7.0)
        assert steps.run(np.zeros(2), [x], rows[:count], 0, count)
        np.testing.assert_array_equal(rows[count:], 7.0)
        np.testing.assert_array_equal(rows[1:count], thresholds(rows[: count - 1], x[1:]))


def test_code_without_branches():
    program = record(thresholds, [np.zeros((1, 2)), np.zeros((1, 2))]).program
    assert kernel(program, chain=1).forks == 2
    straight = kernel(program, chain=1, branches=False)
    assert straight.forks == 0
    assert straight.text.count("br i1") == 1
    assert latency(program) == 14
