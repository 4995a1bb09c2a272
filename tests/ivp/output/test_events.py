"""Events: against SciPy's, called at once and one by one, and what becomes of bad ones."""

import array_api_strict
import numpy as np
import pytest
from ode_problems import event, pendulum
from scipy.integrate import solve_ivp

from parscan._ivp.core.polynomial import PiecewisePolynomial
from parscan._ivp.core.tableaux import radau
from parscan._ivp.output.events import find, prepare
from parscan._ivp.output.monitor import Event

ACCURATE = {"method": "DOP853", "rtol": 1e-12, "atol": 1e-13}


def one_by_one(function):
    """The same event, written so that it takes one state only."""
    return event(lambda t, y, *args: float(function(t, y, *args)), **vars(function))


def trajectory(fun, span, y0, intervals=80, xp=np):
    """Polynomials of an accurate solution, its stages from the right-hand side."""
    exact = solve_ivp(fun, span, y0, max_step=0.2, dense_output=True, **ACCURATE).sol
    mesh = np.linspace(*span, intervals + 1)
    times = mesh[:-1, None] + np.diff(mesh)[:, None] * radau(8).c
    stages = [[fun(t, exact(t)) for t in row] for row in times]
    return PiecewisePolynomial(radau(8), *map(xp.asarray, (mesh, exact(mesh).T, np.array(stages))))


def ball(_, y):
    return [y[1], -9.81]


def clock(_, y):
    return np.ones_like(y)


def height(_, y):
    return y[0]


def speed(_, y):
    return y[1]


CASES = {
    "ball": (ball, (0, 2), [1.0, 4.0], [event(height, terminal=True, direction=-1), event(speed)]),
    "ball from the ground": (ball, (0, 3), [0.0, 10.0], [event(height, terminal=True, direction=-1), event(speed)]),
    "ground counts at the start": (ball, (0, 3), [0.0, 10.0], [event(height, terminal=True)]),
    "ground counts upwards": (ball, (0, 3), [0.0, 10.0], [event(height, direction=1)]),
    "ground counts downwards": (ball, (0, 3), [0.0, 10.0], [event(height, direction=-1)]),
    "never": (ball, (0, 1), [10.0, 0.0], [event(height, terminal=True), event(speed, direction=1)]),
    "pendulum": (pendulum, (0, 20), [2.0, 0.0], [height]),
    "pendulum upwards": (pendulum, (0, 20), [2.0, 0.1], [event(height, direction=2.5), event(speed, direction=-1)]),
    "second swing": (pendulum, (0, 20), [2.0, 0.1], [event(speed), event(height, terminal=2), event(speed)]),
    "second upward swing": (pendulum, (0, 30), [2.0, 0.1], [event(height, terminal=2, direction=1)]),
    "two ends": (pendulum, (0, 30), [2.0, 0.1], [event(height, terminal=5), event(speed, terminal=4)]),
    "more swings than there are": (pendulum, (0, 9), [2.0, 0.1], [event(height, terminal=50), event(speed)]),
    "backward": (pendulum, (5, -15), [2.0, 0.1], [event(height, direction=1), event(speed, terminal=3)]),
    "backward ball": (ball, (0, -3), [1.0, -4.0], [event(height, terminal=True, direction=-1), event(speed)]),
    "of time": (clock, (1, 4), [0.0], [event(lambda t, y: np.sin(5 * t)), event(lambda t, y: t - 2.5 + 0 * y[0])]),
    "steps": (clock, (0, 4), [0.0], [event(lambda t, y: np.where(y[0] < 1.23, -1, 1))]),
}
"""SciPy can be asked for the same."""


