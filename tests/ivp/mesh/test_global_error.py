"""The errors of the nodes: what the errors of all intervals and rounding grow to along a trajectory."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

from parscan import solve_ivp
from parscan._engine.termination import Termination
from parscan._ivp.core.polynomial import PiecewisePolynomial
from parscan._ivp.core.scale import Scale
from parscan._ivp.core.tableaux import radau
from parscan._ivp.mesh import march as _march
from parscan._ivp.mesh import window as _window
from parscan._ivp.mesh.global_error import BAD, above, grown, is_unexplained
from parscan._ivp.methods.collocation import Collocation
from parscan._ivp.result.result import IvpStatus
from parscan.warnings import CoarseMeshWarning


def kepler(t, y):
    cube = (y[0] ** 2 + y[1] ** 2) ** 1.5
    return [y[2], y[3], -y[0] / cube, -y[1] / cube]


def orbit(e, t):
    """The exact solution from the pericentre, by Kepler's equation."""
    angle = t
    for _ in range(200):
        angle -= (angle - e * np.sin(angle) - t) / (1 - e * np.cos(angle))
    width, way = np.sqrt(1 - e * e), 1 - e * np.cos(angle)
    return np.array([np.cos(angle) - e, width * np.sin(angle), -np.sin(angle) / way, width * np.cos(angle) / way])


def lorenz(t, y):
    return [10 * (y[1] - y[0]), y[0] * (28 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]]


def logistic(t, y):
    return [y[0] * (1 - y[0])]


def in_tolerances(sol, exact, rtol, atol):
    return np.max(np.abs(sol.y[:, -1] - exact) / (atol + rtol * np.abs(exact)))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("method", "e", "rtol"),
    [("DOP853", 0.9, 1e-3), ("DOP853", 0.999, 1e-8), ("RK4", 0.95, 1e-4), ("Radau", 0.99, 1e-3), ("Gauss", 0.99, 1e-3)],
)
def test_an_orbit_close_by_its_centre(method, e, rtol, compiled):
    """At the pericentre, errors of a tolerance become up to ten thousand; DOP853 and RK4 did not see that."""
    sol = solve_ivp(kepler, (0, 10), orbit(e, 0.0), method, rtol=rtol, atol=rtol, compile=compiled)
    assert sol.success
    assert in_tolerances(sol, orbit(e, 10.0), rtol, rtol) <= 10
    assert sol.error_estimate <= 30


@pytest.mark.parametrize("rtol", [1e-6, 1e-8, 1e-10])
def test_differences_do_not_spoil_what_errors_become(rtol):
    """
    Errors of a time grow a million times at each pericentre and shrink again. By Jacobians of differences, much stayed.

    What rounding becomes was thousands of tolerances by them: it excused errors as large.
    """
    sol = solve_ivp(kepler, (0, 20), orbit(0.999, 0.0), "DOP853", rtol=rtol, atol=rtol * 1e-3, compile=False)
    error = in_tolerances(sol, orbit(0.999, 20.0), rtol, rtol * 1e-3)
    assert error <= 30 or not sol.success
    assert sol.error_estimate <= 100


@pytest.mark.parametrize("method", ["DOP853", "RK4"])
def test_growth_after_a_long_start(method):
    """At first all is smaller than `atol`; what grows later is not seen by errors of an interval."""
    sol = solve_ivp(logistic, (0, 30), [1e-12], method, rtol=1e-6, atol=1e-9, compile=False)
    exact = 1 / (1 + (1e12 - 1) * np.exp(-30))
    assert sol.success
    assert in_tolerances(sol, exact, 1e-6, 1e-9) <= 10


def test_the_estimate_is_the_error():
    found = [solve_ivp(kepler, (0, 10), orbit(0.9, 0.0), method, rtol=1e-6, atol=1e-6) for method in ("DOP853", "RK4")]
    for sol in found:
        error = in_tolerances(sol, orbit(0.9, 10.0), 1e-6, 1e-6)
        assert sol.error_estimate >= 0.9 * error


@pytest.mark.parametrize("stops", [False, True])
def test_an_error_that_stays_is_no_success(stops, monkeypatch):
    monkeypatch.setattr(_window, "LOOKS", -1)
    monkeypatch.setattr(_march, "REPEATS", 0)

    def apart(t, y):
        return t - 9.9

    apart.terminal = True
    options = {"rtol": 1e-8, "atol": 1e-8, "compile": False, "events": [apart] if stops else None}
    sol = solve_ivp(kepler, (0, 10), orbit(0.999, 0.0), "DOP853", **options)
    assert not sol.success
    assert sol.status == IvpStatus.INACCURATE
    assert sol.termination is Termination.INACCURATE
    assert sol.error_estimate > BAD
    assert "the estimated error is" in sol.message
    assert sol.t[-1] == pytest.approx(9.9 if stops else 10.0)


def test_windows_whose_errors_add_up_are_solved_again():
    """Each window begins with the error of the one before, which grows on."""
    options = {"rtol": 1e-8, "atol": 1e-8, "window": 60, "compile": False}
    sol = solve_ivp(kepler, (0, 20), orbit(0.95, 0.0), "DOP853", **options)
    assert sol.success
    assert in_tolerances(sol, orbit(0.95, 20.0), 1e-8, 1e-8) <= 20


