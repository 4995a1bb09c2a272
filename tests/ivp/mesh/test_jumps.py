"""Right-hand sides that jump: against solutions that are exact between the jumps."""

from functools import partial
from types import SimpleNamespace

import array_api_strict as strict
import numpy as np
import pytest
from scipy.integrate import solve_ivp as scipy_solve_ivp

from parscan import solve_ivp
from parscan._engine.termination import Failure, Termination
from parscan._ivp.arguments import as_problem
from parscan._ivp.coarse import step_over_jump as _following
from parscan._ivp.coarse.jumps import jumped
from parscan._ivp.coarse.step_over_jump import follow
from parscan._ivp.coarse.steps import CoarseSolution
from parscan._ivp.core.evaluation import Evaluation
from parscan._ivp.core.failures import TOO_SMALL
from parscan._ivp.core.polynomial import PiecewisePolynomial
from parscan._ivp.core.scale import Scale
from parscan._ivp.core.tableaux import radau
from parscan._ivp.mesh import march as _march
from parscan._ivp.mesh import window as _window
from parscan._ivp.methods.defect import overlooked

pytestmark = pytest.mark.roads


def relaxed(decay, jumps, levels, y, end):
    """The end of `y' = level - decay y` from `y` at 0, the levels changing at the jumps."""
    nodes = [0.0, *(t for t in jumps if t < end), end]
    for begin, stop, level in zip(nodes[:-1], nodes[1:], levels, strict=False):
        rest = level / decay
        y = rest + (y - rest) * np.exp(-decay * (stop - begin))
    return y


def square(t, y):
    return np.sign(np.sin(7 * t)) - y / 10


def pulses(t, y):
    return np.where(np.mod(t, 1) < 0.1, 10.0, 0.0) - y


def stairs(t, y):
    return np.floor(t) - y


def doses(t, y):
    return np.where((t > 3.3) & (t < 3.7), 2.0, 0.0) - 0.2 * y


JUMPING = {
    "square": (square, 20.0, 1.0, (0.1, np.arange(1, 50) * np.pi / 7, [1.0, -1.0] * 25)),
    "pulses": (pulses, 20.0, 0.0, (1.0, np.arange(1, 400) / 10, ([10.0] + [0.0] * 9) * 20)),
    "stairs": (stairs, 20.0, 0.0, (1.0, np.arange(1.0, 20), np.arange(20.0))),
    "doses": (doses, 10.0, 1.0, (0.2, [3.3, 3.7], [0.0, 2.0, 0.0])),
}


@pytest.mark.parametrize("name", JUMPING)
@pytest.mark.parametrize("method", ["Radau", "Gauss"])
@pytest.mark.parametrize("rtol", [1e-5, 1e-8])
def test_jumps_in_time_are_met(name, method, rtol):
    """LSODA steps over the square wave, DOP853 over some of the pulses, so errors were 0.2 and 0.008."""
    fun, end, y0, exact = JUMPING[name]
    sol = solve_ivp(fun, (0, end), [y0], method, rtol=rtol, atol=rtol)
    assert sol.success
    assert abs(sol.y[0, -1] - relaxed(*exact, y0, end)) <= 200 * rtol


@pytest.mark.parametrize("rtol", [1e-5, 1e-8])
def test_jumps_in_time_are_met_backwards(rtol):
    sol = solve_ivp(lambda t, y: -square(-t, y), (0, -20), [1.0], rtol=rtol, atol=rtol)
    assert sol.success
    assert abs(sol.y[0, -1] - relaxed(*JUMPING["square"][3], 1.0, 20.0)) <= 200 * rtol


def test_jumps_of_a_batch_are_met():
    starts = np.linspace(-1.0, 1.0, 5)
    sol = solve_ivp(pulses, (0, 5), starts[None, :], "Radau", rtol=1e-8, atol=1e-8)
    assert sol.success
    assert np.abs(sol.y[0, -1] - relaxed(*JUMPING["pulses"][3], starts, 5.0)).max() <= 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("method", ["Radau", "Gauss"])
@pytest.mark.parametrize("rtol", [1e-4, 1e-6])
def test_jumps_of_stiff_problems_are_met(method, rtol):
    """LSODA, which follows what is stiff, stepped over whole periods: errors were of order one."""

    def switched(t, y):
        target = np.where(np.mod(t, 1) < 0.37, 1.0, -1.0)
        return [-1e6 * (y[0] - target), y[0]]

    sol = solve_ivp(switched, (0, 10), [0.0, 0.0], method, rtol=rtol, atol=rtol)
    assert sol.success
    assert abs(sol.y[1, -1] + 2.6) <= 200 * rtol


def test_a_jump_that_no_step_is_short_enough_for_is_met():
    """The error of a step over it is 1e6 of its length, and there are no steps of 1e-15: it becomes a node."""

    def switched(t, y):
        return [-1e6 * (y[0] - np.where(t < 5.37, 1.0, -1.0)), y[0]]

    sol = solve_ivp(switched, (0, 10), [1.0, 0.0], rtol=1e-10, atol=1e-10)
    assert sol.success
    assert np.abs(sol.mesh - 5.37).min() <= 1e-14
    assert np.abs(sol.y[:, -1] - [-1.0, 5.37 - 4.63 + 2e-6]).max() <= 1e-8


