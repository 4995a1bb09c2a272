"""Solves that repeat an earlier one: they leave out all that is the same, and none of the checks."""

import gc
import pickle
import sys
import weakref
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

import numpy as np
import pytest

from parscan import solve_ivp
from parscan._ivp import solve as _solve
from parscan._ivp.compiled import repeat as _repeat
from parscan._ivp.compiled import solvers
from parscan._ivp.compiled.accuracy import ANEW
from parscan._ivp.result.repeated import RepeatedCalls
from parscan._recorded import memo
from parscan._recorded.native.ready import Ready
from parscan._recorded.witness import Witness

SPAN, START = (0.0, 9.0), [1.0, 0.5]
RATE = 1.0


def make():
    """A function of which nothing is known."""
    return lambda t, y: [y[1], -np.sin(y[0])]


def rated(t, y):
    return [RATE * y[1], -y[0]]


@pytest.fixture
def repeats(monkeypatch):
    """Whether each solve was a repetition."""
    found = []

    def noted(*arguments):
        sol = _repeat.solve_again(*arguments)
        found.append(sol is not None)
        return sol

    monkeypatch.setattr(_solve, "solve_again", noted)
    monkeypatch.setattr(memo, "_kept", OrderedDict())
    monkeypatch.setattr(_repeat, "_known", OrderedDict())
    return found


def solved(fun, span=SPAN, y0=START, rtol=1e-8, atol=1e-8, **options):
    return solve_ivp(fun, span, y0, rtol=rtol, atol=atol, **{"compile": True, **options})


@pytest.mark.parametrize("times", [None, np.linspace(0, 9, 50), [3.0, 4.0]])
@pytest.mark.parametrize("y0", [START, tuple(START), np.array(START)])
def test_the_next_solve_is_repeated(times, y0, repeats, monkeypatch):
    fun = make()
    solved(fun, y0=y0, t_eval=times)
    again = [solved(fun, y0=y0, t_eval=times) for _ in range(3)]
    assert repeats == [False, True, True, True]
    monkeypatch.setattr(_solve, "solve_again", lambda *_: None)
    usual = solved(fun, y0=y0, t_eval=times)
    for field in fields(usual):
        one, other = (getattr(sol, field.name) for sol in (again[-1], usual))
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
        elif not field.name.startswith("_"):
            assert one == other, field.name
    np.testing.assert_allclose(again[-1].errors, usual.errors, rtol=1e-9)
    assert again[0].y is not again[1].y
    np.testing.assert_array_equal(again[0]._dense.evaluate(usual.t + 0.01), usual._dense.evaluate(usual.t + 0.01))
    np.testing.assert_allclose(again[0].tangent(y0=np.ones(2)), usual.tangent(y0=np.ones(2)))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(again[0])).y, usual.y)


def test_times_are_those_that_are_given_now(repeats):
    fun, times = make(), np.linspace(*SPAN, 30)
    exact = solved(fun, rtol=1e-11, atol=1e-11, dense_output=True).sol
    solved(fun, t_eval=times)
    repeats.clear()
    sols = [solved(fun, t_eval=times)]
    times[7] += 0.1
    given = [times, times.tolist(), tuple(times), times[:9], [1, 2, 3], times]
    sols += [solved(fun, t_eval=one) for one in given]
    assert repeats == [True] * 5 + [False, True]
    for sol, one in zip(sols[1:], given, strict=True):
        np.testing.assert_array_equal(sol.t, one)
        np.testing.assert_allclose(sol.y, exact(sol.t), rtol=0, atol=1e-6)
    assert sols[0].t[7] != times[7]
    sols[-1].t[:] = 0.0
    np.testing.assert_array_equal(solved(fun, t_eval=times).t, times)
    for bad in (times[::-1], times[:, None], times + 1.0, [0.0, np.nan]):
        with pytest.raises(ValueError, match="t_eval"):
            solved(fun, t_eval=bad)
    assert solved(fun, t_eval=[]).t.shape == (0,)


def ends(t, y):
    return y[1] + 0.2


ends.terminal, ends.direction = 2, -1


