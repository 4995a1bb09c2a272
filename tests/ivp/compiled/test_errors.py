"""Errors of compiled solves at all times of the output: how large they are, and how they are estimated."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp as scipys

from parscan import IvpStatus, Termination, solve_ivp
from parscan._ivp.compiled import accuracy
from parscan._ivp.compiled.accuracy import Solved
from parscan._ivp.compiled.march import Course
from tests.support.ode_problems import brusselator, hires, lotka_volterra, oscillator, van_der_pol


def solve(*args, rtol=1e-8, atol=None, **options):
    return solve_ivp(*args, rtol=rtol, atol=rtol if atol is None else atol, compile=True, **options)


def in_tolerances(found, exact, rtol):
    """Largest error of a component at each time."""
    return np.max(abs(found - exact) / (rtol * (1 + abs(exact))), axis=0)


TIMES = np.linspace(0.0, 10.0, 701)


def relaxing(t, y, rate):
    """From cos(0) + 0.5: the solution is cos(t) + 0.5 exp(-rate t)."""
    return [-rate * (y[0] - np.cos(t)) - np.sin(t)]


@given(st.floats(0.0, 6.0), st.floats(-10.0, -3.0), st.booleans())
def test_states_between_steps_of_decays(power, digits, dense):
    """Not stiff, at the limit of stability, and stiff: dense output and values at times, and their estimated errors."""
    rate, rtol = 10.0**power, 10.0**digits
    options = {"dense_output": True} if dense else {"t_eval": TIMES}
    sol = solve(relaxing, (0.0, 10.0), [1.5], args=(rate,), rtol=rtol, **options)
    errors = in_tolerances(sol.sol(TIMES) if dense else sol.y, np.cos(TIMES) + 0.5 * np.exp(-rate * TIMES), rtol)
    assert sol.success
    assert errors.max() <= 10
    assert sol.errors.shape == sol.t.shape
    assert sol.errors.max() <= 10
    if not dense:
        assert errors.max() <= max(3 * sol.errors.max(), 1)


SMOOTH = {
    "Lotka-Volterra": (lotka_volterra, [10.0, 5.0], 10.0),
    "Van der Pol": (van_der_pol(5.0), [2.0, 0.0], 20.0),
    "Brusselator": (brusselator, [1.5, 3.0], 20.0),
    "HIRES": (hires, [1.0, 0, 0, 0, 0, 0, 0, 0.0057], 20.0),
}


@pytest.mark.parametrize("rtol", [1e-4, 1e-6, 1e-8])
@pytest.mark.parametrize("name", SMOOTH)
def test_states_between_steps_and_a_tight_solve(name, rtol):
    fun, y0, end = SMOOTH[name]
    exact = scipys(
        fun, (0.0, end), y0, "Radau" if name == "HIRES" else "DOP853", rtol=1e-12, atol=1e-13, dense_output=True
    )
    times = np.random.default_rng(0).uniform(0.0, end, 300)
    dense = solve(fun, (0.0, end), y0, rtol=rtol, dense_output=True)
    assert in_tolerances(dense.sol(times), exact.sol(times), rtol).max() <= 10
    times.sort()
    sol = solve(fun, (0.0, end), y0, rtol=rtol, t_eval=times)
    true = in_tolerances(sol.y, exact.sol(times), rtol)
    assert true.max() <= 10
    assert true.max() <= max(3 * sol.errors.max(), 1)


@pytest.mark.slow
def test_a_flank():
    """A small error of its time is a large one of the state: tolerances must be much smaller there."""
    fun, rtol = van_der_pol(100.0), 1e-6
    exact = scipys(fun, (0.0, 250.0), [2.0, 0.0], "Radau", rtol=1e-11, atol=1e-12, dense_output=True)
    steep = exact.t[np.argmax(abs(exact.y[1]))] + np.linspace(-0.02, 0.02, 50)
    sol = solve(fun, (0.0, 250.0), [2.0, 0.0], rtol=rtol, t_eval=steep)
    assert in_tolerances(sol.y, exact.sol(steep), rtol).max() <= 10
    assert sol.errors.max() <= 10
    assert solve(fun, (0.0, 250.0), [2.0, 0.0], rtol=rtol, t_eval=[250.0]).npoints < 0.8 * sol.npoints


@pytest.mark.parametrize("options", [{}, {"dense_output": True}, {"t_eval": np.linspace(0, 50, 91)}])
def test_errors_at_all_times(options):
    """Also where only the ends of steps are wanted; in copies; and again, where the function is known."""
    for _ in range(3):
        sol = solve(oscillator, (0.0, 50.0), [0.0, 1.0], rtol=1e-6, **options)
        true = in_tolerances(sol.y, np.array([np.sin(sol.t), np.cos(sol.t)]), 1e-6)
        assert sol.errors.shape == sol.t.shape
        assert sol.errors[0] == 0
        assert sol.errors[-1] == pytest.approx(sol.error_estimate, rel=0.8)
        assert (true <= 3 * sol.errors + 0.3).all()
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(sol)).errors, sol.errors)


def test_errors_up_to_an_event():
    def event(t, y):
        return y[0] - 0.5

    event.terminal = 3
    sol = solve(oscillator, (0.0, np.inf), [0.0, 1.0], rtol=1e-6, events=event)
    assert sol.status == 1
    assert sol.errors.shape == sol.t.shape
    assert sol.errors.max() <= 10


def test_errors_are_not_known_of_others():
    assert np.isnan(solve_ivp(oscillator, (0.0, 5.0), [0.0, 1.0], compile=False).errors).all()


def lorenz(t, y):
    return [10 * (y[1] - y[0]), y[0] * (28 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]]


@pytest.mark.parametrize("options", [{}, {"dense_output": True}, {"t_eval": np.linspace(0, 60, 600)}])
def test_chaos_takes_few_marches(options):
    """Two tell the error, and a third one that rounding grows as far."""
    sol = solve(lorenz, (0.0, 60.0), [1.0, 1.0, 1.0], rtol=1e-6, **options)
    assert sol.success
    assert "changes by rounding grow to such errors" in sol.message
    assert sol.error_estimate > 1e3
    assert sol.npoints < 6 * 16 * len(sol.mesh)
    early = sol.t < 10
    assert sol.errors[early].max() < 1e-3 * sol.errors.max()


@pytest.mark.parametrize("tolerance", [1e-5, 1e-6, 1e-10])
@pytest.mark.parametrize("start", [[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
def test_chaos_is_told_from_bad_errors_at_all_tolerances(start, tolerance):
    """The first solve and later ones; a single change by a rounding may be taken back by chance."""
    for _ in range(2):
        sol = solve(lorenz, (0.0, 40.0), start, rtol=tolerance, atol=tolerance / 100)
        assert sol.success
        assert "changes by rounding grow to such errors" in sol.message


def test_large_errors_are_no_success(monkeypatch):
    """Unless rounding explains them."""
    monkeypatch.setattr(accuracy, "at_end", lambda *_: 1e6)
    monkeypatch.setattr(accuracy, "_by_rounding", lambda *_: 0.0)
    sol = solve(oscillator, (0.0, 5.0), [0.0, 1.0])
    assert not sol.success
    assert sol.status is IvpStatus.INACCURATE
    assert sol.termination is Termination.INACCURATE
    assert "far above the tolerances. At t = 5.0: the estimated error is 5e+05 tolerances" in sol.message
    assert "`fun` jumps" in sol.message
    monkeypatch.setattr(accuracy, "_by_rounding", lambda *_: 1e6)
    assert solve(oscillator, (0.0, 5.0), [0.0, 1.0]).success


def test_errors_fall_by_further_marches():
    """Each pair tells it; a march that fails is followed by one with larger tolerances."""
    sol = solve(lorenz, (0.0, 20.0), [1.0, 1.0, 1.0], rtol=1e-6)
    exact = scipys(lorenz, (0.0, 20.0), [1.0, 1.0, 1.0], "DOP853", rtol=1e-13, atol=1e-14)
    assert sol.error_estimate <= 1
    assert in_tolerances(sol.y[:, -1:], exact.y[:, -1:], 1e-6).max() <= 10


@pytest.mark.parametrize(("end", "between", "error"), [(0.5, None, 0.5), (0.5, [1.0, 20.0], 2.0), (3.0, [], 3.0)])
def test_the_ratio_to_what_is_wanted(end, between, error):
    found = Solved(Course(), None, 1.0, 0, end=end, between=None if between is None else np.array(between))
    assert found.error == error
    assert not found.is_bad


@pytest.mark.parametrize("end", [3e5, pytest.param(1e6, marks=pytest.mark.slow)])
def test_marches_that_both_damp_an_oscillation(end):
    """Both end at zero: their difference tells nothing."""

    def oscillator(t, y):
        return [y[1], -y[0]]

    for _ in range(2):
        sol = solve_ivp(oscillator, (0.0, end), [1.0, 0.0], rtol=1e-3, atol=1e-3, t_eval=[end], compile=True)
        assert sol.success
        np.testing.assert_allclose(sol.y[:, -1], [np.cos(end), -np.sin(end)], rtol=1e-2, atol=1e-2)
        assert sol.error_estimate > 1e-9


def test_marches_whose_errors_die_out():
    """A march with far smaller tolerances confirms that; solves that are repeated, too."""
    for _ in range(3):
        sol = solve_ivp(lambda t, y: [y[1], -y[0] - 0.05 * y[1]], (0.0, 2e4), [1.0, 0.0], rtol=1e-6, compile=True)
        assert sol.success
        assert sol.error_estimate < 1e-6
        assert np.abs(sol.y[:, -1]).max() < 1e-6


def test_smaller_tolerances_that_were_in_vain_are_not_tried_again(monkeypatch):
    """As where rounding within the function is larger than they are: steps would become shorter with each solve."""
    monkeypatch.setattr(accuracy, "at_end", lambda *_: 3.0 * accuracy.GAIN)

    def pendulum(t, y):
        return [y[1], -np.sin(y[0])]

    found = [solve_ivp(pendulum, (0.0, 5.0), [0.0, 1.0], rtol=1e-4, dense_output=True, compile=True) for _ in range(4)]
    assert {sol.error_estimate for sol in found} == {3.0}
    assert len({sol.mesh.size for sol in found}) == 1
    monkeypatch.setattr(accuracy, "at_end", lambda *_: 30.0 * accuracy.GAIN)
    sol = solve_ivp(pendulum, (0.0, 5.0), [0.0, 1.0], rtol=1e-4, dense_output=True, compile=True)
    assert sol.mesh.size > found[0].mesh.size


def test_shares_that_are_in_vain():
    known = accuracy.Known()
    assert not known.is_vain((0.0, 1.0), 0.1)
    known.vain = (0.0, 1.0), 0.1
    assert known.is_vain((0.0, 1.0), 0.1)
    assert not known.is_vain((0.0, 1.0), 0.2)
    assert not known.is_vain((0.0, 2.0), 0.1)
