"""Segments marched by machine code give what the loop gives, whatever their lengths, and stop where sweeps meet."""

import threading
import time
from itertools import pairwise, product
from types import SimpleNamespace

import numpy as np
import pytest

from parscan._arrays.threads import run_all
from parscan._engine.tolerance import Tolerance
from parscan._recorded.native.lanes import Lanes
from parscan._recorded.native.loop import PAUSE
from parscan._recorded.native.segments import PER_THREAD, Segments
from parscan._recorded.record import record
from parscan._recurrence.systems.coalescence import Coalescence
from parscan._recurrence.systems.compiled import CompiledStates, portions
from parscan._recurrence.systems.propagation import Span


def step(y, x):
    return np.tanh(0.5 * y + x)


def make(steps, shape=(2,), dtype=np.float64):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((steps, *shape)).astype(dtype)
    y, rows = np.zeros((1, *shape), dtype), []
    for t in range(steps):
        y = step(y, x[t : t + 1])
        rows.append(y)
    lanes = Lanes(record(step, [np.zeros((1, *shape), dtype), x[:1]]).program)
    return lanes, x, np.concatenate(rows)


def starts_of(y, span):
    return np.concatenate([np.zeros_like(y[:1]), y[span.begin + span.length - 1 : span.end - 1 : span.length]])


def marcher(lanes, x, threads=2):
    def march(trajectory, span):
        return Segments(lanes, [x], [trajectory], span.begin, span.end, span.length, threads).run

    return march


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("steps", "length"), [(1, 1), (5, 7), (7, 7), (160, 10), (163, 10), (100, 1), (997, 31)])
@pytest.mark.parametrize("shape", [(1,), (3, 2)])
def test_segments_are_the_loop(steps, length, shape, dtype):
    lanes, x, expected = make(steps, shape, dtype)
    span, found = Span(0, steps, length), np.full_like(expected, np.nan)
    CompiledStates(marcher(lanes, x)).march(starts_of(expected, span), span, found)
    tolerance = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def test_a_stretch_of_the_steps_leaves_the_others():
    lanes, x, expected = make(500)
    span, found = Span(83, 391, 17), np.full_like(expected, np.nan)
    starts = np.concatenate([expected[82:83], expected[99:390:17]])
    CompiledStates(marcher(lanes, x)).march(starts, span, found)
    np.testing.assert_allclose(found[83:391], expected[83:391], rtol=1e-14, atol=1e-15)
    assert np.isnan(found[:83]).all()
    assert np.isnan(found[391:]).all()


def test_threads_share_the_segments(monkeypatch):
    monkeypatch.setattr("parscan._recorded.native.segments.PER_THREAD", 1)
    lanes, x, expected = make(3001, (2, 2))
    for threads in (1, 2, 3, 7):
        span, found = Span(0, 3001, 31), np.full_like(expected, np.nan)
        CompiledStates(marcher(lanes, x, threads)).march(starts_of(expected, span), span, found)
        np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-15, err_msg=f"{threads} threads")
    assert PER_THREAD > 1000


def test_a_sweep_ends_where_it_meets_the_one_before():
    lanes, x, expected = make(4000)
    span, found = Span(0, 4000, 500), np.zeros_like(expected)
    march, steps = marcher(lanes, x), []

    def watched(trajectory, span):
        run = march(trajectory, span)
        return lambda starts, first, last: (steps.append(last), run(starts, first, last))[1]

    states = CompiledStates(watched)
    states.march(np.zeros((8, 2)), span, found)
    assert steps == [500]
    states.march(starts_of(found, span), span, found, Coalescence(Tolerance(1e-10, 1e-12), 0.1, np.inf))
    assert 32 <= steps[-1] < 150
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-15)


def coalescence():
    return Coalescence(Tolerance(1e-10, 1e-12), 0.1, np.inf)


def test_sweeps_that_meet_to_the_last_bit_are_the_loop_by_the_same_code():
    lanes, x, expected = make(4000)
    span, memory, steps = Span(0, 4000, 500), SimpleNamespace(met=0.0, rounded=False), []
    march, whole = marcher(lanes, x), np.zeros_like(expected)
    for _ in range(span.segments(0)):  # each time, one more segment is certainly right
        CompiledStates(march).march(starts_of(whole, span), span, whole)

    def watched(trajectory, span):
        run = march(trajectory, span)
        return lambda starts, first, last: (steps.append((first, last)), run(starts, first, last))[1]

    for starts in (np.zeros((8, 2)), np.full((8, 2), 0.7)):
        starts[0], found, known = 0.0, np.zeros_like(expected), memory.met
        states = CompiledStates(watched, memory=memory)
        nodes = states.met(starts, span, found, coalescence())
        np.testing.assert_array_equal(nodes, np.concatenate([np.zeros((1, 2)), found[499:3999:500]]))
        np.testing.assert_array_equal(found, whole)
        assert states.are_finite
        first = np.zeros_like(expected)
        CompiledStates(march).march(starts, span, first)
        alike = [j for j in range(8, 500, 8) if np.array_equal(first[j - 1 :: 500], whole[j - 1 :: 500])]
        assert memory.met == max(known, alike[0])
    assert 32 <= memory.met < 250
    assert not memory.rounded
    assert steps[-2:] == [(0, 500), (0, memory.met)]  # the number of steps was remembered


