"""Estimated errors: what they are, on meshes of parscan's and of users, and the warning where they are large."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ode_methods import ON_ANY_MESH, ON_MESH
from ode_problems import pendulum

from parscan import solve_ivp
from parscan.warnings import CoarseMeshWarning


def infusion(t, y):
    return np.where(np.mod(t, 12) < 0.5, 200.0, 0.0) - 0.3 * y


TIMES = np.linspace(0, 48, 49)
JUMPS = np.concatenate([12 * np.arange(4), 12 * np.arange(4) + 0.5])


@pytest.mark.parametrize("method", ON_MESH)
@pytest.mark.parametrize("rtol", [1e-4, 1e-7])
def test_errors_on_meshes_of_our_own_are_small(method, rtol):
    rtol = 1e-5 if method == "DEER" else rtol
    sol = solve_ivp(pendulum, (0, 10), [1.0, 0.0], method, rtol=rtol, atol=1e-6)
    exact = solve_ivp(pendulum, (0, 10), [1.0, 0.0], "Radau", rtol=1e-12, atol=1e-12).y[:, -1]
    assert 0 < sol.error_estimate <= (3 if method == "RK4" else 2)
    assert np.max(np.abs(sol.y[:, -1] - exact) / (1e-6 + rtol * np.abs(exact))) <= 3
    assert sol["error_estimate"] == sol.error_estimate


def test_steps_of_wide_batches_have_an_estimate():
    y0 = np.stack([np.linspace(0.1, 1, 40), np.zeros(40)])
    for jumps in (None, [1.0, 3.0]):
        sol = solve_ivp(pendulum, (0, 10), y0, rtol=1e-6, jumps=jumps)
        assert sol.method == "DOP853"
        assert 0 < sol.error_estimate <= 1


def test_where_scipy_solves_there_is_none():
    assert np.isnan(solve_ivp(pendulum, (0, 10), [1.0, 0.0], "LSODA").error_estimate)
    assert np.isnan(solve_ivp(pendulum, (0, 0), [1.0, 0.0]).error_estimate)


@pytest.mark.parametrize("method", ON_MESH)
def test_a_coarse_mesh_is_warned_of(method):
    mesh = np.linspace(0, 10, 13)
    with pytest.warns(
        CoarseMeshWarning, match="estimated at .* tolerances: errors are not controlled on a mesh"
    ) as told:
        sol = solve_ivp(pendulum, (0, 10), [1.0, 0.0], method, mesh=mesh, rtol=1e-11, atol=1e-11)
    assert told[0].filename == __file__
    assert sol.error_estimate > 1
    assert str(told[0].message) in sol.message
    fine = solve_ivp(pendulum, (0, 10), [1.0, 0.0], method, mesh=np.linspace(0, 10, 401), rtol=1e-3, atol=1e-3)
    assert 0 < fine.error_estimate < 1
    assert "estimated" not in fine.message


@pytest.mark.parametrize("method", ON_MESH)
def test_jumps_within_intervals_are_warned_of(method):
    """They were wrong by 108 % of the peak without a word; with the jumps as nodes nothing is to be said."""
    with pytest.warns(CoarseMeshWarning, match="`jumps`"):
        sol = solve_ivp(infusion, (0, 48), [0.0], method, mesh=TIMES, rtol=1e-3, atol=0.1)
    assert sol.error_estimate > 30
    good = solve_ivp(infusion, (0, 48), [0.0], method, mesh=TIMES, rtol=1e-3, atol=0.1, jumps=JUMPS)
    assert good.error_estimate < 1


@pytest.mark.slow
@ON_ANY_MESH
@given(st.sampled_from(ON_MESH), st.floats(0.02, 0.98), st.integers(4, 40))
@settings(max_examples=40, deadline=None)
def test_no_wrong_solution_on_a_mesh_is_silent(method, at, count):
    """One jump, anywhere: if the end is off by more than the errors of all steps may be together, it is warned of."""
    rtol = 1e-4

    def fun(t, y):
        return np.where(t < at, 5.0, -5.0) - y

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        sol = solve_ivp(fun, (0, 1), [1.0], method, mesh=np.linspace(0, 1, count), rtol=rtol, atol=rtol)
    first = 5 + (1 - 5) * np.exp(-at)
    exact = -5 + (first + 5) * np.exp(at - 1)
    wrong = abs(sol.y[0, -1] - exact) / (rtol * (1 + abs(exact)))
    assert bool(told) == (sol.error_estimate > 1)
    if wrong > 10 + count:
        assert told


@pytest.mark.slow
@ON_ANY_MESH
@pytest.mark.parametrize("count", [41, 81])
def test_the_estimate_of_deers_nodes_is_their_local_error(count):
    """From the exact state, one step of each interval."""
    mesh, scale = np.linspace(0, 4, count), 1e-6
    exact = solve_ivp(pendulum, (0, 4), [2.0, 0.0], "Radau", rtol=1e-12, atol=1e-12, dense_output=True).sol
    sol = solve_ivp(pendulum, (0, 4), [2.0, 0.0], "DEER", mesh=mesh, rtol=scale, atol=scale)
    worst = 0.0
    for begin, end in pairwise(mesh):
        step = solve_ivp(pendulum, (begin, end), exact(begin), "DEER", mesh=[begin, end], rtol=1e-9, atol=1e-9)
        bound = scale * (1 + np.maximum(np.abs(exact(begin)), np.abs(exact(end))))
        worst = max(worst, np.sqrt(np.mean(((step.y[:, -1] - exact(end)) / bound) ** 2)))
    assert abs(sol.error_estimate / worst - 1) <= 0.2


def test_deer_is_judged_by_its_nodes_where_only_they_are_asked_for():
    """Between nodes there are cubics, which are far worse than the exponentials that it is exact by."""

    def rotation(t, y):
        return [y[1], -y[0]]

    times = [1.0, 5.0]
    sol = solve_ivp(rotation, (0, 5), [1.0, 0.0], "DEER", times, rtol=1e-6, atol=1e-6)
    assert sol.error_estimate < 0.1
    assert np.abs(sol.y[0] - np.cos(times)).max() <= 1e-5
    with pytest.warns(CoarseMeshWarning, match="the times of `t_eval`"):
        between = solve_ivp(rotation, (0, 5), [1.0, 0.0], "DEER", times, rtol=1e-6, atol=1e-6, dense_output=True)
    assert np.abs(between.sol(3.0)[0] - np.cos(3.0)) > 1e-3


def test_the_estimate_ends_with_the_solution():
    """Errors behind a terminal event do not count."""

    def growing(t, y):
        return np.where(t < 5, -y, 30 * np.cos(30 * t))

    def event(t, y):
        return t - 4.0

    event.terminal = True
    mesh = np.linspace(0, 10, 41)
    sol = solve_ivp(growing, (0, 10), [1.0], "Radau", mesh=mesh, stages=3, rtol=1e-4, atol=1e-4, events=event)
    assert sol.status == 1
    assert sol.error_estimate < 1
    with pytest.warns(CoarseMeshWarning):
        solve_ivp(growing, (0, 10), [1.0], "Radau", mesh=mesh, stages=3, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("method", "compiled", "begin", "width", "height", "rtol"),
    [
        ("Radau", False, 3.3, 0.01, 1.0, 1e-4),
        ("Radau", False, 7.77, 0.1, 1.0, 1e-6),
        ("Radau", False, 7.77, 0.1, 100.0, 1e-9),
        ("DOP853", True, 3.3, 0.01, 100.0, 1e-6),
    ],
)
def test_short_ranges_of_the_state_are_seen_between_the_stages(method, compiled, begin, width, height, rtol):
    """The first component runs through a range in which the second one changes, between two places of 400.

    With a height of 100, Newton's method does not converge, and long sequential steps passed over it.
    """

    def fun(t, y):
        return np.stack([1 + 0 * y[0], np.where((y[0] > begin) & (y[0] < begin + width), height, 0.0) + 0 * y[0]])

    sol = solve_ivp(fun, (0, 10), [0.0, 0.0], method, rtol=rtol, atol=rtol / 100, compile=compiled)
    assert sol.success
    assert abs(sol.y[1, -1] - width * height) <= 100 * rtol * (1 + width * height)
