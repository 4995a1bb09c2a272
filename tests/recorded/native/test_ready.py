"""Solvers whose memory is filled in advance: they give what runs give, and judge it as NumPy does."""

import numpy as np
import pytest

from parscan._recorded.linearised import linearised
from parscan._recorded.native.explicit import explicit
from parscan._recorded.native.members import STATES, Form
from parscan._recorded.native.ready import STRIDE, Ready, may_be_ready, numbers_in, steps_of
from parscan._recorded.native.rosenbrock import rosenbrock
from parscan._recorded.record import record

ATTEMPTS, LOOSER = 500, 10.0
START, PARAMETERS = (1.0, 0.25, -0.5), (1.5, 0.5, 2.0)


def swing(t, y, rate, others):
    return np.stack([y[1], -rate * y[0] + np.cos(t), others[0] * y[0] - others[1] * y[2]])


def solvers():
    recorded = record(swing, (0.0, np.array(START), 1.5, np.array(PARAMETERS[1:])))
    value, derived = recorded.program, linearised(recorded)
    for lanes in (1, 2):
        form = Form(lanes=lanes, shared=(True, True), log=STATES, compares=True)
        yield f"DOP853, {lanes} lanes", explicit(value, form)
        yield f"Rodas5P, {lanes} lanes", rosenbrock(value, derived, form)


SOLVERS = dict(solvers())


def marched(solver, begin, end, row=0, tolerances=(1e-6, 1e-8, LOOSER), rtol=1e-5, atol=1e-7, ready=None):
    ready = ready or Ready(solver, ATTEMPTS)
    ready.prepare(begin, end, tolerances, (np.inf, np.inf), rtol, atol)
    ready.row[0] = row - STRIDE
    return ready, marched_once(ready)


def marched_once(ready, start=START):
    """What is told: with the time of the row, the size of its smallest slope, and these, instead of what is kept."""
    ended, _, _, *counts, error, worst, kept = ready.march(None, start, *PARAMETERS)
    time, least, slopes = ready.told()
    assert steps_of(kept, len(start))[0].shape == (counts[0] + 1,)
    return ended, *counts, error, worst, time, least, *slopes


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("span", [(0.0, 4.0), (1.0, -1.5)])
def test_as_a_run(name, span):
    solver = SOLVERS[name]
    assert may_be_ready(solver)
    run = solver.lend()
    run.begin(*span, np.array(START), rtol=1e-6, atol=1e-8, parameters=[1.5, np.array(PARAMETERS[1:])], looser=LOOSER)
    assert run.advance(ATTEMPTS) == 0
    _, t, y = run.log
    for row in (0, 3, 5 * t.shape[0] + 2):
        ready, (ended, steps, evaluations, error, _, time, least, *slopes) = marched(solver, *span, row)
        assert ended
        assert steps == run.counts[0, 1] == t.shape[0]
        assert evaluations == run.counts[:, 3].sum()
        one, two = run.y
        assert error == pytest.approx(np.max(np.abs(one - two) / (1e-7 + 1e-5 * np.abs(one))), rel=1e-12)
        which = row % t.shape[0]
        assert time == t[which]
        np.testing.assert_array_equal(ready.state, y[which])
        np.testing.assert_array_equal(slopes, run.slopes[which])
        assert least == np.min(np.abs(run.slopes[which]))
        states, kept = ready.path(steps), ready.march(None, START, *PARAMETERS)[-1]
        times, others = steps_of(kept, len(START))
        np.testing.assert_array_equal(times, [span[0], *t])
        np.testing.assert_array_equal(others, [START, *y])
        np.testing.assert_array_equal(states, others.T)
        assert states.flags.f_contiguous
        np.testing.assert_array_equal(ready.y[: t.shape[0] + 1], others)


