"""Solutions that stay on a switch, which steps cross to and fro, and others that pass switches."""

import numpy as np
import pytest

from parscan import solve_ivp
from parscan._engine.termination import Termination
from parscan._ivp.compiled.accuracy import Solved
from parscan._ivp.compiled.march import Course
from parscan._ivp.compiled.recorded import Recorded
from parscan._recorded.record import record
from parscan._recorded.state_switches import flips, state_switches


@pytest.fixture(autouse=True)
def without_modes(monkeypatch):
    """Steps are taken without modes, as in functions whose comparisons are not all known."""
    monkeypatch.setattr(Recorded, "modes", None)


def relay(t, y):
    """From t = 0.6 on, the solution stays on the switch."""
    return [np.sin(t) - 2 * np.sign(y[0])]


def relay_without_sign(t, y):
    return [np.sin(t) + np.where(y[0] > 0, -2.0, 2.0)]


def solve(fun, end, y0, rtol=1e-9, **options):
    return solve_ivp(fun, (0.0, end), y0, rtol=rtol, atol=rtol, compile=True, **options)


def relay_of_copies(t, y):
    return [np.sin(t) - np.copysign(2.0, y[0])]


@pytest.mark.parametrize("fun", [relay, relay_without_sign, relay_of_copies])
@pytest.mark.parametrize("options", [{}, {"t_eval": np.linspace(0, 10, 101)}, {"dense_output": True}])
def test_it_is_told(fun, options):
    sol = solve(fun, 10.0, [1.0], **options)
    assert sol.compiled
    assert not sol.success
    assert sol.termination is Termination.STUCK
    assert "`fun` jumps to and fro" in sol.message
    assert "np.tanh" in sol.message
    assert 0.5 < sol.mesh[-1] < 1.0
    assert sol.t[-1] <= sol.mesh[-1]
    assert sol.y.shape == (1, len(sol.t))
    np.testing.assert_allclose(sol.y[0][sol.t < 0.5], (2 - np.cos(sol.t) - 2 * sol.t)[sol.t < 0.5], atol=1e-8)
    if options.get("dense_output"):
        np.testing.assert_allclose(sol.sol(0.3), 2 - np.cos(0.3) - 0.6, atol=1e-8)


def dosing(t, y):
    """The solution stays on the switch, and all ends of steps are above it."""
    return [-0.3 * y[0] + (2.0 if y[0] < 1.0 else 0.0)]


def test_ends_of_steps_on_one_side():
    sol = solve(dosing, 20.0, [2.0], rtol=1e-8)
    assert sol.termination is Termination.STUCK
    assert abs(sol.mesh[-1] - np.log(2) / 0.3) < 0.1


def test_few_steps_to_and_fro_are_taken():
    """With loose tolerances, the rest of the span is soon passed."""
    sol = solve(relay, 10.0, [1.0], rtol=1e-3)
    assert sol.success
    np.testing.assert_allclose(sol.y[0, -1], 0.0, atol=1e-2)


@pytest.mark.parametrize("rtol", [1e-4, 1e-7, 1e-10])
def test_switches_that_are_passed(rtol):
    """A body between two walls of constant force, whose energy stays."""
    sol = solve(lambda t, y: [y[1], -np.sign(y[0])], 400.0, [1.0, 0.0], rtol=rtol)
    assert sol.success
    energy = abs(sol.y[0]) + sol.y[1] ** 2 / 2
    np.testing.assert_allclose(energy, 1.0, rtol=1e4 * rtol)


def test_crossings_are_counted():
    def fun(t, y):
        return np.where(y[0] > t, 1.0, 2.0) * np.sign(y[1]) * np.where(t > 3, 1.0, 2.0) + 0 * y

    switches = state_switches(record(fun, [np.zeros(()), np.zeros(2)]).program)
    t = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    states = np.array([[1.0, 1.0], [0.5, 1.0], [0.5, -1.0], [0.5, -2.0], [5.0, 3.0]])
    none = np.zeros_like(states)
    assert flips(switches, (), t, states, none).tolist() == [True, True, False, True]


