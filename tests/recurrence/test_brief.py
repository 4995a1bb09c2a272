"""Brief loops take a straight way. What is out of the ordinary goes on from there, with no step called again."""

import itertools
import sys
import warnings
from math import inf

import numpy as np
import pytest
from all_layers import all_of_it, told

import parscan
from parscan._recurrence import brief, choose, code, repeat

X = np.linspace(0.0, 1.0, 100)[:, None]
Y0 = np.array([0.5, -0.7])


def decaying(y, *given):
    return 0.5 * y + 0.1 * (1 + len(given))


@pytest.fixture(autouse=True)
def _steady(monkeypatch):
    """Whatever the first steps take, the same is chosen."""
    for one, name in ((brief, "BRIEF"), (choose, "BRIEF"), (code, "WORTH_RECORDING"), (code, "WORTH_SAVING")):
        monkeypatch.setattr(one, name, inf)
    monkeypatch.setattr(code, "WORTH_RUNNING", inf)
    monkeypatch.setattr(repeat, "_known", type(repeat._known)())


GIVEN = {
    "none": {"length": 100},
    "inputs": {"x": X},
    "numbers": {"x": X[:, 0]},
    "arguments": {"length": 100, "args": (1.0, "two")},
    "both": {"x": X, "args": (1.0,)},
    "one argument": {"length": 100, "args": (1.0,)},
    "three arguments": {"x": X, "args": (1.0, "two")},
    "many arguments": {"x": X, "args": (1.0, "two", 3, 4)},
    "never compiled": {"length": 100, "compile": False},
    "few": {"length": 3},
    "one": {"length": 1},
    "most": {"length": 127},
}


@pytest.mark.parametrize("name", GIVEN)
def test_few_functions_are_called(name):
    called = []

    def note(frame, event, _):
        if event == "call" and "parscan" in frame.f_code.co_filename and frame.f_code is not decaying.__code__:
            called.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        sol = parscan.solve_recurrence(decaying, Y0, **GIVEN[name])
    finally:
        sys.setprofile(None)
    assert sol.success
    assert len(set(called)) <= 12, called  # what is called again is fetched already
    assert len(called) <= 15, called


@pytest.mark.parametrize("compiles", [None, False])
def test_every_call_does_the_same(compiles):
    """Nothing is done now and then: the number of calls, of functions of C as well, does not change."""
    numbers = []

    def count(frame, event, _):
        numbers[-1] += event in ("call", "c_call")

    for _ in range(300):
        numbers.append(0)
        sys.setprofile(count)
        try:
            parscan.solve_recurrence(decaying, Y0, length=100, compile=compiles)
        finally:
            sys.setprofile(None)
    assert max(numbers[1:]) - min(numbers[1:]) <= 1  # one more where a step took the least time so far


def test_states_are_kept_in_one_piece():
    blocks, time = np.zeros(200, int), itertools.count()

    def step(y):
        blocks[next(time)] = sys.getallocatedblocks()
        return 0.5 * y

    parscan.solve_recurrence(step, Y0, length=100, compile=False)
    assert blocks[90] - blocks[20] < 10  # for 70 states


def test_a_list_of_floats_takes_the_same_way(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["parscan._recurrence.solve"], "_solved", None)  # the other way
        found = parscan.solve_recurrence(decaying, Y0.tolist(), X)
    np.testing.assert_array_equal(found.y, parscan.solve_recurrence(decaying, Y0, X).y)
    with pytest.raises(ValueError, match="float64"):
        parscan.solve_recurrence(decaying, [1, 2**60 + 1], X)


@pytest.mark.parametrize("name", GIVEN)
def test_results_are_those_of_all_layers(name):
    given = {"x": None} | GIVEN[name]
    x = given.pop("x")
    assert told(decaying, Y0, x, **given) == all_of_it(decaying, Y0, x, **given)


def raising(y):
    raise KeyError("here")


