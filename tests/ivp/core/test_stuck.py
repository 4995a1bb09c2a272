"""Right-hand sides that jump to and fro: every solve ends, right or with a message; and long ones are not stopped."""

import collections
import re

import numpy as np
import pytest
from ode_problems import oscillator
from scipy import integrate

from parscan import solve_ivp
from parscan._ivp.core.pace import CALLS, LAST, STEPS, Pace, jumps_within

pytestmark = pytest.mark.roads

PATIENCE = 1_500_000
"""Calls after which a solver is taken to be stuck."""


class StuckError(Exception):
    """It would go on forever."""


def patient(fun):
    calls = iter(range(PATIENCE))

    def counted(t, y):
        if next(calls, None) is None:
            raise StuckError
        return fun(t, y)

    return counted


def brick(t, y):
    """It slides and stops by dry friction."""
    return [y[1], -3 * np.sign(y[1])]


def relaxed(t, y):
    return [-np.sign(y[0])]


def sliding(t, y):
    """Along a line in the plane, after that is reached."""
    side = np.sign(y[0] + 0.5 * y[1])
    return [y[1] - 2 * side, -y[0] - side]


def controlled(t, y):
    """Bang-bang, without hysteresis."""
    return [y[1], -np.sign(y[0] + y[1])]


def rotating(t, y):
    """Real and imaginary parts of a complex state, both with friction."""
    return [-np.sign(y[0].real) - 1j * np.sign(y[0].imag)]


CHATTER = {
    "brick": (brick, 2, [0.0, 3.0], [1.5, 0.0]),
    "relaxed": (relaxed, 2, [1.0], [0.0]),
    "sliding": (sliding, 10, [1.0, 1.0], None),
    "controlled": (controlled, 20, [1.0, 0.0], [0.0, 0.0]),
    "rotating": (rotating, 2, [1.0 + 0.5j], [0.0]),
}


def ended(sol, expected):
    """Right, or it says what is the matter."""
    if sol.success:
        return expected is None or np.abs(sol.y[:, -1] - expected).max() <= 1e-2
    reached = re.findall(r"At t = ([-+e.0-9]*[0-9])", sol.message)
    return len(reached) == 1 and "jump" in sol.message and "tanh" in sol.message


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:lsoda:UserWarning")
@pytest.mark.parametrize(("name", "rtol"), [("relaxed", 1e-3), *((name, 1e-6) for name in CHATTER)])
def test_auto_ends(name, rtol):
    fun, end, y0, expected = CHATTER[name]
    sol = solve_ivp(patient(fun), (0, end), y0, rtol=rtol, atol=rtol / 1000)
    assert ended(sol, expected)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:lsoda:UserWarning", "ignore:divide by zero:RuntimeWarning")
@pytest.mark.parametrize("name", ["brick", "relaxed", "sliding", "controlled"])
@pytest.mark.parametrize("method", ["RK23", "RK45", "LSODA", "BDF", integrate.DOP853])
def test_solvers_of_scipys_end(name, method):
    fun, end, y0, expected = CHATTER[name]
    sol = solve_ivp(patient(fun), (0, end), y0, method, rtol=1e-6, atol=1e-9)
    assert ended(sol, expected) or (method == "BDF" and "Required step size" in sol.message)


@pytest.mark.slow
def test_dry_friction_at_default_tolerances_is_solved():
    sol = solve_ivp(patient(brick), (0, 2), [0.0, 3.0])
    assert sol.success
    assert sol.method == "RK45"
    assert np.allclose(sol.y[:, -1], [1.5, 0.0], atol=1e-3)
    assert re.search(r"LSODA, because .*, from t = 1\.0\S* on by RK45, because `fun` jumps to and fro", sol.message)


def test_what_comes_before_is_kept():
    sol = solve_ivp(patient(brick), (0, 2), [0.0, 3.0], "LSODA", t_eval=[0.5, 0.9, 1.5], rtol=1e-8, atol=1e-11)
    assert not sol.success
    assert sol.t.tolist() == [0.5, 0.9]
    assert np.allclose(sol.y[1], [1.5, 0.3], atol=1e-6)
    assert "4096 steps" in sol.message


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::parscan.warnings.NondeterministicFunctionWarning")
def test_noise_ends():
    rng = np.random.default_rng(0)
    fun = lambda t, y: -y + 1e-2 * rng.normal(size=y.shape)  # noqa: E731
    sol = solve_ivp(patient(fun), (0, 10), [1.0], "RK45", rtol=1e-7, atol=1e-9)
    assert not sol.success
    assert "jumps to and fro" in sol.message


def robertson(t, y):
    slow, fast = 1e4 * y[1] * y[2], 3e7 * y[1] ** 2
    return [-0.04 * y[0] + slow, 0.04 * y[0] - slow - fast, fast]


def transient(t, y):
    return [-1e6 * (y[0] - np.cos(t))]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["LSODA", "BDF"])
@pytest.mark.parametrize(
    ("fun", "end", "y0"), [(robertson, 1e11, [1.0, 0.0, 0.0]), (transient, 1000, [0.0])], ids=["robertson", "transient"]
)
def test_transients_are_not_stopped(method, fun, end, y0):
    assert solve_ivp(fun, (0, end), y0, method, rtol=1e-6, atol=1e-9).success


