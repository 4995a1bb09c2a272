"""Right-hand sides that jump, bend, blow up or hide something: solved as by SciPy, or it is said where not."""

import re

import numpy as np
import pytest
from ode_methods import ANY, COLLOCATION, LIKE_SCIPYS, TIGHT

from parscan import solve_ivp
from parscan.warnings import PointByPointWarning

pytestmark = pytest.mark.roads

PATIENCE = 600_000
"""Calls after which a solver is taken to be stuck."""


class StuckError(Exception):
    """It would go on forever."""


def patient(fun):
    """The function, until it has been called too often."""
    calls = iter(range(PATIENCE))

    def counted(t, y):
        if next(calls, None) is None:
            raise StuckError
        with np.errstate(all="ignore"):
            return fun(t, y)

    return counted


BAD = {
    "NaN in time": (lambda t, y: [np.where(t > 1, np.nan, 1.0) * y[0]], 1.0),
    "inf in time": (lambda t, y: [np.where(t > 1, np.inf, 1.0) * y[0]], 1.0),
    "NaN in state": (lambda t, y: [np.where(y[0] > np.e, np.nan, 1.0) * y[0]], 1.0),
    "square root": (lambda t, y: [-np.sqrt(1 - t) * y[0] ** 0], 1.0),
    "at once": (lambda t, y: y * np.nan, 0.0),
}


@pytest.mark.filterwarnings("ignore:lsoda:UserWarning")  # of LSODA itself, in older SciPy
@ANY
@pytest.mark.parametrize("name", BAD)
def test_values_that_are_not_finite(method, rtol, name):
    """Status -3, and no bad number in the result."""
    sol = solve_ivp(patient(BAD[name][0]), (0, 2), [1.0], method, rtol=rtol)
    assert (int(sol.status), sol.success) == (-3, False)
    assert np.all(np.isfinite(sol.y))
    assert "t = " in sol.message


@TIGHT
@pytest.mark.parametrize("name", BAD)
def test_the_first_bad_time_is_told(method, rtol, name):
    """And the solution ends there, not earlier: to the accuracy of the start, which finds the place."""
    fun, bad = BAD[name]
    sol = solve_ivp(patient(fun), (0, 2), [1.0], method, rtol=rtol)
    told = float(re.findall(r"t = ([-+e.0-9]*[0-9])", sol.message)[0])
    assert bad - 1e-6 <= told <= bad + 0.001
    assert bad - 0.001 <= sol.t[-1] <= told


@TIGHT
@pytest.mark.parametrize("name", ["NaN in time", "NaN in state", "square root"])
def test_what_is_before_a_bad_value_is_kept(method, rtol, name):
    fun, bad = BAD[name]
    sol = solve_ivp(patient(fun), (0, 2), [1.0], method, rtol=rtol, t_eval=np.linspace(0, 2, 21))
    assert not sol.success
    assert np.all(np.isfinite(sol.y))
    assert 0.5 < sol.t[-1] <= bad
    assert len(sol.t) == sol.y.shape[1]
    exact = 1 - 2 / 3 * (1 - (1 - sol.t) ** 1.5) if name == "square root" else np.exp(sol.t)
    assert np.abs(sol.y[0] - exact).max() <= 1e-5


POLES = {
    "square": (lambda t, y: y * y, 1.0, (0, 2), lambda t: 1 / (1 - t), 1.0),
    "tangent": (lambda t, y: 1 + y * y, 0.0, (0, 3), np.tan, np.pi / 2),
    "backward": (lambda t, y: -y * y, 1.0, (0, -2), lambda t: 1 / (1 + t), -1.0),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "rtol"),
    [("auto", 1e-3), *((method, 1e-6) for method in LIKE_SCIPYS)],
)
@pytest.mark.parametrize("name", POLES)
def test_poles(method, rtol, name):
    fun, y0, span, exact, pole = POLES[name]
    sol = solve_ivp(patient(fun), span, [y0], method, rtol=rtol, dense_output=True)
    assert (int(sol.status), sol.success) == (-1, False)
    assert "t = " in sol.message
    assert 0.9 * abs(pole) < abs(sol.t[-1]) < abs(pole)
    assert np.all(np.isfinite(sol.y))
    before = np.linspace(0, 0.75 * pole, 20)
    assert np.allclose(sol.sol(before)[0], exact(before), rtol=50 * rtol)


