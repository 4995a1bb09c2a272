"""Loops whose state comes to rest, or to a short period: what follows is copied, and is what the loop would give."""

import numpy as np
import pytest

from parscan import solve_recurrence
from parscan._recorded.native import loop as _loop
from parscan._recorded.native import rest
from parscan._recorded.native.loop import Loop
from parscan._recorded.native.watch import Watched
from parscan._recorded.record import record

STEPS = 20_000


@pytest.fixture
def evaluated(monkeypatch):
    """Numbers of steps that are evaluated, few at a time."""
    counts, real = [], Watched.__call__

    def counted(self, memory, arrays, steps, *, watches):
        counts.append(steps)
        return real(self, memory, arrays, steps, watches=watches)

    monkeypatch.setattr(_loop, "FIRST", 100)
    monkeypatch.setattr(Watched, "__call__", counted)
    return counts


def looped(step, y0, *inputs, steps=STEPS):
    rows, y = [], y0
    for t in range(steps):
        y = step(y, *(x[t] for x in inputs))
        rows.append(y)
    return np.array(rows)


def compiled(step, y0, *inputs, begin=0, report=None):
    program = record(step, [y0[None], *(x[:1] for x in inputs)]).program
    out = np.full((STEPS, *y0.shape), np.nan)
    assert Loop(program).run(y0, inputs, out, begin, STEPS, report)
    return out


MAPS = {  # period, and starts
    "fixed point": (lambda y: 2.8 * y * (1 - y), 1, [0.3, 0.31]),
    "period of 2": (lambda y: 3.2 * y * (1 - y), 2, [0.3, 0.31]),
    "period of 8": (lambda y: 3.55 * y * (1 - y), 8, [0.3, 0.31]),
    "to zero": (lambda y: 0.5 * y, 1, [1.0, -1.0]),
    "signs of zeros": (lambda y: -0.5 * y, 2, [1.0, -1.0]),
    "still": (lambda y: y, 1, [0.1, 0.2]),
    "in turn": (lambda y: y[..., ::-1], 2, [0.1, 0.2]),
    "longer": (lambda y: np.roll(y, 1, -1), rest.LONGEST, np.arange(rest.LONGEST) + 1.0),
}


@pytest.mark.parametrize("begin", [0, 3])
@pytest.mark.parametrize("name", MAPS)
def test_what_repeats_is_copied(evaluated, name, begin):
    step, period, start = MAPS[name]
    start = np.array(start)
    found, expected = compiled(step, start, begin=begin), looped(step, start, steps=STEPS - begin)
    np.testing.assert_array_equal(found[begin:], expected)
    assert (np.signbit(found[begin:]) == np.signbit(expected)).all()
    assert np.isnan(found[:begin]).all()
    assert sum(evaluated) <= 4000
    assert rest.period_of(found, begin, STEPS) == period


@pytest.mark.parametrize(
    ("step", "start"),
    [(lambda y: 3.9 * y * (1 - y), [0.3]), (lambda y: np.roll(y, 1, -1), np.arange(rest.LONGEST + 1.0)),
     (lambda y: np.where(y > 5000, 0.0, y + 1), [0.0])],
)  # fmt: skip
def test_what_does_not_repeat_is_evaluated(evaluated, step, start):
    start = np.array(start)
    found = compiled(step, start)
    np.testing.assert_array_equal(found[1:], step(found[:-1]))
    assert sum(evaluated) == STEPS
    assert 10 < len(evaluated) < 100


def test_a_state_that_moves_again_is_not_at_rest(evaluated):
    """A component is still for a while, and so is the whole state from one step to the next, never for long."""

    def step(y):
        count, value = y[..., 0], y[..., 1]
        return np.stack([np.where(count > 999, 0.0, count + 1), np.where(count > 999, value + 1, value)], -1)

    found = compiled(step, np.zeros(2))
    np.testing.assert_array_equal(found, looped(step, np.zeros(2)))
    assert found[-1, 1] == (STEPS - 1) // 1001 + (STEPS % 1001 == 0)


def test_inputs_keep_it_from_resting(evaluated):
    x = np.zeros((STEPS, 1))
    x[15_000] = 1.0

    def step(y, x):
        return 0.5 * y + x

    found = compiled(step, np.ones(1), x)
    assert found[15_000] == 1.0
    assert sum(evaluated) == STEPS
    evaluated.clear()
    still = np.broadcast_to(np.ones(1), (STEPS, 1))
    np.testing.assert_array_equal(compiled(step, np.ones(1), still), looped(step, np.ones(1), still))
    assert sum(evaluated) < 2000


def test_progress_comes_to_the_end(evaluated):
    seen = []
    compiled(lambda y: 0.5 * y, np.ones(2), report=seen.append)
    assert seen[-1] == STEPS
    assert len(seen) < 10


def test_pieces_of_any_size(monkeypatch):
    monkeypatch.setattr(rest, "PIECE", 100)
    for period in (1, 2, 3, 7):
        rows = np.full((1000, 2), np.nan)
        rows[:50] = np.arange(50)[:, None] % period
        rest.go_on(rows, 50, 990, period)
        np.testing.assert_array_equal(rows[:990], np.tile(np.arange(990)[:, None] % period, (1, 2)))
        assert np.isnan(rows[990:]).all()


def test_a_network_that_falls_silent():
    """Whole solves: the trajectory is that of the loop, and confirmed by the function."""
    weights = np.random.default_rng(0).standard_normal((40, 40)) / np.sqrt(40) * 0.5

    def step(y):
        return np.tanh(y @ weights)

    y0 = np.random.default_rng(1).standard_normal(40)
    sol = solve_recurrence(step, y0, length=STEPS, compile=True)
    assert sol.success
    assert sol.compiled
    expected = looped(step, y0)
    normal = np.abs(expected).max(1) > 1e-290
    error = np.max(np.abs(sol.y - expected), 1)[normal] / np.abs(expected).max(1)[normal]
    assert error.max() < 1e-11
    assert not sol.y[-1].any()
