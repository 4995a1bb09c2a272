"""`method="Taylor"`: the promise on errors, output, properties of solutions, and where series end."""

import numpy as np
import pytest

from parscan import solve_ivp
from parscan._ivp import solve as _solve
from parscan._ivp.compiled import solvers
from parscan._ivp.compiled.repeat import forget_repeats
from tests.support.ode_problems import ODES, arenstorf, brusselator, event, kepler, lotka_volterra, oscillator, pendulum

SMOOTH = [ode for ode in ODES if ode.name not in ("Van der Pol 1000", "Robertson", "Oregonator", "HIRES")]


def solved(fun, span, y0, rtol=1e-9, **options):
    sol = solve_ivp(fun, span, y0, "Taylor", rtol=rtol, atol=rtol, **options)
    assert sol.success, sol.message
    assert sol.compiled
    return sol


@pytest.mark.parametrize("rtol", [1e-4, 1e-6, 1e-8, 1e-10, 1e-12])
@pytest.mark.parametrize("ode", ODES, ids=lambda ode: ode.name)
def test_errors_at_the_end(ode, rtol):
    """Stiff problems are handed over; rounding that grows is told."""
    sol = solve_ivp(ode.fun, (0, ode.end), ode.y0, "Taylor", rtol=rtol, atol=rtol * ode.scale)
    assert sol.success
    assert ode.error(sol.y[:, -1], rtol) <= 10 or "changes by rounding grow" in sol.message
    assert ("Taylor" in sol.message) or sol.method in ("Rodas5P", "Radau13")


def test_the_fields():
    sol = solved(pendulum, (0, 20), [1.0, 0.0])
    assert sol.method == "Taylor"
    assert "By machine code of `fun`: Taylor; " in sol.message
    assert sol.t.shape[0] == sol.y.shape[1] == sol.mesh.shape[0] < 50
    assert sol.nfev > 16 * 2 * 20
    assert sol.decisions == ()


PROBLEMS = {
    "Lotka-Volterra": (lotka_volterra, [10.0, 5.0], 4.0), "pendulum": (pendulum, [2.0, 0.0], 9.0),
    "Kepler": (kepler, [0.5, 0.0, 0.0, 3**0.5], 7.0), "Brusselator": (brusselator, [1.5, 3.0], 5.0),
    "forced": (lambda t, y: [np.exp(np.sin(3 * t)) * y[1], -y[0] + 0.1 * t * np.arctan(y[1])], [1.0, 0.0], 6.0),
    "doses": (lambda t, y: [np.where(t < 1.3, 2.0, 0.5) - 0.7 * y[0] / (1 + y[0])], [0.0], 4.0),
}  # fmt: skip


@pytest.mark.parametrize("rtol", [1e-5, 1e-9, 1e-12])
@pytest.mark.parametrize("name", PROBLEMS)
def test_between_the_ends_of_steps(name, rtol):
    """Dense output, values at times, and errors that are estimated there, against a tighter solve of another method."""
    fun, y0, end = PROBLEMS[name]
    times = np.linspace(0, end, 201)
    exact = solve_ivp(fun, (0, end), y0, t_eval=times, rtol=1e-13, atol=1e-13, compile=True).y
    size = rtol * (1 + np.abs(exact))
    dense = solved(fun, (0, end), y0, rtol, dense_output=True)
    assert np.max(np.abs(dense.sol(times) - exact) / size) <= 10
    at_times = solved(fun, (0, end), y0, rtol, t_eval=times)
    np.testing.assert_array_equal(at_times.t, times)
    assert np.max(np.abs(at_times.y - exact) / size) <= 10


@pytest.mark.parametrize("name", PROBLEMS)
def test_two_spans_are_one(name):
    fun, y0, end = PROBLEMS[name]
    whole = solved(fun, (0, end), y0, 1e-11)
    for share in (1e-3, 0.31, 0.77):
        first = solved(fun, (0, share * end), y0, 1e-11)
        second = solved(fun, (share * end, end), first.y[:, -1], 1e-11)
        np.testing.assert_allclose(second.y[:, -1], whole.y[:, -1], rtol=2e-9, atol=2e-9)


@pytest.mark.parametrize("name", PROBLEMS)
def test_there_and_back(name):
    fun, y0, end = PROBLEMS[name]
    there = solved(fun, (0, end), y0, 1e-12)
    back = solved(fun, (end, 0), there.y[:, -1], 1e-12)
    np.testing.assert_allclose(back.y[:, -1], y0, rtol=3e-9, atol=3e-9)


