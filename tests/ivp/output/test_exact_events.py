"""Events of compiled solves against zeros of exact solutions, and against SciPy's; solves that are repeated, too."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ode_problems import event
from scipy.integrate import solve_ivp as scipy_solve_ivp

from parscan import solve_ivp


def oscillator(t, y):
    return [y[1], -y[0]]


def stacked(t, y, level):
    return y[0] - level


def branching(t, y, level):
    if y[0] > level:
        return y[0] - level
    return 2 * (y[0] - level)


def unrecorded(t, y, level):
    return float(str(y[0] - level))


FUNCTIONS = {"stacked": stacked, "branching": branching, "unrecorded": unrecorded}


def rotate(t, y, level):
    return oscillator(t, y)


def zeros(phase, level, end, direction):
    """Times at which sin(t + phase) passes the level, in the order of the integration from 0."""
    base = np.arcsin(level)
    turns = 2 * np.pi * np.arange(-6, 7)
    rises, falls = base - phase + turns, np.pi - base - phase + turns
    way = np.sign(end)
    kept = {0: [rises, falls], way: [rises], -way: [falls]}[direction]
    found = np.concatenate(kept)
    found = found[(way * found > 0) & (way * found < abs(end))]
    return found[np.argsort(way * found)]


@settings(max_examples=60)
@given(
    phase=st.floats(-3, 3),
    level=st.floats(-0.9, 0.9),
    length=st.floats(0.5, 15),
    way=st.sampled_from([1.0, -1.0]),
    direction=st.sampled_from([-1.0, 0.0, 1.0]),
    terminal=st.integers(0, 4),
    function=st.sampled_from(sorted(FUNCTIONS)),
    dense_output=st.booleans(),
)
def test_zeros_of_a_sine(phase, level, length, way, direction, terminal, function, dense_output):
    end = way * length
    expected = zeros(phase, level, end, direction)
    ends = zeros(phase, level, 1.01 * end, 0)
    if abs(np.sin(phase) - level) < 1e-3 or np.any(np.abs(np.abs(ends) - length) < 1e-3):
        return  # at an end, rounding decides
    watched = event(FUNCTIONS[function], terminal=terminal, direction=direction)
    others = event(lambda t, y, level: y[0] - level)
    options = {
        "args": (level,), "events": [watched, others], "rtol": 1e-10, "atol": 1e-12, "dense_output": dense_output,
    }  # fmt: skip
    for _ in range(2):  # the second one is repeated, if the functions can be recorded
        sol = solve_ivp(rotate, (0.0, end), [np.sin(phase), np.cos(phase)], compile=True, **options)
        assert sol.compiled
        is_stopped = 0 < terminal <= len(expected)
        wanted = expected[:terminal] if is_stopped else expected
        assert int(sol.status) == is_stopped
        assert sol.t_events[0].shape == wanted.shape
        np.testing.assert_allclose(sol.t_events[0], wanted, rtol=0, atol=1e-8)
        assert np.all(np.abs(sol.y_events[0][:, 0] - level) < 1e-13) if len(wanted) else True
        last = sol.t_events[0][-1] if is_stopped else end
        assert sol.t[-1] == last
        every = zeros(phase, level, end, 0)
        np.testing.assert_allclose(sol.t_events[1], every[way * every <= way * last + 1e-9], rtol=0, atol=1e-8)


@pytest.mark.parametrize("span", [(0.0, 12.0), (12.0, 0.0)])
@pytest.mark.parametrize("direction", [-1, 0, 1])
def test_the_events_of_scipy(span, direction):
    """Zeros at the begin of the span, at its end, and between."""

    def grow(t, y):
        return [y[0] * (1.5 - y[1]), y[1] * (y[0] - 3.0)]

    events = [
        event(lambda t, y: t - 12.0, direction=direction),
        event(lambda t, y: t, direction=direction),
        event(lambda t, y: y[0] * (1.5 - y[1]), direction=direction),
        event(lambda t, y: max(y[0], y[1]) - 3.5, direction=direction),
    ]
    options = {"events": events, "rtol": 1e-10, "atol": 1e-12}
    theirs = scipy_solve_ivp(grow, span, [1.0, 1.0], "DOP853", **options)
    for _ in range(2):
        ours = solve_ivp(grow, span, [1.0, 1.0], compile=True, **options)
        for one, other in zip(ours.t_events, theirs.t_events, strict=True):
            assert one.shape == other.shape
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-7)


@pytest.mark.parametrize("compile", [None, True])
def test_a_ball_bounces(compile):  # noqa: A002 - the name of the option
    """Every start follows a terminal event, at which the event function is zero but for rounding."""
    height = event(lambda t, y: y[0], terminal=True, direction=-1)
    fly = lambda t, y: [y[1], -9.81]  # noqa: E731
    t, speed, landings = 0.0, 20.0, []
    for _ in range(8):
        sol = solve_ivp(fly, (t, t + 50.0), [0.0, speed], events=height, rtol=1e-9, atol=1e-12, compile=compile)
        assert int(sol.status) == 1
        landings.append(float(sol.t[-1]))
        t, speed = landings[-1], -0.8 * float(sol.y[1, -1])
    flights = 2 * 20.0 / 9.81 * 0.8 ** np.arange(8)
    np.testing.assert_allclose(landings, np.cumsum(flights), rtol=1e-8)