def kick(t, y):
    return [np.where((t > 50) & (t < 51), 1.0, 0.0) + 0 * y[0]]


JUMPS = {
    "step input": (lambda t, y: [np.where(t > 1, 1.0, 0.0) - y[0]], [0.0], 3.0, 1 - np.exp(-2)),
    "two steps": (lambda t, y: [np.where(t > 1, 1.0, 0.0) - np.where(t > 2, 1.0, 0.0)], [0.0], 3.0, 1.0),
    "square wave": (lambda t, y: [np.where(np.sin(t) > 0, 1.0, -1.0)], [0.0], 3 * np.pi, np.pi),
    "kink": (lambda t, y: [np.abs(t - 1)], [0.0], 2.0, 1.0),
    "absolute value": (lambda t, y: [1 - np.abs(y[0])], [-0.5], 2.0, 1 - 2 * np.exp(-2)),
    "maximum": (lambda t, y: [-np.maximum(y[0] - 1, 0) - 1], [2.0], 3.0, 1 + np.log(2) - 3),
}


@ANY
@pytest.mark.parametrize("name", JUMPS)
def test_jumps_and_kinks(method, rtol, name):
    fun, y0, end, exact = JUMPS[name]
    sol = solve_ivp(patient(fun), (0, end), y0, method, rtol=rtol, atol=rtol, max_step=end / 20)
    assert sol.success
    assert abs(sol.y[0, -1] - exact) <= 100 * rtol


@ANY
def test_a_short_pulse_is_seen_with_small_steps(method, rtol):
    sol = solve_ivp(patient(kick), (0, 100), [0.0], method, rtol=rtol, max_step=0.3)
    assert sol.success
    assert abs(sol.y[0, -1] - 1) <= 1e-2


@ANY
def test_a_stiff_wall(method, rtol):
    """A ball that falls on a spring of 1e4, several times."""
    fall = patient(lambda t, y: [y[1], -9.81 + np.maximum(-y[0], 0) * 1e4])
    sol = solve_ivp(fall, (0, 3), [1.0, 0.0], method, rtol=rtol, atol=rtol / 100)
    assert sol.success
    energy = sol.y[1] ** 2 / 2 + 9.81 * sol.y[0] + 1e4 / 2 * np.maximum(-sol.y[0], 0) ** 2
    assert np.abs(energy - 9.81).max() <= 100 * rtol * 9.81


BRANCHES = {
    "in time": (lambda t, y: -y if np.all(t < 0.5) else y, 1.0),
    "in state": (lambda t, y: -y if np.max(y) > 0.7 else -2 * y, 0.7 * np.exp(-2 * (1 + np.log(0.7)))),
}


@TIGHT
@pytest.mark.parametrize("name", BRANCHES)
def test_branches_that_nobody_sees_at_the_start(method, rtol, name):
    """The same for many times as for each at the start, but not later: never a silent wrong answer."""
    fun, exact = BRANCHES[name]
    try:
        sol = solve_ivp(patient(fun), (0, 1), [1.0], method, rtol=rtol)
    except PointByPointWarning:
        return
    assert not sol.success or abs(sol.y[0, -1] - exact) <= 1e-3


def test_point_by_point_because_asked_for():
    """SciPy's own default, written out: no warning that the function is at fault."""
    sol = solve_ivp(lambda t, y: [y[1], -y[0]], (0, 1), [1.0, 0.0], "Radau", vectorized=False, rtol=1e-6)
    assert sol.success


def test_vectorized_is_taken_and_gives_the_same():
    sols = [solve_ivp(lambda t, y: -y, (0, 1), [1.0, 2.0], vectorized=flag, rtol=1e-7) for flag in (None, True)]
    assert np.array_equal(sols[0].y, sols[1].y)


@pytest.mark.slow
@pytest.mark.parametrize("method", COLLOCATION)
def test_sliding_is_solved_or_given_up(method):
    """`y' = -sign(y)` reaches zero and stays there."""
    sol = solve_ivp(patient(lambda t, y: [-np.sign(y[0])]), (0, 3), [1.0], method, rtol=1e-3)
    assert not sol.success or abs(sol.y[0, -1]) <= 1e-2
