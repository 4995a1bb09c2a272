"""The front door for initial value problems, against SciPy's."""

import math
from importlib import import_module

import numpy as np
import pytest
from ode_methods import METHODS, ON_ANY_MESH, ON_MESH
from ode_problems import lotka_volterra
from scipy.integrate import LSODA, RK45
from scipy.integrate import solve_ivp as scipy_solve_ivp

from parscan import solve_ivp
from parscan.warnings import PointByPointWarning

pytestmark = pytest.mark.roads


def pendulum(t, y, damping=0.0):
    return [y[1], -np.sin(y[0]) - damping * y[1]]


def exact(fun, span, y0, times, args=None):
    found = scipy_solve_ivp(fun, span, y0, method="DOP853", rtol=1e-12, atol=1e-13, t_eval=times, args=args)
    return found.y


@METHODS
@pytest.mark.parametrize("span", [(0.0, 10.0), (10.0, 0.0), (-3.0, 4.0)])
def test_like_scipy(method, span):
    times = np.linspace(*span, 57)
    sol = solve_ivp(lotka_volterra, span, [10.0, 5.0], method, times, rtol=1e-8, atol=1e-10)
    assert sol.success
    assert sol.status == 0
    assert sol.message.startswith("The solver successfully reached the end of the integration interval.")
    assert np.array_equal(sol.t, times)
    assert sol.y.shape == (2, 57)
    expected = exact(lotka_volterra, span, [10.0, 5.0], times)
    assert np.abs(sol.y - expected).max() <= 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize("rtol", [1e-4, 1e-6, 1e-9])
def test_the_error_is_within_the_tolerance(rtol, road):
    sol = solve_ivp(pendulum, (0, 20), [1.0, 0.0], rtol=rtol, atol=rtol)
    expected = exact(pendulum, (0, 20), [1.0, 0.0], [20.0])
    assert sol.method == {"calls": "Radau", "code": "Taylor" if rtol < 1e-5 else "DOP853"}[road]
    assert np.abs(sol.y[:, -1] - expected[:, 0]).max() <= 10 * rtol


@pytest.mark.roads("calls")
def test_loose_tolerances_are_left_to_lsoda():
    mine = solve_ivp(lotka_volterra, (0, 10), [10.0, 5.0])
    theirs = scipy_solve_ivp(lotka_volterra, (0, 10), [10.0, 5.0], method="LSODA", rtol=1e-4, atol=1e-7)
    assert mine.method == "LSODA"
    assert np.array_equal(mine.y, theirs.y)
    assert "the tolerance is loose, with 0.1 of the tolerances" in mine.message


@pytest.mark.parametrize("method", ["RK23", "RK45", "BDF", "LSODA", RK45, LSODA])
def test_methods_of_scipy_are_scipys(method):
    mine = solve_ivp(lotka_volterra, (0, 5), [10.0, 5.0], method, dense_output=True)
    theirs = scipy_solve_ivp(lotka_volterra, (0, 5), [10.0, 5.0], method, dense_output=True)
    for name in ("t", "y", "nfev", "njev", "nlu", "status", "success"):
        assert np.array_equal(mine[name], theirs[name]), name
    assert np.array_equal(mine.sol(1.3), theirs.sol(1.3))


def test_arguments_reach_all_functions():
    def crossing(t, y, damping):
        return y[0] - damping

    def jac(t, y, damping):
        return [[0 * y[0], 1 + 0 * y[0]], [-np.cos(y[0]), -damping + 0 * y[0]]]

    for method in ("Radau", "BDF"):
        sol = solve_ivp(
            pendulum, (0, 10), [1.0, 0.0], method, events=crossing, args=(0.3,), jac=jac, rtol=1e-7, atol=1e-9
        )
        expected = exact(pendulum, (0, 10), [1.0, 0.0], [10.0], args=(0.3,))
        assert np.abs(sol.y[:, -1] - expected[:, 0]).max() <= 1e-5
        assert np.abs(sol.y_events[0][:, 0] - 0.3).max() <= 1e-6