OUTCOMES = {
    "an error": raising,
    "an index": lambda y: Y0[y.astype(str)],
    "a list": lambda y: [0.5, 0.5],
    "another shape": lambda y: y[..., :1],
    "another dtype": lambda y: y.astype(np.float32),
    "integers": lambda y: y.astype(int),
    "a subclass": lambda y: (0.5 * y).view(np.recarray),
    "a masked array": lambda y: np.ma.masked_array(0.5 * y, [[True, False]] if len(y) == 1 else False),
    "metadata": lambda y: (0.5 * y).astype(np.dtype("f8", metadata={"unit": "m"})),
    "infinite": lambda y: y * inf,
    "an opposite of infinite": lambda y: np.array([[inf, -inf]]) if len(y) == 1 else y * inf,
    "a large one": lambda y: np.full(y.shape, 1.7e308),
    "its argument": lambda y: y,
}
TIMES = (0, 3, 4, 7, 8, 40, 99)


def failing_at(time, outcome, after=None):
    """A step with an outcome at one time, perhaps another one later, and the times of its calls for single states."""
    calls = []

    def step(y):
        calls.append(len(y))
        if len(calls) == time + 1:
            return outcome(y)
        if after is not None and len(calls) == time + 5:
            return after(y)
        return 0.5 * y + 0.1

    return step, calls


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("name", OUTCOMES)
def test_what_is_out_of_the_ordinary_goes_on_in_the_other_way(name, time):
    found = []
    for solve in (told, all_of_it):
        step, calls = failing_at(time, OUTCOMES[name])
        found.append((solve(step, Y0, length=100), calls))
    assert found[0] == found[1]


@pytest.mark.parametrize("outcome", ["an error", "another shape", "a subclass"])
@pytest.mark.parametrize("name", GIVEN)
def test_the_same_with_further_arguments(name, outcome):
    found = []
    for solve in (told, all_of_it):
        step, calls = failing_at(0, OUTCOMES[outcome])
        found.append((solve(lambda y, *given, step=step: step(y), Y0, **GIVEN[name]), calls))
    assert found[0] == found[1]


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("after", ["an error", "a list", "a subclass"])
def test_what_follows_from_states_that_are_not_finite(after, time):
    found = []
    for solve in (told, all_of_it):
        step, calls = failing_at(time, OUTCOMES["infinite"], OUTCOMES[after])
        found.append((solve(step, Y0, length=100), calls))
    assert found[0] == found[1]


def test_the_error_is_that_of_the_step_with_a_note():
    step, _ = failing_at(20, raising)
    with pytest.raises(KeyError, match="here") as caught:
        parscan.solve_recurrence(step, Y0, length=100)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert caught.traceback[-1].name == "raising"
    assert "for the time steps 20:21:1 on stacked states of shape (1, 2)" in caught.value.__notes__[0]


@pytest.mark.parametrize("steps", [1, 8, 9, 64, 65, 100, 127])
def test_noise_in_the_call_on_a_sample_is_found(steps):
    def step(y):
        return 0.5 * y + (0.1 if len(y) == 1 else 0.2)

    found = [solve(step, Y0, length=steps) for solve in (told, all_of_it)]
    assert found[0] == found[1]


def test_rounding_in_the_call_on_a_sample_is_none():
    sol = parscan.solve_recurrence(lambda y: 0.5 * y + 0.1 * (1 if len(y) == 1 else 1 + 1e-15), Y0, length=100)
    assert sol.success
    assert (sol.nfev, sol.npoints) == (101, 150)


