"""Jumps that the user knows, by `jumps=`: switched linear systems against exponentials, by every method."""

from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ode_methods import ON_ANY_MESH, ON_MESH
from ode_problems import pendulum
from scipy.integrate import RK45
from scipy.linalg import expm

from parscan import solve_ivp
from parscan._ivp.mesh.march import Record
from parscan._ivp.result.hints import of_jumps

pytestmark = pytest.mark.roads

METHODS = (*ON_MESH, "auto", "RK23", "RK45", "BDF", "LSODA")

LOOSE = {"RK23": 1e-5, "RK4": 1e-6, "DEER": 1e-6, "BDF": 1e-6}
"""Tolerances that methods of low order are tested with; the others get 1e-9."""


@dataclass(frozen=True)
class Switched:
    """`y' = A[k] y + b[k]`, with `k = mode(t)` constant between `jumps`."""

    A: np.ndarray
    b: np.ndarray
    mode: object
    jumps: np.ndarray
    span: tuple
    y0: np.ndarray

    def __call__(self, t, y):
        k = self.mode(t)
        A, b = np.moveaxis(self.A[k], (-2, -1), (0, 1)), np.moveaxis(self.b[k], -1, 0)
        return [sum(A[i, j] * y[j] for j in range(len(y))) + b[i] for i in range(len(y))]

    def exact(self, times):
        """States `(n, m)` at ascending or descending times, by exponentials from jump to jump."""
        n = self.y0.size
        direction = np.sign(self.span[1] - self.span[0])
        marks = np.unique(np.concatenate([[self.span[0]], self.jumps, times]))[:: int(direction)]
        marks = marks[direction * marks >= direction * self.span[0]]
        k = self.mode((marks[:-1] + marks[1:]) / 2)
        whole = np.zeros((len(k), n + 1, n + 1))
        whole[:, :n, :n], whole[:, :n, n] = self.A[k], self.b[k]
        y, found = np.append(self.y0, 1.0), {marks[0]: self.y0}
        for end, matrix in zip(marks[1:], expm(whole * np.diff(marks)[:, None, None]), strict=True):
            y = matrix @ y
            found[end] = y[:n]
        return np.stack([found[t] for t in np.asarray(times).tolist()], axis=1)


def periodic(period, share, offset=0.0):
    """Mode 1 for a share of every period, 0 for the rest."""
    return lambda t: np.asarray(np.mod(t - offset, period) < share * period, dtype=int)


def edges(period, share, span, offset=0.0):
    """Times at which that changes."""
    count = np.arange(np.floor((min(span) - offset) / period), np.ceil((max(span) - offset) / period) + 1)
    return np.concatenate([offset + period * count, offset + period * count + share * period])


LEVELS = np.random.default_rng(3).normal(size=40)


def held(t):
    """Index into a table of values that are each held for a quarter of a unit of time."""
    return np.clip(np.floor(t * 4).astype(int), 0, 39)


def switched_circuit():
    """A boost converter: current and voltage, with the switch closed and open."""
    A = np.array([[[0.0, 0.0], [0.0, -0.5]], [[0.0, -1.0], [1.0, -0.5]]])
    b = np.array([[1.0, 0.0]] * 2)
    return Switched(A, b, periodic(1.0, 0.4), edges(1.0, 0.4, (0, 12)), (0.0, 12.0), np.zeros(2))


PROBLEMS = {
    "doses": Switched(
        np.full((2, 1, 1), -0.3), np.array([[0.0], [200.0]]), periodic(12, 1 / 24), edges(12, 1 / 24, (0, 48)),
        (0.0, 48.0), np.zeros(1),
    ),
    "pulse width": Switched(
        np.full((2, 1, 1), -4.0), np.array([[0.0], [24.0]]), periodic(0.3, 0.35), edges(0.3, 0.35, (0, 9)),
        (0.0, 9.0), np.zeros(1),
    ),
    "square wave": Switched(
        np.array([[[0.0, 1.0], [-1.0, -0.1]]] * 2), np.array([[0.0, -1.0], [0.0, 1.0]]), periodic(2, 0.5),
        edges(2, 0.5, (0, 20)), (0.0, 20.0), np.array([1.0, 0.0]),
    ),
    "circuit": switched_circuit(),
    "held": Switched(
        np.full((40, 1, 1), -1.0), LEVELS[:, None], held, np.arange(41) / 4, (0.0, 10.0), np.ones(1),
    ),
    "backwards": Switched(
        np.full((2, 1, 1), 0.3), np.array([[0.0], [-2.0]]), periodic(1.0, 0.1), edges(1.0, 0.1, (-10, 0)),
        (0.0, -10.0), np.ones(1),
    ),
    "since 1970": Switched(
        np.full((2, 1, 1), -0.3), np.array([[0.0], [2.0]]), periodic(0.7, 0.5, 1.7e9),
        edges(0.7, 0.5, (1.7e9, 1.7e9 + 10), 1.7e9), (1.7e9, 1.7e9 + 10), np.ones(1),
    ),
}  # fmt: skip


