"""Spans far from zero: the same as at zero, to the digits that the times have."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import parscan

pytestmark = pytest.mark.roads


def tone(t, y):
    return [y[1], -((2 * np.pi * 100) ** 2) * y[0]]


@pytest.mark.parametrize("t0", [1.7e9, -1.7e9, 1e10])
@pytest.mark.parametrize("sense", [1, -1])
@pytest.mark.parametrize(
    ("method", "rtol"), [("auto", 1e-3), ("auto", 1e-8), ("Radau", 1e-6), ("Gauss", 1e-8), ("DOP853", 1e-8)]
)
def test_an_oscillation_far_from_zero_takes_as_many_calls(t0, sense, method, rtol):
    first, far = (
        parscan.solve_ivp(tone, (begin, begin + sense / 16), [1.0, 0.0], method, rtol=rtol, atol=1e-2 * rtol)
        for begin in (0.0, t0)
    )
    assert first.success
    assert far.success
    amplitude = np.hypot(far.y[0, -1], far.y[1, -1] / (200 * np.pi))
    assert_allclose(amplitude, np.hypot(first.y[0, -1], first.y[1, -1] / (200 * np.pi)), rtol=max(1e-6, 3 * rtol))
    assert far.nfev <= 2 * first.nfev + 20


@pytest.mark.filterwarnings("ignore:lsoda:UserWarning")  # of LSODA itself: its first steps are shorter than a spacing
@pytest.mark.parametrize("t0", [0.0, 1.7e9, -1.7e9])
@pytest.mark.parametrize(
    "options", [{}, {"rtol": 1e-9, "atol": 1e-11}, {"rtol": 1e-9, "atol": 1e-11, "method": "LSODA"}]
)
def test_events_far_from_zero_are_as_near_as_times_tell(t0, options):
    def event(t, y):
        return y[0] - 0.5

    sol = parscan.solve_ivp(lambda t, y: -y, (t0, t0 + 2.0), [1.0], events=event, **options)
    allowed = 3 * math.ulp(t0) + (1e-8 if options else 1e-2)
    assert abs(sol.t_events[0][0] - t0 - math.log(2)) <= allowed


@pytest.mark.filterwarnings("ignore:lsoda:UserWarning")  # as above
@pytest.mark.parametrize("method", ["auto", "Radau", "DOP853", "LSODA", "RK45", "BDF"])
@pytest.mark.parametrize("spacings", [1, 3, 50])
def test_spans_of_a_few_spacings_end(method, spacings):
    t0 = 1.7e9
    sol = parscan.solve_ivp(lambda t, y: -y, (t0, t0 + spacings * math.ulp(t0)), [1.0], method, rtol=1e-6)
    assert not sol.success or abs(sol.y[0, -1] - math.exp(-spacings * math.ulp(t0))) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto", "LSODA", "BDF", "Radau", "RK45", "RK23", "DOP853", "Gauss", "RK4", "DEER"])
@pytest.mark.parametrize("is_complex", [False, True])
@settings(max_examples=12)
@given(t0=st.floats(-1e10, 1e10), sense=st.sampled_from([1, -1]), length=st.floats(0.5, 20.0))
def test_solutions_are_the_same_wherever_they_begin(method, is_complex, t0, sense, length):
    """Problems whose times are differences of these: all that is lost is what their spacing loses."""
    rtol, period = 1e-5, 7.0

    def solved(begin):
        options = {"mesh": np.linspace(begin, begin + sense * length, 401)} if method in ("RK4", "DEER") else {}

        def fun(t, y):
            drive = np.cos(2 * np.pi * (t - begin) / period)
            return np.stack([y[1], -y[0] - 0.2 * y[1] + drive])

        def crossing(t, y):
            return np.real(y[0]) - 0.5

        span, y0 = (begin, begin + sense * length), np.array([1.0, 0.0]) * (1 + 0.5j if is_complex else 1)
        return parscan.solve_ivp(
            fun, span, y0, method, rtol=rtol, atol=rtol, dense_output=True, events=crossing, **options
        )

    near, far = solved(0.0), solved(t0)
    assert near.success
    assert far.success
    apart = 20 * rtol + 50 * math.ulp(t0)
    assert_allclose(far.y[:, -1], near.y[:, -1], rtol=apart, atol=apart * np.abs(near.y).max())
    middle = far.t[0] + (far.t[-1] - far.t[0]) / 3
    assert_allclose(far.sol(middle), near.sol(middle - far.t[0]), rtol=apart, atol=apart * np.abs(near.y).max())
    if len(near.t_events[0]) == len(far.t_events[0]):
        assert_allclose(far.t_events[0] - far.t[0], near.t_events[0], rtol=0, atol=100 * apart)


def relaxing(rate):
    """Within less than a spacing of the numbers at 1.7e9, for large rates."""
    return lambda t, y: [-rate * (y[0] - 1)]


@pytest.mark.filterwarnings("ignore:lsoda:UserWarning")
@pytest.mark.pairs(
    method=["auto", "LSODA", "BDF", "Radau"], rate=[1e5, 1e6, 1e7, 1e8, 1e9], start=[0.0, 0j], sense=[1, -1]
)
def test_transients_shorter_than_a_spacing(method, rate, start, sense):
    t0 = 1.7e9

    def event(t, y):
        return float(np.real(y[0])) - 0.5

    fun, times = relaxing(sense * rate), np.array([t0, t0 + sense * 0.5, t0 + sense])
    options = {"rtol": 1e-6, "atol": 1e-9}
    plain = parscan.solve_ivp(fun, (t0, t0 + sense), [start], method, **options)
    dense = parscan.solve_ivp(fun, (t0, t0 + sense), [start], method, dense_output=True, events=event, **options)
    output = parscan.solve_ivp(fun, (t0, t0 + sense), [start], method, t_eval=times, **options)
    for sol in (plain, dense):
        if sol.success:
            assert np.all(sense * np.diff(sol.t) > 0)
            passed, spacing = np.abs(sol.t - t0), 1.5 * math.ulp(t0)
            low, high = (-np.expm1(-rate * np.maximum(passed + shift, 0.0)) for shift in (-spacing, spacing))
            assert np.all((sol.y[0].real >= low - 1e-5) & (sol.y[0].real <= high + 1e-5))
            assert sol.y[0, 0] == start
    if dense.success:
        assert_allclose(dense.sol(dense.t), dense.y, atol=1e-6)
        assert_allclose(dense.sol(times)[0], [0.0, 1.0, 1.0], atol=1e-6)
        assert np.all((np.real(dense.y_events[0]) >= -1e-6) & (np.real(dense.y_events[0]) <= 1 + 1e-6))
    if output.success:
        assert_allclose(output.y[0], [0.0, 1.0, 1.0], atol=1e-6)


@pytest.mark.parametrize(("t0", "length"), [(1e15, 0.125), (1e15, 1.0), (1e10, 3.8e-6), (1.7e9, 4.8e-7), (1e10, 1.0)])
@pytest.mark.parametrize("dense_output", [False, True])
def test_the_last_state_is_that_of_the_end(t0, length, dense_output):
    length = (t0 + length) - t0
    span = (t0, t0 + length)
    sol = parscan.solve_ivp(lambda t, y: -y / length, span, [1.0], rtol=1e-6, atol=1e-9, dense_output=dense_output)
    assert not sol.success or abs(sol.y[0, -1] - math.exp(-1)) <= 1e-5
    assert np.all(np.diff(sol.t) > 0)
    if sol.success and dense_output:
        assert_allclose(sol.sol(sol.t), sol.y, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto", "LSODA", "BDF", "Radau", "RK45"])
@settings(max_examples=25)
@given(spacings=st.integers(1, 400), rtol=st.sampled_from([1e-3, 1e-6]))
@pytest.mark.filterwarnings("ignore:lsoda:UserWarning")
def test_nodes_follow_each_other(method, spacings, rtol):
    """No two at one time, however few spacings the span has."""
    t0 = 1e10
    length = spacings * math.ulp(t0)
    sol = parscan.solve_ivp(lambda t, y: [-y[0] / length], (t0, t0 + length), [1.0], method, rtol=rtol, atol=rtol)
    assert np.all(np.diff(sol.t) > 0)
    assert not sol.success or abs(sol.y[0, -1] - math.exp(-1)) <= 20 * rtol


@pytest.mark.parametrize("method", ["LSODA", "BDF", "Radau", "DOP853", "auto"])
def test_states_belong_to_the_times_that_are_returned(method):
    t0 = 1e10
    sol = parscan.solve_ivp(lambda t, y: [y[1], -y[0]], (t0, t0 + 1), [1 + 0j, 0], method, rtol=1e-9, atol=1e-9)
    assert_allclose(sol.y[0], np.cos(sol.t - t0), atol=1e-7)