def test_dense_output_and_events_as_scipys():
    def down(t, y):
        return y[0]

    down.terminal, down.direction = 2, -1
    mine = solve_ivp(pendulum, (0, 30), [1.0, 0.0], events=[down, lambda t, y: y[1]], dense_output=True, rtol=1e-9)
    theirs = scipy_solve_ivp(
        pendulum, (0, 30), [1.0, 0.0], "DOP853", events=[down, lambda t, y: y[1]], rtol=1e-11, atol=1e-12
    )
    assert mine.status == theirs.status == 1
    assert mine.message.startswith("A termination event occurred.")
    for own, other in zip(mine.t_events, theirs.t_events, strict=True):
        assert np.allclose(own[own > 0], other[other > 0], atol=1e-6)
    assert mine.t[-1] == mine.t_events[0][-1]
    assert np.allclose(mine.sol(np.array([0.5, 3.0])), exact(pendulum, (0, 3), [1.0, 0.0], [0.5, 3.0]), atol=1e-7)


@pytest.mark.parametrize("batch", [(4,), (2, 3)])
def test_batches_share_a_mesh(batch, rng):
    y0 = 1 + rng.uniform(0, 1, (2, *batch))
    sol = solve_ivp(lotka_volterra, (0, 5), y0, rtol=1e-8, atol=1e-10)
    assert sol.y.shape == (2, len(sol.t), *batch)
    for index in np.ndindex(batch):
        expected = exact(lotka_volterra, (0, 5), y0[(slice(None), *index)], [5.0])[:, 0]
        assert np.abs(sol.y[(slice(None), -1, *index)] - expected).max() <= 1e-6


def test_complex_states():
    sol = solve_ivp(lambda t, y: 1j * y, (0, 10), np.array([1.0 + 0j]), "Radau", rtol=1e-9, atol=1e-10)
    assert sol.y.dtype == np.complex128
    assert np.abs(sol.y[0] - np.exp(1j * sol.t)).max() <= 1e-7


def test_single_precision_stays_single():
    sol = solve_ivp(pendulum, (0, 5), np.array([1.0, 0.0], np.float32), "Radau", rtol=1e-4, atol=1e-5)
    assert sol.success
    assert sol.y.dtype == np.float32
    assert np.abs(sol.y[:, -1] - exact(pendulum, (0, 5), [1.0, 0.0], [5.0])[:, 0]).max() <= 1e-3


@pytest.mark.roads("calls")
def test_functions_that_cannot_be_called_for_many_times():
    def scalar(t, y):
        return [y[1], -math.sin(y[0])]

    with pytest.warns(PointByPointWarning, match=r"no math.sin, but np.sin"):
        slow = solve_ivp(scalar, (0, 5), [1.0, 0.0], "Radau", rtol=1e-6)
    fast = solve_ivp(pendulum, (0, 5), [1.0, 0.0], "Radau", rtol=1e-6)
    assert np.allclose(slow.y[:, -1], fast.y[:, -1], atol=1e-9)
    assert slow.nfev > 10 * fast.nfev - 9 * 400
    assert solve_ivp(scalar, (0, 50), [1.0, 0.0], rtol=1e-6).method == "LSODA"


def test_what_returns_lists_scalars_or_views_and_writes_to_its_argument():
    def rude(t, y):
        y *= -1.0
        return y

    for fun in (lambda t, y: -y[0], lambda t, y: [-y[0]], lambda t, y: -y, rude):
        sol = solve_ivp(fun, (0, 2), [1.0], "Radau", rtol=1e-8)
        assert sol.y[0, -1] == pytest.approx(np.exp(-2), abs=1e-6)


def test_values_that_are_not_finite_end_the_solution():
    sol = solve_ivp(lambda t, y: [np.where(t > 1, np.nan, 1.0) * y[0]], (0, 2), [1.0], rtol=1e-6)
    assert sol.status == -3
    assert not sol.success
    assert sol.t[-1] <= 1
    assert np.abs(sol.y[0] - np.exp(sol.t)).max() <= 1e-5