def errors(problem, sol, rtol):
    """Errors in units of the tolerance of the largest value."""
    exact = problem.exact(sol.t)
    return np.abs(sol.y - exact).max() / (rtol * np.abs(exact).max())


def inner(problem):
    """Jumps within the span."""
    low, high = sorted(problem.span)
    return np.unique(problem.jumps[(problem.jumps > low) & (problem.jumps < high)])


def solved(problem, method="Radau", t_eval=None, rtol=1e-9, **options):
    return solve_ivp(
        problem, problem.span, problem.y0, method, t_eval, rtol=rtol, atol=rtol, **{"jumps": problem.jumps, **options}
    )


@pytest.mark.slow
@ON_ANY_MESH  # between the output times, DEER's cubics are worse than 1e-6
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", PROBLEMS)
def test_known_jumps_cost_no_accuracy(method, name):
    problem = PROBLEMS[name]
    rtol = max(LOOSE.get(method, 1e-9), 1e-7 if name == "since 1970" else 0.0)
    times = np.linspace(*problem.span, 49)
    sol = solved(problem, method, times, rtol, dense_output=True)
    assert sol.success
    assert np.array_equal(sol.t, times)
    assert errors(problem, sol, rtol) <= 300
    assert np.isclose(sol.sol.ts[:, None], inner(problem), rtol=1e-15, atol=0).any(axis=0).all()
    dense = np.linspace(*problem.span, 500)[1:-1]
    assert np.abs(sol.sol(dense) - problem.exact(dense)).max() <= 1e5 * rtol * np.abs(sol.y).max()


@pytest.mark.slow
@pytest.mark.parametrize("method", [name for name in METHODS if name != "DEER"])
def test_errors_follow_the_tolerance_across_jumps(method):
    problem = PROBLEMS["square wave"]
    found = [errors(problem, solved(problem, method, rtol=rtol), 1.0) for rtol in (1e-4, 1e-7)]
    assert found[1] <= found[0] / 30


