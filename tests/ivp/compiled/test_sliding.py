"""Compiled solves that stay on a switch for a while: the slopes of Filippov lead along it."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp as scipy_ivp

from parscan import solve_ivp
from parscan._ivp.compiled.march import March, Output
from parscan._ivp.compiled.recorded import Recorded, record_right_hand_side
from parscan._ivp.compiled.solvers import METHODS
from parscan._ivp.core.problem import Problem

RTOLS = [1e-4, 1e-6, 1e-8, 1e-10]


def dosing(t, y):
    return [-0.3 * y[0] + (2.0 if y[0] < 1.0 else 0.0)]


def along(t, y):
    """Down from above, up from below; to the right, faster below."""
    return [np.where(y[1] > 0, 1.0, 3.0), np.where(y[1] > 0, -1.0, 2.0)]


def spiral(t, y):
    """Towards a switch by ever shorter turns, then along it."""
    return [y[1], -np.sign(y[0] + 0.1 * y[1])]


def moving(t, y):
    """A value that follows a sine, which it catches up with."""
    return [np.where(y[0] > np.sin(t), -2.0, 2.0)]


def released(t, y):
    """It stays at zero until the force is larger than the friction, and comes back."""
    return [2 * np.sin(t) - np.sign(y[0])]


def friction(t, y):
    """Dry friction: the mass sticks and slips."""
    return [y[1], -y[0] - 0.5 * np.sign(y[1]) + 0.9 * np.sin(0.7 * t)]


def friction_reference(end):
    """By SciPy: slips to both sides, and rests, each up to an event."""
    force = lambda t, y: -y[0] + 0.9 * np.sin(0.7 * t)  # noqa: E731
    t, y, way = 0.0, np.array([3.0, 0.0]), 0.0
    while t < end:
        if abs(force(t, y)) > 0.5 + 1e-12 and not way:
            way = np.sign(force(t, y))
        slopes = (lambda t, y, way=way: [y[1], force(t, y) - 0.5 * way]) if way else lambda t, y: [0.0, 0.0]
        stops = (lambda t, y: y[1]) if way else lambda t, y: 0.5 - abs(force(t, y))
        stops.terminal, stops.direction = True, -way if way else -1.0
        found = scipy_ivp(slopes, (t, end), y, "DOP853", rtol=1e-13, atol=1e-14, events=stops, max_step=0.01)
        t, y = found.t[-1], found.y[:, -1]
        if found.status == 1:
            y[1] = 0.0
            way = np.sign(force(t, y)) if not way or abs(force(t, y)) > 0.5 else 0.0
    return y


def pulled(t, y):
    """A force that grows: what reaches zero shortly before it is as large as the friction rests for a moment."""
    return [-t - np.sign(y[0])]


def solve(fun, span, y0, rtol=1e-8, **options):
    sol = solve_ivp(fun, span, y0, rtol=rtol, atol=rtol, compile=True, **options)
    assert sol.success
    assert sol.compiled
    return sol


def test_it_is_told():
    sol = solve(dosing, (0.0, 20.0), [2.0])
    assert f"From t = {np.log(2) / 0.3:.6f}"[:-2] in sol.message
    assert "Filippov" in sol.message
    assert "Filippov" not in solve(dosing, (0.0, 1.0), [2.0]).message


@pytest.mark.parametrize("rtol", RTOLS)
@pytest.mark.parametrize(
    ("fun", "end", "y0", "expected"),
    [
        (dosing, 20.0, [2.0], [1.0]),
        (along, 4.0, [0.0, 1.0], [1.0 + 3 * 5 / 3, 0.0]),
        (along, 4.0, [0.0, -1.0], [1.5 + 3.5 * 5 / 3, 0.0]),
        (spiral, 14.0, [1.0, 0.0], [0.0, 0.0]),
        (moving, 5.0, [1.0], [np.sin(5.0)]),
    ],
)
def test_ends(fun, end, y0, expected, rtol):
    for _ in range(2):
        sol = solve(fun, (0.0, end), y0, rtol)
        np.testing.assert_allclose(sol.y[:, -1], expected, rtol=10 * rtol, atol=10 * rtol)
        assert sol.mesh.size < 200


@pytest.mark.parametrize("rtol", RTOLS)
def test_friction(rtol):
    sol = solve(friction, (0.0, 30.0), [3.0, 0.0], rtol)
    np.testing.assert_allclose(sol.y[:, -1], friction_reference(30.0), rtol=10 * rtol, atol=10 * rtol)
    assert sol.message.count("Filippov") == 1


@pytest.mark.parametrize("rtol", [1e-6, 1e-8, 1e-10])
@pytest.mark.parametrize("rest", [1e-1, 1e-2, 1e-3])
def test_a_rest_that_is_briefer_than_a_step(rest, rtol):
    """Without it the value would be larger by half the square of the rest, at all tolerances."""
    arrival = 1.0 - rest
    sol = solve(pulled, (0.0, 3.0), [arrival + arrival**2 / 2], rtol)
    assert sol.y[0, -1] == pytest.approx(-2.0, rel=10 * rtol)


def released_exact(t):
    """At zero up to arcsin(1/2), then up and down to zero again."""
    begin = np.pi / 6
    value = 2 * np.cos(begin) - 2 * np.cos(t) - (t - begin)
    return np.where(t < begin, 0.0, value)


@pytest.mark.parametrize("options", [{"dense_output": True}, {"t_eval": np.linspace(0, 2.0, 201)}])
def test_between_steps_and_from_the_switch_on(options):
    """It begins on the switch, and leaves it."""
    t = np.linspace(0, 2.0, 201)
    sol = solve(released, (0.0, 2.0), [1e-300], 1e-9, **options)
    np.testing.assert_allclose((sol.sol(t) if sol.sol else sol.y)[0], released_exact(t), atol=1e-8)


def test_backwards():
    """Time that runs backwards, towards a switch that pushes away."""

    def fun(t, y):
        return [np.where(y[0] > 0, 1.0, -2.0)]

    sol = solve(fun, (0.0, -5.0), [1.0])
    np.testing.assert_allclose(sol.y[0, -1], 0.0, atol=1e-8)
    assert sol.mesh.size < 100


def test_events_on_the_switch():
    def passes(t, y):
        return y[0] - 2.0

    def ends(t, y):
        return y[0] - 4.0

    ends.terminal = True
    sol = solve(along, (0.0, 4.0), [0.0, 1.0], 1e-10, events=[passes, ends])
    np.testing.assert_allclose([*sol.t_events[0], *sol.t_events[1]], [1 + 0.6, 1 + 1.8], rtol=1e-9)
    assert sol.status == 1
    np.testing.assert_allclose(sol.y[:, -1], [4.0, 0.0], atol=1e-8)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "Taylor"])  # which has no modes
@pytest.mark.parametrize("is_dense", [False, True])
def test_all_methods(name, is_dense):
    problem = Problem(along, None, (), (0.0, 4.0), np.array([0.0, 1.0]), 1e-8, 1e-8, np.array(1e-8), np.inf)
    march = March(problem, record_right_hand_side(problem), Output(is_dense), 0.0, None)
    march.method = METHODS.index(name)
    course = march.run(1.0)
    assert not course.failed
    np.testing.assert_allclose(course.last, [6.0, 0.0], atol=1e-8)
    np.testing.assert_allclose(course.slid, [1.0], rtol=1e-9)


def test_what_cannot_be_told_is_solved_as_before(monkeypatch):
    """On two switches at a time, there is no mean of two slopes."""
    left, before = [], Recorded.leave_modes
    monkeypatch.setattr(Recorded, "leave_modes", lambda self: (left.append(self), before(self))[1])

    def corner(t, y):
        return [-np.where(y[0] > 0, 1.0, -1.0), -np.where(y[1] > 0, 2.0, -2.0)]

    sol = solve_ivp(corner, (0.0, 0.6), [0.5, 0.8], rtol=1e-4, atol=1e-4, compile=True)
    assert left
    np.testing.assert_allclose(sol.y[:, -1], [0.0, 0.0], atol=1e-2)


def test_a_function_that_differs_on_the_switch_is_found_out():
    """The values of `fun` are compared on the switch, too."""
    calls = []

    def fun(t, y):
        calls.append(y)
        return dosing(t, y)

    with pytest.raises(TypeError, match="cannot be compiled"):
        solve(fun, (0.0, 20.0), [2.0])


SLIDES = {
    "relay": (lambda t, y, a, b: np.stack([np.where(y[0] < b, a, -1.0), y[0] - y[1]]), (1.3, 0.7)),
    "along a line": (lambda t, y, a, b: np.stack([y[1], np.where(y[0] + y[1] > b, -2 * a, 2 * a)]), (1.0, 0.5)),
    "stick": (lambda t, y, a, b: np.stack([y[1], -y[0] - a * np.sign(y[1] - b)]), (1.5, 0.3)),
}


@pytest.mark.parametrize("name", SLIDES)
def test_solutions_that_slide_have_no_derivatives(name):
    """They stay on a threshold; Jacobians of either side say nothing of that. Repeated solves know it, too."""
    fun, args = SLIDES[name]
    for repeat in range(3):
        sol = solve_ivp(
            fun, (0, 3), [0.0, 0.4], t_eval=[1.0, 3.0], args=(args[0] + 0.01 * repeat, args[1]), rtol=1e-6, compile=True
        )
        assert "Filippov" in sol.message
        g = np.ones_like(sol.y)
        for derivative in (
            lambda sol=sol, g=g: sol.gradient(g),
            lambda sol=sol, g=g: sol.gradient(g, "b"),
            lambda sol=sol, g=g: sol.adjoint(g),
            lambda sol=sol: sol.jacobian(),
            lambda sol=sol: sol.jacobian("y0"),
            lambda sol=sol: sol.tangent(y0=np.eye(2)),
            lambda sol=sol: sol.tangent(lambda t, y, a, b: y),
            lambda sol=sol: sol.lyapunov,
        ):
            with pytest.raises(RuntimeError, match="stays on a threshold of `fun` and slides along it"):
                derivative()
    before = solve_ivp(fun, (0, 0.01), [0.0, 0.4], args=args, rtol=1e-6)
    assert np.isfinite(before.gradient(np.ones_like(before.y), "b"))


BATCHES = {
    "relay": (lambda t, y, a: [np.where(y[0] < 0.7, a, -1.0), y[0] - y[1]], [[0.0, -9.0, 0.2], [0.4, 0.4, 0.4]], 1.3),
    "stick": (lambda t, y, a: [y[1], -y[0] - a * np.sign(y[1] - 0.3)], [[0.0, 30.0, 0.5], [0.4, 0.4, 0.4]], 1.5),
    "dosing": (lambda t, y, a: [-0.3 * y[0] + np.where(y[0] < a, 2.0, 0.0)], [[2.0, 9.0, 1.5]], 1.0),
}
STAYS = "the solution of members? 0.* of the batch.* stays on a threshold of `fun` and slides along it"


def derivatives_of(sol):
    """Functions that each find one of the derivatives of a batch."""
    g = np.ones_like(sol.y)
    return (
        lambda: sol.gradient(g),
        lambda: sol.adjoint(g),
        sol.jacobian,
        lambda: sol.tangent(y0=g[:, 0, :]),
        lambda: sol.tangent(lambda t, y, a: y),
        lambda: sol.lyapunov,
    )


@pytest.fixture
def _no_marches_in_vain(monkeypatch):
    """Steps of all members together would be as short as the tolerances."""

    def refuse(*args, **options):
        raise AssertionError

    monkeypatch.setattr("parscan._ivp.compiled.ensemble.solve_ensemble", refuse)


@pytest.mark.usefixtures("_no_marches_in_vain")
@pytest.mark.parametrize(("name", "rtol"), [("relay", 1e-2), ("dosing", 1e-2), ("dosing", 1e-6), ("stick", 1e-6)])
def test_batches_of_which_some_members_slide_have_no_derivatives(name, rtol):
    """They are named, those that pass switches are not; with loose tolerances, all members are solved in lanes."""
    fun, y0, a = BATCHES[name]
    for repeat in range(3):
        sol = solve(fun, (0, 3), np.asarray(y0), rtol, t_eval=[1.0, 3.0], args=(a + 0.01 * repeat,))
        for derivative in derivatives_of(sol):
            with pytest.raises(RuntimeError, match=STAYS) as raised:
                derivative()
            assert "1" not in str(raised.value).split("member")[1].split("of the batch")[0]


def test_members_that_slide_are_told_of():
    fun, y0, a = BATCHES["relay"]
    sol = solve(fun, (0, 3), np.asarray(y0)[:, None, :], 1e-6, args=(a,))
    assert "the solution of members (0, 0), (0, 2) of the batch" in sol.message
    assert "Filippov" in sol.message
    assert "Filippov" not in solve(fun, (0, 0.01), np.asarray(y0), 1e-6, args=(a,)).message


def test_batches_that_only_pass_thresholds_have_derivatives():
    """Members are looked at alone first; they do not slide."""

    def fun(t, y, a):
        return [np.where(y[0] < 1.0, a, 2.0)]

    y0 = np.array([[0.0, 0.5, 0.2]])
    sol = solve(fun, (0, 3), y0, t_eval=[3.0], args=(1.3,))
    found = sol.gradient(np.ones_like(sol.y), "a")
    # y = 1 + 2 (3 - τ), τ = (1 - y0) / a
    np.testing.assert_allclose(found, np.sum(2 * (1 - y0) / 1.3**2), rtol=1e-7)
