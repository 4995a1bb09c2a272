"""Compiled solves in modes: steps end where a comparison of states changes."""

import numpy as np
import pytest

from parscan import solve_ivp
from parscan._ivp.compiled.march import March, Output
from parscan._ivp.compiled.recorded import Recorded, record_right_hand_side
from parscan._ivp.compiled.solvers import METHODS
from parscan._ivp.core.problem import Problem
from tests.support.switching_problems import PROBLEMS, reference


def spring(t, y):
    """A restoring force of one size."""
    return [y[1], -np.sign(y[0])]


def exact(t):
    """Its solution from rest at 1."""
    quarter = np.sqrt(2.0)
    phase = np.mod(t, 4 * quarter)
    beyond = phase - 2 * quarter * np.round(phase / (2 * quarter))
    way = np.where(np.abs(phase - 2 * quarter) < quarter, -1.0, 1.0)
    return np.stack([way * (1 - beyond**2 / 2), -way * beyond])


def solve(fun, span, y0, rtol=1e-8, **options):
    sol = solve_ivp(fun, span, y0, rtol=rtol, atol=rtol, compile=True, **options)
    assert sol.success
    assert sol.compiled
    return sol


@pytest.fixture
def left(monkeypatch):
    """Functions whose modes were left."""
    found, before = [], Recorded.leave_modes
    monkeypatch.setattr(Recorded, "leave_modes", lambda self: (found.append(self), before(self))[1])
    return found


RTOLS = [1e-4, 1e-6, 1e-8, 1e-10]


@pytest.mark.parametrize("rtol", RTOLS)
@pytest.mark.parametrize("way", [1, -1])
def test_few_steps_are_exact(rtol, way, left):
    """The pieces of the solution are polynomials, so that only their number limits the steps."""
    sol = solve(spring, (0.0, way * 50.0), [1.0, 0.0], rtol)
    np.testing.assert_allclose(sol.y[:, -1], exact(way * 50.0), rtol=rtol, atol=rtol)
    assert sol.mesh.size < 40
    assert not left


@pytest.mark.parametrize("options", [{"dense_output": True}, {"t_eval": np.linspace(0, 50, 777)}])
def test_between_steps(options, left):
    t = np.linspace(0, 50, 777)
    sol = solve(spring, (0.0, 50.0), [1.0, 0.0], 1e-10, **options)
    np.testing.assert_allclose(sol.sol(t) if sol.sol else sol.y, exact(t), atol=1e-9)
    assert not left


@pytest.mark.parametrize("name", ["DOP853", "Rodas5P", "Radau13"])
@pytest.mark.parametrize("is_dense", [False, True])
def test_all_methods(name, is_dense):

    y0, atol = np.array([1.0, 0.0]), np.array(1e-8)
    problem = Problem(spring, None, (), (0.0, 50.0), y0, 1e-8, 1e-8, atol, np.inf)
    times = None if is_dense else np.linspace(1.0, 49.0, 99)
    march = March(problem, record_right_hand_side(problem), Output(is_dense, times), 0.0, None)
    march.method = METHODS.index(name)
    course = march.run(1.0)
    assert not course.failed
    assert course.path.steps < 60
    if is_dense:
        t = np.linspace(0, 50, 777)
        np.testing.assert_allclose(course.polynomial.evaluate(t).T, exact(t), atol=1e-7)
    else:
        np.testing.assert_allclose(np.concatenate(course.values).T, exact(times), atol=1e-7)


def test_events_on_a_switch_and_elsewhere(left):
    """An event where the mode changes, one shortly before, and one that ends the solve."""

    def at_switch(t, y):
        return y[0]

    def before(t, y):
        return y[0] - 1e-3

    def third(t, y):
        return y[1] - 1.0

    third.terminal, third.direction = 2, 1
    zeros = np.sqrt(2.0) * np.array([1.0, 3.0, 5.0])
    sol = solve(spring, (0.0, 50.0), [1.0, 0.0], 1e-10, events=[at_switch, before, third])
    np.testing.assert_allclose(sol.t_events[2], [2 * np.sqrt(2.0) + 1, 6 * np.sqrt(2.0) + 1], rtol=1e-9)
    np.testing.assert_allclose(sol.t_events[0], zeros, rtol=1e-9)
    assert len(sol.t_events[1]) == 3
    assert sol.status == 1
    assert sol.t[-1] == sol.t_events[2][-1]
    dense = solve(spring, (0.0, 50.0), [1.0, 0.0], 1e-10, events=[at_switch, before, third], dense_output=True)
    t = np.linspace(0, dense.t[-1], 333)
    np.testing.assert_allclose(dense.sol(t), exact(t), atol=1e-8)


@pytest.mark.parametrize("name", ["sign", "impact", "several", "narrow", "from the switch", "backward", "stiff relay"])
def test_problems(name, left):
    _check(name, 1e-6)
    assert not left


@pytest.mark.slow
@pytest.mark.parametrize("rtol", RTOLS)
@pytest.mark.parametrize("name", PROBLEMS)
def test_all_problems(name, rtol, left):
    _check(name, rtol)
    assert not left