@pytest.mark.parametrize(
    "options",
    [{"dense_output": True}, {"dense_output": True, "t_eval": [2.0, 4.0]}, {"events": lambda t, y: y[0]},
     {"events": []}, {"events": ends},
     {"events": [lambda t, y: min(y[0], y[1]), ends], "dense_output": True, "t_eval": [1.0, 8.0]}],
)  # fmt: skip
@pytest.mark.parametrize("span", [SPAN, (9.0, 0.0)])
def test_dense_output_and_events_are_repeated(options, span, repeats, monkeypatch):
    fun = make()
    if "t_eval" in options:
        options = {**options, "t_eval": sorted(options["t_eval"], reverse=span[0] > span[1])}
    solved(fun, span, **options)
    again = [solved(fun, span, **options) for _ in range(2)][-1]
    assert repeats == [False, True, True]
    monkeypatch.setattr(_solve, "solve_again", lambda *_: None)
    usual = solved(fun, span, **options)
    for field in fields(usual):
        one, other = (getattr(sol, field.name) for sol in (again, usual))
        if field.name in ("t_events", "y_events") and other is not None:
            assert list(map(np.ndarray.tolist, one)) == list(map(np.ndarray.tolist, other))
        elif isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other)
        elif field.name != "sol" and not field.name.startswith("_"):
            assert one == other, field.name
    np.testing.assert_array_equal(again.errors, usual.errors)
    np.testing.assert_allclose(again.tangent(y0=np.ones(2)), usual.tangent(y0=np.ones(2)))
    if options.get("dense_output"):
        np.testing.assert_array_equal(again.sol(usual.t), usual.sol(usual.t))


LEVEL = 0.25


def test_what_an_event_reads_has_changed(repeats, monkeypatch):
    fun = make()

    def event(t, y):
        return y[0] - LEVEL

    found = [solved(fun, events=event).t_events[0] for _ in range(2)]
    monkeypatch.setitem(globals(), "LEVEL", 0.5)
    other = solved(fun, events=event)
    assert repeats == [False, True, True]
    np.testing.assert_array_equal(*found)
    np.testing.assert_allclose(other.y_events[0][:, 0], 0.5, atol=1e-12)


def test_events_that_cannot_be_recorded_are_solved_as_ever(repeats):
    fun, calls = make(), []

    def event(t, y):
        calls.append(t)
        return float(str(y[0]))

    one, other = (solved(fun, events=event).t_events[0].tolist() for _ in range(2))
    assert one == other != []
    assert repeats == [False, False]
    assert calls


@pytest.mark.parametrize(
    ("event", "compared"), [(lambda t, y: y[0], set()), (lambda t, y: float(str(y[0])), {"events[0]"})]
)
def test_only_events_without_a_record_are_compared_with_themselves(event, compared, repeats, monkeypatch):
    names, answers = set(), RepeatedCalls._answers

    def noted(self, name, rows):
        names.add(name)
        return answers(self, name, rows)

    monkeypatch.setattr(RepeatedCalls, "_answers", noted)
    for _ in range(2):
        solved(make(), events=event)
    assert names == compared


def test_decorated_events_are_told_apart(repeats):
    """One of them cannot be recorded."""
    fun = make()

    def decorated(function):
        return lambda t, y: function(t, y)  # noqa: PLW0108 - functions with the same code

    for event in (lambda t, y: float(str(y[0])), lambda t, y: y[0]):
        for _ in range(2):
            solved(fun, events=decorated(event))
    assert repeats == [False, False, False, True]


@pytest.mark.parametrize(("events", "error"), [(3, TypeError), (lambda t, y: y, ValueError)])
def test_wrong_events_are_refused_as_ever(events, error, repeats):
    fun = make()
    solved(fun)
    with pytest.raises(error, match="events"):
        solved(fun, events=events)


