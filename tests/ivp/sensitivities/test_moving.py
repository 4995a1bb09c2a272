"""Jumps at times that depend on the state or on parameters: derivatives are those of exact solutions, or none."""

from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parscan import solve_ivp
from parscan._ivp import on_meshes
from parscan._ivp.sensitivities import between_crossings, crossing, followed, jumping, touches
from parscan._ivp.sensitivities.hidden import Missed
from parscan.warnings import StateJumpWarning

SLOW = (pytest.param(name, marks=pytest.mark.slow) for name in ("Gauss", "DOP853", "RK45", "LSODA", "BDF"))
METHODS = ["auto", "Radau", *SLOW]


def by_complex_steps(function, *numbers):
    """Derivatives of a number by several others."""
    steps = (np.eye(len(numbers)) * 1e-30j) + np.array(numbers)
    return [np.imag(function(*row)) / 1e-30 for row in steps]


def infusion(t, y, stop, k):
    return [-k * y[0] + np.where(t < stop, 1.0, 0.0)]


def level(stop, k, end=5.0):
    return (1 - np.exp(-k * stop)) / k * np.exp(-k * (end - stop))


def relay(t, y, at, k):
    return [np.where(y[0] < at, 1.0, 0.2) - k * y[0]]


def relaxed(at, k, y0=0.0, end=5.0):
    """The relay's state at the end: it rises to the threshold, then goes to another equilibrium."""
    time = -np.log((1 - k * at) / (1 - k * y0)) / k
    return 0.2 / k + (at - 0.2 / k) * np.exp(-k * (end - time))


def periodic(t, y, p, k):
    return [-k * y[0] + np.where(t % p < p / 2, 1.0, 0.0)]


def filled(p, k, end=5.0):
    """Of all pulses that begin before the end."""
    total = 0.0
    for j in range(int(end / p.real) + 1):
        last = min(((j + 0.5) * p, end + 0j), key=lambda one: one.real)
        total += (np.exp(-k * (end - last)) - np.exp(-k * (end - j * p))) / k
    return total


def steps(t, y, p, k):
    return [-k * y[0] + np.floor(t / p)]


def stepped(p, k, end=5.0):
    return sum((1 - np.exp(-k * (end - j * p))) / k for j in range(1, int(end / p.real) + 1))


def branching(t, y, stop, k):
    if t < stop:
        return [1 - k * y[0]]
    return [-k * y[0]]


EXACT = {
    "end of an infusion": (infusion, level, (2.0, 0.7)),
    "threshold of the state": (relay, relaxed, (0.4, 0.3)),
    "period": (periodic, filled, (1.1, 0.7)),
    "floor": (steps, stepped, (0.7, 0.7)),
    "two that add up": (
        lambda t, y, a, b: [np.where(t > a, 1.0, 0.0) + np.where(t > b, 2.0, 0.0)],
        lambda a, b: (5 - a) + 2 * (5 - b),
        (1.5, 1.5),
    ),
}


def derivatives(fun, args, y0=(0.0,), span=(0.0, 5.0), method="auto", **options):
    """Gradients of the sum of the last state by arguments and start, and the latter by tangents."""
    sol = solve_ivp(fun, span, np.asarray(y0), method, args=args, t_eval=[span[1]], rtol=1e-9, atol=1e-11, **options)
    ones = np.ones_like(sol.y)
    return sol.gradient(ones), sol.adjoint(ones).y0, sol.tangent(y0=np.eye(len(y0)))[:, -1].sum(axis=0)


@pytest.mark.parametrize("method", ["auto", "Radau", "DOP853"])
@pytest.mark.parametrize("name", EXACT)
def test_jacobians(name, method):
    fun, exact, args = EXACT[name]
    sol = solve_ivp(fun, (0, 5), [0.0], method, t_eval=[4.9, 5.0], args=args, rtol=1e-9, atol=1e-11)
    found = [float(each[0, -1]) for each in sol.jacobian()]
    assert np.allclose(found, by_complex_steps(exact, *args), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("fun", "exact", "args"), EXACT.values(), ids=EXACT)
def test_against_exact_solutions(fun, exact, args, method):
    if method == "LSODA" and fun is relay:
        pytest.skip("its steps are too short at the threshold")
    found, by_start, by_tangents = derivatives(fun, args, method=method)
    assert np.allclose(found, by_complex_steps(exact, *args), rtol=1e-8, atol=1e-10)
    assert np.allclose(by_start, by_tangents, rtol=1e-12, atol=1e-14)


def test_a_branch_of_python():
    found, _, _ = derivatives(branching, (2.0, 0.7))
    assert np.allclose(found, by_complex_steps(level, 2.0, 0.7), rtol=1e-8)