@pytest.mark.parametrize("scale", [1e-12, 1e9])
def test_units_of_time(scale):
    fun, y0, end = PROBLEMS["Kepler"]
    sol = solved(lambda t, y: np.asarray(fun(t / scale, y)) / scale, (0, scale * end), y0, 1e-10)
    np.testing.assert_allclose(sol.y[:, -1], solved(fun, (0, end), y0, 1e-10).y[:, -1], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("dense_output", [False, True])
def test_events(dense_output):
    """Zeros of cos(t); the third one ends the solve."""
    crossing, peak = event(lambda t, y: y[1], terminal=3), event(lambda t, y: y[0], direction=-1)
    sol = solve_ivp(
        oscillator, (0, 50), [0.0, 1.0], "Taylor", rtol=1e-12, atol=1e-12, events=[crossing, peak],
        dense_output=dense_output,
    )  # fmt: skip
    assert sol.status == 1
    np.testing.assert_allclose(sol.t_events[0], np.pi * (np.arange(3) + 0.5), rtol=1e-11)
    np.testing.assert_allclose(sol.t_events[1], [np.pi], rtol=1e-11)
    np.testing.assert_allclose(sol.t[-1], 2.5 * np.pi, rtol=1e-11)
    if dense_output:
        times = np.linspace(0, 2.5 * np.pi, 100)
        np.testing.assert_allclose(sol.sol(times), [np.sin(times), np.cos(times)], atol=1e-10)


def test_events_that_are_not_recorded():
    sol = solved(oscillator, (0, 20), [0.0, 1.0], 1e-10, events=event(lambda t, y: float(y[1]), terminal=True))
    np.testing.assert_allclose(sol.t[-1], np.pi / 2, rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.complex128, np.float32])
def test_dtypes(dtype):
    rate = -0.3 + (2.0j if dtype is np.complex128 else 0.0)
    sol = solved(lambda t, y: rate * y**2, (0, 5), np.array([1.0], dtype), 1e-4)
    assert sol.y.dtype == dtype
    np.testing.assert_allclose(sol.y[0, -1], 1 / (1 - 5 * rate), rtol=1e-3)


def test_options_of_steps():
    assert np.max(np.diff(solved(pendulum, (0, 5), [1.0, 0.0], max_step=0.01).t)) <= 0.01 * (1 + 1e-9)
    assert np.diff(solved(pendulum, (0, 5), [1.0, 0.0], first_step=1e-4).t)[0] == 1e-4


def test_gradients_and_tangents():
    """They are those of the solution, although its steps are long."""

    def fun(t, y, p):
        return [y[1], -p * np.sin(y[0])]

    sol = solve_ivp(fun, (0, 6), [1.0, 0.0], "Taylor", args=(1.3,), rtol=1e-9, atol=1e-9)
    auto = solve_ivp(fun, (0, 6), [1.0, 0.0], args=(1.3,), rtol=1e-11, atol=1e-11, compile=True)
    weights = np.zeros_like(sol.y)
    weights[:, -1] = [1.0, 0.5]
    others = np.zeros_like(auto.y)
    others[:, -1] = [1.0, 0.5]
    for one, other in zip(sol.gradient(weights), auto.gradient(others), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-7)


def test_poles_are_told():
    sol = solve_ivp(lambda t, y: y**2, (0, 2), [1.0], "Taylor", rtol=1e-9, atol=1e-9)
    assert not sol.success
    assert abs(sol.t[-1] - 1) < 1e-3


def test_values_that_are_not_finite():
    sol = solve_ivp(lambda t, y: np.sqrt(0.5 - t) + 0 * y, (0, 2), [1.0], "Taylor", rtol=1e-9, atol=1e-9)
    assert not sol.success
    np.testing.assert_allclose(sol.t[-1], 0.5, atol=1e-3)


def test_where_a_series_ends_other_steps_go_on():
    """The root has no series at zero, but the solution a slope."""
    sol = solve_ivp(lambda t, y: 1 + np.sqrt(y) ** 3, (0, 1), [0.0], "Taylor", rtol=1e-6, atol=1e-6)
    exact = solve_ivp(lambda t, y: 1 + np.sqrt(y) ** 3, (0, 1), [0.0], "Radau", rtol=1e-9, atol=1e-9)
    assert sol.success
    assert "because the Taylor series ends there" in sol.message
    np.testing.assert_allclose(sol.y[0, -1], exact.y[0, -1], rtol=1e-5)


def test_stiff_problems_are_handed_over():
    sol = solve_ivp(lambda t, y: -1e4 * (y - np.cos(t)), (0, 10), [1.0], "Taylor", rtol=1e-8, atol=1e-8)
    assert sol.success
    assert "because the problem is stiff" in sol.message
    np.testing.assert_allclose(sol.y[0, -1], np.cos(10) + 1e-4 * np.sin(10), atol=1e-7)


@pytest.mark.parametrize(
    ("fun", "reason"),
    [
        (lambda t, y: -abs(y), "compares states|no Taylor series"),
        (lambda t, y: np.floor(y) - y, "compares states|no Taylor series"),
        (lambda t, y: [1.0 * len(str(y[0]))], "as the method 'Taylor' asks"),
    ],
)
def test_functions_without_series(fun, reason):
    with pytest.raises(TypeError, match=reason):
        solve_ivp(fun, (0, 1), [0.5], "Taylor")


