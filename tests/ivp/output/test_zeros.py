"""Zeros in many brackets at once, and events that are found so."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from parscan import solve_ivp
from parscan._ivp.compiled import watched as _watched
from parscan._ivp.compiled.recorded_events import EventValues
from parscan._ivp.compiled.repeat import forget_repeats
from parscan._ivp.output import monitor as _monitor
from parscan._ivp.output.monitor import Monitor
from parscan._ivp.output.zeros import zeros

KINDS = {
    "straight": lambda t, at: t - at,
    "cubic": lambda t, at: (t - at) ** 3,
    "steep": lambda t, at: np.arctan(1e6 * (t - at)),
    "jump": lambda t, at: np.where(t >= at, 1.0, -1.0),
    "exponential": lambda t, at: np.expm1(30 * (t - at)),
}


@settings(max_examples=100)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    at=st.lists(st.floats(-5, 5), min_size=1, max_size=20),
    before=st.floats(0.01, 3),
    after=st.floats(0.01, 3),
)
def test_they_are_those_of_brent(kind, at, before, after):
    at = np.array(at)
    function = lambda t: KINDS[kind](t, at)  # noqa: E731
    begins, ends = at - before, at + after
    found = zeros(function, begins, ends, function(begins), function(ends))
    for k, place in enumerate(at):
        single = lambda t, place=place: KINDS[kind](t, place)  # noqa: E731
        root = brentq(single, begins[k], ends[k], xtol=1e-15, rtol=1e-15, maxiter=1000)
        width = 1e-5 if kind == "cubic" else 2e-15 * (1 + abs(place))  # cubes of small numbers are zero
        assert abs(found[k] - root) <= width


def test_a_function_that_is_nan():
    function = lambda t: np.where(np.array([True, False]), t, np.nan)  # noqa: E731
    found = zeros(function, np.array([-1.0, -1.0]), np.array([2.0, 2.0]), np.array([-1.0, -1.0]), np.array([2.0, 2.0]))
    assert abs(found[0]) < 1e-15
    assert np.isnan(found[1])


def oscillator(t, y):
    return [y[1], -y[0]]


def solved(event, span=(0.0, 80.0), **attributes):
    def watched(t, y):
        return event(t, y)

    for name, value in attributes.items():
        setattr(watched, name, value)
    return solve_ivp(oscillator, span, [0.0, 1.0], compile=True, events=watched, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("attributes", [{}, {"direction": 1}, {"direction": -1}, {"terminal": 17}])
@pytest.mark.parametrize("event", [lambda t, y: y[0] - 0.25, lambda t, y: y[0] - 0.25 if t > 10 else y[1]])
@pytest.mark.parametrize("span", [(0.0, 80.0), (80.0, 0.0)])
def test_many_events(event, span, attributes, monkeypatch):
    found = solved(event, span, **attributes)  # by machine code
    monkeypatch.setattr(_watched, "recording_of", lambda *_: None)
    forget_repeats()
    once, called = solved(event, span, **attributes), []
    roots = Monitor.root
    monkeypatch.setattr(Monitor, "root", lambda self, *given: called.append(given) or roots(self, *given))
    again = solved(event, span, **attributes)
    assert len(called) <= 2 or "terminal" in attributes  # at the end, and at a jump of the event
    monkeypatch.setattr(_monitor, "MANY", 1000)
    singly = solved(event, span, **attributes)
    assert len(called) >= len(singly.t_events[0]) >= 12
    for sol in (found, once, again, singly):  # by other steps: what was needed in one solve is known in the next one
        np.testing.assert_allclose(sol.t_events[0], singly.t_events[0], rtol=0, atol=1e-8)
        assert sol.status == singly.status
        missed = [event(t, y) for t, y in zip(sol.t_events[0], sol.y_events[0], strict=True)]
        assert sum(np.abs(missed) > 1e-13) <= 1  # at the jump


def test_the_function_of_the_user_is_the_judge(monkeypatch):
    """Recorded operations have slightly other values."""
    event = lambda t, y: y[0]  # noqa: E731
    expected, values = solved(event), EventValues.__call__
    monkeypatch.setattr(EventValues, "__call__", lambda self, t, states: values(self, t, states) + 1e-9)
    judged = solved(event)
    np.testing.assert_allclose(judged.t_events[0], expected.t_events[0], rtol=0, atol=1e-8)
    assert np.abs(judged.y_events[0][:, 0]).max() < 1e-13
