"""Functions of Python that are machine code: what they take, refuse and call; they leave no object behind."""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from parscan._arrays.namespace import quiet
from parscan._recorded.native.explicit import explicit
from parscan._recorded.native.members import STATES, Form
from parscan._recorded.native.ready import Ready, steps_of
from parscan._recorded.record import record

START = [1.0, 0.0]


def swing(t, y, rate=4.0):
    return [y[1], -rate * y[0]]


def ready(end=5.0, attempts=500):
    """A swing with one parameter."""
    recorded = record(lambda t, y, rate: np.stack([y[1], -rate * y[0]]), (0.0, np.ones(2), 1.0))
    solver = explicit(recorded.program, Form(lanes=2, shared=(True,), log=STATES, compares=True))
    made = Ready(solver, attempts)
    made.prepare(0.0, end, (1e-9, 1e-9, 10.0), (np.inf, np.inf), 1e-9, 1e-9, 1e-12)
    made.see_errors()
    return made


def told(one, fun=None, start=START, rate=4.0):
    """Whether the arguments were those before, and whether the function was right; -1 if it was not called."""
    return one.march(fun, start, rate)[1:3]


def test_numbers_are_taken_and_told():
    one = ready()
    ended, same, like, steps, evaluations, error, worst, kept = one.march(None, START, 4.0)
    assert (ended, same, like) == (1, 0, -1)
    assert {type(number) for number in (ended, same, like, steps, evaluations)} == {int}
    assert {type(number) for number in (error, worst)} == {float}
    times, states = steps_of(kept, 2)
    np.testing.assert_array_equal(times, one.t[: steps + 1])
    np.testing.assert_array_equal(states, one.y[: steps + 1])
    np.testing.assert_allclose(states[-1], [np.cos(10.0), -2 * np.sin(10.0)], atol=1e-7)


def test_arguments_are_those_before():
    one = ready()
    assert [told(one)[0] for _ in range(2)] == [0, 1]
    for start in ((1.0, 0.0), [1, 0], [np.float64(1.0), 0.0]):
        assert told(one, start=start)[0] == 1
    assert told(one, rate=4)[0] == 1
    for given in ({"start": [1.0, -0.0]}, {"start": [1.0 + 2**-52, 0.0]}, {"rate": 4.5}, {"start": [1.0, np.nan]}):
        assert [told(one, **given)[0] for _ in range(2)] == [0, 1]
        assert [told(one)[0] for _ in range(2)] == [0, 1]


@pytest.mark.parametrize(
    ("bad", "start"),
    [(np.array([1.0, 0.0]), START), ([2.0, True], [2.0, 1.0]), ([2.0, 10**400], [2.0, 0.0]), ([2.0], [2.0, 0.0])],
)
def test_what_was_refused_is_not_a_call_before(bad, start):
    one = ready()
    told(one)
    for rate in (4.5, 5.0):
        assert one.march(None, bad, rate) == ()
        assert [told(one, start=start, rate=rate)[0] for _ in range(2)] == [0, 1]


@pytest.mark.parametrize("given", [(), (None,), (None, START), (None, START, 4.0, 4.0)])
def test_another_number_of_arguments_is_refused(given):
    with pytest.raises(SystemError):
        ready().march(*given)


@pytest.mark.parametrize("bad", ["1", None, [1.0], 1j])
def test_a_parameter_that_is_no_number_is_refused(bad):
    one = ready()
    with pytest.raises(TypeError):
        one.march(None, START, bad)
    assert one.march(None, START, 4.0)[0]


@pytest.mark.parametrize(
    "bad",
    [np.array(START), [1.0], [1.0, 0.0, 0.0], [1.0, True], [1.0, None], [1.0, "0"], [1.0, 2**53 + 1], [1.0, 10**400],
     [1.0, np.float32(0.0)], [1.0, np.zeros(1)], {1.0: 0, 0.0: 1}, 1.0, None],
)  # fmt: skip
def test_a_state_that_has_anything_but_floats_is_left_to_others(bad):
    one = ready()
    assert one.march(None, bad, 4.0) == ()
    assert one.march(None, START, 4.0)[0]