@pytest.mark.roads("calls")
def test_a_jump_that_no_step_is_short_enough_for_is_told(monkeypatch):
    """The same, where the place of the jump is not found and steps are followed: it is said what stood in the way."""
    monkeypatch.setattr(_window, "find", lambda *_: None)
    monkeypatch.setattr(_window, "MESHES", 3)

    def switched(t, y):
        return [-1e6 * (y[0] - np.where(t < 5.37, 1.0, -1.0)), y[0]]

    sol = solve_ivp(switched, (0, 10), [1.0, 0.0], rtol=1e-10, atol=1e-10)
    assert not sol.success
    assert abs(sol.t[-1] - 5.37) <= 1e-10
    assert "the steps became smaller than the spacing of the numbers" in sol.message


@pytest.mark.parametrize(
    ("fun", "found"),
    [
        (lambda t, y: -1e6 * (y - np.where(t < 0.7, 1.0, 2.0)), [False, True]),
        (lambda t, y: -1e6 * (y - np.where(np.abs(t - 0.7) < 0.05, 1.0, 2.0)), [False, True]),
        (lambda t, y: -1e6 * (y - np.where(t < 0.7, 1.0, 1.0 + 1e-9)), [False, False]),
        (lambda t, y: -1e6 * (y - np.cos(t)), [False, False]),
        (lambda t, y: -1e6 * (y - np.exp(9 * t)), [False, False]),
        (lambda t, y: -1e6 * np.where(y < 0.5, 1.0, 2.0) * y, [False, False]),
    ],
)
def test_jumps_in_time_are_told_from_the_state(fun, found):
    trial = PiecewisePolynomial(
        radau(5), np.asarray([0.0, 0.5, 1.0]), np.asarray([[0.2], [0.3], [0.9]]), np.zeros((2, 5, 1))
    )
    assert jumped(right_hand_side(fun, (0, 1), [0.0]), trial, Scale(1e-6, np.asarray(1e-6))).tolist() == found


@pytest.mark.slow
@pytest.mark.parametrize("rtol", [1e-5, 1e-8])
def test_dry_friction(rtol):
    """The jump is where the velocity changes its sign, and the mass does not stick."""

    def fun(t, y):
        return [y[1], -y[0] - 0.3 * np.sign(y[1]) + 1.5 * np.sin(0.7 * t)]

    sol = solve_ivp(fun, (0, 30), [1.0, 0.0], rtol=rtol, atol=rtol)
    exact = scipy_solve_ivp(fun, (0, 30), [1.0, 0.0], "DOP853", rtol=1e-12, atol=1e-12, max_step=0.01).y[:, -1]
    assert sol.success
    assert np.abs(sol.y[:, -1] - exact).max() <= 200 * rtol


@pytest.mark.slow
@pytest.mark.parametrize("method", ["Radau", "RK4"])
def test_where_friction_holds_a_mass_is_given_up(method):
    """Steps by the million would get through: they are followed while each of them gets on, and not for ever."""
    calls = []

    def fun(t, y):
        calls.append(t)
        assert len(calls) < 1_000_000
        return [y[1], -y[0] - 2 * np.sign(y[1]) + np.sin(t)]

    sol = solve_ivp(fun, (0, 10), [3.0, 0.0], method, rtol=1e-6, atol=1e-6)
    assert "to and fro" in sol.message
    assert 2 < sol.t[-1] < 2.1


@pytest.mark.slow
def test_steps_are_followed_to_the_end_on_arrays_of_the_standard(monkeypatch):
    """They are fewer than asked for, and slices of such arrays end within them."""
    monkeypatch.setattr(_march, "FOLLOWED", 10_000)
    monkeypatch.setattr(_window, "find", lambda *_: None)
    monkeypatch.setattr(_window, "MESHES", 3)
    sol = solve_ivp(
        lambda t, y: strict.sign(strict.sin(7 * strict.asarray(t))) - y / 10,
        (0, 1),
        strict.asarray([1.0]),
        "Radau",
        rtol=1e-9,
        atol=1e-9,
    )
    assert sol.success
    assert "sequential" in sol.message
    assert abs(float(sol.y[0, -1]) - relaxed(*JUMPING["square"][3], 1.0, 1.0)) <= 1e-7


def right_hand_side(fun, span, y0):
    return Evaluation(as_problem(fun, span, np.asarray(y0), None, None, 1e-8, 1e-8, np.inf), None).right_hand_side()


OTHERWISE = CoarseSolution(np.zeros(1), lambda t: np.zeros((len(t), 1)))


def following(fun, span, y0, most):
    rhs, tolerances = right_hand_side(fun, span, y0), {"rtol": 1e-8, "atol": np.asarray(1e-8)}
    return follow(lambda *_, **__: OTHERWISE, rhs, span, np.asarray(y0), most=most, **tolerances)