def _check(name, rtol):
    """Errors are within ten tolerances."""
    problem = PROBLEMS[name]
    expected = reference(problem)
    for _ in range(2):  # also where it is repeated
        sol = solve(problem.fun, problem.span, problem.y0, rtol)
        np.testing.assert_allclose(sol.y[:, -1], expected, rtol=10 * rtol, atol=10 * rtol)


def test_jumps_in_time_change_modes(left):
    """A set point that jumps: the comparison changes where no step ends on a zero."""

    def fun(t, y, level):
        wanted = np.where(t < 1.0, 2.0, np.where(t < 2.5, -2.0, 2.0))
        return [np.where(y[0] < wanted, level, -1.0)]

    sol = solve(fun, (0.0, 3.0), [0.0], 1e-10, args=(1.0,))
    np.testing.assert_allclose(sol.y[0, -1], 1.0 - 1.5 + 0.5, atol=1e-9)
    assert not left


def test_parameters_move_switches(left):
    def fun(t, y, level, rate):
        return [np.where(y[0] > level, rate, 1.0)]

    for level, rate in ((1.0, 2.0), (0.5, 3.0), (2.0, 0.1)):
        sol = solve(fun, (0.0, 4.0), [0.0], args=(level, rate))
        np.testing.assert_allclose(sol.y[0, -1], level + rate * (4.0 - level), rtol=1e-8)
        assert sol.mesh.size < 40
    assert not left


def test_repeated_solves_are_in_modes(monkeypatch, left):
    """Also those that are one call of machine code, with little around it."""
    from parscan._ivp.compiled.ends import Ends

    solved, before = [], Ends.solved
    monkeypatch.setattr(Ends, "solved", lambda self, *args: solved.append(before(self, *args)) or solved[-1])
    for end in (10.0, 20.0, 30.0, 40.0):
        sol = solve(spring, (0.0, end), [1.0, 0.0], 1e-9)
        np.testing.assert_allclose(sol.y[:, -1], exact(end), atol=1e-8)
        assert sol.mesh.size < 40
    assert len(solved) >= 2
    assert not left


def tangled(t, y):
    """Comparisons of conditions with each other, at places that depend on roundings of a sine."""
    first, second, third = y[1] < -0.31, y[0] <= -1.69 * np.sin(-0.35 * t), (y[0] - 0.75 * np.sin(1.34 * t)) <= 0
    small = np.where(y[1] >= 1.5, np.sin(-1.27 * t), -0.69)
    other = np.where(np.logical_xor(first | second, third), 0.07 * y[0], 0.1)
    return np.array([-0.1 * y[0] + small + other, -0.59 * y[1]])


@pytest.mark.parametrize("k", [10, 12, 14, 15])
def test_rounding_decides_on_which_side_of_a_jump_steps_end(k):
    """Machine code and the function may differ there, which is no contradiction."""
    solve(tangled, (0.0, 2.0), [k / 20 - 0.3, k / 100 - 1.2], 1e-6)


def test_ends_of_steps_at_switches_do_not_add_up():
    """Ten thousand crossings at times of few digits: ends that were late by their spacing would change the period."""
    end, quarter = 30_000.0, np.sqrt(np.longdouble(2))
    passed = np.longdouble(end) % (4 * quarter)
    since = passed % quarter
    falling = np.array([1 - since**2 / 2, -since]), np.array([since**2 / 2 - quarter * since, since - quarter])
    part = int(passed // quarter)
    expected = (falling[part % 2] * (1 if part < 2 else -1)).astype(float)
    sol = solve_ivp(
        lambda t, y: [y[1], -np.sign(y[0])], (0.0, end), [1.0, 0.0], rtol=1e-7, atol=1e-7, compile=True, t_eval=[end]
    )
    assert sol.success
    assert (np.abs(sol.y[:, -1] - expected) <= 30 * 1e-7 * (1 + np.abs(expected))).all()


@pytest.mark.parametrize("way", [1, -1])
@pytest.mark.parametrize("excess", [1e-2, 1e-3, 1e-4, 1e-6])
def test_a_switch_that_is_passed_for_a_short_time(excess, way, left):
    """A wave comes over a level at its crests, for less than a part of a step."""

    def fun(t, y):
        return [y[1], -y[0], np.where(way * y[0] > 1 - excess, 1.0, 0.0)]

    sol = solve(fun, (0.0, 12.0), [0.0, 1.0, 0.0], 1e-9)
    crests = np.sum((way * np.pi / 2) % (2 * np.pi) + 2 * np.pi * np.arange(3) < 12)
    assert sol.y[2, -1] == pytest.approx(crests * 2 * np.arccos(1 - excess), rel=1e-6)
    assert not left


@pytest.mark.parametrize("rate", [20.0, 50.0])
def test_a_switch_with_a_fast_forcing(rate):
    """It is compared with a wave that no slope shows, whose crests are over a level here and there."""

    def is_above(t):
        return np.cos(t) + 0.3 * np.sin(rate * t) > 0.5

    def fun(t, y):
        return [y[1], -y[0], np.where(y[0] + 0.3 * np.sin(rate * t) > 0.5, 1.0, 0.0)]

    t = np.linspace(0, 6, 6_000_001)
    sol = solve(fun, (0.0, 6.0), [1.0, 0.0, 0.0], 1e-9)
    assert sol.y[2, -1] == pytest.approx(np.mean(is_above(t)) * 6, abs=1e-5)