@pytest.mark.parametrize("end", [4.0, 14.0])
def test_errors_that_grow_on_a_mesh_that_is_kept(end):
    """Errors of intervals are far below the tolerance; those of the last state are 1000 times larger, and are told."""
    mesh, options = np.linspace(0, end, int(20 * end) + 1), {"rtol": 1e-6, "atol": 1e-6, "compile": False}

    def fun(t, y):
        return [y[0] - np.sin(t) + np.cos(t)]

    with pytest.warns(CoarseMeshWarning, match="grow along the solution") if end > 10 else nullcontext():
        sol = solve_ivp(fun, (0, end), [0.0], "RK4", mesh=mesh, **options)
    error = in_tolerances(sol, np.array([np.sin(end)]), 1e-6, 1e-6)
    assert (error > BAD) == (end > 10)
    assert sol.error_estimate == pytest.approx(error, rel=0.1) if end > 10 else sol.error_estimate <= 1


def of_doubling(intervals, error):
    """A trajectory whose errors double from node to node."""
    t = np.linspace(0, 1, intervals + 1)
    trial = PiecewisePolynomial(radau(3), t, np.ones((intervals + 1, 1)), np.zeros((intervals, 3, 1)))
    propagators = np.full((intervals, 1, 1), 2.0)
    method, scale = Collocation(radau(3), 1), Scale(1e-6, np.asarray(0.0))
    return grown(method, None, trial, propagators, np.full(intervals, error), scale, 1e300), propagators


def test_errors_go_on_in_the_next_window():
    first, propagators = of_doubling(5, 1e-3)
    nothing = replace(first, errors=0 * first.errors, roundings=0 * first.roundings)
    both = nothing.after(first, propagators)
    assert np.allclose(both.errors[-1], 2**5 * first.errors[-1])
    assert np.allclose(both.roundings[-1], 2**5 * first.roundings[-1])
    assert nothing.after(None, propagators) is nothing


def test_no_error_is_larger_than_the_states():
    first, _ = of_doubling(200, 1e-3)
    assert first.floors[-1] == pytest.approx(1e6)
    assert first.excess == 1.0  # rounding alone makes them as large


def test_what_rounding_may_change_is_allowed():
    assert above(50.0, 0.1, 3.0) == 50.0
    assert above(2.0, 0.1, 3.0) == 1.0
    assert above(50.0, 20.0, 3.0) == 1.0
    assert above(100.0, 20.0, 3.0) == 5.0
    assert above(1900.0, 2 * BAD, 3.0) == 1.0
    assert above(1e6, 2 * BAD, 3.0) == 5000.0  # rounding does not explain that
    assert above(np.nan, 0.0, 3.0) == 1.0


def test_a_success_has_small_errors_or_those_of_rounding():
    assert is_unexplained(186.0, 2.0)
    assert is_unexplained(1e6, 200.0)
    assert not is_unexplained(1900.0, 200.0)
    assert not is_unexplained(99.0, 0.0)
    assert not is_unexplained(np.nan, np.nan)


def test_chaos_ends_as_a_success():
    """Rounding alone makes the solution another one: no mesh prevents that."""

    sol = solve_ivp(lorenz, (0, 50), [1.0, 1.0, 1.0], "Radau", rtol=1e-8, atol=1e-8, compile=True)
    assert sol.success
    assert "changes by rounding grow to such errors" in sol.message


def test_errors_as_large_as_the_solution_are_not_mended_in_vain():
    """The growth of rounding tells that tolerances that are a million times smaller would not suffice, or would."""

    far, near = (
        solve_ivp(lorenz, (0, end), [1.0, 0.0, 0.0], "Radau", rtol=1e-3, atol=1e-6, compile=False) for end in (40, 30)
    )
    assert not far.success
    assert far.error_estimate > BAD
    assert len(far.meshes) < 40
    assert sum(far.meshes) < 10_000
    assert near.success
    assert near.error_estimate <= 30


def test_a_corrected_trajectory_shares_its_mesh():
    t = np.linspace(0, 1, 7)
    trial = PiecewisePolynomial(radau(3), t, np.ones((7, 2)), np.zeros((6, 3, 2)))
    mesh, lengths = trial.mesh, trial.lengths
    other = trial.corrected(trial.y + 1, trial.stages)
    assert other.mesh is mesh
    assert other.lengths is lengths
    assert np.array_equal(other.both_ends.y, trial.y + 1)


@pytest.mark.slow
def test_small_changes_that_shrink_again_excuse_no_error():
    """On a rough orbit they seemed to grow at each pericentre: an error of 2430 tolerances was a success."""
    sol = solve_ivp(kepler, (0, 26), orbit(0.999, 0.0), "DOP853", rtol=1e-4, atol=1e-6, compile=True)
    assert "changes by rounding" not in sol.message
    assert not sol.success or in_tolerances(sol, orbit(0.999, 26.0), 1e-4, 1e-6) <= 100


@pytest.mark.slow
@pytest.mark.parametrize("rtol", [1e-6, 1e-10])
def test_chaos_is_told_once_a_tight_solve_confirms_it(rtol):
    sol = solve_ivp(lorenz, (0, 50), [1.0, 1.0, 1.0], "DOP853", rtol=rtol, atol=rtol, compile=True)
    assert sol.success
    assert "changes by rounding grow to such errors" in sol.message