def test_steps_that_take_long_are_left_after_the_first_ones(monkeypatch):
    monkeypatch.setattr(choose, "LONG", 0.0)
    monkeypatch.setattr(brief, "BRIEF", 0.0)
    step, calls = failing_at(-1, raising)
    sol = parscan.solve_recurrence(step, Y0, length=100, compile=False)
    assert sol.success
    assert calls[:8] == [1] * 8
    assert 8 in calls  # the check of broadcasting on the first steps
    assert (sol.nfev, sol.npoints) == (len(calls), sum(calls))
    monkeypatch.setattr(code, "WORTH_SAVING", 0.0)
    monkeypatch.setattr(brief, "at_once", lambda *_: None)
    left = []
    monkeypatch.setattr(brief, "resumed", lambda *given: left.append(given[1]) or choose.resumed(*given))
    parscan.solve_recurrence(decaying, Y0, length=100)
    assert [one.evaluated for one in left] == [8]


def test_busy_moments_do_not_add_up_to_a_recording(monkeypatch, clock):
    monkeypatch.setattr(code, "WORTH_SAVING", 1e-3)
    asked, pace = [], [1e-5]
    monkeypatch.setattr(brief, "at_once", lambda *given: asked.append(given[2]) or choose.FEW_LEFT)

    def step(y):
        clock.now += pace[0]
        return 0.5 * y

    def solved(seconds, y0=Y0, **options):
        pace[0] = seconds
        parscan.solve_recurrence(step, y0, length=100, **options)
        return len(asked)

    assert [solved(seconds) for seconds in (1e-5, 1.6e-5, 1.9e-5)] == [0, 0, 0]
    assert solved(2.1e-5) == 1
    assert asked[0] == pytest.approx(2.1e-5)
    assert solved(1.6e-5, np.ones(3)) == 2  # of other states, nothing is known
    assert solved(5e-6) == 2
    assert solved(1.6e-5) == 3


def test_nothing_of_the_users_is_changed():
    y0, x = Y0.copy(), np.ones((100, 2))

    def step(y, x):
        y *= 0.5
        y += x
        return y

    sol = parscan.solve_recurrence(step, y0, x)
    assert (y0 == Y0).all()
    assert (x == 1).all()
    assert sol.y.flags.owndata
    assert sol.y.flags.writeable
    assert not np.shares_memory(sol.y, y0)

    def writing(y, x):
        x += 1
        return y

    with pytest.raises(ValueError, match="read-only"):
        parscan.solve_recurrence(writing, y0, x)


def test_a_step_that_writes_to_the_initial_state_of_the_user():
    def solved():
        y0 = Y0.copy()
        step, _ = failing_at(20, OUTCOMES["a subclass"])

        def writing(y):
            y0[...] = 7.0
            return step(y)

        return parscan.solve_recurrence(writing, y0, length=100)

    sol = solved()
    assert sol.success
    np.testing.assert_array_equal(sol.y[0], 0.5 * Y0 + 0.1)
    assert sol.residual == pytest.approx(0.1)  # that of the step which added nothing


def test_derivatives_and_changes_of_inputs():
    x = X.copy()
    sol = parscan.solve_recurrence(lambda y, x, a: a * y + x, Y0, x, args=(0.5,))
    assert sol.residual == 0
    np.testing.assert_allclose(sol.tangent(np.ones((100, 2)))[0], 1.0)
    changed = parscan.solve_recurrence(lambda y, x, a: a * y + x, Y0, x, args=(0.5,))
    x[3] += 1e-9
    with pytest.raises(RuntimeError, match="no longer gives this trajectory"):
        changed.tangent(np.ones((100, 2)))


def test_handling_of_errors_by_the_user_is_as_before():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with np.errstate(all="raise"):
            before = np.geterr()
            assert parscan.solve_recurrence(lambda y: 1e-200 * y * y + 0.1, Y0, length=50).success
            assert np.geterr() == before
        before = dict.fromkeys(before, "warn") | {"under": "ignore"}
        assert np.geterr() == before
        assert parscan.solve_recurrence(lambda y: 1e-200 * y * y + 0.1, Y0, length=50).success
        assert np.geterr() == before
        step, _ = failing_at(20, raising)
        with pytest.raises(KeyError):
            parscan.solve_recurrence(step, Y0, length=100)
        assert np.geterr() == before
