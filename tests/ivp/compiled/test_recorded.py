"""Recorded right-hand sides: values, derivatives, parameters, reasons, and comparisons with the function."""

from functools import partial
from math import inf
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from parscan._ivp.arguments import as_problem
from parscan._ivp.compiled.recorded import record_right_hand_side
from parscan._ivp.core.evaluation import Evaluation
from parscan._recorded.budget import NoCodeError
from tests.support.ode_problems import ODES

HERE = Path(__file__)


def problem(fun, y0, args=None, **options):
    return as_problem(fun, (0.0, 1.0), y0, args, None, 1e-6, 1e-9, inf, **options)


def recorded(fun, y0, args=None, **options):
    return record_right_hand_side(problem(fun, y0, args, **options))


def near(y0, count=7):
    return np.asarray(y0) * (1 + 0.1 * np.random.default_rng(0).normal(size=(count, len(y0)))) + 0.01


def values(fun, t, states, *args):
    return np.stack(
        [np.asarray(fun(float(s), y, *args), float).reshape(len(y)) for s, y in zip(t, states, strict=True)]
    )


@pytest.mark.parametrize("ode", ODES, ids=lambda ode: ode.name)
def test_values_and_derivatives(ode):
    found, states, t = recorded(ode.fun, list(ode.y0)), near(ode.y0), np.linspace(0.0, 0.3, 7)
    np.testing.assert_allclose(found.slopes(t, states), values(ode.fun, t, states), rtol=1e-13, atol=1e-13)
    derived = found.linearised
    f, entries, slopes = derived.program(t, states)
    np.testing.assert_allclose(f, values(ode.fun, t, states), rtol=1e-13, atol=1e-13)
    matrices = np.zeros((7, len(ode.y0), len(ode.y0)))
    matrices[:, derived.rows, derived.columns] = entries
    change = 1e-6
    for k in range(len(ode.y0)):
        step = change * np.eye(len(ode.y0))[k] * (1 + abs(states[:, k : k + 1]))
        by_differences = (values(ode.fun, t, states + step) - values(ode.fun, t, states - step)) / (
            2 * step[:, k : k + 1]
        )
        size = abs(matrices).max(axis=(1, 2))[:, None]
        assert (abs(by_differences - matrices[:, :, k]) <= 1e-6 * size).all()
    by_time = (values(ode.fun, t + change, states) - values(ode.fun, t - change, states)) / (2 * change)
    assert (abs(by_time - slopes) <= 1e-6 * (1 + abs(f))).all()


def driven(t, y, rate, force):
    return [y[1], -rate * y[0] + force * np.cos(t)]


def test_other_parameters_need_no_other_recording():
    one, other = (recorded(driven, [1.0, 0.0], args) for args in ((2.0, 3.0), (5.0, 7.0)))
    assert one.recording is other.recording
    t, states = np.linspace(0, 1, 7), near([1.0, 1.0])
    for found, args in ((one, (2.0, 3.0)), (other, (5.0, 7.0))):
        np.testing.assert_allclose(found.slopes(t, states), values(driven, t, states, *args), rtol=1e-14)


def test_a_parameter_may_be_followed_by_constants():
    def fun(t, y, rate, matrix, n):
        return rate * (matrix @ y) * n

    matrix = np.array([[0.0, 1.0], [-1.0, 0.0]])
    found = recorded(fun, [1.0, 0.0], (2.0, matrix, 3))
    assert found.parameters == (2.0,)
    states = near([1.0, 1.0])
    np.testing.assert_allclose(found.slopes(np.zeros(7), states), values(fun, np.zeros(7), states, 2.0, matrix, 3))


def of_vector(t, y, rates):
    return [-rates[0] * y[0] + rates[1] * y[1], np.sum(rates) - y[1]]


def test_short_arrays_are_parameters():
    one, other = (recorded(of_vector, [1.0, 0.0], (np.array(rates),)) for rates in ([2.0, 3.0], [5.0, 7.0]))
    assert one.recording is other.recording
    t, states = np.linspace(0, 1, 7), near([1.0, 1.0])
    np.testing.assert_allclose(other.slopes(t, states), values(of_vector, t, states, np.array([5.0, 7.0])), rtol=1e-14)


@pytest.mark.parametrize("rates", [np.array([1, 2]), np.eye(2), np.ones(100), np.array([1.0, 2.0], np.float32)])
def test_other_arrays_are_constants(rates):
    assert recorded(lambda t, y, rates: y * rates.ravel()[0], [1.0, 0.0], (rates,)).parameters == ()


def hill(t, y, power):
    return [1 / (1 + y[0] ** power) - y[0]]


def switched(t, y, rate):
    return [-rate * y[0] if rate > 1 else y[0]]


