"""Errors of SciPy's solvers under `auto`: further solves tell them, and tighter tolerances reduce them."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from ode_problems import lotka_volterra
from scipy.integrate import solve_ivp as scipy_solve_ivp

from parscan import solve_ivp
from parscan._engine.termination import Termination
from parscan._ivp.core.choice import Choice
from parscan._ivp.sequential import checked, pulses
from parscan._ivp.sequential.course import Course

pytestmark = pytest.mark.roads("calls")


def kepler(t, y):
    cube = (y[0] * y[0] + y[1] * y[1]) ** 1.5
    return [y[2], y[3], -y[0] / cube, -y[1] / cube]


def orbit(e):
    return [1 - e, 0.0, 0.0, math.sqrt((1 + e) / (1 - e))]


def lorenz(t, y):
    return [10 * (y[1] - y[0]), y[0] * (28 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]]


def far(sol, exact, tolerance):
    """Largest error of the state at the end, in tolerances."""
    return float(np.max(np.abs(sol.y[:, -1] - exact) / (tolerance + tolerance * np.abs(exact))))


@pytest.mark.parametrize("tolerance", [1e-2, 1e-3])
@pytest.mark.parametrize("e", [0.1, 0.5])
def test_loose_orbits_are_within_ten_tolerances(e, tolerance):
    sol = solve_ivp(kepler, (0, 20), orbit(e), rtol=tolerance, atol=tolerance)
    exact = scipy_solve_ivp(kepler, (0, 20), orbit(e), "DOP853", rtol=1e-12, atol=1e-12).y[:, -1]
    assert sol.success
    assert sol.method == "LSODA"
    assert far(sol, exact, tolerance) <= 10
    assert sol.error_estimate <= checked.WANTED
    assert f"The estimated error at the end is {sol.error_estimate:.2g} tolerances." in sol.message


def test_output_times_are_looked_at_too(monkeypatch):
    """At the end of a damped oscillation nothing is left, nor are errors."""
    monkeypatch.setattr(checked, "FURTHER", 0)

    def damped(t, y):
        return [y[1], -400 * y[0] - y[1]]

    at_end = solve_ivp(damped, (0, 40), [1.0, 0.0])
    between = solve_ivp(damped, (0, 40), [1.0, 0.0], t_eval=np.linspace(0, 40, 81))
    assert between.error_estimate > 5 * at_end.error_estimate


def test_a_cost_of_few_solves():
    """Where the tolerance suffices, there are two: one with a tenth of it, one that is compared with it; and values of
    `fun` within long steps.
    """
    sol = solve_ivp(lotka_volterra, (0, 10), [10.0, 5.0])
    calls = [
        scipy_solve_ivp(lotka_volterra, (0, 10), [10.0, 5.0], "LSODA", rtol=rtol, atol=rtol / 1e3).nfev
        for rtol in (1e-3, 1e-4)
    ]
    assert sum(calls) <= sol.nfev <= sum(calls) + 2 * pulses.SAMPLES
    assert sum(calls) <= 2.5 * calls[0]


def test_chaos_is_told():
    sol = solve_ivp(lorenz, (0, 200), [1.0, 1.0, 20.0])
    assert sol.success
    assert sol.error_estimate > 100
    assert "small changes grow" in sol.message


def test_errors_that_stay_are_no_success(monkeypatch):
    """Without further solves, an orbit with a loose tolerance has a large error."""
    monkeypatch.setattr(checked, "FURTHER", 0)
    sol = solve_ivp(kepler, (0, 300), orbit(0.5))
    assert not sol.success
    assert sol.status == -5
    assert sol.t[-1] == 300
    assert "tighter ones were tried" in sol.message


def test_terminal_events():
    def falls(t, y):
        return [y[1], -9.81]

    def ground(t, y):
        return y[0]

    ground.terminal = True
    sol = solve_ivp(falls, (0, 100), [10.0, 0.0], events=ground)
    assert sol.status == 1
    assert sol.error_estimate <= checked.WANTED
    assert abs(sol.t_events[0][0] - math.sqrt(20 / 9.81)) < 1e-6


def test_a_further_solve_that_raises_tells_nothing():
    sol = solve_ivp(lambda t, y: [-y[0]], (0, 1), [1.0])
    assert sol.error_estimate < 10

    def raises(choice, most):
        raise RuntimeError

    assert checked._tried(raises, Choice("LSODA"), math.inf) is None


def test_named_methods_are_solved_once():
    sol = solve_ivp(kepler, (0, 20), orbit(0.1), "LSODA")
    assert math.isnan(sol.error_estimate)
    assert sol.nfev == scipy_solve_ivp(kepler, (0, 20), orbit(0.1), "LSODA").nfev


@pytest.mark.filterwarnings("ignore::parscan.warnings.NondeterministicFunctionWarning")
def test_further_solves_of_a_function_that_contradicts_itself_end():
    """The tighter the tolerances, the more steps it wants."""
    calls = [(0.0, 1.0)]

    def fun(t, y):
        late = next((call for call in reversed(calls) if call[0] <= t - 1), calls[0])[1]
        calls.append((float(t), float(y[0])))
        return [-late]

    sol = solve_ivp(fun, (0, 4), [1.0], rtol=1e-3, compile=False)
    assert not sol.success
    assert len(calls) < 10_000


@pytest.mark.parametrize("rtol", [1e-2, 3e-4])
@pytest.mark.parametrize("middle", [31.0, 50.0, 77.7])
def test_pulses_are_not_passed_over_twice(middle, rtol):
    """A tenth of the span is long enough to be seen; LSODA alone passes over it, as nothing happens before."""

    def fun(t, y):
        return [np.exp(-(((t - middle) / 4) ** 2)) + 0 * y[0]]

    sol = solve_ivp(fun, (0, 100), [0.0], rtol=rtol, compile=False)
    assert abs(sol.y[0, -1] - 4 * math.sqrt(math.pi)) <= 10 * rtol * 4 * math.sqrt(math.pi)


@pytest.mark.parametrize("rtol", [1e-3, 1e-5])
@pytest.mark.parametrize("width", [0.025, 0.0125])
def test_pulses_far_shorter_than_the_steps(width, rtol):
    """Of a 200th and a 400th of the span: LSODA stops at those that it passed over."""
    for centre in (3.7, 7.31):

        def fun(t, y, centre=centre):
            return [math.exp(-(((t - centre) / width) ** 2)) / width - y[0]]

        sol = solve_ivp(fun, (0, 10), [1.0], rtol=rtol, atol=rtol, compile=False)
        exact = math.exp(-10) + math.sqrt(math.pi) * math.exp(centre - 10 + width**2 / 4)
        assert sol.method == "LSODA"
        assert sol.success
        assert abs(sol.y[0, -1] - exact) <= 20 * rtol


def test_no_stops_where_nothing_is_sudden():
    """Stiff states between the nodes are not known well, and do not matter: the state at the begin of a step counts."""
    sol = solve_ivp(lambda t, y: [1e4 * (1.0 - y[0])], (0, 10), [0.0], rtol=1e-3, compile=False)
    assert sol.success
    assert sol.nfev <= 1500


def test_a_failed_solve_with_looser_tolerances_is_no_excuse():
    """At a tenth of the tolerance LSODA does not come round an orbit this eccentric, and at the tolerance it errs."""
    e, end = 0.999, 10.0
    anomaly = end
    for _ in range(100):
        anomaly -= (anomaly - e * math.sin(anomaly) - end) / (1 - e * math.cos(anomaly))
    sol = solve_ivp(kepler, (0, end), orbit(e), rtol=1e-3, atol=1e-3, compile=False)
    assert sol.success
    assert sol.error_estimate <= checked.WANTED
    assert abs(sol.y[0, -1] - (math.cos(anomaly) - e)) <= 0.01


def test_errors_that_nothing_tells_are_no_success():
    sol = solve_ivp(lambda t, y: [-y[0]], (0, 1), [1.0], rtol=1e-3, compile=False)
    assert sol.success
    alone = checked.Checked(None, Choice("LSODA"), is_unknown=True)
    assert alone.failure.termination.name == "INACCURATE"


def test_functions_that_are_defined_on_the_solution_only(monkeypatch):
    """The state of the begin of a step at a later time is none of it."""
    monkeypatch.setattr(pulses, "SAMPLES", 50)

    def fun(t, y):
        if abs(y[0] - 1 - t) > 0.1:
            raise ValueError
        return [1.0]

    sol = solve_ivp(fun, (0, 10), [1.0], rtol=1e-3, compile=False)
    assert sol.success
    assert sol.y[0, -1] == pytest.approx(11)


@pytest.mark.parametrize("last", ["LSODA", "RK45"])
def test_no_tighter_solves_where_another_solver_went_on(last):
    """Where `fun` jumps to and fro, tighter tolerances take ever shorter steps."""
    instead = Choice("RK45")
    choice = Choice("LSODA", otherwise={Termination.STUCK: instead})
    shares = []

    def course(states):
        found = Course((0.0, 1.0), [0.0, 1.0], [np.ones(1), states], None, False, None)
        found.used = [(choice, 0.0), (replace(instead, method=last), 0.5)]
        return found

    def solve(other, most):
        shares.append(other.share)
        return course(np.array([1.0 + 1e-5 * other.share]))

    problem = SimpleNamespace(rtol=1e-6, rtols=1e-6, atol=np.asarray(1e-6))
    checked.checked(checked.Checked(course(np.ones(1)), choice), problem, solve)
    assert len(shares) == (1 if last == "RK45" else 2)
