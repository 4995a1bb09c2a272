"""Functions of Python that are machine code: they take floats, refuse anything else, and leave no object behind."""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from parscan._recorded.native.explicit import explicit
from parscan._recorded.native.members import STATES, Form
from parscan._recorded.native.ready import Ready
from parscan._recorded.record import record


def ready(end=5.0, attempts=500):
    """A swing with one parameter."""
    recorded = record(lambda t, y, rate: np.stack([y[1], -rate * y[0]]), (0.0, np.ones(2), 1.0))
    solver = explicit(recorded.program, Form(lanes=2, shared=(True,), log=STATES, compares=True))
    made = Ready(solver, attempts)
    made.prepare(0.0, end, (1e-9, 1e-9, 10.0), (np.inf, np.inf), 1e-9, 1e-9)
    return made


def test_numbers_are_taken_and_told():
    one = ready()
    ended, steps, evaluations, error, worst, at, least, *slopes = one.march(4.0, 1.0, 0.0)
    assert (ended, type(ended), type(steps), type(evaluations)) == (1, int, int, int)
    assert {type(number) for number in (error, worst, at, least, *slopes)} == {float}
    assert len(slopes) == 2
    np.testing.assert_allclose(one.y[steps], [np.cos(10.0), -2 * np.sin(10.0)], atol=1e-7)


@pytest.mark.parametrize("given", [(), (4.0, 1.0), (4.0, 1.0, 0.0, 0.0)])
def test_another_number_of_numbers_is_refused(given):
    with pytest.raises(SystemError):
        ready().march(*given)


@pytest.mark.parametrize("bad", ["1", None, [1.0], 1j])
def test_what_is_no_number_is_refused(bad):
    one = ready()
    with pytest.raises(TypeError):
        one.march(4.0, bad, 0.0)
    assert one.march(4.0, 1.0, 0.0)[0]


def test_nothing_is_left_behind():
    one = ready()
    for _ in range(100):
        one.march(4.0, 1.0, 0.0)
    before, number = sys.getallocatedblocks(), 0.1234
    count = sys.getrefcount(number)
    for _ in range(2000):
        one.march(4.0, number, 0.0)
    assert sys.getallocatedblocks() - before < 100
    assert sys.getrefcount(number) == count


def test_others_run_meanwhile():
    """The GIL is released: while one thread marches, another one counts, although none has to let others go on."""
    one, counted, ends, usual = ready(5e3, 100_000), [0], threading.Event(), sys.getswitchinterval()

    def counts():
        before = counted[0]
        assert one.march(4.0, 1.0, 0.0)[0]
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