def test_sweeps_that_meet_late_to_the_last_bit_meet_up_to_rounding_errors():
    lanes, x, expected = make(4000, (50,))
    span, memory, ends, found = Span(0, 4000, 250), SimpleNamespace(met=0.0, rounded=False), [], np.zeros_like(expected)

    def watched(trajectory, span):
        run = marcher(lanes, x)(trajectory, span)
        return lambda starts, first, last: (ends.append(last), run(starts, first, last))[1]

    for start in (0.0, 0.7):
        starts = np.full((16, 50), start)
        starts[0] = 0.0
        states = CompiledStates(watched, memory=memory)
        nodes = states.met(starts, span, found, coalescence())
        np.testing.assert_array_equal(nodes, np.concatenate([np.zeros((1, 50)), found[249:3999:250]]))
        np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-15)
        assert memory.rounded
        assert 16 <= memory.met <= ends[1]
    assert ends[-2:] == [250, memory.met]
    exact = SimpleNamespace(met=0.0, rounded=False)
    CompiledStates(marcher(lanes, x), memory=exact).met(starts[:8], Span(0, 4000, 500), found, coalescence())
    assert exact.met > memory.met
    assert not exact.rounded


def test_sweeps_that_do_not_meet_are_not_tried_again():
    lanes, x, _ = make(4000)
    found, memory = np.zeros((4000, 2)), SimpleNamespace(met=0.0, rounded=False)
    states = CompiledStates(marcher(lanes, x), memory=memory)
    assert states.met(np.zeros((400, 2)), Span(0, 4000, 10), found, coalescence()) is None
    assert memory.met == np.inf
    assert states.met(np.zeros((8, 2)), Span(0, 4000, 500), found, coalescence()) is None


def test_segments_of_other_lengths_are_not_expected_to_meet():
    lanes, x, _ = make(4000)
    memory = SimpleNamespace(met=0.0, rounded=False)
    states = CompiledStates(marcher(lanes, x), memory=memory)
    assert states.met(np.zeros((9, 2)), Span(0, 4000, 490), np.zeros((4000, 2)), coalescence()) is None
    assert states.met(np.zeros((1, 2)), Span(0, 490, 490), np.zeros((4000, 2)), coalescence()) is None
    assert memory.met == 0.0


def test_segments_march_again_from_other_states():
    """Whatever steps they marched before, with a shorter last segment or not."""
    lanes, x, expected = make(3001)
    for stop in (3001, 3000):
        span, found = Span(0, stop, 500), np.zeros_like(expected)
        segments = Segments(lanes, [x], [found], 0, stop, 500, 2)
        for first, last in ((0, 500), (0, 1), (1, 200), (0, 500), (100, 300)):
            found[...] = np.nan
            starts = starts_of(expected, span)
            if first:
                starts = expected[first - 1 : stop - 1 : 500][: len(range(first, stop, 500))]
            segments.run(starts, first, last)
            for j in range(first, last):
                rows = slice(j, stop, 500)
                np.testing.assert_allclose(found[rows], expected[rows], rtol=1e-14, atol=1e-15)
            if last < 500:
                assert np.isnan(found[last:stop:500]).all()


def test_portions_cover_all_steps():
    for steps, begin in product((1, 7, 8, 9, 100, 1000), (0, 40)):
        cuts = list(portions(steps, begin))
        assert cuts[0] == (0, min(begin, steps)) if begin else cuts[0][0] == 0
        assert cuts[-1][1] == steps
        assert all(one[1] == other[0] and one[1] % Coalescence.LOOK == 0 for one, other in pairwise(cuts))


def test_an_exception_is_raised_once_all_threads_have_ended():
    ended = []

    def slow():
        time.sleep(0.05)
        ended.append(threading.get_ident())

    def failing():
        raise KeyboardInterrupt

    for tasks in ([failing, slow, slow], [slow, failing, slow]):
        ended.clear()
        with pytest.raises(KeyboardInterrupt):
            run_all(tasks)
        assert len(set(ended)) == 2


def test_machine_code_returns_to_python_now_and_then(monkeypatch):
    lanes, x, expected = make(3001)
    lanes.pace = PAUSE / 70  # seven segments march ten steps at first
    found, calls = np.full_like(expected, np.nan), []

    def interrupted(tasks):
        calls.append(len(tasks))
        run_all(tasks)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("parscan._recorded.native.segments.run_all", interrupted)
    segments = Segments(lanes, [x], [found], 0, 3001, 500, 1)
    with pytest.raises(KeyboardInterrupt):
        segments.run(starts_of(expected, Span(0, 3001, 500)), 0, 500)
    np.testing.assert_allclose(found[500:508], expected[500:508], rtol=1e-14, atol=1e-15)
    assert np.isnan(found[600:1000]).all()


def test_states_that_are_not_finite_are_found_by_the_code():
    lanes, x, expected = make(4000)
    for place in (None, 0, 250, 251, 2000, 3998, 3999):
        given = x.copy()
        if place is not None:
            given[place] = np.nan
        found, states = np.zeros_like(expected), CompiledStates(marcher(lanes, given))
        states.march(np.zeros((18, 2)), Span(0, 3999, 235), found)
        assert states.are_finite == (place is None or place == 3999)
        assert states.are_finite == np.isfinite(found).all()