def paces(fun, y0, end, h, steps=3 * STEPS, calls=6):
    """What is said of steps of one length along the trajectory by Heun's method."""
    pace = Pace(lambda t, y: np.array(fun(t, y)), (0.0, end), 1e-6, 1e-9, is_explicit=True)
    t, y, said = 0.0, np.array(y0), []
    last = collections.deque(maxlen=LAST)
    for k in range(1, steps + 1):
        slope = np.array(fun(t, y))
        y = y + h / 2 * (slope + np.array(fun(t + h, y + h * slope)))
        t += h
        last.append((t, y))
        if k % STEPS == 0:
            said.append(pace.is_stuck(list(last), calls * k))
    return [reason for reason in said if reason]


def test_a_million_periods_are_not_stopped():
    assert paces(oscillator, [1.0, 0.0], 6e6, 0.05) == []


def forced(t, y):
    return [-1.0 * (y[0] - np.sin(t))]


def test_many_periods_of_a_forced_solution_are_not_stopped():
    """Steps of 1 are as long as accuracy permits: errors fall in them, but not all the way."""
    assert paces(forced, [0.0], 1e7, 1.0) == []
    assert "stability limits the steps" in paces(lambda t, y: [-2.5 * (y[0] - 1)], [1.0], 1e7, 0.85)[-1]


def steep(t, y):
    return [0.5 * np.sin(t) - np.tanh(y[0] / 1e-9)]


def stiff(t, y):
    return [-1e7 * (y[0] - np.cos(t))]


@pytest.mark.parametrize("method", ["RK23", "RK45", integrate.DOP853])
@pytest.mark.parametrize("fun", [steep, stiff])
def test_explicit_methods_give_up_stiff_problems(fun, method):
    """They took millions of steps: half a minute where values of `fun` are cheap, or hours."""
    calls = []

    def counted(t, y):
        calls.append(t)
        if len(calls) > 500_000:
            raise StuckError
        return fun(t, y)

    sol = solve_ivp(counted, (0, 10), [1.0], method, rtol=1e-6, compile=False)
    assert not sol.success
    assert "name an implicit method, such as Radau" in sol.message or (
        fun is steep and "jumps to and fro" in sol.message
    )


def test_an_explicit_method_solves_what_is_slightly_stiff():
    sol = solve_ivp(lambda t, y: [-1e4 * (y[0] - np.cos(t))], (0, 5), [1.0], "RK45", compile=False)
    assert sol.success
    assert abs(sol.y[0, -1] - np.cos(5)) <= 1e-3


def test_jumps_are_no_matter_while_few_calls_are_to_come():
    assert paces(relaxed, [1e-5], 1.0, 1.0 / (CALLS / 12)) == []
    assert "jumps" in paces(relaxed, [1e-5], 1.0, 1.0 / CALLS)[0]


def test_steps_that_get_nowhere_end_without_jumps_too():
    assert "implicit method" in paces(oscillator, [1.0, 0.0], 1.0, 1e-12)[-1]


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("h", [1e-9, 1e-5])
def test_a_steep_function_is_no_jump(scale, h):
    """Bounds are those of a step: an error of a tolerance."""

    def found(fun):
        nodes = [(0.0, np.array([-0.3 * h * scale])), (h, np.array([0.7 * h * scale]))]
        return jumps_within(lambda t, y: scale * np.asarray(fun(t, y / scale)), nodes, 1e-6, 1e-9 * scale * h / 1e-9)

    assert found(lambda t, y: np.sign(y)) == [True]
    assert found(lambda t, y: np.where(t < 0.4 * h, 1.0, -1.0) + 0 * y) == [True]
    assert found(lambda t, y: np.tanh(y / h)) == [False]
    assert found(lambda t, y: np.sqrt(np.abs(y) / h)) == [False]
    assert found(lambda t, y: np.abs(y) / h) == [False]


@pytest.mark.slow
def test_sliding_on_a_switch_of_the_state_goes_on_with_one_step_methods(road):
    """Up to y = 1, and then along it: neither windows nor steps followed one by one get on there."""
    rtol = 1e-5
    sol = solve_ivp(lambda t, y: np.where(y < 1, 2.0, -0.1), (0, 3), [0.0], rtol=rtol, atol=rtol / 100)
    assert sol.success
    assert sol.compiled == (road == "code")
    assert sol.compiled or (sol.method == "RK45" and "jumps to and fro" in sol.message)
    assert abs(sol.y[0, -1] - 1) < 1e3 * rtol
    named = solve_ivp(lambda t, y: np.where(y < 1, 2.0, -0.1), (0, 3), [0.0], "Radau", rtol=rtol, atol=rtol / 100)
    assert not named.success
    assert "jumps to and fro" in named.message


@pytest.mark.roads("calls")
def test_lsoda_starts_anew_where_its_steps_stay_short_behind_a_jump():
    """LSODA alone keeps steps of 4e-7 from t = 3.14 on, where the friction changes its sign: millions of calls."""

    def rubbed(t, y):
        return [y[1], -y[0] - 0.3 * np.sign(y[1])]

    sol = solve_ivp(rubbed, (0, 4.7), [1.0, 0.0], rtol=1e-3)
    assert sol.success
    assert sol.method == "LSODA"
    assert sol.nfev < 200_000
    # cosines around 0.3 to the first turn at t = pi, and around -0.3 from there on
    np.testing.assert_allclose(sol.y[:, -1], [-0.3 + 0.1 * np.cos(4.7), -0.1 * np.sin(4.7)], atol=2e-3)
