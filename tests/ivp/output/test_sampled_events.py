"""Events between the steps: every method finds what dense samples of an accurate solution show."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ode_problems import event
from scipy import integrate

from parscan import solve_ivp
from parscan._ivp.choose import NAMES

pytestmark = pytest.mark.roads

METHODS = [name for name in NAMES if name != "DEER"] + [integrate.DOP853, integrate.Radau]
EVERY = pytest.mark.parametrize("method", METHODS, ids=lambda method: getattr(method, "__name__", method))
AT = pytest.mark.parametrize("rtol", [1e-3, 1e-8])


def cubic(x, y):
    """The slope of (x - 2) (x + 2) (x + 6), whose steps are long."""
    return [3 * x**2 + 12 * x - 4]


def height(t, y):
    return y[0]


@EVERY
@AT
def test_three_zeros_within_few_steps(method, rtol):
    sol = solve_ivp(cubic, (-8, 4), [-120.0], method, events=height, rtol=rtol, atol=1e-6)
    assert np.allclose(sol.t_events[0], [-6, -2, 2], rtol=0, atol=1e-2 if rtol > 1e-6 else 1e-4)
    assert sol.y_events[0].shape == (3, 1)
    assert np.abs(sol.y_events[0]).max() <= 1e-9


@EVERY
@pytest.mark.parametrize(("direction", "count", "stop"), [(0, 1, -6), (0, 2, -2), (-1, 1, -2), (1, 2, 2), (0, 3, 2)])
def test_the_first_of_several_within_a_step_ends_it(method, direction, count, stop):
    ends = event(height, terminal=count, direction=direction)
    every = lambda t, y: y[0]  # noqa: E731
    options = {"rtol": 1e-6, "atol": 1e-6, "dense_output": True, "t_eval": np.linspace(-8, 4, 25)}
    sol = solve_ivp(cubic, (-8, 4), [-120.0], method, events=[ends, every], **options)
    assert (int(sol.status), sol.success) == (1, True)
    assert np.isclose(sol.t_events[0][-1], stop, atol=1e-3)
    assert len(sol.t_events[0]) == count
    assert np.allclose(sol.t_events[1], [root for root in (-6, -2, 2) if root <= stop], atol=1e-3)
    assert sol.sol.t_max == sol.t_events[0][-1]
    assert sol.t.max() <= sol.t_events[0][-1] < sol.t.max() + 0.5


@pytest.mark.parametrize("method", ["RK45", "LSODA", "BDF", "auto"])
def test_nothing_behind_a_terminal_event_is_asked_for(method):
    """Two zeros lie within one step; from far behind them on, `fun` raises."""

    def fun(t, y):
        assert t < 6
        return [1.0 + 0 * y[0]]

    def crossed(t, y):
        return (y[0] - 0.5) * (y[0] - 0.6)

    sol = solve_ivp(fun, (0, 10), [0.0], method, events=event(crossed, terminal=True), max_step=1.0)
    assert np.allclose(sol.t_events[0], [0.5], atol=1e-3)
    assert sol.t[-1] == sol.t_events[0][0]


@pytest.mark.parametrize("method", ["auto", "Radau", "DOP853", "RK45", "BDF"])
def test_spans_without_an_end(method):
    ends = event(lambda t, y: (y[0] - 100) * (y[0] - 108), terminal=True)
    sol = solve_ivp(lambda t, y: [1.0], (0, np.inf), [0.0], method, events=ends, max_step=20.0)
    assert np.isclose(sol.t[-1], 100, atol=1e-2)


@pytest.mark.parametrize("method", ["auto", "RK45", "BDF", "LSODA"])
def test_backward_and_complex(method):
    sol = solve_ivp(lambda t, y: 1j * y, (0, -9), [1 + 0j], method, events=lambda t, y: y[0].imag, rtol=1e-6)
    assert np.allclose(sol.t_events[0], -np.pi * np.arange(3), atol=1e-4)
    assert sol.y_events[0].dtype == complex


def test_an_event_that_fails_behind_the_end_within_a_step():
    def fails(t, y):
        if t > 0.55:
            raise LookupError("not there")
        return y[0] - 0.3

    ends = event(lambda t, y: y[0] - 0.5, terminal=True)
    options = {"max_step": 1.0, "first_step": 1.0, "vectorized": False}
    sol = solve_ivp(lambda t, y: [1.0], (0, 10), [0.0], "RK45", events=[fails, ends], **options)
    assert np.allclose(sol.t_events[0], [0.3])
    assert np.allclose(sol.t_events[1], [0.5])
    with pytest.raises(LookupError, match="not there"):
        solve_ivp(lambda t, y: [1.0], (0, 10), [0.0], "RK45", events=[fails], **options)


ROOTS = st.lists(st.integers(3, 97), min_size=1, max_size=5, unique=True)


@settings(max_examples=30, deadline=None)
@given(ROOTS, st.sampled_from(["RK23", "RK45", "LSODA", "BDF", "auto"]), st.sampled_from([-1, 0, 1]), st.booleans())
def test_all_zeros_that_samples_can_tell_apart(roots, method, direction, backward):
    """A clock, whose steps grow to be as long as may be, and a polynomial of it."""
    roots = np.sort(roots) / 10 + 0.0123
    scale = lambda t: np.prod([t - root for root in roots], axis=0)  # noqa: E731
    span, sign = ((10, 0), -1) if backward else ((0, 10), 1)
    found = solve_ivp(
        lambda t, y: [1.0], span, [float(span[0])], method, events=event(lambda t, y: scale(y[0]), direction=direction)
    ).t_events[0]
    rises = {root: sign * np.sign(scale(root + 1e-3) - scale(root - 1e-3)) for root in roots}
    expected = [root for root in roots[::sign] if direction == 0 or rises[root] == direction]
    assert np.allclose(found, expected, rtol=0, atol=1e-6) if len(found) == len(expected) else False