def test_tangents_that_cross_are_counted():
    """Their ends count, with the slopes of the begin of steps, at the times of the ends."""
    switches = state_switches(record(lambda t, y: np.where(y > t - 3, 1.0, 2.0), [np.zeros(()), np.zeros(1)]).program)
    t, slopes = np.array([0.0, 1.0, 2.0, 3.0, 3.5]), np.array([[-2.5], [-4.0], [-0.5], [-1.5], [0.0]])
    assert flips(switches, (), t, np.ones((5, 1)), slopes).tolist() == [False, True, False, True]


def test_stairs_are_switches():
    switches = state_switches(record(lambda t, y: np.round(y, 1) + np.floor(t), [np.zeros(()), np.zeros(2)]).program)
    states = np.array([[1.0, 1.0], [1.04, 1.0], [1.06, 1.0], [1.06, 0.5]])
    assert flips(switches, (), np.arange(4.0), states, np.zeros_like(states)).tolist() == [False, True, True]


@pytest.mark.parametrize("fun", [lambda t, y: y % 1.0, lambda t, y: np.fmod(y, 1.0), lambda t, y: y // 1.0])
def test_remainders_are_switches(fun):
    switches = state_switches(record(fun, [np.zeros(()), np.zeros(1)]).program)
    states = np.array([[1.2], [1.9], [2.1], [2.8], [4.5], [-0.7]])
    assert flips(switches, (), np.arange(6.0), states, np.zeros_like(states)).tolist() == [
        False, True, False, True, True,
    ]  # fmt: skip


def test_noise_is_no_chaos():
    """The oscillator, with a force that is known to six digits: tighter tolerances follow each jump of it."""
    sol = solve(lambda t, y: [y[1], -np.round(y[0], 6)], 20.0, [1.0, 0.0], rtol=1e-9)
    assert sol.error_estimate > 30  # rounding decides how large it is
    assert not sol.success
    assert "`fun` jumps to and fro" in sol.message
    np.testing.assert_allclose(sol.y[:, -1], [np.cos(20.0), -np.sin(20.0)], atol=1e-5)


def test_functions_without_switches_of_the_state():
    assert state_switches(record(lambda t, y: y * np.sign(t) + abs(y), [np.zeros(()), np.zeros(2)]).program) is None


def spiral(t, y):
    """Towards a switch, on which it then stays, by ever shorter turns around zero."""
    return [y[1], -np.sign(y[0] + 0.1 * y[1])]


SPIRAL = 0.00586467, -0.05864669
"""The state at 10, on the switch, by a solve with modes and tolerances of 1e-11."""


@pytest.mark.parametrize("rtol", [1e-5, 3e-7, 1e-7])
@pytest.mark.parametrize("options", [{}, {"dense_output": True}])
def test_large_errors_by_steps_to_and_fro_are_no_success(rtol, options):
    """Not even if rounding causes errors of that size as well: it decides where steps end, and how large errors are."""
    sol = solve(spiral, 10.0, [1.0, 0.0], rtol=rtol, **options)
    error = np.max(np.abs(sol.y[:, -1] - SPIRAL) / (rtol + rtol * np.abs(SPIRAL)))
    assert error < 5 * sol.error_estimate
    assert sol.success == (sol.error_estimate <= 30)
    if rtol < 1e-6:
        assert sol.error_estimate > 30
    if not sol.success:
        assert "`fun` jumps to and fro" in sol.message
        assert "np.tanh" in sol.message


@pytest.mark.parametrize(
    ("crossing", "end", "is_rough", "is_bad"),
    [
        (0.0, 300.0, False, False),
        (0.0, 1e4, False, True),
        (0.0, 1e4, True, False),
        (0.1, 300.0, False, True),
        (0.1, 1e4, True, False),
        (0.3, 300.0, True, True),
        (0.3, 90.0, True, True),
        (0.3, 20.0, True, False),
    ],
)
def test_large_errors(crossing, end, is_rough, is_bad):
    """Rounding excuses them unless steps jump to and fro. They are proportional unless steps cross often."""
    found = Solved(Course(), None, 1.0, 0, end=end, is_rough=is_rough, crossing=crossing)
    assert found.is_bad == is_bad
