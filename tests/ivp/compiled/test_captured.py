"""Floats that right-hand sides capture become parameters of the record once they were others often enough."""

from math import inf

import numpy as np
import pytest

import parscan
from parscan._ivp.arguments import as_problem
from parscan._ivp.compiled import recorded as module
from parscan._ivp.compiled.recorded import OTHERS, record_right_hand_side

WEIGHTS = np.array([0.3, 0.7])


@pytest.fixture(autouse=True)
def nothing_is_known(monkeypatch):
    monkeypatch.setattr(module, "_varied", type(module._varied)())


def problem(fun, y0=(1.0, 0.2), args=None):
    return as_problem(fun, (0.0, 1.0), list(y0), args, None, 1e-6, 1e-9, inf)


def recorded(fun, y0=(1.0, 0.2), args=None):
    return record_right_hand_side(problem(fun, y0, args), opens=True)


def by_closure(a, b=0.5):
    return lambda t, y: np.array([y[1] * a, -b * np.sin(y[0]) + a * b * t])


def by_default(a, b=0.5):
    def fun(t, y, a=a, weights=WEIGHTS, b=b):
        return a * y - b * weights

    return fun


def by_helper(a, b=0.5):
    def helper(y):
        return a * y

    return lambda t, y: helper(y) - a * b


def with_more(a, b=0.5):
    return lambda t, y, k, n: (a - k) * y * n + b


def branching(a, b=0.5):
    return lambda t, y: a * y if a > 0.4 else -y * b


def of_powers(a, b=0.5):
    return lambda t, y: np.abs(y) ** a - b


def of_types(a, b=0.5):
    return lambda t, y: (1.0 if type(a) is float else 2.0) * a * y - b


def changing(a, b=0.5):
    def fun(t, y):
        nonlocal b
        b = 0.5
        return a * y - b

    return fun


PARAMETERS = [(by_closure, ()), (by_default, ()), (with_more, (0.25, 3))]

OTHERS_OF_THEM = [(by_helper, ()), (branching, ()), (of_powers, ()), (changing, ())]


def check(found, fun, args):
    states = np.array([[0.3, 0.4], [-0.5, 0.6], [1.5, 0.1]])
    expected = [fun(0.25, y, *args) for y in states]
    np.testing.assert_allclose(found.slopes(np.full(3, 0.25), states), expected, rtol=1e-14)


@pytest.mark.parametrize(("make", "args"), PARAMETERS + OTHERS_OF_THEM)
def test_values_are_those_of_each_function(make, args):
    for k in range(OTHERS + 6):
        fun = make(0.3 + 0.01 * k, 0.5 - 0.02 * k)
        check(recorded(fun, args=args), fun, args)


@pytest.mark.parametrize(("make", "args"), PARAMETERS)
def test_they_share_a_record_in_the_end(make, args):
    found = [recorded(make(0.3 + 0.01 * k), args=args) for k in range(OTHERS + 4)]
    assert not any(one.captured for one in found[:OTHERS])
    assert all(one.captured == 2 for one in found[OTHERS:])
    assert len({id(one.recording) for one in found[OTHERS:]}) == 1
    assert len({id(one.recording) for one in found}) == OTHERS + 1


@pytest.mark.parametrize(("make", "args"), [(branching, ()), (of_powers, ())])
def test_what_must_be_known_is_a_constant(make, args):
    found = [recorded(make(0.3 + 0.01 * k), args=args) for k in range(OTHERS + 4)]
    assert not any(one.captured for one in found)


def test_a_variable_that_changes_is_no_parameter():
    found = [recorded(changing(0.3 + 0.01 * k)) for k in range(OTHERS + 4)]
    assert {one.captured for one in found[OTHERS:]} == {1}


def test_the_same_numbers_again_are_no_others():
    found = [recorded(by_closure(0.3)) for _ in range(OTHERS + 4)]
    assert len({id(one.recording) for one in found}) == 1
    assert not found[-1].captured


def test_all_else_that_the_function_reads_is_compared():
    def make(a, weights):
        return lambda t, y: a * y - weights

    for k in range(OTHERS + 1):
        recorded(make(0.1 * k, WEIGHTS))
    for weights in (WEIGHTS, WEIGHTS + 1.0, WEIGHTS):
        fun = make(0.05, weights)
        found = recorded(fun)
        assert found.captured == 1
        check(found, fun, ())


@pytest.mark.roads("code")
@pytest.mark.parametrize("make", [by_closure, by_default, by_helper, branching, of_powers, of_types, changing])
def test_solutions_are_those_of_calls(make):
    for k in range(OTHERS + 8):
        fun = make(0.3 + 0.05 * k, 0.5 - 0.01 * k)
        one, other = (parscan.solve_ivp(fun, (0.0, 2.0), [1.0, 0.2], rtol=1e-8, atol=1e-10, compile=way)
                      for way in (None, False))  # fmt: skip
        assert one.compiled
        np.testing.assert_allclose(one.y[:, -1], other.y[:, -1], rtol=1e-6, atol=1e-8)


@pytest.mark.roads("code")
def test_functions_that_ask_for_the_type_keep_their_constants():
    """A parameter is a number of NumPy, which the function tells from one of Python: the values show that."""
    ways = []
    for k in range(OTHERS + 4):
        fun = of_types(0.3 + 0.05 * k)
        solved = parscan.solve_ivp(fun, (0.0, 1.0), [1.0, 0.2], rtol=1e-8, atol=1e-10, compile=None)
        expected = parscan.solve_ivp(fun, (0.0, 1.0), [1.0, 0.2], rtol=1e-8, atol=1e-10, compile=False)
        np.testing.assert_allclose(solved.y[:, -1], expected.y[:, -1], rtol=1e-6)
        ways.append(solved.compiled)
    assert ways[0]
    assert ways[-1]


@pytest.mark.roads("code")
def test_an_event_keeps_the_record_of_constants():
    for k in range(OTHERS + 4):
        sol = parscan.solve_ivp(by_closure(1.0 + 0.05 * k), (0.0, 5.0), [0.0, 1.0], events=lambda t, y: y[0] - 0.5,
                                rtol=1e-8, atol=1e-10)  # fmt: skip
        assert len(sol.t_events[0]) > 0