def pulse(center, width, t, y):
    return np.where(np.abs(t - center) < width, 1.0, 0.0) + 0 * y


def test_what_lies_between_stages_is_seen():
    """One interval, and a pulse between its stages, or in one of them, where they see it themselves."""
    t, c = np.asarray([0.0, 2.0]), radau(5).c
    nothing = PiecewisePolynomial(radau(5), t, np.zeros((2, 1)), np.zeros((1, 5, 1)))
    scale = Scale(1e-6, np.asarray(1e-6))
    for center, width, seen in ((c[2] + c[3], 0.2, 1), (c[2] + c[3] + 0.1, 0.01, 0), (3.0, 0.5, 0)):
        rhs = right_hand_side(partial(pulse, center, width), (0, 2), [0.0])
        assert (overlooked(rhs, radau(5).gaps, nothing, scale)[0] > 1) == seen


def test_intervals_are_looked_at_in_parts(limit_memory):
    rng = np.random.default_rng(0)
    trial = PiecewisePolynomial(
        radau(5), np.linspace(0.0, 3.0, 8), rng.normal(size=(8, 3, 2)), rng.normal(size=(7, 5, 3, 2))
    )
    rhs = right_hand_side(lambda t, y: [np.sin(t) - y[1], y[0]], (0, 3), np.ones((2, 3)))
    jacobians = rng.normal(size=(7, 3, 2, 2))
    whole = overlooked(rhs, radau(5).gaps, trial, Scale(1e-6, np.asarray(1e-6)), jacobians)
    limit_memory(intermediate=200)
    parts = overlooked(rhs, radau(5).gaps, trial, Scale(1e-6, np.asarray(1e-6)), jacobians)
    assert whole.shape == (7,)
    assert np.array_equal(parts, whole)
    limit_memory(intermediate=2**21)
    jumping = right_hand_side(lambda t, y: -1e6 * (y - np.where(t < 0.7, 1.0, 2.0)), (0, 3), np.ones((2, 3)))
    whole = jumped(jumping, trial, Scale(1e-6, np.asarray(1e-6)))
    limit_memory(intermediate=200)
    assert np.array_equal(jumped(jumping, trial, Scale(1e-6, np.asarray(1e-6))), whole)
    assert whole.tolist() == [False, True, *(False,) * 5]


def test_what_stiff_components_miss_does_not_count():
    """The slope is off by a thousand where the state is off by less than a tolerance."""
    rhs = right_hand_side(lambda t, y: -1e9 * (y - 1e-6), (0, 1), [0.0])
    nothing = PiecewisePolynomial(radau(5), np.asarray([0.0, 1.0]), np.zeros((2, 1)), np.zeros((1, 5, 1)))
    scale = Scale(1e-6, np.asarray(1e-6))
    assert overlooked(rhs, radau(5).gaps, nothing, scale)[0] > 1
    assert overlooked(rhs, radau(5).gaps, nothing, scale, np.full((1, 1, 1), -1e9))[0] < 1


@pytest.mark.parametrize("most", [1, 8, 50])
def test_so_many_steps_are_followed(most):
    start = following(lambda t, y: [y[1], -y[0]], (0, 100), [1.0, 0.0], most)
    assert start.t.shape == (most + 1,)
    assert start.failure is None
    assert np.abs(start.states(start.t)[:, 0] - np.cos(start.t)).max() <= 1e-6


def test_the_end_and_what_is_not_finite_are_followed_to():
    start = following(lambda t, y: [y[1], -y[0]], (0, 1), [1.0, 0.0], 1000)
    assert start.t[-1] == 1
    assert start.failure is None
    start = following(lambda t, y: np.where(t < 1, -y, np.nan), (0, 2), [1.0], 1000)
    assert abs(start.t[-1] - 1) <= 1e-6
    assert "not finite" in str(start.failure)


def test_what_is_stiff_is_followed_otherwise():
    assert following(lambda t, y: -1e6 * (y - np.cos(t)), (0, 1), [0.0], 100) is OTHERWISE


def test_what_is_seen_nowhere_is_followed_otherwise(monkeypatch):
    monkeypatch.setattr(_following, "overlooked", lambda rhs, places, trial, scale: np.full(trial.intervals, 2.0))
    assert following(lambda t, y: [y[1], -y[0]], (0, 1), [1.0, 0.0], 10) is OTHERWISE


POLE = Failure(Termination.FAILED, "a pole")


@pytest.mark.parametrize(("told", "kept"), [(None, POLE), (TOO_SMALL, TOO_SMALL)])
def test_why_a_start_ends_is_not_forgotten_where_nothing_can_be_followed(told, kept):
    task = SimpleNamespace(
        follow=lambda span, y0, most: CoarseSolution(np.zeros(1), lambda t: np.zeros((len(t), 1)), told),
        that_fit=lambda intervals, y0: intervals,
    )
    record = _march.Record(failure=POLE, failed_at=0.5)
    assert _march._follow(task, (0.0, 1.0), np.zeros(1), record) is None
    assert record.failure == kept