def test_each_march_tells_of_another_step():
    ready, (_, steps, *_) = marched(SOLVERS["DOP853, 1 lanes"], 0.0, 4.0)
    found = [ready.t[1]]
    for count in range(1, 20):
        ready.march(None, START, *PARAMETERS)
        time, *_ = ready.told()
        assert time == ready.t[1 + count * STRIDE % steps]
        found.append(time)
    assert len(set(found)) == steps < 13  # which have no divisor in common with the stride


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("stiff", [False, True])
@pytest.mark.parametrize("span", [(0.0, 4.0), (1.0, -1.5)])
def test_values_at_times(lanes, stiff, span):
    recorded = record(swing, (0.0, np.array(START), 1.5, np.array(PARAMETERS[1:])))
    form = Form(lanes=lanes, shared=(True, True), log=STATES, compares=True, has_times=True, checks_polynomials=True)
    value = recorded.program
    solver = rosenbrock(value, linearised(recorded), form) if stiff else explicit(value, form)
    assert may_be_ready(solver)
    times = np.sort(np.concatenate([np.linspace(*span, 40), np.linspace(*span, 3)[1:2] + 1e-3]))[
        :: 1 if span[1] > 0 else -1
    ]
    run = solver.lend()
    run.begin(
        *span, np.array(START), rtol=1e-6, atol=1e-8, parameters=[1.5, np.array(PARAMETERS[1:])], looser=LOOSER,
        times=times,
    )  # fmt: skip
    assert run.advance(ATTEMPTS) == 0
    ready = Ready(solver, ATTEMPTS, times.shape[0])
    ready.times[...] = times
    ready.values[...] = 7.0  # of an earlier march
    _, found = marched(solver, *span, ready=ready)
    assert found[0]
    assert found[1:3] == (run.counts[0, 1], run.counts[:, 3].sum())
    np.testing.assert_array_equal(ready.values, run.values[0])
    _, t, y = run.log
    t, y = np.array([span[0], *t]), np.array([START, *y])
    way = 1 if span[1] > span[0] else -1
    for number, time in enumerate(times):
        step = next(k for k in range(t.shape[0] - 1) if way * t[k + 1] >= way * time)
        one, other = run.values[:, number]
        size = np.max(np.abs([y[step], y[step + 1], one]), axis=0)
        expected = np.max(np.abs(one - other) / (1e-7 + 1e-5 * size))
        assert numbers_in(ready.apart())[number] == pytest.approx(expected, rel=1e-12)
    assert found[4] == numbers_in(ready.apart()).max()


@pytest.mark.parametrize("name", SOLVERS)
def test_other_tolerances_and_what_was_kept(name):
    ready, found = marched(SOLVERS[name], 0.0, 4.0)
    states, kept = ready.path(found[1]), ready.march(None, START, *PARAMETERS)[-1]
    before = states.copy()
    _, other = marched(SOLVERS[name], 0.0, 4.0, tolerances=(1e-9, 1e-11, LOOSER), ready=ready)
    assert other[1] > found[1]
    assert other[3] < found[3]
    times, _ = steps_of(kept, len(START))
    assert times.shape == (found[1] + 1,)
    np.testing.assert_array_equal(states, before)
    _, again = marched(SOLVERS[name], 0.0, 4.0, ready=ready)
    assert again == found
    states[...] = 0.0
    np.testing.assert_array_equal(ready.path(found[1]), before)
    assert ready.march(None, START, *PARAMETERS)[-1] == kept


@pytest.mark.parametrize("name", SOLVERS)
def test_a_start_that_is_not_finite_has_no_small_error(name):
    ready, _ = marched(SOLVERS[name], 0.0, 1.0)
    for bad in (np.nan, np.inf):
        found = marched_once(ready, [1.0, bad, 0.0])
        assert not found[3] <= 1.0
    found = marched_once(ready)
    assert found[0]
    assert found[3] <= 1.0


def test_a_march_to_a_finite_end_of_a_start_that_is_not_finite():
    """The slope at infinity is 0: what is not finite may take no part in anything but the state."""
    recorded = record(lambda t, y: np.stack([-y[0], 0.0 * y[0]]), (0.0, np.array([1.0, 0.0])))
    ready = Ready(explicit(recorded.program, Form(lanes=2, log=STATES, compares=True)), ATTEMPTS)
    ready.prepare(0.0, 1.0, (1e-6, 1e-9, LOOSER), (np.inf, np.inf), 1e-6, 1e-9)
    assert ready.march(None, [1.0, 2.0])[5] <= 1.0
    assert not ready.march(None, [1.0, np.inf])[5] <= 1.0


def test_tolerances_of_zero():
    """Components that are exactly 0 in both marches have no error, even if their tolerance is 0."""

    def fun(t, y):
        return np.stack([-y[0], 0.0 * y[1]])

    recorded = record(fun, (0.0, np.array([1.0, 0.0])))
    ready = Ready(explicit(recorded.program, Form(lanes=2, log=STATES, compares=True)), ATTEMPTS)
    ready.prepare(0.0, 1.0, (1e-6, 1e-9, LOOSER), (np.inf, np.inf), 1e-6, 0.0)
    found = ready.march(None, [1.0, 0.0])
    assert found[0]
    assert 0 < found[5] < np.inf