@pytest.mark.parametrize("fun", [hill, switched])
def test_exponents_and_what_is_branched_on_are_constants(fun):
    for value in (0.5, 2.0, 0.5):
        found = recorded(fun, [1.0], (value,))
        assert found.parameters == ()
        states = near([1.0])
        np.testing.assert_allclose(found.slopes(np.zeros(7), states), values(fun, np.zeros(7), states, value))


RATE = 1.0


def reading(t, y):
    return -RATE * y


def test_what_the_function_reads_is_read_again(monkeypatch):
    once = recorded(reading, [1.0])
    assert recorded(reading, [1.0]).recording is once.recording
    monkeypatch.setitem(globals(), "RATE", 3.0)
    assert recorded(reading, [1.0]).slopes(np.zeros(1), np.ones((1, 1))).item() == -3.0
    own = SimpleNamespace(rate=2.0)
    found = [recorded(lambda t, y: own.rate * y, [1.0]).slopes(np.zeros(1), np.ones((1, 1))).item()]
    own.rate = 4.0
    found.append(recorded(lambda t, y: own.rate * y, [1.0]).slopes(np.zeros(1), np.ones((1, 1))).item())
    assert found == [2.0, 4.0]


def conditioned(t, y):
    return -y * np.linalg.cond(np.diag(y))


LINE = conditioned.__code__.co_firstlineno + 1


@pytest.mark.parametrize(
    ("fun", "y0", "reason"),
    [
        (conditioned, [1.0], rf"{HERE.name}:{LINE}\)"),
        (lambda t, y: y[:1], [1.0, 2.0], r"returns the shape \(1,\)"),
        (lambda t, y: y + 1j, [1.0], "returns complex128"),
        (lambda t, y: y, np.ones((2, 3)), r"works on a batch of shape \(3,\)"),
        (lambda t, y: np.add.reduce(np.sin(y * np.arange(30_000.0)))[None], [1.0], "has .* operations, more than"),
    ],
)
def test_reasons(fun, y0, reason):
    with pytest.raises(NoCodeError, match=reason):
        recorded(fun, y0)


def test_facts():
    assert recorded(driven, [1.0, 0.0], (1.0, 1.0)).depends_on_time
    assert recorded(driven, [1.0, 0.0], (1.0, 1.0)).linearised.is_linear
    assert not recorded(reading, [1.0]).depends_on_time
    squared = recorded(lambda t, y: -(y**2), [1.0])
    assert not squared.linearised.is_linear


def test_a_function_of_columns():
    def fun(t, y):
        assert y.ndim == 2
        return np.stack([y[1], -y[0]])

    found = recorded(fun, [1.0, 0.0], vectorized=True)
    np.testing.assert_array_equal(found.slopes(np.zeros(1), np.array([[2.0, 3.0]])), [[3.0, -2.0]])


def told_apart(limit):
    """A function that does something else on plain arrays with an entry above a limit."""

    def fun(t, y):
        if not hasattr(y, "graph") and np.max(np.abs(y)) > limit:
            return -2.0 * y
        return -1.0 * y

    return fun


def test_a_contradiction_near_the_start():
    for limit, expected in ((0.5, True), (inf, False)):
        given = problem(told_apart(limit), [1.0, 1.0])
        assert bool(record_right_hand_side(given).contradiction(Evaluation(given, None), None)) == expected


@pytest.mark.parametrize("stacks", [True, False])
def test_a_contradiction_on_the_solution(stacks):
    t, states = np.linspace(0, 1, 200), np.linspace(1.0, 5.0, 200)[:, None] * np.ones(2)
    for limit, expected in ((4.0, True), (6.0, False)):
        given = problem(told_apart(limit), [1.0, 1.0])
        found = record_right_hand_side(given)
        vectorized = None if stacks else False
        assert not found.contradiction(Evaluation(given, vectorized), vectorized)
        assert found.notes["stacks", vectorized] is stacks
        assert found.is_contradicted(given, vectorized, t, states, -states) == expected
        found.notes.pop("compared", None)  # it is not known from another solve that the sample agrees
        assert found.is_contradicted(given, vectorized, t, states, np.where(t[:, None] < 0.999, -states, np.nan))


def test_it_is_called_once_for_many_states():
    calls = []

    def fun(t, y):
        None if hasattr(y, "graph") else calls.append(1)
        return -y

    given = problem(fun, [1.0, 1.0])
    found = record_right_hand_side(given)
    found.notes["stacks", None] = True
    calls.clear()
    states = np.ones((100, 2))
    assert not found.is_contradicted(given, None, np.zeros(100), states, -states)
    assert len(calls) == 1


def test_partial_functions_have_parameters():
    found = recorded(partial(driven, rate=2.0, force=1.0), [1.0, 0.0])
    states = near([1.0, 1.0])
    expected = values(partial(driven, rate=2.0, force=1.0), np.zeros(7), states)
    np.testing.assert_allclose(found.slopes(np.zeros(7), states), expected)