def test_a_pole_ends_the_solution():
    sol = solve_ivp(lambda t, y: y * y, (0, 2), [1.0], rtol=1e-6)
    assert sol.status == -1
    assert 0.5 < sol.t[-1] < 1
    assert np.abs(sol.y[0] * (1 - sol.t) - 1).max() <= 1e-2
    assert "At t = " in sol.message


def test_empty_problems():
    assert solve_ivp(pendulum, (2.0, 2.0), [1.0, 0.0]).y[:, -1].tolist() == [1.0, 0.0]
    assert solve_ivp(lambda t, y: y, (0, 1), np.empty(0)).y.shape[0] == 0


@pytest.mark.parametrize("end", [1.0, np.inf])
@pytest.mark.parametrize("kernels_pay", [False, True])
def test_dense_output_of_no_components(end, kernels_pay, monkeypatch):
    """Without warnings, by the kernels of the first calls and by compiled ones, and also if the span has no end."""
    monkeypatch.setattr(import_module("parscan._kernels.dispatch").account, "spent", np.inf if kernels_pay else 0.0)
    found = solve_ivp(lambda t, y: y, (0, end), np.empty(0), dense_output=True)
    assert found.t[-1] == end
    assert found.sol(0.5).shape == (0,)
    assert found.sol([0.25, 0.5, 1.0]).shape == (0, 3)


@pytest.mark.parametrize("t_eval", [None, [0.0, 0.25, 1.0]])
@pytest.mark.parametrize("terminal", [None, 2, 3, 4])
def test_events_of_no_components(terminal, t_eval):
    """They occur in time."""

    def wave(t, y, frequency):
        assert y.shape[0] == 0
        return np.sin(frequency * t)

    wave.terminal = terminal
    asked = {"events": [wave, lambda t, y, frequency: t - 2.0], "args": (9.0,)}
    found = solve_ivp(lambda t, y, frequency: y, (0, 1), np.empty(0), t_eval=t_eval, **asked)
    expected = np.arange(3)[:terminal] * np.pi / 9
    end = expected[-1] if terminal in (2, 3) else 1.0
    assert found.status == (terminal in (2, 3))
    assert found.t_events[0] == pytest.approx(expected, abs=1e-12)
    assert [y.shape for y in found.y_events] == [(expected.shape[0], 0), (0,)]
    assert found.t == pytest.approx([0.0, end] if t_eval is None else [t for t in t_eval if t <= end], abs=1e-12)
    assert found.y.shape == (0, found.t.shape[0])


BAD = [
    ({"fun": 3}, TypeError, "`fun` must be callable"),
    ({"t_span": 5}, ValueError, "`t_span` must be a pair"),
    ({"t_span": (0, np.inf)}, ValueError, "`t_span` must be finite"),
    ({"y0": [np.nan, 0]}, ValueError, "All components of the initial state `y0` must be finite."),
    ({"y0": 1.0}, ValueError, "`y0` must have at least one axis"),
    ({"method": "Euler"}, ValueError, f"`method` must be one of auto, {', '.join(ON_MESH)}"),
    ({"t_eval": [0, 2]}, ValueError, "not within `t_span`"),
    ({"t_eval": [0.5, 0.2]}, ValueError, "not properly sorted"),
    ({"t_eval": [[0.5]]}, ValueError, "must be 1-dimensional"),
    ({"rtol": [1e-3, 1e-20]}, UserWarning, "At least one element of `rtol` is too small"),
    ({"rtol": -1}, ValueError, "`rtol` must be finite and not negative"),
    ({"atol": -1}, ValueError, "`atol` must be positive"),
    ({"atol": [1, 2, 3]}, ValueError, "`atol` has wrong shape"),
    ({"max_step": 0}, ValueError, "`max_step` must be positive"),
    ({"first_step": -1}, ValueError, "`first_step` must be positive"),
    ({"first_step": 5}, ValueError, "exceeds bounds"),
    ({"args": 3}, TypeError, "cannot be unpacked"),
    ({"jac": np.eye(3)}, ValueError, r"`jac` is expected to have shape \(2, 2\), but actually has \(3, 3\)"),
    ({"jac": lambda t, y: np.zeros((3, 3))}, ValueError, "`jac` returned shape"),
    ({"events": 3}, TypeError, "`events`"),
    ({"mesh": [0, 0.5]}, ValueError, "`mesh` must begin and end as `t_span`"),
    ({"guess": 3}, TypeError, "`guess` must be a result of solve_ivp"),
    ({"stages": 10}, ValueError, "`stages` must be between 1 and 9"),
    ({"fun": lambda t, y: [y[0]]}, ValueError, "`fun` returned shape"),
    ({"fun": lambda t, y: [1j * y[0], y[1]]}, TypeError, "complex values for a real `y0`"),
]