@pytest.mark.slow
@given(
    st.sampled_from(METHODS),
    st.floats(0.05, 3.0),
    st.floats(0.02, 0.98),
    st.floats(-10, 10),
    st.sampled_from([0.0, 1e4, -2e6]),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_any_period_share_and_offset(method, period, share, offset, begin, backwards):
    span = (begin, begin + 8 * period) if not backwards else (begin + 8 * period, begin)
    sense = 1.0 if span[1] > span[0] else -1.0
    problem = Switched(
        np.array([[[-0.4 * sense / period]], [[-2.0 * sense / period]]]),
        np.array([[1.0], [-3.0]]) / period,
        periodic(period, share, offset + begin),
        edges(period, share, span, offset + begin),
        span,
        np.array([2.0]),
    )
    rtol = max(LOOSE.get(method, 1e-8), 4e-9 if not begin else 1e-14 * abs(begin) / period * 10)
    sol = solved(problem, method, rtol=rtol)
    assert sol.success
    assert errors(problem, sol, rtol) <= 300


ORDERS = {
    ("RK4", None): (4, 0.25),
    ("DOP853", None): (8, 0.5),
    ("DEER", None): (2, 0.05),
    ("Radau", 2): (3, 0.1),
    ("Radau", 3): (5, 0.25),
    ("Gauss", 2): (4, 0.25),
}
"""Orders of methods with so many stages, and steps at which they show."""


def driven(t, y):
    """A pendulum that is pushed to one side and the other."""
    return [y[1], -np.sin(y[0]) + np.where(np.mod(t, 1) < 0.5, 1.0, -1.0) * np.cos(t)]


@ON_ANY_MESH
@pytest.mark.parametrize(("method", "stages"), ORDERS)
def test_order_on_a_mesh_whose_nodes_are_the_jumps(method, stages):
    """With `jumps`, and without: every interval of a mesh of the user's evaluates its ends from inside."""
    order, step = ORDERS[method, stages]
    jumps = np.arange(1, 8) / 2
    best = solve_ivp(driven, (0, 4), [1.0, 0.0], "Radau", rtol=1e-13, atol=1e-13, jumps=jumps).y[:, -1]
    for declared in (jumps, None):
        found = []
        for length in (step, step / 2):
            mesh = np.linspace(0, 4, round(4 / length) + 1)
            sol = solve_ivp(
                driven, (0, 4), [1.0, 0.0], method, mesh=mesh, stages=stages, rtol=1e-11, atol=1e-11, jumps=declared
            )
            assert np.array_equal(sol.t, mesh)
            found.append(np.abs(sol.y[:, -1] - best).max())
        assert np.log2(found[0] / found[1]) >= order - 0.6


@pytest.mark.slow
@pytest.mark.parametrize("method", ON_MESH)
def test_jumps_become_nodes_of_a_mesh(method):
    """Those that are nodes but for rounding do not make another one beside it."""
    problem = PROBLEMS["pulse width"]
    mesh = np.linspace(0, 9, 31) if method == "Radau" else np.linspace(0, 9, 1201)
    sol = solved(problem, method, mesh=mesh, rtol=1e-6)
    assert np.isin(inner(problem), sol.mesh).all()
    assert np.diff(sol.mesh).min() > 1e-6
    assert errors(problem, sol, 1e-6) <= 300


def third(t, y):
    return y[0]


third.terminal = 3


def at_jump(t, y):
    return t - 3.0


@cache
def best_events():
    return solved(PROBLEMS["square wave"], "Radau", events=[third, at_jump], rtol=1e-12).t_events[0]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_events_across_jumps(method):
    """At a jump, between jumps, and the third time that one occurs as the end."""
    problem = PROBLEMS["square wave"]
    sol = solved(problem, method, events=[third, at_jump], rtol=1e-6)
    assert sol.success
    assert sol.status == 1
    assert np.allclose(sol.t_events[0], best_events(), atol=1e-3)
    assert len(sol.t_events[0]) == 3
    assert np.allclose(sol.t_events[1], 3.0, atol=1e-13)
    assert sol.t[-1] == sol.t_events[0][-1]
    assert np.allclose(problem.exact(sol.t_events[0])[0], 0, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_intervals_are_not_longer_than_they_may_be(method):
    problem = PROBLEMS["doses"]
    sol = solved(problem, method, rtol=1e-4, max_step=0.4, dense_output=True)
    assert np.abs(np.diff(sol.sol.ts)).max() <= 0.4 * (1 + 1e-12)
    assert errors(problem, sol, 1e-4) <= 100


@pytest.mark.slow
def test_windows_between_jumps():
    problem = PROBLEMS["pulse width"]
    sol = solved(problem, window=7)
    assert sol.success
    assert "window" in sol.message
    assert errors(problem, sol, 1e-9) <= 100


@pytest.mark.slow
@pytest.mark.parametrize("method", ["Radau", "RK4", "DOP853"])
def test_a_guess_with_other_jumps(method):
    """Those of the guess differ by rounding once, and by a tenth of a period."""
    problem = PROBLEMS["pulse width"]
    for shift, factor in ((0.0, 1 + 4e-16), (0.03, 1.0)):
        jumps = problem.jumps * factor + shift
        before = Switched(problem.A, problem.b, periodic(0.3, 0.35, shift), jumps, problem.span, problem.y0)
        guess = solved(before, method, rtol=1e-7)
        sol = solved(problem, method, rtol=1e-7, guess=guess)
        assert sol.success
        assert errors(problem, sol, 1e-7) <= 300
        assert np.diff(sol.mesh).min() > 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_derivatives_across_jumps(method):
    """By the initial state and by the level of the input, of a sum over output times between the jumps and at them."""
    rtol = LOOSE.get(method, 1e-9)
    jumps = edges(1.0, 0.4, (0, 5))

    def fun(t, y, level):
        return [y[1], level[0] * np.where(np.mod(t, 1) < 0.4, 1.0, 0.0) - y[0] - 0.3 * y[1]]

    def exact(y0, level):
        A = np.array([[[0.0, 1.0], [-1.0, -0.3]]] * 2)
        b = np.array([[0.0, 0.0], [0.0, level]])
        return Switched(A, b, periodic(1.0, 0.4), jumps, (0.0, 5.0), np.asarray(y0)).exact(times)

    times = np.array([0.2, 1.0, 1.7, 3.4, 5.0])
    level = np.array([2.0])
    sol = solve_ivp(fun, (0, 5), [1.0, 0.5], method, times, args=(level,), rtol=rtol, atol=rtol, jumps=jumps)
    by_level = exact([0.0, 0.0], 1.0)
    by_start = exact([0.0, 1.0], 0.0)
    close = 1e4 * rtol
    forced = sol.tangent(lambda t, y, level: [0 * t, np.where(np.mod(t, 1) < 0.4, 1.0, 0.0)])
    assert np.abs(forced - by_level).max() <= close
    assert np.abs(sol.tangent(y0=np.array([0.0, 1.0])) - by_start).max() <= close
    weights = np.arange(1.0, 11.0).reshape(2, 5)
    assert abs(sol.gradient(weights)[0] - (weights * by_level).sum()) <= 100 * close
    assert abs(sol.adjoint(weights).y0[1] - (weights * by_start).sum()) <= 100 * close


@pytest.mark.slow
def test_hundreds_of_jumps():
    problem = Switched(
        np.full((2, 1, 1), -1.0), np.array([[0.0], [5.0]]), periodic(0.1, 0.25), edges(0.1, 0.25, (0, 40)),
        (0.0, 40.0), np.zeros(1),
    )  # fmt: skip
    assert inner(problem).size > 750
    for method in ("auto", "DEER", "LSODA"):
        sol = solved(problem, method, rtol=1e-7)
        assert errors(problem, sol, 1e-7) <= 300
    assert np.isin(inner(problem), solved(problem, rtol=1e-7).mesh).mean() > 0.99


@pytest.mark.slow
def test_batches_across_jumps():
    """By Newton's method, and by steps that all members of a wide batch take together."""
    problem = PROBLEMS["doses"]
    for members in (3, 50):
        decay = np.linspace(0.1, 0.5, members)

        def fun(t, y, decay=decay):
            return [np.where(np.mod(t, 12) < 0.5, 200.0, 0.0) - decay * y[0]]

        sol = solve_ivp(fun, (0, 48), np.zeros((1, members)), rtol=1e-9, atol=1e-9, jumps=problem.jumps)
        assert sol.success
        assert sol.method == ("Radau" if members == 3 and not sol.compiled else "DOP853")
        assert np.isin(inner(problem), sol.mesh).all()
        for member in (0, members - 1):
            alone = Switched(np.full((2, 1, 1), -decay[member]), *vars_of(problem))
            exact = alone.exact(sol.t)
            assert np.abs(sol.y[:, :, member] - exact).max() <= 1e-6 * exact.max()
        tangent = sol.tangent(y0=np.ones((1, members)))
        assert np.allclose(tangent[0, -1], np.exp(-48 * decay), rtol=1e-6, atol=1e-12)


def vars_of(problem):
    """All but the matrices."""
    return problem.b, problem.mode, problem.jumps, problem.span, problem.y0


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize("xp", [np, strict], ids=["numpy", "strict"])
def test_precisions_and_libraries(dtype, xp):
    problem, rtol = PROBLEMS["doses"], 1e-4 if dtype in (np.float32, np.complex64) else 1e-8
    factor = (1 + 2j) if np.dtype(dtype).kind == "c" else 1.0

    def fun(t, y):
        level = 200.0 * xp.astype(xp.asarray(t, dtype=xp.float64) % 12 < 0.5, y.dtype)
        return xp.stack([factor * level - 0.3 * y[0, ...]])

    sol = solve_ivp(
        fun, (0, 48), xp.zeros(1, dtype=getattr(xp, np.dtype(dtype).name)), "Radau", rtol=rtol, atol=rtol,
        jumps=xp.asarray(problem.jumps),
    )  # fmt: skip
    assert sol.success
    exact = factor * problem.exact(np.asarray(sol.t))
    assert np.abs(np.asarray(sol.y) - exact).max() <= 100 * rtol * np.abs(exact).max()


@pytest.mark.parametrize("method", ["Radau", "Gauss", "RK4", "DOP853"])
def test_the_residual_knows_the_sides_of_jumps(method):
    problem = PROBLEMS["doses"]
    assert solved(problem, method, rtol=1e-8).residual <= 1e-2
    assert solved(problem, method, rtol=1e-8, jumps=[0.5]).residual > 0.0


@pytest.mark.roads("calls")
def test_without_jumps_nothing_changes():
    plain, none, outside = (
        solve_ivp(pendulum, (0, 20), [1.0, 0.0], rtol=1e-8, jumps=jumps) for jumps in (None, [], [-1.0, 20.5, np.inf])
    )
    for other in (none, outside):
        assert np.array_equal(other.y, plain.y)
        assert (other.nfev, other.history) == (plain.nfev, plain.history)


def test_where_fun_is_smooth_jumps_cost_little():
    plain = solve_ivp(pendulum, (0, 20), [1.0, 0.0], "Radau", rtol=1e-8, atol=1e-8)
    sol = solve_ivp(pendulum, (0, 20), [1.0, 0.0], "Radau", rtol=1e-8, atol=1e-8, jumps=[7.0, 7.0, 3.0])
    assert np.abs(sol.y[:, -1] - plain.y[:, -1]).max() <= 1e-6
    assert sol.mesh.size <= plain.mesh.size + 10
    assert len(sol.history) <= len(plain.history) + 2


def test_jumps_but_for_rounding():
    """Sums of periods, and both ends of the span: no step is a few spacings long."""
    times = np.concatenate([np.cumsum(np.full(100, 0.1)), np.arange(101) * 0.1, [10 * (1 - 1e-15)]])
    problem = Switched(
        np.full((2, 1, 1), -1.0), np.array([[0.0], [5.0]]), periodic(0.2, 0.5), times, (0.0, 10.0), np.zeros(1)
    )
    sol = solved(problem)
    assert np.diff(sol.mesh).min() > 1e-6
    exact = Switched(*(*vars(problem).values(),)[:3], np.arange(1, 100) * 0.1, problem.span, problem.y0)
    assert errors(exact, sol, 1e-9) <= 100


@pytest.mark.parametrize("method", ["auto", "Radau", "BDF", RK45])
def test_jumps_of_a_span_without_end(method):
    def fun(t, y):
        return [np.where(t < 2, 1.0, -0.5) + 0 * y[0]]

    def zero(t, y):
        return y[0] + (t < 1)

    zero.terminal = True
    sol = solve_ivp(fun, (0, np.inf), [0.0], method, events=zero, jumps=[2.0, 500.0], rtol=1e-6)
    assert sol.status == 1
    assert abs(sol.t[-1] - 6) <= 1e-9


def test_a_first_step_that_is_longer_than_a_stretch():
    problem = PROBLEMS["pulse width"]
    assert solved(problem, "RK45", rtol=1e-6, first_step=1.0).success


@pytest.mark.parametrize(
    ("jumps", "error", "message"),
    [
        (3.0, ValueError, r"`jumps` must have one axis, got shape \(\); pass a list of times"),
        ([[1.0, 2.0]], ValueError, r"`jumps` must have one axis, got shape \(1, 2\)"),
        ([1.0, np.nan], ValueError, "`jumps` must be times, but some of them are NaN"),
        ([1j], TypeError, "`jumps` must be real times, got complex128"),
        (["a"], TypeError, "`jumps`"),
        (strict.asarray([1.0]), TypeError, "`jumps`"),
    ],
)
def test_wrong_jumps(jumps, error, message):
    with pytest.raises(error, match=message):
        solve_ivp(lambda t, y: -y, (0, 3), [1.0], jumps=jumps)


@pytest.mark.parametrize("begin", [0.0, -2e3])
@pytest.mark.parametrize("backwards", [False, True])
def test_the_message_names_jumps_that_were_found(road, begin, backwards):
    """Some of them, as they follow each other; none where they were said, a record shows them, or there is none."""

    def fun(t, y):
        return np.where(np.mod(t - begin, 2) < 1, 1.0, -1.0) - 0.1 * y

    span = (begin + 9.0, begin) if backwards else (begin, begin + 9.0)
    named = [begin + k for k in ((8, 7, 6) if backwards else (1, 2, 3))]
    found = solve_ivp(fun, span, [1.0], "Radau", rtol=1e-7, atol=1e-7)
    known = solve_ivp(fun, span, [1.0], "Radau", rtol=1e-7, atol=1e-7, jumps=begin + np.arange(10.0))
    np.testing.assert_allclose(found.y[:, -1], known.y[:, -1], rtol=1e-5)
    if road == "calls":
        words = ", ".join(f"{time:g}" for time in named)
        assert f"`fun` or its slope jumps at t = {words} and at 5 more times" in found.message
        assert "pass them as `jumps`" in found.message
    else:
        assert "jumps" not in found.message
        assert all(np.abs(found.mesh - time).min() <= 1e-9 for time in named)
    assert "jumps" not in known.message
    assert "jumps" not in solve_ivp(driven, (0, 0.4), [1.0, 0.0], "Radau", rtol=1e-7).message


def test_the_message_names_times_at_which_windows_pile_up():
    task = SimpleNamespace(breaks=None)
    piece = SimpleNamespace(breaks=None, t=np.array([0.0, 10.0]))
    record = Record(pieces=[piece], cut_short=[1.0, 1.001, 1.002, 4.0, 7.0], followed_from=[7.0])
    assert "again and again near t = 1, 7: if `fun` jumps there" in of_jumps(task, record, (0.0, 10.0))
    assert of_jumps(task, Record(pieces=[piece], cut_short=[1.0, 4.0, 7.0]), (0.0, 10.0)) == ""