@pytest.mark.parametrize("method", ["auto", "Radau", "DOP853"])
def test_the_start_moves_the_time_of_a_crossing(method):
    _, by_start, by_tangents = derivatives(relay, (0.4, 0.3), (0.1,), method=method)
    expected = by_complex_steps(relaxed, 0.4, 0.3, 0.1)[2]
    assert by_start[0] == pytest.approx(expected, rel=1e-9)
    assert by_tangents[0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.slow
@given(st.floats(0.05, 4.95), st.floats(0.1, 3.0))
@settings(max_examples=8)
def test_an_infusion_that_ends_at_any_time(stop, k):
    found = derivatives(infusion, (stop, k))[0]
    assert np.allclose(found, by_complex_steps(level, stop, k), rtol=1e-7, atol=1e-10)


@pytest.mark.slow
@given(st.floats(0.1, 0.6), st.floats(0.05, 0.3))
@settings(max_examples=8)
def test_a_threshold_at_any_level(at, k):
    found = derivatives(relay, (at, k), method="Radau")[0]
    assert np.allclose(found, by_complex_steps(relaxed, at, k), rtol=1e-7, atol=1e-10)


def test_states_between_crossings():
    """A spring whose stiffness depends on the side, many half turns: each takes π over its frequency."""

    def fun(t, y, soft, hard):
        return [y[1], -(np.where(y[0] < 0, hard, soft) ** 2) * y[0]]

    sol = solve_ivp(fun, (0, 20), [1.0, 0.0], args=(1.0, 2.0), t_eval=[3.0, 11.0, 20.0], rtol=1e-10, atol=1e-12)

    def exact(t, soft, hard):
        quarter, there = np.pi / 2 / soft, np.pi / hard
        whole = 2 * quarter + there
        phase = t - whole * int(t / whole.real)
        if phase.real < quarter.real:
            return np.cos(soft * phase)
        if phase.real < (quarter + there).real:
            return -soft / hard * np.sin(hard * (phase - quarter))
        return np.sin(soft * (phase - quarter - there))

    for k, t in enumerate(sol.t):
        grad_y = np.zeros_like(sol.y)
        grad_y[0, k] = 1
        expected = by_complex_steps(lambda soft, hard, t=t: exact(t, soft, hard), 1.0, 2.0)
        assert np.allclose(sol.gradient(grad_y), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("method", ["auto", "Radau", "DOP853", "LSODA"])
@pytest.mark.parametrize(("fun", "exact", "args", "at"), [(infusion, level, (2.0, 0.7), 2.0),
                                                          (relay, relaxed, (0.4, 0.3), 0.4259)])  # fmt: skip
def test_states_right_after_a_jump(fun, exact, args, at, method):
    """Within the interval that begins there, changes are those after the jump, unlike at the node itself."""
    if method == "LSODA" and fun is relay:
        pytest.skip("its steps are too short at the threshold")
    times = at + np.array([1e-3, 0.01, 0.03, 0.1, 0.2, 0.3, 0.6, 1.0])
    sol = solve_ivp(fun, (0, 5), [0.0], method, t_eval=times, args=args, rtol=1e-9, atol=1e-11)
    found = np.stack([one[0] for one in sol.jacobian()])
    expected = np.transpose([by_complex_steps(lambda *own, t=t: exact(*own, end=t), *args) for t in times])
    assert np.allclose(found, expected, rtol=1e-7, atol=1e-9)
    forced = sol.tangent(lambda t, y, one, k: [-y[0]], t=times) if fun is infusion else None
    assert forced is None or np.allclose(forced, expected[1:], rtol=1e-7, atol=1e-9)
    if fun is relay:
        by_start = [by_complex_steps(lambda *own, t=t: relaxed(*own, end=t), *args, 0.0)[2] for t in times]
        assert np.allclose(sol.tangent(y0=[1.0], t=times), [by_start], rtol=1e-7, atol=1e-9)


def test_dry_friction_that_slips_throughout():
    """A belt drags a mass on a spring, never at its own speed: friction's sign is one, and its threshold is not met."""

    def fun(t, y, speed, k):
        return [y[1], -y[0] - k * np.sign(y[1] - speed)]

    found, by_start, by_tangents = derivatives(fun, (2.0, 0.3), (1.0, 0.0))
    assert found[0] == pytest.approx(0.0, abs=1e-12)
    assert found[1] == pytest.approx(1 - np.cos(5) + np.sin(5), rel=1e-7)
    assert np.allclose(by_start, by_tangents, rtol=1e-12)


TABLE = np.array([0.0, 1.3, 2.1, 3.4, 5.0])


@pytest.mark.parametrize("method", ["auto", "Radau", "LSODA"])
def test_tables_whose_times_and_values_are_parameters(method):
    values = np.array([0.3, 1.0, -1.0, 2.0, 0.5])

    def fun(t, y, times, values):
        return [np.interp(t, times, values)]

    found = derivatives(fun, (TABLE, values), method=method)[0]

    def area(*numbers):
        times, heights = np.split(np.array(numbers), 2)
        return np.sum((heights[1:] + heights[:-1]) / 2 * np.diff(times))

    expected = np.split(np.array(by_complex_steps(area, *TABLE, *values)), 2)
    inner = slice(1, -1)  # the span ends at the others, where the table is flat beyond
    assert np.allclose(found[0][inner], expected[0][inner], rtol=1e-8, atol=1e-9)
    assert np.allclose(found[1], expected[1], rtol=1e-8, atol=1e-9)


def test_doses_at_times_that_are_parameters():
    """Each lasts for a tenth; parameters are in a dict, with an array."""

    def fun(t, y, p):
        given = sum(np.where((t > at) & (t < at + 0.1), p["dose"], 0.0) for at in p["times"])
        return [given - p["k"] * y[0]]

    def exact(first, second, dose, k):
        last = sum(np.exp(-k * (5 - at - 0.1)) - np.exp(-k * (5 - at)) for at in (first, second))
        return dose / k * last

    found = derivatives(fun, ({"times": np.array([0.55, 2.2]), "dose": 3.0, "k": 0.4},))[0][0]
    expected = by_complex_steps(exact, 0.55, 2.2, 3.0, 0.4)
    assert np.allclose([*found["times"], found["dose"], found["k"]], expected, rtol=1e-8)


def test_members_of_a_batch_with_times_of_their_own():
    stop, k = np.array([1.0, 2.0, 2.0]), np.array([0.3, 0.5, 0.7])
    sol = solve_ivp(infusion, (0, 5), np.zeros((1, 3)), args=(stop, k), t_eval=[5.0], rtol=1e-9, atol=1e-11)
    found = sol.gradient(np.ones_like(sol.y))
    expected = np.array([by_complex_steps(level, *one) for one in zip(stop, k, strict=True)])
    assert np.allclose(found[0], expected[:, 0], rtol=1e-8)
    assert np.allclose(found[1], expected[:, 1], rtol=1e-8)


@pytest.mark.parametrize("method", ["auto", "Radau", "DOP853"])
def test_members_of_a_batch_with_thresholds_of_their_own(method):
    """Two cross theirs at one time; the last one does not come to its threshold."""
    at, k = np.array([0.4, 0.3, 0.5, 0.4, 3.0]), np.array([0.3, 0.2, 0.35, 0.3, 0.31])
    sol = solve_ivp(relay, (0, 5), np.zeros((1, 5)), method, args=(at, k), t_eval=[5.0], rtol=1e-9, atol=1e-11)
    ones = np.ones_like(sol.y)
    found, by_start = sol.gradient(ones), sol.adjoint(ones).y0
    expected = np.array([by_complex_steps(relaxed, *one, 0.0) for one in zip(at[:-1], k[:-1], strict=True)])
    assert np.allclose(found[0], [*expected[:, 0], 0.0], rtol=1e-8, atol=1e-12)
    assert np.allclose(found[1], [*expected[:, 1], by_complex_steps(level, 5.0, 0.31)[1]], rtol=1e-8)
    assert np.allclose(by_start[0], [*expected[:, 2], np.exp(-5 * 0.31)], rtol=1e-8)
    assert np.allclose(sol.tangent(y0=np.ones((1, 5)))[:, -1], by_start, rtol=1e-12)


def test_members_of_a_batch_with_too_many_thresholds_are_rejected(monkeypatch):
    monkeypatch.setattr(followed, "TOGETHER", 3)
    sol = solve_ivp(relay, (0, 5), np.zeros((1, 2)), args=(np.array([0.4, 0.3]), 0.3), rtol=1e-9, atol=1e-11)
    with pytest.raises(RuntimeError, match="members cross thresholds of `fun` at too many times"):
        sol.gradient(np.ones_like(sol.y))


def test_thresholds_of_complex_states_are_rejected():
    """The time of a crossing is a real function of the state: no matrix of complex numbers is its derivative."""

    def fun(t, y, at):
        return np.where(np.real(y) < at, 1.0, 0.2) + 0.3j * y

    sol = solve_ivp(fun, (0, 5), [0.0j], "Radau", args=(0.4,), rtol=1e-9, atol=1e-11)
    with pytest.raises(RuntimeError, match="its states are complex"):
        sol.gradient(np.ones_like(sol.y))


@pytest.mark.parametrize("method", ["auto", "Radau"])
def test_kinks_between_jumps(method):
    """A kink that is placed after the jumps would leave these beside their nodes."""

    def fun(t, y, at, k):
        return [y[1], -y[0] - np.where(y[0] > at, 0.7, 0.0) + k * np.maximum(y[1] - 0.1, 0.0) + 0.3 * np.sin(t)]

    def end(at, k):
        return solve_ivp(fun, (0, 6), [0.0, 1.0], args=(at, k), rtol=1e-12, atol=1e-13).y[:, -1].sum()

    found = derivatives(fun, (0.2, -0.3), (0.0, 1.0), (0.0, 6.0), method)[0]
    h = 1e-4
    expected = [(end(0.2 + h, -0.3) - end(0.2 - h, -0.3)) / (2 * h), (end(0.2, h - 0.3) - end(0.2, -0.3 - h)) / (2 * h)]
    assert np.allclose(found, expected, rtol=2e-6)


def test_stretches_one_by_one_are_those_at_once(monkeypatch):
    expected = derivatives(relay, (0.4, 0.3))

    def refused(*_):
        raise crossing.NoDerivativeError(0.0, "nothing")

    monkeypatch.setattr(between_crossings.BetweenCrossings, "_relocated", refused)
    for one, other in zip(derivatives(relay, (0.4, 0.3)), expected, strict=True):
        assert np.allclose(one, other, rtol=1e-9)


def test_backwards_in_time():
    def fun(t, y, at):
        return [np.where(y[0] > at, 2.0, 1.0) * y[0]]

    found, by_start, by_tangents = derivatives(fun, (0.5,), (1.0,), (0.0, -2.0), "Radau")
    exact = by_complex_steps(lambda at, y0: at * np.exp(-(2 - np.log(y0 / at) / 2)), 0.5, 1.0)
    assert found[0] == pytest.approx(exact[0], rel=1e-8)
    assert by_start[0] == pytest.approx(exact[1], rel=1e-8)
    assert by_tangents[0] == pytest.approx(exact[1], rel=1e-8)


def test_the_users_forcing_is_called_beside_a_crossing():
    """Its value at the threshold itself is that of one side, or the other."""
    sol = solve_ivp(relay, (0, 5), [0.0], "Radau", args=(0.4, 0.3), t_eval=[5.0], rtol=1e-9, atol=1e-11)
    by_k = by_complex_steps(relaxed, 0.4, 0.3)[1]
    assert sol.gradient(np.ones((1, 1)), forcing=lambda t, y, at, k: -y[0]) == pytest.approx(by_k, rel=1e-7)
    assert sol.tangent(lambda t, y, at, k: -y[0])[0, -1] == pytest.approx(by_k, rel=1e-7)


NONE = {
    "touches": (lambda t, y, a: [np.cos(t), np.where(y[0] > a, 1.0, 0.0)], (1.0,), "touches a threshold"),
    "thresholds at once": (
        lambda t, y, a, b: [1.0 + 0 * y[0], np.where(y[0] > a, 1.0, 0.0) * np.where(t > b, 1.0, 0.0)],
        (1.0, 1.0),
        "several thresholds",
    ),
    "times at once": (
        lambda t, y, a, b: [1.0 + 0 * y[0], np.where(t > a, 1.0, 0.0) * np.where(t > b, 1.0, 0.0)],
        (1.0, 1.0),
        "several jumps",
    ),
}


@pytest.mark.parametrize(("fun", "args", "says"), NONE.values(), ids=NONE)
def test_where_there_is_none_an_exception_says_why(fun, args, says):
    sol = solve_ivp(fun, (0, 3), [0.0, 0.0], args=args, rtol=1e-9, atol=1e-11)
    with pytest.raises(RuntimeError, match=says):
        sol.gradient(np.ones_like(sol.y))


def test_kinks_and_tables_of_the_state_move_nothing():
    nodes, values = np.linspace(-3, 9, 49), np.sin(np.linspace(-3, 9, 49))

    def fun(t, y, a):
        return [a * np.interp(y[0], nodes, values)]

    found = derivatives(fun, (1.2,), (0.1,), (0.0, 2.0))[0]
    ends = [
        solve_ivp(fun, (0, 2), [0.1], args=(1.2 + change,), rtol=1e-12, atol=1e-13).y[0, -1] for change in (1e-5, -1e-5)
    ]
    assert found[0] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6)


def test_lyapunov_exponents_contain_the_crossings():
    """All starts reach the threshold, and leave it at the same state: what remains is a shift of time."""
    sol = solve_ivp(relay, (0, 5), [0.1], "Radau", args=(0.4, 0.3), rtol=1e-9, atol=1e-11)
    growth = sol.tangent(y0=np.eye(1))[0, -1, 0]
    assert 5 * sol.lyapunov == pytest.approx(np.log(growth), rel=1e-9)


def test_initial_and_end_times_beside_jumps():
    """By the initial time: what the start would have changed until then; by the end time: the right-hand side."""

    def end(begin, last):
        options = {"args": (2.0, 0.7), "t_eval": [last], "rtol": 1e-10, "atol": 1e-12}
        return solve_ivp(infusion, (begin, last), [0.3], "Radau", **options)

    sol = end(0.5, 5.0)
    by_begin = -sol.jacobian("y0")[0, -1, 0] * infusion(0.5, [0.3], 2.0, 0.7)[0]
    by_end = infusion(5.0, sol.y[:, -1], 2.0, 0.7)[0]
    h = 1e-4
    assert by_begin == pytest.approx((end(0.5 + h, 5.0).y[0, -1] - end(0.5 - h, 5.0).y[0, -1]) / (2 * h), rel=1e-6)
    assert by_end == pytest.approx((end(0.5, 5.0 + h).y[0, -1] - end(0.5, 5.0 - h).y[0, -1]) / (2 * h), rel=1e-6)


def test_too_many_thresholds_are_warned_of(monkeypatch):
    monkeypatch.setattr(jumping, "LARGEST", 0)
    sol = solve_ivp(relay, (0, 5), [0.0], "Radau", args=(0.4, 0.3), t_eval=[5.0], rtol=1e-9, atol=1e-11)
    with pytest.warns(StateJumpWarning):
        sol.adjoint(np.ones((1, 1)))


ACTIVATIONS = {
    "where": lambda inner: np.where(inner > 0, inner, 0.1 * inner),
    "maximum": lambda inner: np.maximum(inner, 0),
    "minimum": lambda inner: np.minimum(inner, 0.2),
    "absolute": np.abs,
    "clip": lambda inner: np.clip(inner, -0.3, 0.2),
}


@pytest.mark.parametrize("method", ["auto", "Radau", "DOP853"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_network_with_kinks(name, method, rng):
    """The solution has nodes at them: the discrete equations are otherwise differentiated across kinks."""
    W, y0, direction = rng.standard_normal((4, 4)) / 2, rng.standard_normal(4), rng.standard_normal((4, 4))

    def fun(t, y, W):
        return ACTIVATIONS[name](W @ y) - y

    found, by_start, by_tangents = derivatives(fun, (W,), y0, (0.0, 3.0), method)
    ends = [
        solve_ivp(fun, (0, 3), y0, args=(W + change * direction,), rtol=1e-12, atol=1e-13).y[:, -1].sum()
        for change in (1e-5, -1e-5)
    ]
    assert np.sum(found[0] * direction) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-7)
    assert np.allclose(by_start, by_tangents, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("method", ["auto", "Radau"])
def test_more_kinks_than_a_solution_has_steps_in_between(method):
    """A spring that is soft on one side: |y| is as exact as np.where, over hundreds of half turns."""

    def fun(t, y, a):
        return [y[1], -y[0] - a * np.abs(y[0])]

    def exact(a, end=400.0):
        soft, hard = np.sqrt(1 - a), np.sqrt(1 + a)
        phase = (end / (np.pi / soft + np.pi / hard)).real
        left = end - int(phase) * (np.pi / soft + np.pi / hard)
        if left.real < (np.pi / hard).real:
            return np.sin(hard * left) / hard
        return -np.sin(soft * (left - np.pi / hard)) / soft

    sol = solve_ivp(fun, (0, 400), [0.0, 1.0], method, args=(0.3,), t_eval=[400.0], rtol=1e-10, atol=1e-12)
    assert sol.gradient([[1.0], [0.0]])[0] == pytest.approx(by_complex_steps(exact, 0.3)[0], rel=1e-7)


def test_a_kink_that_is_met_and_not_left():
    """The start is at the kink, and rounding decides on which side the solution is: it has no nodes there."""

    def fun(t, y, a):
        return [np.maximum(y[1], 0.0) + a * np.cos(t), -y[1]]

    found = derivatives(fun, (1.5,), (0.0, 0.0))[0]
    assert found[0] == pytest.approx(np.sin(5.0), rel=1e-8)


def limited(k, most, end=5.0):
    """Of `y' = -min(k y, most)` from 3."""
    time = (3 - most / k) / most
    return most / k * np.exp(-k * (end - time))


def folded(c, k, end=5.0):
    """Of `y' = c - k |y|` from -1."""
    time = np.log(c / k / (c / k - 1)) / k
    return c / k * (1 - np.exp(-k * (end - time)))


KINKED = {
    "minimum": (lambda t, y, k, most: -np.minimum(k * y, most), limited, (0.7, 0.9), 3.0),
    "clip": (lambda t, y, k, most: np.clip(-k * y, -most, most), limited, (0.7, 0.9), 3.0),
    "fmax": (lambda t, y, k, most: np.fmax(-k * y, -most), limited, (0.7, 0.9), 3.0),
    "abs": (lambda t, y, c, k: c - k * np.abs(y), folded, (1.0, 0.5), -1.0),
}


@pytest.mark.parametrize("method", ["auto", "Radau", "DOP853", pytest.param("LSODA", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", KINKED)
def test_kinks_of_limits_and_sizes_are_nodes(name, method):
    """Derivatives of discrete equations across a kink, or with a stage on it, are wrong by a thousandth."""
    fun, exact, args, start = KINKED[name]
    sol = solve_ivp(fun, (0, 5), [start], method, t_eval=[5.0], args=args, rtol=1e-9, atol=1e-11)
    expected = by_complex_steps(exact, *args)
    for _ in range(2):  # by the mesh, and by variational equations
        assert np.allclose(sol.gradient(np.ones((1, 1))), expected, rtol=1e-7)
        assert np.allclose([float(each[0, -1]) for each in sol.jacobian()], expected, rtol=1e-7)


@pytest.mark.parametrize("compiled", [True, False])
def test_kinks_of_two_guards_at_one_time(compiled):
    """Both maxima, and both minima, change where two components meet; an interval there may be as good as empty."""

    def fun(t, y, a):
        return [-a * np.max(y), -np.min(y), np.ptp(y) - y[2]]

    times = np.linspace(0, 3, 7)[1:]

    def solved(a, rtol, method="auto"):
        return solve_ivp(
            fun, (0, 3), [1.0, 0.4, 0.7], method, t_eval=times, args=(a,), rtol=rtol, atol=rtol / 100, compile=True
        )

    sol = solved(1.0, 1e-9, "auto" if compiled else "Radau")
    expected = solved(1.0, 1e-9).jacobian("a")  # by variational equations
    by_start = sol.adjoint(np.ones_like(sol.y)).y0
    assert sol.gradient(np.ones_like(sol.y), "a") == pytest.approx(expected.sum(), rel=1e-7)
    assert by_start == pytest.approx(sol.jacobian("y0").sum(axis=(0, 1)), rel=1e-7)


def test_a_kink_that_is_touched_has_the_derivative_of_one_side():
    """The solution comes to rest at it."""
    options = {"args": (1.0,), "rtol": 1e-9, "atol": 1e-11}
    sol = solve_ivp(lambda t, y, k: -k * np.maximum(y, 0.0), (0, 60), [1.0], "Radau", **options)
    assert sol.gradient(np.eye(1, sol.t.size, 1)) == pytest.approx(-sol.t[1] * np.exp(-sol.t[1]), rel=1e-6)


def slowed(t, y, k):
    return [np.where(y[0] < 0.5, 1.0, 0.2) - k * np.maximum(y[0] - 0.5, 0.0)]


def springy(t, y, k):
    return [y[1], np.where(y[0] < 0, -1.0, -0.5) - k * np.maximum(y[0], 0.0)]


def slowed_at(end, k):
    return 0.5 + 0.2 / k * (1 - np.exp(-k * (end - 0.5)))


def springy_at(end, k):
    """Thrown up from -1 with the speed 2, the state passes the spring, and comes back as fast as it came."""
    rate = np.sqrt(k)
    back = end - (2 - np.sqrt(2)) - 2 / rate * np.arctan(np.sqrt(2) * rate / 0.5)
    return -np.sqrt(2) * back - back**2 / 2


@pytest.mark.parametrize("compiled", [None, True])
@pytest.mark.parametrize("method", ["auto", "Radau", "DOP853", "Gauss"])
@pytest.mark.parametrize(("fun", "y0", "exact"), [(slowed, [0.0], slowed_at), (springy, [-1.0, 2.0], springy_at)])
def test_jumps_and_kinks_at_one_threshold(fun, y0, exact, method, compiled):
    """Kinks were not fixed where the solution was solved up to the threshold: a stage there took any of two slopes."""
    options = {"args": (0.7,), "t_eval": [4.5], "rtol": 1e-9, "atol": 1e-11, "compile": compiled}
    sol = solve_ivp(fun, (0, 4.5), y0, method, **options)
    assert sol.y[0, -1] == pytest.approx(exact(4.5, 0.7), rel=1e-7)
    expected = np.imag(exact(4.5, 0.7 + 1e-30j)) / 1e-30
    assert sol.jacobian("k")[0, -1] == pytest.approx(expected, rel=1e-7)
    assert sol.gradient(np.eye(len(y0), 1), "k") == pytest.approx(expected, rel=1e-7)


def crest(t, y, a):
    return [y[1], -y[0], np.where(y[0] > a, 1.0, 0.0)]


@pytest.mark.parametrize("excess", [1e-2, 1e-4, 1e-6, -1e-6])
def test_a_threshold_that_is_hardly_passed(excess):
    """More than the error of the solution: both crossings count, or none."""
    options = {"args": (1 - excess,), "rtol": 1e-10, "atol": 1e-12, "t_eval": [3.0], "compile": True}
    sol = solve_ivp(crest, (0, 3), [0.0, 1.0, 0.0], **options)
    expected = -2 / np.sqrt(1 - (1 - excess) ** 2) if excess > 0 else 0.0
    assert sol.gradient(np.eye(3, 1, -2))[0] == pytest.approx(expected, rel=1e-3, abs=1e-9)


def test_a_threshold_that_is_passed_by_the_error_of_the_solution_is_touched():
    sol = solve_ivp(crest, (0, 3), [0.0, 1.0, 0.0], args=(1 - 1e-9,), rtol=1e-8, atol=1e-10, t_eval=[3.0], compile=True)
    with pytest.raises(RuntimeError, match="touches a threshold"):
        sol.gradient(np.eye(3, 1, -2))


@pytest.mark.parametrize("is_missed", [False, True])
def test_a_solution_that_misses_a_threshold_is_warned_of(is_missed, monkeypatch):
    """No stage is where a fast forcing comes over the level, unless it is looked for; derivatives contain it."""

    def fun(t, y, a):
        return [y[1], -y[0], np.where(y[0] + 0.3 * np.sin(50 * t) > a, 1.0, 0.0)]

    options = {"rtol": 1e-9, "atol": 1e-11, "t_eval": [3.0]}
    found = solve_ivp(fun, (0, 3), [0.0, 1.0, 0.0], "Radau", args=(1.2895072,), **options)
    assert found.y[2] == pytest.approx([0.0183985], abs=1e-6)  # a wider window is not missed
    assert found.gradient(np.eye(3, 1, -2))[0] == pytest.approx(-1.18665, rel=1e-4)
    if is_missed:
        monkeypatch.setattr(on_meshes, "missed", lambda rhs, solution, *others: Missed(solution.t[:0]))
    sol = solve_ivp(fun, (0, 3), [0.0, 1.0, 0.0], "Radau", args=(1.2994972172475,), **options)
    told = pytest.warns(StateJumpWarning, match="seems to miss a threshold") if is_missed else nullcontext()
    with told:
        gradient = sol.gradient(np.eye(3, 1, -2))
    assert gradient[0] == pytest.approx(-16.3195, rel=1e-3)


@pytest.mark.parametrize("method", ["auto", "Radau"])
def test_a_threshold_with_a_fast_forcing(method):
    """No state shows how fast it is passed."""

    def fun(t, y, a):
        return [y[1], -y[0], np.where(y[0] + 0.3 * np.sin(50 * t) > a, 1.0, 0.0)]

    options = {"args": (0.5,), "rtol": 1e-9, "atol": 1e-11, "t_eval": [2.0], "compile": True}
    sol = solve_ivp(fun, (0, 2), [1.0, 0.0, 0.0], method, **options)
    t = np.linspace(0, 2, 20_001)
    values = np.cos(t) + 0.3 * np.sin(50 * t) - 0.5
    places = np.nonzero(np.diff(values > 0))[0]
    zeros = t[places] - values[places] * 1e-4 / (values[places + 1] - values[places])
    expected = -np.sum(1 / np.abs(-np.sin(zeros) + 15 * np.cos(50 * zeros)))
    assert places.size > 10
    assert sol.gradient(np.eye(3, 1, -2))[0] == pytest.approx(expected, rel=1e-4)


def test_noise_beside_a_crossing_is_no_touch():
    """Crowded steps at a threshold leave extrema beside it: they are neither touches nor crossings."""
    modes = np.array([1.0, 1.0, 1.0, 0.0, 0.0])
    assert touches.is_beside_crossing(modes, np.array([True, False, False, False, True]), 1)
    assert not touches.is_beside_crossing(np.ones(5), np.array([True, False, False, False, True]), 1)
    assert not touches.is_beside_crossing(modes, np.array([False, False, False, False, True]), 1)


MARCHED = {
    "relay": (lambda t, y, k, c: [y[1], -k * np.sign(y[0] - 0.1 * c) - 0.05 * y[1] * c], 50.0, [1.0, 0.0], (1.0, 0.7)),
    "dead zone": (
        lambda t, y, f, a: [
            y[1], -0.2 * y[1] - np.where(y[0] > a, f, np.where(y[0] < -a, -f, 0.0)) + 0.4 * np.sin(t),
        ],
        30.0, [2.0, 0.0], (1.5, 0.3),
    ),
    "predators": (
        lambda t, y, a, b: [y[0] * (1 - y[1]), y[1] * np.where(y[0] > b, y[0] - 1.0, a * (y[0] - 1.0) - 0.1)],
        30.0, [2.0, 1.0], (0.5, 1.2),
    ),
}  # fmt: skip


@pytest.mark.parametrize("rtol", [1e-4, 1e-8])
@pytest.mark.parametrize("name", MARCHED)
def test_nodes_at_the_crossings_that_the_march_has_located(name, rtol, monkeypatch):
    """The steps of a compiled solve end at its crossings: nothing is solved by another method to find them."""
    monkeypatch.setattr("parscan._ivp.compiled.marched.retrace", None)
    fun, end, y0, args = MARCHED[name]

    def last(rtol, *args):
        return solve_ivp(fun, (0, end), y0, t_eval=[end], args=args, rtol=rtol, atol=rtol * 1e-2, compile=True)

    found = last(rtol, *args).gradient([[1.0], [0.5]])
    for k, value in enumerate(args):
        h, losses = 1e-4 * value, []
        for step in (-h, -h / 2, h / 2, h):
            y = last(1e-13, *args[:k], value + step, *args[k + 1 :]).y
            losses.append(float(y[0, 0] + 0.5 * y[1, 0]))
        difference = (8 * (losses[2] - losses[1]) - (losses[3] - losses[0])) / (6 * h)
        assert found[k] == pytest.approx(difference, rel=1e-7)


def test_nodes_are_exactly_at_kinks():
    """
    A node off a kink by ε makes the derivative wrong by ε times the change of the Jacobian, here 10 000.

    The flight and the contact, a half sine, are known: the ball returns to its height after each of them.
    """
    k, g, height = 1e4, 9.81, 1.0
    sol = solve_ivp(
        lambda t, y: [y[1], -g + k * np.maximum(-y[0], 0.0)], (0, 12), [height, 0.0], rtol=1e-8, atol=1e-10,
        compile=True,
    )  # fmt: skip
    w = np.sqrt(k)

    def period(height):
        speed = np.sqrt(2 * g * height)
        return 2 * speed / g + 2 * (np.pi - np.arctan(w * speed / g)) / w

    bounces = int(12 / period(height) + 0.5)
    slope = np.imag(period(height + 1e-30j)) / 1e-30
    rest = 12 - bounces * period(height)
    assert abs(rest) < period(height) / 2 - 0.1
    found = sol.tangent(y0=np.array([1.0, 0.0]))[:, -1]
    assert found[0] == pytest.approx(1 + g * rest * bounces * slope, rel=1e-9)
    assert found[1] == pytest.approx(g * bounces * slope, rel=1e-9)


def test_a_threshold_crossed_hundreds_of_times():
    """Each crossing moves those after it; errors of earlier ones are not taken for undetermined times."""

    def exact(a, b):
        """By the phase: up and down above the threshold, then below it."""
        speed = np.sqrt(2 * a)
        above, below = 2 * speed / a, 2 * speed / b
        phase = end + above / 2 - periods * (above + below)
        return speed * phase - a * phase**2 / 2 if is_above else -speed * (phase - above) + b * (phase - above) ** 2 / 2

    end, a, b, h = 800.0, 1.0, 1.3, 1e-30
    above, below = 2 * np.sqrt(2 * a) / a, 2 * np.sqrt(2 * a) / b
    periods = (end + above / 2) // (above + below)
    is_above = (end + above / 2) % (above + below) < above
    bounces = lambda t, y, a, b: [y[1], np.where(y[0] > 0, -a, b)]  # noqa: E731
    sol = solve_ivp(bounces, (0, end), [1.0, 0.0], args=(a, b), t_eval=[end], rtol=1e-10, atol=1e-12, compile=True)
    assert sol.y[0, -1] == pytest.approx(exact(a, b), rel=1e-7)
    expected = exact(a + h * 1j, b).imag / h, exact(a, b + h * 1j).imag / h
    np.testing.assert_allclose(sol.gradient([[1.0], [0.0]]), expected, rtol=1e-6)