@pytest.mark.parametrize(("changes", "error", "text"), BAD, ids=[text for _, _, text in BAD])
def test_bad_input(changes, error, text):
    arguments = {"fun": pendulum, "t_span": (0, 1), "y0": [1.0, 0.0], "method": "Radau", "rtol": 1e-6, **changes}
    with pytest.raises(error, match=text):
        solve_ivp(**arguments)


def test_unknown_keywords_are_refused():
    with pytest.raises(TypeError, match="tolerance"):
        solve_ivp(pendulum, (0, 1), [1.0, 0.0], tolerance=1e-3)


def test_a_tolerance_below_rounding_is_raised_with_a_warning():
    with pytest.warns(UserWarning, match="`rtol` is too small"):
        solve_ivp(pendulum, (0, 1), [1.0, 0.0], rtol=1e-16, atol=1e-10)


def test_a_guess_saves_the_start(road):
    """
    A parameter changed by a hundredth: no sequential solution, a few iterations on the mesh that there is.

    By machine code, that solution takes evaluations, but no calls of the function.
    """
    first = solve_ivp(pendulum, (0, 20), [1.0, 0.0], "Radau", args=(0.1,), rtol=1e-8, atol=1e-10)
    warm = solve_ivp(pendulum, (0, 20), [1.0, 0.0], "Radau", args=(0.101,), rtol=1e-8, atol=1e-10, guess=first)
    expected = exact(pendulum, (0, 20), [1.0, 0.0], [20.0], args=(0.101,))
    assert np.abs(warm.y[:, -1] - expected[:, 0]).max() <= 1e-7
    assert warm.iterations <= 5
    assert warm.nfev <= 40
    assert warm.npoints < first.npoints
    assert first.nfev > 40 or road == "code"


def test_a_guess_that_is_shorter_or_far_off_does_no_harm():
    short = solve_ivp(lotka_volterra, (0, 4), [10.0, 5.0], "Radau", rtol=1e-8, atol=1e-10)
    expected = exact(lotka_volterra, (0, 10), [10.0, 5.0], [10.0])[:, 0]
    longer = solve_ivp(lotka_volterra, (0, 10), [10.0, 5.0], rtol=1e-8, atol=1e-10, guess=short)
    assert np.abs(longer.y[:, -1] - expected).max() <= 1e-6
    other = solve_ivp(lambda t, y: [0 * y[0] + 50, 0 * y[1] - 40], (0, 10), [10.0, 5.0], "Radau", rtol=1e-8)
    again = solve_ivp(lotka_volterra, (0, 10), [10.0, 5.0], rtol=1e-8, atol=1e-10, guess=other)
    assert np.abs(again.y[:, -1] - expected).max() <= 1e-6


@ON_ANY_MESH
def test_a_mesh_is_kept():
    mesh = np.linspace(0, 5, 81)
    for method, stages in (("Radau", 3), ("Gauss", 2)):
        sol = solve_ivp(pendulum, (0, 5), [1.0, 0.0], method, mesh=mesh, stages=stages, rtol=1e-10, atol=1e-12)
        assert np.array_equal(sol.t, mesh)
        assert sol.meshes == (80,)
        assert 1e-13 < np.abs(sol.y[:, -1] - exact(pendulum, (0, 5), [1.0, 0.0], [5.0])[:, 0]).max() <= 1e-5