@pytest.mark.parametrize("way", [lambda function: function, one_by_one], ids=["at once", "one by one"])
@pytest.mark.parametrize("name", CASES)
def test_events_are_those_of_scipy(name, way):
    fun, span, y0, events = CASES[name]
    theirs = solve_ivp(fun, span, y0, events=events, max_step=0.2, **ACCURATE)
    dense = trajectory(fun, span, y0)
    ours = find(prepare([way(function) for function in events]), (), dense)
    assert [t.shape for t in ours.t_events] == [t.shape for t in theirs.t_events]
    assert [y.shape for y in ours.y_events] == [y.shape for y in theirs.y_events]
    for found, expected in zip(ours.t_events + ours.y_events, theirs.t_events + theirs.y_events, strict=True):
        assert np.allclose(found, expected, rtol=0, atol=1e-8)
    assert (ours.t_stop is not None) == (theirs.status == 1)
    if ours.t_stop is not None:
        assert ours.t_stop == pytest.approx(theirs.t[-1], abs=1e-8)
        assert np.allclose(dense.restrict(ours.t_stop).y[-1], theirs.y[:, -1], rtol=0, atol=1e-8)


def line(intervals=4, t0=0.0, t1=2.0, slope=1.0, offset=0.0, xp=np):
    """y = offset + slope·t, exactly."""
    t = np.linspace(t0, t1, intervals + 1)
    arrays = (t, offset + slope * t[:, None], np.full((intervals, 2, 1), slope))
    return PiecewisePolynomial(radau(2), *map(xp.asarray, arrays))


def times(function, dense, args=()):
    return [float(t) for t in find(prepare(function), args, dense).t_events[0]]