def test_other_problems_with_the_function(repeats):
    fun = make()
    solved(fun)
    solved(fun)
    for span, y0, tolerances in (
        (SPAN, [0.2, 0.1], {}),
        ((2.0, -3.0), START, {}),
        (SPAN, START, {"rtol": 9e-9, "atol": 9e-9}),
    ):
        sol = [solved(fun, span, y0, **tolerances) for _ in range(2)][-1]  # the first one may need a smaller share
        assert repeats[-1]
        expected = solved(fun, span, y0, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(sol.y[:, -1], expected.y[:, -1], rtol=0, atol=2e-7)
        assert (sol.t[0], sol.t[-1]) == span


def test_parameters_and_constants(repeats):
    table = np.array([1.0, 2.0])
    words = ["a"]

    def fun(t, y, rate, numbers, word):
        return [rate * y[1], -numbers[0] * y[0]]

    for rate in (1.0, 1.0, 1.25, 1.5):
        sol = solved(fun, args=(rate, table * rate, words))
        frequency = rate
        expected = START[0] * np.cos(frequency * 9) + START[1] * np.sin(frequency * 9)
        np.testing.assert_allclose(sol.y[0, -1], expected, atol=1e-6)
    assert repeats == [False, True, True, True]
    solved(fun, args=(1.0, table, ["b"]))
    solved(fun, args=(1, table, words))
    solved(fun, args=(1.0, table[:1], words))
    assert repeats[4:] == [False] * 3


@pytest.mark.parametrize(
    "options",
    [{"dense_output": 1}, {"max_step": 0.5}, {"first_step": 0.1}, {"jumps": [1.0]},
     {"vectorized": False}, {"jac": lambda t, y: np.eye(2)}, {"y0": [True, 0.0]}, {"y0": np.array(START, np.float32)},
     {"y0": [1j, 0]}, {"y0": [*START, 1.0]}, {"rtol": 1e-16}, {"atol": np.array(1e-8)}, {"compile": None},
     {"compile": False}, {"span": (0.0, 0.0)}],
    ids=lambda options: next(iter(options)),
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:`rtol` is too small")
def test_other_options_are_solved_as_ever(options, repeats):
    def fun(t, y):
        return [y[1], -y[0], *(-y[2:])]

    solved(fun)
    assert solved(fun, **options).success
    assert repeats[1:] in ([False], [])


@pytest.mark.parametrize(
    ("span", "y0", "options", "error"),
    [(SPAN, [np.nan, 0.0], {}, ValueError), ((0.0, np.inf), START, {}, ValueError), ((0.0,), START, {}, ValueError),
     (SPAN, START, {"t_eval": [10.0]}, ValueError), (SPAN, START, {"rtol": -1.0}, ValueError),
     (SPAN, START, {"atol": np.nan}, ValueError), (SPAN, START, {"args": 3}, TypeError),
     (SPAN, [START], {}, TypeError)],
)  # fmt: skip
def test_wrong_arguments_are_refused_as_ever(span, y0, options, error, repeats):
    fun = make()
    solved(fun)
    with pytest.raises(error):
        solved(fun, span, y0, **options)
    assert repeats[1:] == [] or repeats[1:] == [False]


def test_what_the_function_reads_has_changed(repeats, monkeypatch):
    assert solved(rated).compiled
    monkeypatch.setattr(sys.modules[__name__], "RATE", 1.25)
    sol = solved(rated)
    assert repeats == [False, False]
    expected = START[0] * np.cos(9 * 1.25**0.5) + START[1] * 1.25**0.5 * np.sin(9 * 1.25**0.5)
    np.testing.assert_allclose(sol.y[0, -1], expected, atol=1e-6)


def test_a_function_that_contradicts_the_code(repeats, monkeypatch):
    solved(rated)
    monkeypatch.setattr(Witness, "holds", lambda *_: True)
    monkeypatch.setattr(sys.modules[__name__], "RATE", 1.25)
    with pytest.raises(TypeError, match="gave other values than its recorded operations"):
        solved(rated)
    assert repeats == [False, False]


def decaying(t, y):
    return [-1e4 * (y[0] - np.cos(t)) - np.sin(t)]


def test_the_method_is_asked_for_anew_where_a_stiff_one_was_taken(repeats):
    for _ in range(2 * ANEW + 2):
        sol = solved(decaying, (0.0, 10.0), [1.5], rtol=1e-5, atol=1e-5)
    assert sol.method != "DOP853"
    first = repeats.index(True)
    assert repeats[first:].count(False) in (1, 2)


def test_few_explicit_steps_are_not_asked_about(repeats):
    fun = make()
    for _ in range(2 * ANEW):
        solved(fun)
    assert repeats == [False] + [True] * (2 * ANEW - 1)


def test_integers_and_doubles_of_numpy_are_floats(repeats):
    fun = make()
    one, *others = (solved(fun, y0=y0) for y0 in ([1.0, 0.0], [1, 0], [np.float64(1.0), 0.0]))
    assert repeats == [False, True, True]
    for other in others:
        np.testing.assert_array_equal(one.y, other.y)
        assert other.y.dtype == float


def test_a_start_that_is_not_finite_does_not_end_repeating(repeats):
    fun = make()
    solved(fun)
    with pytest.raises(ValueError, match="y0"):
        solved(fun, y0=[np.inf, 0.0])
    assert solved(fun).success
    assert repeats == [False, False, True]


def test_results_are_independent(repeats):
    """Another solve by the same memory changes no earlier result, and neither does a change of one of its arrays."""
    fun = make()
    solved(fun)
    one, two = solved(fun), solved(fun, y0=[0.1, 0.2])
    assert repeats[1:] == [True, True]
    end, mesh = one.y[:, -1].copy(), two.mesh.copy()
    two.t[:] = two.y[:] = 0.0
    np.testing.assert_array_equal(two.mesh, mesh)
    assert one.y[0, 0] == START[0]
    three, four = solved(fun, y0=[0.1, 0.2]), solved(fun, y0=[0.1, 0.2])
    three.y[:] = 0.0
    np.testing.assert_allclose(three.tangent(y0=np.ones(2))[:, -1], four.tangent(y0=np.ones(2))[:, -1], rtol=1e-6)
    np.testing.assert_array_equal(solved(fun).y[:, -1], end)
    assert "1 step" not in one.message
    assert one.message == solved(fun).message


def test_threads_have_memory_of_their_own(repeats):
    fun = make()
    solved(fun)
    solved(fun)
    starts = [[0.1 * k, 0.5] for k in range(40)]
    expected = [solved(fun, y0=y0).y[:, -1].tolist() for y0 in starts]
    with ThreadPoolExecutor(4) as pool:
        found = [sol.y[:, -1].tolist() for sol in pool.map(lambda y0: solved(fun, y0=y0), starts)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_another_share_that_a_thread_takes_meanwhile_is_not_that_of_a_march(repeats, monkeypatch):
    fun, prepare, given = make(), Ready.prepare, []
    solved(fun)
    solved(fun)
    (one,) = (one for one in _repeat._known.values() if one.function() is fun)
    plan = one.ends[False]._last

    def meanwhile(ready, begin, end, tolerances, *others):
        prepare(ready, begin, end, tolerances, *others)
        plan.take(0.25)
        given.append(tolerances[0] / plan.rtol)

    monkeypatch.setattr(Ready, "prepare", meanwhile)
    for share in (0.5, 0.25):
        plan.known.share = share
        solved(fun)
    assert given == [0.5, 0.25]


def test_other_states_are_compared_with_the_function(repeats, monkeypatch):
    """A function that has other values than its record beyond some state is found out when a solve comes there."""
    solved(rated)
    solved(rated)
    monkeypatch.setattr(Witness, "holds", lambda *_: True)
    monkeypatch.setattr(sys.modules[__name__], "RATE", 1.25)
    with pytest.raises(TypeError, match="gave other values than its recorded operations"):
        solved(rated, y0=[0.3, 0.2])
    assert repeats == [False, True, False]


@pytest.mark.parametrize(("start", "is_repeated"), [(1.0, True), (2.0, False)])
def test_errors_that_no_march_lessens(start, is_repeated, repeats, monkeypatch):
    """Near rounding, errors of a few tolerances are left as they are; those of many are looked into at each solve."""
    monkeypatch.setattr(solvers, "SERIES_AT", 0.0)  # of DOP853, as Taylor series have smaller ones
    fun = make()
    given = {"span": (0.0, 100.0), "y0": [start, start / 2], "rtol": 3e-14, "atol": 1e-16}
    sols = [solved(fun, **given) for _ in range(3)]
    assert (1.0 < sols[-1].error_estimate < 10.0) == is_repeated
    assert repeats[-1] == is_repeated
    monkeypatch.setattr(_solve, "solve_again", lambda *_: None)
    usual = solved(fun, **given)
    assert sols[-1].error_estimate == usual.error_estimate
    assert sols[-1].message == usual.message


def test_recordings_that_are_not_kept_are_not_repeated(repeats, monkeypatch):
    fun = make()
    solved(fun)
    solved(fun)
    monkeypatch.setattr(memo, "KEPT", 1)
    solved(lambda t, y: [y[1], -y[0]])
    assert solved(fun).success
    assert repeats == [False, True, False, False]


def test_solves_in_vain_are_not_repeated_for_ever(repeats):
    def lorenz(t, y):
        return [10 * (y[1] - y[0]), y[0] * (28 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]]

    runs = []
    for _ in range(10):
        sol = solved(lorenz, (0.0, 40.0), [1.0, 1.0, 1.0])
        runs.append(next(iter(_repeat._known.values())).misses)
        assert sol.compiled
    assert not any(repeats)
    assert max(runs) <= _repeat.MISSES + 1


def test_stiff_problems(repeats):
    sols = [solved(decaying, (0.0, 10.0), [1.5], rtol=1e-5, atol=1e-5) for _ in range(4)]
    assert repeats[-1]
    assert sols[-1].method == sols[-2].method != "DOP853"
    np.testing.assert_allclose(sols[-1].y[0, -1], np.cos(10.0), atol=1e-4)


def test_functions_are_not_kept_alive(repeats):
    fun = make()
    solved(fun)
    solved(fun)
    gone = weakref.ref(fun)
    del fun
    gc.collect()
    assert gone() is None
    assert len(_repeat._known) <= _repeat.KEPT


def test_series_of_other_orders_are_repeated(repeats):
    """At each tolerance, a series has an order of its own."""
    fun = make()
    for rtol in (1e-9, 1e-11):
        sols = [solved(fun, rtol=rtol, atol=rtol) for _ in range(5)]
        assert repeats[-1]
        np.testing.assert_array_equal(sols[-1].y, sols[-2].y)


def test_solves_are_repeated_where_tighter_marches_are_vain(repeats):
    """Estimated errors above those that are wanted stay as they are then, for repetitions as for other solves."""
    fun = make()
    found = [solved(fun, (0.0, 20.0), [2.0, 0.0], rtol=1e-4, atol=1e-4) for _ in range(50)]
    assert all(repeats[-5:])
    assert 1.0 < found[0].error_estimate < 10.0
    assert {sol.error_estimate for sol in found[-20:]} == {found[0].error_estimate}