@pytest.mark.parametrize("options", [{"compile": False}, {"mesh": [0.0, 1.0]}, {"stages": 3}, {"min_step": 0.1}])
def test_options_of_other_methods(options):
    with pytest.raises(TypeError, match="'Taylor' works by machine code, step by step"):
        solve_ivp(pendulum, (0, 1), [1.0, 0.0], "Taylor", **options)


def test_batches():
    with pytest.raises(TypeError, match="batch of shape"):
        solve_ivp(pendulum, (0, 1), np.ones((2, 3)), "Taylor")


def test_few_steps_at_tight_tolerances(monkeypatch):
    """At most half of those of DOP853."""
    monkeypatch.setattr(solvers, "SERIES_AT", 0.0)
    for fun, y0, end in (
        *list(PROBLEMS.values())[:3],
        (arenstorf, [0.994, 0.0, 0.0, -2.00158510637908252240537862224], 3),
    ):
        series, other = (
            solve_ivp(fun, (0, end), y0, method, rtol=1e-11, atol=1e-11, compile=True) for method in ("Taylor", "auto")
        )
        assert series.mesh.shape[0] < 0.5 * other.mesh.shape[0]


@pytest.fixture
def repeats(monkeypatch):
    """Whether solves were repeated at once, one after the other."""
    found, again = [], _solve.solve_again

    def noted(*given):
        result = again(*given)
        found.append(result is not None)
        return result

    monkeypatch.setattr(_solve, "solve_again", noted)
    forget_repeats()
    yield found
    forget_repeats()


def by_auto(fun, y0=(2.0, 0.0), span=(0.0, 9.0), rtol=1e-10, **options):
    return solve_ivp(fun, span, list(y0), rtol=rtol, atol=rtol, compile=True, **options)


def test_auto_takes_series_where_they_pay(repeats):
    """
    For few operations, if only the ends of steps or values at times are wanted, at tight tolerances.

    Sines take DOP853 so long that they do at looser ones.
    """

    def fun(t, y):
        return [y[1], -np.sin(y[0])]

    times = np.linspace(0, 9, 10)
    assert [by_auto(fun, rtol=rtol).method for rtol in (1e-3, 1e-4, 1e-5, 1e-12)] == [*["DOP853"] * 2, *["Taylor"] * 2]

    def plain(t, y):
        return [y[1], y[0] - y[0] ** 3]

    assert [by_auto(plain, rtol=rtol).method for rtol in (1e-5, 1e-7, 1e-11)] == [*["DOP853"] * 2, "Taylor"]
    assert by_auto(fun, t_eval=times).method == "Taylor"
    assert by_auto(fun, dense_output=True).method == "DOP853"
    assert by_auto(fun, events=lambda t, y: y[0]).method == "DOP853"
    assert by_auto(lambda t, y: [y[1], -np.abs(y[0])]).method == "DOP853"
    assert by_auto(lambda t, y: -y * np.roll(y, 1), y0=0.1 * np.ones(20)).method == "DOP853"
    assert repeats[:4] == [False, True, False, False]  # with each method anew


@pytest.mark.parametrize("t_eval", [None, [0.5, 1.0, 7.0]])
def test_solves_by_auto_are_repeated(t_eval, repeats):
    """With the same results; with other tolerances, others are taken."""

    def fun(t, y):
        return [y[1], -np.sin(y[0])]

    first, *others = [by_auto(fun, t_eval=t_eval) for _ in range(3)]
    assert repeats == [False, True, True]
    for sol in others:
        assert sol.method == first.method == "Taylor"
        np.testing.assert_array_equal(sol.y, first.y)
        np.testing.assert_array_equal(sol.t, first.t)
        assert sol.message == first.message
        assert sol.nfev == first.nfev
        np.testing.assert_array_equal(sol.errors, first.errors)
    for rtol in (1e-9, 1e-12, 1e-4, 1e-10):
        forget = by_auto(fun, t_eval=t_eval, rtol=rtol)
        forget_repeats()
        np.testing.assert_array_equal(forget.y, by_auto(fun, t_eval=t_eval, rtol=rtol).y)


def test_a_dense_solve_between_does_not_end_repeating(repeats):
    def fun(t, y):
        return [y[1], -np.sin(y[0])]

    for options in ({}, {"dense_output": True}, {}):
        by_auto(fun, **options)
    assert repeats[-1]


def test_where_series_end_auto_goes_on():
    """A root of zero at the start, and a problem that becomes stiff."""
    sol = by_auto(lambda t, y: [1.0 + np.sqrt(y[0]) ** 3], [0.0], (0.0, 1.0), 1e-9)
    assert sol.success
    np.testing.assert_allclose(sol.y[0, -1], solved(lambda t, y: 1 + np.sqrt(y) ** 3, (0, 1), [0.0], 1e-11).y[0, -1])
    sol = by_auto(lambda t, y: [-1e5 * np.sin(y[0] - np.cos(t))], [1.0], (0.0, 10.0), 1e-9)
    assert sol.success
    assert sol.method == "Radau13"
    np.testing.assert_allclose(sol.y[0, -1], np.cos(10) + 1e-5 * np.sin(10), atol=1e-8)