@pytest.mark.parametrize("root", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("direction", [-1, 0, 1])
def test_a_zero_at_a_node_is_one_occurrence(root, direction):
    found = times(event(lambda t, y: y[0] - root, direction=direction), line())
    assert found == ([] if direction < 0 else [root])


@pytest.mark.parametrize(("sign", "direction", "counts"), [(1, 1, 1), (1, -1, 1), (1, 0, 1), (-1, 1, 1), (-1, -1, 1)])
def test_a_function_that_only_touches_zero_at_a_sample(sign, direction, counts):
    """SciPy sees it on both sides, once falling and once rising; it is one occurrence, in either direction."""
    assert times(event(lambda t, y: sign * (y[0] - 1) ** 2, direction=direction), line()) == [1.0] * counts


@pytest.mark.parametrize("direction", [-1, 0, 1])
def test_zero_for_a_while_is_one_occurrence(direction):
    assert times(event(lambda t, y: 0 * y[0], direction=direction), line()) == [0.0]
    found = times(event(lambda t, y: np.maximum(y[0] - 1, 0), direction=direction), line())
    assert found == [0.0]
    falling = times(event(lambda t, y: np.maximum(1 - y[0], 0), direction=direction), line())
    assert falling == [1.0]


def test_roots_within_an_interval_are_told_apart():
    """Two roots that one step of SciPy would jump over."""
    assert times(lambda t, y: (y[0] - 0.3) * (y[0] - 0.6), line(1)) == pytest.approx([0.3, 0.6], abs=1e-14)


def test_what_occurs_at_the_end_is_kept_and_what_comes_later_is_not():
    events = [
        event(lambda t, y: y[0] - 0.7),
        event(lambda t, y: y[0] - 0.7, terminal=True),
        event(lambda t, y: y[0] - 0.7),
        event(lambda t, y: y[0] - 0.71),
        event(lambda t, y: y[0] - 0.2),
    ]
    found = find(prepare(events), (), line(2))
    assert [len(t) for t in found.t_events] == [1, 1, 1, 0, 1]
    assert found.t_stop == pytest.approx(0.7, abs=1e-14)


@pytest.mark.parametrize("values", [1e-200, 1e200])
def test_tiny_and_huge_values(values):
    assert times(lambda t, y: values * (y[0] - 0.7), line()) == pytest.approx([0.7], abs=1e-14)


@pytest.mark.parametrize("roots", [1, 20], ids=["one by one", "at once"])
@pytest.mark.parametrize("length", [1e-150, 1e-16, 1e-9])
def test_brackets_no_longer_than_scipys_tolerance(length, roots):
    """SciPy's absolute tolerance of a root is four units of the last place of 1: here, that may be the whole span."""
    wave = Event(
        lambda t, y: np.sin(np.pi * (roots * y[0] / length - 0.7)),
        values=lambda t, states: np.sin(np.pi * (roots * states[:, 0] / length - 0.7)),
    )
    found = find((wave,), (), line(t1=length)).t_events[0]
    assert found / length == pytest.approx((np.arange(roots) + 0.7) / roots, abs=1e-14)


def test_infinite_values_have_signs():
    assert times(lambda t, y: np.where(y[0] < 0.7, -np.inf, np.inf), line()) == pytest.approx([0.7], abs=1e-14)


def test_arguments():
    assert times(lambda t, y, a, b: y[0] - a * b, line(), (2.0, 0.3)) == pytest.approx([0.6], abs=1e-14)


def test_any_array_library():
    dense = trajectory(pendulum, (0, 10), [2.0, 0.1], xp=array_api_strict)
    events = [height, event(speed, terminal=2)]
    expected = find(prepare(events), (), trajectory(pendulum, (0, 10), [2.0, 0.1]))
    for way in (lambda function: function, one_by_one):
        found = find(prepare([way(function) for function in events]), (), dense)
        assert all(type(t) is type(dense.t) for t in found.t_events + found.y_events)
        assert np.allclose(np.asarray(found.y_events[0]), expected.y_events[0], atol=1e-12)
        assert np.allclose(np.asarray(found.t_events[1]), expected.t_events[1], atol=1e-12)


def test_single_precision():
    t = np.linspace(0, 2, 5, dtype=np.float32)
    dense = PiecewisePolynomial(radau(2), t, t[:, None], np.ones((4, 2, 1), np.float32))
    found = find(prepare(lambda t, y: y[0] - np.float32(0.7)), (), dense)
    assert found.t_events[0].dtype == found.y_events[0].dtype == np.float32
    assert found.t_events[0] == pytest.approx([0.7], abs=1e-6)


def counting(function):
    calls = []

    def counted(t, y):
        calls.append(np.ndim(t))
        return function(t, y)

    return counted, calls


def test_functions_that_broadcast_are_called_for_all_times_at_once():
    counted, calls = counting(lambda t, y: y[0] - 0.7)
    times(counted, line(1000))
    assert len(calls) < 50


WRONG_AT_ONCE = {
    "a norm": lambda t, y: np.linalg.norm(y) - 0.7,
    "relative to all": lambda t, y: y[0] - 0.7 + y[0] - np.mean(y),
    "of the last axis": lambda t, y: np.sum(y, axis=-1) - 0.7,
    "one number": lambda t, y: float(np.sum(y)) - 0.7,
    "a branch": lambda t, y: -1.0 if y[0] < 0.7 else 1.0,
    "a writer": lambda t, y: np.subtract(y, 0.7, out=y)[0],
    "of time": lambda t, y: np.polyval([1, -0.7], t) if np.ndim(t) == 0 else np.zeros(t.shape),
}


@pytest.mark.parametrize("name", WRONG_AT_ONCE)
def test_functions_that_do_not_broadcast(name):
    assert times(WRONG_AT_ONCE[name], line()) == pytest.approx([0.7], abs=1e-14)


def test_an_event_that_writes_to_the_state_does_not_disturb_the_others():
    writer = WRONG_AT_ONCE["a writer"]
    found = find(prepare([one_by_one(writer), writer, one_by_one(lambda t, y: y[0] - 0.7)]), (), line())
    assert [t.tolist() for t in found.t_events] == [pytest.approx([0.7], abs=1e-14)] * 3


def test_signs_that_only_rounding_decides():
    """At once, the function is just positive at 1, for one time just negative: there is the root nevertheless."""
    assert times(lambda t, y: y[0] - 1 + np.where(np.ndim(t), 1e-17, -1e-17), line()) == [1.0]


def test_no_events():
    assert prepare(None) == prepare([]) == ()
    found = find((), (), line())
    assert (found.t_events, found.y_events, found.t_stop) == ([], [], None)


@pytest.mark.parametrize(
    ("attributes", "terminal", "direction"),
    [
        ({}, np.inf, 0),
        ({"terminal": None}, np.inf, 0),
        ({"terminal": False}, np.inf, 0),
        ({"terminal": 0, "direction": -2}, np.inf, -2),
        ({"terminal": True}, 1, 0),
        ({"terminal": np.bool_(True), "direction": np.float32(0.5)}, 1, 0.5),
        ({"terminal": 3, "direction": True}, 3, 1),
        ({"terminal": 2.0}, 2, 0),
    ],
)
def test_attributes(attributes, terminal, direction):
    function = event(height, **attributes)
    assert prepare(function) == prepare([function]) == (Event(function, terminal, direction),)


@pytest.mark.parametrize("terminal", [-1, 1.5, "yes", np.nan, np.inf, [1, 2]])
def test_bad_terminal(terminal):
    with pytest.raises(
        ValueError, match=r"`terminal` attribute of `events\[1\]` is .*; pass a bool or a positive number"
    ):
        prepare([height, event(height, terminal=terminal)])


@pytest.mark.parametrize("direction", ["up", "1", None, np.nan, 1j, [1, 2]])
def test_bad_direction(direction):
    with pytest.raises(TypeError, match=r"`direction` of `events\[0\]` is .*; pass a number"):
        prepare(event(height, direction=direction))


@pytest.mark.parametrize("events", [3.0, [height, "height"]])
def test_events_that_are_no_functions(events):
    with pytest.raises(TypeError, match="`events` (is a float|are functions)"):
        prepare(events)


@pytest.mark.parametrize("value", [lambda y: y, lambda y: [y[0], y[0]], lambda y: y[0] + 1j])
def test_values_of_a_wrong_shape_or_dtype(value):
    with pytest.raises(ValueError, match=r"`events\[1\]` returned .* at t = 0.0; an event is one real number"):
        find(prepare([height, lambda t, y: value(y)]), (), line())


def test_values_that_are_no_numbers():
    with pytest.raises(TypeError, match=r"`events\[0\]`"):
        times(lambda t, y: None, line())
    with pytest.raises(ValueError, match=r"`events\[0\]` is NaN at t = 1.0\d*; an event needs a sign"):
        times(lambda t, y: np.where(y[0] > 1.05, np.nan, 1.0), line())


def test_what_an_event_raises_reaches_the_user():
    def fails(t, y):
        if y[0] > 1.05:
            raise LookupError("no such height")
        return 1.0

    with pytest.raises(LookupError, match="no such height") as caught:
        find(prepare([height, fails]), (), line())
    assert caught.value.args == ("no such height",)
    (note,) = caught.value.__notes__
    assert note.startswith("parscan called `events[1]` at t = 1.05")


@pytest.mark.parametrize("bad", [np.nan, "raise"])
@pytest.mark.parametrize("t1", [2.0, -2.0])
def test_failures_after_the_end_do_not_matter(bad, t1):
    """SciPy would never have come there: all is sampled before it is known where the integration ends."""

    def fails(t, y):
        if abs(y[0]) > 1.05 and bad == "raise":
            raise LookupError
        return bad if abs(y[0]) > 1.05 else abs(y[0]) - 0.7

    ends = event(lambda t, y: abs(y[0]) - 1, terminal=True)
    found = find(prepare([fails, ends, event(fails, terminal=True)]), (), line(t1=t1))
    assert found.t_stop == pytest.approx(0.35 * t1, abs=1e-14)
    found = find(prepare([fails, ends]), (), line(t1=t1))
    assert found.t_stop == t1 / 2
    assert found.t_events[0] == pytest.approx([0.35 * t1], abs=1e-14)


def test_a_failure_while_a_root_is_refined():
    def fails(t, y):
        if 0.69 < y[0] < 0.71:
            raise LookupError("within")
        return y[0] - 0.7 if np.ndim(t) else float(y[0]) - 0.7

    with pytest.raises(LookupError, match="within") as caught:
        times(fails, line())
    assert "parscan called `events[0]` at t = 0." in caught.value.__notes__[0]