@pytest.mark.parametrize("kind", [list, tuple, np.array, iter, lambda numbers: [np.float64(one) for one in numbers]])
def test_a_function_is_called_if_arguments_are_those_before(kind):
    calls, one = [], ready()

    def called(t, y):
        calls.append((t, y))
        return kind(swing(t, y))

    assert [told(one, called) for _ in range(4)] == [(0, -1), (1, 1), (1, 1), (1, 1)]
    assert len({t for t, _ in calls}) == 3
    for t, y in calls:
        assert type(t) is float
        np.testing.assert_array_equal(y, one.y[one.t[: len(one.y)].tolist().index(t)])
    assert len({id(y) for _, y in calls}) == 3
    assert not any(np.shares_memory(y, one.state) for _, y in calls)


def raising(error):
    def fun(t, y):
        raise error

    return fun


@pytest.mark.parametrize(
    "fun",
    [lambda t, y: [y[1], -4.001 * y[0]], lambda t, y: [y[1]], lambda t, y: [y[1], np.nan], lambda t, y: [y[1], "a"],
     lambda t, y: np.array(swing(t, y))[:, None], lambda t, y: None, lambda t, y: [y[1], -1.0], lambda t: [0.0, 0.0],
     raising(ValueError)],
)  # fmt: skip
def test_functions_that_give_something_else(fun):
    one = ready()
    assert [told(one, fun)[1] for _ in range(3)] == [-1, 0, 0]
    assert told(one, swing) == (1, 1)


def test_an_interrupt_is_passed_on():
    one = ready()
    told(one)
    before = np.geterr()
    with pytest.raises(KeyboardInterrupt):
        told(one, raising(KeyboardInterrupt))
    assert np.geterr() == before
    assert told(one, swing) == (1, 1)


@pytest.mark.filterwarnings("error")
def test_a_function_is_called_without_warnings_as_errors_were_handled_before():
    def fun(t, y):
        assert set(np.geterr().values()) == {"ignore"}
        np.float64(1e308) * np.float64(10.0)
        return swing(t, y)

    one = ready()
    assert [told(one, fun)[1] for _ in range(2)] == [-1, 1]
    with np.errstate(all="raise"):
        mine = np.geterr()
        assert told(one, fun) == (1, -1)
        one.see_errors()
        assert told(one, fun) == (1, 1)
        assert np.geterr() == mine
        with quiet():
            assert told(one, fun) == (1, 1)
    assert told(one, fun) == (1, -1)


def test_nothing_is_left_behind():
    one = ready()
    number, start, given = 0.1234, [1.0, 0.5678], [np.array([1.0, 2.0]), [1.0, True]]
    funs = None, swing, lambda t, y: np.array(swing(t, y)), lambda t, y: iter(swing(t, y)), raising(ValueError)

    def march():
        for fun in funs:
            one.march(fun, start, number)
        for bad in given:
            one.march(None, bad, number)

    for _ in range(100):
        march()
    before, counted = sys.getallocatedblocks(), (number, start, start[1], *funs[1:], *given)
    counts = list(map(sys.getrefcount, counted))
    for _ in range(1000):
        march()
    assert sys.getallocatedblocks() - before < 100
    assert list(map(sys.getrefcount, counted)) == counts


def test_others_run_meanwhile():
    """The GIL is released: while one thread marches, another one counts, although none has to let others go on."""
    one, counted, ends, usual = ready(5e3, 100_000), [0], threading.Event(), sys.getswitchinterval()

    def counts():
        before = counted[0]
        assert one.march(None, START, 4.0)[0]
        return counted[0] - before

    def march():
        try:
            return [counts() for _ in range(20)]
        finally:
            ends.set()

    sys.setswitchinterval(100.0)
    try:
        with ThreadPoolExecutor(1) as pool:
            begun = pool.submit(march)
            while not ends.is_set():
                counted[0] += 1
                time.sleep(0)
        assert sum(count > 0 for count in begun.result()) >= 3
    finally:
        sys.setswitchinterval(usual)
